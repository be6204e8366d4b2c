//! Adds or replaces columns by SQL expressions over the others. The README says how to configure it.

#![cfg_attr(not(test), no_std)]

use plugins_expression::{Expression, Mentioned};
use wasmill_sdk::{
    Call, Config, Error, Operator,
    config::{self, Json, Table},
    data::{Context, DataType, Descriptor, Extended, Failure, Field, Input, Outcome, Reads, Reply, Shape},
    prelude::*,
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Map);

#[derive(Config)]
struct Settings {
    /// The new columns, by name: `NAME = "EXPRESSION"`, or a table to insist on a type.
    columns: Table<Wanted>,
}

/// `"price * 0.9"`, or `{ value = "price * 0.9", type = "float64" }`.
#[derive(Debug)]
struct Wanted {
    value: String,
    data_type: Option<DataType>,
}

/// The table among the two. It has the name of the whole, under which its keys are documented.
mod typed {
    use wasmill_sdk::{Config, data::DataType, prelude::*};

    #[derive(Config)]
    pub(crate) struct Wanted {
        /// The expression.
        pub(crate) value: String,
        /// The type that the column is to have.
        pub(crate) r#type: DataType,
    }
}

impl Config for Wanted {
    fn from_json(value: &Json) -> Result<Self, String> {
        match value {
            Json::String(text) => Ok(Self { value: text.clone(), data_type: None }),
            Json::Object(_) => {
                let typed::Wanted { value, r#type } = Config::from_json(value)?;
                Ok(Self { value, data_type: Some(r#type) })
            }
            other => Err(format!("expected an expression, or a table of `value` and `type`, found {}", other.kind())),
        }
    }
}

struct Map {
    columns: Vec<(String, Expression)>,
}

impl Map {
    fn new(config: &str, inputs: &[Input]) -> Result<(Self, Reads), Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        let mut mentioned = Mentioned::default();
        let mut columns = Vec::new();
        for (name, wanted) in settings.columns.0 {
            let wrong = |why: String| Error::new(format!("columns.{name}: {why}"));
            let mut expression = Expression::new(&wanted.value, input, &mut mentioned).map_err(wrong)?;
            if let Some(data_type) = wanted.data_type {
                expression = expression.into_type(data_type).map_err(wrong)?;
            }
            columns.push((name, expression));
        }
        if columns.is_empty() {
            return Err(Error::new("`columns` names no column"));
        }
        Ok((Self { columns }, Reads::columns(mentioned.names())))
    }
}

impl Operator for Map {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let (operator, reads) = Self::new(config, inputs)?;
        let field = |(name, expression): &(String, Expression)| {
            let field = Field::new(name, expression.data_type());
            if expression.is_nullable() { field.nullable() } else { field }
        };
        let columns = operator.columns.iter().map(field).collect();
        Ok(Descriptor::stateless(reads, Shape::Extend(Extended { input: 0, columns })))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Ok(Self::new(&context.config, &context.inputs)?.0)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let column = |(name, expression): &(String, Expression)| {
            expression.column(&call.rows).map_err(|failure| {
                let message = format!("column `{name}`: {}", failure.message);
                Failure { message, ..failure }
            })
        };
        let columns = self.columns.iter().map(column).collect::<Result<_, Failure>>()?;
        Ok(Reply::rows(Outcome::extend(columns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::{Row, testing::Harness};

    #[derive(Row, Debug, Clone, PartialEq)]
    struct Order {
        price: i64,
        amount: Option<i64>,
        note: String,
    }

    fn open(config: &str) -> Result<Harness<Map>, String> {
        Harness::<Map>::setup().config(config).input::<Order>().open()
    }

    #[test]
    fn columns_are_added_and_replaced() {
        #[derive(Row, Debug, PartialEq)]
        struct Made {
            price: f64,
            amount: Option<i64>,
            note: String,
            total: Option<f64>,
        }
        let config = r#"{"columns":{"price":"price / 100","note":"upper(note)",
            "total":{"value":"amount * price","type":"float64"}}}"#;
        let orders = [(150, Some(2), "ż"), (-50, None, "a")].map(|(price, amount, note)| Order {
            price,
            amount,
            note: note.to_owned(),
        });
        for rows_per_call in [1, 2] {
            let mut harness = open(config).expect("it opens");
            for rows in orders.chunks(rows_per_call) {
                harness.process(rows.to_vec()).expect("no row fails");
                harness.replace_instance().expect("it opens again");
            }
            // Every expression sees the columns as they came.
            let expect = [
                Made { price: 1.5, amount: Some(2), note: "Ż".to_owned(), total: Some(300.0) },
                Made { price: -0.5, amount: None, note: "A".to_owned(), total: None },
            ];
            assert_eq!(harness.take::<Made>("out"), expect);
        }
    }

    #[test]
    fn constants_are_columns_too() {
        #[derive(Row, Debug, PartialEq)]
        struct Made {
            a: i64,
            b: bool,
            c: String,
            d: Option<f64>,
        }
        let config = r#"{"columns":{"a":"1","b":"not false","c":"'x'","d":"cast(null as double)"}}"#;
        let mut harness = open(config).expect("it opens");
        harness.process([1, 2].map(|price| Order { price, amount: None, note: String::new() })).expect("no row fails");
        let made = || Made { a: 1, b: true, c: "x".to_owned(), d: None };
        assert_eq!(harness.take::<Made>("out"), [made(), made()]);
    }

    #[test]
    fn a_row_that_cannot_be_worked_out_is_named_with_its_column() {
        let mut harness = open(r#"{"columns":{"double":"price * 2"}}"#).expect("it opens");
        let rows = [1, i64::MAX].map(|price| Order { price, amount: None, note: String::new() });
        let failure = harness.process(rows).expect_err("it is too large");
        let message = "column `double`: a result is beyond the range of int64";
        assert_eq!((failure.row, failure.message.as_str()), (Some(1), message));
    }

    #[test]
    fn wrong_settings_are_refused_before_the_job_starts() {
        let check = |config: &str, message: &str| assert_eq!(open(config).expect_err(message), message);
        check("{}", "`columns` is missing");
        check(r#"{"columns":{}}"#, "`columns` names no column");
        check(
            r#"{"columns":{"a":1}}"#,
            "columns: a: expected an expression, or a table of `value` and `type`, found a number",
        );
        check(r#"{"columns":{"a":{"value":"1"}}}"#, "columns: a: `type` is missing");
        check(
            r#"{"columns":{"a":{"value":"price","type":"utf8"}}}"#,
            "columns.a: the expression is int64, not utf8: cast it",
        );
        check(
            r#"{"columns":{"a":"price + note"}}"#,
            "columns.a: `price + note`: there is no such operation on int64 and utf8",
        );
    }
}
