//! Data planes over a simulated network, whose delays and faults follow from a seed: attempts exchange rows, something breaks, and
//! either everything has arrived in order and once, or the attempt has failed on both sides of what broke. Nothing hangs, and what
//! a reader got before is what was sent.
//!
//! Subtasks are threads beside the simulation, which may be seconds ahead of them: nothing here depends on how fast they are.

use std::{sync::atomic::Ordering, thread, time::Duration};

use script::Random;
use transport::{End, Fault};
use world::{Run, Setup, World, address, name};

use crate::life::Failure;

mod script;
mod transport;
mod world;

/// After the first failure the JobManager waits for so long before it stops the rest: a side that hears nothing takes up to 11 s.
const GRACE: Duration = Duration::from_secs(15);

/// Without any failure an attempt goes on within this time: what is held is silent for longer than is waited for.
const STANDSTILL_MAX: Duration = Duration::from_secs(40);

/// For so long before either is over the simulation is slow: threads of a busy machine have time in earnest before they are said to
/// hang, or not to have taken what has come.
const SLOW: Duration = Duration::from_secs(4);

/// What a fault of a frame's length adds to it.
const FRAME_MAX: Duration = Duration::from_secs(60);

/// The ends of channels are confirmed within so many steps, or their connection is lost.
const CONFIRM_STEPS_MAX: usize = 2_000;

/// Behind a fault so many attempts may fail: the first by the fault, others on connections of which it is not known yet that
/// they are broken.
const FAILURES_MAX: u64 = 4;

/// What happens to the network or to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Nothing,
    /// All that two hosts send each other is lost.
    Partition,
    /// What the first sends to the second is lost.
    OneWay,
    /// What two hosts send each other waits.
    Hold,
    /// A process ends, and its system closes its connections.
    Crash,
    /// A process ends, and nobody hears of it.
    PowerLoss,
}

/// Something that happens during an attempt, and is over some time later.
#[derive(Debug)]
struct Trouble {
    what: What,
    /// The hosts that it may touch. The first two are those of the link, the first the one that crashes.
    ends: Vec<usize>,
    at: Duration,
    until: Duration,
    standstill_max: Duration,
}

impl Trouble {
    const ALL: [What; 5] = [What::Partition, What::OneWay, What::Hold, What::Crash, What::PowerLoss];

    fn none() -> Self {
        let (what, at, until) = (What::Nothing, Duration::ZERO, Duration::ZERO);
        Self { what, ends: Vec::new(), at, until, standstill_max: STANDSTILL_MAX }
    }

    fn new(what: What, hosts: usize, random: &mut Random) -> Self {
        let first = random.below(hosts as u64) as usize;
        let mut ends: Vec<usize> = (0..hosts).map(|host| (first + host) % hosts).collect();
        if !matches!(what, What::Crash | What::PowerLoss) {
            ends.truncate(2);
        }
        let at = Duration::from_millis(random.below(1_200));
        let until = at + Duration::from_millis(random.below(14_000));
        Self { what, ends, at, until, ..Self::none() }
    }

    /// Begins or ends when it is time.
    fn go_on(&mut self, world: &mut World, now: Duration) {
        if self.what != What::Nothing && self.at <= now {
            self.at = Duration::MAX;
            self.begin(world);
        }
        if self.until <= now {
            self.end(world);
        }
    }

    fn begin(&self, world: &mut World) {
        let [one, two] = [self.ends[0], self.ends[1]].map(name);
        match self.what {
            What::Nothing => {}
            What::Partition => world.sim.partition(one, two),
            What::OneWay => world.sim.partition_oneway(one, two),
            What::Hold => world.sim.hold(one, two),
            What::Crash => world.crash(self.ends[0]),
            What::PowerLoss => {
                self.ends[1..].iter().for_each(|&other| world.sim.partition(one, name(other)));
                world.crash(self.ends[0]);
            }
        }
    }

    /// It is over, but for what has crashed.
    fn end(&mut self, world: &World) {
        for (&one, &two) in self.ends.iter().flat_map(|one| self.ends.iter().map(move |two| (one, two))) {
            if one < two {
                world.sim.release(name(one), name(two));
            }
        }
        (self.what, self.until) = (What::Nothing, Duration::MAX);
    }
}

/// How an attempt went.
#[derive(Debug)]
struct Outcome {
    hosts: Vec<State>,
    /// What came that was not sent.
    wrong: Option<String>,
}

/// How an attempt went on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Done,
    Failed(Failure),
    Down,
    /// Neither: others have failed.
    Waits,
}

impl State {
    fn of(world: &World, run: &Run, host: usize) -> Self {
        match run.failure(host) {
            _ if world.is_down(host) => Self::Down,
            Some(failure) => Self::Failed(failure),
            None if run.is_done(host) => Self::Done,
            None => Self::Waits,
        }
    }
}

impl Outcome {
    fn of(world: &World, run: &Run) -> Self {
        Self { hosts: (0..world.hosts()).map(|host| State::of(world, run, host)).collect(), wrong: run.watch.wrong() }
    }

    fn is_whole(&self) -> bool {
        self.wrong.is_none() && self.hosts.iter().all(|state| *state == State::Done)
    }

    fn has_failed(&self) -> bool {
        self.hosts.iter().any(|state| matches!(state, State::Failed(_) | State::Down))
    }

    /// Whether the JobManager would wait no longer: nobody waits who may still fail by himself.
    fn is_final(&self, trouble: &Trouble) -> bool {
        let waits = |host: usize| self.hosts[host] == State::Waits;
        let mut waiting = (0..self.hosts.len()).filter(|&host| waits(host));
        self.wrong.is_some() || waiting.all(|host| self.has_failed() && !trouble.ends.contains(&host))
    }
}

/// Runs an attempt until it has ended everywhere, while something happens.
fn attempt(world: &mut World, random: &mut Random, number: u64, trouble: &mut Trouble) -> Outcome {
    let mut run = Run::new(number, world.hosts(), random);
    let starts: Vec<Duration> = (0..world.hosts()).map(|_| Duration::from_millis(random.below(1_500))).collect();
    let began = world.sim.elapsed();
    let (mut failed, mut pulse, mut beat) = (None, 0, Duration::ZERO);
    loop {
        let now = world.sim.elapsed() - began;
        trouble.go_on(world, now);
        for (host, start) in starts.iter().enumerate() {
            if world.is_down(host) {
                run.stop(host);
            } else if !run.has_started(host) && *start <= now {
                run.start(world, host);
            }
        }
        world.step();
        let deadline = match failed {
            None => beat + trouble.standstill_max,
            Some(failed) => (beat + SLOW).max(failed + GRACE),
        };
        if now + SLOW > deadline {
            thread::park_timeout(Duration::from_millis(1));
        } else {
            thread::yield_now();
        }
        let outcome = Outcome::of(world, &run);
        if outcome.has_failed() {
            failed.get_or_insert(now);
        }
        if failed.is_some() && now > deadline {
            eprintln!("GRACE {outcome:?}");
        }
        if outcome.is_final(trouble) || failed.is_some() && now > deadline {
            break;
        }
        assert!(failed.is_some() || now <= deadline, "it hangs: {outcome:?}, {:?}", run.channels);
        if pulse != run.watch.pulse() {
            (pulse, beat) = (run.watch.pulse(), now);
        }
    }
    let mut outcome = Outcome::of(world, &run);
    if outcome.is_whole() {
        let mut step = || {
            world.step();
            world.channels() == 0
        };
        assert!((0..CONFIRM_STEPS_MAX).any(|_| step()), "channels have ended and nobody says so: {:?}", run.channels);
    }
    (0..world.hosts()).for_each(|host| run.stop(host));
    run.join();
    outcome.wrong = run.watch.wrong();
    if outcome.wrong.is_none() {
        check(&outcome, &run, trouble);
    }
    outcome
}

/// Holds how an attempt went against what must hold of every one.
fn check(outcome: &Outcome, run: &Run, trouble: &Trouble) {
    let has_ended = |host: usize| matches!(outcome.hosts[host], State::Failed(_) | State::Down);
    for (host, state) in outcome.hosts.iter().enumerate() {
        let State::Failed(failure) = state else { continue };
        assert!(trouble.ends.contains(&host), "{} failed without a cause: {failure:?}", name(host));
        let Failure::Lost { peer, .. } = failure else {
            assert!(matches!(failure, Failure::Unreachable { .. }), "{failure:?}");
            continue;
        };
        // Who has lost a connection is not alone: all that it carried has failed on the other side too.
        let other = (0..outcome.hosts.len()).find(|other| peer.starts_with(&format!("taskmanager-{other} at ")));
        let other = other.expect("the other side is one of the hosts");
        let writes = peer.ends_with(&address(other));
        let (writer, reader) = if writes { (host, other) } else { (other, host) };
        for channel in run.channels.iter().filter(|channel| (channel.writer, channel.reader) == (writer, reader)) {
            // What the reader never heard of does not bind it.
            let depends = !channel.has_ended() && (!writes || channel.has_begun());
            assert!(!depends || has_ended(other), "{channel:?} was lost and failed {} only", name(host));
        }
    }
}

/// Runs attempts until one goes through, behind a fault that has been repaired.
fn recovers(world: &mut World, random: &mut Random, trouble: &mut Trouble) {
    trouble.end(world);
    world.revive();
    for number in 2..=FAILURES_MAX + 1 {
        let outcome = attempt(world, random, number, trouble);
        assert_eq!(outcome.wrong, None);
        if outcome.is_whole() {
            return;
        }
    }
    panic!("no attempt goes through though everything works");
}

fn setup(seed: u64, random: &mut Random) -> Setup {
    let tls = seed % 4 == 3;
    let (hosts, latency_max) = (2 + random.below(2) as usize, Duration::from_millis(random.within(2..120)));
    Setup { seed, hosts, tls, latency_max }
}

#[test]
fn without_faults_everything_arrives_in_order_and_once() {
    for seed in 0..24 {
        let mut random = Random(seed);
        let setup = setup(seed, &mut random);
        eprintln!("{setup:?}");
        let mut world = World::new(&setup);
        for number in 1..=2 {
            let outcome = attempt(&mut world, &mut random, number, &mut Trouble::none());
            assert!(outcome.is_whole(), "{outcome:?}");
        }
    }
}

/// Faults of the network and of processes.
#[test]
fn whatever_breaks_everything_arrives_or_both_sides_fail() {
    for what in Trouble::ALL {
        let outcomes = (100..112).map(|seed| {
            let mut random = Random(seed);
            let setup = setup(seed, &mut random);
            let mut world = World::new(&setup);
            let mut trouble = Trouble::new(what, setup.hosts, &mut random);
            eprintln!("{setup:?}, {trouble:?}");
            let outcome = attempt(&mut world, &mut random, 1, &mut trouble);
            assert_eq!(outcome.wrong, None);
            assert!(outcome.is_whole() || outcome.has_failed(), "{outcome:?}");
            recovers(&mut world, &mut random, &mut trouble);
            outcome
        });
        let failed = outcomes.filter(Outcome::has_failed).count();
        assert!(failed >= 4, "{what:?} struck {failed} attempts: the test tests nothing");
    }
}

/// A fault in what one end of the connection from the first host to the second writes. `None`: it did not strike.
fn planted(seed: u64, tls: bool, end: &End, fault: Fault) -> Option<Outcome> {
    let mut random = Random(seed);
    let setup = Setup { seed, hosts: 2, tls, latency_max: Duration::from_millis(20) };
    eprintln!("{setup:?}, {end:?}, {fault:?}");
    let mut world = World::new(&setup);
    let host = if *end == End::Accepts { 1 } else { 0 };
    let struck = world.transport(host).plant(end.clone(), fault);
    let standstill_max = STANDSTILL_MAX + if fault == Fault::LengthenBatch { FRAME_MAX } else { Duration::ZERO };
    let mut trouble = Trouble { ends: vec![0, 1], standstill_max, ..Trouble::none() };
    let outcome = attempt(&mut world, &mut random, 1, &mut trouble);
    if !struck.load(Ordering::SeqCst) {
        // It still waits, and may strike whenever that connection is used.
        assert!(outcome.is_whole(), "{outcome:?}");
        return None;
    }
    if outcome.wrong.is_none() {
        recovers(&mut world, &mut random, &mut trouble);
    }
    Some(outcome)
}

/// The end of that connection by which rows are sent.
fn writer() -> End {
    End::Connects(address(1))
}

#[test]
fn bytes_that_change_on_their_way_are_noticed() {
    let (mut struck, mut failed) = (0, 0);
    for seed in 200..232 {
        let mut random = Random(seed);
        let accepts = random.below(4) == 0;
        // The side that accepts writes little: credit, and that it is there.
        let at = random.within(if accepts { 0..300 } else { 0..40_000 }) as usize;
        // Fewer than a frame has at least, so that what is left is not well-formed.
        let bytes = random.within(1..24) as usize;
        let fault = match seed % 4 {
            0 => Fault::Reset { at },
            1 => Fault::Lose { at, bytes },
            2 => Fault::Double { at, bytes },
            _ => Fault::Flip { at },
        };
        let end = if accepts { End::Accepts } else { writer() };
        let Some(outcome) = planted(seed, seed % 8 >= 4, &end, fault) else { continue };
        assert_eq!(outcome.wrong, None);
        struck += 1;
        failed += u64::from(outcome.has_failed());
    }
    assert!(struck >= 24 && failed >= 20, "{struck} struck, {failed} failed");
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let failed = (300..330).filter(|&seed| {
        // The headers of the first frames, HELLO and OPEN among them, and some of what follows.
        let fault = Fault::Flip { at: Random(seed).below(2_000) as usize };
        let outcome = planted(seed, false, &writer(), fault).expect("so many bytes are written");
        assert_eq!(outcome.wrong, None);
        outcome.has_failed()
    });
    assert_eq!(failed.count(), 30);
}

#[test]
fn batches_that_are_lost_or_doubled_are_noticed() {
    let mut struck = 0;
    for seed in 400..416 {
        let fault = if seed % 2 == 0 { Fault::LoseBatch } else { Fault::DoubleBatch };
        let Some(outcome) = planted(seed, false, &writer(), fault) else { continue };
        assert!(outcome.has_failed() && outcome.wrong.is_none(), "{outcome:?}");
        struck += 1;
    }
    assert!(struck >= 12, "{struck} struck");
}

/// Its writer waits for credit, its reader for the rest of it, and both heard that the other was there: for hours, since that counts
/// towards the rest.
#[test]
fn a_frame_that_does_not_come_to_its_end_is_noticed() {
    let outcomes = (450..456).filter_map(|seed| planted(seed, false, &writer(), Fault::LengthenBatch));
    let failed = outcomes.map(|outcome| outcome.has_failed() && outcome.wrong.is_none());
    let failed: Vec<bool> = failed.collect();
    assert!(failed.len() >= 4 && !failed.contains(&false), "{failed:?}");
}

/// What no connection can notice the checks of this simulation find: else that they find nothing would say nothing.
#[test]
fn what_is_forged_is_found() {
    let mut struck = 0;
    for seed in 500..516 {
        let fault = [Fault::ForgeLoss, Fault::LoseWatermarks, Fault::ForgeDouble][seed as usize % 3];
        let Some(outcome) = planted(seed, false, &writer(), fault) else { continue };
        // What comes twice may also be more than there was credit for.
        let is_noticed = fault == Fault::ForgeDouble && outcome.has_failed();
        assert!(outcome.wrong.is_some() || is_noticed, "{outcome:?}");
        struck += 1;
    }
    assert!(struck >= 12, "{struck} struck");
}
