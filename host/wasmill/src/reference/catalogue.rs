//! The standard operators as their components tell of them: what a component says without being run, and how it describes
//! itself on those of its fixtures that are to pass.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use wasmill_model::{configuration, fault::Code};
use wasmill_plugin::{PluginStore, inspect::Inspection};
use wasmill_runtime::trial::Trial;

use crate::{
    error::Error,
    fixtures::{Fixture, Subject},
    plugins,
};

/// Where the standard operators are.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// Folder of a folder for each, with its page and fixtures.
    pub(super) sources: PathBuf,
    /// Folder of the components.
    pub(super) components: PathBuf,
    pub(super) store: PluginStore,
}

/// What a row of the catalogue says.
#[derive(Default)]
struct Row {
    /// Of each fixture, whether the operator wanted keys in it.
    keyed: Vec<bool>,
    event_times: Vec<bool>,
    ports: Vec<String>,
}

impl Catalogue {
    /// The table of an operator's configuration.
    pub(super) fn configuration(&self, name: &str) -> Result<String, Error> {
        let inspection = self.inspected(name)?.1;
        Ok(configuration::markdown(&inspection.configuration))
    }

    /// The table of all operators.
    pub(super) fn table(&self) -> Result<String, Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.sources).map_err(|e| unreadable(&self.sources, &e))? {
            let folder = entry.map_err(|e| unreadable(&self.sources, &e))?.path();
            if folder.join("README.md").is_file() {
                names.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        names.sort();
        let mut text = String::from("| operator | does | ports | key | event times |\n|---|---|---|---|---|\n");
        for name in names {
            let (wasm, inspection) = self.inspected(&name)?;
            let about = inspection.manifest.and_then(|manifest| manifest.description);
            let about = about.ok_or_else(|| unreadable(&wasm, &"its manifest has no description"))?;
            let Row { keyed, event_times, ports } = self.row(&name, wasm)?;
            let [keyed, event_times] =
                [keyed, event_times].map(|all| match (all.contains(&true), all.contains(&false)) {
                    (true, true) => "as configured",
                    (true, false) => "yes",
                    (false, _) => "",
                });
            let link = format!("[`{name}`](../../plugins/{name}/README.md)");
            writeln!(text, "| {link} | {about} | {} | {keyed} | {event_times} |", ports.join(", "))
                .expect("writing to a string succeeds");
        }
        Ok(text)
    }

    fn inspected(&self, name: &str) -> Result<(PathBuf, Inspection), Error> {
        let wasm = self.components.join(format!("{name}.wasm"));
        let inspection = self.store.inspect(&plugins::read(&wasm)?).map_err(|e| unreadable(&wasm, &e))?;
        Ok((wasm, inspection))
    }

    fn row(&self, name: &str, wasm: PathBuf) -> Result<Row, Error> {
        let subject = Subject { wasm, name: name.to_owned(), folder: self.sources.join(name).join("fixtures") };
        let mut row = Row::default();
        for folder in subject.fixtures(&[])? {
            let fixture = Fixture::read(&folder)?;
            if fixture.spec.fails.is_none() {
                let trial = Trial::prepare(&fixture.spec, &fixture.name, name, &subject.wasm, &self.store)?;
                let inputs = &trial.descriptor().inputs;
                row.keyed.push(inputs.iter().any(|input| input.keyed));
                row.event_times.push(inputs.iter().any(|input| input.event_times));
                row.ports = trial.ports().map(|(port, _)| format!("`{port}`")).collect();
            }
        }
        if row.keyed.is_empty() {
            return Err(unreadable(&subject.folder, &"no fixture of it is to pass"));
        }
        Ok(row)
    }
}

fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::new(Code::FileUnreadable, format!("could not read {}: {reason}", path.display()))
}
