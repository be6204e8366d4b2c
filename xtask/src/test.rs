//! `cargo xtask test`: all tests, those first that are quick to say no.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    plugins,
    steps::{Steps, run},
    tools::{self, Runner},
    workspace::Workspace,
};

/// How much to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Format, house rules and the pure crates: neither the engine nor a plugin is built.
    Fast,
    Everything,
}

const HOUSE: &str = "wasmill-house";
/// The crates whose tests need no engine, file or clock.
const PURE: [&str; 7] = [
    "wasmill-model",
    "wasmill-wire",
    "wasmill-rest",
    "wasmill-control",
    "wasmill-state",
    "wasmill-flow",
    "wasmill-sim",
];
/// Builds the guests that are not Rust.
const GUESTS: &str = "wasmill-guests";

/// Runs the tests, with a line for each step and one at the end.
pub(crate) fn run_all(workspace: &Workspace, extent: Extent) -> Result<()> {
    let mut steps = Steps::new();
    steps.step("lock file", || lock_file(workspace))?;
    steps.step("format", || run(workspace.cargo("fmt").args(["--all", "--check"])))?;
    let runner = tools::runner();
    steps.step("house rules", || run(&mut tests_of(workspace, runner, &[HOUSE])))?;
    let pure: Vec<&str> = PURE.into_iter().filter(|name| workspace.has(name)).collect();
    steps.step("pure crates", || run(&mut tests_of(workspace, runner, &pure)))?;
    if extent == Extent::Everything {
        everything_else(workspace, runner, &pure, &mut steps)?;
    }
    steps.finish();
    Ok(())
}

fn everything_else(workspace: &Workspace, runner: Runner, pure: &[&str], steps: &mut Steps) -> Result<()> {
    let end_to_end: Vec<&str> =
        workspace.packages.iter().filter(|p| p.is_end_to_end()).map(|p| p.name.as_str()).collect();
    let apart: Vec<&str> = [HOUSE].into_iter().chain(pure.iter().copied()).chain(end_to_end.iter().copied()).collect();
    steps.step("plugins", || plugins::build(workspace))?;
    let tested: Vec<&str> = workspace.operators().iter().filter(|p| p.unit_tests).map(|p| p.name.as_str()).collect();
    if !tested.is_empty() {
        // Their own tests call them as Rust, without a sandbox.
        steps.step("tests of operators", || run(&mut tests_of(workspace, runner, &tested)))?;
    }
    steps.step("programs", || run(&mut workspace.native(&["build", "--release"])))?;
    if workspace.has(GUESTS) {
        steps.step("guests in other languages", || {
            run(Command::new(workspace.program(GUESTS)).current_dir(&workspace.root))
        })?;
    }
    steps.step("clippy", || {
        run(workspace.native(&["clippy", "--release"]).args(["--all-targets", "--", "--deny", "warnings"]))
    })?;
    steps.step("clippy of operators", || plugins::lint(workspace))?;
    steps.step("tests", || run(&mut all_tests(workspace, runner, Choice::AllBut(&apart))))?;
    if !end_to_end.is_empty() {
        steps.step("end to end", || run(&mut all_tests(workspace, runner, Choice::Only(&end_to_end))))?;
    }
    steps.step("examples in documentation", || run(&mut workspace.native(&["test", "--release", "--doc"])))?;
    if tools::answers(workspace.cargo("deny").arg("--version")) {
        // Advisories change from day to day and come from outside: they say nothing about the change being tested.
        steps.step("licences", || run(workspace.cargo("deny").args(["check", "licenses", "bans", "sources"])))?;
    }
    Ok(())
}

/// A build that had to change the lock file tested other versions than those committed. A person who has just added
/// a dependency has a changed lock file by right, so this is asked only of a clean clone.
fn lock_file(workspace: &Workspace) -> Result<()> {
    if std::env::var_os("CI").is_none() {
        println!("only checked where CI is set");
        return Ok(());
    }
    let mut git = Command::new("git");
    let changed = git.args(["diff", "--quiet", "--", "Cargo.lock"]).current_dir(&workspace.root).status();
    match changed {
        Ok(status) if status.code() == Some(1) => {
            bail!("Cargo.lock does not fit the manifests; commit the one that a build writes")
        }
        _ => Ok(()),
    }
}

/// Which packages' tests to run.
#[derive(Clone, Copy)]
enum Choice<'a> {
    Only(&'a [&'a str]),
    AllBut(&'a [&'a str]),
}

/// Tests of a few packages, with nothing built that they do not need.
fn tests_of(workspace: &Workspace, runner: Runner, packages: &[&str]) -> Command {
    let mut command = match runner {
        Runner::Nextest => workspace.cargo("nextest"),
        Runner::Cargo => workspace.cargo("test"),
    };
    match runner {
        Runner::Nextest => command.args(["run", "--release", "--no-tests", "pass"]),
        Runner::Cargo => command.args(["--release", "--lib", "--bins", "--tests"]),
    };
    for package in packages {
        command.args(["--package", package]);
    }
    command
}

/// Tests out of all packages: everything is built, so that each such command finds what the one before it built.
fn all_tests(workspace: &Workspace, runner: Runner, choice: Choice<'_>) -> Command {
    let named =
        |packages: &[&str]| packages.iter().map(|name| format!("package(={name})")).collect::<Vec<_>>().join(" or ");
    match (runner, choice) {
        (Runner::Nextest, choice) => {
            let filter = match choice {
                Choice::Only(packages) => named(packages),
                Choice::AllBut(packages) => format!("not ({})", named(packages)),
            };
            let mut command = workspace.native(&["nextest", "run", "--release"]);
            command.args(["--no-tests", "pass", "--filterset", &filter]);
            command
        }
        (Runner::Cargo, Choice::Only(packages)) => tests_of(workspace, runner, packages),
        (Runner::Cargo, Choice::AllBut(packages)) => {
            let mut command = workspace.native(&["test", "--release", "--lib", "--bins", "--tests"]);
            command.args(packages.iter().flat_map(|name| ["--exclude", name]));
            command
        }
    }
}
