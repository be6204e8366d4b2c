//! What a guest answers: the memory it answers with is the input, and goes through the engine's lifting and the host's checks
//! as any guest's answer does.
//!
//! Rules: no panic; an answer that is made as the contract says is taken; one that is taken obeys the contract, whatever it
//! was made of (`oracle`).
//!
//! | byte of the input | says |
//! |---|---|
//! | 0 | which operator the guest is said to be, one of `operators` |
//! | 1 | bit 7: it is made as the contract says; else the call that is answered: `process`, `on-timers`, `on-notice`, `describe` |
//! | 2, 3 | rows of the call; how many keys they have |
//! | from 4 | the guest's memory at `image::BASE`, where the answer begins |

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use arrow_array::{ArrayRef, BinaryViewArray, new_null_array};
use wasmill_hostile::template;
use wasmill_model::{
    Batch, DataType, Field, JobGraph, Plan, Schema,
    descriptor::{Cell, CellKind, Context, Descriptor, Input, Port, Reads, Shape},
    graph::Catalogue,
    reply::{Groups, TimeDomain},
    settings::{Error, Settings},
    spec::{JobSpec, LimitsSpec, OperatorSpec, VertexSpec},
};
use wasmill_plugin::{
    CallTime, DescribeError, Engine, EngineOptions, Instance, InstanceOptions, Interrupt, Limits, Notice, Plugin,
    PluginStore, Worker, cache::Cache, describe,
};

use crate::{Handled, Random, Target, mutate};

mod description;
mod image;
mod oracle;

use oracle::{Call, Caller};

/// Rows that one call may make beyond those it was given.
const MADE_ROWS_MAX: usize = 300;

/// Bytes before the guest's memory.
const HEAD: usize = 4;

/// Bytes of a guest's memory, at most: what it receives them in.
const IMAGE_MAX: usize = 48 << 10;

const ROWS_MAX: usize = 67;

const AT: CallTime = CallTime { now_ms: 1_700_000_000_000, watermark: 100 };

/// Answers with what it is given: the first value of the column it reads, or for `describe` its configuration, which has two
/// letters from `a` to `p` a byte. Rows of input 1 are only remembered, for `on-notice` to answer with.
const GUEST: &str = r"
(func $keep (param $columns i32)
  (memory.copy (i32.const 0x80000)
    (i32.load offset=24 (local.get $columns)) (i32.load offset=28 (local.get $columns))))
(func $process (type $process)
  (call $keep (local.get 5))
  (if (result i32) (local.get 0) (then (i32.const 0x300)) (else (i32.const 0x80000))))
(func $on-timers (type $on-timers) (call $keep (local.get 5)) (i32.const 0x80000))
(func $on-notice (type $on-notice) (i32.const 0x80000))
(func $describe (type $describe) (local $n i32) (local $two i32)
  (loop $next
    (if (i32.lt_u (i32.shl (local.get $n) (i32.const 1)) (local.get 1)) (then
      (local.set $two (i32.load16_u (i32.add (local.get 0) (i32.shl (local.get $n) (i32.const 1)))))
      (i32.store8 (i32.add (i32.const 0x80000) (local.get $n))
        (i32.or
          (i32.shl (i32.sub (i32.and (local.get $two) (i32.const 0xff)) (i32.const 97)) (i32.const 4))
          (i32.sub (i32.shr_u (local.get $two) (i32.const 8)) (i32.const 97))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next))))
  (i32.const 0x80000))
";

pub(super) struct Replies {
    plugin: Plugin,
    inputs: Vec<Input>,
    operators: Vec<Descriptor>,
    /// One for each of `operators`, if it lives.
    instances: Vec<Option<Instance>>,
    limits: Limits,
}

impl Replies {
    pub(super) fn new() -> Result<Self> {
        let program = std::env::current_exe().context("could not find this program")?;
        let engine = Engine::new(&EngineOptions { pool_instances: 8, ..EngineOptions::default() })?;
        let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz-cache");
        let store = PluginStore::new(engine, Cache::open(cache)?, Worker::new(program, vec!["plugin-worker".into()]));
        let plugin = store.load(&template::component(GUEST)?)?;
        let operators = operators();
        let limits = Limits { output_rows: MADE_ROWS_MAX, output_bytes: 64 << 10, ..Limits::default() };
        Ok(Self { plugin, inputs: inputs(), instances: operators.iter().map(|_| None).collect(), operators, limits })
    }

    fn start(&self, descriptor: &Descriptor) -> Result<Instance, String> {
        let context = Context {
            job: "job".into(),
            operator: "answers".into(),
            subtask: 0,
            parallelism: 1,
            config: "{}".into(),
            inputs: self.inputs.clone(),
            extra: Vec::new(),
        };
        let (limits, descriptor) = (self.limits.clone(), descriptor.clone());
        let log = Arc::new(|_| {});
        let options = InstanceOptions {
            limits,
            context,
            descriptor,
            log,
            seed: 1,
            now_ms: 0,
            entries: None,
            interrupt: Interrupt::default(),
        };
        let mut instance = self.plugin.instantiate(options).map_err(|e| format!("it does not start: {e}"))?;
        instance.open().map_err(|e| format!("it does not open: {e}"))?;
        Ok(instance)
    }

    fn answer(&mut self, operator: usize, caller: Caller, sizes: (usize, usize), memory: &[u8]) -> Answer {
        let descriptor = self.operators[operator].clone();
        let mut instance = match self.instances[operator].take() {
            Some(instance) => instance,
            None => self.start(&descriptor)?,
        };
        let (rows, count) = sizes;
        let batch = rows_that_say(memory, rows);
        let groups = Groups { count: count as u32, of_row: (0..rows).map(|row| (row % count) as u32).collect() };
        let state = descriptor.value_cells().map(|cell| new_null_array(&cell.data_type.arrow(), count));
        let state: Vec<ArrayRef> = state.collect();
        let keyed = descriptor.inputs[0].keyed;
        let groups = keyed.then_some(&groups);
        let reply = match (caller, groups) {
            (Caller::Input, _) => instance.process(AT, 0, &batch, groups, &state),
            (Caller::Timers, Some(groups)) => instance.on_timers(AT, TimeDomain::EventTime, &batch, groups, &state),
            _ => {
                instance.process(AT, 1, &batch, None, &[]).map_err(|e| format!("it does not remember: {e}"))?;
                instance.on_notice(AT, Notice::EndOfInput)
            }
        };
        if !instance.is_dead() {
            self.instances[operator] = Some(instance);
        }
        let call = Call { descriptor: &descriptor, caller, rows, groups: groups.map(|groups| groups.count as usize) };
        match reply {
            Ok(reply) => oracle::check(&reply, &call, MADE_ROWS_MAX).map(|()| None),
            Err(error) => harmless(error.to_string()).map(Some),
        }
    }

    fn description(&self, memory: &[u8]) -> Answer {
        let letters = memory.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half));
        let config: String = letters.collect();
        match describe(&self.plugin, self.limits.clone(), &config, &self.inputs) {
            Ok(found) => {
                description::check(&found, &self.inputs)?;
                in_a_job(found).map(|()| None)
            }
            Err(error @ (DescribeError::Call(_) | DescribeError::Refused { .. } | DescribeError::Bad { .. })) => {
                harmless(error.to_string()).map(Some)
            }
        }
    }
}

/// Nothing if the answer was taken, else why it was not; or the rule that is broken.
type Answer = Result<Option<String>, String>;

fn harmless(words: String) -> Result<String, String> {
    let harmful = |c: char| c.is_control() && c != '\n';
    if words.chars().any(harmful) { Err(format!("words that cannot be shown: {words:?}")) } else { Ok(words) }
}

/// Input 0 is keyed where an operator wants it; input 1 only remembers.
fn inputs() -> Vec<Input> {
    let schema = || Schema::new(vec![Field::new("image", DataType::Binary)]).expect("one column");
    let input = |key| Input { schema: schema(), key, event_times: true };
    vec![input(Some(vec!["image".to_owned()])), input(None)]
}

fn rows_that_say(memory: &[u8], rows: usize) -> Batch {
    let values = (0..rows).map(|row| if row == 0 { memory } else { &[] });
    let mut batch = Batch::new(rows, vec![Arc::new(BinaryViewArray::from_iter_values(values))]);
    batch.event_times = Some((0..rows as i64).collect());
    batch
}

/// What the guest is said to be: ports of all shapes, columns and cells of all types.
fn operators() -> Vec<Descriptor> {
    let of = |nullable: bool| -> Vec<Field> {
        let field = |data_type: DataType| Field { name: format!("{data_type}-{nullable}"), data_type, nullable };
        DataType::ALL.into_iter().map(field).collect()
    };
    let port = |name: &str, shape, event_times| Port { name: name.into(), shape, event_times };
    let reads = |keyed| Reads { columns: vec!["image".into()], keyed, event_times: false };
    let new = |nullable| Shape::New { schema: Schema::new(of(nullable)).expect("their names differ") };
    let plain = Descriptor {
        inputs: vec![reads(false), reads(false)],
        ports: vec![
            port("pass", Shape::Pass { input: 0 }, false),
            port("extend", Shape::Extend { input: 0, columns: of(false) }, false),
            port("nullable", Shape::Extend { input: 0, columns: of(true) }, false),
            port("new", new(true), true),
            port("timeless", new(false), false),
            port("other", Shape::Pass { input: 1 }, false),
        ],
        cells: Vec::new(),
        timers: false,
        notice_watermark: true,
        notice_end_of_input: true,
        extra: Vec::new(),
    };
    let cell = |data_type: DataType| Cell::value(&data_type.to_string(), data_type);
    let entries = |name: &str, kind, sub_key, data_type| Cell { kind, sub_key, ..Cell::value(name, data_type) };
    let mut keyed = plain.clone();
    keyed.inputs = vec![reads(true), reads(false)];
    keyed.ports.push(port("key", Shape::Key { columns: of(true) }, false));
    keyed.cells = DataType::ALL.into_iter().map(cell).collect();
    keyed.cells.insert(2, entries("list", CellKind::List, None, DataType::Utf8));
    keyed.cells.push(entries("map", CellKind::Map, Some(DataType::Utf8), DataType::Int64));
    keyed.cells.push(entries("all", CellKind::Broadcast, Some(DataType::Int64), DataType::Boolean));
    keyed.timers = true;
    vec![plain, keyed]
}

/// Wires what the guest said it is into a job, which may refuse it, but not panic.
fn in_a_job(found: Descriptor) -> Result<(), String> {
    const JOB: &str = "[job]\nname = \"j\"\n[source.s]\nconnector = \"x\"\n[operator.o]\nplugin = \"./o.wasm\"\n\
        inputs = [{ from = \"s\", key_by = [\"image\"] }, { from = \"s\" }]\n[sink.all]\ninput = \"s\"\n";
    let settings = Settings::parse(Path::new("job.toml"), JOB).map_err(|e| e.to_string())?;
    let spec = JobSpec::read(&settings).map_err(|e| e.to_string())?;
    if let Ok(graph) = JobGraph::check(&spec, &mut One(found)) {
        Plan::new(&graph);
    }
    Ok(())
}

/// Knows one source and one operator.
struct One(Descriptor);

impl Catalogue for One {
    fn source(&mut self, vertex: &VertexSpec) -> Result<Vec<(String, Schema)>, Error> {
        vertex.settings.get("connector");
        Ok(vec![("out".to_owned(), inputs()[0].schema.clone())])
    }

    fn sink(&mut self, _: &VertexSpec, _: &Schema) -> Result<(), Error> {
        Ok(())
    }

    fn operator(
        &mut self,
        _: &VertexSpec,
        operator: &OperatorSpec,
        _: &[Input],
    ) -> Result<(Descriptor, LimitsSpec), Error> {
        Ok((self.0.clone(), operator.limits.clone()))
    }
}

impl Target for Replies {
    fn make(&self, random: &mut Random) -> Vec<u8> {
        let operator = random.below(self.operators.len());
        let caller = random.below(4);
        let mut input = vec![operator as u8, caller as u8, random.draw() as u8, random.draw() as u8];
        let (rows, count) = sizes(&input);
        let made = |random: &mut Random| match Caller::of(caller) {
            Some(caller) => {
                let descriptor = &self.operators[operator];
                let groups = descriptor.inputs[0].keyed.then_some(count);
                image::reply(&Call { descriptor, caller, rows, groups }, random)
            }
            None => description::make(random),
        };
        let mut memory = made(random);
        match random.below(16) {
            0..4 => input[1] |= 0x80,
            4 => memory = image::failure(random),
            _ => {
                let other = made(random);
                mutate::bytes(&mut memory, &other, random);
            }
        }
        input.extend(memory);
        input
    }

    fn run(&mut self, input: &[u8]) -> Result<Handled, String> {
        if !(HEAD..HEAD + IMAGE_MAX).contains(&input.len()) {
            return Ok(Handled::Refused);
        }
        let (head, memory) = input.split_at(HEAD);
        let operator = usize::from(head[0]) % self.operators.len();
        let answer = match Caller::of(usize::from(head[1] & 0x7f)) {
            // Without keys there are no timers.
            Some(Caller::Timers) if !self.operators[operator].timers => return Ok(Handled::Refused),
            Some(caller) => self.answer(operator, caller, sizes(head), memory),
            None => self.description(memory),
        };
        match answer? {
            None => Ok(Handled::Accepted),
            Some(words) if head[1] & 0x80 != 0 => Err(format!("a good answer is refused: {words}")),
            Some(_) => Ok(Handled::Refused),
        }
    }
}

/// Rows of the call, and how many keys they have.
fn sizes(head: &[u8]) -> (usize, usize) {
    let rows = 1 + usize::from(head[2]) % ROWS_MAX;
    (rows, 1 + usize::from(head[3]) % rows)
}
