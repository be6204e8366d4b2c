//! Outputs, by the shape of the rows that leave by them.
//!
//! An operator with one output names one of the four types, and the port is called `out`. One with several lists them in a
//! struct; the fields' names are the ports' names:
//!
//! ```
//! use wasmill_sdk::{Row, ports::{Extend, Pass, Ports}};
//!
//! #[derive(Row)]
//! struct Score { score: f64 }
//!
//! #[derive(Ports)]
//! struct Outputs {
//!     good: Pass,
//!     suspicious: Extend<Score>,
//! }
//! # let mut outputs = Outputs::default();
//! outputs.suspicious.emit(Score { score: 0.9 });
//! outputs.good.emit();
//! ```

use alloc::vec::Vec;

use crate::{
    Timestamp,
    build::{BitsBuilder, numbers},
    config::Config,
    data::{Emission, Extended, Extension, NewColumn, Outcome, Port, Rows, Shape},
    row::{Row, RowBuilder},
};

pub use wasmill_sdk_macros::Ports;

/// The outputs of an operator. Derived for a struct of ports; a single port is one too, named `out`.
pub trait Ports: Default + 'static {
    /// What they are. `event_times`: whether the input has them; rows of shape `new` then inherit those of their row.
    fn describe<C: Config>(config: &C, event_times: bool) -> Vec<Port>;

    /// Says which row of the call is being handled.
    fn begin(&mut self, row: u32, event_time: Timestamp);

    /// What leaves by them. `rows`: number of rows of the call.
    fn finish(self, rows: usize, event_times: bool) -> Vec<Emission>;
}

/// One output.
pub trait PortKind: Default + 'static {
    /// Its shape. Names of columns go through [`Config::rename`].
    fn shape<C: Config>(config: &C) -> Shape;

    /// Says which row of the call is being handled.
    fn begin(&mut self, row: u32, event_time: Timestamp);

    /// What leaves by it; `None`: nothing.
    fn finish(self, rows: usize, event_times: bool) -> Option<Outcome>;

    /// The port of this name.
    fn describe<C: Config>(name: &str, config: &C, event_times: bool) -> Port {
        let shape = Self::shape(config);
        let event_times = event_times && matches!(shape, Shape::New(_));
        Port::new(name, shape).event_times(event_times)
    }
}

impl<P: PortKind> Ports for P {
    fn describe<C: Config>(config: &C, event_times: bool) -> Vec<Port> {
        alloc::vec![<P as PortKind>::describe("out", config, event_times)]
    }

    #[inline]
    fn begin(&mut self, row: u32, event_time: Timestamp) {
        PortKind::begin(self, row, event_time);
    }

    fn finish(self, rows: usize, event_times: bool) -> Vec<Emission> {
        let emission = |rows| Emission { port: 0, rows };
        PortKind::finish(self, rows, event_times).map(emission).into_iter().collect()
    }
}

/// Rows of the input as they are.
#[derive(Debug, Default)]
pub struct Pass {
    row: u32,
    taken: Vec<u32>,
}

impl Pass {
    /// The row goes on.
    #[inline]
    pub fn emit(&mut self) {
        self.taken.push(self.row);
    }
}

impl PortKind for Pass {
    fn shape<C: Config>(_: &C) -> Shape {
        Shape::Pass(0)
    }

    #[inline]
    fn begin(&mut self, row: u32, _: Timestamp) {
        self.row = row;
    }

    fn finish(self, rows: usize, _: bool) -> Option<Outcome> {
        if self.taken.is_empty() {
            return None;
        }
        Some(if is_all(&self.taken, rows) { Outcome::Unchanged } else { Outcome::Take(numbers(&self.taken)) })
    }
}

/// Rows of the input, with the columns of `R` added or replaced.
#[derive(Debug)]
pub struct Extend<R: Row>(Extending<R>);

/// The key columns, then those of `R`. A timer can emit it: its rows are its keys.
#[derive(Debug)]
pub struct Key<R: Row>(Extending<R>);

/// Rows of the operator's own, with the columns of `R`. If the input has event times, each has that of the row it was
/// emitted for.
#[derive(Debug)]
pub struct New<R: Row> {
    builder: R::Builder,
    count: u32,
    event_time: Timestamp,
    event_times: Vec<i64>,
}

/// What [`Extend`] and [`Key`] have in common: row numbers and the new columns.
struct Extending<R: Row> {
    row: u32,
    taken: Vec<u32>,
    builder: R::Builder,
}

impl<R: Row> core::fmt::Debug for Extending<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Extending").field("row", &self.row).field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl<R: Row> Default for Extending<R> {
    fn default() -> Self {
        Self { row: 0, taken: Vec::new(), builder: R::Builder::default() }
    }
}

impl<R: Row> Extending<R> {
    fn finish(self, rows: usize) -> Option<Outcome> {
        if self.taken.is_empty() {
            return None;
        }
        let take = (!is_all(&self.taken, rows)).then(|| numbers(&self.taken));
        let columns = (0..).zip(self.builder.finish()).map(|(index, column)| NewColumn { index, column }).collect();
        Some(Outcome::Extend(Extension { take, columns }))
    }
}

/// Whether these are all row numbers of a call, in order.
fn is_all(taken: &[u32], rows: usize) -> bool {
    taken.len() == rows && (0..).zip(taken).all(|(row, &number)| row == number)
}

macro_rules! extending {
    ($port:ident, |$columns:ident| $shape:expr) => {
        impl<R: Row> Default for $port<R> {
            fn default() -> Self {
                Self(Extending::default())
            }
        }

        impl<R: Row> $port<R> {
            /// The row goes on with these columns.
            #[inline]
            pub fn emit<W: Row<Builder = R::Builder>>(&mut self, row: W) {
                self.0.taken.push(self.0.row);
                row.write(&mut self.0.builder);
            }
        }

        impl<R: Row + 'static> PortKind for $port<R> {
            fn shape<C: Config>(config: &C) -> Shape {
                let $columns = R::FIELDS.iter().map(|field| field.named(config)).collect();
                $shape
            }

            #[inline]
            fn begin(&mut self, row: u32, _: Timestamp) {
                self.0.row = row;
            }

            fn finish(self, rows: usize, _: bool) -> Option<Outcome> {
                self.0.finish(rows)
            }
        }
    };
}

extending!(Extend, |columns| Shape::Extend(Extended { input: 0, columns }));
extending!(Key, |columns| Shape::Key(columns));

impl<R: Row> Default for New<R> {
    fn default() -> Self {
        Self { builder: R::Builder::default(), count: 0, event_time: Timestamp::MIN, event_times: Vec::new() }
    }
}

impl<R: Row> New<R> {
    /// A row leaves.
    #[inline]
    pub fn emit<W: Row<Builder = R::Builder>>(&mut self, row: W) {
        row.write(&mut self.builder);
        self.count += 1;
        self.event_times.push(self.event_time.0);
    }
}

impl<R: Row + 'static> PortKind for New<R> {
    fn shape<C: Config>(config: &C) -> Shape {
        Shape::New(R::FIELDS.iter().map(|field| field.named(config)).collect())
    }

    #[inline]
    fn begin(&mut self, _: u32, event_time: Timestamp) {
        self.event_time = event_time;
    }

    fn finish(self, _: usize, event_times: bool) -> Option<Outcome> {
        if self.count == 0 {
            return None;
        }
        let event_times = event_times.then(|| crate::memory::i64_bytes(&self.event_times).to_vec());
        Some(Outcome::Replace(Rows { count: self.count, event_times, columns: self.builder.finish() }))
    }
}

/// What a filter answers: a bitmap, or all, or nothing.
pub(crate) fn kept(bits: BitsBuilder) -> Outcome {
    match bits.count_set() {
        0 => Outcome::DropAll,
        set if set == bits.len() => Outcome::Unchanged,
        _ => Outcome::Keep(bits.finish()),
    }
}
