//! Guests by themselves, without a job: on an engine of this process, with rows made here.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use arrow_array::{ArrayRef, Int64Array, StringViewArray};
use rustix::time::{ClockId, clock_gettime};
use wasmill_hostile::template;
use wasmill_model::{
    Batch, DataType, Field, Schema,
    descriptor::{Context, Descriptor, Input},
    reply::{Groups, TimeDomain},
};
use wasmill_plugin::{
    CallError, CallTime, DescribeError, Engine, Instance, InstanceOptions, Interrupt, Limits, Notice, Plugin, describe,
};

use super::Places;

pub(crate) const AT: CallTime = CallTime { now_ms: 1_700_000_000_000, watermark: 0 };

const NUMBERS: [&str; 5] = ["a", "value", "price", "at", "extra"];
const TEXTS: [&str; 3] = ["channel", "url", "note"];

/// A guest that was asked what it is.
pub(crate) struct Guest {
    plugin: Plugin,
    limits: Limits,
    config: String,
    pub(crate) descriptor: Descriptor,
}

impl Guest {
    /// One of `tests/guests/hostile`.
    pub(crate) fn hostile(engine: &Engine, name: &str) -> Result<Plugin> {
        Ok(Plugin::compile(engine, &template::guest(name)?)?)
    }

    /// One of those that `cargo xtask plugins` builds.
    pub(crate) fn built(places: &Places, engine: &Engine, name: &str) -> Result<Plugin> {
        let path = places.plugin(name);
        let wasm = std::fs::read(&path)
            .with_context(|| format!("could not read {}; `cargo xtask plugins` builds it", path.display()))?;
        Ok(Plugin::compile(engine, &wasm)?)
    }

    /// Asks it.
    pub(crate) fn new(plugin: Plugin, limits: Limits, config: &str) -> Result<Self, DescribeError> {
        let descriptor = describe(&plugin, limits.clone(), config, &inputs())?;
        Ok(Self { plugin, limits, config: config.to_owned(), descriptor })
    }

    /// What an instance of it is started with.
    pub(crate) fn options(&self) -> InstanceOptions {
        let context = Context {
            job: "bench".into(),
            operator: "stranger".into(),
            subtask: 0,
            parallelism: 1,
            config: self.config.clone(),
            inputs: inputs(),
            extra: Vec::new(),
        };
        InstanceOptions {
            limits: self.limits.clone(),
            context,
            descriptor: self.descriptor.clone(),
            log: Arc::new(|_| {}),
            seed: 1,
            now_ms: AT.now_ms,
            entries: None,
            interrupt: Interrupt::default(),
        }
    }

    /// An instance, opened.
    pub(crate) fn start(&self, options: InstanceOptions) -> Result<Instance, CallError> {
        let mut instance = self.plugin.instantiate(options)?;
        instance.open()?;
        Ok(instance)
    }

    /// Makes every call that it asks for, once.
    pub(crate) fn call_all(&self, instance: &mut Instance, batch: &Batch) -> Result<(), CallError> {
        let groups = Groups { count: batch.rows as u32, of_row: (0..batch.rows as u32).collect() };
        let groups = self.descriptor.inputs[0].keyed.then_some(groups);
        let empty = || Arc::new(Int64Array::from(vec![None; batch.rows])) as ArrayRef;
        let state: Vec<ArrayRef> = self.descriptor.cells.iter().map(|_| empty()).collect();
        instance.process(AT, 0, batch, groups.as_ref(), &state)?;
        if let (true, Some(groups)) = (self.descriptor.timers, &groups) {
            let mut due = Batch::new(batch.rows, vec![Arc::clone(batch.column(0))]);
            due.event_times.clone_from(&batch.event_times);
            instance.on_timers(AT, TimeDomain::EventTime, &due, groups, &state)?;
        }
        if self.descriptor.notice_end_of_input {
            instance.on_notice(AT, Notice::EndOfInput)?;
        }
        Ok(())
    }
}

fn inputs() -> Vec<Input> {
    let numbers = NUMBERS.map(|name| Field::new(name, DataType::Int64));
    let texts = TEXTS.map(|name| Field::new(name, DataType::Utf8));
    let schema = Schema::new(numbers.into_iter().chain(texts).collect()).expect("the names differ");
    vec![Input { schema, key: Some(vec!["a".into()]), event_times: true }]
}

/// Rows like Nexmark's bids, with event times: five numbers, texts of 8, 30 and about 40 bytes.
pub(crate) fn rows(rows: usize) -> Batch {
    let mixed = |place: usize, row: usize| ((row * 8 + place) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let number = |place: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(|row| mixed(place, row) as i64)))
    };
    let text = |text: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values((0..rows).map(text)))
    };
    let mut columns: Vec<ArrayRef> = (0..NUMBERS.len()).map(number).collect();
    columns.push(text(&|row| format!("chan{:04}", row % 10_000)));
    columns.push(text(&|row| format!("https://example.org/{:010}", mixed(5, row) % 10_000_000_000)));
    columns.push(text(&|row| "x".repeat(36 + row % 9)));
    let mut batch = Batch::new(rows, columns);
    batch.event_times = Some((0..rows as i64).collect());
    batch
}

/// CPU time of this thread so far.
pub(crate) fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("below a second"))
}
