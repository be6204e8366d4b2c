//! What the outside knows of a job: its shape, its durable record, its state, what happens to it.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    ids::{Attempt, Epoch, JobId, Subtask, TaskManagerId},
};

use crate::message::Cause;

/// What the JobManager needs to know of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShape {
    pub name: String,
    /// Parallelism of each chain.
    pub chains: Vec<u32>,
    pub restart: Restart,
}

/// What follows when an attempt fails for a reason that another attempt may not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// The job has failed.
    Never,
    /// Another attempt, later and later.
    Backoff {
        /// Restarts after which the job has failed; none: it is tried for ever.
        attempts_max: Option<u32>,
    },
}

impl JobShape {
    /// Slots the job needs. Slot i holds subtask i of every chain that has one.
    pub fn slots(&self) -> u32 {
        self.chains.iter().copied().max().unwrap_or(0)
    }

    /// All subtasks, chain by chain.
    pub fn subtasks(&self) -> impl Iterator<Item = Subtask> {
        let chains = self.chains.iter().zip(0..);
        chains.flat_map(|(&parallelism, chain)| (0..parallelism).map(move |index| Subtask { chain, index }))
    }
}

/// What has to survive the JobManager: enough for a later life to resume the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    pub id: JobId,
    pub shape: JobShape,
    pub submitted_ms: Timestamp,
    pub desired: Desired,
    /// The job's tombstone: a job that has one never runs again.
    pub end: Option<End>,
    pub restarts: u32,
    /// Why the newest attempt that failed did.
    pub last_cause: Option<Cause>,
}

/// What people want of a job. A later one replaces the earlier ones and is never taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Desired {
    Run,
    /// It is to end as if its input ended now.
    Drain,
    /// It is to end without results.
    Cancel,
}

/// How and when a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub state: EndState,
    pub at_ms: Timestamp,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndState {
    Cancelled,
    Failed(Cause),
    /// All results are visible.
    Finished,
}

/// What a person sees of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Waiting for slots, for the first time.
    Created,
    /// Its subtasks are being started.
    Deploying,
    Running,
    /// It runs again as soon as the last attempt has ended, its time has come and there are slots.
    Restarting,
    /// Its subtasks are being stopped, for good.
    Cancelling,
    Cancelled,
    Failed(Cause),
    /// All results are visible.
    Finished,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed(_) | Self::Finished)
    }

    /// The name used in interfaces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Deploying => "DEPLOYING",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Failed(_) => "FAILED",
            Self::Finished => "FINISHED",
        }
    }
}

impl From<EndState> for JobState {
    fn from(end: EndState) -> Self {
        match end {
            EndState::Cancelled => Self::Cancelled,
            EndState::Failed(cause) => Self::Failed(cause),
            EndState::Finished => Self::Finished,
        }
    }
}

/// Something that happened to a job beside its changes of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// An attempt was given slots.
    Placed {
        attempt: Attempt,
        taskmanagers: Vec<TaskManagerId>,
    },
    /// An attempt failed.
    Failure {
        attempt: Attempt,
        cause: Cause,
        restarted: bool,
    },
    /// Another attempt will be made.
    Restarting {
        delay_ms: u64,
        after_commit: bool,
    },
    TaskManagerLost {
        attempt: Attempt,
        taskmanager: TaskManagerId,
    },
    /// A new life of the JobManager has taken the job over.
    Recovered {
        epoch: Epoch,
        starts_again: bool,
    },
    /// An attempt ends so that the next one runs elsewhere: its TaskManager takes no new subtasks.
    Moved {
        attempt: Attempt,
        taskmanager: TaskManagerId,
    },
    /// The wish to cancel came when results were already becoming visible.
    TooLateToCancel {
        attempt: Attempt,
    },
}

impl JobEvent {
    /// The name used in interfaces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Placed { .. } => "placed",
            Self::Failure { .. } => "failure",
            Self::Restarting { .. } => "restarting",
            Self::TaskManagerLost { .. } => "worker-lost",
            Self::Recovered { .. } => "recovered",
            Self::Moved { .. } => "moved",
            Self::TooLateToCancel { .. } => "too-late-to-cancel",
        }
    }
}

impl fmt::Display for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Placed { attempt, taskmanagers } => {
                let names: Vec<String> = taskmanagers.iter().map(ToString::to_string).collect();
                write!(f, "{attempt} runs on {}", names.join(", "))
            }
            Self::Failure { attempt, cause, .. } => write!(f, "{attempt} failed: {}", cause.message),
            Self::Restarting { delay_ms, after_commit } => {
                write!(f, "it starts again from the beginning of its input in {delay_ms} ms")?;
                match after_commit {
                    true => f.write_str("; some of its results are visible already and will be written again"),
                    false => Ok(()),
                }
            }
            Self::TaskManagerLost { attempt, taskmanager } => write!(f, "{taskmanager}, which ran {attempt}, was lost"),
            Self::Recovered { epoch, starts_again } => {
                write!(f, "the JobManager was restarted ({epoch})")?;
                match starts_again {
                    true => f.write_str("; the job starts again from the beginning of its input"),
                    false => Ok(()),
                }
            }
            Self::Moved { attempt, taskmanager } => {
                write!(f, "{attempt} moves away from {taskmanager}, which is being drained")
            }
            Self::TooLateToCancel { attempt } => {
                write!(f, "it was too late to cancel {attempt}: its results are already becoming visible")
            }
        }
    }
}
