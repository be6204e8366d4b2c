//! The standard operators over whole inputs: the same rows leave however they are cut into batches, and whether or not every call
//! has an instance of its own.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use plugins_conformance::{Cuts, Driver, Row, input};
use wasmill_model::{DataType, descriptor::Input};

const ROWS: usize = 600;

/// A number that looks random.
fn mix(row: usize, of: u64) -> u64 {
    ((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of.wrapping_mul(0xd6e8_feb8_6659_fd93))
        .rotate_left(29)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> 20
}

/// Keys, whole numbers with extremes and nulls, floats with NaN and nulls, and text with JSON, nonsense and nulls in it.
fn columns() -> Vec<ArrayRef> {
    let key = |row| ["a", "b", "żółw", ""][mix(row, 1) as usize % 4];
    let whole = |row| match mix(row, 2) % 20 {
        0 => None,
        1 => Some(i64::MIN),
        2 => Some(i64::MAX),
        n => Some(n as i64 - 10),
    };
    let float = |row| match mix(row, 3) % 20 {
        0 => None,
        1 => Some(f64::NAN),
        2 => Some(-1e9),
        n => Some(n as f64 / 4.0),
    };
    let text = |row| match mix(row, 4) % 6 {
        0 => None,
        1 => Some("no json: 漢字".to_owned()),
        n => Some(format!(r#"{{"n":{n},"t":"ż{row}\n","x":[[{{}}],{row}.5]}}"#)),
    };
    vec![
        Arc::new(StringViewArray::from_iter_values((0..ROWS).map(key))),
        Arc::new(Int64Array::from_iter((0..ROWS).map(whole))),
        Arc::new(Float64Array::from_iter((0..ROWS).map(float))),
        Arc::new(StringViewArray::from_iter((0..ROWS).map(text))),
    ]
}

/// Times around the epoch, at most `DISORDER_MS` behind the latest before them.
const DISORDER_MS: i64 = 400;

fn times() -> Vec<i64> {
    (0..ROWS).map(|row| 37 * row as i64 - 9_000 - (mix(row, 5) % DISORDER_MS as u64) as i64).collect()
}

fn wired(is_keyed: bool) -> Input {
    let columns =
        [("key", DataType::Utf8), ("whole", DataType::Int64), ("float", DataType::Float64), ("text", DataType::Utf8)];
    let mut input = input(&columns, is_keyed.then_some("key"));
    let fields = input.schema.fields().iter().cloned();
    let fields = fields.map(|field| wasmill_model::Field { nullable: field.name != "key", ..field }).collect();
    input.schema = wasmill_model::Schema::new(fields).expect("different names");
    input.event_times = true;
    input
}

/// What leaves, however the input is cut.
#[track_caller]
fn check(name: &str, config: &str, is_keyed: bool) -> Vec<Vec<Row>> {
    let driver = Driver::new(name, config, wired(is_keyed)).expect("it describes itself");
    let (columns, times) = (columns(), times());
    // Rows are not late: the watermark stays behind all of them.
    let whole = Cuts { rows_max: ROWS, seed: 0, replace: false, behind_ms: DISORDER_MS + 1 };
    let expect = driver.run(&columns, Some(&times), whole);
    for (rows_max, replace) in [(1, true), (5, true), (64, false), (64, true), (ROWS, true)] {
        let cuts = Cuts { rows_max, seed: rows_max as u64, replace, ..whole };
        let found = driver.run(&columns, Some(&times), cuts);
        assert!(found == expect, "{name} {config} {cuts:?}\n{found:?}\n{expect:?}");
    }
    expect
}

fn leaving(ports: &[Vec<Row>]) -> Vec<usize> {
    ports.iter().map(Vec::len).collect()
}

#[test]
fn filter() {
    let out = check("filter", r#"{"where":"whole > 0 and (float < 2 or text like '%ż%') or key = 'żółw'"}"#, false);
    assert!(
        !out[0].is_empty() && !out[1].is_empty() && leaving(&out).iter().sum::<usize>() == ROWS,
        "{:?}",
        leaving(&out)
    );
}

#[test]
fn map() {
    let config = r#"{"columns":{"a":"coalesce(float, 0) * 2","b":"key || upper(text)","c":"whole is null","d":"try_cast(whole / 2 as int64)"}}"#;
    assert_eq!(leaving(&check("map", config, false)), [ROWS]);
}

#[test]
fn json_extract() {
    let config = r#"{"column":"text","invalid":"null","fields":{"n":{"type":"int64"},"t":{"type":"utf8"},"x":{"path":"x[1]","type":"float64"},"raw":{"path":"x","type":"json"}}}"#;
    assert_eq!(leaving(&check("json_extract", config, false)), [ROWS]);
}

#[test]
fn regex_extract() {
    let config = r#"{"column":"text","pattern":"\"t\":\"(?<letters>\\p{L}+)(?<n>\\d+)","no_match":"drop","fields":{"letters":{},"n":{"type":"int64"}}}"#;
    let out = check("regex_extract", config, false);
    assert!((1..ROWS).contains(&out[0].len()));
}

#[test]
fn deduplicate() {
    let out = check("deduplicate", r#"{"span":"300ms"}"#, true);
    assert!(!out[0].is_empty() && !out[1].is_empty() && leaving(&out).iter().sum::<usize>() == ROWS);
    assert_eq!(leaving(&check("deduplicate", "{}", true)), [4, ROWS - 4]);
}

#[test]
fn rate_limit() {
    let out = check("rate_limit", r#"{"rows":3,"span":"700ms"}"#, true);
    assert!(!out[0].is_empty() && !out[1].is_empty() && leaving(&out).iter().sum::<usize>() == ROWS);
}

#[test]
fn anomaly() {
    let out = check("anomaly", r#"{"column":"float","warm_up":5,"threshold":2}"#, true);
    assert!((1..ROWS).contains(&out[0].len()));
    assert_eq!(leaving(&check("anomaly", r#"{"column":"float","emit":"all"}"#, true)), [ROWS]);
}

#[test]
fn sessionize() {
    let out = check("sessionize", r#"{"gap":"150ms","sum":"float"}"#, true);
    let rows: usize = out[0].iter().map(|(_, values)| values[3].parse::<usize>().expect("a count")).sum();
    assert!(out[0].len() > 4 && rows == ROWS, "{rows} rows in {} sessions", out[0].len());
    check("sessionize", r#"{"gap":"1ms"}"#, true);
}

#[test]
fn sample() {
    let out = check("sample", r#"{"fraction":0.3,"columns":["whole","float","text"]}"#, false);
    assert!((100..260).contains(&out[0].len()), "{}", out[0].len());
    let out = check("sample", r#"{"every":7}"#, true);
    assert!((86..=90).contains(&out[0].len()), "{}", out[0].len());
}

#[test]
fn what_cannot_be_is_refused_and_no_expression_overflows_the_stack() {
    let refused = |name: &str, config: &str| Driver::new(name, config, wired(false)).expect_err("it is refused");
    assert!(refused("filter", r#"{"where":"wole > 1"}"#).contains("the input has no column `wole`"));
    assert!(
        refused("map", r#"{"columns":{"a":"whole + text"}}"#)
            .contains("columns.a: `whole + text`: there is no such operation")
    );
    assert!(
        refused("regex_extract", r#"{"column":"text","pattern":"("}"#).contains("`pattern` is no regular expression")
    );
    for (part, times) in [("(", 4_000), ("not ", 1_000), ("abs(", 1_000), ("whole+", 600), ("case when ", 400)] {
        let error = refused("map", &format!(r#"{{"columns":{{"a":"{}"}}}}"#, part.repeat(times)));
        assert!(error.contains("columns.a: "), "{part}: {error}");
    }
    let deepest = format!(r#"{{"columns":{{"a":"{}1.5{}"}}}}"#, "float+".repeat(126), " is null");
    assert_eq!(leaving(&check("map", &deepest, false)), [ROWS]);
    let brackets = format!(r#"{{"columns":{{"a":"{}1{}"}}}}"#, "abs(".repeat(20), ")".repeat(20));
    assert_eq!(leaving(&check("map", &brackets, false)), [ROWS]);
}
