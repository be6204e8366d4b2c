//! Rows that an operator fails on: what they cost, under each policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::process::Bench;

const ROWS: i64 = 10_000;

/// A well-behaved operator before and behind the one that fails, in one chain with it at equal parallelism.
const JOB: &str = r#"
[job]
name = "poison"
[source.numbers]
connector = "file"
path = "numbers.jsonl"
format = "json"
schema = { key = "int64", value = "int64", auction = "int64", price = "int64", note = "utf8" }
[operator.before]
plugin = "PLUGINS/auction-filter.wasm"
input = "numbers"
config = { modulus = 1 }
exchange = "rebalance"
[operator.double]
plugin = "PLUGINS/rust-poison.wasm"
input = "before"
config = { how = "trap", every = 1000 }
[operator.behind]
plugin = "PLUGINS/currency-converter.wasm"
input = "double.out"
config = { rate = 2.0 }
[sink.out]
input = "behind"
parallelism = 1
connector = "file"
path = "out.jsonl"
format = "json"
"#;

const DEAD_LETTER: &str = r#"
[dead_letter]
connector = "file"
path = "dead.jsonl"
format = "json"
"#;

fn bench(dead_letters: bool) -> Bench {
    let bench = Bench::new(&format!("{JOB}{}", if dead_letters { DEAD_LETTER } else { "" }));
    let row =
        |i| json!({"key": i % 7, "value": i, "auction": 0, "price": i, "note": format!("n{i}")}).to_string() + "\n";
    bench.put("numbers.jsonl", (0..ROWS).map(row).collect::<String>());
    bench
}

fn values(rows: &[Value]) -> BTreeSet<i64> {
    let values: BTreeSet<i64> = rows.iter().map(|row| row["value"].as_i64().expect("a number")).collect();
    assert_eq!(values.len(), rows.len(), "a row came out twice");
    values
}

fn rejected(stdout: &str, vertex: &str) -> u64 {
    let report: Value = serde_json::from_str(stdout).expect("the report is JSON");
    let vertices = report["vertices"].as_array().expect("it lists the vertices");
    let vertex = vertices.iter().find(|v| v["name"] == vertex).expect("the vertex is there");
    vertex["rejected"].as_u64().expect("a number")
}

/// rule 39: every row but the poison comes out once, and the poison, whole, as a dead letter.
#[test]
fn poison_goes_to_the_dead_letters_and_nothing_else_is_lost() {
    let bench = bench(true);
    for (how, kind) in [("trap", "trap"), ("error", "failure"), ("memory", "memory")] {
        for (parallelism, rest) in [(1, 0), (4, 0), (1, 999), (4, 1)] {
            let sets = [
                "operator.double.on_error=dead_letter".to_owned(),
                format!("operator.double.config.how={how}"),
                format!("operator.double.config.rest={rest}"),
                format!("job.parallelism={parallelism}"),
            ];
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            bench.succeed(&sets);
            let expect: BTreeSet<i64> = (0..ROWS).filter(|i| i % 1_000 != rest).collect();
            let out = bench.rows("out.jsonl");
            assert_eq!(values(&out), expect, "{sets:?}");
            assert!(out.iter().all(|row| row["doubled"].as_i64() == row["value"].as_i64().map(|v| v * 2)));
            let dead = bench.rows("dead.jsonl");
            let row =
                |letter: &Value| serde_json::from_str::<Value>(letter["row"].as_str().expect("text")).expect("JSON");
            let poison: BTreeSet<i64> = (0..ROWS).filter(|i| i % 1_000 == rest).collect();
            assert_eq!(values(&dead.iter().map(row).collect::<Vec<_>>()), poison, "{sets:?}");
            for letter in &dead {
                assert_eq!(letter["operator"], "double");
                assert_eq!((&letter["call"], &letter["input"]), (&json!("process"), &json!(0)));
                assert!(letter["kind"] == kind || how == "memory", "{letter}");
                assert!(letter["plugin"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
                assert_eq!(row(letter)["note"], format!("n{}", row(letter)["value"]), "the whole row is shown");
            }
            if how == "trap" {
                let words = format!("the value {rest} is poison");
                assert!(dead.iter().any(|letter| letter["log"].as_str().is_some_and(|log| log.contains(&words))));
                assert!(dead.iter().all(|letter| letter["backtrace"].as_str().is_some_and(|b| b.contains("panic"))));
            }
            if parallelism == 1 {
                let same = |letter: &Value| letter["position"] == row(letter)["value"];
                assert!(dead.iter().all(same), "the position is the row's place in the subtask's input");
            }
        }
    }
}

#[test]
fn skipped_rows_are_counted_and_told() {
    let bench = bench(false);
    let mut command = bench.command();
    command.args(["-o", "json", "--set", "operator.double.on_error=skip"]);
    let ended = crate::process::Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(rejected(&ended.stdout, "double"), 10);
    assert_eq!(rejected(&ended.stdout, "before"), 0);
    assert!(ended.stderr.contains("double[0] row 3000 is left out: the operator trapped"), "{}", ended.stderr);
    assert_eq!(bench.rows("out.jsonl").len() as i64, ROWS - 10);
    assert_eq!(bench.files(), ["job.toml", "numbers.jsonl", "out.jsonl"]);
}

/// Endless loops: found within the time of two call deadlines, and no other row is blamed.
#[test]
fn rows_that_never_end_are_found() {
    let bench = bench(false);
    let sets = [
        "operator.double.on_error=skip",
        "operator.double.config.how=loop",
        "operator.double.config.every=4999",
        "operator.double.config.rest=1234",
        "operator.double.limits.call_deadline=8s",
    ];
    bench.succeed(&sets);
    let expect: BTreeSet<i64> = (0..ROWS).filter(|i| i % 4_999 != 1_234).collect();
    assert_eq!(values(&bench.rows("out.jsonl")), expect);
}

#[test]
fn the_default_is_to_fail_and_to_show_nothing() {
    let bench = bench(false);
    let message = bench.fail(&[]);
    assert!(
        message.contains("error[operator-trapped]: operator double[0] failed: the operator trapped in `process`"),
        "{message}"
    );
    assert!(message.contains("\n    at "), "the guest's stack is shown: {message}");
    assert_eq!(bench.files(), ["job.toml", "numbers.jsonl"]);
}

#[test]
fn more_than_one_row_in_a_hundred_fails_the_job() {
    let bench = bench(false);
    let poison = |every: i64| {
        let sets = ["operator.double.on_error=skip".to_owned(), format!("operator.double.config.every={every}")];
        bench.run(&sets.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(poison(100).code, Some(0), "100 of 10,000 are just allowed");
    let ended = poison(90);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("double[0] failed on more than 1 % of 10000 rows"), "{}", ended.stderr);
}

const KEYED: &str = r#"
[job]
name = "poison"
[source.numbers]
connector = "file"
path = "numbers.jsonl"
format = "json"
schema = { key = "int64", value = "int64", auction = "int64", price = "int64", note = "utf8" }
[operator.sum]
plugin = "PLUGINS/rust-poison-keyed.wasm"
input = "numbers"
key_by = ["key"]
on_error = "dead_letter"
config = { every = 1000, rest = 7, timers = 2 }
[sink.out]
input = "sum"
parallelism = 1
connector = "file"
path = "out.jsonl"
format = "json"
"#;

/// rule 4, rule 18: state and timers that a call had changed before it trapped are as they were; a timer can be poison too.
#[test]
fn poison_leaves_no_trace_in_state_and_timers_are_isolated() {
    let source = bench(false);
    let bench = Bench::new(KEYED);
    bench.put("numbers.jsonl", source.text("numbers.jsonl"));
    for parallelism in [1, 4] {
        bench.succeed(&[&format!("job.parallelism={parallelism}")]);
        let total = |key: i64| (0..ROWS).filter(|i| i % 7 == key && i % 1_000 != 7).sum::<i64>();
        let expect: BTreeSet<(i64, i64)> =
            (0..7).map(|key| (key, total(key))).filter(|(_, total)| total % 2 != 0).collect();
        let number = |row: &Value, name: &str| row[name].as_i64().expect("a number");
        let out = bench.rows("out.jsonl");
        assert_eq!(out.iter().map(|row| (number(row, "key"), number(row, "total"))).collect::<BTreeSet<_>>(), expect);
        // Without a table they go beside the job file.
        let dead = bench.rows("poison.dead-letters.jsonl");
        let of_call = |call: &str| dead.iter().filter(|letter| letter["call"] == call).count();
        assert_eq!((of_call("process"), of_call("on-timers")), (10, 7 - expect.len()));
        let timer = dead.iter().find(|letter| letter["call"] == "on-timers").expect("some total is even");
        assert_eq!((&timer["input"], &timer["position"]), (&Value::Null, &Value::Null));
        assert!(timer["row"].as_str().is_some_and(|row| row.starts_with("{\"key\":")), "{timer}");
    }
}

#[test]
fn the_table_of_dead_letters_is_checked() {
    let bench = bench(true);
    let message = bench.refused(&[]);
    assert!(
        message.contains("job.toml:") && message.contains("no source or operator has `on_error = \"dead_letter\"`"),
        "{message}"
    );
    let message = bench.refused(&["operator.double.on_error=dead_letter", "dead_letter.pth=x"]);
    assert!(message.contains("dead_letter.pth: unknown key `pth`"), "{message}");
    let message = bench.refused(&["operator.double.on_error=dead_leter"]);
    assert!(message.contains("did you mean `dead_letter`?"), "{message}");
}
