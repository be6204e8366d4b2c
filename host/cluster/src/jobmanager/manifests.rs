//! From what the subtasks of a job have kept to the manifest of a checkpoint.

use std::collections::BTreeMap;

use wasmill_control::message::At;
use wasmill_model::{
    ids::{CheckpointId, JobId, Subtask},
    settings::Error,
    spec::{CheckpointsSpec, JobSpec},
};
use wasmill_runtime::checkpoint::{SubtaskPart, VertexPart};
use wasmill_snapshot::manifest::{self, JobFile, Manifest, VERSION, Vertex};

use crate::{
    jobmanager::now_ms,
    payload::{self, Payload},
};

/// What a manifest says of a job beside what its subtasks have kept.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) key_groups: u32,
    pub(crate) checkpoints: Option<CheckpointsSpec>,
    job_file: String,
    /// Name, parallelism, digest of the plugin.
    vertices: Vec<(String, u32, Option<String>)>,
}

impl Facts {
    pub(crate) fn of(payload: &Payload) -> Result<Self, Error> {
        let spec = JobSpec::read(&payload::settings(&payload.submission)?)?;
        let vertices = payload.plan.vertices.iter();
        Ok(Self {
            key_groups: spec.key_groups,
            checkpoints: spec.checkpoints,
            job_file: payload.submission.text.clone(),
            vertices: vertices.map(|v| (v.name.clone(), v.parallelism, v.plugin.clone())).collect(),
        })
    }
}

/// A checkpoint whose parts have all come.
pub(crate) struct Complete {
    pub(crate) job: JobId,
    pub(crate) checkpoint: CheckpointId,
    /// The manifest that it goes on from.
    pub(crate) parent: Option<String>,
    pub(crate) parts: Vec<(Subtask, At, String)>,
}

/// Makes the manifest of a checkpoint. An error is what is wrong with a part.
pub(crate) fn manifest(cluster: &str, facts: &Facts, complete: &Complete) -> Result<Manifest, String> {
    let Complete { job, checkpoint, parent, parts } = complete;
    let mut of_vertex: BTreeMap<&str, Vertex> = BTreeMap::new();
    for (name, parallelism, plugin) in &facts.vertices {
        let vertex = Vertex {
            name: name.clone(),
            parallelism: *parallelism,
            plugin: plugin.clone(),
            schema: Vec::new(),
            files: Vec::new(),
            subtasks: Vec::new(),
        };
        of_vertex.insert(name, vertex);
    }
    for (subtask, at, content) in parts {
        let part: SubtaskPart =
            serde_json::from_str(content).map_err(|e| format!("the part of subtask {subtask} cannot be read: {e}"))?;
        for VertexPart { vertex: name, schema, files, position, transaction, unfinished } in part.vertices {
            let vertex = of_vertex.get_mut(name.as_str());
            let vertex = vertex.ok_or_else(|| format!("subtask {subtask} has kept something of `{name}`"))?;
            vertex.schema = schema;
            for file in files {
                if !vertex.files.contains(&file) {
                    vertex.files.push(file);
                }
            }
            let ended = *at == At::End;
            let subtask = subtask.index;
            let kept = manifest::Subtask { subtask, position, transaction, unfinished, left_behind: false, ended };
            vertex.subtasks.push(kept);
        }
    }
    for vertex in of_vertex.values_mut() {
        vertex.files.sort_by_key(|file| file.checkpoint);
        vertex.subtasks.sort_by_key(|kept| kept.subtask);
    }
    Ok(Manifest {
        version: VERSION,
        cluster: cluster.to_owned(),
        job: *job,
        checkpoint: *checkpoint,
        parent: parent.as_deref().and_then(number_of).filter(|parent| parent < checkpoint),
        savepoint: None,
        time_ms: now_ms(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        key_groups: facts.key_groups,
        job_file: JobFile::from(facts.job_file.clone()),
        vertices: facts.vertices.iter().filter_map(|(name, ..)| of_vertex.remove(name.as_str())).collect(),
    })
}

/// The number in the name of a checkpoint's manifest.
fn number_of(manifest: &str) -> Option<CheckpointId> {
    let stem = manifest.rsplit('/').next()?.strip_suffix(".json")?;
    stem.parse().ok().map(CheckpointId)
}
