//! A cargo project that is an operator: where it is, what it is called, what its Cargo.toml says about it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use wasmill_model::manifest::Manifest;

use super::toolchain;

/// What of a project's Cargo.toml matters here.
#[derive(Debug)]
pub(crate) struct Project {
    /// Absolute.
    pub(crate) folder: PathBuf,
    /// The package's name.
    pub(crate) name: String,
    /// Of the workspace that the package is in; its own folder if it is in none.
    pub(super) workspace: PathBuf,
    version: String,
    description: Option<String>,
    /// `[package.metadata.wasmill]`; null if there is none.
    metadata: Value,
}

impl Project {
    /// Asks cargo about the project in this folder.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        let folder = fs::canonicalize(folder).with_context(|| format!("could not find the folder {shown}"))?;
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            bail!(
                "there is no Cargo.toml in {shown}: it is no project\n  hint: name the project's folder; \
                 `wasmill new NAME --lang rust` begins one"
            );
        }
        let mut cargo = toolchain::cargo();
        cargo.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]).arg(&manifest);
        let metadata = output_of(cargo.current_dir(&folder))
            .with_context(|| format!("could not read {}", folder.join("Cargo.toml").display()))?;
        let metadata: Value = serde_json::from_slice(&metadata).context("cargo metadata gave no JSON")?;
        Self::of_metadata(&metadata, folder)
    }

    fn of_metadata(metadata: &Value, folder: PathBuf) -> anyhow::Result<Self> {
        let manifest = folder.join("Cargo.toml");
        let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
        let is_here = |package: &&Value| package["manifest_path"].as_str().is_some_and(|p| Path::new(p) == manifest);
        let Some(package) = packages.iter().find(is_here) else {
            let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
            bail!(
                "{} describes no package, only a workspace\n  hint: name the folder of one of its packages: {}",
                manifest.display(),
                names.join(", ")
            );
        };
        let has_cdylib = |target: &Value| {
            target["crate_types"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        };
        if !package["targets"].as_array().is_some_and(|targets| targets.iter().any(has_cdylib)) {
            bail!(
                "{} makes no component: its library is no `cdylib`\n  hint: write crate-type = [\"cdylib\", \"rlib\"] \
                 under [lib]",
                manifest.display()
            );
        }
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        Ok(Self {
            name: text("name").context("cargo metadata names no package")?,
            version: text("version").context("cargo metadata gives no version")?,
            description: text("description"),
            metadata: package["metadata"]["wasmill"].clone(),
            workspace: metadata["workspace_root"].as_str().map_or_else(|| folder.clone(), PathBuf::from),
            folder,
        })
    }

    /// Where its component is put.
    pub(crate) fn component(&self) -> PathBuf {
        self.folder.join("target").join(format!("{}.wasm", self.name))
    }

    /// What its Cargo.toml says of the operator.
    pub(super) fn manifest(&self) -> anyhow::Result<Manifest> {
        let file = self.folder.join("Cargo.toml");
        let error = |place: &str, error: &dyn std::fmt::Display| {
            anyhow::anyhow!("could not make a manifest of {}: {place}{error}", file.display())
        };
        let mut fields = json!({ "name": self.name.to_lowercase().replace('_', "-"), "version": self.version });
        if let Some(description) = &self.description {
            // A manifest's is one line.
            fields["description"] = description.split_whitespace().collect::<Vec<_>>().join(" ").into();
        }
        match &self.metadata {
            Value::Null => {}
            Value::Object(own) => {
                for (key, value) in own {
                    if key != "limits" {
                        let hint = "\n  hint: there is `limits`; name, version and description stand in [package]";
                        return Err(error("package.metadata.wasmill: ", &format!("unknown key `{key}`{hint}")));
                    }
                    fields[key] = value.clone();
                }
            }
            _ => return Err(error("package.metadata.wasmill: ", &"expected a table")),
        }
        Manifest::parse(fields.to_string().as_bytes()).map_err(|e| error("", &e))
    }

    /// Whether the workspace has a profile of this name.
    pub(super) fn has_profile(&self, name: &str) -> bool {
        let text = fs::read_to_string(self.workspace.join("Cargo.toml")).unwrap_or_default();
        let root = text.parse::<toml::Table>().unwrap_or_default();
        root.get("profile").and_then(|profiles| profiles.get(name)).is_some()
    }
}

/// The path without links and `..`, though there may be no such file yet.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|folder| fs::canonicalize(folder).ok().map(|real| (folder, real)));
    match there {
        Some((folder, real)) => match path.strip_prefix(folder) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => path,
        },
        None => path,
    }
}

/// The project that `wasmill build` makes this component of: the folder around its `target`. One whose Cargo.toml cannot
/// be read counts, so that building it says why.
pub(crate) fn project_of(wasm: &Path) -> Option<PathBuf> {
    let target = wasm.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "target"))?;
    let folder = target.parent().filter(|folder| folder.join("Cargo.toml").is_file())?;
    match Project::read(folder) {
        Ok(project) => (project.component() == wasm).then(|| folder.to_owned()),
        Err(_) => Some(folder.to_owned()),
    }
}

/// What a command writes to standard output; an error tells what it said otherwise.
fn output_of(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = toolchain::started(command.output(), command)?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end().trim_start_matches("error: "));
    }
    Ok(output.stdout)
}
