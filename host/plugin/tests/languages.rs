//! The contract in several languages: one table of what is asked and what must come, and every guest of `tests/guests`
//! that knows the modes. Nothing here is particular to a language.
//!
//! The guests in C and Python are built by `cargo run --release -p wasmill-guests`, the one in Rust by
//! `cargo xtask plugins`.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, cast::AsArray, types::Int64Type};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    descriptor::{Context, Descriptor, Input, Shape},
    reply::{CellUpdate, Groups, Outcome, Reply, TimeDomain},
    time,
};
use wasmill_plugin::{
    CallError, CallTime, Engine, EngineOptions, Instance, InstanceOptions, Interrupt, Limits, Plugin, PluginStore,
    Tier, Worker, cache::Cache, plugins, worker,
};

/// A guest, and what it is built to.
struct Language {
    name: &'static str,
    file: &'static str,
    /// Whether it knows the modes `sum` and `running`.
    all_modes: bool,
    limits: fn() -> Limits,
}

const LANGUAGES: [Language; 3] = [
    Language { name: "Rust", file: "plugins/rust-plain.wasm", all_modes: false, limits: Limits::default },
    Language { name: "C", file: "guests/c-plain.wasm", all_modes: true, limits: Limits::default },
    Language { name: "Python", file: "guests/python-plain.wasm", all_modes: true, limits: Limits::default },
];

impl Language {
    fn component(&self) -> Vec<u8> {
        let path = target().join(self.file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{} is not built: {}: {error}", self.name, path.display()))
    }
}

/// The folder that cargo builds into, above the program this test belongs to.
fn target() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_wasmill-plugin-worker"));
    program.ancestors().nth(2).expect("programs stand two folders deep").to_owned()
}

/// One store for all tests of this file; its cache is kept, as that of a server is.
fn store() -> &'static PluginStore {
    static STORE: OnceLock<PluginStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let options = EngineOptions { pool_instances: 64, ..EngineOptions::default() };
        let engine = Engine::new(&options).expect("these options are sound");
        let cache = Cache::open(target().join("guests/cache")).expect("the folder is writable");
        PluginStore::new(engine, cache, Worker::new(env!("CARGO_BIN_EXE_wasmill-plugin-worker"), Vec::new()))
    })
}

fn config(mode: &str) -> String {
    format!(r#"{{"mode": "{mode}"}}"#)
}

/// A nullable number, and a key.
fn input(keyed: bool) -> Input {
    let schema = Schema::new(vec![Field::nullable("a", DataType::Int64), Field::new("key", DataType::Int64)]);
    let schema = schema.expect("the names differ");
    Input { schema, key: keyed.then(|| vec!["key".to_owned()]), event_times: false }
}

fn batch(a: &[Option<i64>]) -> Batch {
    let keys: Int64Array = (0..a.len() as i64).map(Some).collect();
    Batch::new(a.len(), vec![Arc::new(Int64Array::from(a.to_vec())) as ArrayRef, Arc::new(keys)])
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn at(watermark: i64) -> CallTime {
    CallTime { now_ms: 1_000, watermark }
}

/// An opened instance in this mode, and the lines it has logged.
struct Running {
    instance: Instance,
    descriptor: Descriptor,
    logged: Arc<Mutex<Vec<String>>>,
}

fn start(language: &Language, mode: &str) -> Running {
    let wasm = language.component();
    let inputs = vec![input(mode == "running")];
    let limits = (language.limits)();
    let described = store().describe(&wasm, &limits, &config(mode), &inputs);
    let descriptor = described.unwrap_or_else(|error| panic!("{} {mode}: {error}", language.name));
    let plugin = store().load(&wasm).unwrap_or_else(|error| panic!("{}: {error}", language.name));
    let logged = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&logged);
    let mut instance = instantiate(&plugin, limits, mode, inputs, &descriptor, move |line| {
        lines.lock().expect("no one panics with it").push(line);
    });
    instance.open().unwrap_or_else(|error| panic!("{} {mode}: {error}", language.name));
    Running { instance, descriptor, logged }
}

fn instantiate(
    plugin: &Plugin,
    limits: Limits,
    mode: &str,
    inputs: Vec<Input>,
    descriptor: &Descriptor,
    log: impl Fn(String) + Send + Sync + 'static,
) -> Instance {
    let context = Context {
        job: "languages".into(),
        operator: mode.into(),
        subtask: 0,
        parallelism: 1,
        config: config(mode),
        inputs,
        extra: Vec::new(),
    };
    let log = Arc::new(move |line: wasmill_plugin::LogLine| log(line.message));
    let options = InstanceOptions {
        limits,
        context,
        descriptor: descriptor.clone(),
        log,
        seed: 1,
        now_ms: 1_000,
        entries: None,
        interrupt: Interrupt::default(),
    };
    plugin.instantiate(options).expect("there is room")
}

/// The one emission of a reply that changes nothing else.
fn only_emission(reply: Reply) -> (usize, Outcome) {
    assert!(reply.cells.is_empty() && reply.timers.is_empty(), "{reply:?}");
    let [emission] = <[_; 1]>::try_from(reply.emissions).expect("one emission");
    (emission.port, emission.rows)
}

fn extension(outcome: Outcome) -> Vec<i64> {
    match outcome {
        Outcome::Extend { take: None, columns } => columns[0].as_primitive::<Int64Type>().values().to_vec(),
        other => panic!("expected all rows and a column, found {other:?}"),
    }
}

const NUMBERS: [Option<i64>; 11] = [
    Some(2),
    Some(-3),
    None,
    Some(1 << 60),
    Some(7),
    Some(8),
    Some(9),
    Some(10),
    Some(11),
    Some(i64::MIN / 2),
    Some(-1),
];

#[test]
fn keep() {
    for language in &LANGUAGES {
        let mut running = start(language, "keep");
        assert_eq!(running.descriptor.ports[0].shape, Shape::Pass { input: 0 });
        assert_eq!(running.descriptor.inputs[0].columns, ["a"]);
        let reply = running.instance.process(at(0), 0, &batch(&NUMBERS), None, &[]).expect(language.name);
        let (0, Outcome::Keep(kept)) = only_emission(reply) else { panic!("{}", language.name) };
        let expected: BooleanArray = NUMBERS.iter().map(|n| Some(n.unwrap_or(0) % 2 == 0)).collect();
        assert_eq!(kept, expected, "{}", language.name);
    }
}

#[test]
fn map() {
    for language in &LANGUAGES {
        let mut running = start(language, "map");
        let columns = vec![Field::new("twice", DataType::Int64)];
        assert_eq!(running.descriptor.ports[0].shape, Shape::Extend { input: 0, columns });
        let reply = running.instance.process(at(0), 0, &batch(&NUMBERS), None, &[]).expect(language.name);
        let (0, outcome) = only_emission(reply) else { panic!("{}", language.name) };
        let expected: Vec<i64> = NUMBERS.iter().map(|n| n.unwrap_or(0) * 2).collect();
        assert_eq!(extension(outcome), expected, "{}", language.name);
    }
}

#[test]
fn fail() {
    for language in &LANGUAGES {
        let mut running = start(language, "fail");
        let good = running.instance.process(at(0), 0, &batch(&[Some(1), None]), None, &[]).expect(language.name);
        assert!(matches!(only_emission(good), (0, Outcome::Unchanged)), "{}", language.name);
        let error = running.instance.process(at(0), 0, &batch(&[Some(1), Some(-3), Some(-4)]), None, &[]);
        match error.expect_err(language.name) {
            CallError::Failure { function: "process", fatal: false, row: Some(1), message } => {
                assert_eq!(message, "-3 is negative", "{}", language.name);
            }
            other => panic!("{}: {other}", language.name),
        }
        // A failure is an answer: the instance lives on.
        running.instance.process(at(0), 0, &batch(&[Some(5)]), None, &[]).expect(language.name);
    }
}

#[test]
fn sum() {
    for language in LANGUAGES.iter().filter(|language| language.all_modes) {
        let mut running = start(language, "sum");
        let reply = running.instance.process(at(0), 0, &batch(&NUMBERS), None, &[]).expect(language.name);
        let (0, Outcome::Replace(rows)) = only_emission(reply) else { panic!("{}", language.name) };
        let total = NUMBERS.iter().flatten().sum::<i64>();
        assert_eq!((rows.rows, rows.event_times), (1, None), "{}", language.name);
        let columns: Vec<&ArrayRef> = rows.columns.iter().flatten().collect();
        assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[total], "{}", language.name);
        assert_eq!(columns[1].as_string_view().value(0), "11 rows", "{}", language.name);
    }
}

#[test]
fn running() {
    for language in LANGUAGES.iter().filter(|language| language.all_modes) {
        let mut running = start(language, "running");
        let Descriptor { inputs, ports, cells, timers, .. } = &running.descriptor;
        assert!(inputs[0].keyed && inputs[0].columns.is_empty() && *timers, "{}", language.name);
        assert_eq!(ports[1].name, "totals");
        assert_eq!(ports[1].shape, Shape::Key { columns: vec![Field::new("total", DataType::Int64)] });
        assert_eq!((cells[0].name.as_str(), cells[0].data_type), ("count", DataType::Int64));

        // Three keys, of which the second has been seen twice before.
        let groups = Groups { count: 3, of_row: vec![0, 1, 0, 2, 1].into() };
        let state: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(2), None]));
        let rows = batch(&[None; 5]);
        let reply = running.instance.process(at(0), 0, &rows, Some(&groups), &[state]).expect(language.name);
        assert_eq!(extension(reply.emissions[0].rows.clone()), [1, 3, 2, 1, 4], "{}", language.name);
        let CellUpdate::All(counts) = &reply.cells[0] else { panic!("{}", language.name) };
        assert_eq!(counts, &ints(&[2, 4, 1]), "{}", language.name);
        let [timers] = &reply.timers[..] else { panic!("{}: {reply:?}", language.name) };
        assert_eq!((timers.domain, timers.set), (TimeDomain::EventTime, true), "{}", language.name);
        assert_eq!((&timers.groups[..], &timers.times[..]), (&[0, 2][..], &[time::MAX; 2][..]), "{}", language.name);

        let mut due = Batch::new(3, vec![ints(&[10, 20, 30])]);
        due.event_times = Some(vec![time::MAX; 3].into());
        let groups = Groups { count: 3, of_row: vec![0, 1, 2].into() };
        let instance = &mut running.instance;
        let reply = instance.on_timers(at(time::MAX), TimeDomain::EventTime, &due, &groups, &[ints(&[2, 4, 1])]);
        let reply = reply.expect(language.name);
        assert_eq!(reply.emissions[0].port, 1, "{}", language.name);
        assert_eq!(extension(reply.emissions[0].rows.clone()), [2, 4, 1], "{}", language.name);
        let CellUpdate::All(cleared) = &reply.cells[0] else { panic!("{}", language.name) };
        assert_eq!(cleared.null_count(), 3, "{}", language.name);
    }
}

#[test]
fn a_configuration_that_is_refused() {
    for language in &LANGUAGES {
        let error = store().describe(&language.component(), &Limits::default(), &config("nonsense"), &[input(false)]);
        match error.expect_err(language.name) {
            plugins::Error::Worker(worker::Error::RefusedByOperator { message }) => {
                assert!(message.ends_with("is not known"), "{}: {message}", language.name);
            }
            other => panic!("{}: {other}", language.name),
        }
    }
}

#[test]
fn what_is_written_to_standard_error_is_logged() {
    let c = LANGUAGES.iter().find(|language| language.name == "C").expect("it is in the table");
    let running = start(c, "keep");
    let logged = running.logged.lock().expect("no one panics with it");
    assert_eq!(*logged, ["opened in mode keep"]);
}

#[test]
fn all_are_inspected_and_compiled_with_care() {
    for language in &LANGUAGES {
        let wasm = language.component();
        let inspection = store().inspect(&wasm).expect(language.name);
        assert_eq!(inspection.size, wasm.len() as u64);
        let guest = inspection.exports.iter().find(|interface| interface.name == "wasmill:operator/guest@0.1.0");
        let process = guest.and_then(|guest| guest.functions.iter().find(|(name, _)| name == "process"));
        let (_, signature) = process.expect(language.name);
        assert_eq!(
            signature,
            "func(input: u32, rows: rows, groups: option<groups>, state: list<column>) -> result<reply, failure>",
            "{}",
            language.name
        );
        let (_, tier) = store().load_with_tier(&wasm).expect(language.name);
        assert_eq!(tier, Tier::Optimized, "{}", language.name);
    }
}
