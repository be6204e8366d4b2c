//! Counts the rows of each key, and takes mean and maximum of a column. The README says how to configure it.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp,
    data::Context,
    ports::{Key, Ports},
    prelude::*,
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<DelayStatistics>);

#[derive(Config)]
struct Settings {
    /// The column, `int64`.
    #[config(default = "delay", renames = "delay")]
    column: String,
    /// Name of the number of rows.
    #[config(default = "flights", renames = "flights")]
    count: String,
    /// Name of the mean: the exact sum over the count of values, null if all were null.
    #[config(default = "mean_delay", renames = "mean_delay")]
    mean: String,
    /// Name of the maximum.
    #[config(default = "max_delay", renames = "max_delay")]
    max: String,
}

#[derive(Row)]
struct Flight {
    delay: Option<i64>,
}

#[derive(Row)]
struct Statistics {
    flights: i64,
    mean_delay: Option<f64>,
    max_delay: Option<i64>,
}

#[derive(Ports)]
struct Outputs {
    statistics: Key<Statistics>,
}

#[derive(State)]
struct Seen {
    /// All rows.
    flights: Value<i64>,
    /// Rows whose delay is known.
    known: Value<i64>,
    sum: Value<i64>,
    max: Value<i64>,
}

struct DelayStatistics;

impl KeyedOperator for DelayStatistics {
    type Config = Settings;
    type Input<'a> = Flight;
    type State = Seen;
    type Output = Outputs;
    const TIMERS: bool = true;

    fn open(_: Settings, _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_row(&mut self, flight: Flight, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        if seen.flights.is_empty() {
            ctx.set_timer(Timer::EventTime(Timestamp::END));
        }
        *seen.flights.get_or_insert(0) += 1;
        let Some(delay) = flight.delay else { return Ok(()) };
        let sum = seen.sum.get_or(0).checked_add(delay);
        seen.sum.set(sum.ok_or_else(|| Error::new("the sum of delays is beyond 64 bits"))?);
        *seen.known.get_or_insert(0) += 1;
        if seen.max.get().is_none_or(|&max| delay > max) {
            seen.max.set(delay);
        }
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        ctx.out.statistics.emit(Statistics {
            flights: seen.flights.get_or(0),
            mean_delay: seen.known.get().map(|&known| seen.sum.get_or(0) as f64 / known as f64),
            max_delay: seen.max.get().copied(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row, Clone)]
    struct Departure<'a> {
        carrier: &'a str,
        delay: Option<i64>,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Of {
        carrier: String,
        flights: i64,
        mean_delay: Option<f64>,
        max_delay: Option<i64>,
    }

    fn departures() -> Vec<Departure<'static>> {
        let all = [("AA", Some(10)), ("UA", None), ("AA", Some(-4)), ("AA", None), ("DL", Some(-7)), ("AA", Some(1))];
        all.into_iter().map(|(carrier, delay)| Departure { carrier, delay }).collect()
    }

    fn of(carrier: &str, flights: i64, mean_delay: Option<f64>, max_delay: Option<i64>) -> Of {
        Of { carrier: carrier.to_owned(), flights, mean_delay, max_delay }
    }

    #[test]
    fn a_missing_delay_counts_as_a_flight_only() {
        let expect =
            [of("AA", 4, Some(7.0 / 3.0), Some(10)), of("DL", 1, Some(-7.0), Some(-7)), of("UA", 1, None, None)];
        for rows_per_call in [1, 2, 6] {
            let mut harness = Harness::<Keyed<DelayStatistics>>::setup()
                .keyed_input::<Departure>(&["carrier"])
                .open()
                .expect("it opens");
            for rows in departures().chunks(rows_per_call) {
                harness.process(rows.iter().cloned()).expect("no row fails");
            }
            harness.finish().expect("no timer fails");
            assert_eq!(harness.take::<Of>("statistics"), expect, "{rows_per_call} rows a call");
        }
    }

    #[test]
    fn columns_can_be_named() {
        #[derive(Row)]
        struct Ride {
            city: i64,
            minutes: i64,
        }
        #[derive(Row, Debug, PartialEq)]
        struct Rides {
            city: i64,
            n: i64,
            avg: Option<f64>,
            top: Option<i64>,
        }
        let mut harness = Harness::<Keyed<DelayStatistics>>::setup()
            .config(r#"{"column":"minutes","count":"n","mean":"avg","max":"top"}"#)
            .keyed_input::<Ride>(&["city"])
            .open()
            .expect("it opens");
        harness.process([Ride { city: 3, minutes: 8 }]).expect("no row fails");
        harness.finish().expect("no timer fails");
        assert_eq!(harness.take::<Rides>("statistics"), [Rides { city: 3, n: 1, avg: Some(8.0), top: Some(8) }]);
    }

    #[test]
    fn an_overflow_fails_with_its_row() {
        let mut harness =
            Harness::<Keyed<DelayStatistics>>::setup().keyed_input::<Departure>(&["carrier"]).open().expect("it opens");
        let row = |delay| Departure { carrier: "AA", delay: Some(delay) };
        let failure = harness.process([row(1), row(i64::MAX)]).expect_err("the sum is too large");
        assert_eq!((failure.row, failure.fatal), (Some(1), false));
    }
}
