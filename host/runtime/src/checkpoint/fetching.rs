//! Snapshot files where they are read: a local copy where there is a good one, and else what the checkpoint store has.

use std::{fs, io, path::PathBuf};

use tempfile::TempDir;
use wasmill_model::{
    fault::{Code, Coded},
    ids::JobId,
};
use wasmill_snapshot::{
    copies::Copies,
    file::{self, Reader},
    manifest::SnapshotFile,
    store::{Name, Store},
};

use crate::checkpoint::restore_code;

/// What a TaskManager has of files for itself.
#[derive(Debug, Clone)]
pub struct Local {
    /// A folder for files on their way to the store and from it.
    pub scratch: PathBuf,
    pub copies: Copies,
}

/// The snapshot files that a job's subtasks here read.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) store: Store,
    pub(super) local: Local,
    pub(super) job: JobId,
}

/// Files that are read together.
#[derive(Debug)]
pub(super) struct Fetching<'a> {
    files: &'a Files,
    folder: TempDir,
    /// Copies that were opened.
    opened: Vec<Name>,
    fetched: usize,
    pub(super) bytes: Fetched,
}

/// Bytes of files, by where they came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// From local copies.
    pub(crate) local: u64,
    pub(crate) store: u64,
}

/// Why a file could not be read.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) code: Code,
    pub(super) reason: String,
}

impl From<file::Error> for Failed {
    fn from(error: file::Error) -> Self {
        Self { code: error.code(), reason: error.to_string() }
    }
}

impl Files {
    /// A folder for what is on its way.
    pub(super) fn folder(&self) -> Result<TempDir, String> {
        let scratch = &self.local.scratch;
        let failed = |error: io::Error| format!("could not make a folder in {}: {error}", scratch.display());
        tempfile::tempdir_in(scratch).map_err(failed)
    }

    /// Begins to read files.
    pub(super) fn fetching(&self) -> Result<Fetching<'_>, Failed> {
        let folder = self.folder().map_err(|reason| Failed { code: Code::SystemResources, reason })?;
        Ok(Fetching { files: self, folder, opened: Vec::new(), fetched: 0, bytes: Fetched::default() })
    }
}

impl Fetching<'_> {
    /// Opens a file. What has to be fetched is a copy from then on.
    pub(super) fn open(&mut self, file: &SnapshotFile) -> Result<Reader, Failed> {
        let Files { store, local, job } = self.files;
        if let Some(reader) = local.copies.open(file) {
            self.opened.push(file.name.clone());
            self.bytes.local += file.bytes;
            return Ok(reader);
        }
        let path = self.folder.path().join(self.fetched.to_string());
        self.fetched += 1;
        let fetched = store.fetch(&file.name, &file.expected(), &path);
        fetched.map_err(|error| Failed { code: restore_code(store, &error), reason: error.to_string() })?;
        let reader = Reader::open(&path, &file.expected())?;
        // What is open stays readable wherever it goes.
        local.copies.keep(*job, &path, file);
        let _ = fs::remove_file(&path);
        self.bytes.store += file.bytes;
        Ok(reader)
    }

    /// Whether what has failed is worth another try: copies were among what was read. They are gone then, and the next try takes the
    /// store's files, so that no copy is to blame for an error.
    pub(super) fn gives_up_copies(&self) -> bool {
        self.files.local.copies.discard(&self.opened);
        !self.opened.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use wasmill_model::ids::CheckpointId;
    use wasmill_snapshot::{
        file::{Kind, Meta, Row, Writer},
        store::{Folder, Origin},
    };

    use super::*;

    struct Bench {
        folder: TempDir,
        files: Files,
        file: SnapshotFile,
    }

    fn meta() -> Meta {
        Meta {
            cluster: "c".to_owned(),
            job: JobId(1),
            operator: "count".to_owned(),
            subtask: 0,
            parallelism: 1,
            key_groups_all: 4,
            key_groups: 0..4,
            checkpoint: CheckpointId(1),
            kind: Kind::Full,
            engine: "0.1.0".to_owned(),
            time_ms: 0,
        }
    }

    /// A store that has a file, and no copies.
    fn bench() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        ["scratch", "copies"].iter().for_each(|name| fs::create_dir(at(name)).expect("there is room"));
        let objects = Folder::create(&at("store")).expect("there is room");
        let store = Store::new(Arc::new(objects), "c").expect("it is a name");
        let writer = Writer::create(&at("written"), &meta(), &[]).expect("there is room");
        let written = writer.finish().expect("there is room");
        let origin = Origin { job: JobId(1), checkpoint: CheckpointId(1), operator: "count", subtask: 0 };
        let name = store.put(&at("written"), &written, &origin).expect("there is room");
        let (bytes, blake3) = (written.bytes, written.blake3);
        let (key_groups, kind, checkpoint) = (0..4, Kind::Full, CheckpointId(1));
        let file = SnapshotFile { name, bytes, blake3, key_groups, kind, checkpoint };
        let local = Local { scratch: at("scratch"), copies: Copies::new(at("copies"), 1 << 30) };
        Bench { files: Files { store, local, job: JobId(1) }, folder, file }
    }

    impl Bench {
        fn open(&self) -> Result<Fetched, Failed> {
            let mut fetching = self.files.fetching()?;
            let reader = fetching.open(&self.file)?;
            let mut rows = reader.rows(0..4)?;
            assert!(matches!(rows.next(), Ok(None::<Row<'_>>)), "it has no rows");
            Ok(fetching.bytes)
        }

        fn stored(&self) -> PathBuf {
            self.folder.path().join("store").join(self.file.name.as_str())
        }

        fn copies(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(self.folder.path().join("copies")).expect("it is there");
            entries.map(|entry| entry.expect("it can be listed").path()).collect()
        }
    }

    fn flip(path: &Path, place: usize) {
        let mut bytes = fs::read(path).expect("it is there");
        bytes[place] ^= 1;
        fs::write(path, bytes).expect("it is ours");
    }

    #[test]
    fn what_was_fetched_once_is_read_from_its_copy_whatever_becomes_of_the_store() {
        let bench = bench();
        let bytes = bench.file.bytes;
        assert_eq!(bench.open().expect("it is whole"), Fetched { local: 0, store: bytes });
        flip(&bench.stored(), 5_000);
        assert_eq!(bench.open().expect("there is a copy"), Fetched { local: bytes, store: 0 });
        assert!(bench.stored().exists(), "nobody has looked at it");
        let scratch = fs::read_dir(bench.folder.path().join("scratch")).expect("it is there");
        assert_eq!(scratch.count(), 0, "nothing is left of what was on its way");
    }

    #[test]
    fn a_damaged_copy_is_thrown_away_and_the_stores_file_is_taken() {
        let bench = bench();
        let bytes = bench.file.bytes;
        bench.open().expect("it is whole");
        for place in (0..bytes as usize).step_by(101) {
            flip(&bench.copies()[0], place);
            assert_eq!(bench.open().expect("the store has it"), Fetched { local: 0, store: bytes }, "byte {place}");
            assert_eq!(bench.copies().len(), 1, "the good one");
        }
        assert_eq!(bench.open().expect("it is whole"), Fetched { local: bytes, store: 0 });
    }

    #[test]
    fn damage_in_the_store_is_found_where_there_is_no_good_copy() {
        let bench = bench();
        flip(&bench.stored(), 5_000);
        for _ in 0..2 {
            let failed = bench.open().expect_err("it is damaged");
            assert!(failed.reason.contains(bench.file.name.as_str()), "{}", failed.reason);
            assert_eq!(failed.code, Code::CheckpointDamaged);
            assert!(!bench.stored().exists(), "it was set aside");
            assert_eq!(bench.copies(), Vec::<PathBuf>::new());
        }
    }

    #[test]
    fn what_fails_with_copies_is_tried_without_them() {
        let bench = bench();
        let mut fetching = bench.files.fetching().expect("there is room");
        fetching.open(&bench.file).expect("it is whole");
        assert!(!fetching.gives_up_copies(), "it came from the store: it is what it is");
        let mut fetching = bench.files.fetching().expect("there is room");
        fetching.open(&bench.file).expect("it is whole");
        assert!(fetching.gives_up_copies());
        assert_eq!(bench.open().expect("the store has it").local, 0);
    }
}
