//! Who holds a job's time and its checkpoints back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::VertexKind;

/// Why a job stands still, as far as it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stall {
    pub id: String,
    pub name: String,
    pub state: String,
    pub attempt: String,
    pub vertices: Vec<VertexTime>,
    /// Who holds the watermark; absent if nothing is known of a subtask, or nobody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<WatermarkHeld>,
    /// Who holds the checkpoint that is being taken; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointHeld>,
    /// The answer, a sentence each.
    pub because: Vec<String>,
}

/// How far the time of a vertex is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VertexTime {
    pub name: String,
    pub kind: VertexKind,
    /// The lowest watermark of its subtasks; absent as long as one has none, and after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// How many of its subtasks are ACTIVE, IDLE, FINISHED.
    pub active: u32,
    pub idle: u32,
    pub finished: u32,
}

/// Where the watermark is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WatermarkHeld {
    /// The lowest of all sinks; absent: there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// From the sink to whom it waits for, each because of the next.
    pub path: Vec<Hop>,
}

/// Where a checkpoint is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointHeld {
    /// `job-7/1.41`.
    pub checkpoint: String,
    pub under_way_ms: i64,
    /// Subtasks whose part is there, and of how many.
    pub taken: u32,
    pub subtasks: u32,
    /// Whose part is missing, the first 20.
    pub missing: Vec<Hop>,
    /// From one of those to whom it waits for, each because of the next.
    pub path: Vec<Hop>,
}

/// A subtask, and what keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hop {
    /// The vertex that does what `why` says, or the first of its chain.
    pub vertex: String,
    pub kind: VertexKind,
    pub subtask: u32,
    pub worker: String,
    /// By which `vertex.port` the one before it in the path reads from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// ACTIVE, IDLE, FINISHED, or TIMELESS: a source without event times. Absent if nothing was heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// For how long its watermark and standing have been what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged_ms: Option<u64>,
    /// In words: `has read no row for 4.2 s`.
    pub why: String,
}
