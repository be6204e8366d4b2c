//! The codes of errors, from what provokes them to the last line of standard error.
//!
//! Each code of the list is provoked here, or stands in a list of those that are not, with the reason. The example on the page
//! of a code is what its first case printed; `UPDATE_EXPECT=1` writes the examples anew.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use serde_json::Value;
use wasmill_model::fault::Code;

use crate::process::{Bench, Running, cache, target};

mod cases;

use cases::{BESIDE, COMMANDS, Case, JOB, JOB_FILE, PLUGINS, Provoke, RUNNING, WIRING, swap};

/// Runs a case in a folder of its own; returns what it wrote to standard error, with paths as seen from there.
fn provoke(case: &Case) -> String {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", "{\"a\":1,\"k\":\"x\"}\n{\"a\":-7,\"k\":\"y\"}\n");
    let mut command = match case.1 {
        Provoke::Swap(parts) => {
            swap(&bench, parts);
            run(&bench, &[])
        }
        Provoke::Rows(parts, rows) => {
            bench.put("in.jsonl", rows());
            swap(&bench, parts);
            run(&bench, &[])
        }
        Provoke::Sets(sets) => {
            let mut command = run(&bench, &[]);
            for set in sets {
                command.args(["--set", set]);
            }
            command
        }
        Provoke::Text(text) => {
            bench.put("job.toml", text);
            run(&bench, &[])
        }
        Provoke::Plugin(content) => {
            bench.put("score.wasm", content());
            swap(&bench, &[("PLUGINS/rust-plain.wasm", "./score.wasm")]);
            // In a cache of its own: what it remembers of an earlier refusal would be told.
            wasmill(&["run", "job.toml", "--cache", "cache"])
        }
        Provoke::With(arrange) => arrange(&bench),
    };
    command.current_dir(bench.folder.path());
    let ended = Running::start(command).end();
    assert!(matches!(ended.code, Some(1 | 2)), "{}: {:?} {}{}", case.0, ended.code, ended.stdout, ended.stderr);
    ended.stderr.replace(&format!("{}/", bench.folder.path().display()), "")
}

/// `wasmill run job.toml` in the folder of a bench, whose messages then name it as a user would.
fn run(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = wasmill(&["run", "job.toml", "--cache"]);
    command.arg(cache()).args(arguments).current_dir(bench.folder.path());
    command
}

fn wasmill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.args(arguments);
    command
}

/// The code of the one error that is shown; its page is offered in the last line.
#[track_caller]
fn code_of(stderr: &str) -> &str {
    let shown: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("error[")).collect();
    assert_eq!(shown.len(), 1, "one error: {stderr}");
    let (code, _) = shown[0].split_once("]: ").expect("a code ends in brackets");
    if code != Code::CommandLine.as_str() {
        let offers: Vec<&str> = stderr.lines().filter(|line| line.contains("for more")).collect();
        assert_eq!(offers, [format!("  for more: wasmill explain {code}")], "{stderr}");
        assert_eq!(stderr.lines().last(), offers.last().copied(), "{stderr}");
    }
    code
}

/// The error as pages show it: without what differs from run to run, and without the guest's stack.
fn example(stderr: &str) -> String {
    let plugins = format!("{}/plugins", target().display());
    let start = stderr.find("error[").expect("there is one");
    let mut text = String::new();
    for line in stderr[start..].lines() {
        if line.starts_with("    at ") || line.starts_with("  for more: ") {
            continue;
        }
        text += line.replace(&plugins, "target/plugins").trim_end();
        text += "\n";
    }
    let text = replaced(&text, " after ", |word| word.bytes().all(|b| b.is_ascii_digit()), "100");
    // Where the section lies is a matter of what was built.
    let text = replaced(&text, "manifest: byte ", |word| word.bytes().all(|b| b.is_ascii_digit()), "100");
    let digest = |word: &str| word.len() == 64;
    replaced(&text, "sha256:", digest, "3f7a0c9e5b1d")
}

/// The text with every word behind `mark` that `is` so replaced.
fn replaced(text: &str, mark: &str, is: impl Fn(&str) -> bool, by: &str) -> String {
    let mut parts = text.split(mark);
    let mut result = parts.next().expect("there is a first part").to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
        result += mark;
        result += if is(&part[..end]) { by } else { &part[..end] };
        result += &part[end..];
    }
    result
}

fn page(code: Code) -> PathBuf {
    target().join(format!("../docs/errors/{code}.md"))
}

/// Compares the example of a page, a block of text, with what was printed, or writes it there.
fn check_example(code: Code, printed: &str) {
    const BLOCK: (&str, &str) = ("```text\n", "```\n");
    let path = page(code);
    let text = fs::read_to_string(&path).expect("every code has a page");
    let example = example(printed);
    let (before, rest) = text.split_once(BLOCK.0).unwrap_or_else(|| {
        let end = text.find("\n## ").expect("a page says what to do");
        text.split_at(end)
    });
    let (found, after) = rest.split_once(BLOCK.1).unwrap_or(("", rest));
    if found == example {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let before = before.trim_end();
        let text = format!("{before}\n\n{}{example}{}\n{}", BLOCK.0, BLOCK.1, after.trim_start());
        fs::write(path, text).expect("pages can be written");
    } else {
        panic!("the page of {code} shows\n{found}\nbut it prints\n{example}");
    }
}

#[track_caller]
fn check(cases: &[Case]) {
    let mut seen = BTreeSet::new();
    let mut wrong = String::new();
    for case in cases {
        let stderr = provoke(case);
        let found = code_of(&stderr);
        if case.0 != Code::CommandLine {
            let message = example(&stderr);
            check_words(message.split_once("]: ").expect("a code ends in brackets").1);
        }
        if found != case.0.as_str() {
            wrong += &format!("{} expected: {stderr}\n", case.0);
        } else if seen.insert(case.0) && case.0 != Code::SystemResources {
            // How much memory an engine reserves is a matter of the machine; all else reads the same everywhere.
            check_example(case.0, &stderr);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_command_line() {
    check(COMMANDS);
}

#[test]
fn the_job_file() {
    check(JOB_FILE);
}

#[test]
fn the_wiring() {
    check(WIRING);
}

#[test]
fn plugins() {
    check(PLUGINS);
}

#[test]
fn running_jobs() {
    check(RUNNING);
}

/// A new code needs a case, or a reason why it has none.
#[test]
fn every_code_is_provoked_or_it_is_said_why_not() {
    let cases = [COMMANDS, JOB_FILE, WIRING, PLUGINS, RUNNING].into_iter().flatten().map(|case| case.0);
    let provoked: BTreeSet<Code> = cases.collect();
    let beside: BTreeSet<Code> = BESIDE.iter().map(|(code, _)| *code).collect();
    let both: Vec<&Code> = provoked.intersection(&beside).collect();
    assert!(both.is_empty(), "provoked after all: {both:?}");
    let neither: Vec<&Code> = Code::ALL.iter().filter(|c| !provoked.contains(c) && !beside.contains(c)).collect();
    assert!(neither.is_empty(), "neither provoked nor excused: {neither:?}");
}

/// The pages of the others show an example too, written by hand.
#[test]
fn every_page_says_what_it_looks_like_and_what_to_do() {
    for &code in Code::ALL {
        let text = fs::read_to_string(page(code)).expect("every code has a page");
        assert!(text.contains("\n## What to do\n"), "{code}");
        let shown = text.split_once("```text\n").unwrap_or_else(|| panic!("{code} shows nothing")).1;
        assert!(shown.starts_with(&format!("error[{code}]: ")), "{code}: {shown}");
        let lines = text.lines().count();
        assert!(lines <= 45, "{code} takes more than a screen: {lines} lines");
    }
}

/// Lower case, no full stop, the hint apart: of everything that the cases print.
#[track_caller]
fn check_words(message: &str) {
    let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
    assert!(!first.ends_with('.'), "a full stop: {first}");
    let begins = first.chars().next().expect("it says something");
    assert!(!begins.is_uppercase(), "not lower case: {first}");
    assert!(!first.contains("hint: "), "the hint has a line of its own: {first}");
    assert!(rest.lines().filter(|line| line.starts_with("  hint: ")).count() <= 1, "one hint: {message}");
}

#[test]
fn a_refused_job_is_told_to_programs_too() {
    let bench = Bench::new(JOB);
    let ended = Running::start(run(&bench, &["-o", "json", "--set", "source.s.pth=x"])).end();
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
    for (rows, code, state, error) in [
        ("x\n", Some(1), "FAILED", Value::from("bad-row")),
        ("{\"a\":1,\"k\":\"x\"}\n", Some(0), "FINISHED", Value::Null),
    ] {
        bench.put("in.jsonl", rows);
        let ended = Running::start(run(&bench, &["-o", "json"])).end();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        let object: Value = serde_json::from_str(&ended.stdout).expect("one object");
        assert_eq!((&object["state"], &object["error"]["code"]), (&Value::from(state), &error), "{object}");
    }
}

#[test]
fn columnar_files_that_cannot_be_read() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", "no parquet file");
    let refused = bench.refused(&["source.s.format=parquet"]);
    assert_eq!(code_of(&refused), "source-file-damaged");
    let schema = wasmill(&["schema", "none", "--format", "arrow"]);
    assert_eq!(code_of(&Running::start(schema).end().stderr), "source-unreadable");
    bench.put("in.jsonl", "[1]\n");
    let input = bench.path("in.jsonl").display().to_string();
    assert_eq!(code_of(&Running::start(wasmill(&["schema", &input])).end().stderr), "source-columns");
}

#[test]
fn every_code_can_be_explained() {
    let list = Running::start(wasmill(&["explain"])).end();
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    let all = Running::start(wasmill(&["explain", "-o", "json"])).end();
    let all: Vec<Value> = serde_json::from_str(&all.stdout).expect("an array");
    assert_eq!((list.stdout.lines().count(), all.len()), (Code::ALL.len(), Code::ALL.len()));
    let line = list.stdout.lines().find(|line| line.starts_with("bad-row ")).expect("it is listed");
    assert!(line.ends_with(" a row does not fit its source's schema or format"), "{line}");
    for name in ["bad-row", "error[bad-row]"] {
        let page = Running::start(wasmill(&["explain", name])).end();
        assert!(page.code == Some(0) && page.stdout.starts_with("# bad-row\n"), "{}", page.stdout);
    }
}
