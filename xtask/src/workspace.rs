//! What cargo says about this repository: where things are, and which packages there are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// This repository, as cargo sees it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One member of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// What it is for, in a line; empty if it does not say.
    pub(crate) description: String,
    /// Its folder, relative to the root.
    pub(crate) folder: PathBuf,
    /// The name of the file that a build of its `cdylib` makes, without its ending; none if it has no such target.
    pub(crate) cdylib: Option<String>,
    /// Whether its library has tests of its own.
    pub(crate) unit_tests: bool,
    /// The names of its benches.
    pub(crate) benches: Vec<String>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .output()
            .context("could not run cargo metadata")?;
        if !output.status.success() {
            bail!("could not read the workspace:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Self::parse(&serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?)
    }

    fn parse(metadata: &Value) -> Result<Self> {
        let path = |key: &str| metadata[key].as_str().map(PathBuf::from).with_context(|| format!("{key} is missing"));
        let root = path("workspace_root")?;
        let listed = metadata["packages"].as_array().context("packages is missing")?;
        let packages = listed.iter().map(|value| Package::parse(value, &root)).collect::<Result<_>>()?;
        Ok(Self { target: path("target_directory")?, root, packages })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.packages.iter().any(|package| package.name == name)
    }

    /// The operators: they are built for the sandbox, and only for it.
    pub(crate) fn operators(&self) -> Vec<&Package> {
        self.packages.iter().filter(|package| package.is_operator()).collect()
    }

    /// `cargo VERB` in the root of the repository.
    pub(crate) fn cargo(&self, verb: &str) -> Command {
        let mut command = cargo();
        command.arg(verb).current_dir(&self.root);
        command
    }

    /// `cargo VERB` for all packages but the operators; the verb says the profile.
    ///
    /// Whoever wants one program names it besides. Cargo chooses the features of a dependency by the packages it is
    /// asked for, so that asking for one package alone would compile the engine once more.
    pub(crate) fn native(&self, verb: &[&str]) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).args(verb).arg("--workspace");
        for operator in self.operators() {
            command.args(["--exclude", &operator.name]);
        }
        command
    }

    /// A path as it is shown and typed in the root of the repository: short where it lies within.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// The path of a program of this repository, once it is built.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }
}

impl Package {
    fn parse(value: &Value, root: &Path) -> Result<Self> {
        let name = value["name"].as_str().context("a package has no name")?.to_owned();
        let manifest = value["manifest_path"].as_str().with_context(|| format!("{name} has no manifest"))?;
        let folder = Path::new(manifest).parent().and_then(|folder| folder.strip_prefix(root).ok());
        let folder = folder.with_context(|| format!("{name} lies outside the repository"))?.to_owned();
        let targets = value["targets"].as_array().map_or(&[][..], Vec::as_slice);
        let is = |target: &Value, kind: &str| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k.as_str() == Some(kind)))
        };
        let of_name = |target: &Value| target["name"].as_str().map(str::to_owned);
        let cdylib = targets.iter().find(|target| is(target, "cdylib")).and_then(of_name);
        Ok(Self {
            cdylib: cdylib.map(|name| name.replace('-', "_")),
            unit_tests: targets.iter().any(|target| !is(target, "bench") && target["test"] == true),
            benches: targets.iter().filter(|target| is(target, "bench")).filter_map(of_name).collect(),
            version: value["version"].as_str().unwrap_or_default().to_owned(),
            description: value["description"].as_str().unwrap_or_default().to_owned(),
            name,
            folder,
        })
    }

    /// Whether it is an operator: something that is built to a component and runs inside the engine.
    pub(crate) fn is_operator(&self) -> bool {
        let guest = self.folder.starts_with("tests/guests");
        self.cdylib.is_some() && (self.folder.starts_with("plugins") || self.folder.starts_with("examples") || guest)
    }

    /// Whether it tests whole processes, and so needs the program and the plugins to be built.
    pub(crate) fn is_end_to_end(&self) -> bool {
        self.folder.starts_with("tests") && !self.folder.starts_with("tests/guests") && self.name != "wasmill-house"
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_operators_from_other_packages() {
        let package = |name: &str, folder: &str, kind: &str| {
            serde_json::json!({
                "name": name,
                "manifest_path": format!("/r/{folder}/Cargo.toml"),
                "targets": [{ "name": name, "kind": [kind] }],
            })
        };
        let metadata = serde_json::json!({
            "workspace_root": "/r",
            "target_directory": "/r/target",
            "packages": [
                package("plugin-count", "plugins/count", "cdylib"),
                package("rust-plain", "tests/guests/rust-plain", "cdylib"),
                package("wasmill-guests", "tests/guests/build", "bin"),
                package("wasmill-end-to-end", "tests/end-to-end", "test"),
                package("wasmill-house", "tests/house", "lib"),
                package("wasmill-state", "host/state", "bench"),
            ],
        });
        let workspace = Workspace::parse(&metadata).expect("is well formed");
        let named = |keep: fn(&Package) -> bool| -> Vec<&str> {
            workspace.packages.iter().filter(|p| keep(p)).map(|p| p.name.as_str()).collect()
        };
        assert_eq!(named(Package::is_operator), ["plugin-count", "rust-plain"]);
        assert_eq!(named(Package::is_end_to_end), ["wasmill-end-to-end"]);
        assert_eq!(named(|p| p.benches == [p.name.as_str()]), ["wasmill-state"]);
        assert_eq!(workspace.packages[0].cdylib.as_deref(), Some("plugin_count"));
    }
}
