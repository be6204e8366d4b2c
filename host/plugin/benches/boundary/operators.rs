//! The operators and rows that the benches of this crate run.

use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Int64Array, StringViewArray};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    descriptor::{Context, Descriptor, Input},
    reply::Groups,
};
use wasmill_plugin::{CallTime, Engine, EngineOptions, Instance, InstanceOptions, Interrupt, Limits, Plugin, describe};

pub(crate) const AT: CallTime = CallTime { now_ms: 1_700_000_000_000, watermark: 0 };

/// An instance of `tests/guests/rust-plain` in one of its modes, opened.
pub(crate) struct Operator {
    pub(crate) instance: Instance,
}

impl Operator {
    pub(crate) fn start(mode: &str) -> Self {
        let mut operator = Self::instantiate(mode);
        operator.instance.open().expect("it opens");
        operator
    }

    pub(crate) fn instantiate(mode: &str) -> Self {
        let context = Context {
            job: "bench".into(),
            operator: mode.into(),
            subtask: 0,
            parallelism: 1,
            config: format!("{{\"mode\": \"{mode}\"}}"),
            inputs: inputs(),
            extra: vec![],
        };
        let options = InstanceOptions {
            limits: Limits::default(),
            descriptor: descriptor(mode, &context.config),
            context,
            log: Arc::new(|line| panic!("{line:?}")),
            seed: 0,
            now_ms: AT.now_ms,
            entries: None,
            interrupt: Interrupt::default(),
        };
        Self { instance: plugin().instantiate(options).expect("it starts") }
    }
}

fn plugin() -> &'static Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins/rust-plain.wasm");
        let wasm =
            std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}; run `cargo xtask plugins` first"));
        let engine = Engine::new(&EngineOptions::default()).expect("an engine");
        Plugin::compile(&engine, &wasm).expect("a plugin")
    })
}

/// What the operator is in this mode; asked once.
fn descriptor(mode: &str, config: &str) -> Descriptor {
    static DESCRIPTORS: OnceLock<std::sync::Mutex<Vec<(String, Descriptor)>>> = OnceLock::new();
    let mut known = DESCRIPTORS.get_or_init(Default::default).lock().expect("no bench panics with it");
    if let Some((_, descriptor)) = known.iter().find(|(m, _)| m == mode) {
        return descriptor.clone();
    }
    let descriptor = describe(plugin(), Limits::default(), config, &inputs()).expect("a mode that exists");
    known.push((mode.to_owned(), descriptor.clone()));
    descriptor
}

const NUMBERS: [&str; 5] = ["a", "bidder", "price", "at", "extra"];
const TEXTS: [&str; 3] = ["channel", "url", "note"];

fn inputs() -> Vec<Input> {
    let numbers = NUMBERS.map(|name| Field::new(name, DataType::Int64));
    let texts = TEXTS.map(|name| Field::new(name, DataType::Utf8));
    let schema = Schema::new(numbers.into_iter().chain(texts).collect()).expect("different names");
    vec![Input { schema, key: Some(vec!["bidder".into()]), event_times: true }]
}

/// Rows like Nexmark's bids: five numbers, texts of 8, 30 and about 40 bytes.
pub(crate) fn bids(rows: usize) -> Batch {
    let mixed = |place: usize, row: usize| ((row * 8 + place) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let number = |place: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(|row| mixed(place, row) as i64)))
    };
    let text = |text: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values((0..rows).map(text)))
    };
    let mut columns: Vec<ArrayRef> = (0..5).map(number).collect();
    columns.push(text(&|row| format!("chan{:04}", row % 10_000)));
    columns.push(text(&|row| format!("https://example.org/{:010}", mixed(5, row) % 10_000_000_000)));
    columns.push(text(&|row| "x".repeat(36 + row % 9)));
    let mut batch = Batch::new(rows, columns);
    batch.event_times = Some((0..rows as i64).collect());
    batch
}

/// Groups of rows whose keys are drawn from 10,000, and the counts and notes of these.
#[allow(dead_code, reason = "not all benches are of keys")]
pub(crate) fn groups(rows: usize) -> (Groups, [ArrayRef; 2]) {
    let mut seen = std::collections::HashMap::new();
    let mut group = |row: u64| {
        let next = seen.len() as u32;
        *seen.entry(row.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10_000).or_insert(next)
    };
    let of_row: Vec<u32> = (0..rows as u64).map(&mut group).collect();
    let count = seen.len();
    let counts = Int64Array::from_iter_values((0..count).map(|group| group as i64));
    let notes = StringViewArray::from_iter_values((0..count).map(|_| "note"));
    (Groups { count: count as u32, of_row: of_row.into() }, [Arc::new(counts), Arc::new(notes)])
}
