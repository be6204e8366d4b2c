//! A checkpoint store in a folder.

use std::{fs, io::Read, path::PathBuf, sync::Mutex, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{Hash, manifest::VERSION};

struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Folder::create(&folder.path().join("store")).expect("there is room");
        let store = Store::new(Arc::new(objects), "cluster-1").expect("it is a name");
        Self { folder, store }
    }

    /// A file outside of the store.
    fn local(&self, content: &[u8]) -> (PathBuf, Written) {
        let path = self.folder.path().join("local");
        fs::write(&path, content).expect("there is room");
        (path, written(content))
    }

    fn put(&self, content: &[u8]) -> Name {
        let (path, written) = self.local(content);
        self.store.put(&path, &written, &ORIGIN).expect("there is room")
    }

    /// Where something of this name lies.
    fn path(&self, name: &Name) -> PathBuf {
        self.folder.path().join("store").join(name.as_str())
    }

    /// What an error says, without the folder.
    fn said(&self, error: &Error) -> String {
        error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn manifest(&self, checkpoint: u64, savepoint: Option<&str>) -> Name {
        self.store.put_manifest(&manifest(checkpoint, savepoint)).expect("there is none of it")
    }
}

const ORIGIN: Origin<'_> = Origin { job: JobId(7), checkpoint: CheckpointId(41), operator: "count", subtask: 3 };

fn written(content: &[u8]) -> Written {
    let (bytes, blake3) = (content.len() as u64, Hash::of(content));
    Written { bytes, blake3, rows: 0, tombstones: 0, row_bytes: 0, keys: None }
}

fn expected(content: &[u8]) -> Expected {
    Expected { bytes: content.len() as u64, blake3: Hash::of(content) }
}

fn manifest(checkpoint: u64, savepoint: Option<&str>) -> Manifest {
    Manifest {
        version: VERSION,
        cluster: "cluster-1".to_owned(),
        job: JobId(7),
        checkpoint: CheckpointId(checkpoint),
        parent: None,
        savepoint: savepoint.map(str::to_owned),
        time_ms: 0,
        engine: "0.1.0".to_owned(),
        key_groups: 16,
        job_file: String::new().into(),
        vertices: Vec::new(),
    }
}

#[test]
fn a_file_that_was_put_is_fetched() {
    let bench = Bench::new();
    let content = vec![7; 200_000];
    let (a, b) = (bench.put(&content), bench.put(&content));
    assert_ne!(a, b, "no name is used twice");
    let random =
        a.as_str().strip_prefix("cluster-1/job-7/files/41/count/3-").and_then(|rest| rest.strip_suffix(".redb"));
    assert_eq!(random.map(str::len), Some(16), "{a}");
    let to = bench.folder.path().join("fetched");
    fs::write(&to, "what was there").expect("there is room");
    bench.store.fetch(&a, &expected(&content), &to).expect("it is whole");
    assert!(fs::read(&to).expect("it was fetched") == content);
}

#[test]
fn what_is_not_what_was_written_is_not_put() {
    let bench = Bench::new();
    let (path, _) = bench.local(b"another");
    let error = bench.store.put(&path, &written(b"content"), &ORIGIN).expect_err("it was changed");
    assert_eq!(error.code(), Code::CheckpointDamaged);
    let expect = "could not put local into the checkpoint store store: it is not what was written: its blake3 is ";
    assert!(bench.said(&error).starts_with(expect), "{error}");
    let later = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(bench.store.files_before(JobId(7), later).expect("it can be listed"), []);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let bench = Bench::new();
    let name = bench.put(b"content");
    let to = bench.folder.path().join("fetched");
    let fetch = || bench.store.fetch(&name, &expected(b"content"), &to).expect_err("it is damaged");
    let of = format!("could not fetch {name} of the checkpoint store store: it is not what was written: ");
    for (content, reason) in
        [("cont", "it is 4 bytes long, and should be"), ("contents", "it is longer, and should be")]
    {
        fs::write(bench.path(&name), content).expect("there is room");
        let error = fetch();
        assert!(bench.said(&error).starts_with(&format!("{of}{reason} 7 bytes long\n  hint: it was set")), "{error}");
        assert_eq!(error.code(), Code::CheckpointDamaged);
        assert!(!to.exists() && !bench.path(&name).exists());
        let aside = fs::read_to_string(bench.folder.path().join(format!("store/{name}.damaged")));
        assert_eq!(aside.expect("it is there"), content);
        // As long as nobody puts it back.
        assert!(bench.said(&fetch()).starts_with(&format!("{of}it was found damaged before")));
    }
    fs::write(bench.path(&name), "content").expect("there is room");
    bench.store.fetch(&name, &expected(b"content"), &to).expect("it was put back");
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let bench = Bench::new();
    let name: Name = "cluster-1/job-7/files/1/a/0-b.redb".parse().expect("it is a name");
    let to = bench.folder.path().join("fetched");
    let error = bench.store.fetch(&name, &expected(b""), &to).expect_err("it is not there");
    assert_eq!(error.code(), Code::CheckpointStore);
    assert_eq!(bench.said(&error), format!("could not fetch {name} of the checkpoint store store: it is not there"));
    // The folder that it is to be fetched to is another matter.
    let name = bench.put(b"content");
    let to = bench.folder.path().join("nowhere/fetched");
    let error = bench.store.fetch(&name, &expected(b"content"), &to).expect_err("it is not there");
    assert!(bench.said(&error).ends_with("nowhere/fetched: No such file or directory (os error 2)"), "{error}");
}

#[test]
fn the_second_manifest_is_refused() {
    let bench = Bench::new();
    let name = bench.manifest(41, None);
    let mut other = manifest(41, None);
    other.engine = "another".to_owned();
    let error = bench.store.put_manifest(&other).expect_err("there is one");
    let expect =
        "could not put cluster-1/job-7/manifests/41.json into the checkpoint store store: there is one already";
    assert_eq!(bench.said(&error), expect);
    assert_eq!(bench.store.manifest(&name).expect("it is whole"), manifest(41, None));
    let folder = bench.path(&name).with_file_name("");
    assert_eq!(fs::read_dir(folder).expect("it is there").count(), 1, "nothing unfinished is left");
}

#[test]
fn of_many_who_put_one_manifest_one_wins() {
    let bench = Bench::new();
    for checkpoint in 1..30 {
        let put = || usize::from(bench.store.put_manifest(&manifest(checkpoint, None)).is_ok());
        let winners: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(put)).collect();
            all.into_iter().map(|one| one.join().expect("it does not panic")).sum()
        });
        assert_eq!(winners, 1);
    }
}

#[test]
fn manifests_are_listed_newest_first() {
    let bench = Bench::new();
    let names: Vec<Name> =
        [(9, None), (41, None), (100, None), (41, Some("v1-a"))].map(|(id, name)| bench.manifest(id, name)).to_vec();
    let folder = bench.path(&names[0]).with_file_name("");
    for other in ["x.json", "07.json", "7.json.1f.unfinished", "7-.json", "99999999999999999999.json", "é.json"] {
        fs::write(folder.join(other), "{}").expect("there is room");
    }
    let listed = bench.store.manifests(JobId(7)).expect("it can be listed");
    let shown: Vec<(u64, Option<&str>)> =
        listed.iter().map(|entry| (entry.checkpoint.0, entry.savepoint.as_deref())).collect();
    assert_eq!(shown, [(100, None), (41, Some("v1-a")), (41, None), (9, None)]);
    for entry in listed {
        let manifest = bench.store.manifest(&entry.name).expect("it is whole");
        assert_eq!((manifest.checkpoint, manifest.savepoint), (entry.checkpoint, entry.savepoint));
    }
    assert_eq!(bench.store.manifests(JobId(8)).expect("it has none"), []);
}

#[test]
fn a_manifest_that_is_not_what_its_name_says_is_refused() {
    let bench = Bench::new();
    let name = bench.manifest(41, None);
    for other in ["job-7/manifests/42.json", "job-7/manifests/41-a.json", "job-8/manifests/41.json"] {
        let other: Name = format!("cluster-1/{other}").parse().expect("it is a name");
        fs::create_dir_all(bench.path(&other).with_file_name("")).expect("there is room");
        fs::copy(bench.path(&name), bench.path(&other)).expect("there is room");
        let error = bench.store.manifest(&other).expect_err("it is another's");
        let expect = format!(
            "could not use manifest {other}: it is that of checkpoint-0.41 of job-7\n  in the checkpoint store store"
        );
        assert_eq!(bench.said(&error), expect);
    }
    let path = bench.path(&name);
    let cut = fs::read(&path).expect("it is there");
    fs::write(&path, &cut[..cut.len() - 1]).expect("there is room");
    assert_eq!(bench.store.manifest(&name).expect_err("it was cut").code(), Code::CheckpointDamaged);
}

#[test]
fn what_is_deleted_is_gone_with_its_folders() {
    let bench = Bench::new();
    let (a, b) = (bench.put(b"a"), bench.put(b"b"));
    bench.store.delete([&a]).expect("it is there");
    assert!(bench.path(&b).exists());
    bench.store.delete([&a, &b]).expect("what is gone is no error");
    assert!(bench.folder.path().join("store").exists());
    assert_eq!(fs::read_dir(bench.folder.path().join("store")).expect("it is there").count(), 0);
    bench.put(b"c");
}

#[test]
fn files_are_told_by_their_age() {
    let bench = Bench::new();
    let (old, new) = (bench.put(b"old"), bench.put(b"new one"));
    let manifest = bench.manifest(41, None);
    let begun: Name = format!("{manifest}.2e.unfinished").parse().expect("it is a name");
    fs::write(bench.path(&begun), "ab").expect("there is room");
    let unfinished: Name = format!("{new}.1f.unfinished").parse().expect("it is a name");
    fs::write(bench.path(&unfinished), "x").expect("there is room");
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    for name in [&old, &unfinished, &begun] {
        let file = fs::File::options().write(true).open(bench.path(name)).expect("it is there");
        file.set_modified(hour_ago).expect("it is ours");
    }
    let before = |time| {
        let listed = bench.store.files_before(JobId(7), time).expect("it can be listed");
        listed.into_iter().map(|file| (file.name, file.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(before(hour_ago), []);
    let mut expect = vec![(old, 3), (unfinished, 1)];
    expect.sort();
    expect.push((begun, 2));
    assert_eq!(before(hour_ago + Duration::from_secs(1)), expect);
    assert_eq!(before(SystemTime::now() + Duration::from_secs(60)).len(), 4);
}

#[test]
fn a_nonce_shows_that_two_see_one_store() {
    let bench = Bench::new();
    assert_eq!(bench.store.read_nonce().expect("it can be read"), None);
    for nonce in ["5ed9", "93aa"] {
        bench.store.write_nonce(nonce).expect("there is room");
        let there = Folder::open(&bench.folder.path().join("store")).expect("it is there");
        let other = Store::new(Arc::new(there), "cluster-1").expect("it is a name");
        assert_eq!(other.read_nonce().expect("it can be read").as_deref(), Some(nonce));
    }
    let error = Folder::open(&bench.folder.path().join("elsewhere")).expect_err("nobody has mounted it");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn names_that_lead_out_are_refused() {
    let bench = Bench::new();
    let objects: Arc<dyn Objects> = bench.store.objects.clone();
    for cluster in ["..", "a/b", ""] {
        Store::new(objects.clone(), cluster).expect_err("it is no name");
    }
    let (path, written) = bench.local(b"a");
    for operator in ["..", "a/b", "", "../../x"] {
        let origin = Origin { operator, ..ORIGIN };
        bench.store.put(&path, &written, &origin).expect_err("it is no part of a name");
    }
}

/// A store whose reads go wrong as often as is said.
#[derive(Debug)]
struct Unreliable {
    folder: Folder,
    wrong: Mutex<u32>,
}

impl Objects for Unreliable {
    fn place(&self) -> String {
        self.folder.place()
    }
    fn put_all(&self, name: &Name, from: &mut dyn Read, expected: &Expected) -> io::Result<Option<String>> {
        self.folder.put_all(name, from, expected)
    }
    fn open(&self, name: &Name) -> io::Result<Box<dyn Read + Send>> {
        self.folder.open(name)
    }
    fn get_file(&self, name: &Name, to: &Path, expected: &Expected) -> io::Result<Option<String>> {
        let mut wrong = self.wrong.lock().expect("nobody panics");
        match wrong.checked_sub(1) {
            Some(left) => {
                *wrong = left;
                Ok(Some("a bit fell over".to_owned()))
            }
            None => self.folder.get_file(name, to, expected),
        }
    }
    fn put(&self, name: &Name, bytes: &[u8]) -> io::Result<()> {
        self.folder.put(name, bytes)
    }
    fn put_new(&self, name: &Name, bytes: &[u8]) -> io::Result<bool> {
        self.folder.put_new(name, bytes)
    }
    fn read(&self, name: &Name, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.folder.read(name, bytes_max)
    }
    fn has(&self, name: &Name) -> io::Result<bool> {
        self.folder.has(name)
    }
    fn list(&self, below: &Name) -> io::Result<Vec<Listed>> {
        self.folder.list(below)
    }
    fn settle(&self, below: &Name) -> io::Result<()> {
        self.folder.settle(below)
    }
    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        self.folder.rename(from, to)
    }
    fn delete(&self, name: &Name) -> io::Result<()> {
        self.folder.delete(name)
    }
}

#[test]
fn what_is_read_wrong_once_is_read_again() {
    let bench = Bench::new();
    let name = bench.put(b"content");
    let to = bench.folder.path().join("fetched");
    for (wrong, good) in [(1, true), (2, false)] {
        let folder = Folder::open(&bench.folder.path().join("store")).expect("it is there");
        let objects = Unreliable { folder, wrong: Mutex::new(wrong) };
        let store = Store::new(Arc::new(objects), "cluster-1").expect("it is a name");
        assert_eq!(store.fetch(&name, &expected(b"content"), &to).is_ok(), good);
        assert_eq!(bench.path(&name).exists(), good);
    }
}
