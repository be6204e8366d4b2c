//! `wasmill state`: what is told of a snapshot file.

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmill_model::{
    DataType, Field,
    ids::{CheckpointId, JobId},
    reply::TimeDomain,
};
use wasmill_snapshot::file::{Kind, Meta, StateSchema, StoredAs, Writer};

use crate::process::{Ended, Running};

/// Writes a small snapshot file: two words of one state, one of them gone, and a row of another.
pub(crate) fn write(path: &Path) {
    let meta = Meta {
        cluster: "cluster-1".to_owned(),
        job: JobId(7),
        operator: "count".to_owned(),
        subtask: 0,
        parallelism: 2,
        key_groups_all: 1_024,
        key_groups: 0..512,
        checkpoint: CheckpointId(41),
        kind: Kind::Delta,
        engine: "0.1.0".to_owned(),
        time_ms: 1_700_000_000_000,
    };
    let state = |id, name: &str, ttl_ms| StateSchema {
        id,
        name: name.to_owned(),
        kind: "value".to_owned(),
        key: vec![Field::new("word", DataType::Utf8)],
        columns: vec![Field::nullable(name, DataType::Int64)],
        cells: vec![StoredAs { version: 1, ttl_ms, ttl_domain: TimeDomain::EventTime, encoding: None }],
    };
    let schema = [state(0, "count", None), state(1, "seen\u{1b}[31m", Some(60_000))];
    let mut writer = Writer::create(path, &meta, &schema).expect("there is room");
    let rows: [(&[u8], Option<&[u8]>); 3] = [
        (b"\x00\x03\x00\x00apple", Some(b"\x80\x00\x00\x05")),
        (b"\x00\x03\x00\x00pear", None),
        (b"\x01\x02\x00\x01\x01\x80", Some(b"yes")),
    ];
    rows.iter().for_each(|(key, value)| writer.push(key, *value).expect("they are in order"));
    writer.finish().expect("there is room");
}

fn state(folder: &TempDir, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.arg("state").args(arguments).current_dir(folder.path());
    Running::start(command).end()
}

/// Rows of every kind of state, as a job writes them.
fn write_real(path: &Path) {
    let meta = Meta {
        cluster: "cluster-1".to_owned(),
        job: JobId(7),
        operator: "count".to_owned(),
        subtask: 0,
        parallelism: 1,
        key_groups_all: 1_024,
        key_groups: 0..1_024,
        checkpoint: CheckpointId(41),
        kind: Kind::Delta,
        engine: "0.1.0".to_owned(),
        time_ms: 1_700_000_000_000,
    };
    let kept = |ttl_ms, encoding: Option<&str>| StoredAs {
        version: 1,
        ttl_ms,
        ttl_domain: TimeDomain::ProcessingTime,
        encoding: encoding.map(str::to_owned),
    };
    let state = |id, name: &str, kind: &str, columns, cells| StateSchema {
        id,
        name: name.to_owned(),
        kind: kind.to_owned(),
        key: vec![Field::new("word", DataType::Utf8)],
        columns,
        cells,
    };
    let values = vec![Field::nullable("count", DataType::Int64), Field::nullable("note", DataType::Utf8)];
    let entries = vec![Field::new("sub-key", DataType::Int64), Field::new("value", DataType::Binary)];
    let schema = [
        state(0, "values", "value", values, vec![kept(None, None), kept(Some(9), None)]),
        state(1, "event-time timers", "timer", Vec::new(), Vec::new()),
        state(5, "by_day", "map", entries, vec![kept(None, Some("cbor"))]),
    ];
    let key = b"\x01\0\0\0\x01a";
    let row = |state: u8, rest: &[u8]| [&[0, 3, 0, state], rest].concat();
    let sub_key = (7_u64 ^ 1 << 63).to_be_bytes();
    let rows = [
        (row(0, key), Some([&[3][..], &5_i64.to_le_bytes(), &9_i64.to_le_bytes(), &[2, 0, 0, 0], b"hi"].concat())),
        (row(1, &[&sub_key[..], key].concat()), Some(Vec::new())),
        (row(5, &[&[0, 0, 0, 6][..], key, &sub_key].concat()), Some(b"\xa1\x61n\x02".to_vec())),
        (row(5, &[&[0, 0, 0, 6][..], key, &(8_u64 ^ 1 << 63).to_be_bytes()].concat()), None),
    ];
    let mut writer = Writer::create(path, &meta, &schema).expect("there is room");
    rows.iter().for_each(|(key, value)| writer.push(key, value.as_deref()).expect("they are in order"));
    writer.finish().expect("there is room");
}

#[test]
fn rows_are_told_in_the_words_of_their_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    write_real(&folder.path().join("a.redb"));
    let shown = state(&folder, &["scan", "a.redb"]).stdout;
    let expect = r#"    3  values  {"key":{"word":"a"},"values":{"count":5,"note":"hi"},"written_ms":{"note":9}}
    3  event-time timers  {"key":{"word":"a"},"time":7}
    3  by_day  {"key":{"word":"a"},"sub_key":7,"value":{"n":2}}
    3  by_day  {"key":{"word":"a"},"sub_key":8}  gone
"#;
    assert_eq!(shown, expect);
    let export = state(&folder, &["export", "a.redb"]).stdout;
    let last: Value = serde_json::from_str(export.lines().last().expect("there are rows")).expect("it is JSON");
    assert_eq!(last["row"], json!({ "key": { "word": "a" }, "sub_key": 8 }));
}

/// A folder with `count-0.redb` in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("count-0.redb"));
    folder
}

#[test]
fn a_file_is_inspected() {
    let folder = folder();
    let ended = state(&folder, &["inspect", "count-0.redb"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let blake3 =
        ended.stdout.lines().find_map(|line| line.strip_prefix("  blake3      ")).expect("it is told").to_owned();
    let expect = "count-0.redb is a whole snapshot file
  operator    count[0] of 2, job-7
  cluster     cluster-1
  checkpoint  41, delta
  written     2023-11-14 22:13 by Wasmill 0.1.0
  key groups  0..512 of 1,024
  size        44.00 KiB (45056 bytes), format 1
  blake3      BLAKE3
  blocks      1
  rows        3, 1 of them tombstones
  row bytes   30 B
  first key   0x000300006170706c65
  last key    0x010200010180
states
  0 count: value, 2 rows
    key    word: utf8
    value  count: int64?
    count: version 1
  1 seen\\u{1b}[31m: value, 1 row
    key    word: utf8
    value  seen\\u{1b}[31m: int64?
    seen\\u{1b}[31m: version 1, kept for 60000 ms of event time
";
    assert_eq!(ended.stdout.replace(&blake3, "BLAKE3"), expect);

    let ended = state(&folder, &["inspect", "count-0.redb", "-o", "json"]);
    let json: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!((&json["ok"], &json["blake3"], &json["bytes"]), (&json!(true), &json!(blake3), &json!(45_056)));
    assert_eq!((&json["about"]["checkpoint"], &json["about"]["kind"]), (&json!("41"), &json!("delta")));
    assert_eq!((&json["totals"]["tombstones"], &json["states"][1]["rows"]), (&json!(1), &json!(1)));
}

#[test]
fn rows_are_shown_as_text_where_they_are() {
    let folder = folder();
    let scan = |arguments: &[&str]| state(&folder, &[&["scan", "count-0.redb"], arguments].concat());
    let lines = [
        "    3  count  \"apple\"  0x80000005\n",
        "    3  count  \"pear\"  gone\n",
        "  258  seen\\u{1b}[31m  0x0180  \"yes\"\n",
    ];
    assert_eq!(scan(&[]).stdout, lines.concat());
    assert_eq!(scan(&["--limit", "1"]).stdout, lines[0]);
    assert_eq!(scan(&["--key-groups", "4..600"]).stdout, lines[2]);
    assert_eq!(scan(&["--key-groups", "4..5"]).stdout, "");
    let export = state(&folder, &["export", "count-0.redb"]);
    let rows: Vec<Value> = export.stdout.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let expect = [
        json!({ "key_group": 3, "state": 0, "name": "count", "key": "6170706c65", "key_text": "apple", "value": "80000005" }),
        json!({ "key_group": 3, "state": 0, "name": "count", "key": "70656172", "key_text": "pear", "value": null }),
        json!({ "key_group": 258, "state": 1, "name": "seen\u{1b}[31m", "key": "0180", "value": "796573", "value_text": "yes" }),
    ];
    assert_eq!(rows, expect);
    assert_eq!(scan(&["-o", "json"]).stdout, export.stdout);
}
