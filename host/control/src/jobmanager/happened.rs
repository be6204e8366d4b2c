//! What happens to a job beside its changes of state, for people.

use std::fmt;

use wasmill_model::ids::{Attempt, CheckpointId, Epoch, TaskManagerId};

use crate::{
    jobmanager::{About, Choice},
    message::Cause,
};

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
        /// The manifest it goes on from, unless a newer one is complete by then; none: from the beginning.
        restore: Option<String>,
    },
    TaskManagerLost {
        attempt: Attempt,
        taskmanager: TaskManagerId,
    },
    /// A new life of the JobManager has taken the job over.
    Recovered {
        epoch: Epoch,
        starts_again: bool,
        /// The manifest it goes on from; none: from the beginning.
        restore: Option<String>,
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
    /// A checkpoint was given up. What has changed since the one before is in the next.
    CheckpointFailed {
        checkpoint: CheckpointId,
        reason: String,
    },
    SavepointTaken {
        checkpoint: CheckpointId,
    },
    /// A checkpoint, or a file of it, is damaged or gone. The next attempt begins from an earlier one, as no sink has made visible
    /// what came since.
    PassedOver {
        checkpoint: CheckpointId,
        reason: String,
    },
    /// Somebody has to decide how the job goes on.
    NeedsDecision {
        about: About,
        reason: String,
    },
    /// Somebody has decided it.
    Resolved {
        choice: Choice,
        /// The manifest it goes on from; none: from the beginning.
        restore: Option<String>,
    },
    /// The job runs with another shape.
    Replaced {
        version: u32,
    },
    /// No attempt of another shape came to run: the job has the one before again.
    RolledBack {
        version: u32,
        cause: Cause,
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
            Self::CheckpointFailed { .. } => "checkpoint-failed",
            Self::SavepointTaken { .. } => "savepoint-taken",
            Self::PassedOver { .. } => "checkpoint-passed-over",
            Self::NeedsDecision { .. } => "needs-decision",
            Self::Resolved { .. } => "resolved",
            Self::Replaced { .. } => "replaced",
            Self::RolledBack { .. } => "rolled-back",
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
            Self::Restarting { delay_ms, after_commit, restore } => {
                write!(f, "it {} in {delay_ms} ms", Again(restore))?;
                match after_commit {
                    true => f.write_str("; some of its results are visible already and will be written again"),
                    false => Ok(()),
                }
            }
            Self::TaskManagerLost { attempt, taskmanager } => write!(f, "{taskmanager}, which ran {attempt}, was lost"),
            Self::Recovered { epoch, starts_again, restore } => {
                write!(f, "the JobManager was restarted ({epoch})")?;
                match starts_again {
                    true => write!(f, "; the job {}", Again(restore)),
                    false => Ok(()),
                }
            }
            Self::Moved { attempt, taskmanager } => {
                write!(f, "{attempt} moves away from {taskmanager}, which is being drained")
            }
            Self::TooLateToCancel { attempt } => {
                write!(f, "it was too late to cancel {attempt}: its results are already becoming visible")
            }
            Self::CheckpointFailed { checkpoint, reason } => write!(f, "{checkpoint} was given up: {reason}"),
            Self::SavepointTaken { checkpoint } => write!(f, "{checkpoint} is complete, a savepoint"),
            Self::PassedOver { checkpoint, reason } => {
                write!(f, "{checkpoint} is passed over, as nothing of it was visible yet: {reason}")
            }
            Self::NeedsDecision { about, reason } => write!(f, "somebody has to decide, {}: {reason}", about.name()),
            Self::Resolved { choice, restore } => {
                write!(f, "it was decided, {}: it {}", choice.name(), Again(restore))
            }
            Self::Replaced { version } => write!(f, "it runs as version {version}"),
            Self::RolledBack { version, cause } => {
                write!(
                    f,
                    "what was to replace it did not come to run, so that it is the job before again, as version "
                )?;
                write!(f, "{version}: {}", cause.message)
            }
        }
    }
}

/// Where another attempt begins, for people.
struct Again<'a>(&'a Option<String>);

impl fmt::Display for Again<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(manifest) => write!(f, "goes on from {manifest}"),
            None => f.write_str("starts again from the beginning of its input"),
        }
    }
}
