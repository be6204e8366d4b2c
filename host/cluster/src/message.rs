//! What a TaskManager and the JobManager send each other over HTTP, beside the orders and reports of `control`: JSON bodies of
//! `/v1/tm/...`.
//!
//! Every body carries the protocol's version: a JobManager refuses a TaskManager that speaks another.

use serde::{Deserialize, Serialize};
use wasmill_control::message::{Orders, Reports};
use wasmill_model::{
    Timestamp,
    ids::{Attempt, Epoch, Incarnation, JobId, TaskManagerId},
};
use wasmill_plugin::cache::Secret;
use wasmill_rest::Submission;
use wasmill_runtime::{Found, activity::SubtaskFigures, counters::Totals, latency::Latencies};

/// The version of this protocol. Raised when a message changes in a way that an older reader misunderstands.
pub const PROTOCOL: u32 = 4;

/// A TaskManager is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    pub protocol: u32,
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
    pub slots: u32,
    /// How long it goes on without the JobManager; not longer than the JobManager waits for it.
    pub lease_ms: u64,
    /// Where its data plane listens, `HOST:PORT`.
    pub address: String,
    /// The cluster it was registered with before, if it was.
    pub cluster: Option<String>,
    /// What it has read in the checkpoint store.
    pub nonce: Option<String>,
}

/// It is taken, or is to show first that it can read the checkpoint store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub cluster: String,
    pub epoch: Epoch,
    /// What compiled code from the JobManager is sealed with; none where both share a store.
    pub secret: Option<Secret>,
    /// The folder of the checkpoint store; none: there is none.
    pub checkpoints: Option<String>,
    /// It is to register again, with what it reads there.
    pub prove: bool,
}

/// It waits for orders, and says how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
    pub epoch: Epoch,
    /// The orders it has.
    pub version: u64,
    pub metrics: Vec<JobTotals>,
    pub logs: Vec<Logged>,
    pub rows: Vec<Tapped>,
}

/// What a poll brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    pub answer: Answer,
    /// The edges that somebody looks at.
    pub taps: Vec<Tap>,
}

/// An edge that somebody looks at, named by where it begins: `vertex.port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tap {
    pub job: JobId,
    pub edge: String,
}

/// A row that passed such an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tapped {
    pub tap: Tap,
    pub subtask: u32,
    pub row: serde_json::Value,
}

/// How far subtasks have come, and what they have done by then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub reports: Reports,
    pub metrics: Vec<JobTotals>,
}

/// What a poll or reports bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing is new.
    Nothing,
    Orders(Orders),
    /// Reports up to this one have arrived.
    Acknowledged {
        sequence: u64,
    },
    /// The JobManager does not know this TaskManager: it is to register (again).
    Register,
}

/// What an attempt has done on one TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTotals {
    pub job: JobId,
    pub attempt: Attempt,
    /// One a vertex of the graph.
    pub vertices: Vec<VertexTotals>,
    /// Bytes of rows that wait in channels into this TaskManager's subtasks: the edge's place in the graph, and how many.
    pub queued: Vec<(usize, u64)>,
    /// What each of its subtasks is doing.
    pub subtasks: Vec<SubtaskFigures>,
}

/// What the subtasks of a vertex have done on one TaskManager, since the attempt began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexTotals {
    #[serde(flatten)]
    pub totals: Totals,
    pub watermark_ms: Option<Timestamp>,
    /// Of a sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latencies: Option<Latencies>,
}

/// A line that an operator logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    pub job: JobId,
    pub at_ms: Timestamp,
    pub operator: String,
    pub subtask: u32,
    pub level: String,
    pub message: String,
}

/// What a TaskManager makes a job of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub submission: Submission,
    pub found: Found,
}
