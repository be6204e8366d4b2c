//! Two data planes on loopback: order, credit, stopping, loss, and strangers.

use std::{
    io::{Read, Write},
    net::TcpStream as StdStream,
    path::Path,
    thread,
    time::Instant,
};

use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};
use wasmill_model::{Batch, DataType, Field};
use wasmill_wire::{Checksum, Decoder};

use super::*;
use crate::{
    exchange::{Element, Gate, Received, Stopped, gate},
    life::Stopper,
    signal::Wish,
    tls::{Authority, TlsFiles},
};

const PATIENCE: Patience = Patience { connect: Duration::from_millis(50), handshake: Duration::from_secs(5) };
const JOB: JobId = JobId(7);

fn options(taskmanager: u64) -> Options {
    Options {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: None,
        cluster: "test".to_owned().into(),
        taskmanager: TaskManagerId(taskmanager),
        incarnation: Incarnation(taskmanager + 100),
    }
}

fn start(options: Options) -> Network {
    Network::start_with(options, PATIENCE).expect("loopback can be listened on")
}

fn place(network: &Network) -> Place {
    let Identity { taskmanager, incarnation } = network.inner.options.identity();
    Place { taskmanager, incarnation, address: network.address().to_string() }
}

fn layout() -> Arc<Layout> {
    Arc::new(Layout::new(&[Field::new("n", DataType::Int64)], &[true], false, false))
}

fn open(attempt: u64, writer: u32) -> Open {
    let (attempt, layout) = (Attempt(attempt), layout().fingerprint());
    Open { job: JOB, attempt, edge: 3, writer, reader: 0, layout }
}

/// The subtask that reads, with a gate for so many writers elsewhere.
struct Receiver {
    life: Arc<Life>,
    gate: Gate,
    registration: Registration,
}

fn receiver(network: &Network, attempt: u64, writers: u32) -> Receiver {
    let life = Arc::new(Life::new());
    let (gate, senders) = gate(writers as usize);
    life.add(Stopper::Gate(gate.stopper()));
    let inlet = |(writer, sender): (usize, crate::exchange::LocalSender)| {
        (open(attempt, writer as u32), (sender.into_inlet(), layout()))
    };
    let inlets = senders.into_iter().enumerate().map(inlet).collect();
    let here = network.inner.options.taskmanager;
    let placement = Placement { job: JOB, attempt: Attempt(attempt), here, places: Vec::new() };
    let registration = network.register(&placement, &life, inlets);
    Receiver { life, gate, registration }
}

fn sender(network: &Network, to: &Place, open: Open) -> (Sender, Arc<Life>) {
    let life = Arc::new(Life::new());
    (network.sender(to, open, &layout(), &life), life)
}

fn batch(values: std::ops::Range<i64>) -> Element {
    let rows = (values.end - values.start) as usize;
    Element::Batch(Batch::new(rows, vec![Arc::new(Int64Array::from_iter_values(values))]))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Takes all rows until the end of a channel; control comes as text.
fn all(gate: &Gate) -> (Vec<i64>, Vec<String>) {
    let (mut rows, mut control) = (Vec::new(), Vec::new());
    loop {
        match gate.receive(Some(Instant::now() + Duration::from_secs(60))) {
            Received::Element { element: Element::Batch(batch), .. } => {
                rows.extend(batch.column(0).as_primitive::<Int64Type>().values());
            }
            Received::Element { element: Element::End, .. } => return (rows, control),
            Received::Element { element, .. } => control.push(format!("{element:?} behind {}", rows.len())),
            other => panic!("found {other:?} behind {} rows", rows.len()),
        }
    }
}

fn failure(life: &Life) -> Failure {
    until("the attempt fails", || life.signal.failure().is_some());
    life.signal.failure().expect("it has failed")
}

fn transfer(from: &Network, to: &Network) {
    let receiver = receiver(to, 1, 1);
    let (sender, life) = sender(from, &place(to), open(1, 0));
    let writer = thread::spawn(move || {
        for start in 0..300 {
            sender.send(batch(start * 2_000..(start + 1) * 2_000))?;
            if start == 99 {
                sender.send(Element::Watermark(5))?;
                sender.send(Element::Idle)?;
            }
        }
        sender.send(Element::End)
    });
    let (rows, control) = all(&receiver.gate);
    assert_eq!(writer.join().expect("it does not panic"), Ok(()));
    assert!(rows.iter().copied().eq(0..600_000), "{} rows", rows.len());
    assert_eq!(control, ["Watermark(5) behind 200000", "Idle behind 200000"]);
    assert_eq!((life.signal.failure(), receiver.life.signal.failure()), (None, None));
}

#[test]
fn rows_arrive_in_order_and_control_keeps_its_place() {
    let (one, two) = (start(options(1)), start(options(2)));
    transfer(&one, &two);
    // OPEN, 300 batches, watermark, idleness and end.
    until("all is written", || one.connections()[0].frames_out >= 304 && one.connections()[0].queued_bytes == 0);
    let totals = one.connections();
    let [ConnectionTotals { outgoing: true, bytes_out, .. }] = totals[..] else { panic!("found {totals:?}") };
    assert!(bytes_out > 600_000 * 8, "{totals:?}");
    until("all has been counted", || two.connections().iter().map(|c| c.bytes_in).sum::<u64>() + 100 > bytes_out);
}

#[test]
fn attempts_come_one_after_another_on_one_connection() {
    let (one, two) = (start(options(1)), start(options(2)));
    for attempt in 1..50 {
        let receiver = receiver(&two, attempt, 1);
        let (sender, _) = sender(&one, &place(&two), open(attempt, 0));
        sender.send(batch(0..10)).expect("nobody stops it");
        sender.send(Element::End).expect("nobody stops it");
        assert_eq!(all(&receiver.gate).0.len(), 10);
        drop(receiver.registration);
    }
    assert_eq!(one.connections().len(), 1);
    let peers: Vec<Arc<Peer>> = one.inner.connections().peers.values().cloned().collect();
    until("all channels are forgotten", || peers[0].channels() == 0);
}

#[test]
fn a_sender_that_is_early_waits_for_the_attempt() {
    let (one, two) = (start(options(1)), start(options(2)));
    let (sender, _life) = sender(&one, &place(&two), open(1, 0));
    sender.send(Element::Watermark(1)).expect("control needs no credit");
    sender.send(Element::Watermark(2)).expect("control needs no credit");
    let writer = thread::spawn(move || sender.send(batch(0..10)).and_then(|()| sender.send(Element::End)));
    until("the channel waits", || two.inner.registry().is_waited_for());
    let receiver = receiver(&two, 1, 1);
    let (rows, control) = all(&receiver.gate);
    assert_eq!((rows.len(), control.last()), (10, Some(&"Watermark(2) behind 0".to_owned())));
    assert_eq!(writer.join().expect("it does not panic"), Ok(()));
}

/// One reader stands still: what is under way stays within its credit, and its neighbour on the same connection notices nothing.
#[test]
fn a_reader_that_stands_still_stops_its_writer_and_nobody_else() {
    let (one, two) = (start(options(1)), start(options(2)));
    let still = receiver(&two, 1, 1);
    let (sender, life) = sender(&one, &place(&two), open(1, 0));
    let writer = thread::spawn(move || (0..10_000).try_for_each(|n| sender.send(batch(n * 2_000..(n + 1) * 2_000))));
    let meter = still.gate.meter();
    until("the window is used", || meter.queued()[0].0 == 8);
    let other = JobId(8);
    let (gate, mut senders) = gate(1);
    let open = Open { job: other, ..open(1, 0) };
    let other_life = Arc::new(Life::new());
    let placement = Placement { job: other, attempt: Attempt(1), here: TaskManagerId(2), places: Vec::new() };
    let inlets = [(open, (senders.remove(0).into_inlet(), layout()))].into_iter().collect();
    let _registration = two.register(&placement, &other_life, inlets);
    let neighbour = one.sender(&place(&two), open, &layout(), &other_life);
    let speaks = thread::spawn(move || {
        (0..100)
            .try_for_each(|n| neighbour.send(batch(n..n + 1)).and_then(|()| neighbour.send(Element::Watermark(n))))?;
        neighbour.send(Element::End)
    });
    assert_eq!(all(&gate).0.len(), 100);
    assert_eq!(speaks.join().expect("it does not panic"), Ok(()));
    until("all is written", || one.connections()[0].queued_bytes == 0);
    assert_eq!(meter.queued()[0].0, 8, "nothing more came");
    // Stopping wakes the writer, who waits for credit.
    life.raise(Wish::Stop);
    assert_eq!(writer.join().expect("it does not panic"), Err(Stopped));
    assert_eq!(still.life.signal.failure(), None, "the JobManager stops it, not the network");
}

#[test]
fn an_attempt_that_is_stopped_leaves_its_writers_waiting_and_drops_what_is_late() {
    let (one, two) = (start(options(1)), start(options(2)));
    let receiver = receiver(&two, 1, 1);
    let (sender, life) = sender(&one, &place(&two), open(1, 0));
    sender.send(batch(0..2_000)).expect("has credit");
    until("it has arrived", || receiver.gate.meter().queued()[0].0 == 1);
    receiver.life.raise(Wish::Stop);
    drop(receiver.registration);
    let peers: Vec<Arc<Peer>> = one.inner.connections().peers.values().cloned().collect();
    until("the channel is closed", || peers[0].channels() == 0);
    sender.send(Element::Watermark(1)).expect("it is let fall");
    sender.send(Element::End).expect("it is let fall");
    let writer = thread::spawn(move || sender.send(batch(0..1)));
    assert_eq!(life.signal.failure(), None);
    life.raise(Wish::Stop);
    assert_eq!(writer.join().expect("it does not panic"), Err(Stopped));
    transfer_of_another_job(&one, &two);
}

fn transfer_of_another_job(one: &Network, two: &Network) {
    let receiver = receiver(two, 2, 1);
    let (sender, _) = sender(one, &place(two), open(2, 0));
    sender.send(batch(0..9)).expect("nobody stops it");
    sender.send(Element::End).expect("nobody stops it");
    assert_eq!(all(&receiver.gate).0.len(), 9);
}

#[test]
fn a_lost_connection_fails_both_sides() {
    let (one, two) = (start(options(1)), start(options(2)));
    let receiver = receiver(&two, 1, 1);
    let (sender, life) = sender(&one, &place(&two), open(1, 0));
    sender.send(batch(0..10)).expect("has credit");
    until("it has arrived", || receiver.gate.meter().queued()[0].0 == 1);
    let writer = thread::spawn(move || (0..).find_map(|n| sender.send(batch(n..n + 2_000)).err()));
    two.shut_down();
    assert!(matches!(failure(&life), Failure::Lost { peer, .. } if peer.starts_with("taskmanager-2 at 127.0.0.1:")));
    assert!(matches!(failure(&receiver.life), Failure::Lost { .. }));
    assert_eq!(writer.join().expect("it does not panic"), Some(Stopped));
    assert!(matches!(receiver.gate.receive(None), Received::Stopped));
}

#[test]
fn a_channel_that_has_ended_depends_on_nothing() {
    let (one, two) = (start(options(1)), start(options(2)));
    let receiver = receiver(&two, 1, 1);
    let (sender, life) = sender(&one, &place(&two), open(1, 0));
    sender.send(Element::End).expect("nobody stops it");
    all(&receiver.gate);
    let peers: Vec<Arc<Peer>> = one.inner.connections().peers.values().cloned().collect();
    until("the end has been confirmed", || peers[0].channels() == 0);
    two.shut_down();
    until("the connection is gone", || one.connections().is_empty());
    assert_eq!((life.signal.failure(), receiver.life.signal.failure()), (None, None));
}

#[test]
fn an_attempt_that_commits_no_longer_depends_on_the_network() {
    let (one, two) = (start(options(1)), start(options(2)));
    let receiver = receiver(&two, 1, 1);
    let (_sender, life) = sender(&one, &place(&two), open(1, 0));
    until("the channel is open", || one.connections()[0].bytes_in > 100);
    receiver.life.raise(Wish::Commit);
    one.shut_down();
    assert!(matches!(failure(&life), Failure::Lost { .. }));
    until("the connection is gone", || two.connections().is_empty());
    assert_eq!((receiver.life.signal.get(), receiver.life.signal.failure()), (Wish::Commit, None));
}

#[test]
fn who_is_not_meant_is_refused() {
    let network = start(options(1));
    let other_cluster = start(Options { cluster: "other".to_owned().into(), ..options(2) });
    let refused = |place: &Place| {
        let (_sender, life) = sender(&network, place, open(1, 0));
        match failure(&life) {
            Failure::Unreachable { reason, .. } => reason,
            other => panic!("found {other:?}"),
        }
    };
    assert_eq!(refused(&place(&other_cluster)), "it belongs to another cluster");
    let nobody = Place { address: "127.0.0.1:1".to_owned(), ..place(&other_cluster) };
    assert!(refused(&nobody).contains("refused"), "nobody listens there");
    let three = start(options(3));
    assert!(refused(&Place { incarnation: Incarnation(1), ..place(&three) }).contains("another life of it"));
    let _newer = receiver(&three, 5, 1);
    assert_eq!(refused(&place(&three)), "its attempt has ended here");
    let (_sender, life) = sender(&network, &place(&three), open(5, 9));
    assert!(matches!(failure(&life), Failure::Unreachable { reason, .. } if reason.contains("no such channel")));
    let again = receiver(&three, 5, 1);
    assert!(matches!(failure(&again.life), Failure::Unreachable { .. }), "an attempt runs once");
}

/// Reads until the other side closes; true if it does.
fn is_closed(stream: &mut StdStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it can be set");
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn strangers_are_closed_and_others_served() {
    let (one, two) = (start(options(1)), start(options(2)));
    let mut silent = StdStream::connect(two.address()).expect("it listens");
    silent.write_all(&[1]).expect("it can be written");
    for garbage in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0xff; 4_096], &[0; 24]] {
        let mut stream = StdStream::connect(two.address()).expect("it listens");
        stream.write_all(garbage).expect("it can be written");
        assert!(is_closed(&mut stream));
    }
    transfer(&one, &two);
    assert!(is_closed(&mut silent), "who does not say who he is is closed after a while");
}

/// Speaks the protocol by hand.
struct Client {
    stream: StdStream,
    decoder: Decoder,
}

impl Client {
    fn connect(to: &Network) -> Self {
        let stream = StdStream::connect(to.address()).expect("it listens");
        let mut client = Self { stream, decoder: Decoder::new(Checksum::Crc32c) };
        let hello = Hello {
            from: options(9).identity(),
            to: to.inner.options.identity(),
            ..options(9).hello(options(9).identity())
        };
        client.write(&Frame::Hello(hello));
        assert!(matches!(client.read(), Some(Frame::Hello(_))));
        client
    }

    fn write(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.write(Checksum::Crc32c, &mut bytes);
        // A connection that was closed on the other side is seen when reading.
        let _ = self.stream.write_all(&bytes);
    }

    /// The next frame that is no PING; `None` if the connection was closed.
    fn read(&mut self) -> Option<Frame> {
        loop {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            match self.decoder.feed(&mut &byte[..]).expect("it speaks the protocol") {
                Some(Frame::Ping) | None => {}
                frame => return frame,
            }
        }
    }

    fn data(&mut self, sequence: u64, body: Vec<u8>, more: bool) {
        self.write(&Frame::Data { channel: 1, sequence, more, body });
    }
}

fn body() -> Vec<u8> {
    let Element::Batch(batch) = batch(0..100) else { panic!("it is a batch") };
    let (pieces, _) = Encoder::new(layout()).encode(&batch).expect("it is small").frames(1, 0, Checksum::None);
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_slice()).copied().collect();
    bytes[wasmill_wire::HEADER_BYTES..].to_vec()
}

#[test]
fn who_breaks_the_protocol_loses_the_connection() {
    type Case = (&'static str, fn(&mut Client));
    let cases: [Case; 7] = [
        ("more came than there was credit for", |c| (0..9).for_each(|n| c.data(n, body(), false))),
        ("a batch has more than", |c| (0..65).for_each(|n| c.data(n, vec![0; 1 << 20], true))),
        ("frame 1 came where 0 was expected", |c| c.data(1, body(), false)),
        ("a batch is not well-formed", |c| c.data(0, vec![0xff; 500], false)),
        ("opened out of order", |c| c.write(&Frame::Open { channel: 1, open: open(1, 0) })),
        ("not for the side that receives", |c| c.write(&Frame::Credit { channel: 1, batches: 1, bytes: 1 })),
        ("which is not open", |c| c.write(&Frame::Idle { channel: 2 })),
    ];
    for (words, breaks) in cases {
        let network = start(options(1));
        let receiver = receiver(&network, 1, 1);
        let mut client = Client::connect(&network);
        client.write(&Frame::Open { channel: 1, open: open(1, 0) });
        assert_eq!(client.read(), Some(Frame::Credit { channel: 1, batches: 8, bytes: 4 << 20 }));
        breaks(&mut client);
        assert_eq!(client.read(), None, "{words}");
        match failure(&receiver.life) {
            Failure::Lost { reason, .. } => assert!(reason.contains(words), "{reason}"),
            other => panic!("found {other:?}"),
        }
    }
}

#[test]
fn what_comes_late_is_counted_and_let_fall() {
    let network = start(options(1));
    let receiver = receiver(&network, 1, 1);
    let mut client = Client::connect(&network);
    client.write(&Frame::Open { channel: 1, open: open(1, 0) });
    assert!(matches!(client.read(), Some(Frame::Credit { .. })));
    drop(receiver.registration);
    let close = Frame::Close { channel: 1, reason: Reason::Stopped, words: String::new() };
    assert_eq!(client.read(), Some(close.clone()));
    client.data(0, body(), false);
    client.write(&Frame::Watermark { channel: 1, time: 5 });
    client.write(&close);
    until("both are counted", || network.connections()[0].late_frames == 2);
    // Behind the CLOSE of its writer nothing of the channel may come.
    client.write(&Frame::Idle { channel: 1 });
    assert_eq!(client.read(), None);
}

/// Identities of two authorities, in a folder.
pub(super) fn tls(folder: &Path, cluster: &str) -> Tls {
    let authority = Authority::new(cluster).expect("there is randomness");
    authority.identity().write(folder, cluster).expect("the folder can be written");
    let name = format!("{cluster}-node");
    authority.sign("node", &["127.0.0.1".to_owned()]).expect("it signs").write(folder, &name).expect("it is written");
    let file = |name: String| folder.join(name);
    let files = TlsFiles {
        ca: file(format!("{cluster}.pem")),
        certificate: file(format!("{name}.pem")),
        key: file(format!("{name}.key")),
    };
    Tls::from_files(&files).expect("they belong together")
}

#[test]
fn with_tls_both_sides_show_certificates_of_one_authority() {
    let folder = tempfile::tempdir().expect("there is room");
    let (ours, other) = (tls(folder.path(), "ours"), tls(folder.path(), "other"));
    let with = |id: u64, tls: Option<&Tls>| start(Options { tls: tls.cloned(), ..options(id) });
    let (one, two) = (with(1, Some(&ours)), with(2, Some(&ours)));
    transfer(&one, &two);
    for stranger in [with(3, None), with(4, Some(&other))] {
        let (_sender, life) = sender(&stranger, &place(&two), open(9, 0));
        assert!(matches!(failure(&life), Failure::Unreachable { .. }));
        let (_sender, life) = sender(&one, &place(&stranger), open(9, 0));
        assert!(matches!(failure(&life), Failure::Unreachable { .. }));
    }
}

#[test]
fn rows_too_large_for_a_frame_travel_and_those_too_large_for_a_batch_fail() {
    let (one, two) = (start(options(1)), start(options(2)));
    let layout = Arc::new(Layout::new(&[Field::new("text", DataType::Utf8)], &[true], false, false));
    let receive = |attempt: u64| {
        let (gate, mut senders) = gate(1);
        let open = Open { layout: layout.fingerprint(), ..open(attempt, 0) };
        let placement = Placement { job: JOB, attempt: Attempt(attempt), here: TaskManagerId(2), places: Vec::new() };
        let life = Arc::new(Life::new());
        let inlets = [(open, (senders.remove(0).into_inlet(), layout.clone()))].into_iter().collect();
        let registration = two.register(&placement, &life, inlets);
        let sender = one.sender(&place(&two), open, &layout, &life);
        (gate, registration, sender, life)
    };
    let rows = |bytes: usize| {
        let text = "x".repeat(bytes);
        let values = arrow_array::StringViewArray::from_iter_values([text.as_str(), text.as_str(), "short"]);
        Element::Batch(Batch::new(3, vec![Arc::new(values)]))
    };
    let (gate, _registration, sender, _life) = receive(1);
    let writer = thread::spawn(move || sender.send(rows(20 << 20)).and_then(|()| sender.send(Element::End)));
    let (mut lengths, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    while let Received::Element { element: Element::Batch(batch), .. } = gate.receive(Some(deadline)) {
        lengths.extend(batch.column(0).as_string_view().lengths());
    }
    assert_eq!(lengths, [20 << 20, 20 << 20, 5]);
    assert_eq!(writer.join().expect("it does not panic"), Ok(()));
    let (_gate, _registration, sender, life) = receive(2);
    assert_eq!(sender.send(rows(40 << 20)), Err(Stopped));
    assert!(matches!(failure(&life), Failure::RowTooLarge { .. }));
}
