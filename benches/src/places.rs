//! Where the sources, the programs and the plugins are, and where a measurement may write.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Where things are.
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    pub(crate) wasmill: PathBuf,
    pub(crate) plugins: PathBuf,
    /// What is written here.
    pub(crate) folder: PathBuf,
}

impl Places {
    pub(crate) fn find() -> Result<Self> {
        let program = std::env::current_exe().context("could not find this program")?;
        let release = program.parent().context("this program lies in no folder")?;
        let target = release.parent().context("this program's folder lies in no folder")?;
        let places = Self {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().context("the sources are gone")?,
            wasmill: release.join("wasmill"),
            plugins: target.join("plugins"),
            folder: target.join("bench"),
        };
        fs::create_dir_all(&places.folder).with_context(|| format!("could not make {}", places.folder.display()))?;
        Ok(places)
    }

    pub(crate) fn plugin(&self, name: &str) -> PathBuf {
        self.plugins.join(name).with_extension("wasm")
    }
}
