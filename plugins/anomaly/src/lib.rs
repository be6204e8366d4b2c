//! Scores values by how many deviations they lie from the exponential moving average of their key. The README says how to
//! configure it.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Number, Row,
    data::{Context, Input},
    ports::{Extend, Ports},
    prelude::*,
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<Anomaly>);

#[derive(Config)]
struct Settings {
    /// The column to score, `int64` or `float64`.
    #[config(default = "value", renames = "value")]
    column: String,
    /// Weight of the newest value in mean and variance, above 0 and up to 1.
    #[config(default = 0.1)]
    alpha: f64,
    /// Scores at it or beyond, up or down, are alerts.
    #[config(default = 3.0)]
    threshold: f64,
    /// Values of a key to have seen before there is a score.
    #[config(default = 30)]
    warm_up: u32,
    /// The least deviation to measure by.
    #[config(default)]
    deviation_min: f64,
    /// Whether only alerts go on, or all rows.
    #[config(default = Emit::Alerts)]
    emit: Emit,
    /// Name of the new column with the mean before this value.
    #[config(default = "mean", renames = "mean")]
    mean: String,
    /// Name of the new column with the standard deviation before this value.
    #[config(default = "deviation", renames = "deviation")]
    deviation: String,
    /// Name of the new column with the score.
    #[config(default = "score", renames = "score")]
    score: String,
}

#[derive(Config, Clone, Copy, PartialEq)]
enum Emit {
    /// Rows whose score is at the threshold or beyond.
    Alerts,
    /// All rows.
    All,
}

#[derive(Row)]
struct Reading {
    value: Option<Number>,
}

#[derive(Row)]
struct Scored {
    /// Before this value.
    mean: Option<f64>,
    /// Before this value.
    deviation: Option<f64>,
    score: Option<f64>,
}

#[derive(Ports)]
struct Outputs {
    out: Extend<Scored>,
}

#[derive(State)]
struct Seen {
    count: Value<i64>,
    mean: Value<f64>,
    variance: Value<f64>,
}

struct Anomaly {
    settings: Settings,
}

impl KeyedOperator for Anomaly {
    type Config = Settings;
    type Input<'a> = Reading;
    type State = Seen;
    type Output = Outputs;

    fn check(settings: &Settings, _: &Input) -> Result<(), Error> {
        if !(settings.alpha > 0.0 && settings.alpha <= 1.0) {
            return Err(Error::new("`alpha` must lie above 0 and not above 1"));
        }
        if settings.threshold <= 0.0 {
            return Err(Error::new("`threshold` must lie above 0"));
        }
        if settings.deviation_min < 0.0 {
            return Err(Error::new("`deviation_min` must not be negative"));
        }
        Ok(())
    }

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        Ok(Self { settings })
    }

    fn on_row(&mut self, reading: Reading, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let count = seen.count.get_or(0);
        let (mean, variance) = (seen.mean.get_or(0.0), seen.variance.get_or(0.0));
        let known = (count > 0).then_some(mean);
        let deviation = known.map(|_| libm::sqrt(variance));
        let value = reading.value.map(|number| number.0).filter(|value| value.is_finite());
        let is_warm = count >= i64::from(self.settings.warm_up).max(1);
        let score = value.filter(|_| is_warm).map(|value| self.score(value - mean, libm::sqrt(variance)));
        let is_alert = score.is_some_and(|score| libm::fabs(score) >= self.settings.threshold);
        if is_alert || self.settings.emit == Emit::All {
            ctx.out.out.emit(Scored { mean: known, deviation, score });
        }
        let Some(value) = value else { return Ok(()) };
        let (mean, variance) = match known {
            Some(mean) => self.moved(value, mean, variance),
            None => (value, 0.0),
        };
        if !mean.is_finite() || !variance.is_finite() {
            return Err(Error::new(format!("the deviation of {value} is beyond the range of float64")));
        }
        seen.count.set(count.saturating_add(1));
        seen.mean.set(mean);
        seen.variance.set(variance);
        Ok(())
    }
}

impl Anomaly {
    /// Deviations between a value and the mean. Any distance is infinitely many of a deviation of 0.
    fn score(&self, distance: f64, deviation: f64) -> f64 {
        if distance == 0.0 { 0.0 } else { distance / deviation.max(self.settings.deviation_min) }
    }

    /// Mean and variance with one more value.
    fn moved(&self, value: f64, mean: f64, variance: f64) -> (f64, f64) {
        let distance = value - mean;
        let step = self.settings.alpha * distance;
        (mean + step, (1.0 - self.settings.alpha) * (variance + distance * step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row, Debug, Clone, PartialEq)]
    struct Load {
        host: i64,
        value: Option<f64>,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Told {
        value: Option<f64>,
        mean: Option<f64>,
        deviation: Option<f64>,
        score: Option<f64>,
    }

    /// Each row in a call and an instance of its own.
    fn told(config: &str, values: &[Option<f64>]) -> Vec<Told> {
        let setup = Harness::<Keyed<Anomaly>>::setup().config(config).keyed_input::<Load>(&["host"]);
        let mut harness = setup.open().expect("it opens");
        for &value in values {
            harness.process([Load { host: 1, value }]).expect("no row fails");
            harness.replace_instance().expect("it opens again");
        }
        harness.take("out")
    }

    fn row(value: Option<f64>, mean: Option<f64>, deviation: Option<f64>, score: Option<f64>) -> Told {
        Told { value, mean, deviation, score }
    }

    #[test]
    fn all_rows_have_what_was_known_before_them() {
        let all = told(
            r#"{"emit":"all","alpha":0.5,"warm_up":2}"#,
            &[None, Some(2.0), Some(4.0), None, Some(f64::NAN), Some(5.0)],
        );
        assert_eq!(all[0], row(None, None, None, None));
        assert_eq!(all[1], row(Some(2.0), None, None, None));
        assert_eq!(all[2], row(Some(4.0), Some(2.0), Some(0.0), None));
        // The mean has moved half of 2, the variance to half of 2 * 1.
        assert_eq!(all[3], row(None, Some(3.0), Some(1.0), None));
        assert_eq!((all[4].mean, all[4].deviation, all[4].score), (Some(3.0), Some(1.0), None));
        assert_eq!(all[5], row(Some(5.0), Some(3.0), Some(1.0), Some(2.0)));
    }

    #[test]
    fn alerts_lie_at_the_threshold_or_beyond() {
        let steady = (0..40).map(|n| Some(f64::from(n % 2)));
        let values: Vec<_> = steady.chain([Some(-4.0), Some(0.5), Some(100.0)]).collect();
        let alerts = told("{}", &values);
        assert_eq!(alerts.iter().map(|alert| alert.value).collect::<Vec<_>>(), [Some(-4.0), Some(100.0)]);
        assert!(alerts[0].score.is_some_and(|score| score < -3.0) && alerts[1].score.is_some_and(|score| score > 3.0));
    }

    #[test]
    fn a_constant_key_tells_the_first_change() {
        let values = [Some(1.0), Some(1.0), Some(1.0), Some(1.5)];
        let alerts = told(r#"{"warm_up":2}"#, &values);
        assert_eq!(alerts, [row(Some(1.5), Some(1.0), Some(0.0), Some(f64::INFINITY))]);
        assert_eq!(told(r#"{"warm_up":2,"deviation_min":1}"#, &values), []);
    }

    #[test]
    fn whole_numbers_are_read_and_columns_can_be_named() {
        #[derive(Row)]
        struct Count {
            key: i64,
            n: i64,
        }
        #[derive(Row, Debug, PartialEq)]
        struct Named {
            n: i64,
            avg: Option<f64>,
            sd: Option<f64>,
            z: Option<f64>,
        }
        let mut harness = Harness::<Keyed<Anomaly>>::setup()
            .config(r#"{"column":"n","emit":"all","mean":"avg","deviation":"sd","score":"z","warm_up":1}"#)
            .keyed_input::<Count>(&["key"])
            .open()
            .expect("it opens");
        harness.process([3, 3].map(|n| Count { key: 1, n })).expect("no row fails");
        let expect =
            [Named { n: 3, avg: None, sd: None, z: None }, Named { n: 3, avg: Some(3.0), sd: Some(0.0), z: Some(0.0) }];
        assert_eq!(harness.take::<Named>("out"), expect);
    }

    #[test]
    fn a_value_too_far_away_fails_with_its_row() {
        let setup = Harness::<Keyed<Anomaly>>::setup().keyed_input::<Load>(&["host"]);
        let mut harness = setup.open().expect("it opens");
        let failure = harness
            .process([-1e308, 1e308].map(|value| Load { host: 1, value: Some(value) }))
            .expect_err("the square of the distance is too large");
        assert_eq!(failure.row, Some(1));
        assert!(failure.message.ends_with("is beyond the range of float64"), "{}", failure.message);
    }

    #[test]
    fn wrong_settings_are_refused_before_the_job_starts() {
        let check = |config: &str, message: &str| {
            let setup = Harness::<Keyed<Anomaly>>::setup().config(config).keyed_input::<Load>(&["host"]);
            assert_eq!(setup.open().expect_err(message), message);
        };
        check(r#"{"alpha":0}"#, "`alpha` must lie above 0 and not above 1");
        check(r#"{"alpha":1.5}"#, "`alpha` must lie above 0 and not above 1");
        check(r#"{"threshold":0}"#, "`threshold` must lie above 0");
        check(r#"{"deviation_min":-1}"#, "`deviation_min` must not be negative");
        check(r#"{"column":"load"}"#, "the input has no column `load`; its columns: host, value");
    }
}
