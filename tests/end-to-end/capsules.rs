//! `wasmill check`, `wasmill run --capsule` and `wasmill replay`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::process::{Bench, Ended, Running, cache, plugin};

const JOB: &str = r#"
[job]
name = "capsules"
[source.numbers]
connector = "file"
path = "numbers.jsonl"
format = "json"
schema = { value = "int64" }
[operator.double]
plugin = "PLUGINS/rust-poison.wasm"
input = "numbers"
config = { how = "trap", every = 1000 }
on_error = "skip"
[sink.out]
input = "double"
connector = "blackhole"
"#;

fn bench() -> Bench {
    let bench = Bench::new(JOB);
    bench.put("numbers.jsonl", (0..3_000).map(|i| json!({ "value": i }).to_string() + "\n").collect::<String>());
    bench
}

fn wasmill(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.args(arguments).arg("--cache").arg(cache());
    Running::start(command).end()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("folders here have plain names")
}

fn capsules(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("it was made").map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

fn saved(bench: &Bench, sets: &[&str]) -> Vec<PathBuf> {
    let folder = bench.path("failed");
    let mut command = bench.command();
    command.arg("--capsule").arg(&folder);
    for set in sets {
        command.args(["--set", set]);
    }
    Running::start(command).end();
    capsules(&folder)
}

#[test]
fn a_call_that_failed_in_a_job_fails_in_the_same_way_when_it_is_made_again() {
    for how in ["trap", "memory", "error"] {
        let bench = bench();
        let how_set = format!("operator.double.config.how={how}");
        let files = saved(&bench, &[&how_set, "operator.double.on_error=fail"]);
        let [file] = files.as_slice() else { panic!("{how}: one call fails the job, but {files:?}") };
        let again = wasmill(&["replay", text(file)]);
        assert_eq!(again.code, Some(0), "{how}: {}{}", again.stdout, again.stderr);
        assert!(again.stdout.contains("process of operator double[0] of job capsules"), "{}", again.stdout);
    }
}

#[test]
fn the_calls_by_which_a_row_was_found_are_saved_and_what_is_spoilt_is_refused() {
    let bench = bench();
    // More calls fail than are saved.
    let files = saved(&bench, &["operator.double.config.every=100"]);
    assert_eq!(files.len(), 16);
    for file in &files {
        let again = wasmill(&["replay", text(file)]);
        assert_eq!(again.code, Some(0), "{}: {}{}", file.display(), again.stdout, again.stderr);
    }
    let whole = fs::read(&files[0]).expect("it was just read");
    bench.put("spoilt.capsule", &whole[..whole.len() - 1]);
    let spoilt = wasmill(&["replay", text(&bench.path("spoilt.capsule"))]);
    assert_eq!((spoilt.code, spoilt.stdout.as_str()), (Some(2), ""), "{}", spoilt.stderr);
    let other = wasmill(&["replay", text(&files[0]), "--plugin", &plugin("tokenizer")]);
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(other.stderr.contains("the capsule is of plugin sha256:"), "{}", other.stderr);
    // As if the call had failed in another way.
    let at = whole.windows(14).position(|w| w == b"\"kind\":\"trap\",").expect("its failure is a trap");
    let mut changed = whole;
    changed[at + 8..at + 12].copy_from_slice(b"Trap");
    bench.put("changed.capsule", &changed);
    let changed = wasmill(&["replay", text(&bench.path("changed.capsule"))]);
    assert_eq!(changed.code, Some(1), "{}{}", changed.stdout, changed.stderr);
    assert!(changed.stdout.ends_with("not the same\n"), "{}", changed.stdout);
}

#[test]
fn a_component_is_checked() {
    let good = wasmill(&["check", &plugin("tokenizer"), "-o", "json"]);
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    let found: Value = serde_json::from_str(&good.stdout).expect("it is JSON");
    assert_eq!((&found["ok"], &found["tier"]), (&json!(true), &json!("optimized")));
    assert!(found["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{found}");
    let shown = wasmill(&["check", &plugin("tokenizer")]);
    assert!(shown.stdout.contains("tokenizer.wasm can be an operator\n"), "{}", shown.stdout);
    let bench = bench();
    bench.put("module.wasm", b"\0asm\x01\0\0\0");
    let file = bench.path("module.wasm");
    // The second time it is remembered.
    for _ in 0..2 {
        let bad = wasmill(&["check", text(&file), "-o", "json"]);
        assert_eq!(bad.code, Some(2), "{}", bad.stderr);
        let found: Value = serde_json::from_str(&bad.stdout).expect("it is JSON");
        assert_eq!((&found["ok"], &found["findings"][0]["code"]), (&json!(false), &json!("core-module")));
        let shown = wasmill(&["check", text(&file)]);
        assert!(
            shown.stdout.contains("core-module: the component\n  expected   a WebAssembly component"),
            "{}",
            shown.stdout
        );
    }
    let run =
        bench.refused(&["operator.double.plugin=./module.wasm", &format!("operator.double.plugin={}", file.display())]);
    assert!(run.contains("core-module: expected a WebAssembly component, found a core module"), "{run}");
    assert_eq!(wasmill(&["check", "/nowhere.wasm"]).code, Some(2));
}
