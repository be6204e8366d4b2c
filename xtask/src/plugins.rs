//! `cargo xtask plugins`: every Rust operator of this repository as a component in `target/plugins/`.
//!
//! A component is named after its folder. It is written only when its bytes changed, so that whoever watches the
//! file, or caches by its time, sees only real changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{
    component,
    steps::run,
    tools::{self, GUEST_TARGET},
    workspace::{Package, Workspace},
};

/// The section in which a component says what it is: docs/reference/manifest.md.
const MANIFEST: &str = "wasmill:manifest";

/// Builds all operators and lists them.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let operators = workspace.operators();
    if operators.is_empty() {
        println!("There are no operators to build.");
        return Ok(());
    }
    refuse_twins(&operators)?;
    tools::guest_target(workspace)?;
    run(&mut for_sandbox(workspace, "build"))?;

    let folder = workspace.target.join("plugins");
    fs::create_dir_all(&folder).with_context(|| format!("could not make the folder {}", folder.display()))?;
    for operator in operators {
        println!("{}", install(workspace, operator, &folder)?);
    }
    Ok(())
}

/// Runs clippy on all operators, as they are built.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    if workspace.operators().is_empty() {
        return Ok(());
    }
    tools::guest_target(workspace)?;
    run(for_sandbox(workspace, "clippy").args(["--", "--deny", "warnings"]))
}

/// `cargo VERB` for all operators, in the profile and for the target that they are built with.
fn for_sandbox(workspace: &Workspace, verb: &str) -> Command {
    let mut command = workspace.cargo(verb);
    command.args(["--profile", "plugin", "--target", GUEST_TARGET, "--lib"]);
    for operator in workspace.operators() {
        command.args(["--package", &operator.name]);
    }
    command
}

/// Two operators in folders of one name would overwrite each other.
fn refuse_twins(operators: &[&Package]) -> Result<()> {
    for (place, operator) in operators.iter().enumerate() {
        if let Some(twin) = operators[..place].iter().find(|other| name(other) == name(operator)) {
            bail!("{} and {} have folders of one name; rename one", twin.folder.display(), operator.folder.display());
        }
    }
    Ok(())
}

fn name(operator: &Package) -> String {
    operator.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Puts a built operator in its place, and describes it in a line.
fn install(workspace: &Workspace, operator: &Package, folder: &Path) -> Result<String> {
    let file = operator.cdylib.as_ref().expect("an operator has a cdylib");
    let built = workspace.target.join(GUEST_TARGET).join("plugin").join(format!("{file}.wasm"));
    let bytes = fs::read(&built).with_context(|| format!("could not read {}", built.display()))?;
    let name = name(operator);
    // What the tests make of guests is to be exactly what is written there.
    let bytes = if operator.folder.starts_with("tests") {
        bytes
    } else {
        let manifest = json!({ "name": name, "version": operator.version, "description": operator.description });
        component::with_section(bytes, MANIFEST, manifest.to_string().as_bytes())
    };
    let wasi =
        component::wasi_imports(&bytes).map_err(|why| anyhow::anyhow!("{} cannot be used: {why}", built.display()))?;
    let place = folder.join(format!("{name}.wasm"));
    let changed = write_if_changed(&place, &bytes)?;
    Ok(format!(
        "{name:<20} {:>8.1} KB  sha256:{}  {}{}",
        bytes.len() as f64 / 1000.0,
        component::digest(&bytes),
        if wasi.is_empty() { "no WASI".to_owned() } else { format!("{} WASI imports", wasi.len()) },
        if changed { "" } else { ", unchanged" },
    ))
}

/// Writes a file unless it holds these bytes already; says whether it did.
fn write_if_changed(place: &PathBuf, bytes: &[u8]) -> Result<bool> {
    if fs::read(place).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let unfinished = place.with_extension("part");
    let write = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, place));
    write.with_context(|| format!("could not write {}", place.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(folder: &str) -> Package {
        Package {
            name: folder.replace('/', "-"),
            version: "1.0.0".to_owned(),
            description: String::new(),
            folder: folder.into(),
            cdylib: Some("x".to_owned()),
            unit_tests: false,
            benches: Vec::new(),
        }
    }

    #[test]
    fn folders_of_one_name_are_refused() {
        let (a, b, c) = (operator("plugins/count"), operator("examples/words/count"), operator("plugins/sum"));
        assert!(refuse_twins(&[&a, &c]).is_ok());
        let error = refuse_twins(&[&a, &c, &b]).expect_err("two are named count").to_string();
        assert_eq!(error, "plugins/count and examples/words/count have folders of one name; rename one");
    }

    #[test]
    fn an_unchanged_component_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
        let place = folder.join("a.wasm");
        let writes =
            [b"1".as_slice(), b"1", b"22", b"22"].map(|bytes| write_if_changed(&place, bytes).expect("writes"));
        let content = fs::read(&place).expect("was written");
        fs::remove_dir_all(&folder).expect("was made above");
        assert_eq!(writes, [true, false, true, false]);
        assert_eq!(content, b"22");
    }
}
