//! Files are looked at, and what comes out is pasted into a job file that must then read them.

use std::{fs, path::Path, sync::Arc};

use arrow_array::{Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::{InferOptions, Inferred, infer};
use crate::testing::{read, source};

fn look(folder: &Path, name: &str, rows_max: u64) -> Result<Inferred, String> {
    let path = folder.join(name);
    let found = infer(InferOptions { path: &path, format: None, delimiter: None, rows_max });
    found.map_err(|e| e.to_string().replace(&*folder.to_string_lossy(), "DIR"))
}

/// The schema of a file, which is then read with it to the end; returns the notes of its columns.
fn check(name: &str, bytes: impl AsRef<[u8]>, schema: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("room for a folder");
    fs::write(folder.path().join(name), bytes).expect("room for a file");
    let found = look(folder.path(), name, 10_000).expect("it has columns");
    assert_eq!(found.schema_toml(), format!("schema = {{ {schema} }}"), "{name}");
    let delimiter =
        found.delimiter.map(|byte| format!("delimiter = {:?}\n", char::from(byte).to_string())).unwrap_or_default();
    let text = format!(
        "connector = \"file\"\npath = \"{name}\"\nformat = \"{}\"\n{delimiter}{}",
        found.format,
        found.schema_toml()
    );
    let (rows, result) = read(&source(&text, folder.path()).expect("what is printed can be pasted"));
    result.expect("and reads the file");
    assert_eq!((rows.len() as u64, found.complete), (found.rows, true));
    let notes = found.columns.iter().filter_map(|c| Some(format!("{}: {}", c.name, c.note.as_ref()?)));
    notes.chain(found.notes.clone()).collect()
}

#[test]
fn json_lines() {
    let text = r#"{"id": 1, "x": 1, "ok": true, "at": "2018-02-07T01:26:13Z", "s": "a", "odd key.": 1, "n": null}
{"id": 2, "x": 1.5, "ok": null, "at": "2018-02-07T01:26:13+01:00", "s": "b", "odd key.": 2, "n": null}
{"x": 2, "ok": false, "at": "2018-02-07T01:26:13Z", "s": "2018-02-07T01:26:13Z", "odd key.": 3, "n": null}
"#;
    let schema = "id = \"int64?\", x = \"float64\", ok = \"boolean?\", at = \"timestamp\", s = \"utf8\", \
                  \"odd key.\" = \"int64\", n = \"utf8?\"";
    assert_eq!(check("a.jsonl", text, schema), ["n: only nulls were seen"]);
    check("packed", zstd::encode_all(text.as_bytes(), 1).expect("memory takes everything"), schema);
}

#[test]
fn nested_json() {
    let text = r#"{"id": "q", "properties": {"place": "x", "mag": 1, "id": 5, "a.b": 1}, "tags": [1], "empty": {}, "m": 1}
{"id": "r", "properties": {"mag": 1.5, "id": 6, "a.b": 2}, "tags": null, "empty": {}, "m": "text"}
"#;
    let schema = "id = \"utf8\", place = { type = \"utf8?\", path = \"properties.place\" }, \
                  mag = { type = \"float64\", path = \"properties.mag\" }, \
                  properties_id = { type = \"int64\", path = \"properties.id\" }, \
                  \"a.b\" = { type = \"int64\", path = [\"properties\", \"a.b\"] }, \
                  tags = { type = \"utf8?\", json = true }, empty = { type = \"utf8\", json = true }, \
                  m = { type = \"utf8\", json = true }";
    assert_eq!(check("a.jsonl", text, schema), ["m: numbers and text were seen: read as JSON text"]);
}

#[test]
fn times_are_only_hinted_at() {
    let notes = check(
        "a.jsonl",
        "{\"at\": 1517966773840, \"time\": 1517966773, \"start_us\": 1517966773840000, \"size\": 1517966773840}",
        "at = \"int64\", time = \"int64\", start_us = \"int64\", size = \"int64\"",
    );
    let expected = [
        "at: may be a time: at = \"timestamp\"",
        "time: may be a time: time = { type = \"timestamp\", unit = \"s\" }",
        "start_us: may be a time: start_us = { type = \"timestamp\", unit = \"us\" }",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn csv_files() {
    let text = "\u{feff}n,x,zip,s,at,ok,none,\"with, comma\"\r\n1,1.5,01234,a,2018-02-07T01:26:13Z,true,,1\r\n\
                ,2,00001,,2018-02-07T01:26:13Z,false,,x\r\n";
    let schema = "n = \"int64?\", x = \"float64\", zip = \"utf8\", s = \"utf8\", at = \"timestamp\", ok = \"boolean\", \
                  none = \"utf8\", \"with, comma\" = \"utf8\"";
    let expected = ["none: only empty fields were seen", "with, comma: numbers and text were seen"];
    assert_eq!(check("a.csv", text, schema), expected);
    check("semicolons", "a;b\n1;2,5\n", "a = \"int64\", b = \"utf8\"");
    check("tabs.tsv", "a\tb\n1\t2\n", "a = \"int64\", b = \"int64\"");
    let notes = check("header.csv", "a,b\n", "a = \"utf8\", b = \"utf8\"");
    assert_eq!(notes.len(), 2);
    check("line breaks.csv", "a,b\n\"1\n2\",3\n", "a = \"utf8\", b = \"int64\"");
}

#[test]
fn parquet_files() {
    let columns: [(&str, arrow_array::ArrayRef, bool); 2] = [
        ("n", Arc::new(Int64Array::from(vec![1, 2])), true),
        ("s", Arc::new(StringArray::from(vec![Some("a"), None])), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("memory takes everything");
    writer.close().expect("memory takes everything");
    check("any name", bytes, "n = \"int64\", s = \"utf8?\"");
    let mut bytes = Vec::new();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).expect("a writer");
    writer.write(&batch).expect("memory takes everything");
    writer.finish().expect("memory takes everything");
    check("stream", bytes, "n = \"int64\", s = \"utf8?\"");
}

#[test]
fn only_so_many_rows_are_looked_at() {
    let folder = tempfile::tempdir().expect("room for a folder");
    fs::write(folder.path().join("a.jsonl"), "{\"n\": 1}\n{\"n\": 2}\n{\"n\": \"x\"}\n").expect("room for a file");
    let found = look(folder.path(), "a.jsonl", 2).expect("it has columns");
    assert_eq!((found.rows, found.complete, found.schema_toml().as_str()), (2, false, "schema = { n = \"int64\" }"));
    assert!(look(folder.path(), "a.jsonl", 3).expect("it has columns").complete);
}

#[test]
fn files_without_columns() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let check = |name: &str, text: &str, expected: &str| {
        fs::write(folder.path().join(name), text).expect("room for a file");
        let error = look(folder.path(), name, 10).expect_err("it has no columns");
        assert!(error.starts_with(&format!("could not read DIR/{name}: {expected}")), "{error}");
    };
    check("a.jsonl", "", "it is empty");
    check("a.csv", "", "it is empty");
    check("b.json", "[\n {\"a\": 1}\n]", "it is one JSON array");
    check("c.jsonl", "{\"a\": }\n", "line 1: not JSON: expected a value");
    check("d.txt", "words\nand words\n", "its format cannot be told");
    assert!(look(folder.path(), "none", 10).expect_err("it is not there").contains("could not read DIR/none"));
    assert!(look(folder.path(), "", 10).expect_err("it is a folder").contains("it is a folder"));
}

#[test]
fn some_bad_rows_are_told() {
    let folder = tempfile::tempdir().expect("room for a folder");
    fs::write(folder.path().join("a.jsonl"), "{\"n\": 1}\noops\n{\"n\": 2}\n").expect("room for a file");
    let found = look(folder.path(), "a.jsonl", 10).expect("it has columns");
    assert!(found.notes[0].starts_with("1 of the rows cannot be read; the first is line 2: "), "{:?}", found.notes);
}

#[test]
fn a_quote_that_is_never_closed_is_told() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let check = |text: &str, rows: u64, expect: &[&str]| {
        fs::write(folder.path().join("a.csv"), text).expect("room for a file");
        let found = look(folder.path(), "a.csv", 10_000).expect("it has columns");
        assert_eq!((found.rows, found.notes.iter().map(String::as_str).collect::<Vec<_>>()), (rows, expect.to_vec()));
    };
    let note =
        |row| format!("a quoted field of row {row} is not closed before the end of the file, which cannot be read");
    check("a,b\n1,\"x\n2,y\n", 0, &[&note(1)]);
    check("a,b\n1,x\n\"", 1, &[&note(2)]);
    check("a,b\n1,x\n2,\"y\"", 2, &[]);
    check("a,b\n1,x\n\n\r\n", 1, &[]);
}
