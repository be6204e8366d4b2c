//! What has happened to a job: events, exceptions, log lines, and rows that are looked at as they pass.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Part of a list. The next part begins behind `next`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` for what follows; absent if there is nothing more now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Counts the events of the job from 1.
    pub sequence: u64,
    pub at_ms: i64,
    /// `state`, `placed`, `restarting`, `worker-lost`.
    pub kind: String,
    pub message: String,
}

/// A failure of a job's attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exception {
    /// Counts the exceptions of the job from 1.
    pub sequence: u64,
    pub at_ms: i64,
    pub attempt: String,
    pub code: String,
    pub domain: String,
    pub message: String,
    /// Whether the job was started again after it.
    pub restarted: bool,
}

/// A line that an operator logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Counts the lines of the job from 1.
    pub sequence: u64,
    pub at_ms: i64,
    pub worker: String,
    pub operator: String,
    pub subtask: u32,
    /// trace, debug, info, warn or error.
    pub level: String,
    pub message: String,
}

/// A row that passed an edge while somebody looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TapRow {
    /// `vertex.port`.
    pub edge: String,
    pub subtask: u32,
    pub row: serde_json::Value,
}
