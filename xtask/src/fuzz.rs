//! `cargo xtask fuzz`: random inputs for what reads strangers' bytes, for as long as one likes.

use std::process::Command;

use anyhow::Result;

use crate::{plugins, steps::run, workspace::Workspace};

/// The crate that makes and runs the inputs.
const FUZZ: &str = "wasmill-fuzz";

/// Builds the program and what its inputs are made from, and hands everything on the command line on to it.
pub(crate) fn run_targets(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    plugins::build(workspace)?;
    run(workspace.native(&["build", "--release"]).args(["--bin", FUZZ]))?;
    run(Command::new(workspace.program(FUZZ)).args(arguments).current_dir(&workspace.root))
}
