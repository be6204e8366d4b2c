//! Sums up the rows of each key between pauses of event time: one row a session. The README says how to configure it.
//!
//! A key's cell holds its open sessions, oldest first: those that the watermark has not passed by more than the gap. A row joins
//! the session it lies near to; one that lies near to two makes them one. So the order in which rows come does not matter as
//! long as they are not late. A session's timer stands where it would end if nothing more came; one that fires too early,
//! because something did, is set again.

#![cfg_attr(not(test), no_std)]

use core::time::Duration;

use wasmill_sdk::{
    Call, Config, Error, Operator,
    build::{BytesBuilder, ColumnBuilder, F64Builder, I64Builder, NullableBuilder},
    config,
    data::{
        Cell, CellUpdate, Column, Context, DataType, Descriptor, Emission, Failure, Field, Input, Outcome, Port, Reads,
        Reply, Shape, TimeDomain, TimerAction, TimerChanges,
    },
    prelude::*,
};

mod open;

use open::{Session, Sum, add, decode, encode};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Sessionize);

#[derive(Config)]
struct Settings {
    /// A longer pause ends a session; one of exactly this length does not.
    gap: Duration,
    /// A column to sum up, `int64` or `float64`. Nulls count as rows and add nothing; without any value the sum is null.
    sum: Option<String>,
    /// Name of the column with the time of the first row.
    #[config(default = "start")]
    start_column: String,
    /// Name of the column with the time of the last row.
    #[config(default = "end")]
    end_column: String,
    /// Name of the column with the number of rows.
    #[config(default = "count")]
    count_column: String,
    /// Name of the column with the sum, if there is one.
    #[config(default = "sum")]
    sum_column: String,
}

struct Sessionize {
    gap_ms: i64,
    /// The type of the column to sum up.
    summed: Option<DataType>,
}

impl Sessionize {
    fn new(config: &str, inputs: &[Input]) -> Result<(Self, Settings), Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        if !input.event_times {
            return Err(Error::new("sessions need rows with event times: give their source `event_time`"));
        }
        let gap_ms = i64::try_from(settings.gap.as_millis()).unwrap_or(i64::MAX);
        if gap_ms == 0 {
            return Err(Error::new("`gap` must be at least 1ms"));
        }
        let summed = settings.sum.as_ref().map(|name| summable(input, name)).transpose()?;
        Ok((Self { gap_ms, summed }, settings))
    }
}

fn summable(input: &Input, name: &str) -> Result<DataType, Error> {
    let field = input.field(name).map_err(Error::new)?;
    match DataType::from_name(&field.data_type) {
        Some(data_type @ (DataType::Int64 | DataType::Float64)) => Ok(data_type),
        _ => Err(Error::new(format!("column `{name}` is {}, expected int64 or float64 to sum up", field.data_type))),
    }
}

impl Operator for Sessionize {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let (operator, settings) = Self::new(config, inputs)?;
        let mut columns = vec![
            Field::new(&settings.start_column, DataType::Timestamp),
            Field::new(&settings.end_column, DataType::Timestamp),
            Field::new(&settings.count_column, DataType::Int64),
        ];
        if let Some(data_type) = operator.summed {
            columns.push(Field::new(&settings.sum_column, data_type).nullable());
        }
        let reads = Reads::columns(settings.sum.as_deref()).keyed().event_times();
        let cell = Cell { version: 0, ..Cell::value("sessions", DataType::Binary) };
        let ports = vec![Port::new("out", Shape::Key(columns))];
        Ok(Descriptor { cells: vec![cell], timers: true, ..Descriptor::new(vec![reads], ports) })
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Ok(Self::new(&context.config, &context.inputs)?.0)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let groups = call.keys();
        let mut open = Open::of(call);
        let mut timers = Timers::default();
        let values = self.summed.map(|data_type| Values::of(call, data_type));
        for (row, (&group, &time)) in
            groups.of_rows().iter().zip(call.rows.event_times().unwrap_or_default()).enumerate()
        {
            let sum = values.as_ref().map_or(Sum::None, |values| values.get(row));
            let timer = add(open.of_group(group), Session::of_row(time, sum, self.gap_ms), self.gap_ms)
                .map_err(|message| Error::new(message).at_row(row as u32))?;
            if let Some(time) = timer {
                timers.push(group, time);
            }
        }
        Ok(Reply { cells: vec![open.update()], timers: timers.finish(), ..Reply::none() })
    }

    fn on_timers(&mut self, _: TimeDomain, due: &Call<'_>) -> Result<Reply, Failure> {
        let mut open = Open::of(due);
        let mut timers = Timers::default();
        let mut closed = Closed::new(self.summed);
        let times = due.rows.event_times().unwrap_or_default();
        for (row, (&group, &now)) in (0..).zip(due.keys().of_rows().iter().zip(times)) {
            open.of_group(group).retain_mut(|session| {
                // One whose timer was just set again waits for that, though a later timer of the key may be here.
                if session.timer != now {
                    return true;
                }
                session.timer = session.end.saturating_add(self.gap_ms);
                let is_over = session.timer <= now;
                if is_over {
                    closed.push(row, session);
                } else {
                    timers.push(group, session.timer);
                }
                !is_over
            });
        }
        Ok(Reply { emissions: closed.finish(), cells: vec![open.update()], timers: timers.finish(), ..Reply::none() })
    }
}

/// The column to sum up.
enum Values<'c> {
    Whole(&'c [i64], Option<wasmill_sdk::columns::Bits<'c>>),
    Float(&'c [f64], Option<wasmill_sdk::columns::Bits<'c>>),
}

impl<'c> Values<'c> {
    fn of(call: &'c Call<'_>, data_type: DataType) -> Self {
        let column = call.rows.column(0);
        match data_type {
            DataType::Int64 => Self::Whole(column.i64s(), column.validity()),
            _ => Self::Float(column.f64s(), column.validity()),
        }
    }

    #[inline]
    fn get(&self, row: usize) -> Sum {
        let (Self::Whole(_, validity) | Self::Float(_, validity)) = self;
        if validity.is_some_and(|bits| !bits.get(row)) {
            return Sum::None;
        }
        match self {
            Self::Whole(values, _) => values.get(row).map_or(Sum::None, |&value| Sum::Whole(value)),
            Self::Float(values, _) => values.get(row).map_or(Sum::None, |&value| Sum::Float(value)),
        }
    }
}

/// The open sessions of the keys of a call, read when a row of the key is there.
struct Open {
    sessions: Vec<Vec<Session>>,
}

impl Open {
    fn of(call: &Call<'_>) -> Self {
        let cells = call.state.column(0).binaries();
        Self { sessions: cells.iter().map(decode).collect() }
    }

    fn of_group(&mut self, group: u32) -> &mut Vec<Session> {
        // The contract numbers groups below their count.
        &mut self.sessions[group as usize]
    }

    /// Every group has a row, so every cell is written; one without sessions is cleared.
    fn update(&self) -> CellUpdate {
        let mut cells = NullableBuilder::<BytesBuilder>::default();
        cells.reserve(self.sessions.len());
        let mut bytes = Vec::new();
        for sessions in &self.sessions {
            if sessions.is_empty() {
                cells.push_null();
                continue;
            }
            bytes.clear();
            encode(sessions, &mut bytes);
            cells.push_valid().push(&bytes);
        }
        CellUpdate::All(cells.finish())
    }
}

/// Timers to set.
#[derive(Default)]
struct Timers {
    groups: Vec<u8>,
    times: Vec<u8>,
}

impl Timers {
    fn push(&mut self, group: u32, time: i64) {
        self.groups.extend_from_slice(&group.to_le_bytes());
        self.times.extend_from_slice(&time.to_le_bytes());
    }

    fn finish(self) -> Vec<TimerChanges> {
        if self.groups.is_empty() {
            return Vec::new();
        }
        let (domain, action) = (TimeDomain::EventTime, TimerAction::Set);
        vec![TimerChanges { domain, action, groups: self.groups, times: self.times }]
    }
}

/// Sessions that are over, as rows in the making.
struct Closed {
    rows: Vec<u32>,
    starts: I64Builder,
    ends: I64Builder,
    counts: I64Builder,
    sums: Option<Sums>,
}

enum Sums {
    Whole(NullableBuilder<I64Builder>),
    Float(NullableBuilder<F64Builder>),
}

impl Closed {
    fn new(summed: Option<DataType>) -> Self {
        let sums = summed.map(|data_type| match data_type {
            DataType::Int64 => Sums::Whole(NullableBuilder::default()),
            _ => Sums::Float(NullableBuilder::default()),
        });
        Self {
            rows: Vec::new(),
            starts: I64Builder::default(),
            ends: I64Builder::default(),
            counts: I64Builder::default(),
            sums,
        }
    }

    /// `row`: that of the timer.
    fn push(&mut self, row: u32, session: &Session) {
        self.rows.push(row);
        self.starts.push(session.start);
        self.ends.push(session.end);
        self.counts.push(session.count);
        match (&mut self.sums, session.sum) {
            (Some(Sums::Whole(sums)), Sum::Whole(sum)) => sums.push_valid().push(sum),
            (Some(Sums::Float(sums)), Sum::Float(sum)) => sums.push_valid().push(sum),
            (Some(Sums::Whole(sums)), _) => sums.push_null(),
            (Some(Sums::Float(sums)), _) => sums.push_null(),
            (None, _) => {}
        }
    }

    fn finish(self) -> Vec<Emission> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut columns: Vec<Column> = vec![self.starts.finish(), self.ends.finish(), self.counts.finish()];
        columns.extend(self.sums.map(|sums| match sums {
            Sums::Whole(sums) => sums.finish(),
            Sums::Float(sums) => sums.finish(),
        }));
        vec![Emission { port: 0, rows: Outcome::extend_taken(&self.rows, columns) }]
    }
}

#[cfg(test)]
mod tests;
