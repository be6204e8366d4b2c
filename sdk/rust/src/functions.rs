//! Operators that are plain functions of a row. The attributes [`filter`](crate::filter), [`map`](crate::map) and
//! [`flat_map`](crate::flat_map) describe a function by one of the traits here; the structs run it.

use alloc::{vec, vec::Vec};

use crate::{
    build::{BitsBuilder, numbers},
    columns::Call,
    config::{self, Config},
    data::{
        Context, DataType, Descriptor, Extended, Extension, Failure, Input, NewColumn, Outcome, Port, Reads, Reply,
        Shape,
    },
    error::Error,
    ports::{Ports, kept},
    row::{ReadRow, Row, RowBuilder, types_in},
};

/// What every row function has.
pub trait RowFunction: 'static {
    /// The row it reads.
    type Input<'a>: ReadRow<'a>;
    /// Its configuration.
    type Config: Config;
}

/// A function of a row that says whether it goes on.
pub trait FilterFunction: RowFunction {
    /// Whether the row goes on.
    fn call(row: Self::Input<'_>, config: &Self::Config) -> Result<bool, Error>;
}

/// A function of a row to the columns it goes on with.
pub trait MapFunction: RowFunction {
    /// The columns that are added or replaced.
    type Output: Row;

    /// Appends the columns; false: the row does not go on.
    fn call(
        row: Self::Input<'_>,
        config: &Self::Config,
        out: &mut <Self::Output as Row>::Builder,
    ) -> Result<bool, Error>;
}

/// A function of a row to any number of rows.
pub trait FlatMapFunction: RowFunction {
    /// Where they leave.
    type Output: Ports;

    /// Emits the rows.
    fn call(row: Self::Input<'_>, config: &Self::Config, out: &mut Self::Output) -> Result<(), Error>;
}

/// The configuration, and the types of the columns read, of a function on its only input.
#[derive(Debug)]
struct Opened<C> {
    config: C,
    types: Vec<DataType>,
    event_times: bool,
}

impl<C: Config> Opened<C> {
    fn new<'a, R: ReadRow<'a>>(config: &str, inputs: &[Input]) -> Result<Self, Error> {
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        let config = config::parse(config).map_err(Error::new)?;
        let types = types_in(R::FIELDS, &config, input).map_err(Error::new)?;
        Ok(Self { config, types, event_times: input.event_times })
    }

    fn reads<'a, R: ReadRow<'a>>(&self) -> Reads {
        Reads::columns(R::FIELDS.iter().map(|field| self.config.rename(field.name)))
    }
}

/// Runs a [`FilterFunction`]: port `out` of shape `pass`.
#[derive(Debug)]
pub struct Filter<F: RowFunction>(Opened<F::Config>);

/// Runs a [`MapFunction`]: port `out` of shape `extend`.
#[derive(Debug)]
pub struct Map<F: RowFunction>(Opened<F::Config>);

/// Runs a [`FlatMapFunction`]: the ports of its output.
#[derive(Debug)]
pub struct FlatMap<F: RowFunction>(Opened<F::Config>);

impl<F: FilterFunction> crate::Operator for Filter<F> {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let opened = Opened::<F::Config>::new::<F::Input<'static>>(config, inputs)?;
        Ok(Descriptor::stateless(opened.reads::<F::Input<'static>>(), Shape::Pass(0)))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Opened::new::<F::Input<'static>>(&context.config, &context.inputs).map(Self)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let reader = F::Input::open(&call.rows, &self.0.types);
        let mut bits = BitsBuilder::with_capacity(call.rows.count());
        for row in 0..call.rows.count() {
            let keep = F::call(F::Input::read(&reader, row), &self.0.config).map_err(|e| e.at_row(row as u32))?;
            bits.push(keep);
        }
        Ok(Reply::rows(kept(bits)))
    }
}

impl<F: MapFunction> crate::Operator for Map<F> {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let opened = Opened::<F::Config>::new::<F::Input<'static>>(config, inputs)?;
        let columns = F::Output::FIELDS.iter().map(|field| field.named(&opened.config)).collect();
        Ok(Descriptor::stateless(opened.reads::<F::Input<'static>>(), Shape::Extend(Extended { input: 0, columns })))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Opened::new::<F::Input<'static>>(&context.config, &context.inputs).map(Self)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let count = call.rows.count();
        let reader = F::Input::open(&call.rows, &self.0.types);
        let mut builder = <F::Output as Row>::Builder::default();
        builder.reserve(count);
        let mut dropped = Vec::new();
        for row in 0..count {
            let goes_on = F::call(F::Input::read(&reader, row), &self.0.config, &mut builder);
            if !goes_on.map_err(|e| e.at_row(row as u32))? {
                dropped.push(row as u32);
            }
        }
        if dropped.len() == count {
            return Ok(Reply::none());
        }
        let take = (!dropped.is_empty()).then(|| numbers(&all_but(&dropped, count)));
        let columns = (0..).zip(builder.finish()).map(|(index, column)| NewColumn { index, column }).collect();
        Ok(Reply::rows(Outcome::Extend(Extension { take, columns })))
    }
}

/// The row numbers below `count` that are not in a rising list.
fn all_but(dropped: &[u32], count: usize) -> Vec<u32> {
    let mut dropped = dropped.iter().copied().peekable();
    (0..count as u32).filter(|&row| dropped.next_if_eq(&row).is_none()).collect()
}

impl<F: FlatMapFunction> crate::Operator for FlatMap<F> {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let opened = Opened::<F::Config>::new::<F::Input<'static>>(config, inputs)?;
        let ports: Vec<Port> = F::Output::describe(&opened.config, opened.event_times);
        let mut reads = opened.reads::<F::Input<'static>>();
        reads.event_times = ports.iter().any(|port| port.event_times);
        Ok(Descriptor::new(vec![reads], ports))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Opened::new::<F::Input<'static>>(&context.config, &context.inputs).map(Self)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let count = call.rows.count();
        let reader = F::Input::open(&call.rows, &self.0.types);
        let times = call.rows.event_times();
        let mut out = F::Output::default();
        for row in 0..count {
            out.begin(row as u32, crate::columns::time_at(times, row));
            F::call(F::Input::read(&reader, row), &self.0.config, &mut out).map_err(|e| e.at_row(row as u32))?;
        }
        Ok(Reply { emissions: out.finish(count, self.0.event_times), ..Reply::none() })
    }
}
