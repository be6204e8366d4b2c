//! What a job is at, with what exists only then.
//!
//! ```text
//! Submitting -fails-> Refusing -durable-> forgotten
//! Submitting -durable-> Waiting -slots-> Placed: Deploying -> Running -> Committing -all committed-> Ending -durable-> Over
//!                          ^                |        |          |           |                          ^
//!                          |                 `-------- failed, lost, cancelled ---> Stopping ----------'
//!                          |`--------------------------- to be run again --------------|
//!                           `-- resolved -- Undecided <-- somebody has to decide ------'
//! ```

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::{
    Timestamp,
    ids::{Attempt, CheckpointId, Incarnation, Subtask, TaskManagerId},
};

use crate::{
    jobmanager::{
        Desired, EndState, JobRecord, JobState,
        checkpoints::{Keeping, Taking},
        drift::Drift,
        job::subtasks,
        replace::Replacing,
        splits::Sharing,
    },
    message::{Cause, Checkpoints, Place, Restore, SubtaskState, Wish},
};

#[derive(Debug)]
pub(super) struct Job {
    /// As it is, or is about to be, on disk.
    pub(super) record: JobRecord,
    /// What is desired according to what is on disk for certain.
    pub(super) durably_desired: Desired,
    /// A write failed and is to be repeated.
    pub(super) store_again: bool,
    /// Attempts in this life of the JobManager.
    pub(super) attempts: u32,
    /// Failures in a row, as far as the time before a restart goes.
    pub(super) failures: u32,
    /// Until then a TaskManager that was lost may still be at an earlier attempt.
    pub(super) ghosts_until_ms: Timestamp,
    pub(super) keeping: Keeping,
    pub(super) replacing: Replacing,
    /// Who has decided something that is not durable yet.
    pub(super) resolving: Vec<u64>,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Nobody has been told of it: its record is being written.
    Submitting {
        request: u64,
    },
    /// Its record could not be written, or may have been: a tombstone is, before whoever submitted it is told.
    Refusing {
        request: u64,
        cause: Cause,
    },
    /// It needs slots, from this time on.
    Waiting {
        from_ms: Timestamp,
        again: bool,
    },
    Placed {
        placed: Placed,
        stage: Stage,
    },
    /// No subtask is to run any more.
    Stopping {
        placed: Option<Placed>,
        then: Then,
        after_commit: bool,
    },
    /// No attempt is made before what the record says is decided. It holds no slots.
    Undecided,
    /// The tombstone is being written. Until it is durable, the job looks as it did.
    Ending {
        shown: JobState,
    },
    Over,
}

/// An attempt on its TaskManagers.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) attempt: Attempt,
    /// Of the shape that it runs, and its parallelisms: the record may have another by now.
    pub(super) version: u32,
    pub(super) chains: Vec<u32>,
    /// One a slot.
    pub(super) places: Vec<Place>,
    /// Of those that were heard of.
    pub(super) states: BTreeMap<Subtask, SubtaskState>,
    /// What is wished of it.
    pub(super) wish: Wish,
    /// The manifest it began from, and the checkpoint if that was one of this job.
    pub(super) restore: Option<Restore>,
    pub(super) restored: Option<CheckpointId>,
    /// What its TaskManagers are told of checkpoints.
    pub(super) checkpoints: Checkpoints,
    /// The one that is being taken.
    pub(super) taking: Option<Taking>,
    /// Parts of subtasks that are at their end.
    pub(super) ends: BTreeMap<Subtask, String>,
    /// Up to where sinks have made visible what belongs to checkpoints.
    pub(super) committed: BTreeMap<Subtask, CheckpointId>,
    /// How far its sources are, and may go.
    pub(super) drift: Drift,
    /// What its sources have been given to read.
    pub(super) sharing: Sharing,
}

#[derive(Debug)]
pub(super) enum Stage {
    Deploying,
    Running {
        since_ms: Timestamp,
    },
    /// Everything has prepared; a failure from here on cannot take all results back.
    Committing,
}

/// What follows when an attempt is gone.
#[derive(Debug)]
pub(super) enum Then {
    End(EndState),
    Restart {
        from_ms: Timestamp,
    },
    /// What the record says is to be decided.
    Decide,
}

impl Job {
    pub(super) fn state(&self) -> JobState {
        match &self.phase {
            Phase::Submitting { .. } | Phase::Refusing { .. } | Phase::Waiting { again: false, .. } => {
                JobState::Created
            }
            Phase::Waiting { again: true, .. } | Phase::Stopping { then: Then::Restart { .. }, .. } => {
                JobState::Restarting
            }
            Phase::Undecided | Phase::Stopping { then: Then::Decide, .. } => JobState::NeedsDecision,
            Phase::Placed { stage: Stage::Deploying, .. } => JobState::Deploying,
            Phase::Placed { .. } => JobState::Running,
            Phase::Stopping { then: Then::End(EndState::Finished | EndState::Stopped { .. }), .. } => JobState::Running,
            Phase::Stopping { .. } => JobState::Cancelling,
            Phase::Ending { shown } => shown.clone(),
            Phase::Over => self.record.end.clone().expect("what is over has an end").state.into(),
        }
    }

    /// Whether anybody has been told of it.
    pub(super) fn is_accepted(&self) -> bool {
        !matches!(self.phase, Phase::Submitting { .. } | Phase::Refusing { .. })
    }

    /// The attempt that holds slots.
    pub(super) fn placed(&self) -> Option<&Placed> {
        match &self.phase {
            Phase::Placed { placed, .. } | Phase::Stopping { placed: Some(placed), .. } => Some(placed),
            _ => None,
        }
    }

    pub(super) fn placed_mut(&mut self) -> Option<&mut Placed> {
        match &mut self.phase {
            Phase::Placed { placed, .. } | Phase::Stopping { placed: Some(placed), .. } => Some(placed),
            _ => None,
        }
    }

    /// Whether each subtask has come to a state of this kind.
    pub(super) fn all(&self, is: impl Fn(&SubtaskState) -> bool) -> bool {
        let Some(placed) = self.placed() else { return false };
        placed.subtasks().all(|subtask| placed.states.get(&subtask).is_some_and(&is))
    }

    /// Subtasks that this life of a TaskManager runs.
    pub(super) fn subtasks_on(&self, id: TaskManagerId, incarnation: Incarnation) -> Vec<Subtask> {
        let Some(placed) = self.placed() else { return Vec::new() };
        let here = |subtask: &Subtask| placed.is_at(*subtask, id, incarnation);
        placed.subtasks().filter(here).collect()
    }

    /// Whether what it has read is not lost with an attempt.
    pub(super) fn is_kept(&self) -> bool {
        self.record.shape.checkpoints.is_some() || self.keeping.newest().is_some()
    }

    /// Whether it is to have another attempt when it has none: it is to run, or to run until it can end in the way it is to.
    pub(super) fn comes_again(&self) -> bool {
        match self.record.desired {
            Desired::Run | Desired::Stop => true,
            Desired::Drain => self.durably_desired == Desired::Drain && self.is_kept(),
            Desired::Cancel => false,
        }
    }

    /// Slots it would need beside those it holds where new subtasks may run.
    pub(super) fn slots_missing(&self, cordoned: &BTreeSet<TaskManagerId>) -> u32 {
        let places = self.placed().map_or(&[][..], |placed| &placed.places);
        let held = places.iter().filter(|place| !cordoned.contains(&place.taskmanager)).count();
        self.record.shape.slots().saturating_sub(held as u32)
    }
}

impl Placed {
    pub(super) fn subtasks(&self) -> impl Iterator<Item = Subtask> {
        subtasks(&self.chains)
    }

    pub(super) fn taskmanagers(&self) -> BTreeSet<(TaskManagerId, Incarnation)> {
        self.places.iter().map(|place| (place.taskmanager, place.incarnation)).collect()
    }

    /// Whether a subtask runs on this life of a TaskManager.
    pub(super) fn is_at(&self, subtask: Subtask, id: TaskManagerId, incarnation: Incarnation) -> bool {
        let place = self.places.get(subtask.index as usize);
        place.is_some_and(|place| place.taskmanager == id && place.incarnation == incarnation)
    }
}
