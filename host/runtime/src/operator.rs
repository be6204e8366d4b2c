//! One operator in a subtask: its instance, its state, its timers.
//!
//! Each call is a transaction: the reply is checked by `plugin`, then state and timers are applied, all or nothing, and
//! only then do rows go on.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use arrow_array::ArrayRef;
use wasmill_flow::{NextTimers, Wants};
use wasmill_model::{
    Batch, Timestamp,
    descriptor::{Context, Descriptor, Input},
    graph::{JobGraph, Role},
    keys::{self, KeyEncoder},
    reply::{Groups, Reply, TimeDomain},
    schema::Field,
    spec::LimitsSpec,
    time,
};
use wasmill_plugin::{CallError, CallTime, Instance, InstanceOptions, LogSink, Notice, Plugin};
use wasmill_state::{KeyedState, StateLimits};

use crate::{
    counters::{Counters, CpuTime},
    error::Error,
    job::instance_limits,
    output::{CallRows, PortOutput},
};

/// Rows that leave by ports, in the order of the ports.
pub(crate) type Emitted = Vec<(usize, Batch)>;

/// One operator of one subtask.
#[derive(Debug)]
pub(crate) struct Operator {
    name: String,
    subtask: u32,
    instance: Instance,
    descriptor: Arc<Descriptor>,
    keyed: Option<Keyed>,
    ports: Vec<PortOutput>,
    watermark: Timestamp,
    /// Timers of this domain are not set any more.
    closed: Option<TimeDomain>,
    counters: Arc<Counters>,
    last_memory: u64,
    last_state: u64,
}

/// What a keyed operator keeps.
#[derive(Debug)]
struct Keyed {
    state: KeyedState,
    /// Key columns of each input; `None`: not keyed.
    inputs: Vec<Option<KeyedInput>>,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct KeyedInput {
    columns: Vec<usize>,
    encoder: KeyEncoder,
}

/// What an operator of a subtask is made from.
pub(crate) struct Start<'a> {
    pub(crate) graph: &'a JobGraph,
    pub(crate) vertex: usize,
    pub(crate) subtask: u32,
    pub(crate) wanted: &'a [Vec<bool>],
    pub(crate) plugin: &'a Plugin,
    pub(crate) log: LogSink,
    pub(crate) counters: Arc<Counters>,
}

impl Operator {
    /// Makes the instance and opens it.
    pub(crate) fn start(start: Start<'_>) -> Result<Self, Error> {
        let Start { graph, vertex: place, subtask, wanted, plugin, log, counters } = start;
        let vertex = &graph.vertices[place];
        let Role::Operator { descriptor, inputs, config, limits } = &vertex.role else {
            panic!("vertex {} is not an operator", vertex.name)
        };
        let context = Context {
            job: graph.name.clone(),
            operator: vertex.name.clone(),
            subtask,
            parallelism: vertex.parallelism,
            config: config.clone(),
            inputs: inputs.clone(),
            extra: Vec::new(),
        };
        let options = InstanceOptions {
            limits: instance_limits(limits),
            context,
            descriptor: (**descriptor).clone(),
            log,
            seed: u64::from(subtask),
            now_ms: now_ms(),
        };
        let failed = |source| Error::Start { vertex: vertex.name.clone(), subtask, source };
        let mut instance = plugin.instantiate(options).map_err(failed)?;
        instance.open().map_err(failed)?;
        let ports = wanted.iter().enumerate();
        let ports = ports.map(|(port, wanted)| PortOutput::new(descriptor, inputs, vertex, port, wanted.clone()));
        let ports = ports.collect();
        let keyed = Keyed::new(&vertex.name, subtask, descriptor, inputs, limits)?;
        Ok(Self {
            name: vertex.name.clone(),
            subtask,
            instance,
            descriptor: descriptor.clone(),
            keyed,
            ports,
            watermark: time::MIN,
            closed: None,
            counters,
            last_memory: 0,
            last_state: 0,
        })
    }

    /// What it wants to be told of time and of the end.
    pub(crate) fn wants(&self) -> Wants {
        let Descriptor { timers, notice_watermark, notice_end_of_input, .. } = *self.descriptor;
        Wants { timers, notice_watermark, notice_end: notice_end_of_input }
    }

    /// Handles a batch of one input.
    pub(crate) fn process(&mut self, input: usize, batch: &Batch) -> Result<Emitted, Error> {
        let cpu = CpuTime::start();
        self.counters.batches.fetch_add(1, Relaxed);
        self.counters.rows_in.fetch_add(batch.rows as u64, Relaxed);
        let at = self.call_time();
        let keyed = match &mut self.keyed {
            Some(keyed) => {
                keyed.group(input, batch).map_err(|source| Error::Keys { vertex: self.name.clone(), source })?
            }
            None => None,
        };
        let (groups, state) = keyed.map_or((None, Vec::new()), |(groups, state)| (Some(groups), state));
        let reply = self.instance.process(at, input as u32, batch, groups.as_ref(), &state);
        let emitted = self.settle(reply, CallRows::Input { input, batch })?;
        cpu.charge(&self.counters);
        Ok(emitted)
    }

    /// The times of the first timers that are set now.
    pub(crate) fn next_timers(&self) -> NextTimers {
        let next = |domain| self.keyed.as_ref().and_then(|keyed| keyed.state.next_time(domain));
        NextTimers { event_time: next(TimeDomain::EventTime), processing_time: next(TimeDomain::ProcessingTime) }
    }

    /// Fires the first timers that are due up to a time.
    pub(crate) fn fire(&mut self, domain: TimeDomain, up_to: Timestamp, max: usize) -> Result<Emitted, Error> {
        let Some(keyed) = &mut self.keyed else { return Ok(Vec::new()) };
        let due = keyed.state.take_due(domain, up_to, max);
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let cpu = CpuTime::start();
        let columns = keys::decode(due.keys.iter(), &keyed.fields)
            .map_err(|source| Error::Keys { vertex: self.name.clone(), source })?;
        let hashes = due.keys.hash();
        let groups = keyed.state.group(&due.keys, &hashes);
        let state = keyed.state.lookup();
        let mut rows = Batch::new(due.len(), columns);
        rows.event_times = Some(due.times.clone());
        let at = self.call_time();
        let reply = self.instance.on_timers(at, domain, &rows, &groups, &state);
        let event_time = (domain == TimeDomain::ProcessingTime).then_some(self.watermark);
        let emitted = self.settle(reply, CallRows::Timers { due: &rows, event_time })?;
        cpu.charge(&self.counters);
        Ok(emitted)
    }

    /// From now on what sets timers of this domain is ignored: they would never fire.
    pub(crate) fn close_timers(&mut self, domain: TimeDomain) -> Emitted {
        self.closed = Some(domain);
        Vec::new()
    }

    /// The error of an operator that sets timers which are due at once, for ever.
    pub(crate) fn endless(&self, domain: TimeDomain) -> Error {
        let domain = match domain {
            TimeDomain::EventTime => "event-time",
            TimeDomain::ProcessingTime => "processing-time",
        };
        Error::EndlessTimers { vertex: self.name.clone(), subtask: self.subtask, domain }
    }

    /// Moves the operator's watermark, which later calls see.
    pub(crate) fn set_watermark(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
    }

    /// Tells it what it asked to be told.
    pub(crate) fn notice(&mut self, notice: Notice) -> Result<Emitted, Error> {
        let cpu = CpuTime::start();
        let at = self.call_time();
        let reply = self.instance.on_notice(at, notice);
        let emitted = self.settle(reply, CallRows::Notice)?;
        cpu.charge(&self.counters);
        Ok(emitted)
    }

    /// Applies a checked reply and builds the rows that go on.
    fn settle(&mut self, reply: Result<Reply, CallError>, rows: CallRows<'_>) -> Result<Emitted, Error> {
        let mut reply =
            reply.map_err(|source| Error::Call { vertex: self.name.clone(), subtask: self.subtask, source })?;
        if let Some(closed) = self.closed {
            reply.timers.retain(|change| !change.set || change.domain != closed);
        }
        if let Some(keyed) = &mut self.keyed {
            let applied = keyed.state.apply(&reply.cells, &reply.timers);
            applied.map_err(|source| Error::State { vertex: self.name.clone(), subtask: self.subtask, source })?;
            let bytes = keyed.state.bytes() as u64;
            Counters::adjust(&self.counters.state_bytes, &mut self.last_state, bytes);
        }
        let memory = self.instance.memory_bytes() as u64;
        Counters::adjust(&self.counters.guest_memory_bytes, &mut self.last_memory, memory);
        let mut emitted = Vec::with_capacity(reply.emissions.len());
        for emission in reply.emissions {
            if let Some(batch) = self.ports[emission.port].rows(rows, emission.rows) {
                self.counters.rows_out.fetch_add(batch.rows as u64, Relaxed);
                emitted.push((emission.port, batch));
            }
        }
        Ok(emitted)
    }

    fn call_time(&self) -> CallTime {
        CallTime { now_ms: now_ms(), watermark: self.watermark }
    }
}

impl Keyed {
    fn new(
        vertex: &str,
        subtask: u32,
        descriptor: &Descriptor,
        inputs: &[Input],
        limits: &LimitsSpec,
    ) -> Result<Option<Self>, Error> {
        if !descriptor.inputs.iter().any(|reads| reads.keyed) {
            return Ok(None);
        }
        let keys_error = |source| Error::Keys { vertex: vertex.to_owned(), source };
        let mut keyed_inputs = Vec::new();
        for (reads, input) in descriptor.inputs.iter().zip(inputs) {
            let Some(key) = input.key.as_ref().filter(|_| reads.keyed) else {
                keyed_inputs.push(None);
                continue;
            };
            let columns: Vec<usize> = key.iter().filter_map(|name| input.schema.index_of(name)).collect();
            let fields: Vec<Field> = columns.iter().map(|&i| input.schema.fields()[i].clone()).collect();
            let encoder = KeyEncoder::new(&fields).map_err(keys_error)?;
            keyed_inputs.push(Some(KeyedInput { columns, encoder }));
        }
        let defaults = StateLimits::default();
        let state_limits = StateLimits {
            bytes_max: limits.state_bytes.map_or(defaults.bytes_max, |bytes| bytes as usize),
            timers_max: limits.timers.map_or(defaults.timers_max, |timers| timers as usize),
        };
        let state = KeyedState::new(&descriptor.cells, state_limits).map_err(|source| Error::State {
            vertex: vertex.to_owned(),
            subtask,
            source,
        })?;
        Ok(Some(Self { state, inputs: keyed_inputs, fields: descriptor.key_fields(inputs) }))
    }

    /// The groups of a batch and their state; `None` if the input is not keyed.
    fn group(&mut self, input: usize, batch: &Batch) -> Result<Option<(Groups, Vec<ArrayRef>)>, keys::Error> {
        let Some(KeyedInput { columns, encoder }) = &mut self.inputs[input] else { return Ok(None) };
        let columns: Vec<&ArrayRef> = columns.iter().map(|&i| batch.column(i)).collect();
        encoder.encode(&columns, batch.rows)?;
        let groups = match &batch.key_hashes {
            Some(hashes) => self.state.group(encoder.keys(), hashes),
            None => self.state.group(encoder.keys(), &encoder.hash()),
        };
        Ok(Some((groups, self.state.lookup())))
    }
}

/// The host's clock, ms since the epoch.
pub(crate) fn now_ms() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Timestamp)
}
