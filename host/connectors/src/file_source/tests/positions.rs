//! Going on from where files were read up to: nothing is left out, nothing comes twice, whoever goes on.

use std::{fs, path::Path};

use serde_json::Value;

use super::{columnar, config, folder, gzip, put, zstd};
use crate::{
    Polled, SourceConfig,
    testing::{all, rows},
};

/// What has come of the subtasks: good rows and bad ones, as text.
type Found = Vec<String>;

fn shown(config: &SourceConfig, polled: Polled, found: &mut Found) -> bool {
    match polled {
        Polled::Batch { batch, .. } => {
            found.extend(rows(&batch, &config.ports()[0].schema).iter().map(Value::to_string));
        }
        Polled::Bad(bad) => found.extend(bad.iter().map(|row| format!("bad {} {}", row.line, row.text))),
        Polled::Pending { .. } => panic!("a file never lets wait"),
        Polled::End => return false,
    }
    true
}

/// Lets each of several subtasks poll so often, and says how far they have come; in all, if no number is given.
fn poll(
    config: &SourceConfig,
    parallelism: u32,
    from: Option<&[Value]>,
    polls: Option<usize>,
    found: &mut Found,
) -> Vec<Value> {
    let splits = config.splits().expect("the files are there");
    let mut positions = Vec::new();
    for subtask in 0..parallelism {
        let mut source = config.open(subtask, parallelism, &splits, &all(config), from).expect("it goes on");
        let mut left = polls.unwrap_or(usize::MAX);
        while left > 0 && shown(config, source.poll(0).expect("it can be read"), found) {
            left -= 1;
        }
        positions.extend(source.positions());
    }
    positions
}

/// Reads some, then goes on with other numbers of subtasks, and holds all rows against those of one who read on.
#[track_caller]
fn check(config: &SourceConfig) {
    let mut whole = Found::new();
    poll(config, 1, None, None, &mut whole);
    whole.sort_unstable();
    for polls in [0, 1, 2, 3, 5, 9] {
        for (first, second) in [(1, 1), (2, 1), (1, 3), (3, 2)] {
            let mut found = Found::new();
            let once = poll(config, first, None, Some(polls), &mut found);
            let twice = poll(config, second, Some(&once), Some(polls), &mut found);
            let end = poll(config, first, Some(&twice), None, &mut found);
            found.sort_unstable();
            assert_eq!(found.len(), whole.len(), "{polls} polls, {first} then {second}");
            assert!(found == whole, "{polls} polls, {first} then {second}");
            let mut more = Found::new();
            poll(config, second, Some(&end), None, &mut more);
            assert_eq!(more, [""; 0], "all was read");
        }
    }
}

/// Many rows, more than a block has, some of them bad.
fn json_rows(rows: usize) -> String {
    let row = |i: usize| match i % 977 {
        500 => "{\"n\": \"no number\"}\n".to_owned(),
        _ => format!("{{\"n\": {i}, \"text\": \"{}\"}}\n", "x".repeat(i % 90)),
    };
    (0..rows).map(row).collect()
}

const JSON: &str = "path = \"*.in\"\nformat = \"json\"\nschema = { n = \"int64\" }";

#[test]
fn text_is_read_on_with_bad_rows_and_however_it_is_packed() {
    let folder = folder();
    put(folder.path(), "a.in", json_rows(30_000));
    put(folder.path(), "b.in", gzip(json_rows(12_345).as_bytes()));
    put(folder.path(), "c.in", zstd(json_rows(7_000).as_bytes()));
    put(folder.path(), "d.in", "");
    check(&config(folder.path(), JSON));
}

#[test]
fn lines_that_are_no_text_or_too_long_are_passed_once() {
    let folder = folder();
    let line = |i: usize| match i % 1_000 {
        7 => b"\xff\xfe\n".to_vec(),
        8 => [vec![b'y'; 3_000], b"\n".to_vec()].concat(),
        _ => format!("line {i} {}\n", "z".repeat(i % 200)).into_bytes(),
    };
    let text: Vec<u8> = (0..20_000).flat_map(line).collect();
    put(folder.path(), "a.in", [b"\xef\xbb\xbf".to_vec(), text].concat());
    check(&config(folder.path(), "path = \"*.in\"\nformat = \"lines\"\nline_bytes_max = \"2KiB\""));
}

#[test]
fn csv_is_read_on_within_rows_of_several_lines() {
    let folder = folder();
    let row = |i: usize| format!("{i},\"some\n{}\ntext\"\n", "w".repeat(i % 120));
    for name in ["a.in", "b.in"] {
        put(folder.path(), name, format!("n,t\n{}", (0..15_000).map(row).collect::<String>()));
    }
    check(&config(folder.path(), "path = \"*.in\"\nformat = \"csv\"\nschema = { n = \"int64\", t = \"utf8\" }"));
}

#[test]
fn columnar_files_are_read_on() {
    for format in ["parquet", "arrow"] {
        let folder = folder();
        for name in ["a.in", "b.in"] {
            put(folder.path(), name, columnar::of_numbers(format, 20_000));
        }
        check(&config(folder.path(), &format!("path = \"*.in\"\nformat = \"{format}\"\nschema = {{ n = \"int64\" }}")));
    }
}

fn refused(folder: &Path, positions: &[Value]) -> String {
    let config = config(folder, JSON);
    let splits = config.splits().expect("the files are there");
    let opened = config.open(0, 1, &splits, &all(&config), Some(positions));
    let error = opened.and_then(|mut source| source.poll(0).map(drop)).expect_err("it cannot go on");
    error.to_string().replace(&*folder.to_string_lossy(), "DIR")
}

#[test]
fn files_that_came_are_read_and_those_that_went_are_missed() {
    let folder = folder();
    put(folder.path(), "a.in", json_rows(9_000));
    let one = config(folder.path(), JSON);
    let mut found = Found::new();
    let positions = poll(&one, 1, None, Some(2), &mut found);
    put(folder.path(), "b.in", "{\"n\": -1}\n");
    poll(&one, 2, Some(&positions), None, &mut found);
    assert_eq!(found.len(), 9_001, "the new file is read too");
    fs::remove_file(folder.path().join("a.in")).expect("it is there");
    let gone = refused(folder.path(), &positions);
    assert!(gone.contains("could not go on reading DIR/a.in") && gone.contains("not among the files"), "{gone}");
    put(folder.path(), "a.in", "{\"n\": 1}\n");
    let mut far = positions.clone();
    far[0]["offset"] = 700_000.into();
    let short = refused(folder.path(), &far);
    assert!(short.contains("it has 9 bytes, and 700000 were read then"), "{short}");
    let odd = refused(folder.path(), &["x".into()]);
    assert!(odd.contains("could not go on reading a file source"), "{odd}");
}
