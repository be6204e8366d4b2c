//! Adds up `value` for each key and emits the sum at the end of input, but panics on values that leave `rest` when divided by
//! `every`, and in the timers of keys whose sum is a multiple of `timers`. A row that panics must leave no trace in the sum.

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp,
    data::Context,
    ports::{Key, Ports},
    state::{State, Value},
};

wasmill_sdk::export!(Keyed<Sum>);

#[derive(Config)]
struct Settings {
    every: i64,
    #[config(default = 0)]
    rest: i64,
    timers: Option<i64>,
}

#[derive(Row)]
struct Number {
    value: i64,
}

#[derive(Row)]
struct Total {
    total: i64,
}

#[derive(Ports)]
struct Outputs {
    totals: Key<Total>,
}

#[derive(State)]
struct Sums {
    total: Value<i64>,
}

struct Sum {
    settings: Settings,
}

impl KeyedOperator for Sum {
    type Config = Settings;
    type Input<'a> = Number;
    type State = Sums;
    type Output = Outputs;
    const TIMERS: bool = true;

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        Ok(Self { settings })
    }

    fn on_row(&mut self, number: Number, sums: &mut Sums, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        // First the effects, then the panic: they must not outlive it.
        *sums.total.get_or_insert(0) += number.value;
        ctx.set_timer(Timer::EventTime(Timestamp::END));
        assert!(number.value % self.settings.every != self.settings.rest, "the value {} is poison", number.value);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, sums: &mut Sums, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let total = sums.total.get_or(0);
        assert!(self.settings.timers.is_none_or(|timers| total % timers != 0), "the total {total} is poison");
        ctx.out.totals.emit(Total { total });
        Ok(())
    }
}
