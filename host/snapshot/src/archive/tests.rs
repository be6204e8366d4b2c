//! Savepoints that travel: what arrives is what went, or nothing.

use std::{fs, path::PathBuf, sync::Arc};

use serde_json::json;
use tempfile::TempDir;
use wasmill_model::ids::{CheckpointId, JobId};

use super::*;
use crate::{
    file::{Kind, Written},
    manifest::{Subtask, VERSION, Vertex},
    store::{Folder, Name, Origin, Store},
};

struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    fn new(cluster: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Folder::create(&folder.path().join("store")).expect("there is room");
        let store = Store::new(Arc::new(objects), cluster).expect("it is a name");
        Self { folder, store }
    }

    fn put(&self, operator: &str, content: &[u8]) -> SnapshotFile {
        let path = self.folder.path().join("local");
        fs::write(&path, content).expect("there is room");
        let (bytes, blake3) = (content.len() as u64, Hash::of(content));
        let written = Written { bytes, blake3, rows: 0, tombstones: 0, row_bytes: 0, keys: None };
        let checkpoint = CheckpointId(41);
        let origin = Origin { job: JobId(7), checkpoint, operator, subtask: 0 };
        let name = self.store.put(&path, &written, &origin).expect("there is room");
        SnapshotFile { name, bytes, blake3, key_groups: 0..16, kind: Kind::Full, checkpoint }
    }

    /// A savepoint of two operators, a source and a sink.
    fn savepoint(&self) -> Manifest {
        let vertex = |name: &str, files: Vec<SnapshotFile>, subtask: Subtask| Vertex {
            name: name.to_owned(),
            parallelism: 1,
            plugin: None,
            schema: Vec::new(),
            files,
            subtasks: vec![subtask],
        };
        let large: Vec<u8> = (0..70_001_u32).map(|n| (n * 7 % 251) as u8).collect();
        Manifest {
            version: VERSION,
            cluster: "cluster-1".to_owned(),
            job: JobId(7),
            checkpoint: CheckpointId(41),
            parent: None,
            savepoint: Some("monday".to_owned()),
            time_ms: 1_700_000_000_000,
            engine: "0.1.0".to_owned(),
            key_groups: 16,
            job_file: "[job]\nname = \"j\"\n".to_owned().into(),
            vertices: vec![
                vertex("in", vec![], Subtask { position: Some(json!([7])), ..Subtask::default() }),
                vertex("count", vec![self.put("count", &large)], Subtask::default()),
                vertex("join_2", vec![self.put("join_2", b"small")], Subtask::default()),
                vertex("out", vec![], Subtask::default()),
            ],
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).expect("it is there") {
                let path = entry.expect("readable").path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder.path().join("store"), &mut found);
        found
    }

    fn import(&self, archive: &[u8]) -> Result<crate::store::Import, Error> {
        self.store.import(archive, |_| Ok(()))
    }

    /// It is refused for this reason, and nothing is left of it.
    #[track_caller]
    fn check_refused(&self, archive: &[u8], reason: &str) {
        let error = self.import(archive).expect_err("it is no savepoint that can be taken");
        assert!(error.to_string().contains(reason), "{reason} expected: {error}");
        assert_eq!(error.code(), Code::SavepointFileDamaged);
        assert_eq!(self.files(), [""; 0].map(PathBuf::from));
        let also = check(archive).expect_err("nor can it be sent");
        assert_eq!(also.to_string(), error.to_string());
    }
}

fn exported(bench: &Bench, manifest: &Manifest) -> Vec<u8> {
    let name = bench.store.put_manifest(manifest).expect("there is none of it");
    let export = bench.store.export(&name).expect("it is whole");
    let (bytes, mut archive) = (export.bytes(), Vec::new());
    export.write(&mut archive).expect("memory takes everything");
    assert_eq!(archive.len() as u64, bytes, "its length is known before");
    archive
}

/// An archive of these entries, whatever they are.
fn packed(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, *content).expect("memory takes everything");
    }
    archive.into_inner().expect("memory takes everything")
}

#[test]
fn what_was_exported_is_there_in_another_cluster() {
    let (from, to) = (Bench::new("cluster-1"), Bench::new("cluster-2"));
    let mut sent = from.savepoint();
    let archive = exported(&from, &sent);
    let name = from.store.savepoints().expect("listed")[0].name.clone();
    let mut again = Vec::new();
    from.store.export(&name).expect("it is whole").write(&mut again).expect("memory");
    assert!(archive == again, "it is the same each time");
    assert_eq!(check(&archive[..]).expect("it is whole"), sent);

    let import = to.import(&archive).expect("it is whole");
    assert_eq!(to.store.savepoints().expect("listed"), [], "nobody sees it");
    assert_eq!(to.files().len(), 2);
    let name = import.finish("of-cluster-1").expect("the name is free");
    assert_eq!(name.as_str(), "cluster-2/imported/manifests/41-of-cluster-1.json");
    let listed = to.store.savepoints().expect("listed");
    assert_eq!(listed.iter().map(|entry| &entry.name).collect::<Vec<_>>(), [&name]);
    let mut found = to.store.manifest(&name).expect("it is whole");
    for file in found.files() {
        assert!(file.name.as_str().starts_with("cluster-2/imported/files/"), "{}", file.name);
        to.store.fetch(&file.name, &file.expected(), &to.folder.path().join("fetched")).expect("it is whole");
    }
    // Beside its name and those of its files it is the same.
    for (vertex, was) in found.vertices.iter_mut().zip(&mut sent.vertices) {
        for (file, was) in vertex.files.iter_mut().zip(&mut was.files) {
            file.name = was.name.clone();
        }
    }
    sent.savepoint = Some("of-cluster-1".to_owned());
    assert_eq!(found, sent);
    to.store.sweep_imports().expect("nothing is left");
    assert_eq!(to.files().len(), 3, "what a savepoint names stays");
    // And so it goes on.
    let mut archive = Vec::new();
    to.store.export(&name).expect("it is whole").write(&mut archive).expect("memory");
    drop(to.import(&archive).expect("it is whole"));
    assert_eq!(to.files().len(), 3, "of one that is given up nothing is left");
    let import = to.import(&archive).expect("it is whole");
    assert!(matches!(import.finish("of-cluster-1"), Err(store::Error::Taken { .. })));
    assert_eq!(to.files().len(), 3, "nor of one whose name is taken");
}

#[test]
fn an_archive_that_was_cut_is_refused_wherever_it_was() {
    let (from, to) = (Bench::new("cluster-1"), Bench::new("cluster-2"));
    let archive = exported(&from, &from.savepoint());
    // The two blocks of zeros at the end say nothing.
    let content = archive.len() - 1_024;
    for length in (0..content).step_by(1_021).chain([content - 512]) {
        assert!(to.import(&archive[..length]).is_err(), "cut at {length}");
        assert_eq!(to.files(), [""; 0].map(PathBuf::from), "cut at {length}");
    }
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the client has gone")),
                read => Ok(read),
            }
        }
    }
    for length in [10, 600, 5_000, archive.len()] {
        let error = to.store.import(Broken(&archive[..length]), |_| Ok(())).expect_err("it breaks off");
        assert!(error.to_string().contains("it could not be read to its end: the client has gone"), "{error}");
        assert_eq!(to.files(), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn of_an_archive_that_was_changed_nothing_else_is_ever_taken() {
    let (from, to) = (Bench::new("cluster-1"), Bench::new("cluster-2"));
    let archive = exported(&from, &from.savepoint());
    let is = check(&archive[..]).expect("it is whole");
    let mut refused = 0;
    for place in (0..archive.len()).step_by(397) {
        let mut changed = archive.clone();
        changed[place] ^= 0x41;
        match to.import(&changed) {
            Err(_) => refused += 1,
            // What fills up the last block of a file says nothing.
            Ok(_) => assert_eq!(check(&changed[..]).expect("it was taken"), is, "byte {place}"),
        }
        assert_eq!(to.files(), [""; 0].map(PathBuf::from), "byte {place}");
    }
    assert!(refused > archive.len() / 397 * 9 / 10, "{refused} of {}", archive.len() / 397);
}

#[test]
fn tricks_are_refused() {
    let (from, to) = (Bench::new("cluster-1"), Bench::new("cluster-2"));
    let whole = from.savepoint();
    let sealed = |manifest: &Manifest| manifest.to_bytes().expect("it can be sealed");
    let manifest = sealed(&whole);
    let file = |vertex: &Vertex| {
        let path = from.folder.path().join("fetched");
        from.store.fetch(&vertex.files[0].name, &vertex.files[0].expected(), &path).expect("it is whole");
        fs::read(path).expect("it was fetched")
    };
    let (count, join) = (file(&whole.vertices[1]), file(&whole.vertices[2]));
    let regular = EntryType::Regular;
    let is = (MANIFEST, regular, &manifest[..]);
    let count = ("files/0-count.redb", regular, &count[..]);
    let join = ("files/1-join_2.redb", regular, &join[..]);
    check(&packed(&[is, count, join])[..]).expect("whoever packs it so has packed it well");

    to.check_refused(b"", "it ends before manifest.json");
    to.check_refused(b"neither this nor that", "manifest.json");
    to.check_refused(&[7; 4_096], "manifest.json");
    to.check_refused(&packed(&[count, is, join]), "it has `files/0-count.redb` in place of manifest.json");
    to.check_refused(&packed(&[is, join, count]), "in place of files/0-count.redb");
    to.check_refused(&packed(&[is, count]), "it ends before files/1-join_2.redb");
    to.check_refused(&packed(&[is, count, join, join]), "it has more than its manifest names");
    for name in ["/etc/passwd", "../../x", "files/../../x", "./files/0-count.redb", "files/0-count.redb/"] {
        to.check_refused(&packed(&[is, (name, regular, count.2), join]), "in place of files/0-count.redb");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Directory, EntryType::Fifo, EntryType::XHeader] {
        to.check_refused(&packed(&[is, (count.0, kind, count.2), join]), "in place of files/0-count.redb");
    }
    // Whoever follows the extensions of the format reads all of this into memory.
    to.check_refused(&packed(&[("././@LongLink", EntryType::GNULongName, &[b'a'; 4_096]), is]), "in place of manifest");
    to.check_refused(&packed(&[is, (count.0, regular, join.2), join]), "5 bytes long, and should be 70001");
    let mut behind = packed(&[is, count, join]);
    behind.extend([0; 9_000]);
    check(&behind[..]).expect("zeros at the end say nothing");
    behind.push(1);
    to.check_refused(&behind, "something stands behind its end");

    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut other = whole.clone();
        change(&mut other);
        packed(&[(MANIFEST, regular, &sealed(&other)), count, join])
    };
    to.check_refused(&with(&|m| m.savepoint = None), "it is of a checkpoint");
    to.check_refused(&with(&|m| m.vertices[1].name = "../x".to_owned()), "`../x` cannot name an operator");
    let prepared = |m: &mut Manifest| m.vertices[3].subtasks[0].transaction = Some(json!({}));
    to.check_refused(&with(&prepared), "what a sink of another cluster has prepared");
    let unfinished = |m: &mut Manifest| m.vertices[3].subtasks[0].unfinished = Some(json!({}));
    to.check_refused(&with(&unfinished), "what a sink of another cluster has prepared");

    let mut header = Header::new_ustar();
    header.set_path(MANIFEST).expect("it is short");
    header.set_entry_type(regular);
    header.set_size(1 << 40);
    header.set_cksum();
    to.check_refused(header.as_bytes(), "its manifest has 1099511627776 bytes, and may have 64 MiB");
}

#[test]
fn what_sinks_have_not_finished_does_not_travel() {
    let from = Bench::new("cluster-1");
    let mut savepoint = from.savepoint();
    savepoint.vertices[3].subtasks[0].unfinished = Some(json!({ "open": "/data/.out.jsonl.abcdef.tmp" }));
    let archive = exported(&from, &savepoint);
    let arrived = check(&archive[..]).expect("it is whole");
    let subtask = &arrived.vertices[3].subtasks[0];
    assert_eq!((&subtask.unfinished, subtask.left_behind), (&None, true));
    assert!(!String::from_utf8_lossy(&archive).contains("/data/"), "no path of the other cluster");
}

#[test]
fn a_damaged_file_is_not_exported_as_a_whole_one() {
    let from = Bench::new("cluster-1");
    let savepoint = from.savepoint();
    let name = from.store.put_manifest(&savepoint).expect("there is none of it");
    let file = savepoint.files().next().expect("it has some").name.clone();
    let path = from.folder.path().join("store").join(file.as_str());
    let whole = fs::read(&path).expect("it is there");
    let mut changed = whole.clone();
    changed[30_000] ^= 1;
    for wrong in [&changed[..], &whole[..60_000], &[&whole[..], b"more"].concat()] {
        fs::write(&path, wrong).expect("there is room");
        let mut archive = Vec::new();
        let written = from.store.export(&name).expect("its files are there").write(&mut archive);
        // Longer ones are cut to what they were.
        assert_eq!(written.is_err(), wrong.len() <= whole.len());
        assert_eq!(check(&archive[..]).is_err(), wrong.len() <= whole.len());
    }
    fs::remove_file(&path).expect("it is there");
    assert!(matches!(from.store.export(&name), Err(Error::Store(store::Error::Missing { .. }))));
}

#[test]
fn what_a_killed_import_left_is_removed_at_the_next_start() {
    let (from, to) = (Bench::new("cluster-1"), Bench::new("cluster-2"));
    let archive = exported(&from, &from.savepoint());
    let kept = to.import(&archive).expect("it is whole").finish("kept").expect("the name is free");
    std::mem::forget(to.import(&archive).expect("it is whole"));
    let left: Name = format!("{kept}.0123456789abcdef.unfinished").parse().expect("a name");
    fs::write(to.folder.path().join("store").join(left.as_str()), "x").expect("there is room");
    assert_eq!(to.files().len(), 6);
    to.store.sweep_imports().expect("they can go");
    assert_eq!(to.files().len(), 3);
    check_whole(&to, &kept);
}

#[track_caller]
fn check_whole(bench: &Bench, name: &Name) {
    let mut archive = Vec::new();
    bench.store.export(name).expect("it is there").write(&mut archive).expect("memory");
    check(&archive[..]).expect("it is whole");
}
