//! Cargo and rustup: found or missed with a plain sentence, and asked for a component.

use std::{
    env, io,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::Project;
use crate::tell;

/// What operators are compiled to.
const TARGET: &str = "wasm32-wasip2";

/// The profile operators are built in. A workspace that has one of this name in its Cargo.toml decides for itself.
const PROFILE: &str = "wasmill";

/// Small, without an unwinder, without debug information; names stay, so that a trap can say where it happened.
const PROFILE_SETTINGS: [&str; 5] =
    ["inherits=\"release\"", "lto=\"fat\"", "codegen-units=1", "panic=\"abort\"", "strip=\"debuginfo\""];

/// The cargo that is asked: the one that runs this program, if one does.
pub(super) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What starting a command came to; one that is not there is told in a sentence.
pub(super) fn started<T>(result: io::Result<T>, command: &Command) -> anyhow::Result<T> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    result.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "`{name}` is not installed, or not on the PATH: Rust operators are built by cargo\n  hint: install Rust \
             by rustup, see https://rustup.rs"
        ),
        _ => anyhow::anyhow!("could not start `{name}`: {error}"),
    })
}

/// Makes sure that the toolchain of this folder has the sandbox's target.
pub(super) fn add_target(folder: &Path) -> anyhow::Result<()> {
    if has_target(folder)? {
        return Ok(());
    }
    tell(&format!("the standard library for {TARGET} is missing: rustup installs it\n"));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(folder).stdout(Stdio::null());
    let by_hand = format!(
        "operators cannot be built without the target {TARGET}\n  hint: add it to the toolchain, with rustup: \
         `rustup target add {TARGET}`"
    );
    let status = rustup.status().map_err(|error| anyhow::anyhow!("could not start `rustup`: {error}: {by_hand}"))?;
    if !status.success() {
        bail!("{by_hand}");
    }
    Ok(())
}

fn has_target(folder: &Path) -> anyhow::Result<bool> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder);
    let output = started(rustc.output(), &rustc)?;
    if !output.status.success() {
        bail!("could not ask rustc for {TARGET}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let folder = String::from_utf8(output.stdout).context("the path of rustc's folder is not UTF-8")?;
    Ok(Path::new(folder.trim()).is_dir())
}

/// Compiles the project's library; returns the file that cargo made of it.
pub(super) fn compile(project: &Project) -> anyhow::Result<PathBuf> {
    let manifest = project.folder.join("Cargo.toml");
    let mut cargo = cargo();
    cargo.args(["build", "--lib", "--target", TARGET, "--profile", PROFILE]);
    cargo.args(["--message-format", "json-render-diagnostics", "--manifest-path"]).arg(&manifest);
    if !project.has_profile(PROFILE) {
        for setting in PROFILE_SETTINGS {
            cargo.args(["--config", &format!("profile.{PROFILE}.{setting}")]);
        }
    }
    cargo.current_dir(&project.folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = started(cargo.spawn(), &cargo)?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut made = None;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("could not read what cargo says")?;
        // Build scripts may write lines of their own.
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        made = artifact(&message, &manifest).or(made);
    }
    let status = child.wait().context("could not wait for cargo")?;
    if !status.success() {
        bail!("{} does not compile: cargo says why", project.name);
    }
    made.with_context(|| format!("cargo built no component of {}", project.name))
}

/// The component that a message of cargo speaks of, if it is this package's.
fn artifact(message: &Value, manifest: &Path) -> Option<PathBuf> {
    let is_ours = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}
