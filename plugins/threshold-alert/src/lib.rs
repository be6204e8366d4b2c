//! Emits the rows whose value lies above a threshold, or far above the moving average of its key. The README says how to
//! configure it.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Number, Row,
    data::Context,
    ports::{Extend, Ports},
    prelude::*,
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<ThresholdAlert>);

#[derive(Config)]
struct Settings {
    /// The column to watch, `int64` or `float64`.
    #[config(default = "value", renames = "value")]
    column: String,
    /// Weight of the newest value in the moving average, above 0 and up to 1.
    #[config(default = 0.1)]
    alpha: f64,
    /// Values above this many times the average are emitted. It, `threshold` or both must be given.
    factor: Option<f64>,
    /// Values above this are emitted.
    threshold: Option<f64>,
    /// Values of a key to have seen before `factor` counts.
    #[config(default = 10)]
    warm_up: i64,
}

#[derive(Row)]
struct Reading {
    value: Number,
}

#[derive(Row)]
struct Alert {
    /// The average before this value.
    average: f64,
    /// The value over the average; 0 if the average is 0.
    ratio: f64,
}

#[derive(Ports)]
struct Outputs {
    alerts: Extend<Alert>,
}

#[derive(State)]
struct Seen {
    average: Value<f64>,
    count: Value<i64>,
}

struct ThresholdAlert {
    settings: Settings,
}

impl KeyedOperator for ThresholdAlert {
    type Config = Settings;
    type Input<'a> = Reading;
    type State = Seen;
    type Output = Outputs;

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        if settings.alpha <= 0.0 || settings.alpha > 1.0 {
            return Err(Error::new("`alpha` must lie above 0 and not above 1"));
        }
        if settings.factor.is_none() && settings.threshold.is_none() {
            return Err(Error::new("`factor`, `threshold` or both must be given"));
        }
        Ok(Self { settings })
    }

    fn on_row(&mut self, reading: Reading, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let Number(value) = reading.value;
        let Settings { alpha, factor, threshold, warm_up, .. } = self.settings;
        let (average, count) = (seen.average.get_or(value), seen.count.get_or(0));
        let is_far = count >= warm_up && factor.is_some_and(|factor| value > factor * average);
        if is_far || threshold.is_some_and(|threshold| value > threshold) {
            let ratio = if average == 0.0 { 0.0 } else { value / average };
            ctx.out.alerts.emit(Alert { average, ratio });
        }
        seen.average.set(average + alpha * (value - average));
        seen.count.set(count + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row, Clone, Debug, PartialEq)]
    struct Load {
        host: i64,
        value: f64,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Told {
        host: i64,
        value: f64,
        average: f64,
        ratio: f64,
    }

    fn told(config: &str, loads: &[(i64, f64)]) -> Vec<Told> {
        let setup = Harness::<Keyed<ThresholdAlert>>::setup().config(config).keyed_input::<Load>(&["host"]);
        let mut harness = setup.open().expect("it opens");
        harness.process(loads.iter().map(|&(host, value)| Load { host, value })).expect("no row fails");
        harness.take("alerts")
    }

    #[test]
    fn values_above_the_threshold_are_told() {
        let alerts = told(r#"{"threshold":5,"alpha":0.5}"#, &[(1, 4.0), (1, 8.0), (2, 5.0), (1, 6.0)]);
        let expect = [
            Told { host: 1, value: 8.0, average: 4.0, ratio: 2.0 },
            Told { host: 1, value: 6.0, average: 6.0, ratio: 1.0 },
        ];
        assert_eq!(alerts, expect);
    }

    #[test]
    fn values_far_above_the_average_are_told_after_the_warm_up() {
        let loads = [(1, 2.0), (1, 8.0), (2, 2.0), (1, 20.0), (1, 11.0)];
        let alerts = told(r#"{"factor":2,"warm_up":2,"alpha":0.5}"#, &loads);
        assert_eq!(alerts, [Told { host: 1, value: 20.0, average: 5.0, ratio: 4.0 }]);
    }

    #[test]
    fn whole_numbers_are_read_too() {
        #[derive(Row)]
        struct Count<'a> {
            key: &'a str,
            n: i64,
        }
        #[derive(Row, Debug, PartialEq)]
        struct Ratio {
            n: i64,
            ratio: f64,
        }
        let mut harness = Harness::<Keyed<ThresholdAlert>>::setup()
            .config(r#"{"threshold":1,"column":"n"}"#)
            .keyed_input::<Count>(&["key"])
            .open()
            .expect("it opens");
        harness.process([Count { key: "a", n: 1 }, Count { key: "a", n: 3 }]).expect("no row fails");
        assert_eq!(harness.take::<Ratio>("alerts"), [Ratio { n: 3, ratio: 3.0 }]);
    }

    #[test]
    fn wrong_settings_are_refused() {
        let check = |config: &str, message: &str| {
            let setup = Harness::<Keyed<ThresholdAlert>>::setup().config(config).keyed_input::<Load>(&["host"]);
            assert_eq!(setup.open().expect_err(message), message);
        };
        check("{}", "`factor`, `threshold` or both must be given");
        check(r#"{"factor":2,"alpha":0}"#, "`alpha` must lie above 0 and not above 1");
        check(r#"{"factor":"2"}"#, "factor: expected a number, found a string");
    }
}
