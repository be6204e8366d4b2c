//! A trial: one operator on prepared rows, with a clock that is set by hand, in the chain that runs it in a job.
//!
//! A *script* says what happens: rows come, a watermark advances, the clock is set, an input ends. A *way* says how: in which
//! pieces the rows are handed over, and whether every call gets a new instance. By the rules of the contract the result is
//! the same, whichever way.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::UInt32Array;
use wasmill_flow::{Event, Progress, Rounds, WatermarkGenerator, WatermarkOptions, Watermarks};
use wasmill_model::{
    Batch, JobGraph, Schema, Timestamp,
    batch::ROWS_TARGET,
    descriptor::{Descriptor, Input},
    graph::{Catalogue, Role},
    keys::KeyGroups,
    settings::{self, Setting},
    spec::{LimitsSpec, OnError, OperatorSpec, VertexSpec, fixture::FixtureSpec},
};
use wasmill_plugin::{Interrupt, Limits, LogLine, Plugin, PluginStore};
use wasmill_state::StateLimits;

use crate::{
    chain::{Chain, Kind, Node, SinkNode, Target},
    clock::Clock,
    error::Error,
    job::{Answers, Part, Parts, instance_limits, plugin_path},
    operator::{Conduct, Operator, OperatorUsage, Start, state_limits},
    source::set_event_times,
};

mod collect;
mod cut;
mod pace;
mod stage;

use collect::{Collector, Kept};
pub use collect::{ROWS_MAX, Rejected};
pub use cut::Cut;
pub use pace::Pace;
pub use stage::Disturbance;
use stage::Stage;

/// Lines of the operator's log that a run keeps: the first.
const LOG_LINES_MAX: usize = 200;

/// An operator that has been checked against a fixture's inputs, ready to be run any number of times.
#[derive(Debug)]
pub struct Trial {
    graph: JobGraph,
    /// The operator's place in the graph.
    vertex: usize,
    plugin: Plugin,
    /// For each input, what makes its watermark and the column of its event times.
    times: Vec<Option<(WatermarkOptions, usize)>>,
}

/// What happens, in order. All inputs end at the end, if they have not before.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub steps: Vec<Step>,
    /// For each input: whether its watermark follows its rows, as it does behind a source, or is set by steps alone.
    pub follows: Vec<bool>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// Rows of an input, all columns of its schema, without event times. At the end of the step the watermark follows.
    Rows { input: usize, batches: Vec<Batch> },
    /// An input's watermark.
    Watermark { input: usize, time: Timestamp },
    /// The host's clock.
    ProcessingTime(Timestamp),
    /// An input has ended.
    End { input: usize },
}

/// How a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub cut: Cut,
    /// Whether every call gets a new instance.
    pub renew: bool,
    pub disturbance: Disturbance,
    /// Whether the rows of each step come in another order, but for those of one key, which keep theirs; the seed of that order.
    pub reorder: Option<u64>,
}

impl Way {
    /// Rows as they were read, and nothing else done.
    pub const PLAIN: Self = Self { cut: Cut::Whole, renew: false, disturbance: Disturbance::None, reorder: None };
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// The rows that left by each port of the operator.
    pub ports: Vec<Vec<Batch>>,
    /// Rows, and timers, that were left out.
    pub rejected: Vec<Rejected>,
    /// Why the operator could not go on, if it could not.
    pub error: Option<Error>,
    /// The first lines of its log.
    pub log: Vec<LogLine>,
    /// Lines beyond those.
    pub log_more: usize,
    pub usage: OperatorUsage,
    /// For each step of rows: how many each call was given.
    pub pieces: Vec<Vec<usize>>,
}

/// What an operator may use in a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialLimits {
    pub instance: Limits,
    pub state_bytes: usize,
    pub timers: usize,
}

impl Trial {
    /// Checks a fixture and an operator, as a job file is checked. `plugin` is the path of the component; `operator` is what it
    /// is called.
    ///
    /// # Errors
    /// What is wrong, with file and line of the fixture.
    pub fn prepare(
        fixture: &FixtureSpec,
        name: &str,
        operator: &str,
        plugin: &Path,
        plugins: &PluginStore,
    ) -> Result<Self, settings::Error> {
        let spec = fixture.job(name, operator, plugin);
        let base = Path::new("");
        let find = |plugin: &Setting| plugin_path(plugin, base);
        let mut parts = OnTrial(Parts::new(base, Answers::Ask { plugins, find: &find }));
        let graph = JobGraph::check(&spec, &mut parts)?;
        let vertex = graph.vertices.len() - 1;
        let Some(Part::Operator(plugin)) = parts.0.found.remove(operator) else {
            panic!("checking asked the catalogue for the operator")
        };
        let times = graph.vertices[..vertex].iter().map(|source| match &source.role {
            Role::Source { event_time: Some(time), .. } => {
                let column = time.column_of_port[0].expect("the checker refuses a column that is not there");
                Some((WatermarkOptions::bounded(time.out_of_order), column))
            }
            _ => None,
        });
        let times = times.collect();
        Ok(Self { vertex, plugin, times, graph })
    }

    /// The inputs as the operator was told of them.
    pub fn inputs(&self) -> &[Input] {
        self.role().1
    }

    /// What the operator said it is.
    pub fn descriptor(&self) -> &Descriptor {
        self.role().0
    }

    /// Names and schemas of the operator's own ports.
    pub fn ports(&self) -> impl Iterator<Item = (&str, &Schema)> {
        let own = self.role().0.ports.len();
        self.graph.vertices[self.vertex].ports[..own].iter().map(|port| (port.name.as_str(), &port.schema))
    }

    /// The limits that hold in it.
    pub fn limits(&self) -> TrialLimits {
        let Role::Operator { limits, .. } = &self.graph.vertices[self.vertex].role else { unreachable!("see prepare") };
        let StateLimits { bytes_max, timers_max } = state_limits(limits);
        TrialLimits { instance: instance_limits(limits), state_bytes: bytes_max, timers: timers_max }
    }

    /// Runs a script from its start to its end, in a new instance with empty state.
    ///
    /// # Panics
    /// If the script is not one for the operator's inputs.
    pub fn run(&self, script: &Script, way: Way) -> Run {
        let clock = Clock::by_hand();
        let log = Arc::new(Mutex::new((Vec::new(), 0)));
        let conduct = Conduct { clock: clock.clone(), renew: way.renew, meter: true };
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let mut pieces = Vec::new();
        // A port of dead letters is there even if the policy has none, so that it is always the last.
        kept.lock().unwrap_or_else(PoisonError::into_inner).ports = vec![Vec::new(); self.role().0.ports.len() + 1];
        let making = Making { trial: self, conduct, log: log.clone(), kept: kept.clone() };
        let key_groups = KeyGroups::new(self.graph.key_groups).expect("a fixture has the default number of them");
        let (error, usage) = match Stage::new(making, way.disturbance, key_groups) {
            Ok(mut stage) => {
                let result = self.play(&mut stage, script, way, &clock, &mut pieces);
                (result.err(), usage_of(&stage.chains))
            }
            Err(error) => (Some(error), OperatorUsage::default()),
        };
        let mut ports = std::mem::take(&mut kept.lock().unwrap_or_else(PoisonError::into_inner).ports);
        let letters = ports.split_off(self.role().0.ports.len());
        let (lines, log_more) = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
        let rejected = letters.iter().flatten().flat_map(Rejected::of).collect();
        Run { ports, rejected, error, log: lines, log_more, usage, pieces }
    }

    fn role(&self) -> (&Descriptor, &[Input], OnError) {
        let Role::Operator { descriptor, inputs, on_error, .. } = &self.graph.vertices[self.vertex].role else {
            unreachable!("the last vertex is the operator")
        };
        (descriptor, inputs, *on_error)
    }

    fn operator(&self, conduct: Conduct, log: &Arc<Mutex<(Vec<LogLine>, usize)>>) -> Result<Operator, Error> {
        let vertex = &self.graph.vertices[self.vertex];
        let wanted: Vec<Vec<bool>> = vertex.ports.iter().map(|port| vec![true; port.schema.len()]).collect();
        let log = log.clone();
        Operator::start(Start {
            graph: &self.graph,
            vertex: self.vertex,
            subtask: 0,
            wanted: &wanted,
            plugin: &self.plugin,
            log: Arc::new(move |line| {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.0.len() < LOG_LINES_MAX { log.0.push(line) } else { log.1 += 1 }
            }),
            counters: Arc::default(),
            conduct,
            interrupt: Interrupt::default(),
        })
    }

    /// The operator, and behind each of its ports, that of the dead letters included, what keeps its rows.
    fn chain(
        &self,
        conduct: Conduct,
        log: &Arc<Mutex<(Vec<LogLine>, usize)>>,
        kept: &Arc<Mutex<Kept>>,
    ) -> Result<Chain, Error> {
        let ports = &self.graph.vertices[self.vertex].ports;
        let operator = self.operator(conduct, log)?;
        let wants = operator.wants();
        let mut nodes = vec![Node {
            name: self.graph.vertices[self.vertex].name.clone(),
            kind: Kind::Operator(Box::new(operator)),
            outputs: (0..ports.len()).map(|port| vec![Target::Inside { node: port + 1, input: 0 }]).collect(),
            counters: Arc::default(),
            rounds: Rounds::new(wants),
            tap: None,
            vertex: 0,
            subtask: 0,
        }];
        for (place, port) in ports.iter().enumerate() {
            let sink = Box::new(Collector::new(place, &port.name, kept.clone()));
            nodes.push(Node {
                name: port.name.clone(),
                kind: Kind::Sink(SinkNode { sink, subtask: 0 }),
                outputs: Vec::new(),
                counters: Arc::default(),
                rounds: Rounds::new(wasmill_flow::Wants { timers: false, notice_watermark: false, notice_end: false }),
                tap: None,
                vertex: 0,
                subtask: 0,
            });
        }
        Ok(Chain { nodes })
    }

    fn play(
        &self,
        stage: &mut Stage<'_>,
        script: &Script,
        way: Way,
        clock: &Clock,
        pieces: &mut Vec<Vec<usize>>,
    ) -> Result<(), Error> {
        assert_eq!(script.follows.len(), self.times.len(), "a script says of each input how its watermark is made");
        let mut together = Watermarks::new(self.times.len());
        let generator = |(time, follows): (&Option<(WatermarkOptions, usize)>, &bool)| {
            time.filter(|_| *follows).map(|(options, _)| WatermarkGenerator::new(1, options, Default::default()))
        };
        let mut generators: Vec<_> = self.times.iter().zip(&script.follows).map(generator).collect();
        let mut cutter = way.cut.start();
        for step in &script.steps {
            let progress = match step {
                Step::Rows { input, batches } => {
                    let mut sizes = Vec::new();
                    let mut latest = None;
                    let reordered = way.reorder.map(|seed| self.reordered(stage, *input, batches, seed)).transpose()?;
                    for batch in reordered.as_ref().unwrap_or(batches) {
                        let batch = self.with_event_times(*input, batch);
                        latest = latest.max(batch.event_times.iter().flat_map(|times| times.iter().copied()).max());
                        let mut offset = 0;
                        while offset < batch.rows {
                            let rows = cutter.next(batch.rows - offset);
                            sizes.push(rows);
                            stage.piece(*input, &batch.slice(offset, rows))?;
                            offset += rows;
                        }
                    }
                    pieces.push(sizes);
                    // Whatever the pieces, timers and the watermark wait for the last of them.
                    stage.fire_processing_timers(clock.now_ms())?;
                    let watermark = generators[*input].as_mut().and_then(|source| {
                        source.rows(0, latest, Default::default());
                        Some(source.watermark()).filter(|_| latest.is_some())
                    });
                    watermark.and_then(|time| together.advance(*input, time))
                }
                Step::Watermark { input, time } => together.advance(*input, *time),
                Step::ProcessingTime(now_ms) => {
                    clock.set(*now_ms);
                    stage.fire_processing_timers(*now_ms)?;
                    None
                }
                Step::End { input } => together.finish(*input),
            };
            match progress {
                Some(Progress::Watermark(watermark)) => stage.round(Event::Watermark(watermark))?,
                Some(Progress::Idle) => stage.round(Event::Idle)?,
                Some(Progress::Finished) | None => {}
            }
        }
        stage.round(Event::End)
    }

    /// Rows of one step in another order, in which rows of a key keep theirs. Rows of an input that is not keyed stay.
    fn reordered(
        &self,
        stage: &mut Stage<'_>,
        input: usize,
        batches: &[Batch],
        seed: u64,
    ) -> Result<Vec<Batch>, Error> {
        let filled: Vec<Batch> = batches.iter().filter(|batch| batch.rows > 0).cloned().collect();
        if filled.is_empty() {
            return Ok(Vec::new());
        }
        let all = Batch::concat(&filled);
        let Some(hashes) = stage.hashes(input, &all)? else { return Ok(batches.to_vec()) };
        let mut order: Vec<u32> = (0..all.rows as u32).collect();
        let mixed = |row: u32| (hashes[row as usize] ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        order.sort_by_key(|row| mixed(*row));
        let order = UInt32Array::from(order);
        let whole = all.take(&order);
        Ok((0..whole.rows).step_by(ROWS_TARGET).map(|at| whole.slice(at, ROWS_TARGET.min(whole.rows - at))).collect())
    }

    /// Whether its keys can be dealt out to several instances that together do what one does.
    pub fn can_rescale(&self) -> bool {
        let descriptor = self.role().0;
        let keyed = !descriptor.inputs.is_empty() && descriptor.inputs.iter().all(|reads| reads.keyed);
        keyed && !descriptor.notice_watermark && !descriptor.notice_end_of_input
    }

    /// Whether rows of different keys can come in any order.
    pub fn can_reorder(&self) -> bool {
        self.role().0.inputs.iter().all(|reads| reads.keyed)
    }

    fn with_event_times(&self, input: usize, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        if let Some((_, column)) = self.times[input] {
            set_event_times(&mut batch, column);
        }
        batch
    }
}

/// What a chain of a trial is made with.
struct Making<'a> {
    trial: &'a Trial,
    conduct: Conduct,
    log: Arc<Mutex<(Vec<LogLine>, usize)>>,
    kept: Arc<Mutex<Kept>>,
}

impl Making<'_> {
    fn chain(&self) -> Result<Chain, Error> {
        self.trial.chain(self.conduct.clone(), &self.log, &self.kept)
    }
}

fn usage_of(chains: &[Chain]) -> OperatorUsage {
    let of = |chain: &Chain| match &chain.nodes[0].kind {
        Kind::Operator(operator) => operator.usage().unwrap_or_default(),
        _ => unreachable!("the first node is the operator"),
    };
    chains.first().map(of).unwrap_or_default()
}

/// Answers the checker of a fixture: its inputs say themselves what they are.
struct OnTrial<'a>(Parts<'a>);

impl Catalogue for OnTrial<'_> {
    fn source(&mut self, vertex: &VertexSpec) -> Result<Vec<(String, Schema)>, settings::Error> {
        Ok(vec![("out".to_owned(), vertex.settings.require("schema")?.schema()?)])
    }

    fn sink(&mut self, vertex: &VertexSpec, _: &Schema) -> Result<(), settings::Error> {
        unreachable!("a fixture has no sink {}", vertex.name)
    }

    fn operator(
        &mut self,
        vertex: &VertexSpec,
        operator: &OperatorSpec,
        inputs: &[Input],
    ) -> Result<(Descriptor, LimitsSpec), settings::Error> {
        self.0.operator(vertex, operator, inputs)
    }
}
