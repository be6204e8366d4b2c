//! `cargo xtask ci`: what is committed, as a machine sees it that has nothing else.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{steps::run, workspace::Workspace};

/// Clones the last commit into an empty folder and runs `.ci/run` there, without a terminal and without what was
/// built here. What was not committed is not seen: that is the point.
pub(crate) fn run_clean(workspace: &Workspace) -> Result<()> {
    let clone = workspace.target.join("ci");
    if clone.exists() {
        fs::remove_dir_all(&clone).with_context(|| format!("could not empty {}", clone.display()))?;
    }
    run(Command::new("git").args(["clone", "--quiet", "--no-local"]).arg(&workspace.root).arg(&clone))?;
    let mut script = Command::new("bash");
    script.arg(".ci/run").current_dir(&clone).env("CI", "true").env_remove("CARGO_TARGET_DIR").stdin(Stdio::null());
    run(&mut script)
}
