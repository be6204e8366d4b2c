//! A process's scratch folder: files that it needs for a while, in its own data folder, so that what a killed process leaves lies where
//! the next one on that folder finds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const FOLDER: &str = "scratch";

/// The scratch folder of this process.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes the one of a data folder anew. No other process may use the data folder any more.
    pub(crate) fn begin(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&folder)?,
        }
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a folder in it.
    pub(crate) fn make(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Removes it, while the data folder is still this process's alone.
    pub(crate) fn remove(&self) {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_process_left_is_gone_and_nothing_is_left_at_the_end() {
        let data = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(data.path().join("scratch/.tmpAbc")).expect("there is room");
        fs::write(data.path().join("scratch/.tmpAbc/snapshot"), "half").expect("there is room");
        let scratch = Scratch::begin(data.path()).expect("it is ours");
        assert_eq!(fs::read_dir(scratch.folder()).expect("it is there").count(), 0);
        let folder = scratch.make("copies").expect("there is room");
        fs::write(folder.join("1"), "copy").expect("there is room");
        scratch.remove();
        assert_eq!(fs::read_dir(data.path()).expect("it is there").count(), 0);
    }
}
