//! What cannot be written, and what is no snapshot file.

use std::{fs, path::Path};

use redb::{Database, TableDefinition};
use wasmill_model::fault::{Code, Coded};
use wasmill_snapshot::file::{Error, KEY_BYTES_MAX, Kind, Meta, Reader, VALUE_BYTES_MAX, Writer};

use crate::make::{KEY_GROUPS, Made, key, meta, names, schema, some_rows, write};

/// What is said of a file, without the folder.
#[track_caller]
fn said<T>(result: Result<T, Error>, folder: &Path, code: Code) -> String {
    let error = result.err().expect("it is refused");
    assert_eq!(error.code(), code, "{error}");
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn rows_that_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let begin = |kind| {
        let mut writer = Writer::create(&folder.path().join("a"), &meta(kind), &schema()).expect("there is room");
        writer.push(&key(3, 1, b"b"), Some(b"")).expect("it is the first");
        writer
    };
    let refused =
        |kind, key: &[u8], value: Option<&[u8]>, code| said(begin(kind).push(key, value), folder.path(), code);
    let delta = |key: &[u8], value: Option<&[u8]>, code| refused(Kind::Delta, key, value, code);
    let of = "could not write snapshot file a: ";
    let order = |key: &str| format!("{of}key {key} came after 0x0003000162");
    assert_eq!(delta(&key(3, 1, b"b"), None, Code::Internal), order("0x0003000162"));
    assert_eq!(delta(&key(3, 1, b"a"), None, Code::Internal), order("0x0003000161"));
    assert_eq!(delta(&key(2, 1, b"c"), None, Code::Internal), order("0x0002000163"));
    assert_eq!(
        delta(&[9; 3], None, Code::Internal),
        format!("{of}key 0x090909 is 3 bytes long; it begins with 4 that say whose it is")
    );
    let long = key(4, 1, &vec![1; KEY_BYTES_MAX - 3]);
    assert_eq!(
        delta(&long, None, Code::KeyTooLong),
        format!("{of}a key is 1048577 bytes long, and the limit is 1048576")
    );
    let value = vec![0; VALUE_BYTES_MAX + 1];
    assert_eq!(
        delta(&key(4, 1, b""), Some(&value), Code::StateRecordTooLong),
        format!("{of}the value of key 0x00040001 is 268435457 bytes long, and the limit is 268435456")
    );
    assert_eq!(
        delta(&key(KEY_GROUPS as u16, 1, b""), None, Code::Internal),
        format!("{of}key 0x00100001 is of key group 16, and the file is of 0..16")
    );
    assert_eq!(
        delta(&key(4, 2, b""), None, Code::Internal),
        format!("{of}key 0x00040002 is of state 2, which has no schema")
    );
    assert_eq!(
        refused(Kind::Full, &key(4, 1, b""), None, Code::Internal),
        format!("{of}key 0x00040001 is gone, and a full snapshot says nothing of what is not there")
    );
    // Who was refused something can go on.
    let mut writer = begin(Kind::Delta);
    writer.push(&key(3, 1, b"a"), None).expect_err("it is too late");
    writer.push(&key(3, 1, b"c"), None).expect("it is the next");
    assert_eq!(writer.finish().expect("there is room").rows, 2);
}

#[test]
fn the_longest_key_and_a_long_value_are_taken() {
    let long = key(4, 1, &vec![1; KEY_BYTES_MAX - 4]);
    let made = Made::new(&[(long.clone(), Some(vec![3; 5 << 20]))].into());
    let mut rows = made.open().and_then(|reader| reader.rows(4..5)).expect("it is whole");
    let row = rows.next().expect("it is whole").expect("there is one");
    assert!(row.key == long && row.value == Some(&vec![3; 5 << 20]));
}

#[test]
fn files_that_cannot_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    let refused = |change: fn(&mut Meta)| {
        let mut meta = meta(Kind::Full);
        change(&mut meta);
        said(Writer::create(&path, &meta, &schema()), folder.path(), Code::Internal)
    };
    let of = "could not write snapshot file a: it would be of ";
    assert_eq!(refused(|meta| meta.key_groups = 3..3), format!("{of}key groups 3..3 of 16"));
    assert_eq!(refused(|meta| meta.key_groups = 3..17), format!("{of}key groups 3..17 of 16"));
    assert_eq!(refused(|meta| meta.key_groups_all = 40_000), format!("{of}40000 key groups; there are 1 to 32768"));
    assert_eq!(refused(|meta| meta.subtask = 2), format!("{of}subtask 2 of 2"));
    let twice = [schema(), schema()].concat();
    let twice = said(Writer::create(&path, &meta(Kind::Full), &twice), folder.path(), Code::Internal);
    assert_eq!(twice, format!("{of}two states 0"));

    fs::write(&path, "x").expect("there is room");
    let taken = said(Writer::create(&path, &meta(Kind::Full), &schema()), folder.path(), Code::SnapshotUnwritable);
    assert_eq!(taken, "could not write snapshot file a: there is one already");
    let nowhere = Writer::create(&folder.path().join("b/c"), &meta(Kind::Full), &schema());
    let nowhere = said(nowhere, folder.path(), Code::SnapshotUnwritable);
    assert_eq!(nowhere, "could not create snapshot file b/c: No such file or directory (os error 2)");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::create(&folder.path().join("a"), &meta(Kind::Delta), &schema()).expect("there is room");
    for (key, value) in some_rows(50_000, 100) {
        writer.push(&key, value.as_deref()).expect("there is room");
    }
    let names_now = names(folder.path());
    assert!(names_now.len() == 1 && names_now[0].starts_with("a.") && names_now[0].ends_with(".unfinished"));
    drop(writer);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_is_no_snapshot_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let open = |name: &str, code| said(Reader::open_unverified(&at(name)), folder.path(), code);
    fs::write(at("empty"), "").expect("there is room");
    fs::write(at("text"), "[job]\nname = \"a\"\n").expect("there is room");
    let _ = Database::create(at("other")).expect("there is room");
    let none = "it is no snapshot file: it does not begin as one";
    assert_eq!(open("empty", Code::SnapshotUnreadable), format!("could not read empty: {none}"));
    assert_eq!(open("text", Code::SnapshotUnreadable), format!("could not read text: {none}"));
    assert_eq!(
        open("other", Code::SnapshotUnreadable),
        "could not read other: it is no snapshot file: it has no format version"
    );
    assert_eq!(
        open("none", Code::SnapshotUnreadable),
        "could not open snapshot file none: No such file or directory (os error 2)"
    );
    assert_eq!(
        said(Reader::open_unverified(folder.path()), &folder.path().join("x"), Code::SnapshotUnreadable),
        format!("could not open snapshot file {}: is a directory", folder.path().display())
    );
}

#[test]
fn a_later_version_is_named() {
    let made = Made::new(&some_rows(3, 3));
    let database = Database::open(&made.path).expect("nobody has it");
    let change = database.begin_write().expect("it can be written");
    let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    change.open_table(meta).and_then(|mut table| Ok(table.insert("format", &b"2"[..]).map(drop)?)).expect("as above");
    change.commit().expect("as above");
    drop(database);
    let open = said(Reader::open_unverified(&made.path), made.folder.path(), Code::CheckpointVersion);
    let expect =
        "could not read snapshot file snapshot.redb: its format is version 2, and this program knows version 1";
    assert_eq!(open, expect);
}

#[test]
fn a_full_file_cannot_take_the_place_of_another() {
    let made = Made::new(&some_rows(3, 3));
    write(&made.path, &meta(Kind::Delta), &some_rows(4, 4)).expect_err("there is one");
    made.open().expect("it is as it was");
}
