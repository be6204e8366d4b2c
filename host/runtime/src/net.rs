//! The data plane of a TaskManager: channels into the gates of subtasks that other TaskManagers run, and from theirs into
//! the gates here.
//!
//! Whoever sends connects: there is one connection for each ordered pair of TaskManagers that exchange rows, for all jobs and
//! channels. Data and control go one way on it, credit the other. Data needs credit, which a gate gives once its attempt has
//! started; control never does. Whoever reads a connection never waits for a subtask. A connection that is lost fails every
//! attempt that has a channel on it. `docs/reference/data-plane.md` has the rules.
//!
//! This is the only place of `runtime` that is asynchronous: a small runtime of its own reads and writes, subtasks wait for it as they
//! wait for each other.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use wasmill_model::{
    fault::{Code, Coded},
    ids::{Attempt, Incarnation, JobId, TaskManagerId},
};
use wasmill_wire::{self as wire, Encoder, Frame, Hello, Identity, Layout, Open, Reason};

use crate::{
    life::{Failure, Life},
    placement::{Place, Placement},
    tls::Tls,
};

mod incoming;
mod link;
mod outbound;
mod peer;
mod registry;
mod transport;

pub(crate) use incoming::CreditLine;
use incoming::Incoming;
use link::{Link, Patience, checksum};
use peer::Peer;
pub(crate) use peer::{Outlet, Sender};
pub(crate) use registry::Inlets;
use registry::Registry;
use transport::{Listener, Stream, Tcp, Transport};

/// Threads that read and write connections.
const THREADS: usize = 2;

/// Connections that others have made, at most: one for each TaskManager that sends here.
const CONNECTIONS_MAX: usize = 4_096;

/// Of those, how many may not have said yet who they are.
const STRANGERS_MAX: usize = 256;

/// What a data plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where others connect; port 0 takes any.
    pub listen: SocketAddr,
    /// `None`: plain TCP, with checksums.
    pub tls: Option<Tls>,
    /// Set by [`Network::join`] once it is known: a TaskManager learns it when it registers, and must listen before it does.
    /// Whoever belongs to another cluster is refused. At most 255 bytes.
    pub cluster: OnceLock<String>,
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
}

/// Why there is no data plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not listen for other TaskManagers on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("could not start the threads of the data plane: {0}")]
    Threads(io::Error),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Listen { .. } => Code::ListenFailed,
            Self::Threads(_) => Code::SystemResources,
        }
    }
}

/// What has gone over a connection so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTotals {
    /// The TaskManager at the other end.
    pub peer: String,
    /// Whether subtasks here send by it; else they receive.
    pub outgoing: bool,
    pub frames_in: u64,
    pub frames_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Bytes of rows that wait to be written.
    pub queued_bytes: u64,
    /// Frames that came for attempts that had been stopped.
    pub late_frames: u64,
}

/// The data plane of a TaskManager: what listens, its connections, and the attempts they feed. One a process. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    inner: Arc<Inner>,
    handle: Handle,
    /// Its threads, if they are its own.
    runtime: Mutex<Option<Runtime>>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    patience: Patience,
    transport: Box<dyn Transport>,
    registry: Mutex<Registry>,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    peers: HashMap<Place, Arc<Peer>>,
    incoming: Vec<Arc<Incoming>>,
    shut_down: bool,
}

/// An attempt whose channels are open to others; dropped, they are closed.
#[derive(Debug)]
pub(crate) struct Registration {
    inner: Arc<Inner>,
    job: JobId,
    attempt: Attempt,
}

impl Options {
    fn identity(&self) -> Identity {
        Identity { taskmanager: self.taskmanager, incarnation: self.incarnation }
    }

    /// Empty as long as it is not known: nobody's name.
    fn cluster(&self) -> &str {
        self.cluster.get().map_or("", String::as_str)
    }

    fn hello(&self, to: Identity) -> Hello {
        Hello {
            version_min: wire::VERSION,
            version_max: wire::VERSION,
            cluster: self.cluster().to_owned(),
            from: self.identity(),
            to,
        }
    }

    /// Why whoever says this is not let in.
    fn refuses(&self, hello: &Hello) -> Option<&'static str> {
        if hello.cluster != self.cluster() {
            Some("it belongs to another cluster")
        } else if hello.to != self.identity() {
            Some("it is another TaskManager, or another life of it")
        } else if !(hello.version_min..=hello.version_max).contains(&wire::VERSION) {
            Some("it speaks another version of the protocol")
        } else {
            None
        }
    }
}

impl Network {
    /// Listens, on threads of its own.
    ///
    /// # Errors
    /// If the address is taken, or the system gives no threads.
    pub fn start(options: Options) -> Result<Self, Error> {
        Self::start_with(options, Patience::default())
    }

    fn start_with(options: Options, patience: Patience) -> Result<Self, Error> {
        let started = AtomicUsize::new(0);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(1)
            .thread_name_fn(move || format!("network-{}", started.fetch_add(1, Ordering::Relaxed)))
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let mut network = runtime.block_on(Self::start_here(options, patience, Box::new(Tcp)))?;
        network.runtime = Mutex::new(Some(runtime));
        Ok(network)
    }

    /// Listens, on the runtime that is current: all that it does there ends with that runtime.
    async fn start_here(options: Options, patience: Patience, transport: Box<dyn Transport>) -> Result<Self, Error> {
        let listen = |source| Error::Listen { address: options.listen, source };
        let listener = transport.listen(options.listen).await.map_err(listen)?;
        let address = listener.address().map_err(listen)?;
        let (registry, connections) = Default::default();
        let inner = Arc::new(Inner { options, patience, transport, registry, connections });
        tokio::spawn(inner.clone().listen(listener));
        tokio::spawn(inner.clone().tick());
        Ok(Self { address, inner, handle: Handle::current(), runtime: Mutex::default() })
    }

    /// Says which cluster it belongs to; the first word holds.
    ///
    /// # Panics
    /// If the cluster's name is too long.
    pub fn join(&self, cluster: &str) {
        let bytes = cluster.len();
        assert!(bytes <= wire::CLUSTER_BYTES_MAX, "a cluster's name of {bytes} bytes");
        self.inner.options.cluster.get_or_init(|| cluster.to_owned());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, which fails the attempts that have channels on them, and ends its threads.
    pub fn shut_down(&self) {
        let (peers, incoming) = {
            let mut connections = self.inner.connections();
            connections.shut_down = true;
            (std::mem::take(&mut connections.peers), std::mem::take(&mut connections.incoming))
        };
        peers.values().for_each(|peer| peer.end(shut_down()));
        incoming.iter().for_each(|incoming| incoming.end(SHUT_DOWN));
        let waiting = self.inner.registry().waiting_for_others();
        waiting.iter().for_each(|life| life.fail(shut_down()));
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }

    /// What has gone over the connections that stand.
    pub fn connections(&self) -> Vec<ConnectionTotals> {
        let connections = self.inner.connections();
        let outgoing = connections.peers.values().map(|peer| totals(peer.name(), true, (&peer.heard, &peer.out), 0));
        let incoming = connections.incoming.iter();
        let incoming = incoming.map(|i| totals(i.name().to_owned(), false, (&i.heard, &i.out), i.late()));
        outgoing.chain(incoming).collect()
    }

    /// Opens the channels of an attempt to others, who may have been waiting.
    pub(crate) fn register(&self, placement: &Placement, life: &Arc<Life>, inlets: Inlets) -> Registration {
        let Placement { job, attempt, here, .. } = *placement;
        let registered = self.inner.registry().register((job, attempt), life, inlets);
        match registered {
            Some((answers, before)) => {
                before.iter().for_each(close_stopped);
                for (channel, answer) in answers {
                    if let Some(incoming) = channel.incoming.upgrade() {
                        incoming.answer(channel.number, answer);
                    }
                }
            }
            None => {
                let reason = format!("{attempt} of {job} or a later one has run here before");
                life.fail(Failure::Unreachable { peer: here.to_string(), reason });
            }
        }
        Registration { inner: self.inner.clone(), job, attempt }
    }

    /// Opens a channel to a subtask elsewhere. Does not wait for the connection.
    pub(crate) fn sender(&self, place: &Place, open: Open, layout: &Arc<Layout>, life: &Arc<Life>) -> Sender {
        let outlet = loop {
            let peer = self.peer(place);
            if let Some(outlet) = peer.open(open, life) {
                break outlet;
            }
            self.inner.connections().peers.retain(|_, known| !Arc::ptr_eq(known, &peer));
        };
        if self.inner.connections().shut_down {
            life.fail(shut_down());
        }
        life.add(crate::life::Stopper::Outlet(outlet.clone()));
        Sender::new(outlet, life.clone(), Encoder::new(layout.clone()))
    }

    fn peer(&self, place: &Place) -> Arc<Peer> {
        let mut connections = self.inner.connections();
        if let Some(peer) = connections.peers.get(place) {
            return peer.clone();
        }
        let peer = Arc::new(Peer::new(place.clone(), &self.inner.options));
        if !connections.shut_down {
            connections.peers.insert(place.clone(), peer.clone());
            let (peer, inner) = (peer.clone(), self.inner.clone());
            self.handle.spawn(async move {
                let (serving, within) = (peer.clone(), inner.clone());
                let served = tokio::spawn(async move { serving.run(&within).await }).await;
                if served.is_err() {
                    peer.end(Failure::Lost { peer: peer.name(), reason: PANICKED.to_owned() });
                }
                inner.connections().peers.retain(|_, known| !Arc::ptr_eq(known, &peer));
            });
        }
        peer
    }
}

/// Why connections end with the network itself.
const SHUT_DOWN: &str = "this TaskManager ends";

/// Why a connection ends that was served badly.
const PANICKED: &str = "what serves it panicked";

fn shut_down() -> Failure {
    Failure::Lost { peer: "the others".to_owned(), reason: SHUT_DOWN.to_owned() }
}

fn totals(
    peer: String,
    outgoing: bool,
    (heard, out): (&link::Heard, &outbound::Outbound),
    late_frames: u64,
) -> ConnectionTotals {
    let ((frames_in, bytes_in), (frames_out, bytes_out)) = (heard.totals(), out.written());
    let queued_bytes = out.queued_bytes() as u64;
    ConnectionTotals { peer, outgoing, frames_in, frames_out, bytes_in, bytes_out, queued_bytes, late_frames }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let channels = self.inner.registry().release(self.job, self.attempt);
        channels.iter().for_each(close_stopped);
    }
}

/// Closes a channel whose attempt has ended here.
fn close_stopped(channel: &registry::Channel) {
    if let Some(incoming) = channel.incoming.upgrade() {
        incoming.close(channel.number, Reason::Stopped, "");
    }
}

impl Inner {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self: Arc<Self>, listener: Box<dyn Listener>) {
        let (all, strangers) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(STRANGERS_MAX)));
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                // No descriptors are left, or the like: it passes or it does not.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let permits = (all.clone().try_acquire_owned(), strangers.clone().try_acquire_owned());
            // One too many is closed at once; whoever means it tries again.
            let (Ok(one), Ok(stranger)) = permits else { continue };
            let inner = self.clone();
            tokio::spawn(async move {
                let _one = one;
                let greeted = timeout(inner.patience.handshake, inner.greet(stream, from)).await;
                drop(stranger);
                if let Ok(Some((link, incoming))) = greeted {
                    let receiving = incoming.clone();
                    let received = tokio::spawn(async move { inner.receive(link, &receiving).await }).await;
                    if received.is_err() {
                        incoming.end(PANICKED);
                    }
                }
            });
        }
    }

    /// Finds out who has connected, and lets him in or not.
    async fn greet(&self, stream: Box<dyn Stream>, from: SocketAddr) -> Option<(Link, Arc<Incoming>)> {
        let checksum = checksum(self.options.tls.as_ref());
        let mut link = Link::accept(stream, self.options.tls.as_ref()).await.ok()?;
        let heard = link::Heard::default();
        let Ok(Frame::Hello(hello)) = link.reader.frame(&heard).await else { return None };
        if let Some(words) = self.options.refuses(&hello) {
            let refusal = Frame::Close { channel: 0, reason: Reason::NotMeant, words: words.to_owned() };
            // Whoever does not read it is closed all the same.
            let _ = link.write(&refusal, checksum).await;
            return None;
        }
        link.write(&Frame::Hello(self.options.hello(hello.from)), checksum).await.ok()?;
        Some((link, Incoming::new(format!("{} at {from}", hello.from.taskmanager), checksum)))
    }

    async fn receive(&self, link: Link, incoming: &Arc<Incoming>) {
        {
            let mut connections = self.connections();
            if connections.shut_down {
                return;
            }
            connections.incoming.push(incoming.clone());
        }
        let register = |open, channel| self.registry().open(open, channel);
        let reason = link.run(&incoming.out, &incoming.heard, |frame| incoming.handle(frame, register)).await;
        incoming.end(&reason);
        self.connections().incoming.retain(|known| !Arc::ptr_eq(known, incoming));
    }

    /// Once a second: looks after connections that are silent and channels that wait.
    async fn tick(self: Arc<Self>) {
        let mut seconds = interval(Duration::from_secs(1));
        // After a pause of the whole process what came in it has to be read before silence is seen.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            let late = self.registry().tick();
            for channel in late {
                if let Some(incoming) = channel.incoming.upgrade() {
                    incoming.close(channel.number, Reason::NotStarted, "its attempt did not start there in time");
                }
            }
            let (peers, incoming): (Vec<_>, Vec<_>) = {
                let connections = self.connections();
                (connections.peers.values().cloned().collect(), connections.incoming.clone())
            };
            for peer in peers.iter().filter(|peer| peer.is_connected()) {
                if let Some(reason) = peer.heard.tick(&peer.out) {
                    peer.end(Failure::Lost { peer: peer.name(), reason });
                }
            }
            for incoming in incoming {
                if let Some(reason) = incoming.heard.tick(&incoming.out) {
                    incoming.end(&reason);
                }
            }
        }
    }
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
