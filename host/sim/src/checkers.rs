//! What must be true of every run, each rule in a file of its own. They see the whole world at once, which no part of it can.

use std::collections::BTreeSet;

use wasmill_control::jobmanager::{Desired, JobRecord, JobState};
use wasmill_flow::Progress;
use wasmill_model::{
    Timestamp,
    ids::{Attempt, JobId, Subtask, TaskManagerId},
};

use crate::{
    data::Item,
    disk::Disk,
    losses::Excuse,
    store::{Counted, Fired, Manifest, Results, Transaction},
};

mod commits;
mod drift;
mod durability;
mod ends;
mod fences;
mod losses;
mod numbers;
mod outputs;
mod slots;
mod timers;
mod watermarks;

/// An attempt of a job.
pub(crate) type Try = (JobId, Attempt);

/// Something that happened, as it was.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// A job's record is on its way to the disk for the first time.
    Shaped {
        record: &'a JobRecord,
    },
    /// Whoever submitted under this key is told that the job is taken.
    Accepted {
        key: u64,
        job: JobId,
    },
    /// Whoever asked for a job's end is told that it is on its way.
    EndTaken {
        job: JobId,
        desired: Desired,
    },
    Placed {
        of: Try,
    },
    /// Whether the shape that a placed attempt is of is on the disk.
    Shape {
        of: Try,
        durable: bool,
    },
    /// An attempt is placed that begins from a manifest; none: from where the job began.
    Begun {
        job: JobId,
        from: Option<&'a str>,
    },
    /// Somebody agrees that what has become visible since the checkpoint before a manifest comes again.
    Agreed {
        manifest: &'a str,
    },
    /// Somebody agrees that what is lost of a manifest's results is missing for good.
    GivenUp {
        manifest: &'a str,
    },
    /// An attempt goes on without results of the manifest that it begins from. `lost`: those, if they were never visible.
    GoesWithout {
        of: Try,
        transaction: Transaction,
        excuse: Excuse,
        lost: Option<&'a Results>,
    },
    /// A state is told.
    Told {
        job: JobId,
        state: &'a JobState,
        busy: &'a [(TaskManagerId, Try)],
    },
    /// A life of the JobManager begins with what is on the disk.
    Begins {
        disk: &'a Disk,
    },
    Forgotten {
        job: JobId,
    },
    /// An agent starts subtasks.
    Starts {
        taskmanager: TaskManagerId,
        of: Try,
        subtasks: &'a [Subtask],
        slots: u32,
    },
    /// An agent lets an attempt commit.
    Commits {
        taskmanager: TaskManagerId,
        of: Try,
    },
    Prepared {
        of: Try,
        subtask: Subtask,
    },
    /// An attempt's subtasks are over on a TaskManager.
    Released {
        taskmanager: TaskManagerId,
        of: Try,
    },
    /// A TaskManager's process is gone, with all that ran in it.
    Died {
        taskmanager: TaskManagerId,
    },
    /// A manifest is durable.
    Complete {
        name: &'a str,
        manifest: &'a Manifest,
    },
    /// Results become visible.
    Visible {
        transaction: Transaction,
        rows: &'a [Counted],
        fired: &'a [Fired],
    },
    /// Results are to become visible that nobody has any more.
    Gone {
        transaction: Transaction,
    },
    /// Whoever asked for a savepoint is told that it is taken.
    SavepointTaken {
        job: JobId,
        manifest: &'a str,
    },
    /// An agent has been called. `silent_ms`: since it sent the last poll that was answered; `busy`: what it has not told to stop.
    Called {
        taskmanager: TaskManagerId,
        silent_ms: Timestamp,
        lease_ms: Timestamp,
        busy: usize,
    },
    /// How far a source is from now on.
    Stands {
        of: Try,
        source: u32,
        progress: Progress,
    },
    /// A source, one of so many that keep in step, reads on.
    Reads {
        of: Try,
        source: u32,
        sources: u32,
        drift_ms: u64,
    },
    /// A source has nothing to read for a while.
    Silent {
        of: Try,
        source: u32,
    },
    /// Something has come to a sink by the channel of one of its sources. `watermark`: that of the sink, after it.
    Came {
        of: Try,
        sink: u32,
        source: u32,
        sources: u32,
        item: Item,
        watermark: Timestamp,
    },
}

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    commits: commits::Commits,
    drift: drift::Drift,
    durability: durability::Durability,
    ends: ends::Ends,
    fences: fences::Fences,
    losses: losses::Losses,
    numbers: numbers::Numbers,
    outputs: outputs::Outputs,
    slots: slots::Slots,
    timers: timers::Timers,
    watermarks: watermarks::Watermarks,
}

impl Checkers {
    /// Holds a fact against all rules. An error says which is broken.
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        self.durability.see(fact)?;
        self.commits.see(fact)?;
        self.ends.see(fact)?;
        self.fences.see(fact)?;
        self.losses.see(fact)?;
        self.numbers.see(fact)?;
        self.outputs.see(fact)?;
        self.slots.see(fact)?;
        self.timers.see(fact)?;
        self.watermarks.see(fact)?;
        self.drift.see(fact)
    }

    /// Whether the end of each job that was accepted was told.
    pub(crate) fn is_finished(&self) -> bool {
        self.ends.is_finished()
    }

    /// Jobs that were accepted and whose end was not told.
    pub(crate) fn unfinished(&self) -> BTreeSet<JobId> {
        self.ends.unfinished()
    }
}
