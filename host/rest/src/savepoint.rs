//! Checkpoints and savepoints, and what is asked of jobs that have some.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Problem, SinkGuarantee, VertexKind};

/// A savepoint: a checkpoint with a name, which stays until it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Savepoint {
    pub name: String,
    /// The job it was taken of.
    pub job: String,
    pub job_name: String,
    /// `job-7/1.41`.
    pub checkpoint: String,
    pub time_ms: i64,
    /// The version of Wasmill that took it.
    pub engine: String,
    /// Bytes of its snapshot files.
    pub state_bytes: u64,
    /// Sources, operators and sinks that it is of.
    pub operators: Vec<String>,
    /// Of one that was imported: the cluster that it was taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Sinks that had written and not finished a file. It lies where they write, and is not in the savepoint; one that was imported
    /// has left it behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
}

/// What a job begins from, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Beginning {
    /// A savepoint, or a checkpoint as `job-7/1.41`.
    pub from: String,
    pub state: Vec<StateChange>,
    /// Of a plan: why the job cannot begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Problem>,
}

/// What becomes of a part of what a job begins from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateChange {
    /// The source, operator or sink.
    pub vertex: String,
    pub kind: VertexKind,
    /// A cell, timers, a position, output.
    pub what: String,
    pub fate: StateFate,
    /// Why, where that is not clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateFate {
    /// It goes on.
    Kept,
    /// It goes on under another name.
    Renamed,
    /// There was none: it begins empty, or at the beginning.
    New,
    /// The job has no place for it.
    Dropped,
    /// The job has a place for it, into which it does not fit.
    Incompatible,
}

/// A savepoint that is to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SavepointRequest {
    /// 1 to 63 letters, digits, `-` and `_`; without it one is made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Another parallelism for a running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The source, operator or sink; without it, all that do not say how parallel they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    pub parallelism: u32,
}

/// A running job that was replaced by another form of itself, and runs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replaced {
    pub id: String,
    pub name: String,
    /// How often it was replaced.
    pub version: u32,
    pub state: String,
    pub warnings: Vec<String>,
    /// What it went on from; none if it had no checkpoint yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<Beginning>,
    /// What is promised about the rows that reach each sink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guarantees: Vec<SinkGuarantee>,
}

/// How the checkpoints of a job are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointState {
    /// The newest that is complete: `job-7/1.41`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// How long ago it was complete. The job's health: what came since would have to be done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<i64>,
    /// The one that is being taken, since when, and how many subtasks have not taken part yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<usize>,
    /// Since the last one that was complete.
    pub failed_in_row: u32,
    /// In this life of the JobManager.
    pub taken: u64,
    pub failed: u64,
    /// What this attempt began from, by the manifest's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
}
