//! What a subtask begins from: its share of what the subtasks of an earlier attempt have kept, however many there were.

use std::ops::Range;

use wasmill_connectors::{ReadBefore, SinkParts};
use wasmill_model::{
    Field, JobGraph,
    descriptor::{Cell, CellKind},
    fault::Code,
    graph::Role,
    ids::JobId,
    keys::KeyGroups,
};
use wasmill_snapshot::{
    file::{CellShape, Row, Rows, StateSchema, StoredAs},
    manifest::{Manifest, SnapshotFile, Vertex},
    merge::{Merge, Tombstones},
};
use wasmill_state::{KeyedState, Restore, RowError, Stored, StoredCell, StoredEntries, VALUES};

use crate::{
    checkpoint::{
        Beginning, Checkpointing, Fetched,
        fetching::{Failed, Fetching, Files},
    },
    error::Error,
};

/// A checkpoint that an attempt begins from.
#[derive(Debug, Clone)]
pub(crate) struct Restored {
    from: Checkpointing,
    /// The job that begins from it.
    job: JobId,
    beginning: Beginning,
}

/// A state that could not be filled.
#[derive(Debug)]
pub(crate) struct NotFilled {
    pub(crate) error: Error,
    /// Local copies were read, which are gone now: an empty state may be filled after all.
    pub(crate) again: bool,
}

impl Restored {
    /// `None`: the attempt begins with nothing.
    pub(crate) fn new(from: &Checkpointing, job: JobId) -> Option<Self> {
        Some(Self { from: from.clone(), job, beginning: from.restore.clone()? })
    }

    fn vertex(&self, name: &str) -> Option<&Vertex> {
        self.beginning.manifest.vertices.iter().find(|vertex| vertex.name == name)
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
    pub(crate) fn read_before(&self, source: &str, parallelism: u32) -> Option<ReadBefore> {
        let subtasks = &self.vertex(source)?.subtasks;
        let arrays = subtasks.iter().filter_map(|kept| kept.position.as_ref()?.as_array());
        let positions = arrays.flatten().cloned().collect();
        let ended = (0..parallelism).filter(|subtask| self.had_ended(source, *subtask, parallelism)).collect();
        Some(ReadBefore { positions, ended })
    }

    /// What the subtasks of a sink had not made visible. `None`: it is new. Of a savepoint all that was prepared is visible, and
    /// not the business of whoever begins from it.
    pub(crate) fn sink_parts(&self, sink: &str) -> Option<SinkParts> {
        let of = |vertex: &Vertex| vertex.subtasks.iter().filter_map(|kept| kept.transaction.clone()).collect();
        let Beginning { manifest, visible, given_up, passed } = &self.beginning;
        let later = passed.iter().filter_map(|(manifest, visible)| {
            let vertex = manifest.vertices.iter().find(|vertex| vertex.name == sink)?;
            Some((of(vertex), *visible))
        });
        let vertex = self.vertex(sink)?;
        let is_shared = manifest.savepoint.is_some();
        Some(SinkParts {
            transactions: if is_shared { Vec::new() } else { of(vertex) },
            unfinished: vertex.subtasks.iter().filter_map(|kept| kept.unfinished.clone()).collect(),
            is_shared,
            visible: *visible,
            given_up: *given_up,
            later: later.collect(),
        })
    }

    /// Whether the next checkpoint adds to the files of this one, and what is in them is not written again. Those of another job,
    /// or of a savepoint, are not the job's own; to those of another schema nothing can be added.
    pub(crate) fn is_added_to(&self, operator: &str, schema: &[StateSchema]) -> bool {
        let Manifest { cluster, job, savepoint, .. } = &*self.beginning.manifest;
        let is_own = (cluster, *job) == (&self.from.cluster, self.job) && savepoint.is_none();
        is_own && self.vertex(operator).is_some_and(|vertex| vertex.schema == schema)
    }

    /// The snapshot files that a subtask's state is in and that the next checkpoint adds to.
    pub(crate) fn files(&self, operator: &str, schema: &[StateSchema], key_groups: Range<u32>) -> Vec<SnapshotFile> {
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
    ) -> Result<Fetched, NotFilled> {
        let Some(vertex) = self.vertex(operator) else { return Ok(Fetched::default()) };
        let not_filled = |Failed { code, reason }: Failed, again: bool| NotFilled {
            error: Error::Restore { vertex: operator.to_owned(), subtask, code, reason },
            again,
        };
        let files = Files { store: self.from.store.clone(), local: self.from.local.clone(), job: self.job };
        let mut fetching = files.fetching().map_err(|failed| not_filled(failed, false))?;
        let own = key_groups.range(subtask, parallelism);
        match fill_from(vertex, cells, own, &mut fetching, state) {
            Ok(()) => Ok(fetching.bytes),
            Err(failed) => Err(not_filled(failed, fetching.gives_up_copies())),
        }
    }
}

/// Reads the rows of some key groups into a state.
fn fill_from(
    vertex: &Vertex,
    cells: &[Cell],
    own: Range<u32>,
    fetching: &mut Fetching<'_>,
    state: &mut KeyedState,
) -> Result<(), Failed> {
    let stored = stored_cells(&vertex.schema, cells);
    // What all instances have is among the rows of the first key group.
    let first = (own.start > 0 && stored.entries.iter().any(|entries| !entries.is_keyed)).then_some(0..1);
    let mut restore = Restore::new(state, &stored);
    for segment in first.clone().into_iter().chain([own]).flat_map(|range| vertex.segments(range)) {
        let is_first = first.as_ref() == Some(&segment.key_groups);
        let mut inputs: Vec<Rows> = Vec::new();
        for file in &segment.files {
            inputs.push(fetching.open(file)?.rows(segment.key_groups.clone())?);
        }
        let mut merge = Merge::new(inputs, Tombstones::Drop)?;
        while let Some(Row { key, value }) = merge.next()? {
            let value = value.unwrap_or_default();
            if is_first && !stored.is_broadcast(key) {
                continue;
            }
            let damaged = |e: RowError| Failed { code: Code::CheckpointDamaged, reason: e.to_string() };
            restore.row(key, value).map_err(damaged)?;
        }
    }
    Ok(())
}

/// What is in the rows of cells, and which cell has it now.
fn stored_cells(schema: &[StateSchema], cells: &[Cell]) -> Stored {
    let mut stored = Stored::default();
    let value_cells = || cells.iter().filter(|cell| cell.kind == CellKind::Value);
    for state in schema {
        for kept in state.kept_cells() {
            let fits = |cell: &Cell| kept.is_now(cell) && CellShape::of(cell) == kept.shape;
            let (kind, is_stamped) = (kept.shape.kind, kept.said.ttl_ms.is_some());
            if kind == CellKind::Value {
                let now = value_cells().position(fits);
                stored.values.push(StoredCell { data_type: kept.shape.data_type, is_stamped, now });
            } else {
                let now = cells.iter().position(fits);
                stored.entries.push(StoredEntries { part: state.id, is_stamped, is_keyed: kind.is_keyed(), now });
            }
        }
    }
    stored
}

/// How the state of an operator looks in snapshot files.
pub(crate) fn schema_of(graph: &JobGraph, vertex: usize) -> Vec<StateSchema> {
    let Role::Operator { descriptor, inputs, .. } = &graph.vertices[vertex].role else { return Vec::new() };
    if !descriptor.inputs.iter().any(|reads| reads.keyed) && descriptor.cells.is_empty() {
        return Vec::new();
    }
    let key = descriptor.key_fields(inputs);
    let state = |id: u16, name: &str, kind: &str| StateSchema {
        id,
        name: name.to_owned(),
        kind: kind.to_owned(),
        key: key.clone(),
        columns: Vec::new(),
        cells: Vec::new(),
    };
    let kept = |cell: &Cell| StoredAs {
        version: cell.version,
        ttl_ms: cell.ttl_ms,
        ttl_domain: cell.ttl_domain,
        encoding: cell.encoding.clone(),
    };
    let column = |cell: &Cell| Field { nullable: true, ..Field::new(&cell.name, cell.data_type) };
    let mut schema = vec![StateSchema {
        columns: descriptor.value_cells().map(column).collect(),
        cells: descriptor.value_cells().map(kept).collect(),
        ..state(VALUES, "values", "value")
    }];
    if descriptor.timers {
        schema.push(state(wasmill_state::EVENT_TIME_TIMERS, "event-time timers", "timer"));
        schema.push(state(wasmill_state::PROCESSING_TIME_TIMERS, "processing-time timers", "timer"));
    }
    let entries = descriptor.cells.iter().zip(wasmill_state::ENTRIES..);
    schema.extend(entries.filter_map(|(cell, id)| {
        let sub_key = cell.sub_key_type()?;
        Some(StateSchema {
            key: if cell.kind.is_keyed() { key.clone() } else { Vec::new() },
            columns: vec![Field::new("sub-key", sub_key), Field::new("value", cell.data_type)],
            cells: vec![kept(cell)],
            ..state(id, &cell.name, cell.kind.name())
        })
    }));
    schema
}
