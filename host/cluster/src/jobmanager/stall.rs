//! Why a job stands still: from a sink upstream to whoever holds its watermark, and from a subtask whose part of a checkpoint is
//! missing to whoever holds its barrier.
//!
//! Each step goes by what a subtask was doing when it was last heard of. One that waits for input is held by the channel with the
//! lowest watermark, or by which a barrier is missing; one that waits for credit, by the subtask it sends to; a source that is
//! ahead, by the slowest of its group. What does something by itself ends the way.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_control::{jobmanager::InStep, message::SubtaskState};
use wasmill_model::{
    Timestamp,
    ids::{Subtask, TaskManagerId},
};
use wasmill_rest::{CheckpointHeld, Hop, Plan, Problem, Stall, VertexDetail, VertexKind, VertexTime, WatermarkHeld};
use wasmill_runtime::activity::{Channel, Doing, Standing, SubtaskFigures};

use crate::jobmanager::{Shell, now_ms, savepoints::checkpoint_name, views::not_found};

/// Work on one batch that takes longer is what holds others up.
const LONG_MS: u64 = 500;
/// A source from which nothing has come for so long is silent.
const SILENT_MS: u64 = 1_000;

/// Missing parts of a checkpoint that are shown one by one.
const MISSING_MAX: usize = 20;

impl Shell {
    /// Who holds a job's time and its checkpoints back.
    pub(crate) fn stall(&self, id: &str) -> Result<Stall, Problem> {
        let (id, entry) = self.find(id)?;
        let view = self.core.job(id).ok_or_else(|| not_found("job", &id.to_string(), "wasmill list --all"))?;
        let scene = Scene {
            plan: &entry.plan,
            in_step: view.in_step,
            places: view.subtasks.iter().map(|(subtask, at, _)| (*subtask, *at)).collect(),
            figures: entry.metrics.subtasks().map(|figures| (figures.subtask, figures)).collect(),
            over: view
                .subtasks
                .iter()
                .filter_map(|(subtask, _, state)| Some((*subtask, over(state.as_ref()?)?)))
                .collect(),
        };
        let watermark = scene.watermark();
        let under_way = view.checkpoint.as_ref().and_then(|checkpoint| checkpoint.under_way.as_ref());
        let checkpoint = under_way.map(|(checkpoint, since_ms, missing)| {
            let (name, under_way_ms) = (checkpoint_name(id, *checkpoint), now_ms().saturating_sub(*since_ms));
            scene.checkpoint(name, under_way_ms, missing)
        });
        let of_time = watermark.as_ref().and_then(|held| sentence("the watermark", &held.path));
        let of_checkpoint = checkpoint.as_ref().map(|held| {
            let what = format!("checkpoint {}", held.checkpoint);
            sentence(&what, &held.path).unwrap_or_else(|| format!("{what} has all its parts and is being stored"))
        });
        Ok(Stall {
            id: id.to_string(),
            name: entry.name.clone(),
            state: view.state.name().to_owned(),
            attempt: view.attempt.to_string(),
            vertices: scene.vertices(),
            watermark,
            checkpoint,
            because: of_time.into_iter().chain(of_checkpoint).collect(),
        })
    }
}

/// What is known of an attempt's subtasks.
struct Scene<'a> {
    plan: &'a Plan,
    in_step: &'a [InStep],
    /// Where each runs.
    places: BTreeMap<Subtask, TaskManagerId>,
    figures: BTreeMap<Subtask, &'a SubtaskFigures>,
    /// How those have ended that have.
    over: BTreeMap<Subtask, &'static str>,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Watermark,
    Barrier,
}

/// What keeps a subtask, and who is to be looked at next.
struct Why {
    /// The vertex that it is about.
    vertex: u32,
    words: String,
    next: Option<(Subtask, Option<String>)>,
}

impl<'a> Scene<'a> {
    /// How far the time of each vertex is.
    fn vertices(&self) -> Vec<VertexTime> {
        let vertex = |vertex: &VertexDetail| {
            let of_chain = || self.figures.values().filter(|figures| figures.subtask.chain == vertex.chain);
            let count = |standing| of_chain().filter(|figures| figures.standing == standing).count() as u32;
            let active = of_chain().filter(|figures| matches!(figures.standing, Standing::Active | Standing::Timeless));
            VertexTime {
                name: vertex.name.clone(),
                kind: vertex.kind,
                watermark_ms: active.map(|figures| figures.watermark_ms).min().flatten(),
                active: count(Standing::Active) + count(Standing::Timeless),
                idle: count(Standing::Idle),
                finished: count(Standing::Finished),
            }
        };
        self.plan.vertices.iter().map(vertex).collect()
    }

    /// Who holds the lowest watermark of all sinks.
    fn watermark(&self) -> Option<WatermarkHeld> {
        let sink = self.lowest_sink()?;
        let watermark_ms = self.figures.get(&sink).and_then(|figures| figures.watermark_ms);
        Some(WatermarkHeld { watermark_ms, path: self.path(sink, WaitsFor::Watermark, &BTreeSet::new()) })
    }

    /// Who holds a checkpoint of which these parts are missing.
    fn checkpoint(&self, checkpoint: String, under_way_ms: Timestamp, missing: &[Subtask]) -> CheckpointHeld {
        let all: BTreeSet<Subtask> = missing.iter().copied().collect();
        // From the last chain on, since those before it are on the way.
        let path = missing.last().map(|last| self.path(*last, WaitsFor::Barrier, &all));
        CheckpointHeld {
            checkpoint,
            under_way_ms,
            taken: (self.places.len() - missing.len().min(self.places.len())) as u32,
            subtasks: self.places.len() as u32,
            missing: missing.iter().take(MISSING_MAX).map(|subtask| self.alone(*subtask, &all)).collect(),
            path: path.unwrap_or_default(),
        }
    }

    /// The subtask with the lowest watermark among those of the sinks that are waited for.
    fn lowest_sink(&self) -> Option<Subtask> {
        let sinks = self.plan.vertices.iter().filter(|vertex| vertex.kind == VertexKind::Sink);
        let chains: BTreeSet<u32> = sinks.map(|vertex| vertex.chain).collect();
        let of_sinks = self.figures.values().filter(|figures| chains.contains(&figures.subtask.chain));
        let active = of_sinks.filter(|figures| matches!(figures.standing, Standing::Active | Standing::Timeless));
        active.min_by_key(|figures| (figures.watermark_ms, figures.subtask)).map(|figures| figures.subtask)
    }

    /// The way from a subtask to whoever holds it up.
    fn path(&self, from: Subtask, waits_for: WaitsFor, missing: &BTreeSet<Subtask>) -> Vec<Hop> {
        let (mut seen, mut path) = (BTreeSet::new(), Vec::new());
        let mut at = Some((from, None));
        while let Some((subtask, port)) = at.take().filter(|(subtask, _)| seen.insert(*subtask)) {
            let why = self.why(subtask, waits_for, missing);
            path.push(self.hop(subtask, port, &why));
            at = why.next;
        }
        path
    }

    /// A subtask by itself.
    fn alone(&self, subtask: Subtask, missing: &BTreeSet<Subtask>) -> Hop {
        self.hop(subtask, None, &self.why(subtask, WaitsFor::Barrier, missing))
    }

    fn hop(&self, subtask: Subtask, port: Option<String>, why: &Why) -> Hop {
        let vertex = &self.plan.vertices[why.vertex as usize];
        let figures = self.figures.get(&subtask);
        let standing = figures.map(|figures| match figures.standing {
            Standing::Active => "ACTIVE",
            Standing::Idle => "IDLE",
            Standing::Finished => "FINISHED",
            Standing::Timeless => "TIMELESS",
        });
        Hop {
            vertex: vertex.name.clone(),
            kind: vertex.kind,
            subtask: subtask.index,
            worker: self.places.get(&subtask).map(TaskManagerId::to_string).unwrap_or_default(),
            port,
            standing: standing.map(str::to_owned),
            watermark_ms: figures.and_then(|figures| figures.watermark_ms),
            unchanged_ms: figures.map(|figures| figures.unchanged_ms),
            why: why.words.clone(),
        }
    }

    fn why(&self, subtask: Subtask, waits_for: WaitsFor, missing: &BTreeSet<Subtask>) -> Why {
        let head = self.head(subtask.chain);
        let ends = |words: String| Why { vertex: head, words, next: None };
        let Some(figures) = self.figures.get(&subtask) else {
            return ends("has said nothing yet".to_owned());
        };
        if let Some(over) = self.over.get(&subtask) {
            return ends((*over).to_owned());
        }
        let lasted = span(figures.doing_ms);
        match figures.doing {
            Doing::Starting => {
                ends(format!("has been starting for {lasted}: it opens what it needs and fills its state"))
            }
            Doing::Calling { vertex } if figures.doing_ms >= LONG_MS => {
                let vertex = vertex.min(self.plan.vertices.len() as u32 - 1);
                let words = match self.plan.vertices[vertex as usize].kind {
                    VertexKind::Sink => format!("has been writing for {lasted}, and the write does not come back"),
                    _ => format!("has been in one call for {lasted}"),
                };
                Why { vertex, words, next: None }
            }
            Doing::WaitingForCredit { edge, reader } => {
                let Some(to) = self.reader(edge, reader) else { return ends("waits for credit".to_owned()) };
                let words = format!("has waited for credit from {} for {lasted} (back-pressure)", self.name(to));
                Why { vertex: head, words, next: Some((to, None)) }
            }
            Doing::WaitingForCommit => ends("has handled all its input".to_owned()),
            _ if figures.silent_ms.is_some() => self.why_source(figures, head),
            doing => self.why_gate(figures, doing, head, waits_for, missing),
        }
    }

    /// What keeps a source.
    fn why_source(&self, figures: &SubtaskFigures, head: u32) -> Why {
        let ends = |words: String| Why { vertex: head, words, next: None };
        let silent_ms = figures.silent_ms.unwrap_or_default();
        if figures.doing == Doing::Ahead {
            return self.why_ahead(figures, head);
        }
        if figures.standing == Standing::Timeless {
            return ends("has no `event_time`, so that it has no watermark before its end".to_owned());
        }
        if figures.doing == Doing::Reading && figures.doing_ms >= LONG_MS {
            let lasted = span(figures.doing_ms);
            return ends(format!("has been reading its input for {lasted}, and nothing comes"));
        }
        if silent_ms < SILENT_MS {
            return ends("is reading its input".to_owned());
        }
        let silent = format!("has read no row for {}", span(silent_ms));
        ends(match (figures.standing, figures.idle_after_ms) {
            (Standing::Idle, _) => format!("{silent} and is idle: nobody waits for it"),
            (_, Some(after)) => format!("{silent} and is not idle before {}", span(after)),
            (_, None) => format!("{silent} and is never idle, since its input has an end"),
        })
    }

    /// A source that waits for others.
    fn why_ahead(&self, figures: &SubtaskFigures, head: u32) -> Why {
        let lasted = span(figures.doing_ms);
        let group = self.in_step.iter().find(|source| source.chain == figures.subtask.chain).map(|source| source.group);
        let of_group = self.in_step.iter().filter(|source| Some(source.group) == group);
        let chains: BTreeSet<u32> = of_group.map(|source| source.chain).collect();
        let others = self.figures.values().filter(|other| {
            chains.contains(&other.subtask.chain)
                && other.subtask != figures.subtask
                && other.standing == Standing::Active
        });
        let slowest = others.min_by_key(|other| (other.watermark_ms, other.subtask));
        let Some(slowest) = slowest else {
            let words = format!("was paused by alignment for {lasted} and is about to go on");
            return Why { vertex: head, words, next: None };
        };
        let name = self.name(slowest.subtask);
        let ahead = match (figures.watermark_ms, slowest.watermark_ms) {
            (Some(own), Some(its)) => {
                format!("{} ahead of {name}", span(own.saturating_sub(its).max(0).unsigned_abs()))
            }
            _ => format!("{name} has no watermark yet"),
        };
        let words = format!("has been paused by alignment for {lasted}: {ahead}");
        Why { vertex: head, words, next: Some((slowest.subtask, None)) }
    }

    /// What keeps a subtask with a gate, unless that is what it does itself.
    fn why_gate(
        &self,
        figures: &SubtaskFigures,
        doing: Doing,
        head: u32,
        waits_for: WaitsFor,
        missing: &BTreeSet<Subtask>,
    ) -> Why {
        let waits = doing == Doing::WaitingForInput;
        if let Some(barrier) = figures.barrier.as_ref().filter(|_| waits || waits_for == WaitsFor::Barrier)
            && let Some((from, port)) = self.writer(barrier.channel)
        {
            let more = match barrier.missing {
                0 | 1 => String::new(),
                missing => format!(", and by {} more", missing - 1),
            };
            let waited = span(barrier.waited_ms);
            let words = format!("has waited for a barrier by {port} from {} for {waited}{more}", self.name(from));
            return Why { vertex: head, words, next: Some((from, Some(port))) };
        }
        if waits_for == WaitsFor::Barrier {
            return self.why_no_barrier(figures.subtask, head, missing);
        }
        let held_by = figures.held_by.and_then(|channel| self.writer(channel));
        let Some((from, port)) = held_by else {
            let words = format!("waits for input, and nobody holds it: its inputs are {:?}", figures.standing);
            return Why { vertex: head, words: words.to_lowercase(), next: None };
        };
        let further = self.figures.get(&from).and_then(|writer| writer.watermark_ms) > figures.watermark_ms;
        if further && !waits {
            let words = "is at work on what has come to it".to_owned();
            return Why { vertex: head, words, next: None };
        }
        let words = format!("waits for the watermark by {port} from {}", self.name(from));
        Why { vertex: head, words, next: Some((from, Some(port))) }
    }

    /// A subtask to which no barrier has come at all, or whose part is on its way.
    fn why_no_barrier(&self, subtask: Subtask, head: u32, missing: &BTreeSet<Subtask>) -> Why {
        let inputs = self.plan.edges.iter().filter(|edge| self.chain_of(&edge.to) == Some(subtask.chain));
        let writers = inputs.filter_map(|edge| {
            let from = self.chain_of(vertex_of(&edge.from)).filter(|chain| *chain != subtask.chain)?;
            let of_edge = |writer: &&Subtask| {
                writer.chain == from && (edge.exchange != "forward" || writer.index == subtask.index)
            };
            missing.iter().find(of_edge).map(|writer| (*writer, edge.from.clone()))
        });
        match writers.into_iter().next() {
            Some((from, port)) => {
                let words = format!("has got no barrier yet by {port} from {}", self.name(from));
                Why { vertex: head, words, next: Some((from, Some(port))) }
            }
            None => {
                let words = "has barriers on their way to it, or its part is being written".to_owned();
                Why { vertex: head, words, next: None }
            }
        }
    }

    /// `source.orders subtask 1`.
    fn name(&self, subtask: Subtask) -> String {
        let head = &self.plan.vertices[self.head(subtask.chain) as usize];
        format!("{} subtask {}", vertex_name(head.kind, &head.name), subtask.index)
    }

    /// The first vertex of a chain.
    fn head(&self, chain: u32) -> u32 {
        self.plan.vertices.iter().position(|vertex| vertex.chain == chain).unwrap_or_default() as u32
    }

    fn chain_of(&self, vertex: &str) -> Option<u32> {
        self.plan.vertices.iter().find(|known| known.name == vertex).map(|known| known.chain)
    }

    fn reader(&self, edge: u32, index: u32) -> Option<Subtask> {
        let chain = self.chain_of(&self.plan.edges.get(edge as usize)?.to)?;
        Some(Subtask { chain, index })
    }

    fn writer(&self, channel: Channel) -> Option<(Subtask, String)> {
        let from = &self.plan.edges.get(channel.edge as usize)?.from;
        let chain = self.chain_of(vertex_of(from))?;
        Some((Subtask { chain, index: channel.writer }, from.clone()))
    }
}

/// How a subtask has ended, if it has.
fn over(state: &SubtaskState) -> Option<&'static str> {
    match state {
        SubtaskState::Running | SubtaskState::Prepared => None,
        SubtaskState::Committed => Some("has ended, and its results are visible"),
        SubtaskState::Failed(_) => Some("has failed: the others are being stopped"),
        SubtaskState::Stopped => Some("has been stopped"),
    }
}

/// `operator.count` as job files write it.
fn vertex_name(kind: VertexKind, name: &str) -> String {
    let kind = match kind {
        VertexKind::Source => "source",
        VertexKind::Operator => "operator",
        VertexKind::Sink => "sink",
    };
    format!("{kind}.{name}")
}

/// The end of a way as a sentence: `source.orders subtask 1 on taskmanager-3 has read no row for 4.2 s`.
fn sentence(what: &str, path: &[Hop]) -> Option<String> {
    let Hop { vertex, kind, subtask, worker, why, .. } = path.last()?;
    Some(format!("{what} is held by {} subtask {subtask} on {worker}, which {why}", vertex_name(*kind, vertex)))
}

fn vertex_of(port: &str) -> &str {
    port.split_once('.').map_or(port, |(vertex, _)| vertex)
}

/// A time as people say it.
fn span(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        3_600_000..172_800_000 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} days", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests;
