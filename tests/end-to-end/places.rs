//! Poison at the first row, the last one, every thousandth and all of these: what comes out, what is counted and what goes to the
//! dead letters, exactly, with and without keys, in one subtask and in four.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::process::{Bench, Ended, Running};

/// No multiple of a batch, nor of a thousand.
const ROWS: i64 = 10_003;

const KEYS: i64 = 11;

/// Values of rows that are poison, and of no other, are multiples of this.
const EVERY: i64 = 10;

/// The head of both jobs, with a well-behaved operator before the one that fails.
const HEAD: &str = r#"
[job]
name = "places"
[source.numbers]
connector = "file"
path = "numbers.jsonl"
format = "json"
schema = { place = "int64", key = "int64", value = "int64", note = "utf8" }
[sink.out]
input = "behind"
parallelism = 1
connector = "file"
path = "out.jsonl"
format = "json"
"#;

/// In one chain, at equal parallelism.
const UNKEYED: &str = r#"
[operator.before]
plugin = "PLUGINS/auction-filter.wasm"
input = "numbers"
config = { modulus = 1, column = "place" }
[operator.poison]
plugin = "PLUGINS/rust-poison.wasm"
input = "before"
config = { how = "trap", every = 10 }
[operator.behind]
plugin = "PLUGINS/auction-filter.wasm"
input = "poison"
config = { modulus = 1, column = "place" }
"#;

/// Sums for each key.
const KEYED: &str = r#"
[operator.before]
plugin = "PLUGINS/threshold-alert.wasm"
input = "numbers"
config = { column = "place", threshold = -1.0 }
key_by = ["key"]
[operator.poison]
plugin = "PLUGINS/rust-poison-keyed.wasm"
input = "before"
config = { every = 10 }
key_by = ["key"]
[operator.behind]
plugin = "PLUGINS/auction-filter.wasm"
input = "poison"
config = { modulus = 1, column = "key" }
"#;

/// Whether there is poison at a place.
type IsPoison = fn(i64) -> bool;

/// Where poison is.
const PLACES: [(&str, IsPoison); 4] = [
    ("first", |place| place == 0),
    ("last", |place| place == ROWS - 1),
    ("every thousandth", |place| place % 1_000 == 999),
    ("all of these", |place| place == 0 || place == ROWS - 1 || place % 1_000 == 999),
];

/// How a job is run.
#[derive(Debug, Clone, Copy)]
struct Way {
    keyed: bool,
    policy: &'static str,
    parallelism: usize,
    how: &'static str,
}

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for policy in ["skip", "dead_letter"] {
        for parallelism in [1, 4] {
            ways.push(Way { keyed: true, policy, parallelism, how: "trap" });
            ways.extend(["trap", "error"].map(|how| Way { keyed: false, policy, parallelism, how }));
        }
    }
    ways
}

fn value(place: i64, poison: fn(i64) -> bool) -> i64 {
    if poison(place) { place * EVERY } else { place * EVERY + 1 }
}

fn run(bench: &Bench, way: Way) -> Ended {
    let mut command = bench.command();
    command.args(["-o", "json"]);
    let mut set = |assignment: String| {
        command.args(["--set", &assignment]);
    };
    set(format!("operator.poison.on_error={}", way.policy));
    set(format!("job.parallelism={}", way.parallelism));
    if !way.keyed {
        set(format!("operator.poison.config.how={}", way.how));
    }
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{way:?}: {}", ended.stderr);
    ended
}

fn number(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap_or_else(|| panic!("{row} has no number `{name}`"))
}

/// What must come out: a row for each that is no poison, or the sums of those.
fn expected(keyed: bool, poison: fn(i64) -> bool) -> Vec<(i64, i64)> {
    let good = (0..ROWS).filter(|&place| !poison(place));
    if !keyed {
        return good.map(|place| (place, value(place, poison) * 2)).collect();
    }
    let mut sums = BTreeMap::new();
    good.for_each(|place| *sums.entry(place % KEYS).or_insert(0) += value(place, poison));
    sums.into_iter().collect()
}

#[test]
fn poison_costs_its_own_row_wherever_it_is() {
    for (name, poison) in PLACES {
        let places: Vec<i64> = (0..ROWS).filter(|&place| poison(place)).collect();
        for keyed in [false, true] {
            let bench = Bench::new(&format!("{HEAD}{}", if keyed { KEYED } else { UNKEYED }));
            let row = |place| {
                let value = value(place, poison);
                json!({ "place": place, "key": place % KEYS, "value": value, "note": format!("n{place}") }).to_string()
            };
            bench.put("numbers.jsonl", (0..ROWS).map(|place| row(place) + "\n").collect::<String>());
            for way in ways().into_iter().filter(|way| way.keyed == keyed) {
                let context = format!("{name}, {way:?}");
                let ended = run(&bench, way);
                check_output(&bench, keyed, poison, &context);
                check_counters(&ended.stdout, keyed, places.len(), &context);
                check_letters(&bench, way, &places, &context);
            }
        }
    }
}

fn check_output(bench: &Bench, keyed: bool, poison: fn(i64) -> bool, context: &str) {
    let (first, second) = if keyed { ("key", "total") } else { ("place", "doubled") };
    let rows = bench.rows("out.jsonl");
    let mut found: Vec<(i64, i64)> = rows.iter().map(|row| (number(row, first), number(row, second))).collect();
    found.sort_unstable();
    assert!(found == expected(keyed, poison), "{context}: other rows came out, {} of them", found.len());
}

fn check_counters(stdout: &str, keyed: bool, poisoned: usize, context: &str) {
    let report: Value = serde_json::from_str(stdout).expect("the report is JSON");
    let vertices = report["vertices"].as_array().expect("it lists the vertices");
    let counters = |name: &str| {
        let vertex = vertices.iter().find(|v| v["name"] == name).expect("the vertex is there");
        ["rows_in", "rows_out", "rejected"].map(|counter| number(vertex, counter))
    };
    let behind = if keyed { KEYS } else { ROWS - poisoned as i64 };
    assert_eq!(counters("before"), [ROWS, ROWS, 0], "{context}");
    let [rows_in, rows_out, rejected] = counters("poison");
    assert_eq!((rows_in, rows_out, rejected), (ROWS, behind, poisoned as i64), "{context}");
    assert_eq!(counters("behind"), [behind, behind, 0], "{context}");
}

fn check_letters(bench: &Bench, way: Way, places: &[i64], context: &str) {
    const FILE: &str = "places.dead-letters.jsonl";
    let written = bench.files().iter().any(|file| file == FILE);
    assert_eq!(written, way.policy == "dead_letter", "{context}");
    if !written {
        return;
    }
    let letters = bench.rows(FILE);
    std::fs::remove_file(bench.path(FILE)).expect("it was just read");
    let mut found = Vec::new();
    for letter in &letters {
        let row: Value = serde_json::from_str(letter["row"].as_str().expect("it is text")).expect("a row is JSON");
        let place = number(&row, "place");
        let key = place % KEYS;
        assert_eq!((&row["key"], &row["value"]), (&json!(key), &json!(place * EVERY)), "{context}");
        assert_eq!(row["note"], format!("n{place}"), "{context}");
        let kind = if way.how == "trap" { "trap" } else { "failure" };
        let said = ["operator", "call", "kind", "input"].map(|name| &letter[name]);
        assert_eq!(said, [&json!("poison"), &json!("process"), &json!(kind), &json!(0)], "{context}");
        if way.parallelism == 1 {
            assert_eq!(letter["position"], place, "{context}");
        }
        found.push(place);
    }
    found.sort_unstable();
    assert_eq!(found, places, "{context}");
}
