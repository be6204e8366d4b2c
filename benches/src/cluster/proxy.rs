//! A TCP proxy between two processes of a cluster. It hands on what comes, unless it is told to hold it back, in one direction or in
//! both, or to reset its connections. What is held is kept, and nobody is told: so it is when a network loses what it carries for a while.
//!
//! Two threads a connection, each with one piece in its hands; what else waits does so in the buffers of the system.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use socket2::SockRef;

/// Bytes that a thread takes at a time.
const PIECE_BYTES: usize = 16 << 10;
/// Connections at once, many times what a pair of processes has. More are closed as they come.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// How long whoever is connected to may take to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// After how long a thread whose piece nobody takes looks whether it is still to go on.
const LOOK: Duration = Duration::from_millis(100);

/// Which bytes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Both,
    /// From whoever has connected.
    Requests,
    /// To whoever has connected.
    Answers,
}

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    closing: bool,
    connections: BTreeMap<u64, Arc<Connection>>,
    next: u64,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
    /// How many of its two threads have ended.
    ended: AtomicUsize,
}

impl Proxy {
    /// Takes connections on a port of its own, and makes one to `upstream` for each; at most so many at once.
    pub(crate) fn start(upstream: SocketAddr, most: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("could not listen for a proxy")?;
        let address = listener.local_addr().context("a proxy has no address")?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let accepting = thread::Builder::new().name("proxy".to_owned());
        let accepting = accepting.spawn(move || accept(&listener, upstream, most, &of_thread));
        Ok(Self { address, shared, accepting: Some(accepting.context("could not start a thread of a proxy")?) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds what comes from now on.
    pub(crate) fn hold(&self, held: Held) {
        self.shared.lock().held = Some(held);
    }

    /// Hands on what was held, and all that comes.
    pub(crate) fn heal(&self) {
        self.shared.lock().held = None;
        self.shared.changed.notify_all();
    }

    /// Resets all connections; how many there were. New ones are taken.
    pub(crate) fn reset(&self) -> usize {
        let connections = std::mem::take(&mut self.shared.lock().connections);
        connections.values().for_each(|connection| connection.cut());
        self.shared.changed.notify_all();
        connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.reset();
        // The thread waits for a connection: it gets one.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_MAX);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as bytes that are held in one of these two ways may not pass; whether the connection is still there then.
    fn wait(&self, way: Held, connection: &Connection) -> bool {
        let is_held = |state: &mut State| {
            let held = state.held == Some(Held::Both) || state.held == Some(way);
            held && !state.closing && !connection.is_cut()
        };
        let state = self.changed.wait_while(self.lock(), is_held).unwrap_or_else(PoisonError::into_inner);
        !state.closing && !connection.is_cut()
    }
}

impl Connection {
    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Lets both ends be reset once no thread uses them any more, which is at once.
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        for stream in [&self.client, &self.server] {
            // One that is gone has been closed by its other end.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

fn accept(listener: &TcpListener, upstream: SocketAddr, most: usize, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.lock().closing {
            return;
        }
        let Ok((client, _)) = accepted else { continue };
        // Nobody listens there: the client finds its connection closed.
        let Ok(server) = TcpStream::connect_timeout(&upstream, CONNECT_MAX) else { continue };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(LOOK));
        }
        let connection =
            Arc::new(Connection { client, server, cut: AtomicBool::new(false), ended: AtomicUsize::new(0) });
        let mut state = shared.lock();
        if state.connections.len() >= most {
            continue;
        }
        let number = state.next;
        state.next += 1;
        state.connections.insert(number, Arc::clone(&connection));
        drop(state);
        for way in [Held::Requests, Held::Answers] {
            let (of_all, of_thread) = (Arc::clone(shared), Arc::clone(&connection));
            let pump = thread::Builder::new().name("proxy".to_owned()).spawn(move || {
                pump(way, &of_all, &of_thread);
                // The other direction ends by itself, or with its own error.
                if of_thread.ended.fetch_add(1, Ordering::AcqRel) == 1 {
                    of_all.lock().connections.remove(&number);
                }
            });
            if pump.is_err() {
                shared.lock().connections.remove(&number);
                connection.cut();
            }
        }
    }
}

/// Hands on what comes in one direction, until it ends; and then that it has ended.
fn pump(way: Held, shared: &Shared, connection: &Connection) {
    let (mut from, to) = match way {
        Held::Answers => (&connection.server, &connection.client),
        _ => (&connection.client, &connection.server),
    };
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece);
        if !shared.wait(way, connection) {
            return;
        }
        match read {
            Ok(0) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(bytes) if write(to, &piece[..bytes], shared, connection) => {}
            _ => break,
        }
    }
    // Whoever is at the other end learns of it as one does of a process that is gone.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Writes a piece, as long as the connection is there; whether it did.
fn write(mut to: &TcpStream, mut piece: &[u8], shared: &Shared, connection: &Connection) -> bool {
    while !piece.is_empty() {
        match to.write(piece) {
            Ok(bytes) => piece = &piece[bytes..],
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                if connection.is_cut() || shared.lock().closing {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long nothing must come for it to count as held.
    const NOTHING: Duration = Duration::from_millis(100);
    const DEADLINE: Duration = Duration::from_secs(20);

    /// A connection through a proxy: its two ends.
    fn connected(most: usize) -> (Proxy, TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let proxy = Proxy::start(listener.local_addr().expect("it is bound"), most).expect("loopback has ports");
        let mut client = TcpStream::connect(proxy.address()).expect("it listens");
        let (mut server, _) = listener.accept().expect("the proxy connects");
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(DEADLINE)).expect("it is a time");
        }
        // Once a byte has passed the proxy knows of the connection.
        client.write_all(b"!").expect("it is open");
        assert_eq!(read(&mut server, 1), b"!");
        (proxy, listener, client, server)
    }

    fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        stream.read_exact(&mut read).expect("it comes");
        read
    }

    fn nothing_comes(stream: &mut TcpStream) {
        stream.set_read_timeout(Some(NOTHING)).expect("it is a time");
        let error = stream.read(&mut [0]).expect_err("nothing comes");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is a time");
    }

    #[test]
    fn bytes_pass_both_ways_and_so_does_their_end() {
        let (_proxy, _listener, mut client, mut server) = connected(8);
        let long: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let sent = long.clone();
        let mut writer = client.try_clone().expect("there are descriptors");
        let writing = thread::spawn(move || {
            writer.write_all(&sent).expect("it is read");
            writer.shutdown(Shutdown::Write).expect("it is open");
        });
        assert!(read(&mut server, long.len()) == long, "other bytes came out");
        writing.join().expect("it ends");
        assert_eq!(server.read(&mut [0]).expect("it ends"), 0);
        // The other direction goes on.
        server.write_all(b"answer").expect("it is read");
        assert_eq!(read(&mut client, 6), b"answer");
    }

    #[test]
    fn one_direction_is_held_while_the_other_passes_and_nothing_is_lost() {
        let (proxy, _listener, mut client, mut server) = connected(8);
        for (held, stopped) in
            [(Held::Requests, [true, false]), (Held::Answers, [false, true]), (Held::Both, [true; 2])]
        {
            proxy.hold(held);
            client.write_all(b"request").expect("it is open");
            server.write_all(b"answer").expect("it is open");
            for (stream, text, is_held) in [(&mut server, "request", stopped[0]), (&mut client, "answer", stopped[1])] {
                match is_held {
                    true => nothing_comes(stream),
                    false => assert_eq!(read(stream, text.len()), text.as_bytes()),
                }
            }
            proxy.heal();
            for (stream, text, was_held) in [(&mut server, "request", stopped[0]), (&mut client, "answer", stopped[1])]
            {
                if was_held {
                    assert_eq!(read(stream, text.len()), text.as_bytes());
                }
            }
        }
    }

    #[test]
    fn connections_are_reset_also_while_they_are_held_and_new_ones_are_taken() {
        let (proxy, listener, mut client, mut server) = connected(8);
        proxy.hold(Held::Both);
        client.write_all(b"lost").expect("it is open");
        assert_eq!(proxy.reset(), 1);
        for stream in [&mut client, &mut server] {
            let error = stream.read(&mut [0]).expect_err("it was reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(proxy.reset(), 0);
        proxy.heal();
        let mut again = TcpStream::connect(proxy.address()).expect("it listens");
        let (mut server, _) = listener.accept().expect("the proxy connects");
        again.write_all(b"new").expect("it is open");
        assert_eq!(read(&mut server, 3), b"new");
    }

    #[test]
    fn more_connections_than_it_may_have_are_closed() {
        let (proxy, _listener, mut client, mut server) = connected(1);
        let mut second = TcpStream::connect(proxy.address()).expect("it listens");
        second.set_read_timeout(Some(DEADLINE)).expect("it is a time");
        assert!(!matches!(second.read(&mut [0]), Ok(1..)), "nobody is there");
        client.write_all(b"a").expect("it is open");
        assert_eq!(read(&mut server, 1), b"a");
    }
}
