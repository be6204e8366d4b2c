//! What must be on the machine besides cargo: looked for, and installed where it is missing.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    steps::run,
    workspace::{Workspace, cargo},
};

/// What operators are compiled to.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// Makes sure that Rust operators can be compiled.
pub(crate) fn guest_target(workspace: &Workspace) -> Result<()> {
    if has_guest_target(workspace)? {
        return Ok(());
    }
    println!("The standard library for {GUEST_TARGET} is missing; rustup installs it now.");
    run(Command::new("rustup").args(["target", "add", GUEST_TARGET]).current_dir(&workspace.root)).with_context(
        || format!("operators cannot be built without the target {GUEST_TARGET}; install it for the toolchain in rust-toolchain.toml"),
    )
}

fn has_guest_target(workspace: &Workspace) -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(&workspace.root)
        .output()
        .context("could not run rustc")?;
    if !output.status.success() {
        bail!("could not ask rustc where it is installed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let sysroot = String::from_utf8(output.stdout).context("the path of rustc's folder is not UTF-8")?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(GUEST_TARGET).exists())
}

/// What runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// A process a test, with the limits of `.config/nextest.toml`.
    Nextest,
    /// The one that comes with cargo.
    Cargo,
}

/// Finds cargo-nextest, or installs it; goes on without it where that fails.
pub(crate) fn runner() -> Runner {
    if answers(cargo().args(["nextest", "--version"])) {
        return Runner::Nextest;
    }
    println!("cargo-nextest is missing; cargo installs it now. This takes a few minutes, once.");
    match run(cargo().args(["install", "--locked", "cargo-nextest"])) {
        Ok(()) => Runner::Nextest,
        Err(error) => {
            println!("{error:#}\ncargo-nextest could not be installed; `cargo test` runs the tests instead.");
            Runner::Cargo
        }
    }
}

/// Whether a command can be run at all.
pub(crate) fn answers(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
