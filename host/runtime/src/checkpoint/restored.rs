//! What a subtask begins from: its share of what the subtasks of an earlier attempt have kept, however many there were.

use std::{fs, sync::Arc};

use serde_json::Value;
use wasmill_connectors::SinkParts;
use wasmill_model::{JobGraph, descriptor::Cell, graph::Role, ids::JobId, keys::KeyGroups};
use wasmill_snapshot::{
    file::{Reader, Row, Rows, StateSchema},
    manifest::{Manifest, SnapshotFile, Vertex},
    merge::{Merge, Tombstones},
};
use wasmill_state::{KeyedState, Restore, StoredCell, VALUES};

use crate::{checkpoint::Checkpointing, error::Error};

/// A checkpoint that an attempt begins from.
#[derive(Debug, Clone)]
pub(crate) struct Restored {
    from: Checkpointing,
    /// The job that begins from it.
    job: JobId,
    manifest: Arc<Manifest>,
}

impl Restored {
    /// `None`: the attempt begins with nothing.
    pub(crate) fn new(from: &Checkpointing, job: JobId) -> Option<Self> {
        Some(Self { from: from.clone(), job, manifest: from.restore.clone()? })
    }

    fn vertex(&self, name: &str) -> Option<&Vertex> {
        self.manifest.vertices.iter().find(|vertex| vertex.name == name)
    }

    /// Whether a subtask of a chain with this head had handled all its input. With another parallelism: whether all had.
    pub(crate) fn had_ended(&self, head: &str, subtask: u32, parallelism: u32) -> bool {
        let Some(vertex) = self.vertex(head) else { return false };
        let mut subtasks = vertex.subtasks.iter();
        match vertex.parallelism == parallelism {
            true => subtasks.any(|kept| kept.subtask == subtask && kept.ended),
            false => subtasks.len() == vertex.parallelism as usize && subtasks.all(|kept| kept.ended),
        }
    }

    /// How far the subtasks of a source had read. `None`: it is new.
    pub(crate) fn positions(&self, source: &str) -> Option<Vec<Value>> {
        let subtasks = &self.vertex(source)?.subtasks;
        let arrays = subtasks.iter().filter_map(|kept| kept.position.as_ref()?.as_array());
        Some(arrays.flatten().cloned().collect())
    }

    /// What the subtasks of a sink had not made visible. `None`: it is new. Of a savepoint all that was prepared is visible, and
    /// not the business of whoever begins from it.
    pub(crate) fn sink_parts(&self, sink: &str) -> Option<SinkParts> {
        let subtasks = &self.vertex(sink)?.subtasks;
        let is_shared = self.manifest.savepoint.is_some();
        let transactions = subtasks.iter().filter(|_| !is_shared).filter_map(|kept| kept.transaction.clone());
        let unfinished = subtasks.iter().filter_map(|kept| kept.unfinished.clone());
        Some(SinkParts { transactions: transactions.collect(), unfinished: unfinished.collect(), is_shared })
    }

    /// Whether the next checkpoint adds to the files of this one, and what is in them is not written again. Those of another job,
    /// or of a savepoint, are not the job's own; to those of another schema nothing can be added.
    pub(crate) fn is_added_to(&self, operator: &str, schema: &[StateSchema]) -> bool {
        let Manifest { cluster, job, savepoint, .. } = &*self.manifest;
        let is_own = (cluster, *job) == (&self.from.cluster, self.job) && savepoint.is_none();
        is_own && self.vertex(operator).is_some_and(|vertex| vertex.schema == schema)
    }

    /// The snapshot files that a subtask's state is in and that the next checkpoint adds to.
    pub(crate) fn files(
        &self,
        operator: &str,
        schema: &[StateSchema],
        key_groups: std::ops::Range<u32>,
    ) -> Vec<SnapshotFile> {
        let is_added_to = self.is_added_to(operator, schema);
        let Some(vertex) = self.vertex(operator).filter(|_| is_added_to) else { return Vec::new() };
        let mut files: Vec<SnapshotFile> = Vec::new();
        for file in vertex.segments(key_groups).into_iter().flat_map(|segment| segment.files) {
            if !files.contains(file) {
                files.push(file.clone());
            }
        }
        files.sort_by_key(|file| file.checkpoint);
        files
    }

    /// Fills the state of one of an operator's subtasks.
    pub(crate) fn fill(
        &self,
        operator: &str,
        cells: &[Cell],
        (key_groups, subtask, parallelism): (KeyGroups, u32, u32),
        state: &mut KeyedState,
    ) -> Result<(), Error> {
        let Some(vertex) = self.vertex(operator) else { return Ok(()) };
        let failed = |reason: String| Error::Restore { vertex: operator.to_owned(), subtask, reason };
        let stored = stored_cells(&vertex.schema, cells);
        let folder = tempfile::tempdir_in(&self.from.scratch)
            .map_err(|e| failed(format!("could not make a folder in {}: {e}", self.from.scratch.display())))?;
        let mut number = 0;
        let mut restore = Restore::new(state, &stored);
        for segment in vertex.segments(key_groups.range(subtask, parallelism)) {
            let mut inputs: Vec<Rows> = Vec::new();
            for file in &segment.files {
                number += 1;
                let path = folder.path().join(number.to_string());
                self.from.store.fetch(&file.name, &file.expected(), &path).map_err(|e| failed(e.to_string()))?;
                let reader = Reader::open(&path, &file.expected()).map_err(|e| failed(e.to_string()))?;
                inputs.push(reader.rows(segment.key_groups.clone()).map_err(|e| failed(e.to_string()))?);
                // What is open stays readable.
                let _ = fs::remove_file(&path);
            }
            let mut merge = Merge::new(inputs, Tombstones::Drop).map_err(|e| failed(e.to_string()))?;
            while let Some(Row { key, value }) = merge.next().map_err(|e| failed(e.to_string()))? {
                let value = value.unwrap_or_default();
                restore.row(key, value).map_err(|e| failed(e.to_string()))?;
            }
        }
        Ok(())
    }
}

/// What is in the rows of value cells, and which cell has it now.
fn stored_cells(schema: &[StateSchema], cells: &[Cell]) -> Vec<StoredCell> {
    let Some(values) = schema.iter().find(|state| state.id == VALUES) else { return Vec::new() };
    let stored = values.columns.iter().enumerate().map(|(place, column)| StoredCell {
        data_type: column.data_type,
        is_stamped: values.ttls_ms.get(place).is_some_and(Option::is_some),
        now: cells.iter().position(|cell| cell.name == column.name && cell.data_type == column.data_type),
    });
    stored.collect()
}

/// How the state of an operator looks in snapshot files.
pub(crate) fn schema_of(graph: &JobGraph, vertex: usize) -> Vec<StateSchema> {
    let Role::Operator { descriptor, inputs, .. } = &graph.vertices[vertex].role else { return Vec::new() };
    if !descriptor.inputs.iter().any(|reads| reads.keyed) {
        return Vec::new();
    }
    let key = descriptor.key_fields(inputs);
    let columns = descriptor
        .cells
        .iter()
        .map(|cell| wasmill_model::Field { nullable: true, ..wasmill_model::Field::new(&cell.name, cell.data_type) });
    let state = |id: u16, name: &str, kind: &str| StateSchema {
        id,
        name: name.to_owned(),
        kind: kind.to_owned(),
        key: key.clone(),
        columns: Vec::new(),
        versions: Vec::new(),
        ttls_ms: Vec::new(),
        version: 1,
        ttl_ms: None,
    };
    let values = StateSchema {
        columns: columns.collect(),
        versions: descriptor.cells.iter().map(|cell| cell.version).collect(),
        ttls_ms: descriptor.cells.iter().map(|cell| cell.ttl_ms).collect(),
        ..state(VALUES, "values", "value")
    };
    let mut schema = vec![values];
    if descriptor.timers {
        schema.push(state(wasmill_state::EVENT_TIME_TIMERS, "event-time timers", "timer"));
        schema.push(state(wasmill_state::PROCESSING_TIME_TIMERS, "processing-time timers", "timer"));
    }
    schema
}
