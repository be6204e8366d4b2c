//! A whole cluster in one thread, from one seed: a JobManager, TaskManagers, people who submit and cancel jobs, and a world that
//! loses, repeats, delays and reorders what they send, stops and kills their processes, and slows and crashes their disk.
//!
//! The cores of `control` run exactly as shipped. The shells around them are small ones of this crate, which behave as those of
//! `cluster` do; subtasks only pretend: they run for a while, fail, prepare, commit. Those of jobs that take checkpoints read rows,
//! count them and write them, so that in the end it can be said of each row whether it is there once; and each row sets a timer in event
//! time, by the code of `flow`, which has to fire once. [`checkers`] look at everything that
//! happens. A seed decides all of it, so that a run that breaks a rule can be seen again, event by event.
//!
//! A green run means something because of [`Sabotage`]: faults planted between core and shell, each of which is found.

mod checkers;
mod client;
mod data;
mod disk;
mod event_time;
mod faults;
mod jobmanager;
mod losses;
mod message;
mod network;
mod random;
mod sabotage;
mod store;
mod subtasks;
mod taskmanager;
mod trace;
mod world;

use std::process::Command;

use world::World;

pub use sabotage::Sabotage;

/// How to run a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub sabotage: Option<Sabotage>,
    /// Whether to keep a line for each event.
    pub show: bool,
}

/// What became of a seed.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    /// The rule that was broken, if one was.
    pub broken: Option<String>,
    /// The same whenever the seed is run by the same program.
    pub hash: u64,
    pub events: u64,
    pub simulated_ms: u64,
    pub counts: Counts,
    /// If they were asked for.
    pub lines: Vec<String>,
}

impl Outcome {
    /// For people: which rule was broken, by what, and how to see it again.
    pub fn explain(&self) -> String {
        let (seed, broken) = (self.seed, self.broken.as_deref().unwrap_or("no rule"));
        let described = Command::new("git").args(["describe", "--always", "--dirty"]).output();
        let commit =
            described.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        let commit = if commit.is_empty() { "an unknown commit" } else { commit.trim() };
        format!("seed {seed} breaks a rule at {commit}: {broken}\nrun it again: cargo xtask sim --seed {seed}")
    }
}

/// What a run went through.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub jobs: u64,
    pub attempts: u64,
    pub commits: u64,
    pub messages: u64,
    pub messages_lost: u64,
    pub messages_repeated: u64,
    pub jobmanager_crashes: u64,
    pub taskmanager_crashes: u64,
    pub pauses: u64,
    pub partitions: u64,
    pub fences: u64,
    pub checkpoints: u64,
    pub savepoints: u64,
    pub stopped: u64,
    pub replaced: u64,
    pub rolled_back: u64,
    pub passed_over: u64,
    pub decisions: u64,
    /// Results that got lost, and how often somebody gave some up.
    pub lost: u64,
    pub given_up: u64,
    /// Timers that have fired, whether anybody has seen it or not.
    pub timers: u64,
    /// How often a source was idle, and how often one had to wait for others.
    pub idles: u64,
    pub waits: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.jobs += other.jobs;
        self.attempts += other.attempts;
        self.commits += other.commits;
        self.messages += other.messages;
        self.messages_lost += other.messages_lost;
        self.messages_repeated += other.messages_repeated;
        self.jobmanager_crashes += other.jobmanager_crashes;
        self.taskmanager_crashes += other.taskmanager_crashes;
        self.pauses += other.pauses;
        self.partitions += other.partitions;
        self.fences += other.fences;
        self.checkpoints += other.checkpoints;
        self.savepoints += other.savepoints;
        self.stopped += other.stopped;
        self.replaced += other.replaced;
        self.rolled_back += other.rolled_back;
        self.passed_over += other.passed_over;
        self.decisions += other.decisions;
        self.lost += other.lost;
        self.given_up += other.given_up;
        self.timers += other.timers;
        self.idles += other.idles;
        self.waits += other.waits;
    }
}

/// Runs a seed to its end: all jobs have ended, or a rule is broken.
pub fn run(seed: u64, options: Options) -> Outcome {
    World::new(seed, options).run()
}

/// Runs seeds until one breaks a rule. That one, or what they all went through.
pub fn search(seeds: std::ops::Range<u64>, sabotage: Option<Sabotage>) -> Result<Counts, Box<Outcome>> {
    let mut counts = Counts::default();
    for seed in seeds {
        let outcome = run(seed, Options { sabotage, show: false });
        if outcome.broken.is_some() {
            return Err(Box::new(outcome));
        }
        counts.add(&outcome.counts);
    }
    Ok(counts)
}
