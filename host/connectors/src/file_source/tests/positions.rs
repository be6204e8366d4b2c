//! Going on from where files were read up to: nothing is left out, nothing comes twice, whoever goes on.

use std::{fs, path::Path};

use arrow_array::{cast::AsArray, types::Int64Type};
use serde_json::{Value, json};
use wasmill_model::portions::{Asks, Given};

use super::{columnar, config, folder, gzip, put, zstd};
use crate::{
    Polled, ReadBefore, Source, SourceConfig,
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
        Polled::Pending { .. } => panic!("it was answered, and a file never lets wait"),
        Polled::End => return false,
    }
    true
}

/// Subtasks of a source, and who gives them portions when they ask.
struct Attempt {
    sources: Vec<(Box<dyn Source>, Given)>,
    next: u32,
}

impl Attempt {
    fn new(config: &SourceConfig, parallelism: u32, from: Option<&ReadBefore>) -> Self {
        let splits = config.splits().expect("the files are there");
        let open = |subtask| config.open(subtask, parallelism, &splits, &all(config), from).expect("it goes on");
        let sources = (0..parallelism).map(|subtask| (open(subtask), Given::default())).collect();
        Self { sources, next: 0 }
    }

    fn answer(&mut self, subtask: usize) {
        let (source, given) = &mut self.sources[subtask];
        let Some(Asks { of, has }) = source.asks() else { return };
        assert_eq!(has as usize, given.portions.len());
        if self.next < of {
            given.portions.push(self.next);
            self.next += 1;
        }
        given.is_all = self.next == of;
        source.give(given);
    }

    fn poll(&mut self, subtask: usize) -> Polled {
        self.answer(subtask);
        self.sources[subtask].0.poll(0).expect("it can be read")
    }

    fn before(&self) -> ReadBefore {
        let positions = self.sources.iter().flat_map(|(source, _)| source.positions()).collect();
        ReadBefore { positions, ..ReadBefore::default() }
    }
}

/// Lets several subtasks poll so often in turns, and says how far they have come; to the end, if no number is given.
fn poll(
    config: &SourceConfig,
    parallelism: u32,
    from: Option<&ReadBefore>,
    polls: Option<usize>,
    found: &mut Found,
) -> ReadBefore {
    let mut attempt = Attempt::new(config, parallelism, from);
    let mut read: Vec<usize> = (0..parallelism as usize).collect();
    for _ in 0..polls.unwrap_or(usize::MAX) {
        read.retain(|&subtask| shown(config, attempt.poll(subtask), found));
        if read.is_empty() {
            break;
        }
    }
    attempt.before()
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

fn refused(folder: &Path, from: &ReadBefore) -> String {
    let config = config(folder, JSON);
    let splits = config.splits().expect("the files are there");
    let opened = config.open(0, 1, &splits, &all(&config), Some(from));
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
    far.positions[0]["offset"] = 700_000.into();
    let short = refused(folder.path(), &far);
    assert!(short.contains("it has 9 bytes, and 700000 were read then"), "{short}");
    let odd = refused(folder.path(), &ReadBefore { positions: vec!["x".into()], ..ReadBefore::default() });
    assert!(odd.contains("could not go on reading a file source"), "{odd}");
}

/// Rows of the port `n`, by the subtask that brought them.
fn numbers(polled: &Polled) -> Vec<i64> {
    let Polled::Batch { batch, .. } = polled else { return Vec::new() };
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// So many files of one row each, but for the first, which has many.
fn uneven(folder: &Path, files: usize) {
    put(folder, "file-000.in", "{\"n\": 0}\n".repeat(300_000));
    for number in 1..files {
        put(folder, &format!("file-{number:03}.in"), format!("{{\"n\": {number}}}\n"));
    }
}

/// So many files of one row each.
fn small(folder: &Path, files: usize) {
    for number in 0..files {
        put(folder, &format!("{number}.in"), format!("{{\"n\": {number}}}\n"));
    }
}

#[test]
fn who_is_done_reads_what_others_have_not_come_to() {
    for files in [8, 300] {
        let folder = folder();
        uneven(folder.path(), files);
        let mut attempt = Attempt::new(&config(folder.path(), JSON), 2, None);
        assert_eq!(numbers(&attempt.poll(0))[0], 0);
        let mut read = Vec::new();
        loop {
            match attempt.poll(1) {
                Polled::End => break,
                polled => read.extend(numbers(&polled)),
            }
        }
        assert_eq!(read, (1..files as i64).collect::<Vec<_>>(), "all but the large file, in their order");
        let mut large = 0;
        while let Polled::Batch { batch, .. } = attempt.poll(0) {
            large += batch.rows;
        }
        assert!(large > 290_000 && attempt.sources[0].0.asks().is_none(), "{large}");
    }
}

#[test]
fn who_has_read_all_waits_until_it_is_told_that_nothing_is_left() {
    let folder = folder();
    small(folder.path(), 3);
    let mut attempt = Attempt::new(&config(folder.path(), JSON), 2, None);
    let source = &mut attempt.sources[1].0;
    assert_eq!(source.asks(), None, "it has not begun what it has");
    assert_eq!(numbers(&source.poll(0).expect("readable")), [1]);
    assert_eq!(source.asks(), Some(Asks { of: 1, has: 0 }), "it has one small file");
    assert!(matches!(source.poll(500), Ok(Polled::Pending { retry_at_ms: 1_500 })));
    // What comes twice is taken once.
    for is_all in [false, false, true] {
        source.give(&Given { portions: vec![0], is_all });
    }
    assert_eq!(source.asks(), None);
    assert_eq!(numbers(&source.poll(0).expect("readable")), [2]);
    assert!(matches!(source.poll(0), Ok(Polled::End)));
    source.give(&Given { portions: vec![0], is_all: true });
    assert!(matches!(source.poll(0), Ok(Polled::End)));
}

#[test]
fn who_reads_alone_asks_for_nothing() {
    let folder = folder();
    uneven(folder.path(), 100);
    let splits = config(folder.path(), JSON).splits().expect("the files are there");
    for (parallelism, ended) in [(1, [].into()), (3, [0, 2].into())] {
        let before = ReadBefore { positions: Vec::new(), ended };
        let own = if parallelism == 1 { 0 } else { 1 };
        let config = config(folder.path(), JSON);
        let mut source = config.open(own, parallelism, &splits, &all(&config), Some(&before)).expect("it opens");
        let mut read = 0;
        loop {
            assert_eq!(source.asks(), None);
            match source.poll(0).expect("readable") {
                Polled::End => break,
                polled => read += numbers(&polled).len(),
            }
        }
        assert_eq!(read, 300_099);
    }
}

#[test]
fn who_had_ended_reads_nothing_more_and_others_read_what_is_left() {
    let folder = folder();
    small(folder.path(), 9);
    let config = config(folder.path(), JSON);
    let before = ReadBefore { positions: Vec::new(), ended: [1].into() };
    let mut attempt = Attempt::new(&config, 3, Some(&before));
    assert!(matches!(attempt.poll(1), Polled::End));
    let mut read = Vec::new();
    for subtask in [0, 2].repeat(12) {
        read.extend(numbers(&attempt.poll(subtask)));
    }
    read.sort_unstable();
    assert_eq!(read, (0..9).collect::<Vec<_>>());
    let of_ended = attempt.sources[1].0.positions();
    assert_eq!(of_ended.len(), 3, "it still keeps note of its share");
}

#[test]
fn many_files_are_read_on_whoever_had_begun_them() {
    let folder = folder();
    for number in 0..7 {
        put(folder.path(), &format!("{number}.in"), json_rows(9_000 + 1_000 * number));
    }
    check(&config(folder.path(), JSON));
    // Four are begun, and one reads on with the first of them: of the others it still says how far they were.
    let config = config(folder.path(), JSON);
    let mut found = Found::new();
    let once = poll(&config, 4, None, Some(1), &mut found);
    let twice = poll(&config, 1, Some(&once), Some(1), &mut found);
    poll(&config, 2, Some(&twice), None, &mut found);
    let mut whole = Found::new();
    poll(&config, 1, None, None, &mut whole);
    found.sort_unstable();
    whole.sort_unstable();
    assert!(found == whole, "{} rows of {}", found.len(), whole.len());
}

#[test]
fn positions_of_files_that_nobody_had_begun_count_as_free() {
    let folder = folder();
    small(folder.path(), 4);
    let config = config(folder.path(), JSON);
    let path = |number: u32| folder.path().join(format!("{number}.in"));
    // As they were written when each subtask had its files from the beginning.
    let position = |number: u32, done: bool| {
        let path = path(number);
        json!({ "path": path, "done": done, "offset": 0, "lines": 0, "good": 0, "bad": 0 })
    };
    let positions = vec![position(0, true), position(2, false), position(1, false), position(3, false)];
    let before = ReadBefore { positions, ..ReadBefore::default() };
    let mut found = Found::new();
    poll(&config, 2, Some(&before), None, &mut found);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3].map(|n| format!("{{\"n\":{n}}}")));
}
