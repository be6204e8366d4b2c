//! Passes on the rows for which an SQL expression is true. The README says how to configure it.

#![cfg_attr(not(test), no_std)]

use plugins_expression::{Expression, Mentioned};
use wasmill_sdk::{
    Call, Config, Error, Operator, config,
    data::{Context, DataType, Descriptor, Emission, Failure, Input, Outcome, Port, Reads, Reply, Shape},
    prelude::*,
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Filter);

#[derive(Config)]
struct Settings {
    /// A boolean expression.
    r#where: String,
}

struct Filter {
    condition: Expression,
}

impl Filter {
    fn new(config: &str, inputs: &[Input]) -> Result<(Self, Reads), Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        let mut mentioned = Mentioned::default();
        let wrong = |why: String| Error::new(format!("where: {why}"));
        let condition = Expression::new(&settings.r#where, input, &mut mentioned).map_err(wrong)?;
        if condition.data_type() != DataType::Boolean {
            let found = condition.data_type().name();
            return Err(wrong(format!("`{}` is {found}, expected boolean", settings.r#where)));
        }
        Ok((Self { condition }, Reads::columns(mentioned.names())))
    }
}

impl Operator for Filter {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let (_, reads) = Self::new(config, inputs)?;
        Ok(Descriptor::new(vec![reads], vec![Port::new("out", Shape::Pass(0)), Port::new("rest", Shape::Pass(0))]))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Ok(Self::new(&context.config, &context.inputs)?.0)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let bits = self.condition.is_true(&call.rows)?;
        let (rows, set) = (bits.len(), bits.count_set());
        let (out, rest) = match set {
            0 => (Outcome::DropAll, Outcome::Unchanged),
            _ if set == rows => (Outcome::Unchanged, Outcome::DropAll),
            _ => {
                let kept = bits.finish();
                let rest = rest(&kept, rows);
                (Outcome::Keep(kept), Outcome::Keep(rest))
            }
        };
        let emissions = vec![Emission { port: 0, rows: out }, Emission { port: 1, rows: rest }];
        Ok(Reply { emissions, ..Reply::none() })
    }
}

/// The bits that are not set, spare ones apart.
fn rest(kept: &[u8], rows: usize) -> Vec<u8> {
    let mut rest: Vec<u8> = kept.iter().map(|byte| !byte).collect();
    if let (Some(last), spare @ 1..) = (rest.last_mut(), rows % 8) {
        *last &= (1 << spare) - 1;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::{Row, testing::Harness};

    #[derive(Row, Debug, Clone, PartialEq)]
    struct Flight {
        origin: String,
        delay: Option<i64>,
    }

    fn flight(origin: &str, delay: Option<i64>) -> Flight {
        Flight { origin: origin.to_owned(), delay }
    }

    #[test]
    fn rows_go_on_where_it_is_true_and_else_to_the_rest() {
        let flights = [
            flight("DTW", Some(66)),
            flight("LAS", None),
            flight("HNL", Some(95)),
            flight("LAS", Some(-5)),
            flight("żółw", Some(20)),
        ];
        for rows_per_call in 1..=5 {
            let setup = Harness::<Filter>::setup().config(r#"{"where":"delay > 20 or origin = 'żółw'"}"#);
            let mut harness = setup.input::<Flight>().open().expect("it opens");
            for rows in flights.chunks(rows_per_call) {
                harness.process(rows.to_vec()).expect("no row fails");
                harness.replace_instance().expect("it opens again");
            }
            let [a, b, c, d, e] = flights.clone();
            assert_eq!(harness.take::<Flight>("out"), [a, c, e]);
            assert_eq!(harness.take::<Flight>("rest"), [b, d]);
        }
    }

    #[test]
    fn only_the_columns_of_the_expression_are_read() {
        let setup = Harness::<Filter>::setup().config(r#"{"where":"delay is null"}"#).input::<Flight>();
        assert_eq!(setup.open().expect("it opens").descriptor().inputs[0].columns, ["delay"]);
        let setup = Harness::<Filter>::setup().config(r#"{"where":"true"}"#).input::<Flight>();
        assert_eq!(setup.open().expect("it opens").descriptor().inputs[0].columns, [""; 0]);
    }

    #[test]
    fn a_row_that_cannot_be_worked_out_is_named() {
        let setup = Harness::<Filter>::setup().config(r#"{"where":"10 % delay = 1"}"#).input::<Flight>();
        let mut harness = setup.open().expect("it opens");
        let rows = [flight("a", Some(3)), flight("b", None), flight("c", Some(0))];
        let failure = harness.process(rows).expect_err("nothing can be divided by zero");
        assert_eq!((failure.row, failure.message.as_str()), (Some(2), "a division by zero"));
    }

    #[test]
    fn wrong_settings_are_refused_before_the_job_starts() {
        let check = |config: &str, message: &str| {
            let error = Harness::<Filter>::setup().config(config).input::<Flight>().open().expect_err(message);
            assert_eq!(error, message);
        };
        check("{}", "`where` is missing");
        check(r#"{"where":"delay"}"#, "where: `delay` is int64, expected boolean");
        check(r#"{"where":"dealy > 1"}"#, "where: the input has no column `dealy`; its columns: origin, delay");
        check(r#"{"where":"null"}"#, "where: `null` is always null: say of which type, as in `cast(null as int64)`");
    }
}
