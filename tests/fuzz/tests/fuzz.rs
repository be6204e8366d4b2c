//! The targets, on the same inputs each time; and that a target with a mistake is found out.

use std::{fs, path::Path, process::Command, time::Duration};

use tempfile::TempDir;
use wasmill_fuzz::{
    runner::{self, Extent, Options},
    targets::Kind,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_wasmill-fuzz");

fn options(keep: &TempDir, inputs: u64, patience: Duration) -> Options {
    Options { program: PROGRAM.into(), seed: 1, extent: Extent::Inputs(inputs), patience, keep: keep.path().into() }
}

#[track_caller]
fn nothing_fails(kind: Kind) {
    let keep = TempDir::new().expect("temporary folders can be made");
    let inputs = kind.inputs_of_a_test();
    let (passed, failure) =
        runner::run(kind, &options(&keep, inputs, Duration::from_secs(60))).expect("the child can be run");
    if let Some(failure) = failure {
        panic!("{failure}\nseed 1; again: cargo xtask fuzz {kind} --seed 1 --iterations {inputs}");
    }
    assert_eq!(passed.inputs(), inputs);
    // A target that takes all or nothing looks at little.
    assert!(passed.accepted > inputs / 50 && passed.refused > inputs / 50, "{passed:?}");
}

#[test]
fn inspection() {
    nothing_fails(Kind::Inspection);
}

#[test]
fn reply() {
    nothing_fails(Kind::Reply);
}

#[test]
fn job_file() {
    nothing_fails(Kind::JobFile);
}

#[test]
fn frames() {
    nothing_fails(Kind::Frames);
}

/// Panics, wrong answers, endless loops and memory without end.
#[test]
fn planted_mistakes_are_found_and_their_inputs_kept() {
    for kind in Kind::PLANTED {
        let keep = TempDir::new().expect("temporary folders can be made");
        let run = |keep| {
            runner::run(kind, &options(keep, kind.inputs_of_a_test(), Duration::from_secs(3)))
                .expect("the child can be run")
        };
        let (_, failure) = run(&keep);
        let failure = failure.unwrap_or_else(|| panic!("{kind} was not found"));
        let part = match kind.name() {
            "planted-panic" => "panic: panicked at",
            "planted-wrong-answer" => "it accepts what is too short",
            "planted-frames" => "a column of ",
            "planted-loop" => "it took more than 3s",
            _ => "the process ended with signal",
        };
        assert!(failure.words.contains(part), "{kind}: {failure}");
        let again = run(&keep).1.expect("the same inputs are run again");
        assert_eq!((again.number, &again.file), (failure.number, &failure.file), "{kind}");
        if kind == Kind::LenientFrames {
            continue;
        }
        let input = fs::read(&failure.file).expect("it was kept");
        let length = u32::from_le_bytes(*input.first_chunk().expect("it holds a length")) as usize;
        assert!(length > input.len() - 4, "{kind}: {input:?}");
        if part.starts_with("it took") {
            continue;
        }
        let alone = program(&[kind.name(), "--input", text(&failure.file)]);
        assert_ne!(alone.status.code(), Some(0), "{kind}: {alone:?}");
    }
}

#[test]
fn the_program_says_what_it_ran_and_how_to_run_it_again() {
    let keep = TempDir::new().expect("temporary folders can be made");
    let good = program(&["job-file", "--iterations", "200", "--seed", "7"]);
    let words = String::from_utf8_lossy(&good.stdout);
    assert!(good.status.success() && words.starts_with("job-file: seed 7, 200 inputs, "), "{good:?}");
    let bad = program(&["planted-panic", "--iterations", "20000", "--seed", "7", "--keep", text(keep.path())]);
    let words = String::from_utf8_lossy(&bad.stdout);
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(words.contains("again: cargo xtask fuzz planted-panic --input "), "{words}");
    assert_eq!(program(&["nothing"]).status.code(), Some(2));
    assert_eq!(program(&["--seconds"]).status.code(), Some(2));
}

fn program(arguments: &[&str]) -> std::process::Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("folders here have plain names")
}
