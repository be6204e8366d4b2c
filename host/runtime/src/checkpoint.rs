//! Checkpoints of an attempt: what a subtask keeps of one, who writes it, and what an attempt begins from.
//!
//! A subtask takes its part between two rows: it seals the state of its operators, asks its source how far it has read and its sinks
//! what is not visible yet, sends the barrier on, and goes on. A thread of the attempt writes what was taken into the store; once
//! that is durable the JobManager is told, which makes a manifest of the parts of all subtasks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmill_model::{
    fault::{Code, Coded},
    ids::CheckpointId,
};
use wasmill_snapshot::{
    file::StateSchema,
    manifest::{Manifest, SnapshotFile},
    store::{self, Store},
};

mod chain_of_files;
mod fetching;
mod named;
mod restored;
mod taking;
mod writer;

pub(crate) use fetching::Fetched;
pub use fetching::Local;
pub(crate) use restored::{NotFilled, Restored, schema_of};
pub(crate) use taking::{Checkpointer, Taken};
pub(crate) use writer::{Writing, start_writer};

/// Where the checkpoints of an attempt go, and what it begins from.
#[derive(Debug, Clone)]
pub struct Checkpointing {
    pub store: Store,
    /// The cluster's id.
    pub cluster: String,
    pub local: Local,
    /// `None`: the attempt begins with nothing.
    pub restore: Option<Beginning>,
}

/// A checkpoint that an attempt begins from, and what is known of it.
#[derive(Debug, Clone)]
pub struct Beginning {
    pub manifest: Arc<Manifest>,
    /// All that its sinks had prepared was visible once.
    pub visible: bool,
    /// What its sinks had prepared and cannot be found is given up.
    pub given_up: bool,
    /// Later checkpoints, which are passed over, and whether all that sinks had prepared in them was visible once. Those that can be
    /// read.
    pub passed: Vec<(Arc<Manifest>, bool)>,
}

/// What it means that something of a checkpoint cannot be fetched. What is not there is as bad as what is damaged; but where nothing
/// is that belongs to the cluster, another folder stands in the place of the store.
pub fn restore_code(store: &Store, error: &store::Error) -> Code {
    let is_there = || matches!(store.read_nonce(), Ok(Some(_)));
    match error {
        store::Error::Missing { .. } if is_there() => Code::CheckpointDamaged,
        error => error.code(),
    }
}

/// When a subtask took its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Checkpoint(CheckpointId),
    /// At the end of all its input: its part of every later checkpoint.
    End,
}

/// What a subtask has kept, as it travels to the JobManager in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubtaskPart {
    /// Every vertex of the chain.
    pub vertices: Vec<VertexPart>,
}

/// What one vertex of a subtask has kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VertexPart {
    /// As in the job file.
    pub vertex: String,
    pub schema: Vec<StateSchema>,
    /// Oldest first.
    pub files: Vec<SnapshotFile>,
    /// Of a source: an array.
    pub position: Option<Value>,
    /// Of a sink: what it has prepared.
    pub transaction: Option<Value>,
    /// Of a sink: what it is to write on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Value>,
}
