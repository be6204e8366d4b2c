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
    columns::{Bits, Columns},
    data::{
        self, CellUpdate, Context, Descriptor, Emission, Extension, Failure, Field, Input, Notice, Outcome, Reply,
        Rows, Shape, TimeDomain, TimerAction,
    },
    memory,
    operator::Instance,
    row::{ReadRow, Row},
    state::State,
};

pub(crate) mod host;
mod table;

pub use host::{metric, take_log};
use table::{Datum, Record};

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
        Ok(Harness {
            instance,
            descriptor,
            inputs: self.inputs,
            key_fields,
            port_fields,
            outputs,
            state: BTreeMap::new(),
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

type KeyValues = Vec<Datum>;

/// An operator, with what the host keeps for it: state, timers, time, and the rows that have left.
pub struct Harness<O: Operator> {
    instance: Instance<O>,
    descriptor: Descriptor,
    inputs: Vec<Input>,
    key_fields: Vec<Field>,
    port_fields: Vec<Vec<Field>>,
    outputs: Vec<Vec<Record>>,
    /// The cells of each key that has any.
    state: BTreeMap<KeyValues, Vec<Datum>>,
    timers: BTreeSet<(Clock, i64, KeyValues)>,
    now: Timestamp,
    watermark: Timestamp,
}

impl<O: Operator> fmt::Debug for Harness<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("state", &self.state).field("timers", &self.timers).finish_non_exhaustive()
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
        let state = grouping.as_ref().map_or_else(Vec::new, |grouping| self.state_columns(&grouping.keys));
        host::set_times(self.now, self.watermark);
        let reply = self.instance.process(input as u32, call, groups, state)?;
        self.apply(reply, &records, grouping.as_ref(), Some(input as u32));
        self.fire_due()
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

    /// The state of a key, given as a struct of the key's columns.
    pub fn state<S: State>(&self, key: impl Row) -> S {
        let key = table::records([key]).remove(0).values;
        let state = self.state_columns(&[key]);
        S::load(&Columns::of(state, 1)).remove(0)
    }

    /// Number of keys that have state.
    pub fn keys(&self) -> usize {
        self.state.len()
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

    fn state_columns(&self, keys: &[KeyValues]) -> Vec<data::Column> {
        let column = |(place, cell): (usize, &data::Cell)| {
            let value = |key| self.state.get(key).map_or(&Datum::Null, |cells| &cells[place]);
            table::encode(keys.iter().map(value), table::data_type(&cell.data_type))
        };
        self.descriptor.cells.iter().enumerate().map(column).collect()
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
            let state = self.state_columns(&grouping.keys);
            host::set_times(self.now, self.watermark);
            let reply = self.instance.on_timers(domain, call, grouping.groups(), state)?;
            self.timers.retain(|timer| !due.contains(timer));
            self.apply(reply, &records, Some(&grouping), None);
        }
        panic!("timers set timers that are due at once, {ROUNDS_MAX} times");
    }

    fn notice(&mut self, notice: Notice) -> Result<(), Failure> {
        host::set_times(self.now, self.watermark);
        let reply = self.instance.on_notice(notice)?;
        assert!(reply.cells.is_empty() && reply.timers.is_empty(), "bad reply: a notice has no keys");
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
        let Some(grouping) = grouping else { return };
        assert!(
            reply.cells.is_empty() || reply.cells.len() == self.descriptor.cells.len(),
            "bad reply: {} cell updates for {} cells",
            reply.cells.len(),
            self.descriptor.cells.len()
        );
        for (place, update) in reply.cells.into_iter().enumerate() {
            self.update(place, update, &grouping.keys);
        }
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

    fn update(&mut self, place: usize, update: CellUpdate, keys: &[KeyValues]) {
        let cell = &self.descriptor.cells[place];
        let (keys, values): (Vec<&KeyValues>, _) = match update {
            CellUpdate::Unchanged => return,
            CellUpdate::All(values) => (keys.iter().collect(), values),
            CellUpdate::Marked(marked) => {
                let bits = Bits(&marked.groups);
                let keys = keys.iter().enumerate().filter(|(group, _)| bits.get(*group)).map(|(_, key)| key).collect();
                (keys, marked.values)
            }
        };
        let values = table::decode(values, keys.len(), table::data_type(&cell.data_type));
        let cells = self.descriptor.cells.len();
        for (key, value) in keys.into_iter().zip(values) {
            let kept = self.state.entry(key.clone()).or_insert_with(|| vec![Datum::Null; cells]);
            kept[place] = value;
            if kept.iter().all(|value| *value == Datum::Null) {
                self.state.remove(key);
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
            (Shape::Pass(from), outcome) if input == Some(*from) => passing(outcome, records),
            (Shape::Extend(extended), Outcome::Extend(extension)) if input == Some(extended.input) => {
                extending(extension, &extended.columns, &self.port_fields[port], records)
            }
            (Shape::Key(columns), Outcome::Extend(extension)) => {
                let grouping = grouping.expect("a key port has groups");
                let key = |(row, record): (usize, &Record)| Record {
                    values: grouping.keys[grouping.of_row[row] as usize].clone(),
                    event_time: record.event_time,
                };
                let keys: Vec<Record> = records.iter().enumerate().map(key).collect();
                extending(extension, columns, &self.port_fields[port], &keys)
            }
            (Shape::New(schema), Outcome::Replace(rows)) => {
                assert_eq!(rows.event_times.is_some(), declared.event_times, "bad reply: event times as declared");
                replacing(rows, schema)
            }
            (_, other) => panic!("bad reply: {other:?} on port {}", declared.name),
        };
        self.outputs[port].extend(leaving);
    }
}

/// The rows that go on as they are.
fn passing(outcome: Outcome, records: &[Record]) -> Vec<Record> {
    let taken: Vec<usize> = match outcome {
        Outcome::Unchanged => (0..records.len()).collect(),
        Outcome::Keep(bits) => {
            assert_eq!(bits.len(), records.len().div_ceil(8), "bad reply: the bitmap's length");
            (0..records.len()).filter(|&row| Bits(&bits).get(row)).collect()
        }
        Outcome::Take(rows) => numbers(&rows),
        other => panic!("bad reply: {other:?} on a port whose shape is pass"),
    };
    taken.into_iter().map(|row| records[row].clone()).collect()
}

/// The rows that go on with new columns. `fields`: all columns of the port; `columns`: the new ones.
fn extending(extension: Extension, columns: &[Field], fields: &[Field], records: &[Record]) -> Vec<Record> {
    let taken = extension.take.map_or_else(|| (0..records.len()).collect(), |rows| numbers(&rows));
    let mut leaving: Vec<Record> = taken.iter().map(|&row| records[row].clone()).collect();
    leaving.iter_mut().for_each(|record| record.values.resize(fields.len(), Datum::Null));
    let given: BTreeSet<u32> = extension.columns.iter().map(|new| new.index).collect();
    assert!(given.into_iter().eq(0..columns.len() as u32), "bad reply: each declared column is given once");
    for new in extension.columns {
        let field = &columns[new.index as usize];
        let place = fields.iter().position(|known| known.name == field.name).expect("it is in the port's schema");
        let values = checked(new.column, taken.len(), field);
        leaving.iter_mut().zip(values).for_each(|(record, value)| record.values[place] = value);
    }
    leaving
}

/// Rows of the operator's own.
fn replacing(rows: Rows, schema: &[Field]) -> Vec<Record> {
    let count = rows.count as usize;
    assert_eq!(rows.columns.len(), schema.len(), "bad reply: number of columns");
    let columns = rows.columns.into_iter().zip(schema).map(|(column, field)| checked(column, count, field)).collect();
    let mut leaving = table::transpose(columns, count);
    let times = rows.event_times.map(|times| aligned_i64s(&times)).unwrap_or_default();
    leaving.iter_mut().zip(times).for_each(|(record, time)| record.event_time = Some(time));
    leaving
}

/// Values of a column, none of which is null unless it may be.
fn checked(column: data::Column, rows: usize, field: &Field) -> Vec<Datum> {
    let values = table::decode(column, rows, table::data_type(&field.data_type));
    assert!(field.nullable || !values.contains(&Datum::Null), "bad reply: a null in column {}", field.name);
    values
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
