//! One attempt at running a job: its channels, its threads, and the wishes it follows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use wasmill_connectors::SinkPlace;
use wasmill_flow::{Rounds, Wants};
use wasmill_model::{Timestamp, graph::Role, ids::Subtask, portions::Given};
use wasmill_plugin::{Interrupt, LogLine};

use crate::{
    activity::{self, Activity, SubtaskFigures},
    bad_rows::BadRows,
    chain::{Chain, Kind, Node, SinkNode, Tap, Target},
    channels::{Channels, Parts},
    checkpoint::{Checkpointer, Checkpointing, Restored, Writing, schema_of, start_writer},
    error::Error,
    exchange::Meter,
    job::{Job, Part},
    life::{Failure, Life},
    net::{Network, Registration},
    operator::{Conduct, Operator, Start},
    partition::{Partitioner, To},
    placement::Placement,
    row_limit::RowLimit,
    signal::{Checkpoints, Wish},
    source::{Head, Open},
    subtask::{self, Feed, Made, Progress},
};

/// A line of an operator's log: the operator, its subtask, the line.
pub type OperatorLog = Arc<dyn Fn(&str, u32, LogLine) + Send + Sync>;

/// Told of every step of every subtask, from the subtask's own thread.
pub type OnProgress = Arc<dyn Fn(Subtask, Progress) + Send + Sync>;

/// A running attempt. Dropping it closes its channels to other TaskManagers and leaves its subtasks running: raise
/// [`Wish::Stop`] first.
#[derive(Debug)]
pub struct Attempt {
    life: Arc<Life>,
    /// The gates of the subtasks here, with the edge of each of their channels.
    meters: Vec<(Meter, Vec<usize>)>,
    /// What the subtasks here are doing.
    activities: Vec<Arc<Activity>>,
    /// Its channels from elsewhere.
    registration: Mutex<Option<Registration>>,
}

/// What waits at the gates here for an edge's readers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// The edge's place in the job graph.
    pub edge: usize,
    pub batches: usize,
    pub bytes: usize,
}

impl Attempt {
    /// Starts these subtasks of a job, which are those that the placement has here, each on a thread of its own. Without a
    /// network all subtasks must be here.
    ///
    /// # Panics
    /// If there is no network and a channel leads to another TaskManager.
    pub fn start(
        job: &Arc<Job>,
        subtasks: &[Subtask],
        placement: &Placement,
        network: Option<&Network>,
        checkpointing: Option<&Checkpointing>,
        on_progress: &OnProgress,
        log: &OperatorLog,
    ) -> Self {
        let life = Arc::new(Life::new());
        let mut channels = Channels::new(job, placement, network, &life);
        channels.connect();
        let Channels { parts, meters, inlets, .. } = channels;
        let registration = network.map(|network| network.register(placement, &life, inlets));
        let context =
            Context { job: job.clone(), life: life.clone(), on_progress: on_progress.clone(), log: log.clone() };
        let writing = checkpointing.map(|at| start_writer((job, placement.job), subtasks, at, &life, on_progress));
        let checkpoints = match (writing, checkpointing) {
            (Some(Ok(writing)), Some(at)) => Some((writing, Restored::new(at, placement.job))),
            (Some(Err(error)), _) => {
                life.fail(Failure::Checkpoints { reason: format!("the system gives no thread: {error}") });
                None
            }
            _ => None,
        };
        let mut activities = Vec::new();
        for (subtask, mut parts) in parts.into_iter().filter(|(subtask, _)| subtasks.contains(subtask)) {
            let activity = Arc::new(Activity::new(subtask, std::mem::take(&mut parts.channels)));
            activities.push(activity.clone());
            spawn(subtask, parts, context.clone(), activity, checkpoints.clone());
        }
        Self { life, meters, activities, registration: Mutex::new(registration) }
    }

    /// Raises what the subtasks are wished to do.
    pub fn raise(&self, wish: Wish) {
        self.life.raise(wish);
        if wish == Wish::Stop {
            self.registration.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Says how far its checkpoints are.
    pub fn checkpoints(&self, checkpoints: Checkpoints) {
        self.life.checkpoints(checkpoints);
    }

    /// Says up to which watermarks sources may go that keep in step with others.
    pub fn limits(&self, limits: impl IntoIterator<Item = (Subtask, Timestamp)>) {
        self.life.signal.set_limits(limits.into_iter().collect());
    }

    /// Says what sources were given to read that have asked.
    pub fn give(&self, given: impl IntoIterator<Item = (Subtask, Given)>) {
        self.life.signal.set_given(given.into_iter().collect());
    }

    /// What each subtask here is doing.
    pub fn activity(&self) -> Vec<SubtaskFigures> {
        self.activities.iter().map(|activity| activity.figures()).collect()
    }

    /// What waits at the gates here, by edge.
    pub fn queued(&self) -> Vec<Queued> {
        let mut of_edge: BTreeMap<usize, Queued> = BTreeMap::new();
        for (meter, edges) in &self.meters {
            for (&edge, (batches, bytes)) in edges.iter().zip(meter.queued()) {
                let queued = of_edge.entry(edge).or_insert(Queued { edge, ..Queued::default() });
                queued.batches += batches;
                queued.bytes += bytes;
            }
        }
        of_edge.into_values().collect()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.life.close_outlets();
    }
}

/// What all subtasks of an attempt share.
#[derive(Clone)]
struct Context {
    job: Arc<Job>,
    life: Arc<Life>,
    on_progress: OnProgress,
    log: OperatorLog,
}

/// The writer of the attempt's snapshots, and what it begins from.
type Snapshots = (Arc<Writing>, Option<Restored>);

fn spawn(subtask: Subtask, parts: Parts, context: Context, activity: Arc<Activity>, snapshots: Option<Snapshots>) {
    let Context { job, life, on_progress, log } = context;
    let chain = &job.plan.chains[subtask.chain as usize];
    let names: Vec<&str> = chain.vertices.iter().map(|&v| job.graph.vertices[v].name.as_str()).collect();
    let name = names.join("+");
    let thread_name: String = format!("{}/{}", subtask.index, name).chars().take(15).collect();
    let (failed_name, report) = (name.clone(), on_progress.clone());
    let body = move || {
        activity::begin(activity.clone());
        subtask::run(
            (&name, subtask.index),
            &life.signal,
            &activity,
            || {
                let (writing, restored) = snapshots.unzip();
                let restored = restored.flatten();
                let checkpoints = writing.map(|writing| Checkpointer::new(subtask, writing, on_progress.clone()));
                let (chain, feed) = open(
                    &job,
                    subtask,
                    (parts, &activity),
                    (&log, life.signal.interrupt()),
                    checkpoints.is_some(),
                    restored.as_ref(),
                )?;
                let head = &job.graph.vertices[job.plan.chains[subtask.chain as usize].vertices[0]];
                let ended = |from: &Restored| from.had_ended(&head.name, subtask.index, head.parallelism);
                Ok(Made { chain, feed, checkpoints, had_ended: restored.as_ref().is_some_and(ended) })
            },
            |progress| on_progress(subtask, progress),
        );
    };
    if let Err(source) = thread::Builder::new().name(thread_name).spawn(body) {
        let error = Error::Thread { chain: failed_name, subtask: subtask.index, source };
        report(subtask, Progress::Failed(error));
    }
}

/// Opens everything of a subtask: instances, state, sinks, the source.
fn open(
    job: &Job,
    subtask: Subtask,
    (mut parts, activity): (Parts, &Arc<Activity>),
    (log, interrupt): (&OperatorLog, &Interrupt),
    checkpoints: bool,
    restored: Option<&Restored>,
) -> Result<(Chain, Feed), Error> {
    let vertices = &job.plan.chains[subtask.chain as usize].vertices;
    let mut nodes = Vec::new();
    for &vertex in vertices {
        let kind = open_vertex(job, vertex, subtask.index, (log, interrupt), checkpoints, restored)?;
        job.counters[vertex].begin(subtask.index);
        let wants = match &kind {
            Kind::Operator(operator) => operator.wants(),
            _ => Wants { timers: false, notice_watermark: false, notice_end: false },
        };
        nodes.push(Node {
            name: job.graph.vertices[vertex].name.clone(),
            kind,
            rounds: Rounds::new(wants),
            outputs: targets(job, vertex, subtask.index, vertices, &mut parts)?,
            counters: job.counters[vertex].clone(),
            vertex: vertex as u32,
            subtask: subtask.index,
            tap: Some(Tap { taps: job.taps.clone(), vertex, subtask: subtask.index }),
        });
    }
    let feed = match parts.feed {
        Some((gate, input_of_channel)) => Feed::Gate { gate, input_of_channel },
        None => {
            let given = (parts.limit, activity.clone());
            Feed::Source(Box::new(open_source(job, vertices[0], subtask, given, log, restored)?))
        }
    };
    Ok((Chain { nodes }, feed))
}

fn open_vertex(
    job: &Job,
    vertex: usize,
    subtask: u32,
    (log, interrupt): (&OperatorLog, &Interrupt),
    checkpoints: bool,
    restored: Option<&Restored>,
) -> Result<Kind, Error> {
    let name = &job.graph.vertices[vertex].name;
    match &job.parts[vertex] {
        Part::Source { .. } => Ok(Kind::Source),
        Part::Operator(plugin) => {
            let (log, operator) = (log.clone(), name.clone());
            let start = Start {
                graph: &job.graph,
                vertex,
                subtask,
                wanted: &job.plan.wanted[vertex],
                plugin,
                log: Arc::new(move |line| log(&operator, subtask, line)),
                counters: job.counters[vertex].clone(),
                conduct: Conduct::default(),
                interrupt: interrupt.clone(),
            };
            let mut operator = Operator::start(start)?;
            if checkpoints {
                let schema = schema_of(&job.graph, vertex);
                operator.restore(restored, &schema, job.key_groups)?;
            }
            Ok(Kind::Operator(Box::new(operator)))
        }
        Part::Sink(config) => {
            let edge = job.graph.inputs_of(vertex).next().expect("a sink has one input");
            let schema = &job.graph.vertices[edge.from].ports[edge.port].schema;
            let parallelism = job.graph.vertices[vertex].parallelism;
            let place = SinkPlace { subtask, parallelism, bounded: job.is_bounded(), checkpoints };
            let parts = restored.and_then(|from| from.sink_parts(name));
            let sink = config.open(schema, place, parts.as_ref());
            let sink = sink.map_err(|source| Error::Sink { vertex: name.clone(), subtask, source })?;
            Ok(Kind::Sink(SinkNode { sink, subtask }))
        }
    }
}

fn open_source(
    job: &Job,
    vertex: usize,
    subtask: Subtask,
    (limit, activity): (Option<Arc<RowLimit>>, Arc<Activity>),
    log: &OperatorLog,
    restored: Option<&Restored>,
) -> Result<Head, Error> {
    let graph_vertex = &job.graph.vertices[vertex];
    let (Role::Source { event_time, bad_rows }, Part::Source { config, splits }) =
        (&graph_vertex.role, &job.parts[vertex])
    else {
        panic!("vertex {} heads a chain without inputs and is no source", graph_vertex.name)
    };
    let read: Vec<bool> =
        (0..graph_vertex.ports.len()).map(|port| job.graph.outputs_of(vertex).any(|edge| edge.port == port)).collect();
    let counters = &job.counters[vertex];
    let (log, name) = (log.clone(), graph_vertex.name.clone());
    let log = Arc::new(move |line| log(&name, subtask.index, line));
    Head::open(Open {
        vertex: graph_vertex,
        subtask,
        config,
        splits,
        wanted: &job.plan.wanted[vertex],
        read: &read,
        time: event_time.as_ref(),
        limit,
        counters: counters.clone(),
        activity,
        bad_rows: BadRows::new(&graph_vertex.name, subtask.index, *bad_rows, counters.clone(), log),
        before: restored.and_then(|from| from.read_before(&graph_vertex.name, graph_vertex.parallelism)),
    })
}

/// Where the rows of each port of a vertex go.
fn targets(
    job: &Job,
    vertex: usize,
    writer: u32,
    chain: &[usize],
    parts: &mut Parts,
) -> Result<Vec<Vec<Target>>, Error> {
    let ports = &job.graph.vertices[vertex].ports;
    let mut targets: Vec<Vec<Target>> = ports.iter().map(|_| Vec::new()).collect();
    for (place, edge) in job.graph.edges.iter().enumerate().filter(|(_, edge)| edge.from == vertex) {
        let target = if job.plan.is_inside(edge) {
            let node = chain.iter().position(|&v| v == edge.to).expect("an inner edge stays in the chain");
            Target::Inside { node, input: edge.input }
        } else {
            let senders = parts.senders.iter_mut().find(|(edge, _)| *edge == place);
            let senders = senders.map(|(_, senders)| std::mem::take(senders)).unwrap_or_default();
            let to = job.graph.vertices[edge.to].name.clone();
            let fields = ports[edge.port].schema.fields();
            let leads = To { vertex: to.clone(), edge: place as u32 };
            let partitioner = Partitioner::new(writer, &edge.exchange, fields, job.key_groups, senders, leads);
            Target::Exchange(partitioner.map_err(|source| Error::Keys { vertex: to, source })?)
        };
        targets[edge.port].push(target);
    }
    Ok(targets)
}
