//! What the JobManager and a TaskManager's agent say to each other.
//!
//! What the JobManager wishes of a TaskManager is one list, whole each time and numbered: a list that is lost is made good by
//! the next, and one that comes late is known by its number. What an agent reports is numbered too and repeated until it is
//! acknowledged. Every message names the life of the JobManager it belongs to, and every attempt carries that life in its
//! number; either side refuses what is at or below what it has already seen.

use serde::{Deserialize, Serialize};
use wasmill_model::{
    fault::{Code, Domain},
    ids::{Attempt, Epoch, Incarnation, JobId, Subtask, TaskManagerId},
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
    /// None is to run any more; what is not committed is thrown away.
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

/// How far a subtask has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub job: JobId,
    pub attempt: Attempt,
    pub subtask: Subtask,
    pub state: SubtaskState,
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
