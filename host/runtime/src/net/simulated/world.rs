//! TaskManagers' data planes on the hosts of a simulated network, and an attempt that runs on all of them.
//!
//! What is asynchronous runs in the simulation, in its time. Subtasks are threads, as they are in earnest; they know of no time,
//! and the simulation may be far ahead of them.

use std::{
    future,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use turmoil::{Builder, Sim};
use wasmill_model::ids::{Attempt, Incarnation, JobId, TaskManagerId};
use wasmill_wire::Open;

use super::{
    script::{Random, Reading, Script, layout},
    transport::Simulated,
};
use crate::{
    exchange::{Element, Received, gate},
    life::{Failure, Life, Stopper},
    net::{Network, Options, Patience, Registration, Sender, tests},
    placement::{Place, Placement},
    signal::Wish,
    tls::Tls,
};

const NAMES: [&str; 3] = ["one", "two", "three"];
const PORT: u16 = 7_000;
const JOB: JobId = JobId(7);

/// A step of the simulation.
const STEP: Duration = Duration::from_millis(10);

/// How long threads that have been stopped may take, in earnest.
const JOIN_SECONDS_MAX: u64 = 60;

/// How a world is made.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) hosts: usize,
    pub(super) tls: bool,
    /// A message takes so long at most.
    pub(super) latency_max: Duration,
}

/// Hosts, each with a data plane.
pub(super) struct World {
    pub(super) sim: Sim<'static>,
    hosts: Vec<Host>,
}

struct Host {
    transport: Simulated,
    /// Of its last life.
    network: Arc<Mutex<Option<Arc<Network>>>>,
    is_down: bool,
}

/// The name of a host.
pub(super) fn name(host: usize) -> &'static str {
    NAMES[host]
}

/// Where a host listens.
pub(super) fn address(host: usize) -> String {
    format!("{}:{PORT}", name(host))
}

/// One identity for all hosts.
fn identity() -> Tls {
    static IDENTITY: OnceLock<Tls> = OnceLock::new();
    let make = || tests::tls(tempfile::tempdir().expect("there is room").path(), "simulated");
    IDENTITY.get_or_init(make).clone()
}

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let mut sim = Builder::new()
            .rng_seed(setup.seed)
            .tick_duration(STEP)
            .simulation_duration(Duration::MAX)
            .max_message_latency(setup.latency_max)
            .enable_random_order()
            .build();
        let tls = setup.tls.then(identity);
        let hosts = (0..setup.hosts).map(|host| Host::new(&mut sim, host, tls.as_ref())).collect();
        let mut world = Self { sim, hosts };
        world.listens();
        world
    }

    /// Lets time go on until all hosts listen.
    fn listens(&mut self) {
        while self.hosts.iter().any(|host| host.network().is_none()) {
            self.step();
        }
    }

    pub(super) fn step(&mut self) {
        self.sim.step().expect("no host ends by itself");
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Channels whose writers do not know yet that they have come to their ends.
    pub(super) fn channels(&self) -> usize {
        let networks = self.hosts.iter().filter(|host| !host.is_down).filter_map(Host::network);
        let of = |network: Arc<Network>| {
            network.inner.connections().peers.values().map(|peer| peer.channels()).sum::<usize>()
        };
        networks.map(of).sum()
    }

    pub(super) fn transport(&self, host: usize) -> &Simulated {
        &self.hosts[host].transport
    }

    pub(super) fn is_down(&self, host: usize) -> bool {
        self.hosts[host].is_down
    }

    /// Ends the process of a host.
    pub(super) fn crash(&mut self, host: usize) {
        self.hosts[host].is_down = true;
        self.sim.crash(name(host));
    }

    /// Starts what has crashed once more.
    pub(super) fn revive(&mut self) {
        for (number, host) in self.hosts.iter_mut().enumerate().filter(|(_, host)| host.is_down) {
            host.is_down = false;
            host.network.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.sim.bounce(name(number));
        }
        self.listens();
    }

    fn network(&self, host: usize) -> Arc<Network> {
        self.hosts[host].network().expect("it has started")
    }

    fn place(&self, host: usize) -> Place {
        let identity = self.network(host).inner.options.identity();
        Place { taskmanager: identity.taskmanager, incarnation: identity.incarnation, address: address(host) }
    }
}

impl Host {
    fn new(sim: &mut Sim<'static>, number: usize, tls: Option<&Tls>) -> Self {
        let (transport, network) = (Simulated::default(), Arc::<Mutex<Option<Arc<Network>>>>::default());
        let (there, slot, lives, tls) = (transport.clone(), network.clone(), AtomicU64::new(0), tls.cloned());
        sim.host(name(number), move || {
            let options = Options {
                listen: (Ipv4Addr::UNSPECIFIED, PORT).into(),
                tls: tls.clone(),
                cluster: "test".to_owned().into(),
                taskmanager: TaskManagerId(number as u64),
                incarnation: Incarnation(lives.fetch_add(1, Ordering::SeqCst)),
            };
            let (there, slot) = (there.clone(), slot.clone());
            async move {
                let network = Network::start_here(options, Patience::default(), Box::new(there)).await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(network));
                future::pending().await
            }
        });
        Self { transport, network, is_down: false }
    }

    fn network(&self) -> Option<Arc<Network>> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the threads of an attempt tell.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Grows with all that a thread does.
    pulse: AtomicU64,
    wrong: Mutex<Option<String>>,
}

impl Watch {
    fn beat(&self) {
        self.pulse.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn pulse(&self) -> u64 {
        self.pulse.load(Ordering::SeqCst)
    }

    /// What came that was not sent, or did not come though it was.
    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A channel from one host to another.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) writer: usize,
    pub(super) reader: usize,
    script: Arc<Script>,
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Channel {
    /// Whether anything of it has come to its reader.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether its reader has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// An attempt on all hosts.
pub(super) struct Run {
    attempt: Attempt,
    pub(super) channels: Vec<Arc<Channel>>,
    parts: Vec<Option<Part>>,
    pub(super) watch: Arc<Watch>,
}

/// An attempt on one host.
struct Part {
    life: Arc<Life>,
    threads: Vec<JoinHandle<()>>,
    registration: Option<Registration>,
}

impl Run {
    /// Between every two hosts one to three channels each way.
    pub(super) fn new(attempt: u64, hosts: usize, random: &mut Random) -> Self {
        let mut channels = Vec::new();
        for (writer, reader) in (0..hosts).flat_map(|w| (0..hosts).map(move |r| (w, r))).filter(|(w, r)| w != r) {
            for _ in 0..random.within(1..4) {
                let script = Arc::new(Script::new(random, channels.len()));
                let (begun, ended) = Default::default();
                channels.push(Arc::new(Channel { writer, reader, script, begun, ended }));
            }
        }
        let parts = (0..hosts).map(|_| None).collect();
        Self { attempt: Attempt(attempt), channels, parts, watch: Arc::default() }
    }

    pub(super) fn has_started(&self, host: usize) -> bool {
        self.parts[host].is_some()
    }

    /// Starts it on one host: opens its channels, lets others in, and starts its subtasks, one that reads and one for each
    /// channel that writes.
    pub(super) fn start(&mut self, world: &World, host: usize) {
        let (network, life) = (world.network(host), Arc::new(Life::new()));
        let with_number = || self.channels.iter().enumerate();
        let senders: Vec<(Sender, Arc<Channel>)> = with_number()
            .filter(|(_, channel)| channel.writer == host)
            .map(|(number, channel)| {
                let place = world.place(channel.reader);
                (network.sender(&place, self.open(number), &layout(), &life), channel.clone())
            })
            .collect();
        let reads: Vec<usize> = with_number().filter(|(_, c)| c.reader == host).map(|(number, _)| number).collect();
        let (gate, inlets) = gate(reads.len());
        life.add(Stopper::Gate(gate.stopper()));
        let inlet = |(&number, sender): (&usize, crate::exchange::LocalSender)| {
            (self.open(number), (sender.into_inlet(), layout()))
        };
        let inlets = reads.iter().zip(inlets).map(inlet).collect();
        let here = TaskManagerId(host as u64);
        let placement = Placement { job: JOB, attempt: self.attempt, here, places: Vec::new() };
        let registration = Some(network.register(&placement, &life, inlets));
        let readings: Vec<_> = reads.iter().map(|&number| Subtask::reading(&self.channels[number])).collect();
        let watch = self.watch.clone();
        let mut threads = vec![thread::spawn(move || Subtask { readings, watch }.read(&gate))];
        threads.extend(senders.into_iter().map(|(sender, channel)| {
            let watch = self.watch.clone();
            thread::spawn(move || write(&sender, &channel.script, &watch))
        }));
        self.parts[host] = Some(Part { life, threads, registration });
    }

    fn open(&self, channel: usize) -> Open {
        let reader = self.channels[channel].reader as u32;
        let layout = layout().fingerprint();
        Open { job: JOB, attempt: self.attempt, edge: 3, writer: channel as u32, reader, layout }
    }

    pub(super) fn failure(&self, host: usize) -> Option<Failure> {
        self.parts[host].as_ref().and_then(|part| part.life.signal.failure())
    }

    /// Whether its subtasks on a host have nothing more to do, and the channels from there have come to their ends.
    pub(super) fn is_done(&self, host: usize) -> bool {
        let is_idle = |part: &Part| part.threads.iter().all(JoinHandle::is_finished);
        let mut written = self.channels.iter().filter(|channel| channel.writer == host);
        self.parts[host].as_ref().is_some_and(is_idle) && written.all(|channel| channel.has_ended())
    }

    /// Stops it on a host, as the JobManager does, or because the process there is gone.
    pub(super) fn stop(&mut self, host: usize) {
        if let Some(part) = &mut self.parts[host] {
            part.life.raise(Wish::Stop);
            part.registration = None;
        }
    }

    /// Waits for its threads, which have been stopped or have come to their ends.
    pub(super) fn join(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(JOIN_SECONDS_MAX);
        for handle in self.parts.iter_mut().flatten().flat_map(|part| part.threads.drain(..)) {
            while !handle.is_finished() {
                assert!(Instant::now() < deadline, "a thread does not end though it was stopped");
                thread::yield_now();
            }
            handle.join().expect("no subtask panics");
        }
    }
}

/// A subtask that reads.
struct Subtask {
    readings: Vec<(Reading, Arc<Channel>)>,
    watch: Arc<Watch>,
}

impl Subtask {
    fn reading(channel: &Arc<Channel>) -> (Reading, Arc<Channel>) {
        (Reading::new(channel.script.clone()), channel.clone())
    }

    fn read(mut self, gate: &crate::exchange::Gate) {
        while !self.readings.iter().all(|(reading, _)| reading.has_ended) {
            let Received::Element { channel: number, element } = gate.receive(None) else { return };
            let (reading, channel) = &mut self.readings[number];
            if let Err(why) = reading.take(&element) {
                let wrong = format!("from {} to {}: {why}", name(channel.writer), name(channel.reader));
                *self.watch.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong);
                return;
            }
            channel.begun.store(reading.has_begun, Ordering::SeqCst);
            channel.ended.store(reading.has_ended, Ordering::SeqCst);
            self.watch.beat();
        }
    }
}

/// A subtask that writes.
fn write(sender: &Sender, script: &Script, watch: &Watch) {
    for element in script.elements().chain([Element::End]) {
        if sender.send(element).is_err() {
            return;
        }
        watch.beat();
    }
}
