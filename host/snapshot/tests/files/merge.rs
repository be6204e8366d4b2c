//! Merges, held against maps.

use std::{collections::BTreeMap, ops::Range, path::Path};

use proptest::{collection, prelude::*};
use wasmill_snapshot::{
    file::{Error, Kind, Reader, Row, Writer},
    merge::{Merge, Tombstones},
};

use crate::make::{KEY_GROUPS, Made, Model, clipped, key, meta, schema, write};

/// What is left when deltas are applied one after another.
fn applied(files: &[Model]) -> Model {
    files.iter().fold(Model::new(), |mut all, file| {
        all.extend(file.iter().map(|(key, value)| (key.clone(), value.clone())));
        all
    })
}

fn without_tombstones(rows: &Model) -> Model {
    rows.iter().filter(|(_, value)| value.is_some()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn merge(folder: &Path, files: &[Model], key_groups: &Range<u32>, tombstones: Tombstones) -> Result<Merge, Error> {
    let open = |(number, rows)| {
        let path = folder.join(format!("{number}-{tombstones:?}-{}.redb", key_groups.start));
        let written = write(&path, &meta(Kind::Delta), rows)?;
        Reader::open(&path, &written.expected())?.rows(key_groups.clone())
    };
    Merge::new(files.iter().enumerate().map(open).collect::<Result<_, _>>()?, tombstones)
}

fn collected(mut merge: Merge) -> Result<Model, Error> {
    let mut rows = Model::new();
    while let Some(Row { key, value }) = merge.next()? {
        assert!(rows.last_key_value().is_none_or(|(last, _)| **last < *key), "each key comes once, in order");
        rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }
    assert_eq!(merge.next()?, None);
    Ok(rows)
}

#[track_caller]
fn check(files: &[Model], key_groups: Range<u32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let merged = |tombstones| {
        let merge = merge(folder.path(), files, &key_groups, tombstones).expect("all are whole");
        collected(merge).expect("all are whole")
    };
    let all = clipped(&applied(files), &key_groups);
    assert!(merged(Tombstones::Keep) == all);
    assert!(merged(Tombstones::Drop) == without_tombstones(&all));
}

fn number(n: u32) -> Vec<u8> {
    key((n % KEY_GROUPS) as u16, 1, &n.to_be_bytes())
}

#[test]
fn the_newest_row_of_a_key_wins() {
    let file = |rows: &[(u32, Option<&str>)]| -> Model {
        rows.iter().map(|(n, value)| (number(*n), value.map(|value| value.as_bytes().to_vec()))).collect()
    };
    let full = file(&[(1, Some("a")), (2, Some("b")), (3, Some("c")), (17, Some("d"))]);
    let first = file(&[(1, None), (2, Some("B")), (4, Some("e"))]);
    let second = file(&[(1, Some("again")), (3, None), (4, None), (5, None)]);
    let files = [full, first, second];
    let expect = file(&[(1, Some("again")), (2, Some("B")), (17, Some("d"))]);
    assert_eq!(without_tombstones(&applied(&files)), expect);
    check(&files, 0..KEY_GROUPS);
    check(&files, 1..2);
    check(&files[..1], 0..KEY_GROUPS);
    check(&[], 0..KEY_GROUPS);
    check(&[Model::new(), files[0].clone(), Model::new()], 0..KEY_GROUPS);
}

#[test]
fn a_chain_becomes_a_new_full_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let full: Model = (0..40_000).map(|n| (number(n), Some(vec![0; 30]))).collect();
    let delta = |epoch: u32| -> Model {
        let changed = (0..40_000).filter(|n| n % 97 == epoch);
        changed.map(|n| (number(n + 5), (n % 3 > 0).then(|| vec![epoch as u8; 30]))).collect()
    };
    let files: Vec<Model> = std::iter::once(full).chain((1..20).map(delta)).collect();
    let range = 3..11;
    let mut merge = merge(folder.path(), &files, &range, Tombstones::Drop).expect("all are whole");
    let mut meta = meta(Kind::Full);
    meta.key_groups = range.clone();
    let path = folder.path().join("merged.redb");
    let mut writer = Writer::create(&path, &meta, &schema()).expect("there is room");
    merge.write(&mut writer).expect("all are whole");
    let written = writer.finish().expect("there is room");
    let merged = Reader::open(&path, &written.expected()).expect("it is whole");
    let rows = crate::make::collected(merged.rows(range.clone()).expect("it is whole")).expect("it is whole");
    assert!(rows == without_tombstones(&clipped(&applied(&files), &range)));
}

#[test]
fn after_an_error_nothing_comes() {
    let rows: Model = (0..60_000).map(|n| (number(n), Some(vec![1; 40]))).collect();
    let made = Made::new(&rows);
    let reader = made.open().expect("it is whole");
    // The file is damaged after it was opened: the checksum of a block tells.
    let mut bytes = made.bytes();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0xEE);
    std::fs::write(&made.path, bytes).expect("there is room");
    let other = Made::new(&rows);
    let inputs =
        [reader, other.open().expect("it is whole")].map(|reader| reader.rows(0..16).expect("nothing is read"));
    let mut merge = Merge::new(inputs.into(), Tombstones::Drop).expect("the beginning is whole");
    let error = loop {
        match merge.next() {
            Ok(Some(Row { key, value })) => assert!(rows[key].as_deref() == value, "rows are right until the error"),
            Ok(None) => panic!("the damage was not found"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().ends_with("its checksum is wrong"), "{error}");
    assert_eq!(merge.next().expect("it has ended"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn merges_are_what_a_map_would_be(
        files in collection::vec(collection::btree_map(0..200_u32, any::<Option<u8>>(), 0..150), 0..9),
        a in 0..KEY_GROUPS,
        b in 0..=KEY_GROUPS,
    ) {
        let rows = |file: &BTreeMap<u32, Option<u8>>| -> Model {
            file.iter().map(|(n, value)| (number(*n), value.map(|value| vec![value; 3]))).collect()
        };
        check(&files.iter().map(rows).collect::<Vec<Model>>(), a..b);
    }
}
