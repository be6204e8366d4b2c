//! One attempt at a job: its file read, the projects of its operators built, the whole checked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wasmill_model::settings::Settings;
use wasmill_plugin::{Digest, PluginStore};
use wasmill_runtime::Job;

use crate::{
    build::{self, absolute, project_of},
    error::Error,
    run, tell,
};

/// What is asked for on the command line.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) job: PathBuf,
    pub(super) set: Vec<String>,
}

/// What decides how a job runs: its file, and its plugins with the digests of their components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    text: String,
    plugins: Vec<(PathBuf, Option<Digest>)>,
}

/// The component of an operator. Absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PluginFile {
    pub(super) wasm: PathBuf,
    /// The folder of the cargo project that makes it, if there is one.
    pub(super) project: Option<PathBuf>,
}

/// What has come of an attempt.
pub(super) struct Attempt {
    /// The components of the job; empty if its file cannot be read.
    pub(super) files: Vec<PluginFile>,
    /// The job that can run and what it was made of; none if that is what runs already; an error if there is no job.
    pub(super) job: Result<Option<(Job, Made)>, Error>,
}

impl Attempt {
    /// Builds what is to be built and checks the job.
    pub(super) fn make(order: &Order, store: &PluginStore, running: Option<&Made>) -> Self {
        let read = || -> Result<(String, Settings), Error> {
            let text = run::read(&order.job)?;
            let mut settings = Settings::parse(&order.job, &text)?;
            for assignment in &order.set {
                settings.set(assignment)?;
            }
            Ok((text, settings))
        };
        let (text, settings) = match read() {
            Ok(read) => read,
            Err(error) => return Self { files: Vec::new(), job: Err(error) },
        };
        let base = order.job.parent().unwrap_or(Path::new(""));
        let files = plugin_files(&settings, base);
        let job = Self::job(&settings, base, text, &files, store, running);
        Self { files, job }
    }

    fn job(
        settings: &Settings,
        base: &Path,
        text: String,
        files: &[PluginFile],
        store: &PluginStore,
        running: Option<&Made>,
    ) -> Result<Option<(Job, Made)>, Error> {
        let mut projects: Vec<&PathBuf> = files.iter().filter_map(|file| file.project.as_ref()).collect();
        projects.sort();
        projects.dedup();
        for project in projects {
            tell(&format!("building {}\n", project.display()));
            build::build(project).map_err(|e| build::not_built(&e))?;
        }
        let digest = |file: &PluginFile| fs::read(&file.wasm).ok().map(|bytes| Digest::of(&bytes));
        let plugins = files.iter().map(|file| (file.wasm.clone(), digest(file))).collect();
        let made = Made { text, plugins };
        if running == Some(&made) {
            return Ok(None);
        }
        let job = Job::prepare(settings, base, store)?;
        Ok(Some((job, made)))
    }
}

/// The components that a job names by path. What is wrong with the job file is found when it is checked.
fn plugin_files(settings: &Settings, base: &Path) -> Vec<PluginFile> {
    let Some(operators) = settings.get("operator").and_then(|setting| setting.table().ok()) else { return Vec::new() };
    let path = |table: &Settings| table.get("plugin").and_then(|plugin| plugin.path(base).ok());
    let mut files: Vec<PluginFile> = Vec::new();
    for (_, operator) in operators.iter() {
        let Some(path) = operator.table().ok().and_then(path) else { continue };
        let wasm = absolute(&path);
        if files.iter().all(|file| file.wasm != wasm) {
            let project = project_of(&wasm);
            files.push(PluginFile { wasm, project });
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_in_the_target_of_a_project_is_built() {
        let folder = tempfile::TempDir::new().expect("temporary folders can be made");
        let root = fs::canonicalize(folder.path()).expect("it is there");
        fs::create_dir_all(root.join("op/src")).expect("the folder takes folders");
        let manifest = "[package]\nname = \"op\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
        fs::write(root.join("op/Cargo.toml"), manifest).expect("the folder takes files");
        fs::write(root.join("op/src/lib.rs"), "").expect("the folder takes files");
        let job = "[operator.a]\nplugin = \"./op/target/op.wasm\"\n[operator.b]\nplugin = \"./op/target/other.wasm\"\n\
                   [operator.c]\nplugin = \"op/../elsewhere/c.wasm\"\n[operator.d]\nplugin = \"op/target/op.wasm\"\n";
        let settings = Settings::parse(Path::new("job.toml"), job).expect("it is TOML");
        let found = plugin_files(&settings, &root);
        let projects: Vec<_> = found.iter().map(|file| file.project.clone()).collect();
        assert_eq!(projects, [Some(root.join("op")), None, None]);
        assert_eq!(found[0].wasm, root.join("op/target/op.wasm"));
        fs::write(root.join("op/Cargo.toml"), "[package").expect("the folder takes files");
        assert_eq!(plugin_files(&settings, &root)[0].project, Some(root.join("op")));
    }
}
