//! Time across sources: how far one may run ahead of another, and who holds a job's time and its checkpoints back.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::cluster::Cluster;

/// A file that could be read at once, and events that come ten times as fast as their times say, for six seconds.
const TWO_SPEEDS: &str = r#"
[job]
name = "two-speeds"
checkpoints = { interval = "500ms" }
[source.fast]
connector = "file"
path = "fast.jsonl"
format = "json"
schema = { at = "timestamp" }
event_time = { column = "at", max_drift = "20s" }
[source.slow]
connector = "nexmark"
only_bids = true
events = 600
rate = 100
event_rate = 10
event_time = { column = "date_time" }
[operator.both]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "drop" }
inputs = [{ from = "fast" }, { from = "slow.bids" }]
[sink.out]
input = "both"
connector = "blackhole"
"#;

/// The time of the first row of both.
const FIRST_MS: i64 = 1_700_000_000_000;
const FAST_ROWS: i64 = 100_000;
/// From one row of the fast source to the next.
const STEP_MS: i64 = 10;

fn put_fast(cluster: &Cluster) {
    let rows = (0..FAST_ROWS).map(|row| format!("{{\"at\":{}}}\n", FIRST_MS + row * STEP_MS));
    fs::write(cluster.path("fast.jsonl"), rows.collect::<String>()).expect("the folder takes files");
}

/// The watermarks of the two sources at one moment, if both have one.
fn watermarks(detail: &Value) -> Option<(i64, i64)> {
    let of = |place: usize| detail["vertices"][place]["metrics"]["watermark_ms"].as_i64();
    Some((of(0)?, of(1)?))
}

#[test]
fn a_source_waits_for_a_slower_one_and_goes_on_when_that_has_ended() {
    let cluster = Cluster::start(2, 1);
    put_fast(&cluster);
    let job = cluster.put_job("job.toml", TWO_SPEEDS);
    let id = cluster.deploy(&job, &["--set", "job.parallelism=2"]);
    // As much as it may drift, and a batch.
    let ahead_max = 20_000 + 4_096 * STEP_MS;
    let mut moments = 0;
    cluster.wait("the middle of the slow source", || {
        let detail = cluster.json(&["status", &id]);
        let (fast, slow) = watermarks(&detail)?;
        moments += 1;
        assert!(fast - slow <= ahead_max, "{} ms ahead", fast - slow);
        (slow > FIRST_MS + 30_000).then_some(())
    });
    assert!(moments > 10, "{moments}");
    let detail = cluster.wait_for(&id, "FINISHED");
    assert_eq!(detail["vertices"][0]["metrics"]["rows_out"], FAST_ROWS);
    assert!(detail["checkpoints"]["taken"].as_u64() > Some(3), "barriers pass by a source that waits: {detail:#}");
}

/// A keyed count of what comes by a pipe, beside one of events without end that have a watermark.
const STUCK: &str = r#"
[job]
name = "stuck"
checkpoints = { interval = "300ms" }
[source.pipe]
connector = "file"
path = "pipe"
format = "json"
schema = { at = "timestamp" }
event_time = { column = "at" }
[source.events]
connector = "nexmark"
only_bids = true
rate = 1000
event_time = { column = "date_time" }
[operator.both]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "drop" }
inputs = [{ from = "pipe" }, { from = "events.bids" }]
[sink.out]
input = "both"
connector = "blackhole"
"#;

/// What `explain-stall` says, once that has this in it.
#[track_caller]
fn wait_for_reason(cluster: &Cluster, id: &str, wanted: &[&str]) -> Value {
    cluster.wait(&format!("{wanted:?}"), || {
        let stall = cluster.json(&["explain-stall", id]);
        let because = stall["because"].to_string();
        wanted.iter().all(|part| because.contains(part)).then_some(stall)
    })
}

#[test]
fn a_source_that_is_stuck_is_named_for_the_watermark_and_for_the_checkpoint() {
    let cluster = Cluster::start(1, 2);
    let pipe = cluster.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("the folder takes pipes");
    // Open at both ends, so that nobody waits to open it; nothing is written for now.
    let mut writer = fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("it is there");
    let job = cluster.put_job("job.toml", STUCK);
    let id = cluster.deploy(&job, &[]);
    cluster.wait_for(&id, "RUNNING");
    let named = "is held by source.pipe subtask 0 on taskmanager-";
    let stuck = "has been reading its input for";
    let stall = wait_for_reason(&cluster, &id, &["the watermark", "checkpoint job-", named, stuck]);
    assert!(!stall["because"].to_string().contains("source.events"), "{stall:#}");
    let path = stall["watermark"]["path"].as_array().expect("there is a way");
    let names: Vec<&str> = path.iter().filter_map(|hop| hop["vertex"].as_str()).collect();
    assert_eq!(names.last(), Some(&"pipe"), "{stall:#}");
    assert_eq!(stall["watermark"]["path"][0]["standing"], "ACTIVE");
    let shown = cluster.client(&["explain-stall", &id]).stdout;
    assert!(shown.contains(named) && shown.contains("source.events"), "{shown}");
    writer.write_all(b"{\"at\":1700000000000}\n").expect("there is a reader");
    drop(writer);
    // With its end it holds nobody any more.
    wait_for_reason(&cluster, &id, &["source.events subtask 0"]);
    assert_eq!(cluster.client(&["cancel", &id]).code, Some(0));
    cluster.wait_for(&id, "CANCELLED");
}

/// Two branches of the same events, one of which has an operator that never comes back from its call.
const BLOCKED: &str = r#"
[job]
name = "blocked"
checkpoints = { interval = "300ms" }
[source.events]
connector = "nexmark"
only_bids = true
event_time = { column = "date_time" }
[operator.good]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "events.bids"
exchange = "rebalance"
[operator.bad]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "hostile:loop" }
limits = { call_deadline = "1h" }
input = "events.bids"
exchange = "rebalance"
[sink.out]
input = "good"
exchange = "rebalance"
connector = "blackhole"
[sink.rest]
input = "bad"
connector = "blackhole"
"#;

#[test]
fn who_takes_in_nothing_is_named_and_not_who_waits_for_credit() {
    let cluster = Cluster::start(1, 1);
    let job = cluster.put_job("job.toml", BLOCKED);
    let id = cluster.deploy(&job, &[]);
    cluster.wait_for(&id, "RUNNING");
    let named = "is held by operator.bad subtask 0 on taskmanager-";
    wait_for_reason(&cluster, &id, &["the watermark", "checkpoint job-", named, "has been in one call for"]);
    // The other branch is held up by the same operator, through the source that waits for credit.
    let metrics = cluster.metrics();
    let lag = format!("wasmill_watermark_lag_seconds{{job=\"{id}\",vertex=\"events\"}}");
    assert!(metrics.contains(&lag), "{metrics}");
    let stall = cluster.json(&["explain-stall", &id]);
    let path = stall["checkpoint"]["missing"].as_array().expect("parts are missing");
    let source = path.iter().find(|hop| hop["vertex"] == "events").expect("its barrier waits behind rows");
    let why = source["why"].as_str().expect("it is said");
    assert!(why.contains("has waited for credit from operator.bad subtask 0"), "{why}");
    // The call would take an hour; it is interrupted, and its slot is free.
    let began = Instant::now();
    assert_eq!(cluster.client(&["cancel", &id, "--timeout", "30s"]).code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(cluster.json(&["cluster", "info"])["slots_free"], 1);
}
