//! `wasmill run --explain`: the checked job as a drawing and as JSON, and nothing else.

use serde_json::{Value, json};

use crate::process::{Bench, Running};

const JOB: &str = r#"
[job]
name = "shown"
parallelism = 2
[source.bids]
connector = "nexmark"
events = 100
event_time = { column = "date_time" }
[operator.pass]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "bids.bids"
[operator.counts]
plugin = "PLUGINS/keyed-counter.wasm"
input = "pass"
key_by = ["bidder"]
[sink.out]
input = "counts"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

fn explain(bench: &Bench, arguments: &[&str]) -> String {
    let mut command = bench.command();
    command.arg("--explain").args(arguments);
    let ended = Running::start(command).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(bench.files(), ["job.toml"], "nothing ran");
    ended.stdout
}

#[test]
fn a_job_is_drawn_chain_by_chain() {
    let bench = Bench::new(JOB);
    let drawing = explain(&bench, &[]);
    assert!(drawing.is_ascii(), "a pipe gets no more than ASCII: {drawing}");
    assert!(drawing.lines().all(|line| line.len() <= 80), "{drawing}");
    // In this order.
    let said = [
        "job shown: 2 slots, 1024 key groups, ends by itself",
        "+- chain 1, 2 subtasks -",
        "| source bids: nexmark ",
        "|   bids with event times { auction: int64, ",
        "nobody reads any of it",
        "| bids.bids, forward",
        "| operator pass: rust-plain.wasm ",
    ];
    let mut rest = drawing.as_str();
    for part in said {
        let at = rest.find(part).unwrap_or_else(|| panic!("`{part}` is missing, or too early:\n{drawing}"));
        rest = &rest[at + part.len()..];
    }
    for part in [", hash by bidder\n", "+- chain 2, 2 subtasks -", "| operator counts: keyed-counter.wasm "] {
        assert!(rest.contains(part), "`{part}` is missing:\n{drawing}");
    }
    assert!(rest.contains("| sink out: file out.jsonl "), "{drawing}");
    assert!(!drawing.contains('\u{1b}'));
    assert!(explain(&bench, &["--color", "always"]).contains("\u{1b}["));
}

#[test]
fn the_drawing_says_the_same_as_json() {
    let bench = Bench::new(JOB);
    let text = explain(&bench, &["-o", "json"]);
    assert_eq!(text.lines().count(), 1);
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(shown["bounded"], json!(true));
    assert_eq!(
        shown["chains"],
        json!([
            { "parallelism": 2, "vertices": ["bids", "pass"] },
            { "parallelism": 2, "vertices": ["counts", "out"] },
        ])
    );
    let edge = &shown["edges"][1];
    assert_eq!(
        (&edge["from"], &edge["to"], &edge["exchange"], &edge["key"], &edge["chained"]),
        (&json!("pass"), &json!("counts"), &json!("hash"), &json!(["bidder"]), &json!(false))
    );
    let port = &shown["vertices"][0]["ports"][0];
    assert_eq!(port["event_times"], json!(true));
    assert_eq!(
        port["schema"][0],
        json!({ "name": "auction", "type": "int64", "nullable": false, "read": port["schema"][0]["read"] })
    );
    let digest = shown["vertices"][2]["digest"].as_str().expect("an operator has one");
    assert!(digest.starts_with("sha256:"), "{digest}");
}

#[test]
fn what_is_wrong_with_a_job_is_said_instead() {
    let bench = Bench::new(JOB);
    let mut command = bench.command();
    command.args(["--explain", "--set", "operator.counts.key_by=[\"biddr\"]"]);
    let ended = Running::start(command).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("did you mean `bidder`?"), "{}", ended.stderr);
}
