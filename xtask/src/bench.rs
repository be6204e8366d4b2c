//! `cargo xtask bench`: figures. Small parts by criterion; whole jobs beside native loops, strangers' plugins and clusters by
//! `wasmill-benches`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    plugins,
    steps::run,
    workspace::{Package, Workspace},
};

/// The crate that measures whole jobs, and its name on the command line.
const WHOLE: &str = "wasmill-benches";
const RUNS: &str = "runs";
/// What strangers' plugins cost, measured by the same crate.
const STRANGERS: &str = "strangers";
/// What an exchange between TaskManagers costs.
const EXCHANGE: &str = "exchange";
/// What a cluster of real processes does.
const CLUSTER: &str = "cluster";
/// A cluster that is killed again and again.
const SOAK: &str = "soak";
/// All that this crate measures.
const SETS: [&str; 4] = [RUNS, STRANGERS, EXCHANGE, CLUSTER];

/// Runs one set of benches, with whatever else is on the command line handed on to it, or all of them.
pub(crate) fn run_named(workspace: &Workspace, words: &[&str]) -> Result<()> {
    match words {
        [] => {
            for package in workspace.packages.iter().filter(|package| !package.benches.is_empty()) {
                parts(workspace, package, &[])?;
            }
            SETS.iter().try_for_each(|what| whole(workspace, what, &[]))
        }
        [what, rest @ ..] if SETS.contains(what) => whole(workspace, what, rest),
        [name, rest @ ..] => match find(workspace, name) {
            Some(package) => parts(workspace, package, rest),
            None => bail!("there are no benches named `{name}`; there are {}", names(workspace).join(", ")),
        },
    }
}

/// Runs clusters that are killed again and again.
pub(crate) fn soak(workspace: &Workspace, words: &[&str]) -> Result<()> {
    whole(workspace, SOAK, words)
}

/// A package with benches, by its name with or without `wasmill-`.
fn find<'a>(workspace: &'a Workspace, name: &str) -> Option<&'a Package> {
    workspace.packages.iter().find(|p| !p.benches.is_empty() && (p.name == name || short(&p.name) == name))
}

fn short(name: &str) -> &str {
    name.strip_prefix("wasmill-").unwrap_or(name)
}

fn names(workspace: &Workspace) -> Vec<&str> {
    let parts =
        workspace.packages.iter().filter(|package| !package.benches.is_empty()).map(|package| short(&package.name));
    SETS.into_iter().chain(parts).collect()
}

fn parts(workspace: &Workspace, package: &Package, arguments: &[&str]) -> Result<()> {
    let mut command = workspace.native(&["bench", "--profile", "release"]);
    for bench in &package.benches {
        command.args(["--bench", bench]);
    }
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    run(&mut command)
}

fn whole(workspace: &Workspace, what: &str, arguments: &[&str]) -> Result<()> {
    plugins::build(workspace)?;
    run(workspace.native(&["build", "--release"]).args(["--bin", "wasmill", "--bin", WHOLE]))?;
    run(Command::new(workspace.program(WHOLE)).arg(what).args(arguments).current_dir(&workspace.root))
}
