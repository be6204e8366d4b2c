//! The cluster as a whole and its TaskManagers, which people call workers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The JobManager and what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Of this cluster's data folder; it never changes.
    pub id: String,
    pub version: String,
    /// Which life of the JobManager this is.
    pub epoch: String,
    pub started_ms: i64,
    pub workers: u32,
    pub slots: u32,
    pub slots_free: u32,
    pub jobs: JobCounts,
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobCounts {
    pub waiting: u32,
    pub running: u32,
    pub restarting: u32,
    #[serde(default)]
    pub needs_decision: u32,
    pub finished: u32,
    pub failed: u32,
    pub cancelled: u32,
}

/// A TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    pub id: String,
    /// Which life of its process this is.
    pub incarnation: String,
    pub state: WorkerState,
    /// Where its data plane listens.
    pub address: String,
    pub slots: u32,
    pub slots_free: u32,
    /// Jobs with subtasks on it.
    pub jobs: Vec<String>,
    pub registered_ms: i64,
    pub last_seen_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WorkerState {
    Active,
    /// It gets no more subtasks.
    Drained,
}
