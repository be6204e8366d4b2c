//! The JobManager: TaskManagers with their slots and leases, jobs with their phases.
//!
//! Each family of events has a file of its own below; what they share stands here: the facts, the clock, and the way from an
//! event to its commands. A job is only ever changed by what its phase allows, see [`phase`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    ids::{Attempt, CheckpointId, Epoch, Incarnation, JobId, Subtask, TaskManagerId},
};

use crate::message::{At, Cause, Orders, Reports, SourceWatermark};

mod checkpoints;
mod drift;
mod durable;
mod failover;
mod happened;
mod job;
mod phase;
mod placement;
mod progress;
mod recovery;
mod replace;
mod savepoints;
mod splits;
mod taskmanagers;
mod view;
mod wishes;

pub use happened::JobEvent;
pub use job::{
    About, CheckpointConfig, Choice, Completed, Decision, Desired, End, EndState, InStep, JobRecord, JobShape,
    JobState, Recovered, Recovery, Restart,
};
pub use view::{CheckpointView, DecisionView, JobView, TaskManagerView};

use durable::Written;
use phase::Job;
use taskmanagers::TaskManager;

/// A JobManager that is called this much later than it asked for was kept from working: what TaskManagers sent in the
/// meantime may still wait to be read, so their leases are longer by the gap.
const LATE_MS: i64 = 500;

/// How a JobManager works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often a TaskManager is heard of.
    pub heartbeat_ms: u64,
    /// A TaskManager that was not heard of for so long is lost. The same as that of the agents.
    pub lease_ms: u64,
    /// Before the first of several restarts, and at most.
    pub restart_initial_ms: u64,
    pub restart_max_ms: u64,
    /// By what the time before a restart grows.
    pub restart_factor: u64,
    /// An attempt that ran for so long makes the ones that failed before it forgotten.
    pub restart_reset_ms: u64,
    /// Jobs that have ended and are still remembered, at least one; the oldest are forgotten first.
    pub history_jobs_max: usize,
    /// Jobs that have not ended; more are refused.
    pub live_jobs_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_ms: 500,
            lease_ms: 2_000,
            restart_initial_ms: 200,
            restart_max_ms: 30_000,
            restart_factor: 2,
            restart_reset_ms: 600_000,
            history_jobs_max: 100,
            live_jobs_max: 10_000,
        }
    }
}

/// What happens to the JobManager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A TaskManager is there, or there again: in a later life, or after it has stopped everything.
    Register { taskmanager: TaskManagerId, incarnation: Incarnation, slots: u32, address: String },
    /// A TaskManager has asked for orders, and says how far the sources on it are.
    Heartbeat { taskmanager: TaskManagerId, incarnation: Incarnation, watermarks: Vec<SourceWatermark> },
    /// A TaskManager's connection was reset, or it said goodbye.
    Lost { taskmanager: TaskManagerId, incarnation: Incarnation },
    /// A TaskManager is to get no new subtasks, or to get them again. What runs there moves as soon as there is room elsewhere.
    Cordon { taskmanager: TaskManagerId, on: bool },
    /// A job is to run. The answer, [`Command::Accepted`] or [`Command::Refused`], carries `request`.
    Submit { request: u64, shape: JobShape },
    /// A job is to end as if its input ended now: what was read comes out.
    Drain { job: JobId },
    /// A job is to end without results.
    Cancel { job: JobId },
    /// A savepoint of a job is to be taken. The answer, [`Command::SavepointTaken`] or [`Command::SavepointFailed`], carries
    /// `request`.
    Savepoint { request: u64, job: JobId },
    /// A job is to end where it is, with a savepoint. Answered as that is, once the job has ended.
    Stop { request: u64, job: JobId },
    /// A job is to go on with another shape. The answer, [`Command::Replaced`] or [`Command::ReplaceFailed`], carries `request`.
    Replace { request: u64, job: JobId, shape: JobShape },
    /// What is to be decided about a job is decided. The answer, [`Command::Resolved`] or [`Command::ResolveFailed`], carries
    /// `request`.
    Resolve { request: u64, job: JobId, choice: Choice },
    /// What [`Command::StoreCheckpoint`] asked for is durable, as this manifest; whether sinks have prepared something that it makes
    /// visible.
    CheckpointStored { job: JobId, checkpoint: CheckpointId, manifest: String, transactions: bool },
    /// It is certainly not there, and never will be.
    CheckpointNotStored { job: JobId, checkpoint: CheckpointId, message: String },
    /// An agent says how far its subtasks are.
    Reports(Reports),
    /// What [`Command::Store`] asked for is durable.
    Stored { write: u64 },
    /// It is not, or nobody knows.
    StoreFailed { write: u64, message: String },
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a handful of them lives for one event")]
pub enum Command {
    /// All that is wished of a TaskManager; replaces what was wished before.
    Orders {
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        orders: Orders,
    },
    /// A TaskManager spoke that is not known: it is to register again.
    Unknown {
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
    },
    /// Reports up to this one have been taken.
    Acknowledge {
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        sequence: u64,
    },
    /// Make a record durable in place of the job's earlier one, and say when. Writes become durable, and are answered, in their
    /// order.
    Store {
        write: u64,
        record: JobRecord,
    },
    /// Make the manifest of a checkpoint durable, and say when, or that it is certainly not. It is asked once, and one at a time
    /// of a job; no attempt of the job is made, and it does not end, before the answer.
    StoreCheckpoint {
        job: JobId,
        attempt: Attempt,
        checkpoint: CheckpointId,
        /// The manifest of the newest checkpoint before it, or the one the job began from.
        parent: Option<String>,
        /// One of each subtask, in their order.
        parts: Vec<(Subtask, At, String)>,
        savepoint: bool,
        /// All subtasks are at their end.
        last: bool,
        /// Checkpoints of the job that no attempt begins from: of the others as many stay as are to be retained.
        damaged: BTreeSet<CheckpointId>,
    },
    /// A savepoint is durable, and what belongs to it is visible; or the job has ended with it.
    SavepointTaken {
        request: u64,
        job: JobId,
        checkpoint: CheckpointId,
        manifest: String,
    },
    SavepointFailed {
        request: u64,
        cause: Cause,
    },
    /// A job runs with another shape, durably.
    Replaced {
        request: u64,
        job: JobId,
        version: u32,
    },
    /// It does not, and goes on as it was.
    ReplaceFailed {
        request: u64,
        cause: Cause,
    },
    /// What was to be decided is, durably.
    Resolved {
        request: u64,
        job: JobId,
    },
    /// It is not, and the job stays as it is.
    ResolveFailed {
        request: u64,
        cause: Cause,
    },
    /// A job was taken, durably.
    Accepted {
        request: u64,
        job: JobId,
    },
    Refused {
        request: u64,
        cause: Cause,
    },
    /// A job has come to a new state.
    Changed {
        job: JobId,
        state: JobState,
    },
    /// Something else has happened to a job.
    Event {
        job: JobId,
        at_ms: Timestamp,
        event: JobEvent,
    },
    /// A job is beyond the history, or was refused and has a tombstone: what is stored of it can go.
    Forget {
        job: JobId,
    },
}

/// The JobManager's core. All its facts; none of its sockets.
#[derive(Debug)]
pub struct JobManager {
    config: Config,
    epoch: Epoch,
    /// The latest time it was told.
    now_ms: Timestamp,
    taskmanagers: BTreeMap<TaskManagerId, TaskManager>,
    cordoned: BTreeSet<TaskManagerId>,
    jobs: BTreeMap<JobId, Job>,
    /// Those of the jobs that have ended, durably; the rest are live.
    ended: BTreeSet<JobId>,
    live: BTreeSet<JobId>,
    last_job: u64,
    /// When which job is to be looked at again.
    timers: BTreeSet<(Timestamp, JobId)>,
    /// When which job's checkpoints are to be looked at again, one a job at most.
    checkpoint_timers: BTreeSet<(Timestamp, JobId)>,
    /// Jobs whose sources have said something new, and when the limits of those are to be looked at.
    drift_timers: BTreeSet<(Timestamp, JobId)>,
    /// Unanswered writes.
    writes: BTreeMap<u64, Written>,
    last_write: u64,
    /// Of orders, over all TaskManagers.
    last_version: u64,
    /// TaskManagers whose orders have changed since they were last told.
    to_tell: BTreeSet<TaskManagerId>,
    commands: Vec<Command>,
}

impl JobManager {
    /// Begins a life of the JobManager with all records that earlier lives left. What ran is started again, and what was
    /// to end ends, once no TaskManager of an earlier life can still be at it.
    pub fn new(config: Config, epoch: Epoch, records: Vec<Recovered>, now_ms: Timestamp) -> (Self, Vec<Command>) {
        let mut core = Self {
            config,
            epoch,
            now_ms,
            taskmanagers: BTreeMap::new(),
            cordoned: BTreeSet::new(),
            jobs: BTreeMap::new(),
            ended: BTreeSet::new(),
            live: BTreeSet::new(),
            last_job: 0,
            timers: BTreeSet::new(),
            checkpoint_timers: BTreeSet::new(),
            drift_timers: BTreeSet::new(),
            writes: BTreeMap::new(),
            last_write: 0,
            last_version: 0,
            to_tell: BTreeSet::new(),
            commands: Vec::new(),
        };
        for record in records {
            core.recover(record);
        }
        let commands = core.settle();
        (core, commands)
    }

    /// Takes what happened and says what to do. Time that has passed is taken by [`JobManager::advance`].
    pub fn handle(&mut self, now_ms: Timestamp, event: Event) -> Vec<Command> {
        self.pass_time(now_ms);
        match event {
            Event::Register { taskmanager, incarnation, slots, address } => {
                self.register(taskmanager, incarnation, slots, address);
            }
            Event::Heartbeat { taskmanager, incarnation, watermarks } => {
                self.heartbeat(taskmanager, incarnation);
                self.take_watermarks(taskmanager, incarnation, &watermarks);
            }
            Event::Lost { taskmanager, incarnation } => self.disconnected(taskmanager, incarnation),
            Event::Cordon { taskmanager, on } => self.cordon(taskmanager, on),
            Event::Submit { request, shape } => self.submit(request, shape),
            Event::Drain { job } => self.desire(job, Desired::Drain),
            Event::Cancel { job } => self.desire(job, Desired::Cancel),
            Event::Savepoint { request, job } => self.ask_savepoint(request, job),
            Event::Stop { request, job } => self.ask_stop(request, job),
            Event::Replace { request, job, shape } => self.replace(request, job, shape),
            Event::Resolve { request, job, choice } => self.resolve(request, job, choice),
            Event::CheckpointStored { job, checkpoint: id, manifest, transactions } => {
                self.checkpoint_stored(job, Completed { id, manifest, last: false, transactions });
            }
            Event::CheckpointNotStored { job, checkpoint, message } => {
                self.checkpoint_not_stored(job, checkpoint, &message);
            }
            Event::Reports(reports) => self.take_reports(reports),
            Event::Stored { write } => self.stored(write),
            Event::StoreFailed { write, message } => self.store_failed(write, &message),
        }
        self.settle()
    }

    /// Does what is due.
    pub fn advance(&mut self, now_ms: Timestamp) -> Vec<Command> {
        self.pass_time(now_ms);
        self.end_leases();
        while let Some(&(at_ms, job)) = self.timers.first()
            && at_ms <= self.now_ms
        {
            self.timers.pop_first();
            self.look_again(job);
        }
        self.keep_due();
        self.settle()
    }

    /// When `advance` is to be called at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        let timers = [&self.timers, &self.checkpoint_timers, &self.drift_timers];
        let timer = timers.into_iter().filter_map(BTreeSet::first).map(|(at, _)| *at).min();
        // A call for each heartbeat shows how late the JobManager itself is.
        let tick = (!self.taskmanagers.is_empty()).then(|| self.now_ms + self.config.heartbeat_ms as i64);
        timer.into_iter().chain(tick).min()
    }

    /// Time never goes back here. A gap longer than was asked for is not held against TaskManagers.
    fn pass_time(&mut self, now_ms: Timestamp) {
        let expected = self.now_ms + self.config.heartbeat_ms as i64;
        if now_ms > expected + LATE_MS {
            self.stretch_leases(now_ms - expected);
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// What follows from any event: slots are given, those whose orders have changed are told, what is beyond the history goes.
    fn settle(&mut self) -> Vec<Command> {
        self.place_waiting();
        self.move_from_cordoned();
        self.forget_oldest();
        self.set_limits_due();
        self.tell();
        std::mem::take(&mut self.commands)
    }

    /// A job's time has come: a restart is due, a lease is over, a write is to be tried again.
    fn look_again(&mut self, id: JobId) {
        self.store_again(id);
        self.go_on_if_stopped(id);
    }

    fn look_again_at(&mut self, at_ms: Timestamp, id: JobId) {
        self.timers.insert((at_ms, id));
    }

    fn event(&mut self, job: JobId, event: JobEvent) {
        self.commands.push(Command::Event { job, at_ms: self.now_ms, event });
    }

    /// Says the state that a job has now.
    fn changed(&mut self, id: JobId) {
        let state = self.jobs[&id].state();
        self.commands.push(Command::Changed { job: id, state });
    }
}

#[cfg(test)]
mod tests;
