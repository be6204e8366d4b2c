//! Files that the subtasks of a source share out while they read: each is read once, whatever fails and however many there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::{
    cluster::{
        Cluster,
        savepoints::{succeed, visible, wait_for_checkpoint},
    },
    process::Bench,
};

/// Rows of many files, counted by their keys: each count is a row. The files go no faster than the events, ten seconds of time in one.
const PACED: &str = r#"
[job]
name = "paced"
parallelism = 2
[job.checkpoints]
interval = "200ms"
min_pause = "50ms"
[source.files]
connector = "file"
path = "in/*.jsonl"
format = "json"
schema = { at = "timestamp", key = "int64" }
event_time = { column = "at", max_drift = "5s" }
[source.pace]
connector = "nexmark"
only_bids = true
events = 1200
rate = 100
event_rate = 10
event_time = { column = "date_time" }
[operator.both]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "drop" }
inputs = [{ from = "files" }, { from = "pace.bids" }]
[sink.nothing]
input = "both"
connector = "blackhole"
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "files"
key_by = ["key"]
config = { emit = "updates" }
[sink.out]
input = "count"
connector = "file"
path = "out/counts.jsonl"
format = "json"
[sink.out.roll]
every = "300ms"
"#;

/// The time of the first event.
const FIRST_MS: i64 = 1_700_000_000_000;
const FILES: i64 = 48;
const ROWS_OF_FILE: i64 = 500;
const STEP_MS: i64 = 5;
const KEYS: i64 = 97;

fn put_files(cluster: &Cluster) {
    fs::create_dir(cluster.path("in")).expect("the folder takes folders");
    for file in 0..FILES {
        let rows = (file * ROWS_OF_FILE..(file + 1) * ROWS_OF_FILE)
            .map(|row| format!("{{\"at\":{},\"key\":{}}}\n", FIRST_MS + row * STEP_MS, row % KEYS));
        fs::write(cluster.path(&format!("in/{file:03}.jsonl")), rows.collect::<String>()).expect("there is room");
    }
}

fn rows_read(detail: &Value) -> i64 {
    detail["vertices"][0]["metrics"]["rows_out"].as_i64().unwrap_or(0)
}

/// An attempt has read some of its files.
fn wait_for_more(cluster: &Cluster, id: &str) -> Value {
    wait_for_checkpoint(cluster, id);
    cluster.wait("rows of an attempt", || {
        let detail = cluster.json(&["status", id]);
        (detail["state"] == "RUNNING" && rows_read(&detail) > 2 * ROWS_OF_FILE).then_some(detail)
    })
}

#[track_caller]
fn check_each_row_counted_once(cluster: &Cluster) {
    let mut counts: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let rows = visible(cluster);
    for row in &rows {
        let (key, count) = (row["key"].as_i64().expect("a number"), row["count"].as_i64().expect("a number"));
        assert!(counts.entry(key).or_default().insert(count), "twice: {row}");
    }
    for (key, counts) in &counts {
        let of_key = (0..FILES * ROWS_OF_FILE).filter(|row| row % KEYS == *key).count();
        assert_eq!(counts.len(), of_key, "of key {key}");
        assert_eq!(counts.last().copied(), i64::try_from(of_key).ok(), "of key {key}");
    }
    assert_eq!(rows.len() as i64, FILES * ROWS_OF_FILE);
}

#[test]
fn files_are_read_once_whoever_is_killed_in_the_middle() {
    let mut cluster = Cluster::start(3, 1);
    put_files(&cluster);
    let job = cluster.put_job("job.toml", PACED);
    let id = cluster.deploy(&job, &[]);
    let detail = wait_for_more(&cluster, &id);
    assert!(rows_read(&detail) < FILES * ROWS_OF_FILE, "it is in the middle");
    let victim = detail["subtasks"][0]["worker"].as_str().expect("it is placed").to_owned();
    let place = (0..3).find(|place| cluster.worker_id(*place) == victim).expect("it is one of ours");
    cluster.kill_taskmanager(place);
    cluster.wait("another attempt", || (cluster.json(&["status", &id])["restarts"] == 1).then_some(()));
    wait_for_more(&cluster, &id);
    cluster.kill_jobmanager();
    cluster.restart_jobmanager();
    cluster.wait_for(&id, "FINISHED");
    check_each_row_counted_once(&cluster);
}

#[test]
fn files_are_read_once_when_the_job_is_scaled_and_stopped_in_the_middle() {
    let cluster = Cluster::start(2, 4);
    put_files(&cluster);
    let job = cluster.put_job("job.toml", PACED);
    let id = cluster.deploy(&job, &[]);
    for change in ["files=4", "files=1", "files=3"] {
        wait_for_more(&cluster, &id);
        succeed(&cluster, &["scale", &format!("{id}.{change}")]);
    }
    wait_for_more(&cluster, &id);
    succeed(&cluster, &["stop", &id, "--savepoint", "middle"]);
    cluster.wait_for(&id, "STOPPED");
    assert!((visible(&cluster).len() as i64) < FILES * ROWS_OF_FILE, "it was stopped before its end");
    let again = cluster.deploy(&job, &["--from", "middle"]);
    cluster.wait_for(&again, "FINISHED");
    check_each_row_counted_once(&cluster);
}

/// One large file and many small ones, each subtask's rows in a file of its own.
const UNEVEN: &str = r#"
[job]
name = "uneven"
parallelism = 2
[source.lines]
connector = "file"
path = "in-*.txt"
format = "lines"
[sink.out]
input = "lines"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

#[test]
fn a_subtask_that_is_done_reads_what_the_one_with_the_large_file_has_not_come_to() {
    let bench = Bench::new(UNEVEN);
    bench.put("in-0.txt", "a line of the large file\n".repeat(2_000_000));
    (1..8).for_each(|file| bench.put(&format!("in-{file}.txt"), format!("small {file}\n")));
    bench.succeed(&[]);
    let small: Vec<Value> = bench.rows("out.1.jsonl");
    let lines: Vec<&str> = small.iter().filter_map(|row| row["line"].as_str()).collect();
    assert_eq!(lines, (1..8).map(|file| format!("small {file}")).collect::<Vec<_>>());
}
