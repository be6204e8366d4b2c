//! Who a TaskManager is: an id for its data folder, and a number for each life of its process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use wasmill_durable::{Point, step};
use wasmill_model::ids::{Incarnation, TaskManagerId};

use crate::{catalogue::rand_bytes, scratch::Scratch};

const FILE: &str = "identity.json";
const LOCK: &str = "lock";

/// The identity of this process; held for its life.
#[derive(Debug)]
pub struct Identity {
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
    pub(crate) scratch: Scratch,
    _lock: File,
}

impl Drop for Identity {
    /// The lock is given back behind it.
    fn drop(&mut self) {
        self.scratch.remove();
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "could not use the data folder {folder}: another TaskManager runs on it\n  hint: give this one a folder of its own with \
         --data-dir"
    )]
    InUse { folder: String },
    #[error("could not use the data folder {folder}: {source}")]
    Folder { folder: String, source: io::Error },
}

#[derive(Serialize, Deserialize)]
struct Kept {
    taskmanager: u64,
    incarnation: u64,
}

impl Identity {
    /// Begins another life on a data folder, which is made if it is not there.
    pub fn begin(folder: &Path) -> Result<Self, IdentityError> {
        let shown = || folder.display().to_string();
        let failed = |source| IdentityError::Folder { folder: shown(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(folder.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(IdentityError::InUse { folder: shown() }),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let scratch = Scratch::begin(folder).map_err(failed)?;
        let path = folder.join(FILE);
        let kept = match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidData, e)))?
            }
            // Small enough to be read and typed, large enough that two folders hardly ever have the same.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Kept { taskmanager: u64::from(u32::from_le_bytes(rand_bytes())), incarnation: 0 }
            }
            Err(e) => return Err(failed(e)),
        };
        let kept = Kept { incarnation: kept.incarnation + 1, ..kept };
        let unfinished = path.with_extension("unfinished");
        let write = || -> io::Result<()> {
            let mut file = File::create(&unfinished)?;
            file.write_all(&serde_json::to_vec(&kept)?)?;
            step(Point::IdentitySync)?;
            file.sync_all()?;
            step(Point::IdentityName)?;
            fs::rename(&unfinished, &path)?;
            step(Point::IdentityNamed)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(failed)?;
        let (taskmanager, incarnation) = (TaskManagerId(kept.taskmanager), Incarnation(kept.incarnation));
        Ok(Self { taskmanager, incarnation, scratch, _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id_and_counts_lives_and_is_used_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Identity::begin(folder.path()).expect("it is free");
        let error = Identity::begin(folder.path()).expect_err("it is in use").to_string();
        assert!(error.contains("another TaskManager runs on it"), "{error}");
        let (id, incarnation) = (first.taskmanager, first.incarnation);
        drop(first);
        let second = Identity::begin(folder.path()).expect("it is free again");
        assert_eq!((second.taskmanager, second.incarnation), (id, Incarnation(incarnation.0 + 1)));
    }
}
