//! The clock, the queue of what is to happen, and the way from there to whom it happens.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use wasmill_control::{jobmanager::JobShape, message::SubtaskState};
use wasmill_model::{
    Timestamp,
    ids::{CheckpointId, JobId, Subtask, TaskManagerId},
};

use crate::{
    Counts, Options, Outcome, Sabotage,
    checkers::{Checkers, Fact, Try},
    client::{Aside, Client},
    data::Channels,
    disk::Disk,
    event_time::keep_in_step,
    faults::{Fault, Profile},
    jobmanager::JobManagerProcess,
    message::{Answer, Ask, Reply, Request},
    network::Network,
    random::Random,
    store::Store,
    taskmanager::TaskManagerProcess,
    trace::Trace,
};

/// When a run begins: no time of a real clock, and none at which a difference could be negative.
pub(crate) const BEGIN_MS: Timestamp = 1_000_000;

/// After the last fault every job has to come to its end within this time.
const END_WITHIN_MS: Timestamp = 120_000;

/// How long a world is watched in which nothing is left to do.
const QUIET_MS: Timestamp = 10_000;

/// Something that is to happen.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    // To the JobManager's process.
    Request {
        connection: u64,
        taskmanager: usize,
        body: Request,
    },
    Asked {
        client: usize,
        connection: u64,
        body: Ask,
    },
    /// The connection of a TaskManager's poll was found closed.
    Closed {
        taskmanager: usize,
        connection: u64,
    },
    PollOver {
        life: u64,
        taskmanager: TaskManagerId,
        connection: u64,
    },
    Cordon {
        taskmanager: usize,
        on: bool,
    },
    /// Somebody looks at a job about which something may be to be decided.
    Decide {
        job: JobId,
    },
    DiskDone {
        life: u64,
    },
    WakeJobManager {
        life: u64,
        at_ms: Timestamp,
    },
    StoreAnswered {
        life: u64,
        job: JobId,
        checkpoint: CheckpointId,
        stored: bool,
    },
    // To the checkpoint store, whoever is stopped.
    StoreDone {
        life: u64,
        job: JobId,
        checkpoint: CheckpointId,
    },
    // To a TaskManager's process.
    Answer {
        taskmanager: usize,
        life: u64,
        connection: u64,
        body: Answer,
    },
    TimedOut {
        taskmanager: usize,
        life: u64,
        connection: u64,
    },
    PollAgain {
        taskmanager: usize,
        life: u64,
    },
    WakeTaskManager {
        taskmanager: usize,
        life: u64,
        at_ms: Timestamp,
    },
    Subtask {
        taskmanager: usize,
        life: u64,
        of: Try,
        subtask: Subtask,
        state: SubtaskState,
        plan: u32,
    },
    /// A subtask of a job with checkpoints has time.
    Work {
        taskmanager: usize,
        life: u64,
        of: Try,
        subtask: Subtask,
    },
    // To people.
    Aside {
        client: usize,
        what: Aside,
    },
    ClientTurn {
        client: usize,
    },
    Replied {
        client: usize,
        connection: u64,
        body: Reply,
    },
    // To everybody.
    Fault(Fault),
}

/// Whom something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    JobManager,
    TaskManager(usize),
    Nobody,
}

impl Happening {
    fn whom(&self) -> Whom {
        match self {
            Self::Request { .. }
            | Self::Asked { .. }
            | Self::Closed { .. }
            | Self::PollOver { .. }
            | Self::Cordon { .. }
            | Self::Decide { .. }
            | Self::DiskDone { .. }
            | Self::StoreAnswered { .. }
            | Self::WakeJobManager { .. } => Whom::JobManager,
            Self::Answer { taskmanager, .. }
            | Self::TimedOut { taskmanager, .. }
            | Self::PollAgain { taskmanager, .. }
            | Self::WakeTaskManager { taskmanager, .. }
            | Self::Subtask { taskmanager, .. }
            | Self::Work { taskmanager, .. } => Whom::TaskManager(*taskmanager),
            Self::ClientTurn { .. }
            | Self::Aside { .. }
            | Self::StoreDone { .. }
            | Self::Replied { .. }
            | Self::Fault(_) => Whom::Nobody,
        }
    }
}

/// Something that is to happen at a time: of one time, what was planned first.
#[derive(Debug)]
struct Queued {
    at_ms: Timestamp,
    number: u64,
    happening: Box<Happening>,
}

/// What happens first is the greatest.
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.number).cmp(&(self.at_ms, self.number))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

/// A process that can be stopped: what happens to it meanwhile, it sees when it goes on.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    pub(crate) paused: bool,
    held: Vec<Happening>,
}

#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    pub(crate) now_ms: Timestamp,
    queue: BinaryHeap<Queued>,
    queued: u64,
    pub(crate) random: Random,
    /// Draws which checkpoints are damaged and what is decided then, so that all else stays as it is.
    pub(crate) damages: Random,
    /// Draws when sources are silent and which keep in step, likewise.
    pub(crate) times: Random,
    /// Draws which results get lost and what is decided then, likewise.
    pub(crate) losses: Random,
    /// Jobs of which somebody has given something up.
    pub(crate) gave_up: BTreeSet<JobId>,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    checkers: Checkers,
    broken: Option<String>,
    pub(crate) profile: Profile,
    pub(crate) network: Network,
    pub(crate) disk: Disk,
    pub(crate) store: Store,
    pub(crate) channels: Channels,
    /// What each attempt is of.
    pub(crate) shapes: BTreeMap<Try, JobShape>,
    pub(crate) jobmanager: JobManagerProcess,
    pub(crate) taskmanagers: Vec<TaskManagerProcess>,
    pub(crate) clients: Vec<Client>,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut random = Random::new(seed);
        let mut damages = Random::new(!seed);
        let mut times = Random::new(seed.rotate_left(32));
        let mut losses = Random::new(!seed.rotate_left(32));
        let profile = Profile::new(&mut random, &mut damages, &mut times, &mut losses);
        let taskmanagers = (0..profile.taskmanagers).map(|index| TaskManagerProcess::new(index, &profile, &mut random));
        let taskmanagers = taskmanagers.collect();
        let clients = (0..profile.clients).map(|index| Client::new(index, &profile, &mut random));
        let mut clients: Vec<Client> = clients.collect();
        clients.iter_mut().for_each(|client| keep_in_step(&mut client.shape, &mut times));
        let mut world = Self {
            seed,
            now_ms: BEGIN_MS,
            queue: BinaryHeap::new(),
            queued: 0,
            sabotage: options.sabotage,
            trace: Trace::new(options.show),
            counts: Counts::default(),
            checkers: Checkers::default(),
            broken: None,
            network: Network::new(profile.taskmanagers),
            disk: Disk::default(),
            store: Store::default(),
            channels: Channels::new(),
            shapes: BTreeMap::new(),
            jobmanager: JobManagerProcess::default(),
            taskmanagers,
            clients,
            profile,
            random,
            damages,
            times,
            losses,
            gave_up: BTreeSet::new(),
        };
        world.start_jobmanager();
        (0..world.taskmanagers.len()).for_each(|index| world.start_taskmanager(index));
        for client in 0..world.clients.len() {
            world.at(world.clients[client].submit_ms, Happening::ClientTurn { client });
        }
        world.plan_faults();
        world
    }

    pub(crate) fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    pub(crate) fn at(&mut self, at_ms: Timestamp, happening: Happening) {
        self.queued += 1;
        let (at_ms, number) = (at_ms.max(self.now_ms), self.queued);
        self.queue.push(Queued { at_ms, number, happening: Box::new(happening) });
    }

    pub(crate) fn within(&mut self, delay_ms: Timestamp, happening: Happening) {
        self.at(self.now_ms + delay_ms, happening);
    }

    /// Holds a fact against the rules.
    pub(crate) fn see(&mut self, fact: &Fact<'_>) {
        if let (None, Err(broken)) = (&self.broken, self.checkers.see(fact)) {
            self.broken = Some(broken);
        }
    }

    /// As `see`, for facts that show the disk.
    pub(crate) fn see_with_disk(&mut self, fact: impl FnOnce(&Disk) -> Fact<'_>) {
        let seen = self.checkers.see(&fact(&self.disk));
        if let (None, Err(broken)) = (&self.broken, seen) {
            self.broken = Some(broken);
        }
    }

    pub(crate) fn note(&mut self, numbers: &[u64], line: impl FnOnce() -> String) {
        self.trace.note(self.now_ms, numbers, line);
    }

    pub(crate) fn run(mut self) -> Outcome {
        let mut quiet_since_ms = None;
        while self.broken.is_none() {
            let Some(Queued { at_ms, happening, .. }) = self.queue.pop() else {
                self.broken = Some("nothing is left to happen, and not all is done".to_owned());
                break;
            };
            self.now_ms = at_ms;
            self.happen(*happening);
            if !self.is_done() {
                quiet_since_ms = None;
                self.is_in_time();
            } else if self.now_ms - *quiet_since_ms.get_or_insert(self.now_ms) >= QUIET_MS {
                self.is_small();
                break;
            }
        }
        if let Some(broken) = &self.broken {
            let line = format!("BROKEN: {broken}");
            self.trace.note(self.now_ms, &[], || line);
        }
        Outcome {
            seed: self.seed,
            broken: self.broken,
            hash: self.trace.hash(),
            events: self.trace.events(),
            simulated_ms: (self.now_ms - BEGIN_MS).unsigned_abs(),
            counts: self.counts,
            lines: self.trace.into_lines(),
        }
    }

    fn is_done(&self) -> bool {
        let paused = |process: &TaskManagerProcess| process.pause.paused;
        self.now_ms > self.profile.faults_until_ms
            && !self.jobmanager.pause.paused
            && !self.taskmanagers.iter().any(paused)
            && self.clients.iter().all(Client::is_done)
            && self.checkers.is_finished()
    }

    fn is_in_time(&mut self) {
        if self.now_ms <= self.profile.faults_until_ms + END_WITHIN_MS {
            return;
        }
        let unfinished: Vec<String> = self.checkers.unfinished().iter().map(ToString::to_string).collect();
        let clients = self.clients.iter().filter(|client| !client.is_done()).count();
        self.broken = Some(format!(
            "{END_WITHIN_MS} ms after the last fault {clients} people wait for an answer, and {} has not ended",
            if unfinished.is_empty() { "no job".to_owned() } else { unfinished.join(", ") }
        ));
    }

    /// Where all is done, little is left in memory.
    fn is_small(&mut self) {
        const JOBMANAGER_MAX: usize = 16 * 1_024;
        const AGENT_MAX: usize = 1_024;
        if let Some((request, job)) = self.jobmanager.unanswered() {
            self.broken = Some(format!("request {request} about {job} was never answered"));
            return;
        }
        let jobmanager = self.jobmanager.core.as_ref().map_or(0, |core| format!("{core:?}").len());
        let agent = self.taskmanagers.iter().map(|process| format!("{:?}", process.core).len()).max().unwrap_or(0);
        if jobmanager > JOBMANAGER_MAX || agent > AGENT_MAX {
            self.broken = Some(format!(
                "all is done, and the JobManager still holds {jobmanager} bytes, an agent {agent}, as shown by their Debug"
            ));
        }
    }

    fn happen(&mut self, happening: Happening) {
        let pause = match happening.whom() {
            Whom::JobManager => Some(&mut self.jobmanager.pause),
            Whom::TaskManager(index) => Some(&mut self.taskmanagers[index].pause),
            Whom::Nobody => None,
        };
        if let Some(pause) = pause.filter(|pause| pause.paused) {
            pause.held.push(happening);
            return;
        }
        match happening {
            Happening::Request { connection, taskmanager, body } => self.requested(connection, taskmanager, body),
            Happening::Asked { client, connection, body } => self.asked(client, connection, body),
            Happening::Closed { taskmanager, connection } => self.closed(taskmanager, connection),
            Happening::PollOver { life, taskmanager, connection } => self.poll_over(life, taskmanager, connection),
            Happening::Cordon { taskmanager, on } => self.cordon(taskmanager, on),
            Happening::Decide { job } => self.decide(job),
            Happening::DiskDone { life } => self.disk_done(life),
            Happening::WakeJobManager { life, at_ms } => self.wake_jobmanager(life, at_ms),
            Happening::Answer { taskmanager, life, connection, body } => {
                self.answered(taskmanager, life, connection, body);
            }
            Happening::TimedOut { taskmanager, life, connection } => self.timed_out(taskmanager, life, connection),
            Happening::PollAgain { taskmanager, life } => self.poll_again(taskmanager, life),
            Happening::WakeTaskManager { taskmanager, life, at_ms } => self.wake_taskmanager(taskmanager, life, at_ms),
            Happening::Subtask { taskmanager, life, of, subtask, state, plan } => {
                self.subtask_gets_on(taskmanager, life, of, subtask, state, plan);
            }
            Happening::StoreDone { life, job, checkpoint } => self.store_done(life, job, checkpoint),
            Happening::StoreAnswered { life, job, checkpoint, stored } => {
                self.store_answered(life, job, checkpoint, stored);
            }
            Happening::Work { taskmanager, life, of, subtask } => self.work(taskmanager, life, of, subtask),
            Happening::Aside { client, what } => self.aside(client, what),
            Happening::ClientTurn { client } => self.client_turn(client),
            Happening::Replied { client, connection, body } => self.replied(client, connection, body),
            Happening::Fault(fault) => self.strike(fault),
        }
    }

    /// Lets a stopped process go on: it sees all that has come meanwhile, late.
    pub(crate) fn resume(&mut self, jobmanager_or: Option<usize>) {
        let pause = match jobmanager_or {
            None => &mut self.jobmanager.pause,
            Some(index) => &mut self.taskmanagers[index].pause,
        };
        pause.paused = false;
        for happening in std::mem::take(&mut pause.held) {
            self.at(self.now_ms, happening);
        }
        // Its clock has gone on meanwhile: what is over by that is over before anything else happens.
        if let Some(index) = jobmanager_or {
            self.wake_up(index);
        }
    }
}
