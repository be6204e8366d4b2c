//! Where on a host jobs may read and write.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Folders whose files, and those of the folders in them, jobs may read and write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Folders(Vec<PathBuf>);

/// A folder is not one.
#[derive(Debug, thiserror::Error)]
#[error("could not let jobs use the folder {}: {source}", folder.display())]
pub struct NoFolder {
    folder: PathBuf,
    source: io::Error,
}

impl Folders {
    /// These. If there is none, wherever the process may.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// The same, with all links followed.
    ///
    /// # Errors
    /// If one is not there.
    pub fn resolved(&self) -> Result<Self, NoFolder> {
        let resolve =
            |folder: &PathBuf| folder.canonicalize().map_err(|source| NoFolder { folder: folder.clone(), source });
        self.0.iter().map(resolve).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_everywhere(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a job may use a file, which need not be there, or what a pattern names. Links are followed as far as they are there.
    /// The folders must have been resolved.
    pub(crate) fn permit(&self, path: &Path) -> bool {
        if self.is_everywhere() {
            return true;
        }
        // Of what is not there, `..` says nothing.
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return false;
        }
        let there = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
        let Some((part, resolved)) = there else { return false };
        let rest = path.strip_prefix(part).unwrap_or(Path::new(""));
        // Something is there that leads nowhere: who knows where it will lead.
        if rest.components().next().is_some_and(|first| part.join(first).is_symlink()) {
            return false;
        }
        let whole = resolved.join(rest);
        self.0.iter().any(|folder| whole.starts_with(folder) && whole != *folder)
    }
}

impl std::fmt::Display for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.0.iter().map(|folder| folder.display().to_string()).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn no_way_leads_out_of_the_folders() {
        let base = tempfile::tempdir().expect("a folder");
        let base = base.path().canonicalize().expect("it is there");
        for folder in ["data/in", "secret"] {
            fs::create_dir_all(base.join(folder)).expect("folders can be made");
        }
        fs::write(base.join("secret/key"), "k").expect("files can be written");
        fs::write(base.join("data/in/rows"), "r").expect("files can be written");
        let link = |to: &str, from: &str| symlink(base.join(to), base.join(from)).expect("links can be made");
        link("secret", "data/door");
        link("secret/key", "data/key");
        link("secret/later", "data/dangling");
        link("data/in", "data/inside");
        link("data", "entry");
        let folders = Folders::new(vec![base.join("entry")]).resolved().expect("it is there");
        let check = |path: &str, expected: bool| {
            assert_eq!(folders.permit(&base.join(path)), expected, "{path}");
        };
        for path in ["data/in/rows", "data/new", "data/new/deep/er", "data/in/*.json", "data/**", "data/inside/rows"] {
            check(path, true);
        }
        check("entry/in/rows", true);
        for path in [
            "data",
            "secret/key",
            "data/../secret/key",
            "data/door/key",
            "data/door/new",
            "data/key",
            "dat",
            "database",
        ] {
            check(path, false);
        }
        check("data/dangling", false);
        check("data/in/../../secret/key", false);
        assert!(!folders.permit(Path::new("data/in/rows")), "it is relative");
        assert!(Folders::default().permit(&base.join("secret/key")));
        assert!(Folders::new(vec![base.join("nowhere")]).resolved().is_err());
    }
}
