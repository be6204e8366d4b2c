//! What becomes of what a checkpoint has when a job begins from it: one list, from which both what people see and the refusal are made.

use wasmill_model::{
    JobGraph,
    descriptor::{Cell, CellKind, Descriptor, Input},
    fault::Code,
    graph::{Role, Vertex},
};
use wasmill_rest::{Beginning, Problem, StateChange, StateFate, VertexKind};
use wasmill_snapshot::{
    file::{CellShape, KeptCell, StateSchema},
    manifest::{self, Manifest},
    store::Store,
};
use wasmill_state::{EVENT_TIME_TIMERS, PROCESSING_TIME_TIMERS};

use crate::jobmanager::{keeper::problem, savepoints::checkpoint_name, views};

/// What becomes of what the manifest of this name has, in a job that is to begin from it.
pub(crate) fn beginning(
    store: &Store,
    name: &str,
    graph: &JobGraph,
    allow_dropped: bool,
) -> Result<Beginning, Problem> {
    let name = name.parse().map_err(|_| super::keeper::no_such(name))?;
    let manifest = store.manifest(&name).map_err(|e| problem(&e))?;
    let from = match &manifest.savepoint {
        Some(savepoint) => savepoint.clone(),
        None => checkpoint_name(manifest.job, manifest.checkpoint),
    };
    let state = changes(&manifest, graph);
    let refusal = refusal(&from, &manifest, graph, &state, allow_dropped);
    Ok(Beginning { from, state, refusal })
}

/// The same, if the job can begin so.
pub(crate) fn accepted(beginning: Beginning) -> Result<Beginning, Problem> {
    match beginning.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(beginning),
    }
}

/// Why a job with this state cannot begin.
fn refusal(
    from: &str,
    manifest: &Manifest,
    graph: &JobGraph,
    state: &[StateChange],
    allow_dropped: bool,
) -> Option<Problem> {
    let refused = |what: String, hint: String| {
        let detail = format!("could not begin {} from {from}: {what}", graph.name);
        Some(Problem::new(409, Code::StateIncompatible, detail).with_hint(hint))
    };
    if manifest.key_groups != graph.key_groups {
        let (had, has) = (manifest.key_groups, graph.key_groups);
        return refused(
            format!("it has {had} key groups, and the job {has}"),
            format!("set `key_groups = {had}` under [job]: they stay as long as the state does"),
        );
    }
    let all = |fate: StateFate| state.iter().filter(move |change| change.fate == fate).map(told).collect::<Vec<_>>();
    let (incompatible, dropped) = (all(StateFate::Incompatible), all(StateFate::Dropped));
    if !incompatible.is_empty() {
        let hint = "give the cell another name, and it begins empty; or keep its type and version";
        return refused(incompatible.join("; "), hint.to_owned());
    }
    if !dropped.is_empty() && !allow_dropped {
        let hint =
            "put back what keeps it, under the same name; or leave it behind for good with --allow-dropped-state";
        return refused(format!("it would leave behind {}", dropped.join(", ")), hint.to_owned());
    }
    None
}

/// A change in a sentence.
fn told(StateChange { vertex, what, detail, .. }: &StateChange) -> String {
    match detail {
        Some(detail) => format!("the {what} of `{vertex}`, which {detail}"),
        None => format!("the {what} of `{vertex}`"),
    }
}

/// What becomes of each part of what a manifest has, and what begins empty; in the order of the job, then what it has no place for.
pub(crate) fn changes(manifest: &Manifest, graph: &JobGraph) -> Vec<StateChange> {
    let mut changes = Vec::new();
    for vertex in &graph.vertices {
        let had = manifest.vertices.iter().find(|had| had.name == vertex.name);
        Of { vertex: &vertex.name, kind: views::kind(vertex), changes: &mut changes }.compare(had, vertex);
    }
    for had in &manifest.vertices {
        if !graph.vertices.iter().any(|vertex| vertex.name == had.name) {
            Of { vertex: &had.name, kind: kind_before(had), changes: &mut changes }.gone(had);
        }
    }
    changes
}

/// What a vertex was that the job does not have: a manifest tells it by what it has kept.
fn kind_before(had: &manifest::Vertex) -> VertexKind {
    match (had.plugin.is_some(), had.subtasks.iter().any(|kept| kept.position.is_some())) {
        (true, _) => VertexKind::Operator,
        (false, true) => VertexKind::Source,
        (false, false) => VertexKind::Sink,
    }
}

/// Where the changes of one vertex go.
struct Of<'a> {
    vertex: &'a str,
    kind: VertexKind,
    changes: &'a mut Vec<StateChange>,
}

const POSITION: &str = "position";
const OUTPUT: &str = "output that is not visible";
const UNFINISHED: &str = "unfinished output";

impl Of<'_> {
    fn add(&mut self, what: impl Into<String>, fate: StateFate, detail: Option<String>) {
        let (vertex, what) = (self.vertex.to_owned(), what.into());
        self.changes.push(StateChange { vertex, kind: self.kind, what, fate, detail });
    }

    fn compare(mut self, had: Option<&manifest::Vertex>, vertex: &Vertex) {
        // One of another kind keeps nothing of what there was.
        let same = had.filter(|had| had.subtasks.is_empty() && had.files.is_empty() || kind_before(had) == self.kind);
        match &vertex.role {
            Role::Source { .. } => self.positions(same),
            Role::Operator { descriptor, inputs, .. } => self.operator(same, descriptor, inputs),
            Role::Sink => self.output(same),
        }
        if let Some(had) = had.filter(|_| same.is_none()) {
            self.kind = kind_before(had);
            self.gone(had);
        }
    }

    fn positions(&mut self, had: Option<&manifest::Vertex>) {
        let fate = if had.is_some() { StateFate::Kept } else { StateFate::New };
        self.add(POSITION, fate, None);
    }

    fn output(&mut self, had: Option<&manifest::Vertex>) {
        let Some(had) = had else { return self.add("output", StateFate::New, None) };
        let any = |has: fn(&manifest::Subtask) -> bool| had.subtasks.iter().any(has);
        if any(|kept| kept.transaction.is_some()) {
            self.add(OUTPUT, StateFate::Kept, None);
        }
        if any(|kept| kept.unfinished.is_some()) {
            self.add(UNFINISHED, StateFate::Kept, Some("lies where the sink writes".to_owned()));
        }
        if any(|kept| kept.left_behind) {
            self.add(UNFINISHED, StateFate::Dropped, Some("stayed where the savepoint was exported".to_owned()));
        }
        if !any(|kept| kept.transaction.is_some() || kept.unfinished.is_some() || kept.left_behind) {
            self.add("output", StateFate::Kept, None);
        }
    }

    fn operator(&mut self, had: Option<&manifest::Vertex>, descriptor: &Descriptor, inputs: &[Input]) {
        let key = descriptor.key_fields(inputs);
        let states = had.map(|had| had.schema.as_slice()).unwrap_or_default();
        let keyed = states.iter().filter(|state| state.kind != CellKind::Broadcast.name());
        if let Some(other) = keyed.into_iter().find(|state| state.key != key) {
            let shown = |fields: &[wasmill_model::Field]| {
                fields.iter().map(|f| format!("{} {}", f.name, f.data_type)).collect::<Vec<_>>().join(", ")
            };
            let (was, is) = (shown(&other.key), shown(&key));
            let detail = format!("was by ({was}) and is by ({is})");
            return self.add("state", StateFate::Incompatible, Some(detail));
        }
        self.cells(&kept_cells(states), &descriptor.cells);
        for (id, what) in [(EVENT_TIME_TIMERS, "event-time timers"), (PROCESSING_TIME_TIMERS, "processing-time timers")]
        {
            match (states.iter().any(|state| state.id == id), descriptor.timers) {
                (true, true) => self.add(what, StateFate::Kept, None),
                (true, false) => self.add(what, StateFate::Dropped, None),
                (false, true) => self.add(what, StateFate::New, None),
                (false, false) => {}
            }
        }
    }

    fn cells(&mut self, had: &[KeptCell<'_>], cells: &[Cell]) {
        for cell in cells {
            let what = format!("cell `{}`", cell.name);
            let Some(was) = had.iter().find(|was| was.is_now(cell)) else {
                self.add(what, StateFate::New, None);
                continue;
            };
            let now = CellShape::of(cell);
            if now != was.shape {
                let detail = format!("was {} and is {now}", was.shape);
                self.add(what, StateFate::Incompatible, Some(detail));
            } else if was.said.version != cell.version {
                let detail = format!("was of version {} and is of {}", was.said.version, cell.version);
                self.add(what, StateFate::Incompatible, Some(detail));
            } else if was.name == cell.name {
                self.add(what, StateFate::Kept, None);
            } else {
                self.add(what, StateFate::Renamed, Some(format!("was `{}`", was.name)));
            }
        }
        for was in had.iter().filter(|was| !cells.iter().any(|cell| was.is_now(cell))) {
            self.add(format!("cell `{}`", was.name), StateFate::Dropped, None);
        }
    }

    /// The job has no place for what the vertex has kept.
    fn gone(mut self, had: &manifest::Vertex) {
        for was in kept_cells(&had.schema) {
            self.add(format!("cell `{}`", was.name), StateFate::Dropped, None);
        }
        let timers = |state: &&StateSchema| matches!(state.id, EVENT_TIME_TIMERS | PROCESSING_TIME_TIMERS);
        for state in had.schema.iter().filter(timers) {
            self.add(state.name.clone(), StateFate::Dropped, None);
        }
        let any = |has: fn(&manifest::Subtask) -> bool| had.subtasks.iter().any(has);
        if any(|kept| kept.position.is_some()) {
            self.add(POSITION, StateFate::Dropped, None);
        }
        if any(|kept| kept.transaction.is_some()) {
            self.add(OUTPUT, StateFate::Dropped, None);
        }
        if any(|kept| kept.unfinished.is_some() || kept.left_behind) {
            self.add(UNFINISHED, StateFate::Dropped, None);
        }
    }
}

fn kept_cells(states: &[StateSchema]) -> Vec<KeptCell<'_>> {
    states.iter().flat_map(StateSchema::kept_cells).collect()
}
