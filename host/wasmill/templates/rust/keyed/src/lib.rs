//! Adds to each reading the average of its sensor so far.
//!
//! A keyed operator: what it must remember of a key stands in `Seen`, which the host keeps. Between two calls an instance
//! may be replaced, so nothing of a row may be kept in the operator itself.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Ctx, Error, Keyed, KeyedOperator, Row,
    data::Context,
    ports::{Extend, Ports},
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<RunningAverage>);

/// What is read of a row.
#[derive(Row)]
struct Reading {
    value: f64,
}

/// What is added to it.
#[derive(Row)]
struct Average {
    average: f64,
    readings: i64,
}

/// What is remembered of a key.
#[derive(State)]
struct Seen {
    sum: Value<f64>,
    readings: Value<i64>,
}

/// Where rows leave.
#[derive(Ports)]
struct Outputs {
    out: Extend<Average>,
}

struct RunningAverage;

impl KeyedOperator for RunningAverage {
    type Config = ();
    type Input<'a> = Reading;
    type State = Seen;
    type Output = Outputs;

    fn open((): (), _: &Context) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_row(&mut self, reading: Reading, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        if !reading.value.is_finite() {
            return Err(Error::new("the reading is no finite number"));
        }
        let sum = seen.sum.get_or(0.0) + reading.value;
        let readings = seen.readings.get_or(0) + 1;
        seen.sum.set(sum);
        seen.readings.set(readings);
        ctx.out.out.emit(Average { average: sum / readings as f64, readings });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row)]
    struct In {
        sensor: i64,
        value: f64,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Out {
        sensor: i64,
        average: f64,
        readings: i64,
    }

    #[test]
    fn each_sensor_has_its_average_whatever_the_instance() {
        let mut harness =
            Harness::<Keyed<RunningAverage>>::setup().keyed_input::<In>(&["sensor"]).open().expect("it opens");
        let row = |sensor, value| In { sensor, value };
        harness.process([row(1, 4.0), row(2, 1.0)]).expect("no row fails");
        harness.replace_instance().expect("it opens again");
        harness.process([row(1, 6.0)]).expect("no row fails");
        let out = |sensor, average, readings| Out { sensor, average, readings };
        assert_eq!(harness.take::<Out>("out"), [out(1, 4.0, 1), out(2, 1.0, 1), out(1, 5.0, 2)]);
    }
}
