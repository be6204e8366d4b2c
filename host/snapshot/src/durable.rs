//! Files that appear whole or not at all: written under a name of their own, synced, then renamed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// How names end that are not to be read by anybody.
pub(crate) const UNFINISHED: &str = "unfinished";

/// A file that is being written. Dropped, it is gone; what a crash leaves is called `NAME.RANDOM.unfinished`.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// Makes an empty file beside the one that it is to become.
    pub(crate) fn create(target: &Path) -> io::Result<(Self, File)> {
        let mut name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        name.push(format!(".{}.{UNFINISHED}", random()?));
        let path = target.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok((Self { path, target: target.to_owned(), finished: false }, file))
    }

    /// Gives it its name, in place of what has it. It must have been synced.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.finished = true;
        sync_folder(&self.target)
    }

    /// Gives it its name if nobody has it; `false` if somebody does. It must have been synced.
    pub(crate) fn finish_new(self) -> io::Result<bool> {
        // Unlike a rename, it fails if the name is taken. The other name goes when this is dropped.
        match fs::hard_link(&self.path, &self.target) {
            // A network that lost the answer asks again, and then finds the name taken: by this very file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::metadata(&self.path)?.nlink() == 1 {
                    return Ok(false);
                }
            }
            linked => linked?,
        }
        sync_folder(&self.target)?;
        Ok(true)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the names in the folder of a file durable.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(folder_of(file))?.sync_all()
}

/// The folder of a file; that of a bare name is the working folder.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// 16 hexadecimal digits that nobody else comes by.
pub(crate) fn random() -> io::Result<String> {
    let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{number:016x}"))
}
