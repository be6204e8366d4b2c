//! What the JobManager and a TaskManager's agent say to each other.
//!
//! What the JobManager wishes of a TaskManager is one list, whole each time and numbered: a list that is lost is made good by
//! the next, and one that comes late is known by its number. What an agent reports is numbered too and repeated until it is
//! acknowledged. Every message names the life of the JobManager it belongs to, and every attempt carries that life in its
//! number; either side refuses what is at or below what it has already seen.

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::{Attempt, CheckpointId, Epoch, Incarnation, JobId, Subtask, TaskManagerId},
    portions::{Asks, Given},
};

/// All that the JobManager wishes of one life of a TaskManager. What is not in it is to be stopped and forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    pub epoch: Epoch,
    /// A later list has a higher number. Never 0.
    pub version: u64,
    pub orders: Vec<Order>,
}

/// What is wished of a job's attempt on one TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub job: JobId,
    pub attempt: Attempt,
    pub wish: Wish,
    /// Those of this TaskManager.
    pub subtasks: Vec<Subtask>,
    /// One a slot of the job: who runs subtask i of every chain.
    pub placement: Vec<Place>,
    /// What the attempt begins from; none: from the beginning.
    #[serde(default)]
    pub restore: Option<Restore>,
    /// How far its checkpoints are.
    #[serde(default)]
    pub checkpoints: Checkpoints,
    /// Up to which watermark sources may go on that keep in step with others, as far as it is known; `time::MAX`: however far.
    #[serde(default)]
    pub limits: Vec<(Subtask, Timestamp)>,
    /// What the sources among them have been given that have asked.
    #[serde(default)]
    pub given: Vec<(Subtask, Given)>,
}

/// How far a source's subtask is, said again and again: the newest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceWatermark {
    pub job: JobId,
    pub attempt: Attempt,
    pub subtask: Subtask,
    /// `time::MIN`: it has none yet; `None`: nobody is to wait for it, since it is idle or has ended.
    pub watermark: Option<Timestamp>,
}

/// What an attempt begins from.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// A manifest, by its name in the checkpoint store.
    pub manifest: String,
    /// All that its sinks had prepared was visible once: what is gone of it, somebody has taken away.
    pub visible: bool,
    /// What its sinks had prepared and nobody can find is given up.
    pub given_up: bool,
    /// Manifests of later checkpoints, which are passed over: by them too things have become visible.
    pub passed: Vec<Passed>,
}

/// A later checkpoint than the one that an attempt begins from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    pub manifest: String,
    /// All that its sinks had prepared was visible once.
    pub visible: bool,
}

/// How far the checkpoints of an attempt are. Each number only rises within it, and like all orders it says what is to be, not
/// what is to be done: who has missed some finds the newest.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// The newest that is to be taken.
    pub triggered: Option<Trigger>,
    /// The newest that is complete: sinks make visible what belongs to it and to those before it.
    pub completed: Option<CheckpointId>,
    /// The newest that is given up, with all before it that are not complete.
    pub given_up: Option<CheckpointId>,
}

/// A checkpoint that is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trigger {
    pub id: CheckpointId,
    pub savepoint: bool,
}

impl Checkpoints {
    /// Takes the higher of each number. Whether any rose.
    pub(crate) fn raise(&mut self, to: Self) -> bool {
        let before = *self;
        self.triggered = self.triggered.max(to.triggered);
        self.completed = self.completed.max(to.completed);
        self.given_up = self.given_up.max(to.given_up);
        *self != before
    }
}

/// Where one slot of a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
    /// Where its data plane listens.
    pub address: String,
}

/// What is to become of the subtasks of an attempt. A later wish includes the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wish {
    /// They are to run.
    Run,
    /// Their sources are to end where they are, so that all that was read is handled and its results come out.
    Drain,
    /// All have prepared, here and elsewhere: make their results visible.
    Commit,
    /// None is to run any more; what belongs to a complete checkpoint is made visible, and all else is thrown away.
    Stop,
}

/// From an agent to the JobManager: all that it has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    pub epoch: Epoch,
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
    /// The number of the newest. Never 0.
    pub sequence: u64,
    pub reports: Vec<Report>,
}

/// What a subtask has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub job: JobId,
    pub attempt: Attempt,
    pub subtask: Subtask,
    pub said: Said,
}

/// What a subtask says. Of one kind, a later one makes the earlier ones needless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    State(SubtaskState),
    /// Its part of a checkpoint is durable. What it consists of is for the shells to understand.
    Part {
        at: At,
        content: String,
    },
    /// It could not take its part of this checkpoint.
    Declined {
        checkpoint: CheckpointId,
        reason: String,
    },
    /// Its sinks have made visible everything up to this checkpoint.
    Committed(CheckpointId),
    /// It will soon have read what it was given.
    Asks(Asks),
}

/// Where in a subtask's input its part of a checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    Checkpoint(CheckpointId),
    /// At its end. Said before [`SubtaskState::Prepared`], and good for every checkpoint of which it has said no other part.
    End,
}

/// How far a subtask has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubtaskState {
    /// It has its inputs, outputs and instances and takes rows.
    Running,
    /// All its input has been handled; its results are durable and not yet visible.
    Prepared,
    /// Its results are visible.
    Committed,
    /// It cannot go on.
    Failed(Cause),
    /// It ended because it was told to.
    Stopped,
}

impl SubtaskState {
    /// Whether the subtask's thread has ended for good.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Committed | Self::Failed(_) | Self::Stopped)
    }

    /// How late in a subtask's life it is. A state at or below one that was already seen says nothing new.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Running => 1,
            Self::Prepared => 2,
            Self::Committed | Self::Failed(_) | Self::Stopped => 3,
        }
    }
}

/// Why a subtask, or a job, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub code: Code,
    pub domain: Domain,
    /// For people, whole: what was being done, on what, what to do now.
    pub message: String,
}
