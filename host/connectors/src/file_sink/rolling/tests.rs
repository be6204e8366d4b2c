//! Files that follow one another.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Int64Array};
use tempfile::TempDir;
use wasmill_model::{Batch, DataType, Field, Schema};

use crate::{Sink, SinkPlace, testing};

fn folder() -> TempDir {
    tempfile::tempdir().expect("room for a folder")
}

/// A sink of a job that does not end by itself.
fn open(folder: &Path, keys: &str, subtask: u32) -> Box<dyn Sink> {
    let text = format!("connector = \"file\"\n{keys}");
    let config = testing::sink(&text, folder).expect("valid settings");
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).expect("one name");
    config
        .open(&schema, SinkPlace { subtask, parallelism: 2, bounded: false, checkpoints: false }, None)
        .expect("it opens")
}

fn numbers(from: i64, to: i64) -> Batch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    Batch::new((to - from) as usize, vec![column])
}

/// The files that can be seen, with their bytes.
fn seen(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("readable"));
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let visible = entries.filter(|entry| !name(entry).starts_with('.'));
    let mut files: Vec<_> = visible.map(|e| (name(&e), fs::read(e.path()).expect("readable"))).collect();
    files.sort();
    files
}

fn names(folder: &Path) -> Vec<String> {
    seen(folder).into_iter().map(|(name, _)| name).collect()
}

fn hidden(folder: &Path) -> usize {
    fs::read_dir(folder).expect("it is there").count() - seen(folder).len()
}

const BY_SIZE: &str = "path = \"out.csv\"\nformat = \"csv\"\nheader = false\nroll = { size = \"10B\" }";

#[test]
fn a_file_appears_when_it_is_full_and_the_rest_at_the_end() {
    let folder = folder();
    let mut sink = open(folder.path(), BY_SIZE, 1);
    assert_eq!((names(folder.path()).len(), hidden(folder.path())), (0, 0), "nothing before the first row");
    for n in 10..17 {
        sink.write(&numbers(n, n + 1)).expect("room on disk");
    }
    sink.flush().expect("nothing to do");
    assert_eq!(names(folder.path()), ["out.1.000001.csv"], "four rows of three bytes are more than ten");
    assert_eq!(hidden(folder.path()), 1);
    sink.prepare().and_then(|_| sink.prepare()).expect("a second call does nothing");
    assert_eq!(names(folder.path()).len(), 1);
    sink.commit().and_then(|()| sink.commit()).expect("a second call does nothing");
    drop(sink);
    let expected = [("out.1.000001.csv", "10\n11\n12\n13\n"), ("out.1.000002.csv", "14\n15\n16\n")];
    let expected: Vec<_> = expected.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    assert_eq!(seen(folder.path()), expected);
    assert_eq!(hidden(folder.path()), 0);
}

#[test]
fn a_job_that_is_thrown_away_keeps_what_has_rolled_and_nothing_else() {
    let folder = folder();
    for prepared in [false, true] {
        let mut sink = open(folder.path(), BY_SIZE, 0);
        for n in 10..15 {
            sink.write(&numbers(n, n + 1)).expect("room on disk");
        }
        if prepared {
            sink.prepare().expect("room on disk");
        }
    }
    assert_eq!(names(folder.path()), ["out.0.000001.csv", "out.0.000002.csv"]);
    assert_eq!(hidden(folder.path()), 0);
}

#[test]
fn numbers_go_on_where_another_run_stopped_and_replace_nothing() {
    let folder = folder();
    for name in ["out.0.000007.csv", "out.1.000900.csv", "out.0.8.csv", "out.0.000009.csv.gz", "out.0.1000000.csv"] {
        fs::write(folder.path().join(name), "old").expect("room on disk");
    }
    let mut sink = open(folder.path(), BY_SIZE, 0);
    // As if another process had taken the number in the meantime.
    fs::write(folder.path().join("out.0.1000001.csv"), "theirs").expect("room on disk");
    sink.write(&numbers(1, 50)).expect("room on disk");
    sink.prepare().and_then(|_| sink.commit()).expect("nothing is open");
    let files = seen(folder.path());
    let new: Vec<_> = files.iter().filter(|(_, bytes)| bytes.starts_with(b"1\n2\n")).map(|(name, _)| name).collect();
    assert_eq!(new, ["out.0.1000002.csv"]);
    assert_eq!(files.len(), 7);
}

#[test]
fn a_file_appears_when_it_is_old_though_nothing_comes() {
    let folder = folder();
    let keys = "path = \"out.jsonl.gz\"\nformat = \"json\"\nroll = { every = \"20ms\" }";
    let mut sink = open(folder.path(), keys, 0);
    assert_eq!(sink.flush_at(), None, "nothing is open");
    sink.write(&numbers(1, 2)).expect("room on disk");
    let at = sink.flush_at().expect("a file is open");
    assert!(at <= Instant::now() + Duration::from_millis(20));
    while names(folder.path()).is_empty() {
        sink.flush().expect("room on disk");
    }
    assert!(Instant::now() >= at);
    assert_eq!((names(folder.path()), sink.flush_at()), (vec!["out.0.000001.jsonl.gz".to_owned()], None));
}

#[test]
fn without_being_told_files_roll_in_a_job_that_does_not_end() {
    let folder = folder();
    let check = |keys: &str, expected: &[&str]| {
        let mut sink = open(folder.path(), keys, 0);
        sink.write(&numbers(1, 2)).and_then(|()| sink.prepare()).and_then(|_| sink.commit()).expect("room on disk");
        assert_eq!(names(folder.path()), expected, "{keys}");
        expected.iter().for_each(|name| fs::remove_file(folder.path().join(name)).expect("it is there"));
    };
    check("path = \"out\"\nformat = \"json\"", &["out.0.000001"]);
    check("path = \"out\"\nformat = \"json\"\nroll = false", &["out.0"]);
    check("path = \"out.parquet\"\nformat = \"parquet\"", &["out.0.000001.parquet"]);
}
