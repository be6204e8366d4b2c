//! Files that roll, whole runs of them: what appears while a job runs, what is left of it however it ends.

use std::{collections::BTreeSet, fs};

use rustix::process::Signal;

use crate::process::{Bench, Running, rows};

/// Bids without end, to standard output and to files that roll.
const ENDLESS: &str = r#"
[job]
name = "endless"
[source.n]
connector = "nexmark"
rate = 5000
only_bids = true
[sink.shown]
input = "n.bids"
connector = "stdout"
[sink.out]
input = "n.bids"
exchange = "rebalance"
connector = "file"
path = "out.jsonl"
format = "json"
roll = { size = "20KiB" }
"#;

/// The rolled files, in the order of their numbers.
fn rolled(bench: &Bench) -> Vec<String> {
    bench.files().into_iter().filter(|name| name.starts_with("out.")).collect()
}

fn hidden(bench: &Bench) -> Vec<String> {
    bench.files().into_iter().filter(|name| name.starts_with('.')).collect()
}

/// Runs until files have rolled, then sends so many interrupts, each when the one before was heard.
fn interrupted(bench: &Bench, interrupts: usize) -> String {
    let before = rolled(bench).len();
    let mut running = Running::start(bench.command());
    while rolled(bench).len() < before + 2 {
        running.wait_for_stdout("auction");
    }
    running.signal(Signal::INT);
    running.wait_for_stderr("interrupted");
    if interrupts > 1 {
        running.signal(Signal::INT);
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    ended.stdout
}

#[test]
fn rolled_files_hold_all_rows_of_a_run_that_is_asked_to_end() {
    let bench = Bench::new(ENDLESS);
    let shown = interrupted(&bench, 1);
    let names = rolled(&bench);
    let expected: Vec<String> = (1..=names.len()).map(|number| format!("out.0.{number:06}.jsonl")).collect();
    assert_eq!(names, expected);
    assert_eq!(names.iter().map(|name| bench.text(name)).collect::<String>(), shown);
    assert_eq!(hidden(&bench), [""; 0]);

    // The next run goes on behind them, and changes none.
    let first: Vec<String> = names.iter().map(|name| bench.text(name)).collect();
    let shown = interrupted(&bench, 1);
    let again = rolled(&bench);
    assert_eq!(again[..names.len()], names);
    assert_eq!(names.iter().map(|name| bench.text(name)).collect::<Vec<_>>(), first);
    assert_eq!(again[names.len()..].iter().map(|name| bench.text(name)).collect::<String>(), shown);
}

/// Whether the second interrupt comes before or after the end, no half a file is left.
#[test]
fn rolled_files_of_a_job_thrown_away_are_whole() {
    let bench = Bench::new(ENDLESS);
    interrupted(&bench, 2);
    for name in rolled(&bench) {
        let text = bench.text(&name);
        assert!(!text.is_empty() && text.ends_with('\n'), "{name}");
        rows(&text);
    }
    assert_eq!(hidden(&bench), [""; 0]);
}

#[test]
fn what_a_killed_process_left_is_swept_by_the_next_and_a_living_one_is_spared() {
    let bench = Bench::new(ENDLESS);
    let start = |keys: &[&str]| {
        let mut command = bench.command();
        keys.iter().for_each(|key| {
            command.args(["--set", key]);
        });
        let mut running = Running::start(command);
        running.wait_for_stdout("auction");
        running
    };
    let alive = start(&["sink.out.roll=false"]);
    let theirs = hidden(&bench);
    assert_eq!(theirs.len(), 1);
    let killed = start(&["sink.out.roll=false"]);
    assert_eq!(hidden(&bench).len(), 2);
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().code, None);
    assert_eq!(hidden(&bench).len(), 2, "nobody could remove it");

    let mut command = bench.command();
    command.args(["--limit", "10"]);
    let next = Running::start(command).end();
    assert_eq!(next.code, Some(0), "{}", next.stderr);
    assert_eq!(hidden(&bench), theirs);
    alive.signal(Signal::INT);
    let ended = alive.end();
    assert_eq!(bench.text("out.jsonl"), ended.stdout, "it was none the worse for it");
    assert_eq!(hidden(&bench), [""; 0]);
}

#[test]
fn each_subtask_has_numbers_of_its_own() {
    let bench = Bench::new(ENDLESS);
    let ended = bench.succeed(&["source.n.events=3000", "source.n.rate=1000000", "sink.out.parallelism=2"]);
    let names = rolled(&bench);
    let subtasks: BTreeSet<&str> = names.iter().filter_map(|name| name.split('.').nth(1)).collect();
    assert!(!subtasks.is_empty() && subtasks.iter().all(|subtask| ["0", "1"].contains(subtask)), "{names:?}");
    let mut written: Vec<String> =
        names.iter().flat_map(|n| bench.text(n).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut shown: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    written.sort();
    shown.sort();
    assert!(written == shown);
    for name in names {
        let size = fs::metadata(bench.path(&name)).expect("it is there").len();
        // A file is as large as it may be and one batch.
        assert!(size < 2 << 20, "{name}: {size} bytes");
    }
}

#[test]
fn files_of_a_wider_run_are_warned_of() {
    let bench = Bench::new(ENDLESS);
    let wide = ["source.n.events=100", "sink.out.roll=false", "sink.out.parallelism=3"];
    assert!(!bench.succeed(&wide).stderr.contains("warning"));
    let narrow = ["source.n.events=100", "sink.out.roll=false", "sink.out.parallelism=2"];
    let ended = bench.succeed(&narrow);
    assert!(ended.stderr.contains("warning: beside the files of `out` lies what a run"), "{}", ended.stderr);
    assert!(ended.stderr.contains("out.2.jsonl\n  hint: remove it"), "{}", ended.stderr);
    assert!(bench.path("out.2.jsonl").exists(), "it may be somebody's");
}
