//! `cargo xtask sim`: whole clusters in one thread, from a seed each, for as many seeds as one likes.

use std::process::Command;

use anyhow::Result;

use crate::{steps::run, workspace::Workspace};

/// The crate that makes the clusters.
const SIM: &str = "wasmill-sim";

/// Builds the program, and hands everything on the command line on to it.
pub(crate) fn run_seeds(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    run(workspace.native(&["build", "--release"]).args(["--bin", SIM]))?;
    run(Command::new(workspace.program(SIM)).args(arguments).current_dir(&workspace.root))
}
