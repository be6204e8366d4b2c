//! What holds for every format: which files, how they are unpacked, where lines end, what stops the reading.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::cast::AsArray;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Error, SourceConfig,
    file_source::blocks::BLOCK_BYTES,
    testing::{all, drain, read, source},
};

mod bad_rows;
mod columnar;
mod csv;
mod json;
mod nested;
mod positions;

fn folder() -> TempDir {
    tempfile::tempdir().expect("room for a folder")
}

fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("in a folder")).expect("room for a folder");
    fs::write(&path, bytes).expect("room for a file");
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes everything")
}

fn config(folder: &Path, keys: &str) -> SourceConfig {
    source(&format!("connector = \"file\"\n{keys}"), folder).expect("valid settings")
}

/// The rows of the format `lines`.
fn lines_of(folder: &Path, keys: &str) -> (Vec<String>, Result<(), String>) {
    let (rows, result) = read(&config(folder, &format!("format = \"lines\"\n{keys}")));
    let text = |row: Value| row["line"].as_str().expect("text").to_owned();
    (rows.into_iter().map(text).collect(), shown(folder, result))
}

/// An error as it is shown, the folder's name taken out.
fn shown(folder: &Path, result: Result<(), Error>) -> Result<(), String> {
    result.map_err(|error| error.to_string().replace(&*folder.to_string_lossy(), "DIR"))
}

#[test]
fn lines_end_where_they_should() {
    let check = |bytes: &[u8], expected: &[&str]| {
        for (how, bytes) in [("plain", bytes.to_vec()), ("gzip", gzip(bytes)), ("zstd", zstd(bytes))] {
            let folder = folder();
            put(folder.path(), "a.txt", bytes);
            let (lines, result) = lines_of(folder.path(), "path = \"a.txt\"");
            assert_eq!(result, Ok(()), "{how} {expected:?}");
            assert_eq!(lines, expected, "{how}");
        }
    };
    check(b"", &[]);
    check(b"\n", &[""]);
    check(b"a", &["a"]);
    check(b"a\n", &["a"]);
    check(b"a\nb", &["a", "b"]);
    check(b"a\n\nb\n\n", &["a", "", "b", ""]);
    check(b"a\r\nb\r\r\n\r\nc\r", &["a", "b\r", "", "c"]);
    check(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", &["a", "\u{feff}b"]);
    check(b"\xef\xbb\xbf", &[]);
    check("käse, \u{1f600}, longer than twelve bytes".as_bytes(), &["käse, \u{1f600}, longer than twelve bytes"]);
}

#[test]
fn gzip_is_told_by_its_first_bytes_and_may_have_several_members() {
    let folder = folder();
    put(folder.path(), "packed.txt", [gzip(b"a\nb"), gzip(b""), gzip(b"c\nd")].concat());
    put(folder.path(), "plain.gz", "e\n");
    put(folder.path(), "short", b"\x1f");
    let read = |name: &str| lines_of(folder.path(), &format!("path = \"{name}\""));
    assert_eq!(read("packed.txt"), (vec!["a".into(), "bc".into(), "d".into()], Ok(())));
    assert_eq!(read("plain.gz"), (vec!["e".into()], Ok(())));
    assert_eq!(read("short"), (vec!["\u{1f}".into()], Ok(())));
}

#[test]
fn zstd_is_told_by_its_first_bytes_and_may_have_several_frames() {
    let folder = folder();
    put(folder.path(), "packed.txt", [zstd(b"a\nb"), zstd(b""), zstd(b"c\nd")].concat());
    put(folder.path(), "plain.zst", "(");
    let read = |name: &str| lines_of(folder.path(), &format!("path = \"{name}\""));
    assert_eq!(read("packed.txt"), (vec!["a".into(), "bc".into(), "d".into()], Ok(())));
    assert_eq!(read("plain.zst"), (vec!["(".into()], Ok(())));
}

#[test]
fn a_packed_file_that_breaks_off_is_an_error() {
    for packed in [gzip(b"first\nsecond\n"), zstd(b"first\nsecond\n")] {
        let folder = folder();
        put(folder.path(), "a", &packed[..packed.len() - 6]);
        let (_, result) = lines_of(folder.path(), "path = \"a\"");
        let error = result.expect_err("it breaks off");
        assert!(error.starts_with("could not read DIR/a: "), "{error}");
    }
}

#[test]
fn globs_find_files_in_order_each_once() {
    let folder = folder();
    for name in ["b.txt", "a.txt", "sub/c.txt", ".hidden.txt", "d[1].txt", "note.md"] {
        put(folder.path(), name, name);
    }
    let check = |path: &str, expected: &[&str]| {
        let config = config(folder.path(), &format!("format = \"lines\"\npath = {path}"));
        let splits = config.splits().expect("files match");
        let names = splits.iter().map(|split| split.path.strip_prefix(folder.path()).expect("inside"));
        assert_eq!(names.map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>(), expected, "{path}");
    };
    check("\"a.txt\"", &["a.txt"]);
    check("\"*.txt\"", &["a.txt", "b.txt", "d[1].txt"]);
    check("\"*\"", &["a.txt", "b.txt", "d[1].txt", "note.md"]);
    check("\"**/*.txt\"", &["a.txt", "b.txt", "d[1].txt", "sub/c.txt"]);
    check("\"[ab].txt\"", &["a.txt", "b.txt"]);
    check("\"d[1].txt\"", &["d[1].txt"]);
    check("[\"b.txt\", \"*.txt\", \"sub/*\"]", &["a.txt", "b.txt", "d[1].txt", "sub/c.txt"]);
    check("[\"a.txt\", \"./a.txt\", \"sub/../a.txt\"]", &["a.txt"]);
    let absolute = folder.path().join("a.txt");
    check(&format!("{absolute:?}"), &["a.txt"]);
}

#[test]
fn a_folder_with_glob_characters_is_taken_as_it_is() {
    let outer = folder();
    let base = outer.path().join("job [old]*");
    put(&base, "a.txt", "a");
    assert_eq!(lines_of(&base, "path = \"*.txt\""), (vec!["a".into()], Ok(())));
}

#[test]
fn paths_that_cannot_be_read() {
    let folder = folder();
    put(folder.path(), "sub/a.txt", "a");
    let check = |path: &str, expected: &str| {
        assert_eq!(lines_of(folder.path(), &format!("path = {path}")).1, Err(expected.to_owned()), "{path}");
    };
    let hint = "\n  hint: a relative path is looked up beside the job file";
    check("\"b.txt\"", &format!("could not find a file that matches DIR/b.txt{hint}"));
    check("\"*.txt\"", &format!("could not find a file that matches DIR/*.txt{hint}"));
    check("[\"sub/a.txt\", \"b*\"]", &format!("could not find a file that matches DIR/b*{hint}"));
    put(folder.path(), "flights.jsonl", "a");
    check(
        "\"fligths.jsonl\"",
        "could not find a file that matches DIR/fligths.jsonl\n  hint: did you mean `DIR/flights.jsonl`?",
    );
    check("\"sub\"", "could not read DIR/sub: it is a folder\n  hint: name its files, as in `DIR/sub/*`");
}

#[test]
fn a_path_given_by_set_is_relative_to_the_current_directory() {
    let folder = folder();
    let mut settings = crate::testing::settings("connector = \"file\"\nformat = \"lines\"\npath = \"none\"");
    settings.set("path=Cargo.toml").expect("a path");
    let config = SourceConfig::read(&settings, folder.path()).expect("valid settings");
    let splits = config.splits().expect("the tests run in the crate's folder");
    assert_eq!(splits[0].path, Path::new("Cargo.toml"));
}

#[test]
fn settings_that_are_refused() {
    let check = |keys: &str, expected: &str| {
        let error = source(&format!("connector = \"file\"\n{keys}"), Path::new(".")).expect_err(keys);
        assert_eq!(error.to_string(), expected, "{keys}");
    };
    check("format = \"lines\"", "job.toml:1: `path` is missing");
    check("path = \"a\"", "job.toml:1: `format` is missing");
    check("path = []\nformat = \"lines\"", "job.toml:2: path: expected at least one path, found none");
    check("path = \"\"\nformat = \"lines\"", "job.toml:2: path: expected a path, found an empty string");
    check(
        "path = \"a[\"\nformat = \"lines\"",
        "job.toml:2: path: expected a path or glob, found \"a[\": invalid range pattern",
    );
    check(
        "path = \"a\"\nformat = \"jsn\"",
        "job.toml:3: format: expected one of \"json\", \"lines\", \"csv\", \"parquet\" or \"arrow\", found \"jsn\"\n  hint: did you mean `json`?",
    );
    check("path = \"a\"\nformat = \"json\"", "job.toml:1: `schema` is missing");
    check(
        "path = \"a\"\nformat = \"lines\"\nschema = {}",
        "job.toml:4: schema: the format `lines` has no schema\n  hint: leave `schema` out: the one column of this format \
         is `line`, utf8",
    );
    check(
        "path = \"a\"\nformat = \"json\"\nschema = { raw = \"binary\" }",
        "job.toml:4: schema: column `raw` is of type binary, which a text format cannot hold\n  hint: read it as utf8",
    );
    check(
        "path = \"a\"\nformat = \"lines\"\nline_bytes_max = 0",
        "job.toml:4: line_bytes_max: expected 1 B to 1 GiB, found 0 B",
    );
    check(
        "path = \"a\"\nformat = \"lines\"\ndelimiter = \";\"",
        "job.toml:4: delimiter: unknown key `delimiter`\n  hint: known keys: connector, format, invalid_utf8, \
         line_bytes_max, path, schema",
    );
}

#[test]
fn one_file_after_another() {
    let folder = folder();
    put(folder.path(), "1.txt", "a\nb");
    put(folder.path(), "2.txt", "");
    put(folder.path(), "3.txt", gzip(b"c\n"));
    let (lines, result) = lines_of(folder.path(), "path = \"*.txt\"");
    assert_eq!((lines.concat().as_str(), result), ("abc", Ok(())));
}

#[test]
fn a_subtask_without_splits_ends_at_once() {
    let folder = folder();
    let config = config(folder.path(), "format = \"lines\"\npath = \"*\"");
    let (batches, result) = drain(config.open(1, 2, &Arc::default(), &all(&config), None).expect("nothing to open"));
    assert!(batches.is_empty() && result.is_ok());
}

#[test]
fn batches_stay_small_and_lines_cross_blocks_whole() {
    let folder = folder();
    let expected: Vec<String> = (0..60_000).map(|i| format!("line {i} {}", "x".repeat(i % 50))).collect();
    put(folder.path(), "a.txt", expected.join("\n"));
    let config = config(folder.path(), "format = \"lines\"\npath = \"a.txt\"");
    let splits = config.splits().expect("it is there");
    let (batches, result) = drain(config.open(0, 1, &splits, &all(&config), None).expect("it opens"));
    result.expect("good lines");
    assert!(batches.iter().all(|(_, batch)| (1..=4_096).contains(&batch.rows)));
    let columns = batches.iter().map(|(_, batch)| batch.column(0).as_string_view());
    let lines: Vec<&str> = columns.flat_map(|column| column.iter().flatten()).collect();
    assert_eq!(lines, expected);
}

#[test]
fn text_is_not_copied() {
    let folder = folder();
    put(folder.path(), "a.txt", "longer than a view can hold itself\n".repeat(5_000));
    let config = config(folder.path(), "format = \"lines\"\npath = \"a.txt\"");
    let splits = config.splits().expect("it is there");
    let (batches, _) = drain(config.open(0, 1, &splits, &all(&config), None).expect("it opens"));
    let buffers: Vec<_> = batches.iter().map(|(_, batch)| batch.column(0).as_string_view().data_buffers()).collect();
    assert_eq!(buffers.len(), 2, "4,096 rows and the rest");
    assert_eq!(buffers[0][0].as_ptr(), buffers[1][0].as_ptr(), "both point into the block that was read");
    assert!(buffers[0][0].len() <= BLOCK_BYTES);
}

#[test]
fn short_text_does_not_keep_the_block() {
    let folder = folder();
    put(folder.path(), "a.txt", "short\n".repeat(5_000));
    let config = config(folder.path(), "format = \"lines\"\npath = \"a.txt\"");
    let splits = config.splits().expect("it is there");
    let (batches, _) = drain(config.open(0, 1, &splits, &all(&config), None).expect("it opens"));
    assert!(batches.iter().all(|(_, batch)| batch.column(0).as_string_view().data_buffers().is_empty()));
}

#[test]
fn rows_are_counted_though_nobody_reads_their_columns() {
    let folder = folder();
    put(folder.path(), "a.txt", "a\nb\nc");
    for wanted in [None, Some(vec![false])] {
        let config = config(folder.path(), "format = \"lines\"\npath = \"a.txt\"");
        let splits = config.splits().expect("it is there");
        let (batches, _) = drain(config.open(0, 1, &splits, &[wanted], None).expect("it opens"));
        assert_eq!(batches.iter().map(|(_, batch)| batch.rows).sum::<usize>(), 3);
        assert!(batches.iter().all(|(_, batch)| batch.columns == [None]));
    }
}

#[test]
fn the_longest_line_is_read_and_no_longer_one() {
    let check = |line_bytes: usize, setting: &str, max: usize| {
        let folder = folder();
        put(folder.path(), "a.txt", ["ok\n".into(), "x".repeat(line_bytes), "\nlast\n".into()].concat());
        let keys = format!("path = \"a.txt\"\n{setting}");
        let (lines, result) = lines_of(folder.path(), &keys);
        if line_bytes <= max {
            assert_eq!(result, Ok(()));
            assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [2, line_bytes, 4]);
        } else {
            let message = format!(
                "could not read DIR/a.txt:2: the line is longer than {max} bytes\n  \
                 hint: raise `line_bytes_max` if such lines are meant to be"
            );
            assert_eq!(result, Err(message));
        }
    };
    for around in [0, 1] {
        check(10 + around, "line_bytes_max = 10", 10);
        check(2_048 + around, "line_bytes_max = \"2KiB\"", 2_048);
        check(BLOCK_BYTES + around, &format!("line_bytes_max = {BLOCK_BYTES}"), BLOCK_BYTES);
        check((16 << 20) + around, "", 16 << 20);
    }
}

#[test]
fn a_line_without_end_is_not_read_into_memory() {
    let folder = folder();
    // 64 MiB of one letter, packed.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&piece).expect("memory takes everything");
    }
    put(folder.path(), "a.gz", encoder.finish().expect("memory takes everything"));
    let (_, result) = lines_of(folder.path(), "path = \"a.gz\"\nline_bytes_max = 100000");
    assert!(result.expect_err("too long").contains("a.gz:1: the line is longer than 100000 bytes"));
}

#[test]
fn bytes_that_are_not_utf8() {
    let folder = folder();
    let hint = "\n  hint: `invalid_utf8 = \"replace\"` reads such bytes as U+FFFD";
    let check = |bytes: &[u8], before: &[&str], place: &str, replaced: &[&str]| {
        put(folder.path(), "a.txt", bytes);
        let (lines, result) = lines_of(folder.path(), "path = \"a.txt\"");
        assert_eq!(lines, before, "the good lines before it come first");
        let (line, byte) = place.split_once(':').expect("line and byte");
        let message = format!("could not read DIR/a.txt:{line}: byte {byte} of the line is not UTF-8{hint}");
        assert_eq!(result, Err(message));
        let (lines, result) = lines_of(folder.path(), "path = \"a.txt\"\ninvalid_utf8 = \"replace\"");
        assert_eq!((lines, result), (replaced.iter().map(ToString::to_string).collect(), Ok(())));
    };
    check(b"\xff", &[], "1:1", &["\u{fffd}"]);
    check(b"good\nb\xffd\nend\n", &["good"], "2:2", &["good", "b\u{fffd}d", "end"]);
    check(b"cut \xe2\x82\nnext", &[], "1:5", &["cut \u{fffd}", "next"]);
    check(b"\xef\xbb\xbfa\xc3", &[], "1:2", &["a\u{fffd}"]);
    let far = ["x\n".repeat(400_000).as_bytes(), b"\xc0\xaf\n"].concat();
    let (lines, result) = {
        put(folder.path(), "far.txt", far);
        lines_of(folder.path(), "path = \"far.txt\"")
    };
    assert_eq!(lines.len(), 400_000);
    assert_eq!(result, Err(format!("could not read DIR/far.txt:400001: byte 1 of the line is not UTF-8{hint}")));
}

#[test]
fn real_files_if_they_are_there() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !shared.is_dir() {
        println!("skipped: no ../shared/data");
        return;
    }
    let schema = "{ at = \"timestamp\", magnitude = \"float64?\", place = \"utf8\", depth_km = \"float64?\" }";
    let config = config(&shared, &format!("path = \"earthquakes.jsonl\"\nformat = \"json\"\nschema = {schema}"));
    let (rows, result) = read(&config);
    result.expect("good rows");
    let text = fs::read_to_string(shared.join("earthquakes.jsonl")).expect("UTF-8");
    let expected: Vec<Value> = text
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).expect("JSON");
            let float = |name: &str| row[name].as_f64();
            json!({"at": row["at"], "magnitude": float("magnitude"), "place": row["place"], "depth_km": float("depth_km")})
        })
        .collect();
    assert_eq!(rows, expected);
}
