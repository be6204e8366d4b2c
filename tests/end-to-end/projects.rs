//! Projects: begun by `wasmill new`, built by `wasmill build`, followed by `wasmill dev`.
//!
//! Cargo takes what the projects depend on from what it has fetched for this repository, and builds it once for all tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Bench, Ended, Running, cache, rows, target};

/// A command in a folder, with one folder for all that cargo builds.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let target = target().join("end-to-end-projects");
    command.current_dir(folder).env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
    command
}

fn start(folder: &Path, arguments: &[&str]) -> Running {
    let mut command = command(env!("CARGO_BIN_EXE_wasmill"), folder);
    command.args(arguments).env("WASMILL_CACHE", cache());
    Running::start(command)
}

fn wasmill(folder: &Path, arguments: &[&str]) -> Ended {
    start(folder, arguments).end()
}

/// A new project; the folder around it goes when it is dropped.
fn project(kind: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("temporary folders can be made");
    let ended = wasmill(folder.path(), &["new", "first-op", "--lang", "rust", "--kind", kind]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("wasmill build"), "{}", ended.stdout);
    let project = folder.path().join("first-op");
    // The first time, everything that projects depend on is built: that may take longer than a process is waited for.
    let mut build = command(env!("CARGO_BIN_EXE_wasmill"), &project);
    let built = build.arg("build").env("WASMILL_CACHE", cache()).output().expect("the binary starts");
    assert_eq!(built.status.code(), Some(0), "{}", String::from_utf8_lossy(&built.stderr));
    (folder, project)
}

/// Builds, tests and runs a project as it was written; returns the rows that come out.
#[track_caller]
fn rows_of_new(kind: &str) -> Vec<Value> {
    let (_folder, project) = project(kind);
    let built = wasmill(&project, &["build", "-o", "json"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let found: Value = serde_json::from_str(&built.stdout).expect("it is JSON");
    let imports = found["imports"].as_array().expect("it lists them");
    let is_own = |import: &Value| import.as_str().is_some_and(|name| name.starts_with("wasmill:operator/"));
    assert!(found["ok"] == true && imports.iter().all(is_own), "{found}");
    assert_eq!(found["manifest"]["name"], "first-op");
    assert_eq!(found["manifest"]["limits"], json!({ "memory": "16MiB" }));
    let component = project.join("target/first-op.wasm");
    let file = found["file"].as_str().expect("it says where");
    assert_eq!(fs::canonicalize(file).ok(), fs::canonicalize(&component).ok());
    let bytes = fs::read(&component).expect("it is there");
    assert!(!bytes.windows(7).any(|part| part == b".debug_"), "debug information is left");
    assert!(bytes.windows(11).any(|part| part == b"wasmill_sdk"), "names of functions are gone");
    let mut cargo = command("cargo", &project);
    let tests = cargo.args(["test", "--lib"]).output().expect("cargo starts");
    let told = String::from_utf8_lossy(&tests.stdout);
    assert_eq!(tests.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&tests.stderr));
    assert!(told.contains("test result: ok. "), "{told}");
    let ran = wasmill(&project, &["run", "job.toml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    rows(&ran.stdout)
}

#[test]
fn a_map_builds_tests_and_runs_as_it_is_written() {
    let totals: Vec<Value> = rows_of_new("map").iter().map(|row| row["total"].clone()).collect();
    assert_eq!(totals, [json!(17.1), json!(108.0), json!(8.91)]);
}

#[test]
fn a_keyed_operator_builds_tests_and_runs_as_it_is_written() {
    let averages: Vec<Value> = rows_of_new("keyed").iter().map(|row| row["average"].clone()).collect();
    assert_eq!(averages, [json!(20.5), json!(31.0), json!(21.0), json!(30.0), json!(22.0)]);
}

#[test]
fn timers_build_test_and_run_as_they_are_written() {
    let visits = rows_of_new("timer");
    let pages: Vec<_> = visits.iter().map(|row| (row["user"].as_str(), row["pages"].as_i64())).collect();
    assert_eq!(pages, [(Some("bob"), Some(1)), (Some("ann"), Some(3)), (Some("bob"), Some(1))]);
}

#[test]
fn a_job_is_built_and_started_again_when_a_source_changes() {
    let (_folder, project) = project("map");
    let source = project.join("src/lib.rs");
    let text = fs::read_to_string(&source).expect("it is there");
    let mut dev = start(&project, &["dev", "job.toml"]);
    dev.wait_for_stdout("\"total\":17.1");
    dev.wait_for_stderr("waiting for changes");
    fs::write(&source, text.replace("(1.0 - config.discount)", "(2.0 - config.discount)")).expect("it can be written");
    dev.wait_for_stdout("\"total\":36.1");
    dev.wait_for_stderr("waiting for changes");
    fs::write(&source, text.replace("Ok(Total", "Ok(Totl")).expect("it can be written");
    dev.wait_for_stderr("Totl");
    dev.wait_for_stderr("error[project-not-built]: first-op does not compile");
    fs::write(&source, &text).expect("it can be written");
    dev.wait_for_stdout("\"total\":17.1");
    dev.signal(Signal::INT);
    assert_eq!(dev.end().code, Some(130));
}

const ENDLESS: &str = r#"
[job]
name = "endless"
[source.n]
connector = "nexmark"
rate = 1000
only_bids = true
[operator.converted]
plugin = "PLUGINS/currency-converter.wasm"
input = "n.bids"
config = { rate = 2.0 }
[sink.out]
input = "converted"
connector = "stdout"
format = "json"
"#;

#[test]
fn a_job_runs_on_until_another_can_take_its_place() {
    let bench = Bench::new(ENDLESS);
    let job = bench.text("job.toml");
    let mut dev = start(bench.folder.path(), &["dev", "job.toml"]);
    dev.wait_for_stdout("\"auction\"");
    bench.put("job.toml", job.replace("format = ", "fromat = "));
    dev.wait_for_stderr("error[job-file-unknown-key]");
    dev.wait_for_stderr("job endless keeps running as it was");
    dev.wait_for_stdout("\"auction\"");
    bench.put("job.toml", job.replace("\"endless\"", "\"another\""));
    dev.wait_for_stderr("running job another");
    dev.wait_for_stdout("\"auction\"");
    dev.signal(Signal::TERM);
    assert_eq!(dev.end().code, Some(130));
}

#[test]
fn what_cannot_be_begun_is_refused() {
    let folder = TempDir::new().expect("temporary folders can be made");
    fs::create_dir(folder.path().join("there")).expect("the folder takes folders");
    for (arguments, expect) in [
        (&["new", "there"][..], "there exists already\n  hint: "),
        (&["new", "My_Op"], "\"My_Op\" cannot name a project\n  hint: "),
        (&["new", "fn"], "`fn` cannot name a project: it means something else to cargo\n  hint: "),
        (&["new", "a", "--lang", "cobol"], "no template for the language `cobol` yet, only for `rust`"),
        (&["dev", "nowhere.toml"], "could not read job file nowhere.toml"),
        (&["build"], "there is no Cargo.toml in .: it is no project\n  hint: "),
        (&["build", "nowhere"], "could not find the folder nowhere"),
    ] {
        let ended = wasmill(folder.path(), arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{arguments:?}: {}", ended.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "something was left behind");
}

#[test]
fn what_cannot_be_built_is_refused_before_cargo_builds() {
    const GOOD: &str = "[package]\nname = \"op\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    for (manifest, expect) in [
        ("[package".to_owned(), "could not read "),
        ("[workspace]\n".to_owned(), "describes no package, only a workspace\n  hint: "),
        (GOOD.replace("cdylib", "rlib"), "its library is no `cdylib`\n  hint: "),
        (format!("{GOOD}[package.metadata.wasmill]\nlimit = 1\n"), "unknown key `limit`\n  hint: there is `limits`"),
        (
            format!("{GOOD}[package.metadata.wasmill.limits]\nmemroy = \"1MiB\"\n"),
            "limits.memroy: expected a key that is known, found unknown key `memroy`\n  hint: did you mean `memory`?",
        ),
        (
            format!("{GOOD}[package.metadata.wasmill.limits]\nmemory = \"3GiB\"\n"),
            "limits.memory: expected more than 0 and at most \"2GiB\", found \"3GiB\"",
        ),
    ] {
        let folder = TempDir::new().expect("temporary folders can be made");
        fs::create_dir(folder.path().join("src")).expect("the folder takes folders");
        fs::write(folder.path().join("src/lib.rs"), "").expect("the folder takes files");
        fs::write(folder.path().join("Cargo.toml"), &manifest).expect("the folder takes files");
        let ended = wasmill(folder.path(), &["build"]);
        assert_eq!(ended.code, Some(2), "{manifest}: {}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{manifest}: {}", ended.stderr);
    }
    let folder = TempDir::new().expect("temporary folders can be made");
    fs::create_dir(folder.path().join("src")).expect("the folder takes folders");
    fs::write(folder.path().join("src/lib.rs"), "").expect("the folder takes files");
    fs::write(folder.path().join("Cargo.toml"), GOOD).expect("the folder takes files");
    let mut without = command(env!("CARGO_BIN_EXE_wasmill"), folder.path());
    without.arg("build").env("PATH", "").env("CARGO", "cargo-is-not-here");
    let ended = Running::start(without).end();
    assert!(ended.stderr.contains("`cargo-is-not-here` is not installed, or not on the PATH"), "{}", ended.stderr);
}
