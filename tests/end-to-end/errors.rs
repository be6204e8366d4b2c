//! The codes of errors, from the command line to the last line of standard error.

use std::process::Command;

use serde_json::Value;

use crate::process::{Bench, Running};

const JOB: &str = r#"
[job]
name = "errors"
[source.s]
connector = "file"
path = "in.jsonl"
format = "json"
schema = { a = "int64", k = "utf8?" }
[sink.out]
input = "s"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

/// The code in the brackets of the one error that is shown, whose page is the one that is offered.
#[track_caller]
fn code_of(stderr: &str) -> String {
    let shown: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("error[")).collect();
    assert_eq!(shown.len(), 1, "one error: {stderr}");
    let code = shown[0].split(']').next().expect("there is a first part").to_owned();
    let offer = format!("  for more: wasmill explain {code}");
    assert_eq!(stderr.lines().filter(|line| line.contains("for more")).collect::<Vec<_>>(), [offer], "{stderr}");
    assert_eq!(stderr.lines().last().map(str::trim_start), Some(&*format!("for more: wasmill explain {code}")));
    code
}

fn wasmill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.args(arguments);
    command
}

#[test]
fn a_refused_job_is_told_to_programs_too() {
    let bench = Bench::new(JOB);
    let mut command = bench.command();
    command.args(["-o", "json", "--set", "source.s.pth=x"]);
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let object: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!(object["error"]["code"], "job-file-unknown-key");
    assert_eq!(code_of(&ended.stderr), "job-file-unknown-key");
    let message = object["error"]["message"].as_str().expect("it is text");
    assert!(ended.stderr.starts_with(&format!("error[job-file-unknown-key]: {message}\n  for more: ")), "{object}");
}

#[test]
fn a_failed_job_is_told_to_programs_too() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", "x\n");
    let mut command = bench.command();
    command.args(["-o", "json"]);
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let object: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!((&object["state"], &object["error"]["code"]), (&"FAILED".into(), &"bad-row".into()), "{object}");
    assert_eq!(code_of(&ended.stderr), "bad-row");
    bench.put("in.jsonl", "{\"a\":1}\n");
    let mut command = bench.command();
    command.args(["-o", "json"]);
    let ended = Running::start(command).end();
    let object: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!((ended.code, &object["error"]), (Some(0), &Value::Null));
}

#[test]
fn every_code_can_be_explained() {
    let list = Running::start(wasmill(&["explain"])).end();
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    let all = Running::start(wasmill(&["explain", "-o", "json"])).end();
    let all: Vec<Value> = serde_json::from_str(&all.stdout).expect("an array");
    assert_eq!(list.stdout.lines().count(), all.len());
    let line = list.stdout.lines().find(|line| line.starts_with("bad-row ")).expect("it is listed");
    assert!(line.ends_with(" a row does not fit its source's schema or format"), "{line}");
    for name in ["bad-row", "error[bad-row]"] {
        let page = Running::start(wasmill(&["explain", name])).end();
        assert!(page.code == Some(0) && page.stdout.starts_with("# bad-row\n"), "{}", page.stdout);
    }
    let unknown = Running::start(wasmill(&["explain", "bad-rwo"])).end();
    assert_eq!((unknown.code, code_of(&unknown.stderr).as_str()), (Some(2), "unknown-error-code"));
    assert!(unknown.stderr.contains("did you mean `bad-row`?"), "{}", unknown.stderr);
}
