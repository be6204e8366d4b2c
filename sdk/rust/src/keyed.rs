//! Operators with state and timers a key.

use alloc::vec::Vec;
use core::fmt;

use crate::{
    Timestamp,
    columns::{Call, time_at},
    config::{self, Config},
    ctx::{Ctx, Timer},
    data::{Context, DataType, Descriptor, Failure, Input, Port, Reads, Reply, TimeDomain},
    error::Error,
    memory::broken_contract,
    ports::Ports,
    row::{FieldDef, ReadRow, Row, types_in},
    state::{CellDef, Changes, State},
};

/// An operator that keeps state for each key, and may set timers. Exported as `Keyed<Self>`.
///
/// ```
/// use wasmill_sdk::{Config, Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp, data::Context};
/// use wasmill_sdk::{ports::Key, state::{State, Value}};
///
/// #[derive(Row)]
/// struct Payment { amount: f64 }
///
/// #[derive(Row, Debug, PartialEq)]
/// struct Total { total: f64 }
///
/// #[derive(State)]
/// struct Sum { total: Value<f64> }
///
/// /// Sums up the payments of each key and tells at the end of all input.
/// struct Totals;
///
/// impl KeyedOperator for Totals {
///     type Config = ();
///     type Input<'a> = Payment;
///     type State = Sum;
///     type Output = Key<Total>;
///     const TIMERS: bool = true;
///
///     fn open(_: (), _: &Context) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn on_row(&mut self, row: Payment, state: &mut Sum, ctx: &mut Ctx<Key<Total>>) -> Result<(), Error> {
///         if state.total.is_empty() {
///             ctx.set_timer(Timer::EventTime(Timestamp::END));
///         }
///         *state.total.get_or_insert(0.0) += row.amount;
///         Ok(())
///     }
///
///     fn on_timer(&mut self, _: Timer, state: &mut Sum, ctx: &mut Ctx<Key<Total>>) -> Result<(), Error> {
///         ctx.out.emit(Total { total: state.total.get_or(0.0) });
///         Ok(())
///     }
/// }
///
/// wasmill_sdk::export!(Keyed<Totals>);
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In a test:
/// use wasmill_sdk::testing::Harness;
/// #[derive(Row, Clone)]
/// struct Paid { card: i64, amount: f64 }
/// #[derive(Row, Debug, PartialEq)]
/// struct Out { card: i64, total: f64 }
///
/// let mut harness = Harness::<Keyed<Totals>>::setup().keyed_input::<Paid>(&["card"]).open()?;
/// harness.process([Paid { card: 1, amount: 2.0 }, Paid { card: 2, amount: 5.0 }, Paid { card: 1, amount: 0.5 }])?;
/// harness.finish()?;
/// assert_eq!(harness.take::<Out>("out"), [Out { card: 1, total: 2.5 }, Out { card: 2, total: 5.0 }]);
/// # Ok(())
/// # }
/// ```
pub trait KeyedOperator: Sized + 'static {
    /// Its configuration; `()` if it has none.
    type Config: Config;
    /// The columns it reads; `()` if none.
    type Input<'a>: ReadRow<'a>;
    /// What it keeps for each key; `()` if nothing.
    type State: State;
    /// Where rows leave: a port or a struct of ports.
    type Output: Ports;

    /// Whether it sets timers.
    const TIMERS: bool = false;
    /// Whether it wants [`Ctx::event_time`] of rows.
    const EVENT_TIMES: bool = false;
    /// Whether [`Self::prefetch`] and [`Self::prefetch_timer`] say what will be read of lists and maps.
    const PREFETCH: bool = false;

    /// Whether the configuration makes sense on this input, asked before a job starts. An error refuses the job.
    fn check(_config: &Self::Config, _input: &Input) -> Result<(), Error> {
        Ok(())
    }

    /// Called once in every new instance.
    fn open(config: Self::Config, context: &Context) -> Result<Self, Error>;

    /// Handles a row of a key.
    fn on_row(
        &mut self,
        row: Self::Input<'_>,
        state: &mut Self::State,
        ctx: &mut Ctx<Self::Output>,
    ) -> Result<(), Error>;

    /// Handles a timer of a key that is due.
    fn on_timer(&mut self, _timer: Timer, _state: &mut Self::State, _ctx: &mut Ctx<Self::Output>) -> Result<(), Error> {
        Ok(())
    }

    /// Says what [`Self::on_row`] will read of lists and maps, before any row of the call is handled: all of it is then read at once,
    /// instead of one request to the host after another. Only called if [`Self::PREFETCH`] says so; saying too little or too
    /// much changes no result.
    ///
    /// ```
    /// # use wasmill_sdk::{Ctx, Error, KeyedOperator, Row, data::Context, ports::Pass, state::{List, Map, State}};
    /// # #[derive(Row)] struct Payment { shop: i64, amount: f64 }
    /// # #[derive(State)] struct Card { by_shop: Map<i64, f64>, recent: List<f64> }
    /// # struct Unusual;
    /// # impl KeyedOperator for Unusual {
    /// # type Config = (); type Input<'a> = Payment; type State = Card; type Output = Pass;
    /// # fn open(_: (), _: &Context) -> Result<Self, Error> { Ok(Self) }
    /// const PREFETCH: bool = true;
    ///
    /// fn prefetch(&self, payment: &Payment, card: &Card) {
    ///     card.by_shop.want(&payment.shop);
    ///     card.recent.want_last(10);
    /// }
    ///
    /// fn on_row(&mut self, payment: Payment, card: &mut Card, ctx: &mut Ctx<Pass>) -> Result<(), Error> {
    ///     let most = card.recent.last(10).fold(0.0, f64::max);
    ///     if payment.amount > 2.0 * most && !card.by_shop.contains(&payment.shop) {
    ///         ctx.out.emit();
    ///     }
    ///     *card.by_shop.get_or_insert(payment.shop, 0.0) += payment.amount;
    ///     card.recent.push(payment.amount);
    ///     Ok(())
    /// }
    /// # }
    /// ```
    fn prefetch(&self, _row: &Self::Input<'_>, _state: &Self::State) {}

    /// Says what [`Self::on_timer`] will read of lists and maps, before any timer of the call is handled.
    fn prefetch_timer(&self, _timer: Timer, _state: &Self::State) {}
}

/// Runs a [`KeyedOperator`]: reads the state of the keys of a call once, handles its rows, and says what has changed.
pub struct Keyed<K: KeyedOperator> {
    operator: K,
    types: Vec<DataType>,
    event_times: bool,
}

impl<K: KeyedOperator> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("types", &self.types).finish_non_exhaustive()
    }
}

/// The columns a keyed operator reads.
fn fields<K: KeyedOperator>() -> &'static [FieldDef] {
    <K::Input<'static> as Row>::FIELDS
}

impl<K: KeyedOperator> crate::Operator for Keyed<K> {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        let config: K::Config = config::parse(config).map_err(Error::new)?;
        types_in(fields::<K>(), &config, input).map_err(Error::new)?;
        K::check(&config, input)?;
        let ports = K::Output::describe(&config, input.event_times);
        let reads = reads(fields::<K>(), &config, input, K::EVENT_TIMES, &ports);
        let cells = K::State::CELLS.iter().map(CellDef::describe).collect();
        Ok(Descriptor { cells, timers: K::TIMERS, ..Descriptor::new(alloc::vec![reads], ports) })
    }

    fn open(context: &Context) -> Result<Self, Error> {
        let [input] = context.inputs.as_slice() else { return Err(Error::new("the operator has one input")) };
        let config: K::Config = config::parse(&context.config).map_err(Error::new)?;
        let types = types_in(fields::<K>(), &config, input).map_err(Error::new)?;
        Ok(Self { operator: K::open(config, context)?, types, event_times: input.event_times })
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let reader = K::Input::open(&call.rows, &self.types);
        let operator = &mut self.operator;
        let states = K::State::load(&call.state);
        if K::PREFETCH {
            each(call, &states, |row, _, state| operator.prefetch(&K::Input::read(&reader, row), state));
            K::State::fetch(&states);
        }
        run(call, states, self.event_times, |row, _, state, ctx| {
            operator.on_row(K::Input::read(&reader, row), state, ctx)
        })
    }

    fn on_timers(&mut self, domain: TimeDomain, due: &Call<'_>) -> Result<Reply, Failure> {
        let operator = &mut self.operator;
        let states = K::State::load(&due.state);
        if K::PREFETCH {
            each(due, &states, |_, time, state| operator.prefetch_timer(Timer::new(domain, time), state));
            K::State::fetch(&states);
        }
        run(due, states, self.event_times, |_, time, state, ctx| {
            operator.on_timer(Timer::new(domain, time), state, ctx)
        })
    }
}

/// What a keyed input reads: these columns, and event times if the operator wants them or its rows need them.
pub(crate) fn reads(
    fields: &[FieldDef],
    config: &impl Config,
    input: &Input,
    event_times: bool,
    ports: &[Port],
) -> Reads {
    let mut reads = Reads::columns(fields.iter().map(|field| config.rename(field.name))).keyed();
    reads.event_times = input.event_times && (event_times || ports.iter().any(|port| port.event_times));
    reads
}

/// Looks at each row of a call, and at the state of its key.
#[inline]
pub(crate) fn each<S: State>(call: &Call<'_>, states: &[S], mut look: impl FnMut(usize, Timestamp, &S)) {
    let times = call.rows.event_times();
    for (row, &group) in call.keys().of_rows().iter().enumerate() {
        let Some(state) = states.get(group as usize) else { broken_contract() };
        look(row, time_at(times, row), state);
    }
}

/// Hands over each row of a call with its key's state, and says what has changed.
#[inline]
pub(crate) fn run<S: State, P: Ports>(
    call: &Call<'_>,
    mut states: Vec<S>,
    event_times: bool,
    mut handle: impl FnMut(usize, Timestamp, &mut S, &mut Ctx<P>) -> Result<(), Error>,
) -> Result<Reply, Failure> {
    let times = call.rows.event_times();
    let mut ctx = Ctx::new();
    for (row, &group) in call.keys().of_rows().iter().enumerate() {
        let Some(state) = states.get_mut(group as usize) else { broken_contract() };
        let time = time_at(times, row);
        ctx.begin(row as u32, group, time);
        handle(row, time, state, &mut ctx).map_err(|error| error.at_row(row as u32))?;
    }
    let Changes { cells, entries } = S::changes(&states);
    Ok(Reply { cells, entries, ..ctx.finish(call.rows.count(), event_times) })
}
