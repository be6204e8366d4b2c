//! An operator on whole columns, and how a component hands its calls over.

use alloc::vec::Vec;

use crate::{
    columns::Call,
    data::{self, Context, Descriptor, Failure, Input, Notice, Reply, TimeDomain},
    error::Error,
};

/// An operator that works on whole columns. Row functions ([`filter`](crate::filter), [`map`](crate::map),
/// [`flat_map`](crate::flat_map)) and [`Keyed`](crate::Keyed) operators are made into one by the SDK.
///
/// ```
/// use wasmill_sdk::{Call, Error, Operator, data::{Context, DataType, Descriptor, Failure, Field, Input, Outcome, Port, Reads, Reply, Shape, Extended}};
///
/// /// Adds `total`, the running sum of a column within a call.
/// struct Sum;
///
/// impl Operator for Sum {
///     fn describe(_config: &str, _inputs: &[Input]) -> Result<Descriptor, Error> {
///         let columns = vec![Field::new("total", DataType::Int64)];
///         Ok(Descriptor::stateless(Reads::columns(["amount"]), Shape::Extend(Extended { input: 0, columns })))
///     }
///
///     fn open(_context: &Context) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
///         let sums = call.rows.i64s(0).iter().scan(0, |sum, amount| {
///             *sum += amount;
///             Some(*sum)
///         });
///         Ok(Reply::rows(Outcome::extend(vec![wasmill_sdk::data::Column::from_i64s(sums)])))
///     }
/// }
///
/// wasmill_sdk::export!(Sum);
/// # fn main() {}
/// ```
pub trait Operator: Sized + 'static {
    /// Says what the operator is under this configuration (JSON text) and on these inputs. Must depend on these alone.
    /// An error refuses the job.
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error>;

    /// Called once in every new instance. An error fails the job.
    fn open(context: &Context) -> Result<Self, Error>;

    /// Handles a batch of rows of one input. What it keeps in `self` is a cache: an instance may be replaced between
    /// any two calls.
    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure>;

    /// Handles timers that are due. Only called if the descriptor asks for it.
    fn on_timers(&mut self, _domain: TimeDomain, _due: &Call<'_>) -> Result<Reply, Failure> {
        Ok(Reply::none())
    }

    /// Handles a notice. Only called if the descriptor asks for it.
    fn on_notice(&mut self, _notice: Notice, _context: &Context) -> Result<Reply, Failure> {
        Ok(Reply::none())
    }
}

/// An operator and where it runs.
#[derive(Debug)]
pub(crate) struct Instance<O> {
    pub(crate) operator: O,
    pub(crate) context: Context,
}

impl<O: Operator> Instance<O> {
    pub(crate) fn open(context: Context) -> Result<Self, Error> {
        Ok(Self { operator: O::open(&context)?, context })
    }

    pub(crate) fn process(
        &mut self,
        input: u32,
        rows: data::Rows,
        groups: Option<data::Groups>,
        state: Vec<data::Column>,
    ) -> Result<Reply, Failure> {
        self.operator.process(&Call::new(input, rows, groups, state, &self.context))
    }

    pub(crate) fn on_timers(
        &mut self,
        domain: TimeDomain,
        due: data::Rows,
        groups: data::Groups,
        state: Vec<data::Column>,
    ) -> Result<Reply, Failure> {
        self.operator.on_timers(domain, &Call::new(0, due, Some(groups), state, &self.context))
    }

    pub(crate) fn on_notice(&mut self, notice: Notice) -> Result<Reply, Failure> {
        self.operator.on_notice(notice, &self.context)
    }
}

/// Makes an operator the component's. Once in a crate of type `cdylib`.
///
/// ```
/// #[derive(wasmill_sdk::Row)]
/// struct Bid { auction: i64 }
///
/// #[wasmill_sdk::filter]
/// fn every_tenth(bid: Bid) -> bool {
///     bid.auction % 10 == 0
/// }
///
/// wasmill_sdk::export!(every_tenth);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($operator:ty) => {
        #[cfg(target_family = "wasm")]
        $crate::__export_component!($operator);

        // So that a type that is no operator is refused in native builds too.
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::__assert_operator::<$operator>();
    };
}

#[doc(hidden)]
pub const fn __assert_operator<O: Operator>() {}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_component {
    ($operator:ty) => {
        const _: () = {
            use $crate::component::*;

            struct Component;

            static SLOT: $crate::runtime::Single<Slot<$operator>> = $crate::runtime::Single::new(Slot::empty());

            impl Guest for Component {
                fn describe(config: String, inputs: Vec<Input>) -> Result<Descriptor, String> {
                    Slot::<$operator>::describe(&config, &inputs)
                }

                fn open(context: Context) -> Result<(), String> {
                    SLOT.get().open(context)
                }

                fn process(
                    input: u32,
                    rows: Rows,
                    groups: Option<Groups>,
                    state: Vec<Column>,
                ) -> Result<Reply, Failure> {
                    SLOT.get().process(input, rows, groups, state)
                }

                fn on_timers(
                    domain: TimeDomain,
                    due: Rows,
                    groups: Groups,
                    state: Vec<Column>,
                ) -> Result<Reply, Failure> {
                    SLOT.get().on_timers(domain, due, groups, state)
                }

                fn on_notice(notice: Notice) -> Result<Reply, Failure> {
                    SLOT.get().on_notice(notice)
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
