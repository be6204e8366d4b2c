//! Calls that failed in a job, saved, taken to another place, and made again there: nothing of where they were made is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    cases::{CASES, Case},
    hosts,
    jobs::{self, hostile},
};

/// One for each way to fail.
const FAILURES: [&str; 17] = [
    "call_unreachable",
    "call_divide-by-zero",
    "call_load-beyond",
    "call_indirect-beyond",
    "call_indirect-null",
    "call_recursion",
    "call_answer-misaligned",
    "call_exit",
    "call_process-loop",
    "call_memory-grow",
    "call_list-huge",
    "reply_take-flood",
    "reply_keep-tail",
    "call_failure-escapes",
    "call_on-timers-trap",
    "call_on-notice-emits",
    "call_open-refuses",
];

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("{name} is no case"))
}

/// Runs the program with nothing of this process's surroundings.
fn wasmill(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(hosts::programs().join("wasmill"));
    command.args(arguments).env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
    command.output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("folders here have plain names")
}

/// Fails in a job, and the capsule of that.
fn saved(name: &str, folder: &Path, to: &Path) -> PathBuf {
    let job = folder.join("job.toml");
    fs::write(&job, hostile(folder, name, case(name).answer, "")).expect("the folder takes files");
    let capsules = folder.join(name);
    let (cache, into) = (hosts::cache(), text(&capsules));
    let ended = wasmill(folder, &["run", text(&job), "--cache", text(&cache), "--capsule", into]);
    assert_eq!(ended.status.code(), Some(1), "{name}: {ended:?}");
    let files: Vec<PathBuf> = fs::read_dir(&capsules)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    let [file] = files.as_slice() else { panic!("{name}: one call fails the job, but {files:?}") };
    let moved = to.join(name).with_extension("capsule");
    fs::copy(file, &moved).expect("it can be copied");
    moved
}

#[test]
fn what_failed_here_fails_elsewhere_in_the_same_way() {
    let elsewhere = TempDir::new().expect("temporary folders can be made");
    let here = jobs::folder();
    let capsules = FAILURES.map(|name| saved(name, here.path(), elsewhere.path()));
    here.close().expect("the folder can be removed");
    let mut traps = Vec::new();
    for (name, capsule) in FAILURES.iter().zip(&capsules) {
        // The cache is that of another home, and empty at first.
        let again = wasmill(elsewhere.path(), &["replay", text(capsule)]);
        let words = String::from_utf8_lossy(&again.stdout);
        assert_eq!(again.status.code(), Some(0), "{name}: {words}{}", String::from_utf8_lossy(&again.stderr));
        assert!(words.contains("the same failure\n"), "{name}: {words}");
        let part = case(name).words();
        let said =
            |line: &str| words.lines().find_map(|l| l.trim_start().strip_prefix(line)).unwrap_or_default().to_owned();
        for failure in [said("then:"), said("now:")] {
            let fits = ["operator", "the contract does not allow"].contains(&part) || failure.contains(part);
            assert!(fits, "{name}: {part}: {words}");
        }
        traps.push(said("now:"));
    }
    traps.sort_unstable();
    traps.dedup();
    assert!(traps.len() >= 10, "{traps:?}");
    assert!(elsewhere.path().join(".cache").is_dir(), "it was compiled anew");
}
