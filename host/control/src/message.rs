//! What the JobManager and a TaskManager's agent say to each other.
//!
//! Every message carries the job and the attempt it speaks of; an agent refuses an attempt below the highest it has
//! seen, and the JobManager refuses reports of any attempt but the current one. Orders are idempotent.

use serde::{Deserialize, Serialize};
use wasmill_model::{
    fault::{Code, Domain},
    ids::{Attempt, Incarnation, JobId, Subtask, TaskManagerId},
};

/// From the JobManager to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub job: JobId,
    pub attempt: Attempt,
    pub wish: Wish,
}

/// What is to become of the subtasks of a job's attempt on one TaskManager. A later wish includes the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// These are to run.
    Run { subtasks: Vec<Subtask> },
    /// Their sources are to end where they are, so that all that was read is handled and its results come out.
    Drain,
    /// All have prepared, here and elsewhere: make their results visible.
    Commit,
    /// None is to run any more; what is not committed is thrown away.
    Stop,
}

/// From an agent to the JobManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
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
}

/// Why a subtask failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub code: Code,
    pub domain: Domain,
    /// For people, whole: what was being done, on what, what to do now.
    pub message: String,
}
