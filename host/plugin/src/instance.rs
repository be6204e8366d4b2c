//! An instance: a plugin, running. One call at a time, on whatever thread calls.
//!
//! A call lowers the columns the operator declared, runs the guest under its limits, and checks its answer. After a trap
//! the instance is dead; whoever owns it starts another.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::ArrayRef;
use arrow_buffer::{ScalarBuffer, ToByteSlice};
use wasmill_model::{
    Batch, Timestamp,
    descriptor::{Context, Descriptor, Input},
    reply::{Groups, Reply, TimeDomain},
};
use wasmtime::{
    Store, UpdateDeadline,
    component::{self, ComponentExportIndex, ComponentNamedList, Lift, Lower, TypedFunc},
};

use crate::{
    binding::{
        arguments::{self, Column, Rows},
        descriptor::{self, OpenParams, OpenResults, Params, Results},
        lower::Scratch,
        ports::{Call, Caller, Ports},
        reply::{self, Bad},
    },
    capsule,
    engine::{Engine, TICK},
    entries::{EntryReader, Reads},
    guest::{CallTime, Guest, Random},
    interrupt::{Interrupt, Interrupted},
    limits::Limits,
    log::LogSink,
    metrics::Metrics,
    plugin::{Exports, Plugin},
};

mod error;
mod recording;
mod usage;

pub use error::{CallError, DescribeError, Misfit, Report, TrapKind};
pub use usage::Usage;

use recording::{Recording, arguments_of};
use usage::Meter;

/// What an instance is started with.
#[derive(Clone)]
pub struct InstanceOptions {
    pub limits: Limits,
    pub context: Context,
    /// What the plugin's `describe` said under this configuration on these inputs, checked.
    pub descriptor: Descriptor,
    pub log: LogSink,
    /// All random numbers of the guest follow from it.
    pub seed: u64,
    /// The time while the instance is started and opened, ms since the epoch.
    pub now_ms: Timestamp,
    /// What it keeps in list, map and broadcast cells. `None`: it has none.
    pub entries: Option<Arc<dyn EntryReader>>,
    /// Ends its calls.
    pub interrupt: Interrupt,
}

impl fmt::Debug for InstanceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceOptions")
            .field("limits", &self.limits)
            .field("context", &self.context)
            .field("descriptor", &self.descriptor)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// What is about to be told by `on_notice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    Watermark(Timestamp),
    EndOfInput,
}

/// A plugin, running.
pub struct Instance {
    guest: Running,
    process: TypedFunc<arguments::Process<'static>, reply::Results>,
    plan: Plan,
    scratch: Scratch,
    open: Option<Box<Context>>,
    recording: Option<Box<Recording>>,
}

/// What can be worked out from the descriptor once.
#[derive(Debug)]
struct Plan {
    ports: Ports,
    /// For each input, the places of the columns it reads and whether it reads event times.
    inputs: Vec<(Vec<usize>, bool)>,
}

impl Plugin {
    /// Starts an instance. `open` must be called before anything else.
    pub fn instantiate(&self, options: InstanceOptions) -> Result<Instance, CallError> {
        let InstanceOptions { limits, context, descriptor, log, seed, now_ms, entries, interrupt } = options;
        let plan = Plan::new(&descriptor, &context.inputs, &limits);
        let recording = Recording::of(self, &context, &descriptor, now_ms);
        let reads = Reads::new(&descriptor.cells, entries, limits.output_bytes, recording.is_some());
        let mut guest = Running::start(self, (limits, interrupt), log, seed, now_ms, reads)?;
        let process = guest.function(|exports| exports.process);
        Ok(Instance { guest, process, plan, scratch: Scratch::default(), open: Some(Box::new(context)), recording })
    }
}

impl Instance {
    /// Calls the guest's `open`.
    ///
    /// # Panics
    /// If it has been called before.
    pub fn open(&mut self) -> Result<(), CallError> {
        let context = self.open.take().expect("an instance is opened once");
        let function: TypedFunc<OpenParams<'static>, OpenResults> = self.guest.function(|exports| exports.open);
        let result = self.guest.call("open", None, function, (descriptor::context(&context),));
        let (result,) = result.inspect_err(|error| self.record(None, error, || Some(capsule::Call::Open)))?;
        let result = result.map_err(|message| CallError::Open { message: error::words(&message) });
        result.inspect_err(|error| self.record(None, error, || Some(capsule::Call::Open)))
    }

    /// Hands a batch of one input to the guest. `groups` and `state` are given if that input is keyed: `state` has an array
    /// for each declared value cell, with a value for each group.
    ///
    /// # Panics
    /// If the arguments do not fit the descriptor, or the batch is empty.
    pub fn process(
        &mut self,
        at: CallTime,
        input: u32,
        batch: &Batch,
        groups: Option<&Groups>,
        state: &[ArrayRef],
    ) -> Result<Reply, CallError> {
        self.process_noting(at, input, batch, groups, state, || ())
    }

    /// As `process`; `answered` is called when the guest has answered and its reply is about to be checked, so that what
    /// the check costs can be measured.
    pub fn process_noting(
        &mut self,
        at: CallTime,
        input: u32,
        batch: &Batch,
        groups: Option<&Groups>,
        state: &[ArrayRef],
        answered: impl FnOnce(),
    ) -> Result<Reply, CallError> {
        assert!(batch.rows > 0, "a call without rows");
        let (columns, event_times) = &self.plan.inputs[input as usize];
        let lowered = Arrays { batch, columns: columns.iter().map(|&at| batch.column(at)), state };
        let times = event_times.then(|| batch.event_times.as_ref().expect("the input has event times"));
        self.guest.begin_reads(groups.map(|groups| groups.count));
        let result = lowered.with(&mut self.scratch, times, groups, |rows, groups, state| {
            self.guest.call("process", Some(at), self.process, (input, rows, groups, state))
        });
        let call = Call { of: Caller::Input(input), rows: batch.rows, groups: groups.map(|groups| groups.count) };
        answered();
        let reply = self.answer("process", &call, result);
        if let (Err(error), Some(recording)) = (&reply, &self.recording) {
            let (columns, event_times) = &self.plan.inputs[input as usize];
            let times = event_times.then_some(batch.event_times.as_ref()).flatten();
            let lowered = Arrays { batch, columns: columns.iter().map(|&at| batch.column(at)), state };
            let (scratch, guest) = (&mut self.scratch, &mut self.guest);
            recording.save(guest, Some(at), error, || {
                let arguments = lowered.with(scratch, times, groups, arguments_of).ok()?;
                Some(capsule::Call::Process { input, arguments })
            });
        }
        reply
    }

    /// Tells the guest that timers are due, in the order of their times: `due` has their times as event times, and the key
    /// columns.
    ///
    /// # Panics
    /// If there is no timer, or `due` has no event times.
    pub fn on_timers(
        &mut self,
        at: CallTime,
        domain: TimeDomain,
        due: &Batch,
        groups: &Groups,
        state: &[ArrayRef],
    ) -> Result<Reply, CallError> {
        assert!(due.rows > 0, "a call without timers");
        let lowered = Arrays { batch: due, columns: (0..due.columns.len()).map(|at| due.column(at)), state };
        let times = due.event_times.as_ref().expect("timers have times");
        let wit_domain = match domain {
            TimeDomain::EventTime => arguments::TimeDomain::EventTime,
            TimeDomain::ProcessingTime => arguments::TimeDomain::ProcessingTime,
        };
        let function: TypedFunc<arguments::OnTimers<'static>, reply::Results> =
            self.guest.function(|exports| exports.on_timers);
        self.guest.begin_reads(Some(groups.count));
        let result = lowered.with(&mut self.scratch, Some(times), Some(groups), |rows, groups, state| {
            let groups = groups.expect("timers have groups");
            self.guest.call("on-timers", Some(at), function, (wit_domain, rows, groups, state))
        });
        let call = Call { of: Caller::Timers, rows: due.rows, groups: Some(groups.count) };
        let reply = self.answer("on-timers", &call, result);
        if let (Err(error), Some(recording)) = (&reply, &self.recording) {
            let lowered = Arrays { batch: due, columns: (0..due.columns.len()).map(|at| due.column(at)), state };
            let (scratch, guest) = (&mut self.scratch, &mut self.guest);
            recording.save(guest, Some(at), error, || {
                let arguments = lowered.with(scratch, Some(times), Some(groups), arguments_of).ok()?;
                Some(capsule::Call::OnTimers { domain, arguments })
            });
        }
        reply
    }

    /// Tells the guest what it asked to be told.
    pub fn on_notice(&mut self, at: CallTime, notice: Notice) -> Result<Reply, CallError> {
        let wit_notice = match notice {
            Notice::Watermark(time) => arguments::Notice::Watermark(time),
            Notice::EndOfInput => arguments::Notice::EndOfInput,
        };
        let function: TypedFunc<arguments::OnNotice, reply::Results> = self.guest.function(|exports| exports.on_notice);
        self.guest.begin_reads(None);
        let result = self.guest.call("on-notice", Some(at), function, (wit_notice,));
        let call = Call { of: Caller::Notice, rows: 0, groups: None };
        let reply = self.answer("on-notice", &call, result);
        reply.inspect_err(|error| self.record(Some(at), error, || Some(capsule::Call::OnNotice(notice))))
    }

    /// Bytes of the guest's linear memory: now, and at most so far, since it never shrinks.
    pub fn memory_bytes(&self) -> usize {
        self.guest.store.data().limiter.memory_bytes()
    }

    /// The guest's counters and gauges.
    pub fn metrics(&self) -> &Metrics {
        &self.guest.store.data().metrics
    }

    /// Lines of the log that the sink did not get because there were too many.
    pub fn log_dropped(&self) -> u64 {
        self.guest.store.data().log.dropped()
    }

    /// Lets it log no more than what `other`, which it comes in place of, might still have logged: an operator that traps
    /// again and again would else begin anew each time.
    pub fn share_log(&mut self, other: &Self) {
        self.guest.store.data_mut().log.share(&other.guest.store.data().log);
    }

    /// What a call may take from now on, in place of what the instance was started with.
    pub fn set_call_deadline(&mut self, deadline: Duration) {
        self.guest.limits.call_deadline = deadline;
        self.guest.ticks = ticks(deadline);
    }

    /// Whether it has trapped. All calls are refused then.
    pub fn is_dead(&self) -> bool {
        self.guest.dead
    }

    fn record(&mut self, at: Option<CallTime>, error: &CallError, call: impl FnOnce() -> Option<capsule::Call>) {
        if let Some(recording) = &self.recording {
            recording.save(&mut self.guest, at, error, call);
        }
    }

    fn answer(
        &mut self,
        function: &'static str,
        call: &Call,
        result: Result<reply::Results, CallError>,
    ) -> Result<Reply, CallError> {
        let result = result?.0;
        if let (Some(meter), Ok(reply)) = (&mut self.guest.meter, &result) {
            meter.answer(reply::size(reply));
        }
        match result {
            Ok(reply) => reply::check(reply, &self.plan.ports, call).map_err(|bad| match bad {
                Bad::Reply(what) => CallError::BadReply { function, what },
                Bad::Rows { rows } => CallError::OutputRows { function, rows, limit: self.plan.ports.rows_max() },
            }),
            Err(reply::Failure { fatal, row, message }) => {
                // A row that is none of the call's is not worth more than none.
                let row = row.filter(|&row| (row as usize) < call.rows);
                Err(CallError::Failure { function, fatal, row, message: error::words(&message) })
            }
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.guest.plugin)
            .field("dead", &self.guest.dead)
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

/// Asks a plugin what it is under this configuration (JSON text) on these inputs, in an instance that is thrown away.
pub fn describe(plugin: &Plugin, limits: Limits, config: &str, inputs: &[Input]) -> Result<Descriptor, DescribeError> {
    let mut guest = Running::start(plugin, (limits, Interrupt::default()), Arc::new(|_| {}), 0, 0, Reads::default())?;
    let function: TypedFunc<Params<'static>, Results> = guest.function(|exports| exports.describe);
    let (result,) = guest.call("describe", None, function, (config, descriptor::inputs(inputs).as_slice()))?;
    let said = result.map_err(|message| DescribeError::Refused { message: error::words(&message) })?;
    Ok(descriptor::check(said, inputs)?)
}

impl Plan {
    fn new(descriptor: &Descriptor, inputs: &[Input], limits: &Limits) -> Self {
        assert_eq!(descriptor.inputs.len(), inputs.len(), "inputs of the descriptor and of the context");
        let place = |input: &Input, name: &String| {
            input.schema.index_of(name).unwrap_or_else(|| panic!("column `{name}` of a checked descriptor is missing"))
        };
        let reads = descriptor.inputs.iter().zip(inputs);
        let reads = reads.map(|(r, input)| (r.columns.iter().map(|name| place(input, name)).collect(), r.event_times));
        Self { ports: Ports::new(descriptor, limits.output_rows), inputs: reads.collect() }
    }
}

/// Ticks of the engine between two looks whether a call is to go on.
const LOOK_TICKS: u64 = 50;

/// Columns that a call takes without asking for memory.
const FEW: usize = 8;

/// The arrays of one call.
struct Arrays<'a, C> {
    batch: &'a Batch,
    columns: C,
    state: &'a [ArrayRef],
}

impl<'a, C: Iterator<Item = &'a ArrayRef> + Clone> Arrays<'a, C> {
    /// Lowers them and makes the call.
    fn with<T>(
        self,
        scratch: &mut Scratch,
        times: Option<&ScalarBuffer<i64>>,
        groups: Option<&Groups>,
        call: impl FnOnce(Rows<'_>, Option<arguments::Groups<'_>>, &[Column<'_>]) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let arrays = || self.columns.clone().chain(self.state);
        scratch.fill(arrays()).map_err(|_| CallError::InputBytes { rows: self.batch.rows })?;
        let count = arrays().count();
        let (mut few, mut many) = ([Column::EMPTY; FEW], Vec::new());
        let columns = match few.get_mut(..count) {
            Some(few) => few,
            None => {
                many.resize(count, Column::EMPTY);
                many.as_mut_slice()
            }
        };
        for (place, (column, array)) in columns.iter_mut().zip(arrays()).enumerate() {
            *column = scratch.column(place, array);
        }
        let (columns, state) = columns.split_at(count - self.state.len());
        let rows = Rows {
            count: u32::try_from(self.batch.rows).expect("a batch has a few thousand rows"),
            event_times: times.map(|times| times.to_byte_slice()),
            columns,
        };
        let groups =
            groups.map(|groups| arguments::Groups { count: groups.count, of_row: groups.of_row.to_byte_slice() });
        let result = call(rows, groups, state);
        scratch.shrink();
        result
    }
}

/// Ticks of the engine that a call may take. One more than the time takes: the tick that is under way counts for nothing.
fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2) + 1
}

/// Lets the guest be stopped at its deadline, or when it is interrupted.
fn stop_in_time(store: &mut Store<Guest>, engine: &Engine, interrupt: Interrupt) {
    let engine = engine.clone();
    store.epoch_deadline_callback(move |guest| {
        let left = guest.data().until_tick.saturating_sub(engine.ticks());
        match left {
            _ if interrupt.is_raised() => Err(Interrupted.into()),
            0 => Ok(UpdateDeadline::Interrupt),
            left => Ok(UpdateDeadline::Continue(left.min(LOOK_TICKS))),
        }
    });
}

/// Gives the guest so many ticks from now on.
fn begin(store: &mut Store<Guest>, engine: &Engine, ticks: u64) {
    store.data_mut().until_tick = engine.ticks().saturating_add(ticks);
    store.set_epoch_deadline(ticks.min(LOOK_TICKS));
}

/// A guest in its store, and the one way to call it.
struct Running {
    plugin: Plugin,
    seed: u64,
    /// Calls begun so far.
    calls: u64,
    store: Store<Guest>,
    instance: component::Instance,
    limits: Limits,
    /// Ticks of the engine that a call may take.
    ticks: u64,
    interrupt: Interrupt,
    dead: bool,
    /// None: nobody asked.
    meter: Option<Box<Meter>>,
}

impl Running {
    fn start(
        plugin: &Plugin,
        (limits, interrupt): (Limits, Interrupt),
        log: LogSink,
        seed: u64,
        now_ms: Timestamp,
        reads: Reads,
    ) -> Result<Self, CallError> {
        let time = CallTime { now_ms, watermark: Timestamp::MIN };
        let mut store = Store::new(plugin.engine().wasmtime(), Guest::new(&limits, log, seed, time, reads));
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(limits.output_bytes);
        store.set_max_component_handles(limits.handles);
        let ticks = ticks(limits.call_deadline);
        stop_in_time(&mut store, plugin.engine(), interrupt.clone());
        begin(&mut store, plugin.engine(), ticks);
        let started = plugin.engine().elapsed_at_tick();
        match plugin.pre().instantiate(&mut store) {
            Ok(instance) => {
                let plugin = plugin.clone();
                let (calls, dead, meter) = (0, false, None);
                Ok(Self { plugin, seed, calls, store, instance, limits, ticks, interrupt, dead, meter })
            }
            Err(error) => {
                let used = plugin.engine().elapsed() - started;
                Err(error::of_trap(&error, "start", used, &limits, store.data_mut()))
            }
        }
    }

    /// A function of `guest`, at its place.
    #[allow(unsafe_code)]
    fn function<P, R>(&mut self, pick: impl Fn(&Exports) -> ComponentExportIndex) -> TypedFunc<P, R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let index = pick(self.plugin.exports());
        let function = self.instance.get_func(&mut self.store, index).expect("the plugin was found to export it");
        // SAFETY: each of `Exports` was found to have the contract's type for it when the plugin was made
        // (`plugin::check_exports`), and the callers of this, all in this file, name that type.
        unsafe { TypedFunc::new_unchecked(function) }
    }

    /// Says of how many groups the call that follows can read state.
    fn begin_reads(&mut self, groups: Option<u32>) {
        self.store.data_mut().reads.begin(groups);
    }

    /// Calls under the limits. `at`: the time of the call; none: as before.
    fn call<P, R>(
        &mut self,
        name: &'static str,
        at: Option<CallTime>,
        function: TypedFunc<P, R>,
        arguments: P,
    ) -> Result<R, CallError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        if self.dead {
            return Err(CallError::Dead { function: name });
        }
        if self.interrupt.is_raised() {
            self.dead = true;
            return Err(CallError::Interrupted { function: name });
        }
        if let Some(at) = at {
            self.store.data_mut().time = at;
        }
        self.store.data_mut().random = Random::of_call(self.seed, self.calls);
        self.calls += 1;
        let limiter = &mut self.store.data_mut().limiter;
        limiter.take_denied();
        limiter.take_table_denied();
        begin(&mut self.store, self.plugin.engine(), self.ticks);
        let started = self.plugin.engine().elapsed_at_tick();
        let began = self.meter.as_ref().map(|_| Instant::now());
        let result = function.call(&mut self.store, arguments);
        if let (Some(meter), Some(began)) = (&mut self.meter, began) {
            meter.call(began);
        }
        result.map_err(|error| {
            self.dead = true;
            let used = self.plugin.engine().elapsed() - started;
            error::of_trap(&error, name, used, &self.limits, self.store.data_mut())
        })
    }
}
