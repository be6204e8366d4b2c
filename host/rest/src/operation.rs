//! What was asked of a job and takes its time. An operation is as durable as the wish it stands for: it can be looked up
//! as long as the job is known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A job that was asked to end, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// The job and the kind: `job-7.cancel`.
    pub id: String,
    pub kind: OperationKind,
    pub job: String,
    pub state: OperationState,
    /// The job's own state.
    pub job_state: String,
}

impl Operation {
    #[must_use]
    pub fn new(job: &str, kind: OperationKind, state: OperationState, job_state: &str) -> Self {
        let id = Self::id_of(job, kind);
        Self { id, kind, job: job.to_owned(), state, job_state: job_state.to_owned() }
    }

    /// The id of the operation that ends a job.
    #[must_use]
    pub fn id_of(job: &str, kind: OperationKind) -> String {
        format!("{job}.{kind}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// The job ends at once; what was not committed is thrown away.
    Cancel,
    /// The sources end; what was read comes out.
    Stop,
}

impl OperationKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OperationKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Cancel, Self::Stop].into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationState {
    Running,
    /// The job has ended as it was asked to.
    Done,
    /// The job has ended in another way before it could.
    Failed,
}
