//! Files that appear whole, or not at all.

use std::{fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array};
use flate2::read::MultiGzDecoder;
use tempfile::TempDir;
use wasmill_model::{Batch, DataType, Field, Schema};

use crate::{Sink, SinkPlace, testing};

fn folder() -> TempDir {
    tempfile::tempdir().expect("room for a folder")
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("n", DataType::Int64)]).expect("one name")
}

fn numbers(from: i64, to: i64) -> Batch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    Batch::new((to - from) as usize, vec![column])
}

/// The sink of one subtask.
fn open(folder: &Path, path: &str, format: &str, subtask: u32, parallelism: u32) -> Box<dyn Sink> {
    let text = format!("connector = \"file\"\npath = \"{path}\"\nformat = \"{format}\"");
    let config = testing::sink(&text, folder).expect("valid settings");
    config
        .open(&schema(), SinkPlace { subtask, parallelism, bounded: true, checkpoints: false }, None)
        .expect("it opens")
}

fn finish(mut sink: Box<dyn Sink>) {
    sink.prepare().and_then(|_| sink.commit()).expect("room on disk");
}

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

fn content(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("it is there")
}

#[test]
fn a_file_appears_whole_at_commit() {
    let folder = folder();
    let mut sink = open(folder.path(), "out.jsonl", "json", 0, 1);
    // More than is gathered before it is written.
    sink.write(&numbers(0, 50_000)).expect("room on disk");
    sink.flush().expect("nothing to do");
    let is_temporary =
        |names: &[String]| matches!(names, [name] if name.starts_with(".out.jsonl.") && name.ends_with(".tmp"));
    assert!(is_temporary(&names(folder.path())));
    sink.write(&numbers(50_000, 50_002)).expect("room on disk");
    sink.prepare().expect("room on disk");
    sink.prepare().expect("a second call does nothing");
    assert!(is_temporary(&names(folder.path())), "nothing is visible before the commit");
    sink.commit().expect("the folder is there");
    assert_eq!(names(folder.path()), ["out.jsonl"]);
    let expected: String = (0..50_002).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert!(content(folder.path(), "out.jsonl") == expected);
    sink.commit().expect("a second call does nothing");
    drop(sink);
    assert_eq!(names(folder.path()), ["out.jsonl"]);
}

#[test]
fn what_was_there_is_replaced_at_commit_and_not_before() {
    let folder = folder();
    fs::write(folder.path().join("out.csv"), "old").expect("room on disk");
    let mut sink = open(folder.path(), "out.csv", "csv", 0, 1);
    sink.write(&numbers(1, 3)).expect("room on disk");
    sink.prepare().expect("room on disk");
    assert_eq!(content(folder.path(), "out.csv"), "old");
    sink.commit().expect("the folder is there");
    assert_eq!(content(folder.path(), "out.csv"), "n\n1\n2\n");
}

#[test]
fn dropping_without_commit_leaves_nothing() {
    let folder = folder();
    for prepared in [false, true] {
        let mut sink = open(folder.path(), "out.jsonl", "json", 0, 1);
        sink.write(&numbers(0, 100_000)).expect("room on disk");
        if prepared {
            sink.prepare().expect("room on disk");
        }
        drop(sink);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn no_rows_make_an_empty_file() {
    let folder = folder();
    finish(open(folder.path(), "a.jsonl", "json", 0, 1));
    finish(open(folder.path(), "a.csv", "csv", 0, 1));
    assert_eq!((content(folder.path(), "a.jsonl"), content(folder.path(), "a.csv")), (String::new(), "n\n".into()));
}

#[test]
fn each_subtask_has_a_file_of_its_own() {
    let check = |path: &str, expected: [&str; 2]| {
        let folder = folder();
        (0..2).for_each(|subtask| finish(open(folder.path(), path, "json", subtask, 2)));
        assert_eq!(names(folder.path()), expected, "{path}");
    };
    check("counts.jsonl", ["counts.0.jsonl", "counts.1.jsonl"]);
    check("counts.jsonl.gz", ["counts.0.jsonl.gz", "counts.1.jsonl.gz"]);
    check("counts", ["counts.0", "counts.1"]);
    check(".counts", [".counts.0", ".counts.1"]);
    check("a.b.c", ["a.b.0.c", "a.b.1.c"]);
    check("counts.gz", ["counts.0.gz", "counts.1.gz"]);
    check("counts.jsonl.zst", ["counts.0.jsonl.zst", "counts.1.jsonl.zst"]);
}

#[test]
fn gzip_where_the_name_says_so() {
    let folder = folder();
    let mut sink = open(folder.path(), "out.jsonl.gz", "json", 0, 1);
    sink.write(&numbers(0, 100_000)).expect("room on disk");
    finish(sink);
    let packed = fs::read(folder.path().join("out.jsonl.gz")).expect("it is there");
    let mut text = String::new();
    MultiGzDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("gzip");
    assert!(text == (0..100_000).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    assert!(packed.len() < text.len() / 2);
}

#[test]
fn zstd_where_the_name_says_so() {
    let folder = folder();
    let mut sink = open(folder.path(), "out.csv.zst", "csv", 0, 1);
    sink.write(&numbers(0, 100_000)).expect("room on disk");
    finish(sink);
    let packed = fs::read(folder.path().join("out.csv.zst")).expect("it is there");
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).expect("zstd")).expect("text");
    assert!(text == format!("n\n{}", (0..100_000).map(|n| format!("{n}\n")).collect::<String>()));
    assert!(packed.len() < text.len() / 2);
}

/// As a process leaves it that is killed.
#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let folder = folder();
    fs::write(folder.path().join(".out.jsonl.aB3dEf.tmp"), "half a row").expect("room on disk");
    let first = open(folder.path(), "out.jsonl", "json", 0, 2);
    let second = open(folder.path(), "out.jsonl", "json", 1, 2);
    assert_eq!(names(folder.path()).len(), 2, "those of the two that live");
    finish(first);
    finish(second);
    assert_eq!(names(folder.path()), ["out.0.jsonl", "out.1.jsonl"]);
}

#[test]
fn what_a_wider_run_left_is_named_and_kept() {
    let folder = folder();
    let left = |path: &str, parallelism: u32, bounded: bool| {
        let text = format!("connector = \"file\"\npath = \"{path}\"\nformat = \"json\"");
        let config = testing::sink(&text, folder.path()).expect("valid settings");
        let name = |path: std::path::PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        config.leftovers(parallelism, bounded).into_iter().filter_map(name).collect::<Vec<String>>()
    };
    assert_eq!(left("out.jsonl", 2, true), [""; 0]);
    for name in ["out.0.jsonl", "out.1.jsonl", "out.2.jsonl", "out.7.jsonl", "out.2024.jsonl", "other.1.jsonl"] {
        fs::write(folder.path().join(name), "").expect("room on disk");
    }
    assert_eq!(left("out.jsonl", 3, true), [""; 0]);
    assert_eq!(left("out.jsonl", 2, true), ["out.2.jsonl"]);
    assert_eq!(left("out.jsonl", 1, true), ["out.0.jsonl", "out.1.jsonl", "out.2.jsonl"]);
    assert_eq!(left("other.jsonl", 1, true), [""; 0], "a run always writes from 0 on");
    assert_eq!(left("out.jsonl", 1, false), [""; 0], "files that roll are there to stay");
    fs::write(folder.path().join("out.jsonl"), "").expect("room on disk");
    assert_eq!(left("out.jsonl", 3, true), ["out.jsonl"]);
}

#[test]
fn missing_folders_are_made() {
    let folder = folder();
    finish(open(folder.path(), "2024/05/out.jsonl", "json", 0, 1));
    assert_eq!(names(&folder.path().join("2024/05")), ["out.jsonl"]);
}

#[test]
fn the_file_can_be_read_by_whom_the_umask_lets() {
    let folder = folder();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").expect("room on disk");
    finish(open(folder.path(), "out.jsonl", "json", 0, 1));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode(&folder.path().join("out.jsonl")), mode(&plain));
}

#[test]
fn targets_that_cannot_be_written() {
    let folder = folder();
    fs::create_dir(folder.path().join("sub")).expect("room for a folder");
    fs::write(folder.path().join("file"), "").expect("room for a file");
    let check = |path: &str, expected: &str| {
        let text = format!("connector = \"file\"\npath = \"{path}\"\nformat = \"json\"");
        let config = testing::sink(&text, folder.path()).expect("valid settings");
        let error = config.open(&schema(), SinkPlace::only(true), None).err().expect("it cannot be opened").to_string();
        let error = error.replace(&*folder.path().to_string_lossy(), "DIR");
        assert!(error.starts_with(expected), "{error}");
    };
    check("sub", "could not create DIR/sub: ");
    check("file/out", "could not create DIR/file: ");
}

#[test]
fn a_commit_that_fails_can_be_repeated() {
    let folder = folder();
    let target = folder.path().join("out.jsonl");
    let mut sink = open(folder.path(), "out.jsonl", "json", 0, 1);
    sink.write(&numbers(0, 1)).expect("room on disk");
    sink.prepare().expect("room on disk");
    fs::create_dir(&target).expect("nothing is there yet");
    let error = sink.commit().expect_err("a folder is in the way").to_string();
    assert!(error.starts_with("could not replace "), "{error}");
    fs::remove_dir(&target).expect("it is empty");
    sink.commit().expect("nothing is in the way");
    assert_eq!(content(folder.path(), "out.jsonl"), "{\"n\":0}\n");
}

#[test]
fn settings_that_are_refused() {
    let check = |keys: &str, expected: &str| {
        let error = testing::sink(&format!("connector = \"file\"\n{keys}"), Path::new(".")).expect_err(keys);
        assert_eq!(error.to_string(), expected, "{keys}");
    };
    check("format = \"json\"", "job.toml:1: `path` is missing");
    check("path = \"a\"", "job.toml:1: `format` is missing");
    check("path = \"a/\"\nformat = \"json\"", "job.toml:2: path: expected the path of a file, found \"a/\"");
    check(
        "path = \"a.parquet.gz\"\nformat = \"parquet\"",
        "job.toml:2: path: a file of this format is packed inside, not as a whole\n  \
         hint: let the name end in the format's own extension; `compression` says how the columns are packed",
    );
    check(
        "path = \"a\"\nformat = \"json\"\nroll = {size = 0}",
        "job.toml:4: roll.size: expected at least 1 B, found 0 B",
    );
    check(
        "path = \"a\"\nformat = \"json\"\nroll = {every = \"0s\"}",
        "job.toml:4: roll.every: expected a time above zero, such as \"10m\"",
    );
    check(
        "path = \"a\"\nformat = \"json\"\nroll = {evry = \"1s\"}",
        "job.toml:4: roll.evry: unknown key `evry`\n  hint: did you mean `every`?",
    );
    check("path = \"a\"\nformat = \"json\"\nroll = 3", "job.toml:4: roll: expected a table, found an integer");
    check("path = \"..\"\nformat = \"json\"", "job.toml:2: path: expected the path of a file, found \"..\"");
    check(
        "path = \"a\"\nformat = \"json\"\ncolumn = \"b\"",
        "job.toml:4: column: unknown key `column`\n  hint: known keys: connector, format, path, roll",
    );
}
