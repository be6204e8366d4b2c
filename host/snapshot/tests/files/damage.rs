//! Files that are not what was written. Opened with what the manifest says of them, every damage is found; opened without, what
//! comes is an error or the right rows.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    thread,
};

use redb::{Database, ReadableTable, TableDefinition};
use wasmill_model::fault::{Code, Coded};
use wasmill_snapshot::file::{Error, Kind, Meta, Reader};

use crate::make::{KEY_GROUPS, Made, Model, clipped, collected, meta, some_rows, write};

const BLOCKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("blocks");

/// Flips one bit, lets the file be looked at, and flips it back.
fn with_flipped<T>(file: &File, bytes: &[u8], bit: usize, look: impl FnOnce() -> T) -> T {
    let (place, mask) = ((bit / 8) as u64, 1 << (bit % 8));
    file.write_all_at(&[bytes[bit / 8] ^ mask], place).expect("it can be written");
    let seen = look();
    file.write_all_at(&[bytes[bit / 8]], place).expect("it can be written");
    seen
}

fn writable(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).expect("it is there")
}

/// Reads some key groups without knowing what the file should be. Panics if a row is wrong or missing.
fn read_unverified(path: &Path, rows: &Model, range: &Range<u32>) -> Result<(), Error> {
    let reader = Reader::open_unverified(path)?;
    let found = collected(reader.rows(range.clone())?)?;
    assert!(found == clipped(rows, range), "wrong rows, and no error");
    assert_eq!(reader.meta().operator, "count");
    Ok(())
}

#[test]
fn every_flipped_bit_is_found() {
    let made = Made::new(&some_rows(200, 20));
    let bytes = made.bytes();
    assert!(bytes.len() < 64 << 10, "{} bytes take too long", bytes.len());
    // Each thread has a copy, and takes the bits that are its own.
    let threads = thread::available_parallelism().map_or(2, usize::from).min(4);
    thread::scope(|scope| {
        for first in 0..threads {
            let (made, bytes) = (&made, &bytes);
            let flip = move || {
                let path = made.folder.path().join(format!("copy {first}"));
                std::fs::write(&path, bytes).expect("there is room");
                let file = writable(&path);
                for bit in (first..8 * bytes.len()).step_by(threads) {
                    let opened = with_flipped(&file, bytes, bit, || Reader::open(&path, &made.expected()));
                    assert!(matches!(opened, Err(Error::Damaged { .. })), "bit {bit}: {opened:?}");
                }
                Reader::open(&path, &made.expected()).expect("it is whole again");
            };
            scope.spawn(flip);
        }
    });
}

#[test]
fn every_truncation_is_found() {
    let rows = some_rows(200, 20);
    let made = Made::new(&rows);
    let file = writable(&made.path);
    for length in (0..made.written.bytes).rev() {
        file.set_len(length).expect("it can be cut");
        let opened = made.open();
        assert!(matches!(opened, Err(Error::Damaged { .. })), "{length}: {opened:?}");
        if length % 331 == 0 {
            let _ = read_unverified(&made.path, &rows, &(0..KEY_GROUPS));
        }
    }
    file.write_all_at(&made.bytes(), 0).expect("it can be written");
    assert!(made.open().is_err());
}

#[test]
fn a_longer_file_is_found() {
    let made = Made::new(&some_rows(200, 20));
    let file = writable(&made.path);
    file.write_all_at(b"x", made.written.bytes).expect("it can be written");
    let error = made.open().expect_err("it is longer");
    assert_eq!(error.code(), Code::CheckpointDamaged);
    let (is, should) = (made.written.bytes + 1, made.written.bytes);
    assert!(error.to_string().ends_with(&format!("it is {is} bytes long, and should be {should}")), "{error}");
}

/// Flips bits and reads what can be read; says how often an error came of it.
fn flip_unverified(made: &Made, rows: &Model, bits: impl Iterator<Item = usize>) -> (u32, u32) {
    let (bytes, file) = (made.bytes(), writable(&made.path));
    let ranges = [0..KEY_GROUPS, 5..9];
    let (mut errors, mut all) = (0, 0);
    for bit in bits {
        let range = &ranges[bit % 2];
        let read = with_flipped(&file, &bytes, bit, || read_unverified(&made.path, rows, range));
        errors += u32::from(read.is_err());
        all += 1;
    }
    (errors, all)
}

#[test]
fn a_flipped_bit_gives_an_error_or_the_right_rows() {
    let rows = some_rows(200, 20);
    let made = Made::new(&rows);
    let bits = 8 * made.written.bytes as usize;
    // All of the database's head, and of the rest every 61st: all of them take a minute.
    let (errors, all) = flip_unverified(&made, &rows, (0..8 * 320).chain((8 * 320..bits).step_by(61)));
    println!("{errors} of {all} flipped bits gave an error");
    assert!(errors > all / 10, "{errors} of {all}");
}

#[test]
fn a_flipped_bit_in_a_larger_file_gives_an_error_or_the_right_rows() {
    let rows = some_rows(50_000, 20);
    let made = Made::new(&rows);
    let bits = 8 * made.written.bytes as usize;
    let bits = (0..300).map(|n: usize| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bits);
    let (errors, all) = flip_unverified(&made, &rows, bits);
    println!("{errors} of {all} flipped bits gave an error");
    assert!(errors > all / 2, "{errors} of {all}");
}

#[test]
fn pages_that_are_lost_or_exchanged_give_an_error_or_the_right_rows() {
    const PAGE: usize = 4_096;
    let rows = some_rows(50_000, 20);
    let made = Made::new(&rows);
    let (bytes, file) = (made.bytes(), writable(&made.path));
    let pages = bytes.len() / PAGE;
    let page = |number: usize| &bytes[number * PAGE..][..PAGE];
    let mut errors = 0;
    for number in 0..pages {
        let at = (number * PAGE) as u64;
        let instead = match number % 3 {
            0 => vec![0; PAGE],
            1 => page((number + 16) % pages).to_vec(),
            _ => page(number).iter().map(|byte| byte ^ 0x55).collect(),
        };
        file.write_all_at(&instead, at).expect("it can be written");
        errors += usize::from(read_unverified(&made.path, &rows, &(0..KEY_GROUPS)).is_err());
        file.write_all_at(page(number), at).expect("it can be written");
    }
    assert!(errors > pages / 2, "{errors} of {pages}");
    read_unverified(&made.path, &rows, &(0..KEY_GROUPS)).expect("it is whole again");
}

#[test]
fn files_are_not_taken_for_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = |name: &str, rows: &Model| {
        let path = folder.path().join(name);
        let written = write(&path, &meta(Kind::Delta), rows).expect("there is room");
        (path, written.expected())
    };
    let (a, b) = (made("a", &some_rows(200, 20)), made("b", &some_rows(200, 21)));
    for (path, expected) in [(&a.0, &b.1), (&b.0, &a.1)] {
        assert!(matches!(Reader::open(path, expected), Err(Error::Damaged { .. })));
    }
}

/// Changes the blocks of a file by the database itself, so that all its own checksums are right.
fn rewritten(made: &Made, change: impl FnOnce(&mut Vec<(Vec<u8>, Vec<u8>)>)) {
    let database = Database::open(&made.path).expect("nobody has it");
    let transaction = database.begin_write().expect("it can be written");
    {
        let mut table = transaction.open_table(BLOCKS).expect("it is there");
        let mut blocks = Vec::new();
        for entry in table.iter().expect("it can be read") {
            let (key, value) = entry.expect("it can be read");
            blocks.push((key.value().to_vec(), value.value().to_vec()));
        }
        table.retain(|_, _| false).expect("it can be written");
        change(&mut blocks);
        for (key, value) in blocks {
            table.insert(&*key, &*value).expect("it can be written");
        }
    }
    transaction.commit().expect("it can be written");
}

/// Blocks of a file with more than ten.
fn blocks_of(meta: &Meta, rows: &Model) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut blocks = Vec::new();
    rewritten(&Made::with(meta, rows), |found| blocks = found.clone());
    assert!(blocks.len() > 10);
    blocks
}

#[track_caller]
fn check_rewritten(expect: &str, change: impl FnOnce(&mut Vec<(Vec<u8>, Vec<u8>)>)) {
    let rows = some_rows(10_000, 30);
    let made = Made::new(&rows);
    rewritten(&made, change);
    made.open().expect_err("its bytes have changed");
    let error = read_unverified(&made.path, &rows, &(0..KEY_GROUPS)).expect_err("a block is not where it was");
    assert_eq!(error.to_string().replace(&made.folder.path().display().to_string(), "").as_str(), expect);
    for group in 0..KEY_GROUPS {
        // Of whatever part: an error or the right rows.
        let _ = read_unverified(&made.path, &rows, &(group..group + 1));
    }
}

#[test]
fn blocks_that_are_not_where_they_were_are_found() {
    let of =
        |block: u32, reason: &str| format!("could not read block {block} of snapshot file /snapshot.redb: {reason}");
    check_rewritten(&of(3, "block 5 stands in its place"), |blocks| {
        let (a, b) = (blocks[3].1.clone(), blocks[5].1.clone());
        (blocks[3].1, blocks[5].1) = (b, a);
    });
    check_rewritten(&of(4, "block 5 stands in its place"), |blocks| drop(blocks.remove(4)));
    check_rewritten(&of(0, "block 1 stands in its place"), |blocks| drop(blocks.remove(0)));
    check_rewritten(&of(3, "it stands under another key than its first"), |blocks| blocks[3].0.push(0));
    let all = blocks_of(&meta(Kind::Delta), &some_rows(10_000, 30)).len() as u32;
    check_rewritten(&of(all - 1, &format!("it is missing; there are {all}")), |blocks| drop(blocks.pop()));
    check_rewritten(&of(0, &format!("it is missing; there are {all}")), Vec::clear);
    check_rewritten(&of(6, "block 0 stands in its place"), |blocks| {
        let (mut key, value) = (blocks[5].0.clone(), blocks[0].1.clone());
        key.push(0);
        blocks.insert(6, (key, value));
    });
    check_rewritten(&of(2, "its checksum is wrong"), |blocks| blocks[2].1[20] ^= 4);
    check_rewritten(&of(2, "it has no checksum"), |blocks| blocks[2].1.clear());
    check_rewritten(&of(2, "its checksum is wrong"), |blocks| blocks[2].1.truncate(30));
}

#[test]
fn a_block_of_another_file_is_found() {
    let mut other = meta(Kind::Delta);
    other.subtask = 0;
    let foreign = blocks_of(&other, &some_rows(10_000, 30));
    let expect = "could not read block 2 of snapshot file /snapshot.redb: its checksum is wrong";
    check_rewritten(expect, |blocks| {
        // The same rows at the same place.
        assert_eq!(blocks[2].0, foreign[2].0);
        blocks[2] = foreign[2].clone();
    });
}

#[test]
fn entries_that_are_missing_or_changed_are_found() {
    let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let states: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("schema");
    let check = |expect: &str, change: &dyn Fn(&redb::WriteTransaction) -> Result<(), redb::Error>| {
        let made = Made::new(&some_rows(5, 5));
        let database = Database::open(&made.path).expect("nobody has it");
        let transaction = database.begin_write().expect("it can be written");
        change(&transaction).expect("it can be written");
        transaction.commit().expect("it can be written");
        drop(database);
        let error = Reader::open_unverified(&made.path).expect_err("an entry is wrong").to_string();
        let expect = format!("could not read {expect}");
        assert_eq!(error.replace(&made.folder.path().display().to_string(), ""), expect);
    };
    let missing = "it is missing: the file was not finished";
    check(&format!("its totals of snapshot file /snapshot.redb: {missing}"), &|change| {
        change.open_table(meta)?.remove("totals")?;
        Ok(())
    });
    check("what it is of snapshot file /snapshot.redb: its checksum is wrong", &|change| {
        change.open_table(meta)?.insert("about", &b"{\"cluster\":\"a\"}1234"[..])?;
        Ok(())
    });
    check("the schema of snapshot file /snapshot.redb: 2 states of 3 are there", &|change| {
        change.open_table(states)?.remove(1)?;
        Ok(())
    });
    check("the schema of state 0 of snapshot file /snapshot.redb: it is that of state 1", &|change| {
        let mut states = change.open_table(states)?;
        let one = states.get(1)?.map(|bytes| bytes.value().to_vec()).unwrap_or_default();
        states.insert(0, &*one)?;
        Ok(())
    });
    check("its blocks of snapshot file /snapshot.redb: there are none", &|change| {
        change.delete_table(BLOCKS)?;
        Ok(())
    });
}
