//! The operator, and what it is started with and called with.

use std::sync::{Arc, Mutex, OnceLock};

use arrow_array::{ArrayRef, Int64Array, StringViewArray};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    descriptor::{Context, Descriptor, Input},
    reply::{Groups, Outcome, Reply},
};
use wasmill_plugin::{
    CallError, CallTime, DescribeError, Engine, EngineOptions, EntryReader, Instance, InstanceOptions, Interrupt,
    Limits, LogLine, Plugin, describe,
};

pub(crate) const AT: CallTime = CallTime { now_ms: 1_700_000_000_123, watermark: -7 };

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&EngineOptions { pool_instances: 64, ..EngineOptions::default() }).unwrap())
}

/// The compiled operator. `cargo xtask plugins` builds its component.
pub(crate) fn plugin() -> &'static Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins/rust-plain.wasm");
        let wasm =
            std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}; run `cargo xtask plugins` first"));
        Plugin::compile(engine(), &wasm).unwrap()
    })
}

/// An operator about to be started: its mode, inputs and limits.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) mode: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    pub(crate) entries: Option<Arc<dyn EntryReader>>,
    pub(crate) interrupt: Interrupt,
}

/// An instance, opened, and what it has logged.
pub(crate) struct Opened {
    pub(crate) instance: Instance,
    pub(crate) log: Arc<Mutex<Vec<LogLine>>>,
}

impl Setup {
    /// On input 0, keyed by `k`, with `a: int64` and `k: utf8`, and input 1, `n: int64`.
    pub(crate) fn new(mode: &str) -> Self {
        let schema = |fields: &[Field]| Schema::new(fields.to_vec()).unwrap();
        let first = schema(&[Field::new("a", DataType::Int64), Field::new("k", DataType::Utf8)]);
        let second = schema(&[Field::new("n", DataType::Int64)]);
        let inputs = vec![
            Input { schema: first, key: Some(vec!["k".into()]), event_times: true },
            Input { schema: second, key: None, event_times: false },
        ];
        Self {
            mode: mode.into(),
            inputs,
            limits: Limits::default(),
            seed: 1,
            entries: None,
            interrupt: Interrupt::default(),
        }
    }

    pub(crate) fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub(crate) fn describe(&self) -> Result<Descriptor, DescribeError> {
        describe(plugin(), self.limits.clone(), &self.config(), &self.inputs)
    }

    pub(crate) fn start(&self) -> Result<Opened, CallError> {
        self.start_of(plugin())
    }

    /// An instance of this handle of the plugin.
    pub(crate) fn start_of(&self, plugin: &Plugin) -> Result<Opened, CallError> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let context = Context {
            job: "job".into(),
            operator: "op".into(),
            subtask: 1,
            parallelism: 4,
            config: self.config(),
            inputs: self.inputs.clone(),
            extra: vec![("x".into(), "y".into())],
        };
        let options = InstanceOptions {
            limits: self.limits.clone(),
            context,
            descriptor: self.describe().expect("a mode that exists"),
            log: Arc::new(move |line| lines.lock().unwrap().push(line)),
            seed: self.seed,
            now_ms: AT.now_ms,
            entries: self.entries.clone(),
            interrupt: self.interrupt.clone(),
        };
        let mut instance = plugin.instantiate(options)?;
        instance.open()?;
        Ok(Opened { instance, log })
    }

    fn config(&self) -> String {
        format!("{{\"mode\": \"{}\"}}", self.mode)
    }
}

impl Opened {
    /// Calls `process` with `rows` for input 0, without groups.
    pub(crate) fn process(&mut self, a: &[i64]) -> Result<Reply, CallError> {
        self.instance.process(AT, 0, &rows(a), None, &[])
    }

    /// Calls `process` with three rows of two keys and two cells, both empty.
    pub(crate) fn process_keyed(&mut self) -> Result<Reply, CallError> {
        self.instance.process(AT, 0, &rows(&[1, 2, 3]), Some(&groups(2, &[0, 1, 0])), &cells(&[None, None]))
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|line| line.message.clone()).collect()
    }
}

/// Rows of input 0.
pub(crate) fn rows(a: &[i64]) -> Batch {
    let k: ArrayRef = Arc::new(StringViewArray::from_iter_values(a.iter().map(|n| format!("key of {n}"))));
    let mut batch = Batch::new(a.len(), vec![int64(a), k]);
    batch.event_times = Some(a.to_vec().into());
    batch
}

pub(crate) fn groups(count: u32, of_row: &[u32]) -> Groups {
    Groups { count, of_row: of_row.to_vec().into() }
}

/// State of the two cells of `count`: these counts, and no note.
pub(crate) fn cells(counts: &[Option<i64>]) -> [ArrayRef; 2] {
    let notes = StringViewArray::from(vec![None::<&str>; counts.len()]);
    [Arc::new(Int64Array::from(counts.to_vec())), Arc::new(notes)]
}

pub(crate) fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// The one outcome of a reply that has nothing else.
pub(crate) fn outcome(reply: Result<Reply, CallError>) -> Outcome {
    let reply = reply.unwrap();
    assert!(reply.cells.is_empty() && reply.timers.is_empty(), "{reply:?}");
    let [emission] = <[_; 1]>::try_from(reply.emissions).unwrap();
    assert_eq!(emission.port, 0);
    emission.rows
}
