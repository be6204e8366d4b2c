//! Whether a job can go on from a checkpoint of another form of it: what it keeps, what it leaves behind, what does not fit.

use wasmill_model::{
    DataType, JobGraph,
    descriptor::{Cell, CellKind},
    fault::Code,
    graph::{Role, Vertex},
};
use wasmill_rest::Problem;
use wasmill_snapshot::{
    file::{StateSchema, StoredAs},
    manifest::{self, Manifest},
    store::Store,
};
use wasmill_state::{EVENT_TIME_TIMERS, PROCESSING_TIME_TIMERS, VALUES};

use crate::jobmanager::{keeper::problem, savepoints::checkpoint_name};

/// Refuses a job for which what a checkpoint has is not what it needs.
pub(crate) fn compatible(store: &Store, name: &str, graph: &JobGraph, allow_dropped: bool) -> Result<(), Problem> {
    let name = name.parse().map_err(|_| super::keeper::no_such(name))?;
    let manifest = store.manifest(&name).map_err(|e| problem(&e))?;
    let found = Comparison::of(&manifest, graph);
    let from = checkpoint_name(manifest.job, manifest.checkpoint);
    let refused = |what: String| {
        Problem::new(409, Code::StateIncompatible, format!("could not begin {} from {from}: {what}", graph.name))
    };
    if manifest.key_groups != graph.key_groups {
        let (had, has) = (manifest.key_groups, graph.key_groups);
        return Err(refused(format!("it has {had} key groups, and the job {has}"))
            .with_hint(format!("set `key_groups = {had}` under [job]: they stay as long as the state does")));
    }
    if !found.incompatible.is_empty() {
        return Err(refused(found.incompatible.join("; "))
            .with_hint("give the cell another name, and it begins empty; or keep its type and version"));
    }
    if !found.dropped.is_empty() && !allow_dropped {
        return Err(refused(format!("it would leave behind {}", found.dropped.join(", "))).with_hint(
            "put back what keeps it, under the same name; or leave it behind for good with --allow-dropped-state",
        ));
    }
    Ok(())
}

/// What becomes of the state of a checkpoint.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) dropped: Vec<String>,
    pub(crate) incompatible: Vec<String>,
}

impl Comparison {
    pub(crate) fn of(manifest: &Manifest, graph: &JobGraph) -> Self {
        let mut found = Self::default();
        for had in &manifest.vertices {
            match graph.vertices.iter().find(|vertex| vertex.name == had.name) {
                Some(vertex) => found.compare(had, vertex),
                None if had.files.is_empty() => {
                    let has = |kept: &manifest::Subtask| {
                        kept.position.is_some() || kept.transaction.is_some() || kept.unfinished.is_some()
                    };
                    if had.subtasks.iter().any(has) {
                        found.dropped.push(format!("how far `{}` had come", had.name));
                    }
                }
                None => found.dropped.push(format!("the state of operator `{}`", had.name)),
            }
        }
        found
    }

    fn compare(&mut self, had: &manifest::Vertex, vertex: &Vertex) {
        if had.subtasks.iter().any(|kept| kept.left_behind) {
            let name = &had.name;
            self.dropped.push(format!("what `{name}` had not finished, which stayed where the savepoint was exported"));
        }
        let Role::Operator { descriptor, inputs, .. } = &vertex.role else { return };
        let key = descriptor.key_fields(inputs);
        for state in &had.schema {
            if state.key != key && state.kind != CellKind::Broadcast.name() {
                let shown = |fields: &[wasmill_model::Field]| {
                    fields.iter().map(|f| format!("{} {}", f.name, f.data_type)).collect::<Vec<_>>().join(", ")
                };
                let (had, has) = (shown(&state.key), shown(&key));
                self.incompatible
                    .push(format!("the state of `{}` is by ({had}), and the job's by ({has})", vertex.name));
                return;
            }
            match state.id {
                VALUES => {
                    for (column, kept) in state.columns.iter().zip(&state.cells) {
                        let was = Was { kind: CellKind::Value, sub_key: None, data_type: column.data_type, kept };
                        self.cell(&vertex.name, &column.name, &was, &descriptor.cells);
                    }
                }
                EVENT_TIME_TIMERS | PROCESSING_TIME_TIMERS if !descriptor.timers => {
                    self.dropped.push(format!("the {} of `{}`", state.name, vertex.name));
                }
                _ => {
                    if let Some(was) = Was::entries(state) {
                        self.cell(&vertex.name, &state.name, &was, &descriptor.cells);
                    }
                }
            }
        }
    }

    fn cell(&mut self, operator: &str, name: &str, was: &Was<'_>, cells: &[Cell]) {
        let now = |cell: &&Cell| cell.name == name || cell.renamed_from.as_deref() == Some(name);
        let Some(cell) = cells.iter().find(now) else {
            return self.dropped.push(format!("cell `{name}` of operator `{operator}`"));
        };
        let is = (cell.kind, cell.sub_key_type(), cell.data_type);
        if is != (was.kind, was.sub_key, was.data_type) {
            let (was, is) = (shape(was.kind, was.sub_key, was.data_type), shape(is.0, is.1, is.2));
            self.incompatible.push(format!("cell `{name}` of operator `{operator}` was {was} and is {is}"));
        } else if was.kept.version != cell.version {
            let (was, is) = (was.kept.version, cell.version);
            self.incompatible
                .push(format!("cell `{name}` of operator `{operator}` was of version {was} and is of {is}"));
        }
    }
}

/// A cell as a checkpoint has it.
struct Was<'a> {
    kind: CellKind,
    sub_key: Option<DataType>,
    data_type: DataType,
    kept: &'a StoredAs,
}

impl<'a> Was<'a> {
    /// That of a list, map or broadcast cell. `None`: it is none.
    fn entries(state: &'a StateSchema) -> Option<Self> {
        let kind = CellKind::from_name(&state.kind)?;
        let ([sub_key, value], [kept]) = (state.columns.as_slice(), state.cells.as_slice()) else { return None };
        Some(Self { kind, sub_key: Some(sub_key.data_type), data_type: value.data_type, kept })
    }
}

/// What a cell holds, in a few words.
fn shape(kind: CellKind, sub_key: Option<DataType>, data_type: DataType) -> String {
    match (kind, sub_key) {
        (CellKind::Map | CellKind::Broadcast, Some(sub_key)) => format!("{} {sub_key} to {data_type}", kind.name()),
        (CellKind::List, _) => format!("list of {data_type}"),
        _ => data_type.to_string(),
    }
}
