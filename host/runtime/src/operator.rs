//! One operator in a subtask: its instance, its state, its timers.
//!
//! Each call is a transaction: the reply is checked by `plugin`, then state and timers are applied, all or nothing, and
//! only then do rows go on.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use arrow_buffer::ScalarBuffer;
use wasmill_flow::{NextTimers, Wants};
use wasmill_model::{
    Batch, Timestamp,
    descriptor::{Context, Descriptor},
    fault::Code,
    graph::{JobGraph, Role},
    keys::{EncodedKeys, KeyGroups},
    reply::{Reply, TimeDomain},
    spec::OnError,
    time,
};
use wasmill_plugin::{CallError, CallTime, Instance, InstanceOptions, Interrupt, LogSink, Notice, Plugin, Usage};

use wasmill_snapshot::file::StateSchema;
use wasmill_state::{Clocks, Restore, SealedState, Stored};

use crate::{
    checkpoint::{NotFilled, Restored},
    clock::Clock,
    counters::{Counters, CpuTime},
    error::Error,
    job::instance_limits,
    output::{CallRows, PortOutput},
};

mod isolation;
mod keyed;

pub(crate) use isolation::WINDOW_ROWS;
use isolation::{Blame, Fault};
use keyed::Keyed;
pub(crate) use keyed::state_limits;

/// Rows of state that are kept in memory, by their keys.
pub(crate) type StateRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows that leave by ports, in the order of the ports.
pub(crate) type Emitted = Vec<(usize, Batch)>;

/// One operator of one subtask.
#[derive(Debug)]
pub(crate) struct Operator {
    name: String,
    subtask: u32,
    plugin: Plugin,
    /// What every instance of the operator is made with.
    options: InstanceOptions,
    instance: Instance,
    on_error: OnError,
    blame: Blame,
    descriptor: Arc<Descriptor>,
    keyed: Option<Keyed>,
    ports: Vec<PortOutput>,
    watermark: Timestamp,
    /// Timers of this domain are not set any more.
    closed: Option<TimeDomain>,
    counters: Arc<Counters>,
    last_memory: u64,
    last_state: u64,
    conduct: Conduct,
    /// None: it is not asked for.
    usage: Option<Box<OperatorUsage>>,
}

/// How an operator is run. By default as a job runs it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conduct {
    pub(crate) clock: Clock,
    /// Whether every call gets a new instance, as any call may.
    pub(crate) renew: bool,
    /// Whether it is counted how near the operator comes to its limits.
    pub(crate) meter: bool,
}

/// How near an operator has come to its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorUsage {
    /// Of its instances.
    pub instance: Usage,
    /// Bytes of keyed state, at most.
    pub state_bytes: usize,
    /// Timers that were set at one time, at most.
    pub timers: usize,
}

/// What one call is about.
#[derive(Debug, Clone, Copy)]
enum Work<'a> {
    Rows { input: usize, batch: &'a Batch },
    Timers { domain: TimeDomain, due: &'a Batch, keys: &'a EncodedKeys },
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
    pub(crate) conduct: Conduct,
    pub(crate) interrupt: Interrupt,
}

impl Operator {
    /// Makes the instance and opens it.
    pub(crate) fn start(start: Start<'_>) -> Result<Self, Error> {
        let Start { graph, vertex: place, subtask, wanted, plugin, log, counters, conduct, interrupt } = start;
        let vertex = &graph.vertices[place];
        let Role::Operator { descriptor, inputs, config, limits, on_error } = &vertex.role else {
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
        let keyed = Keyed::new(&vertex.name, subtask, descriptor, inputs, limits)?;
        let options = InstanceOptions {
            limits: instance_limits(limits),
            context,
            descriptor: (**descriptor).clone(),
            log,
            seed: u64::from(subtask),
            now_ms: conduct.clock.now_ms(),
            entries: keyed.as_ref().and_then(Keyed::reader),
            interrupt,
        };
        let failed = |source| Error::of_start(&vertex.name, subtask, source);
        let instance = new_instance(plugin, options.clone(), conduct.meter, None).map_err(failed)?;
        // Behind the ports of the descriptor comes that of the dead letters, which the host fills.
        let ports = wanted.iter().enumerate().take(descriptor.ports.len());
        let ports = ports.map(|(port, wanted)| PortOutput::new(descriptor, inputs, vertex, port, wanted.clone()));
        let ports = ports.collect();
        Ok(Self {
            name: vertex.name.clone(),
            subtask,
            plugin: plugin.clone(),
            options,
            instance,
            on_error: *on_error,
            blame: Blame::new(inputs.len()),
            descriptor: descriptor.clone(),
            keyed,
            ports,
            watermark: time::MIN,
            closed: None,
            counters,
            last_memory: 0,
            last_state: 0,
            usage: conduct.meter.then(Box::default),
            conduct,
        })
    }

    /// Fills its state from a checkpoint, and from now on notes what changes. It has handled nothing yet.
    /// `schema` is how its state looks in files from now on.
    pub(crate) fn restore(
        &mut self,
        restored: Option<&Restored>,
        schema: &[StateSchema],
        key_groups: KeyGroups,
    ) -> Result<(), Error> {
        let Some(keyed) = &mut self.keyed else { return Ok(()) };
        let is_added_to = restored.is_some_and(|restored| restored.is_added_to(&self.name, schema));
        if !is_added_to {
            // All that it is filled with is new to the files that will be written.
            keyed.state.track();
        }
        keyed.state.set_now(Clocks { processing_time: self.conduct.clock.now_ms(), ..Clocks::default() });
        if let Some(restored) = restored {
            let share = (key_groups, self.subtask, self.options.context.parallelism);
            let fetched = match restored.fill(&self.name, &self.descriptor.cells, share, &mut keyed.state) {
                Ok(fetched) => fetched,
                Err(NotFilled { again: true, .. }) => return self.restore_emptied(restored, schema, key_groups),
                Err(NotFilled { error, .. }) => return Err(error),
            };
            self.counters.restored_local_bytes.fetch_add(fetched.local, Relaxed);
            self.counters.restored_store_bytes.fetch_add(fetched.store, Relaxed);
            let bytes = keyed.state.bytes() as u64;
            Counters::adjust(&self.counters.state_bytes, &mut self.last_state, bytes);
        }
        if is_added_to {
            keyed.state.track();
        }
        Ok(())
    }

    /// Fills its state once more after local copies have failed, which are gone now. What is half filled is thrown away.
    fn restore_emptied(
        &mut self,
        restored: &Restored,
        schema: &[StateSchema],
        key_groups: KeyGroups,
    ) -> Result<(), Error> {
        if let Some(keyed) = &mut self.keyed {
            let (code, subtask) = (Code::Internal, self.subtask);
            let failed = |e: wasmill_state::Error| Error::Restore {
                vertex: self.name.clone(),
                subtask,
                code,
                reason: e.to_string(),
            };
            keyed.empty(&self.descriptor.cells, subtask).map_err(failed)?;
            self.options.entries = keyed.reader();
        }
        self.replace_instance()?;
        self.restore(Some(restored), schema, key_groups)
    }

    /// What has changed of its state since the last time. `None`: it keeps none.
    pub(crate) fn seal(&mut self) -> Option<SealedState> {
        self.keyed.as_mut().map(|keyed| keyed.state.seal())
    }

    /// Adds what has changed of its state since the last time to rows that are kept in memory.
    pub(crate) fn save(&mut self, rows: &mut StateRows, key_groups: KeyGroups) {
        let Some(sealed) = self.seal() else { return };
        let saved: Result<(), Infallible> = sealed.rows(key_groups, |key, value| {
            match value {
                Some(value) => drop(rows.insert(key.to_vec(), value.to_vec())),
                None => drop(rows.remove(key)),
            }
            Ok(())
        });
        let Ok(()) = saved;
    }

    /// Begins anew, in a new instance, with the rows of some key groups as its state.
    pub(crate) fn begin_again(&mut self, rows: &StateRows, key_groups: Range<u32>) -> Result<(), Error> {
        let (code, subtask) = (Code::Internal, self.subtask);
        let failed = |reason: String| Error::Restore { vertex: self.name.clone(), subtask, code, reason };
        if let Some(keyed) = &mut self.keyed {
            let cells = &self.descriptor.cells;
            keyed.empty(cells, self.subtask).map_err(|e| failed(e.to_string()))?;
            keyed.state.set_now(Clocks { processing_time: self.conduct.clock.now_ms(), event_time: self.watermark });
            self.options.entries = keyed.reader();
            let stored = Stored::same(cells);
            let mut restore = Restore::new(&mut keyed.state, &stored);
            let bytes = |group: u32| (group as u16).to_be_bytes().to_vec();
            // The last key group of all has none behind it.
            let own = rows.range(bytes(key_groups.start)..).take_while(|(key, _)| {
                key.first_chunk().is_some_and(|group| u32::from(u16::from_be_bytes(*group)) < key_groups.end)
            });
            // What all instances have is among the rows of the first key group.
            let others = rows.range(..bytes(1)).filter(|_| key_groups.start > 0);
            let broadcast = others.filter(|(key, _)| stored.is_broadcast(key));
            for (key, value) in own.chain(broadcast) {
                restore.row(key, value).map_err(|e| failed(e.to_string()))?;
            }
            keyed.state.track();
        }
        self.replace_instance()
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
        let emitted = self.handle(Work::Rows { input, batch })?;
        let cpu_ns = cpu.charge(&self.counters);
        self.blame.handled(input, batch.rows, cpu_ns);
        Ok(emitted)
    }

    /// Calls the operator; what fails is isolated, or ends the job.
    fn handle(&mut self, work: Work<'_>) -> Result<Emitted, Error> {
        self.renew()?;
        match self.call(work) {
            Ok(emitted) => Ok(emitted),
            Err(Fault::Job(error)) => Err(error),
            Err(fault) if self.on_error == OnError::Fail || fault.is_fatal() => Err(self.fault_error(fault)),
            Err(fault) => self.isolate(work, fault),
        }
    }

    /// Replaces the instance before a call, if that is how the operator is run.
    fn renew(&mut self) -> Result<(), Error> {
        if self.conduct.renew { self.replace_instance() } else { Ok(()) }
    }

    /// One call, as a transaction.
    fn call(&mut self, work: Work<'_>) -> Result<Emitted, Fault> {
        let at = self.call_time();
        if let Some(keyed) = &mut self.keyed {
            keyed.state.set_now(clocks(at, work));
        }
        let keys_error = |source| Fault::Job(Error::Keys { vertex: self.name.clone(), source });
        match work {
            Work::Rows { input, batch } => {
                let keyed = match &mut self.keyed {
                    Some(keyed) => keyed.group(input, batch).map_err(keys_error)?,
                    None => None,
                };
                let (groups, state) = keyed.map_or((None, Vec::new()), |(groups, state)| (Some(groups), state));
                let reply = self.instance.process(at, input as u32, batch, groups.as_ref(), &state);
                self.settle(reply, CallRows::Input { input, batch })
            }
            Work::Timers { domain, due, keys } => {
                let keyed = self.keyed.as_mut().expect("only keyed operators have timers");
                let event_times = due.event_times.as_ref().filter(|_| domain == TimeDomain::EventTime);
                let (groups, state) = keyed.group_keys(keys, event_times);
                let reply = self.instance.on_timers(at, domain, due, &groups, &state);
                let event_time = (domain == TimeDomain::ProcessingTime).then_some(self.watermark);
                self.settle(reply, CallRows::Timers { due, event_time })
            }
        }
    }

    /// The times of the first timers that are set now.
    pub(crate) fn next_timers(&self) -> NextTimers {
        let next = |domain| self.keyed.as_ref().and_then(|keyed| keyed.state.next_time(domain));
        NextTimers { event_time: next(TimeDomain::EventTime), processing_time: next(TimeDomain::ProcessingTime) }
    }

    /// Fires the first timers that are due up to a time.
    pub(crate) fn fire(&mut self, domain: TimeDomain, up_to: Timestamp, max: usize) -> Result<Emitted, Error> {
        let Some(keyed) = &mut self.keyed else { return Ok(Vec::new()) };
        let cpu = CpuTime::start();
        let due = keyed.take_due(domain, up_to, max);
        let due = due.map_err(|source| Error::Keys { vertex: self.name.clone(), source })?;
        let Some((due, keys)) = due else { return Ok(Vec::new()) };
        let emitted = self.handle(Work::Timers { domain, due: &due, keys: &keys })?;
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
        self.renew()?;
        let at = self.call_time();
        if let Some(keyed) = &mut self.keyed {
            keyed.state.set_now(Clocks { processing_time: at.now_ms, event_time: at.watermark });
            keyed.state.begin_without_keys(None);
        }
        let reply = self.instance.on_notice(at, notice);
        let emitted = self.settle(reply, CallRows::Notice).map_err(|fault| self.fault_error(fault))?;
        cpu.charge(&self.counters);
        Ok(emitted)
    }

    /// Applies a checked reply and builds the rows that go on.
    fn settle(&mut self, reply: Result<Reply, CallError>, rows: CallRows<'_>) -> Result<Emitted, Fault> {
        let mut reply = reply.map_err(Fault::of_call)?;
        if let Some(closed) = self.closed {
            reply.timers.retain(|change| !change.set || change.domain != closed);
        }
        if let Some(keyed) = &mut self.keyed {
            keyed.state.apply(&reply.cells, &reply.entries, &reply.timers).map_err(Fault::State)?;
            let bytes = keyed.state.bytes() as u64;
            Counters::adjust(&self.counters.state_bytes, &mut self.last_state, bytes);
            if let Some(usage) = &mut self.usage {
                usage.state_bytes = usage.state_bytes.max(keyed.state.bytes());
                usage.timers = usage.timers.max(keyed.state.timers());
            }
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

    /// The hashes of the keys of rows of an input. `None`: it is not keyed.
    pub(crate) fn hashes(&mut self, input: usize, batch: &Batch) -> Result<Option<ScalarBuffer<u64>>, Error> {
        let keyed = self.keyed.as_mut().map(|keyed| keyed.hashes(input, batch));
        keyed.transpose().map(Option::flatten).map_err(|source| Error::Keys { vertex: self.name.clone(), source })
    }

    /// Rows, and timers, that it could not handle so far.
    pub(crate) fn rejected(&self) -> u64 {
        self.counters.rejected.load(Relaxed)
    }

    /// How near it has come to its limits, if that is counted.
    pub(crate) fn usage(&self) -> Option<OperatorUsage> {
        let mut usage = self.usage.as_deref().cloned()?;
        usage.instance.join(&self.instance.usage());
        Some(usage)
    }

    fn call_time(&self) -> CallTime {
        CallTime { now_ms: self.conduct.clock.now_ms(), watermark: self.watermark }
    }
}

/// What the clocks show by which values are gone after their time. A timer sees what was there at its time: at the end of all input
/// the watermark is later than all times.
fn clocks(at: CallTime, work: Work<'_>) -> Clocks {
    let first = match work {
        Work::Timers { domain: TimeDomain::EventTime, due, .. } => {
            due.event_times.as_ref().and_then(|times| times.first())
        }
        _ => None,
    };
    let event_time = first.map_or(at.watermark, |&first| first.min(at.watermark));
    Clocks { processing_time: at.now_ms, event_time }
}

/// A new instance, opened; in place of another, of whose share of the log it has what is left.
fn new_instance(
    plugin: &Plugin,
    options: InstanceOptions,
    meter: bool,
    instead_of: Option<&Instance>,
) -> Result<Instance, CallError> {
    let mut instance = plugin.instantiate(options)?;
    if let Some(other) = instead_of {
        instance.share_log(other);
    }
    if meter {
        instance.meter();
    }
    instance.open()?;
    Ok(instance)
}
