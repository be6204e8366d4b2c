//! Local copies of snapshot files: what is opened is what a manifest names, or nothing.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wasmill_model::ids::{CheckpointId, JobId};
use wasmill_snapshot::{copies::Copies, file::Kind, manifest::SnapshotFile, store::Name};

use crate::make::{KEY_GROUPS, Made, Model, collected, meta, names, some_rows, write};

const JOB: JobId = JobId(7);

struct Bench {
    folder: TempDir,
    copies: Copies,
}

impl Bench {
    fn new(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("copies");
        fs::create_dir(&kept).expect("there is room");
        Self { folder, copies: Copies::new(kept, bytes_max) }
    }

    /// A file of rows, and what a manifest says of it.
    fn file(&self, number: u32, rows: &Model) -> (PathBuf, SnapshotFile) {
        let path = self.folder.path().join(format!("written {number}"));
        let written = write(&path, &meta(Kind::Delta), rows).expect("there is room, and rows of a map are in order");
        let name: Name = format!("cluster-1/job-7/files/{number}").parse().expect("it is a name");
        let (bytes, blake3) = (written.bytes, written.blake3);
        let key_groups = 0..KEY_GROUPS;
        let checkpoint = CheckpointId(u64::from(number));
        (path, SnapshotFile { name, bytes, blake3, key_groups, kind: Kind::Delta, checkpoint })
    }

    fn keep(&self, number: u32, rows: &Model) -> SnapshotFile {
        let (path, file) = self.file(number, rows);
        self.copies.keep(JOB, &path, &file);
        assert!(!path.exists(), "it was taken over");
        file
    }

    fn files(&self) -> Vec<String> {
        names(&self.folder.path().join("copies"))
    }

    fn has(&self, file: &SnapshotFile) -> bool {
        self.copies.open(file).is_some()
    }
}

#[test]
fn a_copy_is_read_until_it_is_not_named_any_more() {
    let bench = Bench::new(u64::MAX);
    let (rows, more) = (some_rows(200, 20), some_rows(300, 20));
    let (first, second) = (bench.keep(1, &rows), bench.keep(2, &more));
    let (other_path, other) = bench.file(3, &rows);
    assert!(!bench.has(&other), "it was never kept");
    bench.copies.keep(JobId(8), &other_path, &other);
    let open = bench.copies.open(&first).expect("it is whole");
    bench.copies.retain(JOB, &BTreeSet::from([&second.name]));
    assert_eq!([&first, &second, &other].map(|file| bench.has(file)), [false, true, true]);
    assert_eq!(bench.files().len(), 2);
    let read = collected(open.rows(0..KEY_GROUPS).expect("it is open")).expect("it is whole");
    assert!(read == rows, "what is open stays readable");
}

#[test]
fn a_copy_with_a_flipped_byte_is_not_opened_and_is_gone() {
    let bench = Bench::new(u64::MAX);
    let (path, file) = bench.file(1, &some_rows(20, 2));
    let bytes = fs::read(&path).expect("it was written");
    assert!(bytes.len() < 64 << 10, "{} bytes take too long", bytes.len());
    let writable = |path: &Path| fs::OpenOptions::new().write(true).open(path).expect("it is there");
    for place in 0..bytes.len() {
        fs::write(&path, &bytes).expect("there is room");
        bench.copies.keep(JOB, &path, &file);
        let copy = bench.folder.path().join("copies").join(&bench.files()[0]);
        writable(&copy).write_all_at(&[!bytes[place]], place as u64).expect("it can be written");
        assert!(!bench.has(&file), "byte {place}");
        assert_eq!(bench.files(), Vec::<String>::new(), "byte {place}");
    }
}

#[test]
fn a_copy_that_is_shorter_longer_another_or_gone_is_not_opened() {
    let bench = Bench::new(u64::MAX);
    let made = Made::new(&some_rows(200, 20));
    let whole = made.bytes();
    let harms: [&dyn Fn(&Path); 5] = [
        &|copy| fs::write(copy, &whole[..whole.len() - 1]).expect("there is room"),
        &|copy| fs::write(copy, [&whole[..], b"x"].concat()).expect("there is room"),
        &|copy| fs::write(copy, vec![0; whole.len()]).expect("there is room"),
        &|copy| fs::remove_file(copy).expect("it is there"),
        &|copy| {
            fs::remove_file(copy).expect("it is there");
            fs::create_dir(copy).expect("there is room");
        },
    ];
    for (number, harm) in harms.iter().enumerate() {
        let file = bench.keep(number as u32, &some_rows(200, 20));
        assert!(bench.has(&file));
        harm(&bench.folder.path().join("copies").join(bench.files().last().expect("it was kept")));
        assert!(!bench.has(&file), "harm {number}");
    }
}

#[test]
fn copies_have_a_bound_and_none_are_kept_without_room() {
    let none = Bench::new(0);
    let file = none.keep(1, &some_rows(20, 2));
    assert_eq!((none.has(&file), none.files().len()), (false, 0));
    let bench = Bench::new(2 * file.bytes);
    let files = [1, 2, 3].map(|number| bench.keep(number, &some_rows(20, 2)));
    assert_eq!(files.each_ref().map(|file| bench.has(file)), [false, true, true]);
    assert_eq!(bench.files().len(), 2);
}
