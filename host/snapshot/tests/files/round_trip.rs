//! What is written is read again, whole and in parts, and reading changes nothing.

use std::{fs, ops::Range};

use proptest::{collection, prelude::*};
use wasmill_snapshot::{
    Hash,
    file::{Keys, Kind, Reader, Totals, Verified},
};

use crate::make::{KEY_GROUPS, Made, Model, STATES, clipped, collected, key, meta, names, schema, some_rows};

/// Everything that can be asked of a file.
#[track_caller]
fn check(rows: &Model, ranges: &[Range<u32>]) {
    let made = Made::new(rows);
    let verified = made.open().expect("it was just written");
    let unverified = Reader::open_unverified(&made.path).expect("it was just written");
    let bytes: usize = rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
    let tombstones = rows.values().filter(|value| value.is_none()).count() as u64;
    for reader in [verified, unverified] {
        assert_eq!((reader.meta(), reader.schema()), (&meta(Kind::Delta), schema().as_slice()));
        let Totals { rows: count, tombstones: gone, row_bytes, .. } = *reader.totals();
        assert_eq!((count, gone, row_bytes), (rows.len() as u64, tombstones, bytes as u64));
        assert_eq!(reader.bytes(), made.written.bytes);
        let keys = rows
            .first_key_value()
            .zip(rows.last_key_value())
            .map(|((a, _), (b, _))| Keys { first: a.clone(), last: b.clone() });
        let Verified { rows: found, keys: between, .. } = reader.verify().expect("it is whole");
        assert_eq!((found, &between), (count, &keys));
        assert_eq!(made.written.keys, keys);
        for range in ranges.iter().chain(&[0..KEY_GROUPS, 0..u32::MAX]) {
            let found = collected(reader.rows(range.clone()).expect("it is whole")).expect("it is whole");
            assert!(found == clipped(rows, range), "key groups {range:?}");
        }
    }
    let Verified { rows: count, .. } = made.open().expect("reading changes nothing").verify().expect("it is whole");
    assert_eq!(count, made.written.rows);
    assert_eq!(Hash::of(&made.bytes()), made.written.blake3);
    assert_eq!(names(made.folder.path()), ["snapshot.redb"]);
}

#[test]
fn files_of_any_size() {
    check(&Model::new(), &[3..4, 0..0]);
    check(&some_rows(1, 0), &[0..1, 1..16]);
    check(&some_rows(300, 100), &[0..0, 5..5, 15..16, 3..9]);
    check(&some_rows(60_000, 40), &[0..1, 7..8, 2..15]);
}

#[test]
fn rows_that_are_longer_than_a_block() {
    let rest = vec![7; 200_000];
    let mut rows = some_rows(50, 10);
    rows.insert(key(3, 1, &rest), Some(vec![1; 70_000]));
    rows.insert(key(3, 1, &rest[..100_000]), Some(Vec::new()));
    rows.insert(key(9, 0, b"long"), Some((0..3_000_000_u32).map(|n| n as u8).collect()));
    rows.insert(key(9, 0, b"long, too"), Some(vec![1; 65_536]));
    check(&rows, &[0..4, 9..10, 4..16]);
}

#[test]
fn a_state_of_small_numbers_takes_less_than_its_keys_and_values() {
    let row = |n: u32| {
        let number = (u64::from(n) ^ 1 << 63).to_be_bytes();
        (key((n % KEY_GROUPS) as u16, 0, &[&[1], &number[..]].concat()), Some(vec![0; 8]))
    };
    let made = Made::new(&(0..100_000).map(row).collect());
    let ratio = made.written.bytes as f64 / made.written.row_bytes as f64;
    assert!(ratio < 0.8, "{ratio}");
}

#[test]
fn the_time_of_a_file_stays_when_it_is_read() {
    let made = Made::new(&some_rows(100, 10));
    let stamp = || fs::metadata(&made.path).and_then(|metadata| metadata.modified()).expect("it has one");
    let before = stamp();
    made.open().and_then(|reader| reader.verify()).expect("it is whole");
    Reader::open_unverified(&made.path).and_then(|reader| reader.verify()).expect("it is whole");
    assert_eq!(stamp(), before);
}

#[test]
fn several_read_one_file_and_rows_outlive_their_reader() {
    let rows = some_rows(20_000, 20);
    let made = Made::new(&rows);
    let readers: Vec<Reader> = (0..4).map(|_| made.open().expect("it is whole")).collect();
    let parts: Vec<_> = readers.iter().zip([0..4, 4..8, 8..12, 12..16]).map(|(r, range)| r.rows(range)).collect();
    drop(readers);
    let parts = parts.into_iter().map(|part| collected(part.expect("it is whole")).expect("it is whole"));
    assert!(parts.flatten().eq(rows));
}

fn rows() -> impl Strategy<Value = Model> {
    let rest = prop_oneof![
        8 => collection::vec(any::<u8>(), 0..12),
        2 => collection::vec(0..2_u8, 0..40),
        1 => (0..3_000_usize).prop_map(|length| vec![9; length]),
    ];
    let value = prop_oneof![
        8 => collection::vec(any::<u8>(), 0..50).prop_map(Some),
        1 => Just(None),
        1 => (0..20_000_usize).prop_map(|length| Some(vec![5; length])),
    ];
    let parts = (0..KEY_GROUPS as u16, prop::sample::select(STATES.to_vec()), rest);
    collection::btree_map(parts.prop_map(|(group, state, rest)| key(group, state, &rest)), value, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(rows in rows(), a in 0..KEY_GROUPS, b in 0..=KEY_GROUPS) {
        check(&rows, &[a..b, b..KEY_GROUPS]);
    }
}
