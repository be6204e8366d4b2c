//! Files that appear whole or not at all: written under a name of their own, synced, then renamed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use wasmill_durable::Point;

/// How names end that are not to be read by anybody.
pub(crate) const UNFINISHED: &str = "unfinished";

/// The fail points on the way of a file to its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    sync: Point,
    name: Point,
    named: Point,
}

/// A snapshot file where it is made.
pub(crate) const SNAPSHOT: Steps =
    Steps { sync: Point::SnapshotSync, name: Point::SnapshotName, named: Point::SnapshotNamed };
/// Its copy in the store, and whatever else lies there under a name of its own.
pub(crate) const FILE: Steps = Steps { sync: Point::FileSync, name: Point::FileName, named: Point::FileNamed };
pub(crate) const MANIFEST: Steps =
    Steps { sync: Point::ManifestSync, name: Point::ManifestName, named: Point::ManifestNamed };

/// A file that is being written. Dropped, it is gone; what a crash leaves is called `NAME.RANDOM.unfinished`.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    target: PathBuf,
    finished: bool,
    /// None: it need not survive.
    steps: Option<Steps>,
}

impl Unfinished {
    /// Makes an empty file beside the one that it is to become.
    pub(crate) fn create(target: &Path, steps: Option<Steps>) -> io::Result<(Self, File)> {
        let mut name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        name.push(format!(".{}.{UNFINISHED}", random()?));
        let path = target.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok((Self { path, target: target.to_owned(), finished: false, steps }, file))
    }

    /// Makes durable what was written. If it fails, the file is not to be trusted: a second try may say that all is well, as the
    /// system has forgotten what it could not write.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.step(|steps| steps.sync)?;
        if self.steps.is_some() { file.sync_all() } else { Ok(()) }
    }

    /// Gives it its name, in place of what has it. It must have been synced.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.step(|steps| steps.name)?;
        fs::rename(&self.path, &self.target)?;
        self.finished = true;
        self.step(|steps| steps.named)?;
        if self.steps.is_some() { sync_folder(&self.target) } else { Ok(()) }
    }

    /// Gives it its name if nobody has it; `false` if somebody does. It must have been synced.
    pub(crate) fn finish_new(self) -> io::Result<bool> {
        self.step(|steps| steps.name)?;
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
        let synced = self.step(|steps| steps.named).and_then(|()| sync_folder(&self.target));
        if synced.is_err() {
            // Whoever saw the name would take for durable what may be gone after the next loss of power.
            let _ = fs::remove_file(&self.target);
        }
        synced.map(|()| true)
    }

    fn step(&self, which: impl FnOnce(&Steps) -> Point) -> io::Result<()> {
        self.steps.as_ref().map_or(Ok(()), |steps| wasmill_durable::step(which(steps)))
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
