//! Operators whose keys share what the rows of a second input say.

use alloc::{vec, vec::Vec};
use core::fmt;

use crate::{
    columns::Call,
    config::{self, Config},
    ctx::{Ctx, Timer},
    data::{Context, DataType, Descriptor, Failure, Input, Reads, Reply, TimeDomain},
    error::Error,
    keyed::{each, reads, run},
    memory::broken_contract,
    ports::Ports,
    row::{FieldDef, ReadRow, Row, types_in},
    state::{CellDef, Changes, Shared, State},
};

/// An operator that keeps state for each key of its first input, and, for all keys, what the rows of its second input say: rules,
/// rates, a list of names. Exported as `Broadcast<Self>`.
///
/// Every instance is given all rows of the second input and keeps a copy of what they say; the job file says
/// `inputs = [{ from = "payments", key_by = ["card"] }, { from = "limits", exchange = "broadcast" }]`. Nothing is said about the
/// order in which rows of the two inputs come, but that no timer fires before all rows of its time have come by both: whoever needs
/// the shared state of a time keeps rows until a timer of that time.
///
/// ```
/// use wasmill_sdk::{Broadcast, BroadcastOperator, Ctx, Error, Row, data::Context};
/// use wasmill_sdk::{ports::Pass, state::{Map, Shared, State, Value}};
///
/// #[derive(Row)]
/// struct Payment<'a> { country: &'a str, amount: f64 }
///
/// #[derive(Row, Clone)]
/// struct Limit<'a> { country: &'a str, total: f64 }
///
/// #[derive(State)]
/// struct Sum { total: Value<f64> }
///
/// #[derive(Shared)]
/// struct Limits { by_country: Map<String, f64> }
///
/// /// Passes payments on that bring the total of a card over the limit of a country.
/// struct OverLimit;
///
/// impl BroadcastOperator for OverLimit {
///     type Config = ();
///     type Input<'a> = Payment<'a>;
///     type SharedInput<'a> = Limit<'a>;
///     type State = Sum;
///     type Shared = Limits;
///     type Output = Pass;
///
///     fn open(_: (), _: &Context) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn on_row(&mut self, row: Payment<'_>, sum: &mut Sum, limits: &Limits, ctx: &mut Ctx<Pass>) -> Result<(), Error> {
///         let total = sum.total.get_or_insert(0.0);
///         *total += row.amount;
///         if limits.by_country.get(row.country).is_some_and(|limit| *total > limit) {
///             ctx.out.emit();
///         }
///         Ok(())
///     }
///
///     fn on_shared_row(&mut self, row: Limit<'_>, limits: &mut Limits) -> Result<(), Error> {
///         limits.by_country.insert(row.country.to_owned(), row.total);
///         Ok(())
///     }
/// }
///
/// wasmill_sdk::export!(Broadcast<OverLimit>);
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In a test:
/// use wasmill_sdk::testing::Harness;
/// #[derive(Row, Clone, Debug, PartialEq)]
/// struct Paid { card: i64, country: String, amount: f64 }
/// let paid = |card, amount| Paid { card, country: "PL".to_owned(), amount };
///
/// let setup = Harness::<Broadcast<OverLimit>>::setup().keyed_input::<Paid>(&["card"]).input::<Limit>();
/// let mut harness = setup.open()?;
/// harness.process_shared([Limit { country: "PL", total: 100.0 }])?;
/// harness.process([paid(1, 70.0), paid(2, 90.0), paid(1, 40.0)])?;
/// assert_eq!(harness.take::<Paid>("out"), [paid(1, 40.0)]);
/// # Ok(())
/// # }
/// ```
pub trait BroadcastOperator: Sized + 'static {
    /// Its configuration; `()` if it has none.
    type Config: Config;
    /// The columns it reads of its first input; `()` if none.
    type Input<'a>: ReadRow<'a>;
    /// The columns it reads of its second input.
    type SharedInput<'a>: ReadRow<'a>;
    /// What it keeps for each key; `()` if nothing.
    type State: State;
    /// What it keeps for all keys.
    type Shared: Shared;
    /// Where rows leave: a port or a struct of ports.
    type Output: Ports;

    /// Whether it sets timers.
    const TIMERS: bool = false;
    /// Whether it wants [`Ctx::event_time`] of rows.
    const EVENT_TIMES: bool = false;
    /// Whether [`Self::prefetch`] and [`Self::prefetch_timer`] say what will be read of lists and maps.
    const PREFETCH: bool = false;

    /// Whether the configuration makes sense on these inputs, asked before a job starts. An error refuses the job.
    fn check(_config: &Self::Config, _input: &Input, _shared_input: &Input) -> Result<(), Error> {
        Ok(())
    }

    /// Called once in every new instance.
    fn open(config: Self::Config, context: &Context) -> Result<Self, Error>;

    /// Handles a row of a key.
    fn on_row(
        &mut self,
        row: Self::Input<'_>,
        state: &mut Self::State,
        shared: &Self::Shared,
        ctx: &mut Ctx<Self::Output>,
    ) -> Result<(), Error>;

    /// Handles a row of the second input. Every instance is given it, and must make the same of it: nothing but the row and what is
    /// shared may count. For the same reason nothing can be emitted.
    fn on_shared_row(&mut self, row: Self::SharedInput<'_>, shared: &mut Self::Shared) -> Result<(), Error>;

    /// Handles a timer of a key that is due.
    fn on_timer(
        &mut self,
        _timer: Timer,
        _state: &mut Self::State,
        _shared: &Self::Shared,
        _ctx: &mut Ctx<Self::Output>,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Says what [`Self::on_row`] will read of lists and maps, before any row of the call is handled: all of it is then read at once.
    /// See [`KeyedOperator::prefetch`](crate::KeyedOperator::prefetch).
    fn prefetch(&self, _row: &Self::Input<'_>, _state: &Self::State, _shared: &Self::Shared) {}

    /// Says what [`Self::on_timer`] will read of lists and maps, before any timer of the call is handled.
    fn prefetch_timer(&self, _timer: Timer, _state: &Self::State, _shared: &Self::Shared) {}
}

/// Runs a [`BroadcastOperator`].
pub struct Broadcast<B: BroadcastOperator> {
    operator: B,
    types: Vec<DataType>,
    shared_types: Vec<DataType>,
    event_times: bool,
}

impl<B: BroadcastOperator> fmt::Debug for Broadcast<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("types", &self.types).finish_non_exhaustive()
    }
}

/// The columns it reads of its first input.
fn fields<B: BroadcastOperator>() -> &'static [FieldDef] {
    <B::Input<'static> as Row>::FIELDS
}

/// The columns it reads of its second input.
fn shared_fields<B: BroadcastOperator>() -> &'static [FieldDef] {
    <B::SharedInput<'static> as Row>::FIELDS
}

fn two(inputs: &[Input]) -> Result<(&Input, &Input), Error> {
    match inputs {
        [input, shared] => Ok((input, shared)),
        _ => Err(Error::new("the operator has two inputs: a keyed one, and one that is broadcast")),
    }
}

impl<B: BroadcastOperator> crate::Operator for Broadcast<B> {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let (input, shared_input) = two(inputs)?;
        let config: B::Config = config::parse(config).map_err(Error::new)?;
        types_in(fields::<B>(), &config, input).map_err(Error::new)?;
        types_in(shared_fields::<B>(), &config, shared_input).map_err(Error::new)?;
        B::check(&config, input, shared_input)?;
        let ports = B::Output::describe(&config, input.event_times);
        let reads = reads(fields::<B>(), &config, input, B::EVENT_TIMES, &ports);
        let shared_reads = Reads::columns(shared_fields::<B>().iter().map(|field| config.rename(field.name)));
        let cells = B::State::CELLS.iter().chain(B::Shared::CELLS).map(CellDef::describe).collect();
        Ok(Descriptor { cells, timers: B::TIMERS, ..Descriptor::new(vec![reads, shared_reads], ports) })
    }

    fn open(context: &Context) -> Result<Self, Error> {
        let (input, shared_input) = two(&context.inputs)?;
        let config: B::Config = config::parse(&context.config).map_err(Error::new)?;
        let types = types_in(fields::<B>(), &config, input).map_err(Error::new)?;
        let shared_types = types_in(shared_fields::<B>(), &config, shared_input).map_err(Error::new)?;
        Ok(Self { operator: B::open(config, context)?, types, shared_types, event_times: input.event_times })
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        match call.input {
            0 => self.on_rows(call),
            1 => self.on_shared_rows(call),
            _ => broken_contract(),
        }
    }

    fn on_timers(&mut self, domain: TimeDomain, due: &Call<'_>) -> Result<Reply, Failure> {
        let operator = &mut self.operator;
        let (states, shared) = (B::State::load(&due.state), load_shared::<B>());
        if B::PREFETCH {
            let timer = |time| Timer::new(domain, time);
            each(due, &states, |_, time, state| operator.prefetch_timer(timer(time), state, &shared));
            B::State::fetch(&states);
            shared.fetch();
        }
        run(due, states, self.event_times, |_, time, state, ctx| {
            operator.on_timer(Timer::new(domain, time), state, &shared, ctx)
        })
    }
}

impl<B: BroadcastOperator> Broadcast<B> {
    fn on_rows(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let reader = B::Input::open(&call.rows, &self.types);
        let operator = &mut self.operator;
        let (states, shared) = (B::State::load(&call.state), load_shared::<B>());
        if B::PREFETCH {
            each(call, &states, |row, _, state| operator.prefetch(&B::Input::read(&reader, row), state, &shared));
            B::State::fetch(&states);
            shared.fetch();
        }
        run(call, states, self.event_times, |row, _, state, ctx| {
            operator.on_row(B::Input::read(&reader, row), state, &shared, ctx)
        })
    }

    fn on_shared_rows(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let reader = B::SharedInput::open(&call.rows, &self.shared_types);
        let mut shared = load_shared::<B>();
        for row in 0..call.rows.count() {
            let handled = self.operator.on_shared_row(B::SharedInput::read(&reader, row), &mut shared);
            handled.map_err(|error| error.at_row(row as u32))?;
        }
        let Changes { entries, .. } = shared.changes();
        Ok(Reply { entries, ..Reply::none() })
    }
}

/// What all keys share stands behind what each key has.
fn load_shared<B: BroadcastOperator>() -> B::Shared {
    B::Shared::load(B::State::CELLS.len() as u32)
}
