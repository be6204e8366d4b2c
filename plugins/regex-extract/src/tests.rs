//! Groups out of lines.

use wasmill_sdk::{Row, Timestamp, testing::Harness};

use super::*;

#[derive(Row, Debug, Clone, PartialEq)]
struct Line {
    line: Option<String>,
}

fn open(config: &str) -> Result<Harness<RegexExtract>, String> {
    Harness::<RegexExtract>::setup().config(config).input::<Line>().open()
}

fn lines(lines: &[&str]) -> Vec<Line> {
    lines.iter().map(|line| Line { line: Some((*line).to_owned()) }).collect()
}

#[derive(Row, Debug, Clone, PartialEq)]
struct Access {
    line: Option<String>,
    at: Option<Timestamp>,
    bytes: Option<i64>,
    path: Option<String>,
    share: Option<f64>,
    ok: Option<bool>,
}

const ACCESS: &str = r#"{
    "column": "line",
    "pattern": "^(?<at>\\S+) GET (?<path>/\\S*) ([0-9]+|-)(?: (?<share>\\S+))?(?: (?<ok>\\w+))?$",
    "fields": {
        "at": { "type": "timestamp" },
        "path": {},
        "bytes": { "group": 3, "type": "int64" },
        "share": { "group": "share", "type": "float64" },
        "ok": { "type": "boolean" }
    }
}"#;

#[test]
fn groups_become_typed_columns() {
    let text = "1970-01-01T00:00:01Z GET /żółw 12 0.5 true";
    let mut harness = open(ACCESS).expect("it opens");
    harness.process(lines(&[text, "-7 GET / 0", "POST"])).expect("no row fails");
    let full = Access {
        line: Some(text.to_owned()),
        at: Some(Timestamp(1000)),
        bytes: Some(12),
        path: Some("/żółw".to_owned()),
        share: Some(0.5),
        ok: Some(true),
    };
    let line = |line: &str| Some(line.to_owned());
    let none = Access { line: line("POST"), at: None, bytes: None, path: None, share: None, ok: None };
    let short =
        Access { line: line("-7 GET / 0"), at: Some(Timestamp(-7)), bytes: Some(0), path: line("/"), ..none.clone() };
    assert_eq!(harness.take::<Access>("out"), [full, short, none]);
}

#[test]
fn a_group_of_another_type_fails_or_is_null() {
    let mut harness = open(ACCESS).expect("it opens");
    let failure = harness.process(lines(&["1 GET / 5", "1 GET / -"])).expect_err("- is no number");
    let expect = (Some(1), "column `line`: field `bytes` is no int64: \"-\"");
    assert_eq!((failure.row, failure.message.as_str()), expect);
    let config = ACCESS.replace(r#""column""#, r#""invalid":"null","column""#);
    let mut harness = open(&config).expect("it opens");
    harness.process(lines(&["1 GET / -"])).expect("it is null");
    assert_eq!(harness.take::<Access>("out")[0].bytes, None);
}

/// Named groups as text, whether or not all rows come in one call.
fn years(no_match: &str, rows: &[Line]) -> Result<Vec<Option<String>>, Failure> {
    #[derive(Row)]
    struct Year {
        year: Option<String>,
    }
    let config =
        format!(r#"{{"column":"line","no_match":"{no_match}","pattern":"(?<year>[0-9]{{4}})-(?:[0-9]{{2}})"}}"#);
    let mut harness = open(&config).expect("it opens");
    for row in rows {
        harness.process([row.clone()])?;
        harness.replace_instance().expect("it opens again");
    }
    let apart: Vec<Option<String>> = harness.take::<Year>("out").into_iter().map(|row| row.year).collect();
    harness.process(rows.to_vec())?;
    let whole: Vec<Option<String>> = harness.take::<Year>("out").into_iter().map(|row| row.year).collect();
    assert_eq!(apart, whole);
    Ok(whole)
}

#[test]
fn rows_without_a_match_are_null_left_out_or_fail() {
    let year = Some("2024".to_owned());
    let mut rows = lines(&["in 2024-05", "never", "2024-05 and 1999-01", ""]);
    rows.push(Line { line: None });
    assert_eq!(years("null", &rows), Ok(vec![year.clone(), None, year.clone(), None, None]));
    assert_eq!(years("drop", &rows), Ok(vec![year.clone(), year.clone()]));
    assert_eq!(years("drop", &lines(&["x", "y"])), Ok(vec![]));
    let message = |rows: &[Line]| years("reject", rows).expect_err("there is no match").message;
    assert_eq!(message(&rows[1..]), "column `line`: no match in \"never\"");
    assert_eq!(message(&rows[4..]), "column `line`: is null");
    assert!(message(&lines(&[&"ż".repeat(1_000)])).len() < 300);
}

#[test]
fn no_pattern_takes_longer_than_its_text_allows() {
    let mut harness = open(r#"{"column":"line","pattern":"^(?<a>(x+x+)+)y$"}"#).expect("it opens");
    harness.process(lines(&[&"x".repeat(20_000)])).expect("it ends");
}

#[test]
fn wrong_settings_are_refused_before_the_job_starts() {
    let check = |more: &str, message: &str| {
        let error = open(&format!(r#"{{"column":"line",{more}}}"#)).expect_err(message);
        assert!(error.contains(message), "{error}");
    };
    check(r#""pattern":"("#, "configuration is not JSON");
    check(r#""pattern":"(""#, "`pattern` is no regular expression: ");
    check(r#""pattern":"(a)""#, "there is nothing to extract: name a group");
    check(r#""pattern":"(?<a>.{1000}){1000}""#, "`pattern` is no regular expression: ");
    let missing = "fields.b: the pattern has no such group; numbers: 0 to 1, names: a";
    check(r#""pattern":"(?<a>x)","fields":{"b":{}}"#, missing);
    check(r#""pattern":"(?<a>x)","fields":{"b":{"group":2}}"#, missing);
    check(r#""pattern":"(?<a>x)","fields":{"b":{"group":"c"}}"#, missing);
    check(r#""pattern":"(?<a>x)","fields":{"a":{"type":"binary"}}"#, "fields.a: text cannot be binary");
    check(
        r#""pattern":"(?<a>x)","fields":{"a":{"group":true}}"#,
        "expected the number or the name of a group, found a boolean",
    );
    check(r#""pattern":"a","no_match":"skip""#, "no_match: expected one of null, drop, reject, found \"skip\"");
}
