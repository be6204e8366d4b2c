//! Running an operator in an ordinary test: no component, no host, virtual time.
//!
//! ```
//! use wasmill_sdk::{Row, testing::Harness};
//!
//! #[derive(Row, Debug, Clone, Copy, PartialEq)]
//! struct Bid { auction: i64 }
//!
//! #[wasmill_sdk::filter]
//! fn even(bid: Bid) -> bool {
//!     bid.auction % 2 == 0
//! }
//!
//! let mut harness = Harness::<even>::setup().input::<Bid>().open()?;
//! harness.process([Bid { auction: 1 }, Bid { auction: 2 }])?;
//! assert_eq!(harness.take::<Bid>("out"), [Bid { auction: 2 }]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Rows are given and taken as structs that derive `Row`; the struct given is the input's schema. A reply that breaks the
//! contract is a panic.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
};

use crate::{
    Operator, Timestamp,
    columns::Columns,
    data::{
        self, Context, Descriptor, Emission, Failure, Field, Input, Notice, Outcome, Reply, Rows, Shape, TimeDomain,
        TimerAction,
    },
    memory,
    operator::Instance,
    row::{ReadRow, Row},
    state::{Shared, State},
};

mod emit;
pub(crate) mod host;
mod kept;
mod table;

pub use host::{metric, take_log};
use kept::{Call, Clocks, Kept, KeyValues};
use table::Record;

/// Rows in one call for due timers, as the host does it.
const TIMERS_PER_CALL_MAX: usize = 4_096;

/// Rounds of timers that set timers that are due at once: more is a loop.
const ROUNDS_MAX: usize = 10_000;

/// An operator before it is opened.
#[derive(Debug)]
pub struct Setup<O> {
    config: String,
    inputs: Vec<Input>,
    operator: PhantomData<O>,
}

impl<O: Operator> Setup<O> {
    /// Its configuration, JSON text. `{}` if it is not called.
    pub fn config(self, json: &str) -> Self {
        Self { config: json.to_owned(), ..self }
    }

    /// An input whose rows have the columns of `R`.
    pub fn input<R: Row>(mut self) -> Self {
        self.inputs.push(Input { schema: table::schema_of::<R>(), key: None, event_times: false });
        self
    }

    /// An input whose rows have the columns of `R`, some of which are its key.
    pub fn keyed_input<R: Row>(mut self, key: &[&str]) -> Self {
        let key = key.iter().map(|&name| name.to_owned()).collect();
        self.inputs.push(Input { schema: table::schema_of::<R>(), key: Some(key), event_times: false });
        self
    }

    /// The input named last has event times.
    pub fn with_event_times(mut self) -> Self {
        self.inputs.last_mut().expect("an input is named before").event_times = true;
        self
    }

    /// Describes and opens the operator. The message is the operator's own.
    pub fn open(self) -> Result<Harness<O>, String> {
        let descriptor = O::describe(&self.config, &self.inputs).map_err(|error| error.to_string())?;
        let context = Context {
            job: "test".to_owned(),
            operator: "operator".to_owned(),
            subtask: 0,
            parallelism: 1,
            config: self.config,
            inputs: self.inputs.clone(),
            extra: Vec::new(),
        };
        let keyed = descriptor.inputs.iter().zip(&self.inputs).find(|(reads, _)| reads.keyed);
        let key_fields: Vec<Field> = match keyed {
            Some((_, input)) => {
                let key = input.key.as_ref().expect("the operator wants a keyed input: use keyed_input");
                key.iter().map(|name| input.field(name).expect("the key is a column").clone()).collect()
            }
            None => Vec::new(),
        };
        let port_fields =
            descriptor.ports.iter().map(|port| port_fields(&port.shape, &self.inputs, &key_fields)).collect();
        let outputs = descriptor.ports.iter().map(|_| Vec::new()).collect();
        let instance = Instance::open(context).map_err(|error| error.to_string())?;
        let kept = Kept::new(&descriptor, &self.inputs);
        Ok(Harness {
            instance,
            descriptor,
            inputs: self.inputs,
            key_fields,
            port_fields,
            outputs,
            kept,
            timers: BTreeSet::new(),
            now: Timestamp(0),
            watermark: Timestamp::MIN,
        })
    }
}

/// The columns of the rows that leave by a port.
fn port_fields(shape: &Shape, inputs: &[Input], key_fields: &[Field]) -> Vec<Field> {
    let (mut fields, more) = match shape {
        Shape::Pass(input) => (inputs[*input as usize].schema.clone(), Vec::new()),
        Shape::Extend(extended) => (inputs[extended.input as usize].schema.clone(), extended.columns.clone()),
        Shape::Key(columns) => (key_fields.to_vec(), columns.clone()),
        Shape::New(schema) => (Vec::new(), schema.clone()),
    };
    for field in more {
        match fields.iter_mut().find(|known| known.name == field.name) {
            Some(known) => *known = field,
            None => fields.push(field),
        }
    }
    fields
}

/// The clock a timer runs on, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    Event,
    Processing,
}

impl Clock {
    fn of(domain: TimeDomain) -> Self {
        match domain {
            TimeDomain::EventTime => Self::Event,
            TimeDomain::ProcessingTime => Self::Processing,
        }
    }

    fn domain(self) -> TimeDomain {
        match self {
            Self::Event => TimeDomain::EventTime,
            Self::Processing => TimeDomain::ProcessingTime,
        }
    }
}

/// An operator, with what the host keeps for it: state, timers, time, and the rows that have left.
pub struct Harness<O: Operator> {
    instance: Instance<O>,
    descriptor: Descriptor,
    inputs: Vec<Input>,
    key_fields: Vec<Field>,
    port_fields: Vec<Vec<Field>>,
    outputs: Vec<Vec<Record>>,
    kept: Kept,
    timers: BTreeSet<(Clock, i64, KeyValues)>,
    now: Timestamp,
    watermark: Timestamp,
}

impl<O: Operator> fmt::Debug for Harness<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("kept", &self.kept).field("timers", &self.timers).finish_non_exhaustive()
    }
}

impl<O: Operator> Harness<O> {
    /// Begins to set up an operator.
    pub fn setup() -> Setup<O> {
        Setup { config: "{}".to_owned(), inputs: Vec::new(), operator: PhantomData }
    }

    /// What the operator said it is.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Hands over rows of the first input in one call. No row, no call.
    pub fn process<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<(), Failure> {
        self.process_input(0, rows.into_iter().map(|row| (None, row)))
    }

    /// Hands over rows of the first input with their event times, in one call.
    pub fn process_at<R: Row>(&mut self, rows: impl IntoIterator<Item = (Timestamp, R)>) -> Result<(), Failure> {
        self.process_input(0, rows.into_iter().map(|(time, row)| (Some(time), row)))
    }

    /// Hands over rows of any input, with event times if it has them, in one call.
    pub fn process_input<R: Row>(
        &mut self,
        input: usize,
        rows: impl IntoIterator<Item = (Option<Timestamp>, R)>,
    ) -> Result<(), Failure> {
        let wired = &self.inputs[input];
        assert_eq!(table::schema_of::<R>(), wired.schema, "the rows are not those the input was set up with");
        let (times, rows): (Vec<_>, Vec<R>) = rows.into_iter().unzip();
        let has_times = times.iter().all(Option::is_some);
        assert!(has_times || !wired.event_times, "the input has event times: use process_at");
        let mut records = table::records(rows);
        for (record, time) in records.iter_mut().zip(times) {
            record.event_time = time.map(|time| time.0).filter(|_| wired.event_times);
        }
        if records.is_empty() {
            return Ok(());
        }
        let reads = &self.descriptor.inputs[input];
        let schema = &wired.schema;
        let place =
            |name: &String| schema.iter().position(|f| f.name == *name).expect("the operator reads what is there");
        let places: Vec<usize> = reads.columns.iter().map(place).collect();
        let call = Rows {
            count: records.len() as u32,
            event_times: times_of(&records).filter(|_| reads.event_times),
            columns: table::columns(&records, schema, &places),
        };
        let grouping = reads.keyed.then(|| {
            let key_places: Vec<usize> = self.key_fields.iter().map(|field| place(&field.name)).collect();
            Grouping::of(records.iter().map(|record| key_places.iter().map(|&i| record.values[i].clone()).collect()))
        });
        let groups = grouping.as_ref().map(Grouping::groups);
        let of = grouping.as_ref().map(|grouping| grouping.with_latest(&records));
        let latest = records.iter().filter_map(|record| record.event_time).max();
        let about = Call { clocks: self.clocks(), groups: of, latest, has_rows: true };
        let reply = self.call(about, |instance, state| instance.process(input as u32, call, groups, state))?;
        self.apply(reply, &records, grouping.as_ref(), Some(input as u32));
        self.fire_due()
    }

    /// Hands over rows of the second input in one call: those of what all keys share.
    pub fn process_shared<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<(), Failure> {
        self.process_input(1, rows.into_iter().map(|row| (None, row)))
    }

    /// Moves the watermark: timers fire, notices are given.
    pub fn advance_watermark(&mut self, watermark: Timestamp) -> Result<(), Failure> {
        assert!(watermark >= self.watermark, "a watermark does not fall");
        self.watermark = watermark;
        self.fire_due()?;
        if self.descriptor.notices.asks_for(data::Notices::WATERMARK) {
            self.notice(Notice::Watermark(watermark.0))?;
        }
        Ok(())
    }

    /// Moves the host's clock: timers fire.
    pub fn advance_clock(&mut self, now: Timestamp) -> Result<(), Failure> {
        assert!(now >= self.now, "the clock does not go back");
        self.now = now;
        self.fire_due()
    }

    /// Ends all input: the watermark reaches the end of time, then all other timers fire, then the last notice is given.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.advance_watermark(Timestamp::END)?;
        self.advance_clock(Timestamp::END)?;
        if self.descriptor.notices.asks_for(data::Notices::END_OF_INPUT) {
            self.notice(Notice::EndOfInput)?;
        }
        Ok(())
    }

    /// Replaces the instance by a new one, as the host may do between any two calls.
    pub fn replace_instance(&mut self) -> Result<(), String> {
        self.instance = Instance::open(self.instance.context.clone()).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The rows that have left by a port since the last time it was asked.
    pub fn take<R: for<'a> ReadRow<'a>>(&mut self, port: &str) -> Vec<R> {
        let place = self.port(port);
        let records = std::mem::take(&mut self.outputs[place]);
        table::rows(&records, &self.port_fields[place])
    }

    /// The rows that have left by a port since the last time it was asked, with their event times.
    pub fn take_at<R: for<'a> ReadRow<'a>>(&mut self, port: &str) -> Vec<(Timestamp, R)> {
        let place = self.port(port);
        let times: Vec<_> = self.outputs[place].iter().map(|record| record.event_time).collect();
        let time = |time: Option<i64>| Timestamp(time.expect("the rows of this port have event times"));
        times.into_iter().map(time).zip(self.take(port)).collect()
    }

    /// The state of a key, given as a struct of the key's columns: all of it, as it is now.
    pub fn state<S: State>(&mut self, key: impl Row) -> S {
        let key = table::records([key]).remove(0).values;
        let (reads, clocks) = (self.kept.reads(), self.clocks());
        let call = Call { clocks, groups: Some(vec![(key, None)]), latest: None, has_rows: false };
        let state = self.call(call, |_, state| {
            let state = S::load(&Columns::of(state, 1)).remove(0);
            state.fetch_all();
            state
        });
        self.kept.set_reads(reads);
        state
    }

    /// What all keys share: all of it, as it is now.
    pub fn shared<S: Shared>(&mut self) -> S {
        let (reads, clocks) = (self.kept.reads(), self.clocks());
        let first = self.descriptor.cells.iter().position(|cell| cell.kind == "broadcast").unwrap_or(0);
        let shared = self.call(Call { clocks, groups: None, latest: None, has_rows: false }, |_, _| {
            let shared = S::load(first as u32);
            shared.fetch_all();
            shared
        });
        self.kept.set_reads(reads);
        shared
    }

    /// Number of requests for entries of lists and maps that the operator has made so far.
    pub fn state_reads(&self) -> usize {
        self.kept.reads()
    }

    /// Number of keys that have state.
    pub fn keys(&self) -> usize {
        self.kept.keys(self.clocks())
    }

    /// Number of timers that are set.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    fn port(&self, name: &str) -> usize {
        let names: Vec<&str> = self.descriptor.ports.iter().map(|port| port.name.as_str()).collect();
        let place = names.iter().position(|port| *port == name);
        place.unwrap_or_else(|| panic!("there is no port `{name}`; ports: {}", names.join(", ")))
    }

    /// Begins a call, of which the operator can read state, and ends it.
    fn call<T>(&mut self, call: Call, make: impl FnOnce(&mut Instance<O>, Vec<data::Column>) -> T) -> T {
        host::set_times(self.now, self.watermark);
        self.kept.begin(call);
        let state = self.kept.columns();
        host::lend(std::mem::take(&mut self.kept));
        let made = make(&mut self.instance, state);
        self.kept = host::take_back();
        made
    }

    fn clocks(&self) -> Clocks {
        Clocks { now: self.now, watermark: self.watermark }
    }

    /// Fires timers until none is due: event time first, then the host's clock.
    fn fire_due(&mut self) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            let due_on = |clock: Clock, now: Timestamp| {
                let all = self.timers.iter().filter(move |(on, time, _)| *on == clock && *time <= now.0);
                all.take(TIMERS_PER_CALL_MAX).cloned().collect::<Vec<_>>()
            };
            let mut due = due_on(Clock::Event, self.watermark);
            if due.is_empty() {
                due = due_on(Clock::Processing, self.now);
            }
            let Some((clock, ..)) = due.first() else { return Ok(()) };
            let domain = clock.domain();
            let records: Vec<Record> =
                due.iter().map(|(_, time, key)| Record { values: key.clone(), event_time: Some(*time) }).collect();
            let grouping = Grouping::of(due.iter().map(|(_, _, key)| key.clone()));
            let places: Vec<usize> = (0..self.key_fields.len()).collect();
            let call = Rows {
                count: records.len() as u32,
                event_times: times_of(&records),
                columns: table::columns(&records, &self.key_fields, &places),
            };
            // A timer sees what was there at its time.
            let first = due.iter().map(|(_, time, _)| *time).min().filter(|_| *clock == Clock::Event);
            let watermark = first.map_or(self.watermark, |first| self.watermark.min(Timestamp(first)));
            let clocks = Clocks { watermark, ..self.clocks() };
            // The time of the other clock says nothing about when values were written in event time.
            let times: &[Record] = if *clock == Clock::Event { &records } else { &[] };
            let about = Call { clocks, groups: Some(grouping.with_latest(times)), latest: None, has_rows: false };
            let groups = grouping.groups();
            let reply = self.call(about, |instance, state| instance.on_timers(domain, call, groups, state))?;
            self.timers.retain(|timer| !due.contains(timer));
            self.apply(reply, &records, Some(&grouping), None);
        }
        panic!("timers set timers that are due at once, {ROUNDS_MAX} times");
    }

    fn notice(&mut self, notice: Notice) -> Result<(), Failure> {
        let about = Call { clocks: self.clocks(), groups: None, latest: None, has_rows: false };
        let reply = self.call(about, |instance, _| instance.on_notice(notice))?;
        assert!(reply.cells.is_empty() && reply.timers.is_empty(), "bad reply: a notice has no keys");
        assert!(reply.entries.is_empty(), "bad reply: a notice can change nothing");
        self.apply(reply, &[], None, None);
        Ok(())
    }

    /// Applies what follows from a call. `input`: the one the records came by, none for timers.
    fn apply(&mut self, reply: Reply, records: &[Record], grouping: Option<&Grouping>, input: Option<u32>) {
        let mut ports = BTreeSet::new();
        for Emission { port, rows } in reply.emissions {
            assert!(ports.insert(port), "bad reply: two emissions for port {port}");
            self.emit(port as usize, rows, records, input, grouping);
        }
        self.kept.apply(reply.cells, reply.entries);
        let Some(grouping) = grouping else { return };
        for changes in reply.timers {
            assert!(self.descriptor.timers, "bad reply: a timer, but the descriptor asks for none");
            let groups = aligned_u32s(&changes.groups);
            let times = aligned_i64s(&changes.times);
            assert_eq!(groups.len(), times.len(), "bad reply: groups and times of timers");
            for (group, time) in groups.into_iter().zip(times) {
                let timer = (Clock::of(changes.domain), time, grouping.keys[group as usize].clone());
                match changes.action {
                    TimerAction::Set => _ = self.timers.insert(timer),
                    TimerAction::Clear => _ = self.timers.remove(&timer),
                }
            }
        }
    }

    fn emit(
        &mut self,
        port: usize,
        outcome: Outcome,
        records: &[Record],
        input: Option<u32>,
        grouping: Option<&Grouping>,
    ) {
        let declared = &self.descriptor.ports[port];
        let leaving = match (&declared.shape, outcome) {
            (_, Outcome::DropAll) => return,
            (Shape::Pass(from), outcome) if input == Some(*from) => emit::passing(outcome, records),
            (Shape::Extend(extended), Outcome::Extend(extension)) if input == Some(extended.input) => {
                emit::extending(extension, &extended.columns, &self.port_fields[port], records)
            }
            (Shape::Key(columns), Outcome::Extend(extension)) => {
                let grouping = grouping.expect("a key port has groups");
                let key = |(row, record): (usize, &Record)| Record {
                    values: grouping.keys[grouping.of_row[row] as usize].clone(),
                    event_time: record.event_time,
                };
                let keys: Vec<Record> = records.iter().enumerate().map(key).collect();
                emit::extending(extension, columns, &self.port_fields[port], &keys)
            }
            (Shape::New(schema), Outcome::Replace(rows)) => {
                assert_eq!(rows.event_times.is_some(), declared.event_times, "bad reply: event times as declared");
                emit::replacing(rows, schema)
            }
            (_, other) => panic!("bad reply: {other:?} on port {}", declared.name),
        };
        self.outputs[port].extend(leaving);
    }
}

/// The keys of a call.
struct Grouping {
    keys: Vec<KeyValues>,
    of_row: Vec<u32>,
}

impl Grouping {
    fn of(keys_of_rows: impl Iterator<Item = KeyValues>) -> Self {
        let mut numbers = BTreeMap::new();
        let mut keys = Vec::new();
        let group = |key: KeyValues| {
            *numbers.entry(key.clone()).or_insert_with(|| {
                keys.push(key);
                keys.len() as u32 - 1
            })
        };
        let of_row = keys_of_rows.map(group).collect();
        Self { keys, of_row }
    }

    /// The keys, and the latest event time of each among the rows.
    fn with_latest(&self, records: &[Record]) -> Vec<(KeyValues, Option<i64>)> {
        let mut groups: Vec<_> = self.keys.iter().map(|key| (key.clone(), None)).collect();
        for (&group, record) in self.of_row.iter().zip(records) {
            let latest: &mut Option<i64> = &mut groups[group as usize].1;
            *latest = (*latest).max(record.event_time);
        }
        groups
    }

    fn groups(&self) -> data::Groups {
        data::Groups { count: self.keys.len() as u32, of_row: memory::u32_bytes(&self.of_row).to_vec() }
    }
}

fn times_of(records: &[Record]) -> Option<Vec<u8>> {
    let times: Option<Vec<i64>> = records.iter().map(|record| record.event_time).collect();
    times.map(|times| memory::i64_bytes(&times).to_vec())
}

fn numbers(bytes: &[u8]) -> Vec<usize> {
    aligned_u32s(bytes).into_iter().map(|number| number as usize).collect()
}

fn aligned_u32s(bytes: &[u8]) -> Vec<u32> {
    let (chunks, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "bad reply: {} bytes are no row numbers", bytes.len());
    chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

fn aligned_i64s(bytes: &[u8]) -> Vec<i64> {
    let (chunks, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "bad reply: {} bytes are no times", bytes.len());
    chunks.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect()
}
