//! `wasmill build`: from a cargo project to a component with its manifest, checked as `wasmill check` would.
//!
//! Cargo compiles, for the sandbox's target and in a profile of its own; what it makes is stripped, given the manifest
//! and put at `target/NAME.wasm` of the project, where job files find it wherever cargo itself builds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use wasmill_model::fault::Code;

use crate::{
    Output,
    checked::{self, Detail},
    error::Error,
    plugins, refused, tell,
};

mod component;
mod project;
mod toolchain;

pub(crate) use project::{Project, absolute, project_of};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The project's folder, the one with its Cargo.toml.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// How to print what was built.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// What was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The component's file.
    pub(crate) wasm: PathBuf,
}

/// Builds a project and checks the component.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let built = match build(&arguments.folder) {
        Ok(built) => built,
        Err(error) => return refused(&not_built(&error), arguments.output),
    };
    match plugins::store(arguments.cache.as_deref()) {
        Ok(store) => checked::check_file(&built.wasm, Detail::Names, arguments.output, &store),
        Err(error) => refused(&error, arguments.output),
    }
}

/// Why there is no component, for the command line.
pub(crate) fn not_built(error: &anyhow::Error) -> Error {
    Error::new(Code::ProjectNotBuilt, format!("{error:#}"))
}

/// The component that a job names by this path: of a project's folder, or of a file that a project makes, it is built.
pub(crate) fn component_at(path: &Path) -> Result<PathBuf, Error> {
    let file = absolute(path);
    let project = if file.is_dir() { Some(file.clone()) } else { project_of(&file) };
    let Some(project) = project else { return Ok(path.to_owned()) };
    tell(&format!("building {}\n", project.display()));
    build(&project).map(|built| built.wasm).map_err(|e| not_built(&e))
}

/// Builds the project in this folder. Cargo's progress and the compiler's messages go to standard error.
///
/// # Errors
/// There is no project, a tool is missing, or it does not compile; the message says what to do about it.
pub(crate) fn build(folder: &Path) -> anyhow::Result<Built> {
    let project = Project::read(folder)?;
    let manifest = project.manifest()?;
    toolchain::add_target(&project.folder)?;
    let made = toolchain::compile(&project)?;
    let bytes = fs::read(&made).with_context(|| format!("could not read {}", made.display()))?;
    let bytes = component::finish(&bytes, &manifest)
        .with_context(|| format!("could not make an operator of {}", made.display()))?;
    let wasm = project.component();
    write_if_changed(&wasm, &bytes).with_context(|| format!("could not write {}", wasm.display()))?;
    Ok(Built { wasm })
}

/// Writes a file unless it holds these bytes already, so that whoever watches it sees only real changes. The file is
/// never half written.
fn write_if_changed(place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs::read(place).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = place.with_extension(format!("wasm.{}.part", std::process::id()));
    fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, place))
}
