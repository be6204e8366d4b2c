//! Operators with state and timers a key.

use alloc::vec::Vec;
use core::fmt;

use crate::{
    Timestamp,
    build::numbers,
    columns::{Call, time_at},
    config::{self, Config},
    data::{Context, DataType, Descriptor, Failure, Input, Reads, Reply, TimeDomain, TimerAction, TimerChanges},
    error::Error,
    memory::{broken_contract, i64_bytes},
    ports::Ports,
    row::{ReadRow, Row, types_in},
    state::State,
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
}

/// A moment on one of the two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The clock that advances with the watermark. At [`Timestamp::END`] all input has ended.
    EventTime(Timestamp),
    /// The host's clock.
    ProcessingTime(Timestamp),
}

/// What a row or a timer of a keyed operator happens in: where output goes, the time, and the key's timers.
#[derive(Debug)]
pub struct Ctx<P> {
    /// The operator's output.
    pub out: P,
    group: u32,
    event_time: Timestamp,
    timers: TimerLists,
}

impl<P: Ports> Ctx<P> {
    fn new() -> Self {
        Self { out: P::default(), group: 0, event_time: Timestamp::MIN, timers: TimerLists::default() }
    }

    #[inline]
    fn begin(&mut self, row: u32, group: u32, event_time: Timestamp) {
        self.group = group;
        self.event_time = event_time;
        self.out.begin(row, event_time);
    }

    /// The event time of the row, or the time of the timer; `None` if the rows have none, or the operator did not ask for it
    /// by [`KeyedOperator::EVENT_TIMES`].
    pub fn event_time(&self) -> Option<Timestamp> {
        (self.event_time != Timestamp::MIN).then_some(self.event_time)
    }

    /// Sets a timer for the key of the row. Setting it twice is setting it once; one that is due already fires soon.
    #[inline]
    pub fn set_timer(&mut self, timer: Timer) {
        self.timers.push(TimerAction::Set, timer, self.group);
    }

    /// Clears a timer of the key, if it is set.
    #[inline]
    pub fn clear_timer(&mut self, timer: Timer) {
        self.timers.push(TimerAction::Clear, timer, self.group);
    }

    fn finish(self, rows: usize, event_times: bool) -> Reply {
        Reply { emissions: self.out.finish(rows, event_times), timers: self.timers.finish(), ..Reply::none() }
    }
}

/// Timers in the order they were set or cleared, in runs of the same kind.
#[derive(Debug, Default)]
struct TimerLists {
    closed: Vec<TimerChanges>,
    run: Option<(TimeDomain, TimerAction)>,
    groups: Vec<u32>,
    times: Vec<i64>,
}

impl TimerLists {
    #[inline]
    fn push(&mut self, action: TimerAction, timer: Timer, group: u32) {
        let (domain, time) = match timer {
            Timer::EventTime(time) => (TimeDomain::EventTime, time),
            Timer::ProcessingTime(time) => (TimeDomain::ProcessingTime, time),
        };
        if self.run != Some((domain, action)) {
            self.close();
            self.run = Some((domain, action));
        }
        self.groups.push(group);
        self.times.push(time.0);
    }

    fn close(&mut self) {
        let Some((domain, action)) = self.run.take() else { return };
        let (groups, times) = (numbers(&self.groups), i64_bytes(&self.times).to_vec());
        self.closed.push(TimerChanges { domain, action, groups, times });
        self.groups.clear();
        self.times.clear();
    }

    fn finish(mut self) -> Vec<TimerChanges> {
        self.close();
        self.closed
    }
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
fn fields<K: KeyedOperator>() -> &'static [crate::row::FieldDef] {
    <K::Input<'static> as Row>::FIELDS
}

impl<K: KeyedOperator> crate::Operator for Keyed<K> {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        let config: K::Config = config::parse(config).map_err(Error::new)?;
        types_in(fields::<K>(), &config, input).map_err(Error::new)?;
        K::check(&config, input)?;
        let ports = K::Output::describe(&config, input.event_times);
        let mut reads = Reads::columns(fields::<K>().iter().map(|field| config.rename(field.name))).keyed();
        reads.event_times = input.event_times && (K::EVENT_TIMES || ports.iter().any(|port| port.event_times));
        let cells = K::State::CELLS.iter().map(|cell| cell.describe()).collect();
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
        run::<K>(call, self.event_times, |row, _, state, ctx| operator.on_row(K::Input::read(&reader, row), state, ctx))
    }

    fn on_timers(&mut self, domain: TimeDomain, due: &Call<'_>) -> Result<Reply, Failure> {
        let operator = &mut self.operator;
        run::<K>(due, self.event_times, |_, time, state, ctx| {
            let timer = match domain {
                TimeDomain::EventTime => Timer::EventTime(time),
                TimeDomain::ProcessingTime => Timer::ProcessingTime(time),
            };
            operator.on_timer(timer, state, ctx)
        })
    }
}

/// Hands over each row of a call with its key's state.
#[inline]
fn run<K: KeyedOperator>(
    call: &Call<'_>,
    event_times: bool,
    mut handle: impl FnMut(usize, Timestamp, &mut K::State, &mut Ctx<K::Output>) -> Result<(), Error>,
) -> Result<Reply, Failure> {
    let mut states = K::State::load(&call.state);
    let times = call.rows.event_times();
    let mut ctx = Ctx::new();
    for (row, &group) in call.keys().of_rows().iter().enumerate() {
        let Some(state) = states.get_mut(group as usize) else { broken_contract() };
        let time = time_at(times, row);
        ctx.begin(row as u32, group, time);
        handle(row, time, state, &mut ctx).map_err(|error| error.at_row(row as u32))?;
    }
    Ok(Reply { cells: K::State::changes(&states), ..ctx.finish(call.rows.count(), event_times) })
}
