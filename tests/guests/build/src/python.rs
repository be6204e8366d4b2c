//! Python by componentize-py, which carries its own interpreter; all of WASI is stubbed away in the component.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{Folders, run_tool};

const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

pub(crate) fn build(folders: &Folders, source: &Path) -> Result<Vec<u8>> {
    let work = folders.work("python-plain")?;
    fs::copy(source.join("app.py"), work.join("app.py"))?;
    let component = work.join("component.wasm");
    run_tool(
        Command::new(componentize_py(&folders.output)?)
            .current_dir(&work)
            .arg("-d")
            .arg(&folders.wit)
            .args(["-w", "operator", "componentize", "--stub-wasi", "app", "-o"])
            .arg(&component),
    )?;
    Ok(fs::read(component)?)
}

/// The program's path; the first time, it is installed into a virtual environment of its own.
fn componentize_py(output: &Path) -> Result<PathBuf> {
    let environment = output.join(COMPONENTIZE_PY.replace("==", "-"));
    let program = environment.join("bin/componentize-py");
    if !program.exists() {
        eprintln!("installing {COMPONENTIZE_PY}");
        run_tool(Command::new("python3").args(["-m", "venv"]).arg(&environment))
            .context("Python 3 with the module venv is missing; install python3 and python3-venv by hand")?;
        run_tool(Command::new(environment.join("bin/pip")).args(["install", "--quiet", COMPONENTIZE_PY]))
            .with_context(|| format!("{COMPONENTIZE_PY} could not be installed; is the package index reachable?"))?;
    }
    Ok(program)
}
