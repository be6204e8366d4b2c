//! Local copies of snapshot files: a TaskManager keeps what it has written and fetched, so that a job that begins again where it ran
//! need not wait for the checkpoint store. The field calls this task-local recovery.
//!
//! A copy is never needed and never trusted: it is opened only if it has the length and the hash that a manifest names, and one that
//! has not is removed. Nothing is synced, and nothing is known of copies that an earlier process has left.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wasmill_model::ids::JobId;

use crate::{file::Reader, manifest::SnapshotFile, store::Name};

mod ledger;

use ledger::Ledger;

/// Bytes of all copies where nothing else is said.
pub const BYTES_DEFAULT: u64 = 1 << 30;
/// How long copies of a job stay that does not run here.
pub const LEFT_FOR: Duration = Duration::from_secs(10 * 60);

/// The copies of one process. Clones are the same copies.
#[derive(Clone)]
pub struct Copies {
    folder: Arc<Path>,
    ledger: Arc<Mutex<Ledger>>,
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Copies {
    /// None yet. The folder is empty and this process's alone. Together they have so many bytes at most; none are kept if that is 0.
    pub fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder: folder.into(), ledger: Arc::new(Mutex::new(Ledger::new(bytes_max))) }
    }

    /// Takes over a file that is as a manifest is to name it: it is gone from where it was. The oldest copies make room. One that cannot
    /// be kept is removed.
    pub fn keep(&self, job: JobId, path: &Path, file: &SnapshotFile) {
        let (number, removed) = self.ledger().keep(job, &file.name, file.bytes);
        self.remove(removed);
        let kept = number.is_some_and(|number| fs::rename(path, self.path(number)).is_ok());
        if !kept {
            let _ = fs::remove_file(path);
            self.discard([&file.name]);
        }
    }

    /// The copy of a file, if there is one that is exactly what a manifest names. It stays readable for whoever has it open.
    pub fn open(&self, file: &SnapshotFile) -> Option<Reader> {
        let number = self.ledger().find(&file.name)?;
        let opened = Reader::open(&self.path(number), &file.expected());
        if opened.is_err() {
            self.discard([&file.name]);
        }
        opened.ok()
    }

    /// Removes these copies, if they are there.
    pub fn discard<'a>(&self, names: impl IntoIterator<Item = &'a Name>) {
        let removed = names.into_iter().filter_map(|name| self.ledger().discard(name)).collect();
        self.remove(removed);
    }

    /// Removes the copies of a job that are none of these.
    pub fn retain(&self, job: JobId, named: &BTreeSet<&Name>) {
        let removed = self.ledger().retain(job, |name| named.contains(name));
        self.remove(removed);
    }

    /// Removes copies of jobs that have not run here for a while. To be called every now and then with those that do.
    pub fn advance(&self, now: Instant, running: impl Fn(JobId) -> bool) {
        let removed = self.ledger().advance(now, LEFT_FOR, running);
        self.remove(removed);
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// Removes files of copies that are not known any more.
    fn remove(&self, numbers: Vec<u64>) {
        for number in numbers {
            // What cannot be removed now goes with the folder.
            let _ = fs::remove_file(self.path(number));
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
