//! Fixtures of a project: which operator, and which folders. `docs/reference/fixtures.md` says what stands in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wasmill_model::fault::Code;

use crate::{build, error::Error};

mod expected;
mod folder;
mod rows;

pub(crate) use expected::{Expected, Listing, lines, rejection_line, write_rejected};
pub(crate) use folder::Fixture;

/// The folder of a project that holds its fixtures.
const FOLDER: &str = "fixtures";

const HINT: &str = "hint: a fixture is a folder `fixtures/NAME` with a `fixture.toml`";

/// Fixtures that are read of one folder, at most.
const FIXTURES_MAX: usize = 10_000;

/// An operator and the folder of its fixtures.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The component's file, absolute.
    pub(crate) wasm: PathBuf,
    /// What the operator is called: the file's name without its ending.
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

impl Subject {
    /// Finds the operator and its fixtures: of a component's file, or of the project in a folder, which is built first. The fixtures of a
    /// component are in `fixtures`, unless told otherwise, beside the nearest Cargo.toml above the current folder or above
    /// the component.
    pub(crate) fn find(target: &Path, fixtures: Option<&Path>) -> Result<Self, Error> {
        let unreadable = |reason: &dyn std::fmt::Display| {
            Error::new(Code::FileUnreadable, format!("could not read {}: {reason}", target.display()))
        };
        if target.is_dir() {
            let built = build::build(target).map_err(|error| build::not_built(&error))?;
            let folder = fixtures.map_or_else(|| target.join(FOLDER), Path::to_owned);
            return Ok(Self { name: stem(&built.wasm), wasm: built.wasm, folder });
        }
        let wasm = std::path::absolute(target).map_err(|e| unreadable(&e))?;
        if !wasm.is_file() {
            return Err(unreadable(&"there is no such file or folder"));
        }
        let folder = fixtures.map_or_else(|| folder_of(target, &wasm), |folder| Ok(folder.to_owned()))?;
        Ok(Self { name: stem(&wasm), wasm, folder })
    }

    /// The folders of all fixtures whose names hold one of `filters`, or of all, sorted by name.
    pub(crate) fn fixtures(&self, filters: &[String]) -> Result<Vec<PathBuf>, Error> {
        let folder = self.folder.display();
        let missing = |message: String| Error::new(Code::FixtureNotFound, message);
        let unlisted = |e: std::io::Error| missing(format!("could not read the fixtures in {folder}: {e}\n  {HINT}"));
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unlisted)? {
            let path = entry.map_err(unlisted)?.path();
            if path.is_dir() && !name_of(&path).starts_with('.') {
                found.push(path);
            }
        }
        if found.is_empty() {
            return Err(missing(format!("could not find a fixture in {folder}\n  {HINT}")));
        }
        if found.len() > FIXTURES_MAX {
            let message =
                format!("could not read {} fixtures in {folder}: at most {FIXTURES_MAX} are read", found.len());
            return Err(Error::new(Code::FixtureFiles, message));
        }
        found.sort();
        let names: Vec<String> = found.iter().map(|path| name_of(path)).collect();
        if !filters.is_empty() {
            found.retain(|path| filters.iter().any(|filter| name_of(path).contains(filter)));
        }
        if found.is_empty() {
            let (filters, names) = (filters.join("` or `"), names.join(", "));
            let message = format!("could not find a fixture with `{filters}` in its name\n  hint: there are: {names}");
            return Err(missing(message));
        }
        Ok(found)
    }
}

/// Where the fixtures of a component are that nobody has named.
fn folder_of(target: &Path, wasm: &Path) -> Result<PathBuf, Error> {
    let current = std::env::current_dir().unwrap_or_default();
    let above_wasm = wasm.parent().and_then(project_above);
    let found = project_above(&current).filter(|folder| folder.join(FOLDER).is_dir()).or(above_wasm);
    let project = found.ok_or_else(|| {
        let hint = "name their folder with `--fixtures DIR`";
        let target = target.display();
        let message = format!("could not find fixtures for {target}: there is no Cargo.toml above it\n  hint: {hint}");
        Error::new(Code::FixtureNotFound, message)
    })?;
    let folder = project.join(FOLDER);
    Ok(folder.strip_prefix(&current).map_or(folder.clone(), Path::to_owned))
}

/// What an operator is called: the name of its file without the ending.
fn stem(wasm: &Path) -> String {
    wasm.file_stem().map_or_else(|| "operator".into(), |stem| stem.to_string_lossy()).into_owned()
}

/// A fixture's name: that of its folder.
pub(crate) fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn project_above(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|folder| folder.join("Cargo.toml").is_file()).map(Path::to_owned)
}
