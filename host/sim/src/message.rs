//! What goes over the pretended network: requests to the JobManager, each with its connection, and their answers.

use wasmill_control::{
    jobmanager::JobShape,
    message::{At, Checkpoints, Order, Orders, Reports, Said, SourceWatermark},
};
use wasmill_model::ids::{CheckpointId, Epoch, Incarnation, JobId, TaskManagerId};

/// From a TaskManager.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Register {
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        slots: u32,
    },
    Poll {
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        epoch: Epoch,
        version: u64,
        watermarks: Vec<SourceWatermark>,
    },
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
    Savepoint { job: JobId },
    Stop { job: JobId },
    Replace { job: JobId, chains: Vec<u32> },
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
                    .map(|r| format!("{} {} {} {}", r.job, r.attempt, r.subtask, said(&r.said)))
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
                let all: Vec<String> = orders.iter().map(order).collect();
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

/// What a subtask says, in short.
pub(crate) fn said(said: &Said) -> String {
    match said {
        Said::State(state) => name(state).to_owned(),
        Said::Part { at: At::Checkpoint(id), .. } => format!("part of {}", short(*id)),
        Said::Part { at: At::End, .. } => "part at its end".to_owned(),
        Said::Declined { checkpoint, .. } => format!("declines {}", short(*checkpoint)),
        Said::Committed(to) => format!("committed to {}", short(*to)),
        Said::Asks(asks) => format!("has {} of {}", asks.has, asks.of),
    }
}

fn order(order: &Order) -> String {
    let Checkpoints { triggered, completed, given_up } = order.checkpoints;
    let of = |what: &str, id: Option<CheckpointId>| id.map_or(String::new(), |id| format!(", {what} {}", short(id)));
    let numbers =
        of("take", triggered.map(|trigger| trigger.id)) + &of("completed", completed) + &of("given up", given_up);
    format!("{:?} {} {}{numbers}", order.wish, order.job, order.attempt)
}

fn short(id: CheckpointId) -> String {
    format!("{}.{}", id.0 >> 32, id.0 as u32)
}
