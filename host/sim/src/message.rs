//! What goes over the pretended network: requests to the JobManager, each with its connection, and their answers.

use wasmill_control::{
    jobmanager::JobShape,
    message::{Orders, Reports},
};
use wasmill_model::ids::{Epoch, Incarnation, JobId, TaskManagerId};

/// From a TaskManager.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Register { taskmanager: TaskManagerId, incarnation: Incarnation, slots: u32 },
    Poll { taskmanager: TaskManagerId, incarnation: Incarnation, epoch: Epoch, version: u64 },
    Reports(Reports),
}

/// To a TaskManager.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Registered {
        epoch: Epoch,
    },
    Nothing,
    Orders(Orders),
    Acknowledged {
        sequence: u64,
    },
    /// It is to register (again).
    Register,
}

/// From people.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Submit { key: u64, shape: JobShape },
    Cancel { job: JobId },
    Drain { job: JobId },
}

/// To people.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    Accepted(JobId),
    Refused,
    /// The wish is durable.
    Taken,
}

impl Request {
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Register { incarnation, .. } => format!("register {incarnation}"),
            Self::Poll { epoch, version, .. } => format!("poll {epoch} version {version}"),
            Self::Reports(Reports { sequence, reports, .. }) => {
                let all: Vec<String> = reports
                    .iter()
                    .map(|r| format!("{} {} {} {}", r.job, r.attempt, r.subtask, name(&r.state)))
                    .collect();
                format!("reports to {sequence}: {}", all.join(", "))
            }
        }
    }
}

impl Answer {
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Registered { epoch } => format!("registered with {epoch}"),
            Self::Nothing => "nothing new".to_owned(),
            Self::Orders(Orders { version, orders, .. }) => {
                let all: Vec<String> = orders.iter().map(|o| format!("{:?} {} {}", o.wish, o.job, o.attempt)).collect();
                format!("orders {version}: {}", all.join(", "))
            }
            Self::Acknowledged { sequence } => format!("acknowledged to {sequence}"),
            Self::Register => "not known".to_owned(),
        }
    }
}

/// A subtask's state without its cause.
pub(crate) fn name(state: &wasmill_control::message::SubtaskState) -> &'static str {
    use wasmill_control::message::SubtaskState::{Committed, Failed, Prepared, Running, Stopped};
    match state {
        Running => "running",
        Prepared => "prepared",
        Committed => "committed",
        Failed(_) => "failed",
        Stopped => "stopped",
    }
}
