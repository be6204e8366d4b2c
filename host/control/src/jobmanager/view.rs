//! What the shell can look at. Nothing is decided by it.

use wasmill_model::{
    Timestamp,
    ids::{Attempt, CheckpointId, Incarnation, JobId, Subtask, TaskManagerId},
};

use crate::{
    jobmanager::{
        Choice, Decision, Desired, InStep, JobManager, JobState,
        phase::{Job, Placed},
    },
    message::{Cause, SubtaskState},
};

/// A job as it is now.
#[derive(Debug)]
pub struct JobView<'a> {
    pub state: JobState,
    /// What is durably desired of it.
    pub desired: Desired,
    /// The newest attempt in this life of the JobManager; with the count 0 if there was none.
    pub attempt: Attempt,
    pub restarts: u32,
    /// Why the newest attempt that failed did.
    pub cause: Option<&'a Cause>,
    /// Those that have a place, with how far they have come; none: nothing was heard of it.
    pub subtasks: Vec<(Subtask, TaskManagerId, Option<SubtaskState>)>,
    /// None: it takes no checkpoints.
    pub checkpoint: Option<CheckpointView>,
    /// How often its shape was replaced, there and back.
    pub version: u32,
    /// What is to be decided, if it is in that state.
    pub decision: Option<DecisionView<'a>>,
    /// The newest checkpoint of which all that sinks had prepared was visible once.
    pub visible: Option<CheckpointId>,
    /// The sources of the present attempt that keep in step.
    pub in_step: &'a [InStep],
}

/// What is to be decided about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionView<'a> {
    pub decision: &'a Decision,
    pub choices: Vec<Choice>,
    /// The manifest that it would begin from with [`Choice::Rewind`]; none: from the beginning.
    pub rewind_to: Option<String>,
}

/// A job's checkpoints as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointView {
    /// The newest that is not damaged, and when it was stored; of one of an earlier life of the JobManager: when this life began.
    pub completed: Option<(CheckpointId, Timestamp)>,
    /// The one on its way, when it began, and the subtasks that have not said their part.
    pub under_way: Option<(CheckpointId, Timestamp, Vec<Subtask>)>,
    /// What another attempt would begin from.
    pub manifest: Option<String>,
    /// How many came to nothing since the last that is complete.
    pub failed_in_row: u32,
    /// In this life of the JobManager.
    pub taken: u64,
    pub failed: u64,
    /// The manifest that the present attempt began from.
    pub restored_from: Option<String>,
}

/// A TaskManager as it is now.
#[derive(Debug)]
pub struct TaskManagerView<'a> {
    pub id: TaskManagerId,
    pub incarnation: Incarnation,
    /// Where its data plane listens.
    pub address: &'a str,
    pub slots: u32,
    pub free: u32,
    /// It gets no new subtasks.
    pub cordoned: bool,
    /// Jobs that have slots on it.
    pub jobs: Vec<JobId>,
}

impl JobManager {
    /// A job, unless it was never there, is not accepted yet, or is forgotten.
    pub fn job(&self, id: JobId) -> Option<JobView<'_>> {
        let job = self.jobs.get(&id).filter(|job| job.is_accepted())?;
        let placed = job.placed();
        let attempt = placed.map_or_else(|| Attempt::new(self.epoch, job.attempts), |placed| placed.attempt);
        let subtasks = placed.map_or_else(Vec::new, |placed| {
            let subtask = |subtask: Subtask| {
                let place = &placed.places[subtask.index as usize];
                (subtask, place.taskmanager, placed.states.get(&subtask).cloned())
            };
            placed.subtasks().map(subtask).collect()
        });
        let (restarts, cause) = (job.record.restarts, job.record.last_cause.as_ref());
        Some(JobView {
            state: job.state(),
            desired: job.durably_desired,
            attempt,
            restarts,
            cause,
            subtasks,
            checkpoint: checkpoint(job),
            version: job.record.version,
            decision: job.decision(),
            visible: job.record.recovery.visible,
            in_step: placed.map_or(&[], |placed| placed.drift.in_step()),
        })
    }

    /// All jobs that [`JobManager::job`] shows, the oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().filter(|(_, job)| job.is_accepted()).map(|(id, _)| *id)
    }

    /// All TaskManagers that are there.
    pub fn taskmanagers(&self) -> impl Iterator<Item = TaskManagerView<'_>> {
        self.taskmanagers.iter().map(|(&id, known)| {
            let places = |job: &JobId| {
                let placed = self.jobs[job].placed();
                let here = |placed: &Placed| {
                    let at = placed.places.iter();
                    at.filter(|p| p.taskmanager == id && p.incarnation == known.incarnation).count() as u32
                };
                placed.map_or(0, here)
            };
            let held: Vec<(JobId, u32)> =
                self.live.iter().map(|job| (*job, places(job))).filter(|(_, n)| *n > 0).collect();
            TaskManagerView {
                id,
                incarnation: known.incarnation,
                address: &known.address,
                slots: known.slots,
                free: known.slots.saturating_sub(held.iter().map(|(_, slots)| slots).sum()),
                cordoned: self.cordoned.contains(&id),
                jobs: held.into_iter().map(|(job, _)| job).collect(),
            }
        })
    }
}

fn checkpoint(job: &Job) -> Option<CheckpointView> {
    job.record.shape.checkpoints?;
    let (keeping, placed) = (&job.keeping, job.placed());
    let taking = placed.and_then(|placed| placed.taking.as_ref().map(|taking| (placed, taking)));
    let taking = taking.map(|(placed, taking)| (taking.trigger.id, taking.since_ms, taking.missing(placed)));
    let writing = keeping.writing.as_ref().map(|writing| (writing.id, writing.since_ms, Vec::new()));
    Some(CheckpointView {
        manifest: job.begins_from(),
        completed: job.intact_since(),
        under_way: taking.or(writing),
        failed_in_row: keeping.failed_in_row,
        taken: keeping.taken,
        failed: keeping.failed,
        restored_from: placed.and_then(|placed| placed.restore.as_ref().map(|restore| restore.manifest.clone())),
    })
}
