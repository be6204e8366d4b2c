//! The standard operators in whole jobs, each against what a few lines of Rust make of the same flights.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::process::{Bench, counted};

/// One operator between a file of flights and the files of its ports.
const JOB: &str = r#"
[job]
name = "standard"

[source.flights]
connector = "file"
path = "flights.jsonl"
format = "json"
schema = { at = "timestamp", origin = "utf8", delay = "int64?", note = "utf8?" }
event_time = { column = "at", out_of_order = "10s" }
parallelism = 1

[operator.op]
plugin = "PLUGINS/NAME.wasm"
input = "flights"
KEY
config = CONFIG

[sink.out]
input = "op.out"
connector = "file"
path = "out.jsonl"
format = "json"
parallelism = 1
"#;

/// The sink of the other port.
const REST: &str = r#"
[sink.rest]
input = "op.PORT"
connector = "file"
path = "rest.jsonl"
format = "json"
parallelism = 1
"#;

const ORIGINS: [&str; 5] = ["LAS", "DTW", "Łódź", "HNL", "漢字"];

/// Rows a second or so apart, up to ten seconds out of order, around the epoch.
fn flights() -> Vec<Value> {
    let mut seed = 5_u64;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let flight = |n: i64| {
        let at = 1_000 * n - 900_000 - below(9_999) as i64;
        let delay = if below(7) == 0 { Value::Null } else { json!(below(200) as i64 - 50) };
        let note = match below(4) {
            0 => Value::Null,
            1 => json!("nothing to read"),
            _ => json!(format!("{{\"gate\":\"B{}\",\"seats\":[{n},{}.5]}}", below(40), below(9))),
        };
        json!({"at": at, "origin": ORIGINS[below(5) as usize], "delay": delay, "note": note})
    };
    (0..3_000).map(flight).collect()
}

/// What leaves by `out`, and by another port, in the order in which it was written, at parallelism 1; at 3, it is the same rows.
#[track_caller]
fn run(name: &str, key: &str, config: &str, port: Option<&str>, flights: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let key = if key.is_empty() { String::new() } else { format!("key_by = [\"{key}\"]") };
    let job = JOB.replace("NAME", name).replace("KEY", &key).replace("CONFIG", config);
    let bench = Bench::new(&(job + &port.map_or(String::new(), |port| REST.replace("PORT", port))));
    bench.put("flights.jsonl", flights.iter().map(|row| format!("{row}\n")).collect::<String>());
    let rows = || (bench.rows("out.jsonl"), if port.is_some() { bench.rows("rest.jsonl") } else { Vec::new() });
    bench.succeed(&["job.parallelism=1"]);
    let one = rows();
    bench.succeed(&["job.parallelism=3"]);
    let three = rows();
    assert_eq!((counted(&three.0), counted(&three.1)), (counted(&one.0), counted(&one.1)), "parallelism 3");
    one
}

fn at(row: &Value) -> i64 {
    row["at"].as_i64().expect("a time is a number")
}

fn origin(row: &Value) -> &str {
    row["origin"].as_str().expect("an origin is text")
}

/// The row with more columns.
fn with<const N: usize>(row: &Value, more: [(&str, Value); N]) -> Value {
    let mut row = row.clone();
    more.into_iter().for_each(|(name, value)| row[name] = value);
    row
}

#[test]
fn filter_parts_the_rows() {
    let flights = flights();
    let config = r#"{ where = "delay > 20 and origin in ('LAS', 'Łódź')" }"#;
    let (out, rest) = run("filter", "", config, Some("rest"), &flights);
    let is_late =
        |row: &&Value| row["delay"].as_i64().is_some_and(|delay| delay > 20) && ["LAS", "Łódź"].contains(&origin(row));
    assert_eq!(out, flights.iter().filter(is_late).cloned().collect::<Vec<_>>());
    assert_eq!(rest, flights.iter().filter(|row| !is_late(row)).cloned().collect::<Vec<_>>());
    assert!(out.len() > 200);
}

#[test]
fn map_works_out_columns() {
    let flights = flights();
    let config =
        r#"{ columns = { hours = "delay / 64", delay = "coalesce(delay, -1) * 2", name = "lower(origin) || '!'" } }"#;
    let (out, _) = run("map", "", config, None, &flights);
    let expect = flights.iter().map(|row| {
        let delay = row["delay"].as_i64();
        let hours = delay.map(|delay| delay as f64 / 64.0);
        let name = json!(origin(row).to_lowercase() + "!");
        with(row, [("delay", json!(delay.unwrap_or(-1) * 2)), ("hours", json!(hours)), ("name", name)])
    });
    assert_eq!(out, expect.collect::<Vec<_>>());
}

#[test]
fn json_extract_takes_values_out_of_text() {
    let flights = flights();
    let config = r#"{ column = "note", invalid = "null", fields = { gate = { type = "utf8" }, seat = { path = "seats[1]", type = "float64" }, seats = { type = "json" } } }"#;
    let (out, _) = run("json-extract", "", config, None, &flights);
    let expect = flights.iter().map(|row| {
        let note = row["note"].as_str().and_then(|note| serde_json::from_str::<Value>(note).ok()).unwrap_or_default();
        let seats = note["seats"].as_array().map(|_| note["seats"].to_string());
        with(row, [("gate", note["gate"].clone()), ("seat", note["seats"][1].clone()), ("seats", json!(seats))])
    });
    assert_eq!(out, expect.collect::<Vec<_>>());
}

#[test]
fn regex_extract_takes_groups_out_of_text() {
    let flights = flights();
    let config = r#"{ column = "note", no_match = "drop", pattern = '"(?<gate>\p{L})(\d+)"', fields = { gate = {}, number = { group = 2, type = "int64" } } }"#;
    let (out, _) = run("regex-extract", "", config, None, &flights);
    let expect = flights.iter().filter_map(|row| {
        let number = row["note"].as_str()?.split_once("\"B")?.1.split_once('"')?.0;
        Some(with(row, [("gate", json!("B")), ("number", json!(number.parse::<i64>().ok()?))]))
    });
    assert_eq!(out, expect.collect::<Vec<_>>());
}

#[test]
fn deduplicate_passes_on_the_first_of_a_span() {
    let flights = flights();
    let (out, rest) = run("deduplicate", "origin", r#"{ span = "20s" }"#, Some("duplicates"), &flights);
    let mut kept: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut expect = (Vec::new(), Vec::new());
    for row in &flights {
        let kept = kept.entry(origin(row)).or_default();
        // The disorder is less than the span, so no row can stand between two that went on.
        if kept.iter().all(|time| (at(row) - time).abs() >= 20_000) {
            kept.push(at(row));
            expect.0.push(row.clone());
        } else {
            expect.1.push(row.clone());
        }
    }
    assert_eq!((counted(&out), counted(&rest)), (counted(&expect.0), counted(&expect.1)));
    assert!(out.len() > 300 && rest.len() > 1_000, "{} {}", out.len(), rest.len());
}

#[test]
fn rate_limit_passes_on_so_many_rows_a_span() {
    let flights = flights();
    let (out, rest) = run("rate-limit", "origin", r#"{ rows = 2, span = "30s" }"#, Some("over"), &flights);
    let mut buckets: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut expect = (Vec::new(), Vec::new());
    for row in &flights {
        // In thirtieths of a thousandth of a token: two of them a millisecond.
        let (level, latest) = buckets.entry(origin(row)).or_insert((60_000, at(row)));
        let now = at(row).max(*latest);
        *level = (*level + 2 * (now - *latest)).min(60_000);
        *latest = now;
        if *level >= 30_000 {
            *level -= 30_000;
            expect.0.push(row.clone());
        } else {
            expect.1.push(row.clone());
        }
    }
    assert_eq!((counted(&out), counted(&rest)), (counted(&expect.0), counted(&expect.1)));
    assert!(out.len() > 500 && rest.len() > 500, "{} {}", out.len(), rest.len());
}

#[test]
fn anomaly_scores_by_mean_and_deviation() {
    let flights = flights();
    let config = r#"{ column = "delay", alpha = 0.2, warm_up = 3, emit = "all" }"#;
    let (out, _) = run("anomaly", "origin", config, None, &flights);
    let mut known: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    assert_eq!(out.len(), flights.len());
    let by_key = |rows: &[Value]| {
        let mut keys: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        rows.iter().for_each(|row| keys.entry(origin(row).to_owned()).or_default().push(row.clone()));
        keys.into_values().flatten().collect::<Vec<_>>()
    };
    let flights = by_key(&flights);
    for (row, found) in flights.iter().zip(by_key(&out)) {
        assert_eq!((&row["at"], &row["delay"]), (&found["at"], &found["delay"]));
        let values = known.entry(origin(row)).or_default();
        // The weights of the definition, from the first value on, instead of one step a value.
        let weight = |place: usize| {
            let later = (values.len() - 1 - place) as i32;
            if place == 0 { 0.8_f64.powi(later) } else { 0.2 * 0.8_f64.powi(later) }
        };
        let mean: f64 = values.iter().enumerate().map(|(place, value)| weight(place) * value).sum();
        let variance: f64 =
            values.iter().enumerate().map(|(place, value)| weight(place) * (value - mean).powi(2)).sum();
        let delay = row["delay"].as_f64();
        let near = |found: &Value, expect: Option<f64>| match (found.as_f64(), expect) {
            (Some(found), Some(expect)) => (found - expect).abs() <= 1e-6 * expect.abs().max(1.0),
            (found, expect) => found == expect,
        };
        let is_known = !values.is_empty();
        assert!(near(&found["mean"], is_known.then_some(mean)), "{found}: the mean is {mean}");
        assert!(near(&found["deviation"], is_known.then(|| variance.sqrt())), "{found}: it is {}", variance.sqrt());
        let score = delay.filter(|_| values.len() >= 3).map(|delay| (delay - mean) / variance.sqrt());
        assert!(near(&found["score"], score), "{found}: the score is {score:?}");
        values.extend(delay);
    }
}

#[test]
fn sessionize_sums_up_between_pauses() {
    let flights = flights();
    let (out, _) = run("sessionize", "origin", r#"{ gap = "9s", sum = "delay" }"#, None, &flights);
    let mut rows: BTreeMap<&str, Vec<(i64, Option<i64>)>> = BTreeMap::new();
    flights.iter().for_each(|row| rows.entry(origin(row)).or_default().push((at(row), row["delay"].as_i64())));
    let mut expect = Vec::new();
    for (origin, mut rows) in rows {
        rows.sort();
        for session in rows.chunk_by(|a, b| b.0 - a.0 <= 9_000) {
            let known: Vec<i64> = session.iter().filter_map(|(_, delay)| *delay).collect();
            let sum = (!known.is_empty()).then(|| known.iter().sum::<i64>());
            let (start, end) = (session[0].0, session[session.len() - 1].0);
            expect.push(json!({"origin": origin, "start": start, "end": end, "count": session.len(), "sum": sum}));
        }
    }
    assert_eq!(counted(&out), counted(&expect));
    assert!(out.len() > 100, "{}", out.len());
}

#[test]
fn sample_takes_every_nth_row_of_a_key_or_a_fraction_of_the_keys() {
    let flights = flights();
    let (out, _) = run("sample", "origin", "{ every = 10 }", None, &flights);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let is_tenth = |row: &&Value| {
        let seen = seen.entry(origin(row).to_owned()).or_default();
        *seen += 1;
        (*seen - 1).is_multiple_of(10)
    };
    assert_eq!(counted(&out), counted(&flights.iter().filter(is_tenth).cloned().collect::<Vec<_>>()));

    let (out, _) = run("sample", "", r#"{ fraction = 0.5, columns = ["origin", "delay"] }"#, None, &flights);
    let lot = |row: &Value| row["origin"].to_string() + &row["delay"].to_string();
    let chosen: std::collections::BTreeSet<String> = out.iter().map(lot).collect();
    assert_eq!(out, flights.iter().filter(|row| chosen.contains(&lot(row))).cloned().collect::<Vec<_>>());
    assert!((1_200..1_800).contains(&out.len()), "{}", out.len());
}

#[test]
fn wrong_configurations_are_refused_before_anything_starts() {
    for (name, key, config, message) in [
        ("filter", "", r#"{ where = "dealy > 1" }"#, "the input has no column `dealy`"),
        ("filter", "", r#"{ where = "delay + origin" }"#, "there is no such operation on int64 and utf8"),
        ("map", "", "{ colums = {} }", "unknown key `colums`; known keys: columns"),
        ("deduplicate", "origin", r#"{ span = "0s" }"#, "`span` must be at least 1ms"),
        ("sample", "", "{ every = 3 }", "key_by"),
        ("regex-extract", "", r#"{ column = "note", pattern = "(" }"#, "`pattern` is no regular expression"),
        ("json-extract", "", r#"{ column = "at", fields = {} }"#, "column `at` is timestamp, expected utf8"),
        ("sessionize", "origin", r#"{ gap = "1s", sum = "note" }"#, "column `note` is utf8, expected int64 or float64"),
        ("rate-limit", "origin", r#"{ rows = 0, span = "1s" }"#, "`rows` must be at least 1"),
        ("anomaly", "origin", r#"{ column = "delay", alpha = 2 }"#, "`alpha` must lie above 0 and not above 1"),
    ] {
        let key = if key.is_empty() { String::new() } else { format!("key_by = [\"{key}\"]") };
        let bench = Bench::new(&JOB.replace("NAME", name).replace("KEY", &key).replace("CONFIG", config));
        bench.put("flights.jsonl", "");
        let error = bench.refused(&[]);
        assert!(error.contains(message), "{name} {config}: {error}");
    }
}
