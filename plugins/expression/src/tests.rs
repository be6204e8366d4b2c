//! What expressions give, and which are refused.

use wasmill_sdk::{
    Call, Operator, Row, Timestamp,
    data::{Context, Descriptor, Extended, Field, Outcome, Reads, Reply, Shape},
    testing::Harness,
};

use super::*;

/// The value of the expression that is its configuration, as column `v`.
struct Evaluate {
    expression: Expression,
}

impl Evaluate {
    fn new(text: &str, inputs: &[Input]) -> Result<(Self, Reads), Error> {
        let mut mentioned = Mentioned::default();
        let expression = Expression::new(text, &inputs[0], &mut mentioned).map_err(Error::new)?;
        Ok((Self { expression }, Reads::columns(mentioned.names())))
    }
}

impl Operator for Evaluate {
    fn describe(text: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let (Self { expression }, reads) = Self::new(text, inputs)?;
        let field = Field::new("v", expression.data_type());
        let columns = vec![if expression.is_nullable() { field.nullable() } else { field }];
        Ok(Descriptor::stateless(reads, Shape::Extend(Extended { input: 0, columns })))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Ok(Self::new(&context.config, &context.inputs)?.0)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        Ok(Reply::rows(Outcome::extend(vec![self.expression.column(&call.rows)?])))
    }
}

#[derive(Row, Clone)]
struct Facts {
    a: Option<i64>,
    b: i64,
    f: Option<f64>,
    t: Option<String>,
    at: Timestamp,
    ok: Option<bool>,
    raw: Option<Vec<u8>>,
    #[row(name = "odd name")]
    odd: i64,
}

fn facts() -> [Facts; 3] {
    let text = |text: &str| Some(text.to_owned());
    let facts = |a, b, f, t, at, ok, raw| Facts { a, b, f, t, at: Timestamp(at), ok, raw, odd: b };
    [
        facts(Some(1), 2, Some(0.5), text("żółw_1%"), 0, Some(true), None),
        facts(None, 0, Some(f64::NAN), text(""), 1_517_966_773_840, Some(false), Some(vec![255])),
        facts(Some(-7), -3, None, None, -1, None, Some(vec![])),
    ]
}

/// The values of an expression for the facts, as they are shown; all rows in one call and each in its own.
fn values(text: &str) -> Result<Vec<String>, String> {
    let mut harness = Harness::<Evaluate>::setup().config(text).input::<Facts>().open()?;
    harness
        .process(facts())
        .map_err(|failure| format!("row {:?}: {}", failure.row.expect("it is known"), failure.message))?;
    let whole = shown(&mut harness);
    for row in facts() {
        harness.process([row]).expect("none failed before");
    }
    assert_eq!(shown(&mut harness), whole, "{text}");
    Ok(whole)
}

fn shown(harness: &mut Harness<Evaluate>) -> Vec<String> {
    fn all<V: std::fmt::Debug>(values: impl IntoIterator<Item = Option<V>>) -> Vec<String> {
        values.into_iter().map(|value| value.map_or("null".to_owned(), |value| format!("{value:?}"))).collect()
    }
    #[derive(Row)]
    struct Whole {
        v: Option<i64>,
    }
    #[derive(Row)]
    struct Float {
        v: Option<f64>,
    }
    #[derive(Row)]
    struct Moment {
        v: Option<Timestamp>,
    }
    #[derive(Row)]
    struct Boolean {
        v: Option<bool>,
    }
    #[derive(Row)]
    struct Text {
        v: Option<String>,
    }
    let Shape::Extend(Extended { columns, .. }) = &harness.descriptor().ports[0].shape else { panic!("it extends") };
    match DataType::from_name(&columns[0].data_type) {
        Some(DataType::Int64) => all(harness.take::<Whole>("out").into_iter().map(|row| row.v)),
        Some(DataType::Float64) => all(harness.take::<Float>("out").into_iter().map(|row| row.v)),
        Some(DataType::Timestamp) => all(harness.take::<Moment>("out").into_iter().map(|row| row.v.map(|at| at.0))),
        Some(DataType::Boolean) => all(harness.take::<Boolean>("out").into_iter().map(|row| row.v)),
        _ => all(harness.take::<Text>("out").into_iter().map(|row| row.v)),
    }
}

#[track_caller]
fn check(text: &str, expect: [&str; 3]) {
    assert_eq!(values(text), Ok(expect.map(str::to_owned).to_vec()), "{text}");
}

#[track_caller]
fn fails(text: &str, message: &str) {
    assert_eq!(values(text), Err(message.to_owned()), "{text}");
}

#[test]
fn arithmetic() {
    check("a + b", ["3", "null", "-10"]);
    check("2 * (b - 1) - -a", ["3", "null", "-15"]);
    check("b / 4", ["0.5", "0.0", "-0.75"]);
    check("a / 0", ["inf", "null", "-inf"]);
    check("a // 2", ["0", "null", "-3"]);
    check("a % 4", ["1", "null", "-3"]);
    check("a + f", ["1.5", "null", "null"]);
    check("f % 0.2", ["0.09999999999999998", "NaN", "null"]);
    check("-b", ["-2", "0", "3"]);
    check("-9223372036854775808 + 0 * b", ["-9223372036854775808"; 3]);
    check("a + null", ["null"; 3]);
    check("abs(a) + round(1.5) + ceil(0.2) + floor(f)", ["4.0", "null", "null"]);
    check("sqrt(4)", ["2.0"; 3]);
    check("\"odd name\" + b", ["4", "0", "-6"]);
    fails("9223372036854775807 + b", "row 0: a result is beyond the range of int64");
    check("a // b", ["0", "null", "2"]);
    fails("b // b", "row 1: a division by zero");
}

#[test]
fn an_error_counts_only_where_its_value_does() {
    check("case when b <> 0 then 10 % b else -1 end", ["0", "-1", "1"]);
    check("b <> 0 and 10 % b = 0", ["true", "false", "false"]);
    check("10 % b = 0 and b <> 0", ["true", "false", "false"]);
    check("b = 0 or 10 % b = 1", ["false", "true", "true"]);
    check("coalesce(b, 10 % b)", ["2", "0", "-3"]);
    check("10 % a", ["0", "null", "3"]);
    fails("10 % b", "row 1: a division by zero");
    fails("case when 10 % b = 0 then 1 else 2 end", "row 1: a division by zero");
    fails("coalesce(10 % b, 1)", "row 1: a division by zero");
}

#[test]
fn comparisons_and_logic_know_nulls() {
    check("a > -1", ["true", "null", "false"]);
    check("a = 1.0", ["true", "null", "false"]);
    check("f = f", ["true", "false", "null"]);
    check("f <> f", ["false", "true", "null"]);
    check("is_nan(f)", ["false", "true", "null"]);
    check("t >= 'z'", ["true", "false", "null"]);
    check("ok and a = 1", ["true", "false", "false"]);
    check("ok and a <> 1", ["false", "false", "null"]);
    check("ok or a is null", ["true", "true", "null"]);
    check("not ok", ["false", "true", "null"]);
    check("ok is true", ["true", "false", "false"]);
    check("ok is not false", ["true", "false", "true"]);
    check("raw is null", ["true", "false", "false"]);
    check("a is distinct from null", ["true", "false", "true"]);
    check("a is not distinct from 1", ["true", "false", "false"]);
    check("b between -3 and 1", ["false", "true", "true"]);
    check("b not between 0 and 1", ["true", "false", "true"]);
    check("b in (2, -3)", ["true", "false", "true"]);
    check("a not in (1, 2)", ["false", "null", "true"]);
    check("b in (2, null)", ["true", "null", "null"]);
    check("b in (0.0, a + 1)", ["true", "true", "false"]);
    check("t in ('', 'x')", ["false", "true", "null"]);
    check("null = a", ["null"; 3]);
}

#[test]
fn choices() {
    check("coalesce(a, 0)", ["1", "0", "-7"]);
    check("coalesce(a, f, 9)", ["1.0", "NaN", "-7.0"]);
    check("nullif(b, 0)", ["2", "null", "-3"]);
    check("case when ok then 'yes' when not ok then t end", ["\"yes\"", "\"\"", "null"]);
    check("case b when 0 then 1 when 2 then 2.5 else null end", ["2.5", "1.0", "null"]);
    check("least(a, b, 0)", ["0", "0", "-7"]);
    check("greatest(a, b)", ["2", "0", "-3"]);
    check("least(f, 1)", ["0.5", "NaN", "1.0"]);
    check("greatest(t, 'a')", ["\"żółw_1%\"", "\"a\"", "\"a\""]);
}

#[test]
fn text() {
    check("t || '!'", ["\"żółw_1%!\"", "\"!\"", "null"]);
    check("upper(t)", ["\"ŻÓŁW_1%\"", "\"\"", "null"]);
    check("length(t)", ["7", "0", "null"]);
    check("substr(t, 2, 2)", ["\"ół\"", "\"\"", "null"]);
    check("substring(t from 0 for 2)", ["\"ż\"", "\"\"", "null"]);
    check("substr(t, -5)", ["\"żółw_1%\"", "\"\"", "null"]);
    check("t like 'ż__w%'", ["true", "false", "null"]);
    check("t like '%\\_1\\%'", ["true", "false", "null"]);
    check("t ilike 'ŻÓŁW%'", ["true", "false", "null"]);
    check("t not like '%'", ["false", "false", "null"]);
    check("'aab' like '%a%ab' and 'aXb' like 'a_b' and not 'ab' like 'a_b' and '' like ''", ["true"; 3]);
    check("starts_with(t, 'żó') and ends_with(t, '%') and contains(t, 'w_')", ["true", "false", "null"]);
    check("trim('  x ') || ltrim(' y') || rtrim('z ')", ["\"xyz\""; 3]);
    check("replace(t, 'ó', 'oo')", ["\"żoołw_1%\"", "\"\"", "null"]);
    check("concat(t, t, '')", ["\"żółw_1%żółw_1%\"", "\"\"", "null"]);
}

#[test]
fn moments() {
    check("at >= '2018-02-07'", ["false", "true", "false"]);
    check("at - timestamp '1970-01-01'", ["0", "1517966773840", "-1"]);
    check("at + 3600000", ["3600000", "1517970373840", "3599999"]);
    check(
        "extract(year from at) * 10000 + extract(month from at) * 100 + extract(day from at)",
        ["19700101", "20180207", "19691231"],
    );
    check("extract(hour from at) * 100 + extract(minute from at)", ["0", "126", "2359"]);
    check("extract(second from at) * 10 + extract(dow from at)", ["4", "133", "593"]);
    check("extract(epoch from at)", ["0", "1517966773", "-1"]);
    fails("at + 'x'", "`at + 'x'`: there is no such operation on timestamp and utf8");
    fails("at > 'soon'", "`at > 'soon'`: timestamp and utf8 cannot be compared; cast one of them");
}

#[test]
fn casts() {
    check("cast(a as double)", ["1.0", "null", "-7.0"]);
    check("a::text || '!'", ["\"1!\"", "null", "\"-7!\""]);
    check("cast(ok as int64)", ["1", "0", "null"]);
    check("cast(ok as text)", ["\"true\"", "\"false\"", "null"]);
    check("try_cast(f as int64)", ["1", "null", "null"]);
    check("cast(1e300 as text) is null or true", ["true"; 3]);
    check("cast(' 12 ' as bigint)", ["12"; 3]);
    check("try_cast(t as float64)", ["null"; 3]);
    check("cast('2018-02-07T01:26:13.840Z' as timestamp)", ["1517966773840"; 3]);
    check("cast(at as int64)", ["0", "1517966773840", "-1"]);
    check("cast(b as timestamp)", ["2", "0", "-3"]);
    check("cast(null as boolean)", ["null"; 3]);
    fails("cast(f as int64)", "row 1: a float64 is beyond the range of int64");
    fails("cast(t as int64)", "row 0: a text is no int64");
    fails("cast(raw as text)", "`CAST(raw AS TEXT)`: binary cannot be cast to utf8");
    fails(
        "cast(a as json)",
        "`CAST(a AS JSON)`: there is no type JSON; types: int64, float64, timestamp, boolean, utf8",
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    fails("prise > 1", "the input has no column `prise`; its columns: a, b, f, t, at, ok, raw, odd name");
    fails("t > 1", "`t > 1`: utf8 and int64 cannot be compared; cast one of them");
    fails("t + 1", "`t + 1`: there is no such operation on utf8 and int64");
    fails("a and ok", "`a AND ok`: `a` is int64, expected boolean");
    fails("not a", "`NOT a`: `a` is int64, expected boolean");
    fails("upper(a)", "`upper(a)`: `a` is int64, expected utf8");
    fails(
        "case when ok then 1 else 'x' end",
        "`CASE WHEN ok THEN 1 ELSE 'x' END`: its values are int64 and utf8; cast one of them",
    );
    fails("f // 2", "`f // 2`: `//` divides whole numbers; use `/`, or cast to int64");
    fails("raw = raw", "`raw = raw`: binary can only be tested for null");
    fails("raw", "`raw` is binary, which expressions only test for null");
    fails("x.a", "`x.a`: a column has one name; write \"x.a\" if there is a dot in it");
    fails("abs(a, b)", "`abs(a, b)`: `abs` does not take 2 arguments");
    fails("a = (select 1)", "`(SELECT 1)` is not among what expressions may hold");
    fails(
        "sum(a)",
        &format!(
            "`sum(a)`: there is no function `sum`; functions: {}",
            "abs, ceil, coalesce, concat, contains, ends_with, exp, extract, floor, greatest, is_nan, least, length, ln, lower, ltrim, nullif, replace, round, rtrim, sqrt, starts_with, substr, trim, upper"
        ),
    );
    fails("a b", "`a b` is no expression: it goes on behind its end, with `b`");
    let broken = values("a +").expect_err("something is missing");
    assert!(broken.starts_with("`a +` is no expression: "), "{broken}");
    assert!(values(&"(".repeat(1_000)).expect_err("it is deep").ends_with("is nested too deeply"));
    assert!(values(&"a + ".repeat(5_000)).expect_err("it is long").starts_with("an expression has at most 4096 bytes"));
    assert!(values(&format!("{}1", "a+".repeat(2_000))).expect_err("it is deep").ends_with("is nested too deeply"));
    values(&format!("{}1", "a+".repeat(100))).expect("a sum may be long");
}
