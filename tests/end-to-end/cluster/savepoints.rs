//! Jobs that are stopped, go on from a savepoint, and go on with another parallelism: each event counted once over all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::{cluster::Cluster, process::rows};

/// Each event adds one to the count of its bidder, and every new count is a row.
pub(crate) const LEDGER: &str = r#"
[job]
name = "ledger"
parallelism = 2
[job.checkpoints]
interval = "200ms"
min_pause = "50ms"
[source.events]
connector = "nexmark"
rate = 10000
events = 50000
only_bids = true
keys = 1000
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "events.bids"
key_by = ["bidder"]
config = { emit = "updates" }
[sink.out]
input = "count"
connector = "file"
path = "out/counts.jsonl"
format = "json"
[sink.out.roll]
every = "500ms"
"#;

pub(crate) const BIDS: usize = 50_000;

/// Whatever runs that have followed each other have made visible.
pub(crate) fn visible(cluster: &Cluster) -> Vec<Value> {
    let names = fs::read_dir(cluster.path("out")).expect("a file is visible");
    let paths = names.map(|entry| entry.expect("the folder can be read").path());
    let files = paths.filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("counts"))
            && path.extension().is_some_and(|extension| extension == "jsonl")
    });
    files.flat_map(|path| rows(&fs::read_to_string(path).expect("it can be read"))).collect()
}

/// Each bidder's counts are 1, 2, 3 and so on, each once, and together they are all bids.
#[track_caller]
pub(crate) fn check_all_counted_once(cluster: &Cluster) {
    let mut counts: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let rows = visible(cluster);
    for row in &rows {
        let (bidder, count) = (row["bidder"].as_i64().expect("a number"), row["count"].as_i64().expect("a number"));
        assert!(counts.entry(bidder).or_default().insert(count), "twice: {row}");
    }
    for (bidder, counts) in &counts {
        assert_eq!(counts.last().copied(), i64::try_from(counts.len()).ok(), "lost of bidder {bidder}");
    }
    assert_eq!(rows.len(), BIDS);
}

#[track_caller]
pub(crate) fn wait_for_checkpoint(cluster: &Cluster, id: &str) {
    cluster.wait("a checkpoint", || {
        let detail = cluster.json(&["status", id]);
        detail["checkpoints"]["completed"].is_string().then_some(())
    });
}

#[track_caller]
pub(crate) fn succeed(cluster: &Cluster, arguments: &[&str]) -> String {
    let ended = cluster.client(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

#[track_caller]
pub(crate) fn check_refused(cluster: &Cluster, arguments: &[&str], code: &str) {
    let ended = cluster.client(arguments);
    assert_ne!(ended.code, Some(0), "{arguments:?}: {}", ended.stdout);
    assert!(ended.stderr.contains(code), "{arguments:?}: {code} expected: {}", ended.stderr);
}

#[test]
fn a_job_is_stopped_and_goes_on_from_its_savepoint_with_another_parallelism() {
    let cluster = Cluster::start(2, 4);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    let metrics = cluster.metrics();
    let age = format!("wasmill_checkpoint_age_seconds{{job=\"{id}\"}} ");
    let age = metrics.lines().find_map(|line| line.strip_prefix(&age)).expect("it is told");
    assert!(age.parse::<f64>().is_ok_and(|seconds| (0.0..60.0).contains(&seconds)), "{age}");
    let taken = succeed(&cluster, &["savepoint", "create", &id, "--name", "on-the-way"]);
    assert!(taken.contains("on-the-way"), "{taken}");
    check_refused(&cluster, &["savepoint", "create", &id, "--name", "on-the-way"], "savepoint-exists");
    // It would stand before the job where one begins from it.
    for arguments in [&["savepoint", "create", &id, "--name", "job-8"][..], &["stop", &id, "--savepoint", "job-8"]] {
        let refused = cluster.client(arguments);
        let told = "could not name a savepoint job-8: a job of this cluster goes by that name, or may one day";
        assert!(
            refused.stderr.contains("error[request-malformed]") && refused.stderr.contains(told),
            "{}",
            refused.stderr
        );
    }
    succeed(&cluster, &["stop", &id, "--savepoint", "at-the-end"]);
    let stopped = cluster.wait_for(&id, "STOPPED");
    assert_eq!(stopped["savepoint"], "at-the-end");
    check_refused(&cluster, &["savepoint", "create", &id], "savepoint-failed");
    check_refused(&cluster, &["scale", &format!("{id}.count=3")], "replace-failed");
    let before = visible(&cluster).len();
    assert!(before < BIDS, "it was stopped before its end");
    let list = succeed(&cluster, &["savepoint", "ls"]);
    assert!(list.contains("on-the-way") && list.contains("at-the-end"), "{list}");

    let again = cluster.deploy(&job, &["--from", "at-the-end"]);
    cluster.wait_for(&again, "RUNNING");
    for change in ["count=3", "count=1", "events=3"] {
        let scaled = succeed(&cluster, &["scale", &format!("{again}.{change}")]);
        assert!(scaled.contains("version"), "{scaled}");
    }
    cluster.wait_for(&again, "FINISHED");
    check_all_counted_once(&cluster);

    succeed(&cluster, &["savepoint", "rm", "on-the-way"]);
    check_refused(&cluster, &["savepoint", "show", "on-the-way"], "not-found");
    check_refused(&cluster, &["deploy", "job.toml", "--from", "on-the-way"], "not-found");
}

#[test]
fn a_killed_taskmanager_and_a_killed_jobmanager_cost_no_row_and_make_none_twice() {
    let mut cluster = Cluster::start(2, 4);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    cluster.kill_taskmanager(0);
    cluster.restart_taskmanager(0);
    cluster.wait_for(&id, "RUNNING");
    cluster.kill_jobmanager();
    cluster.kill_taskmanager(1);
    cluster.restart_jobmanager();
    cluster.restart_taskmanager(1);
    cluster.wait_for(&id, "FINISHED");
    check_all_counted_once(&cluster);
}

#[test]
fn what_cannot_go_on_is_refused_before_it_runs() {
    let cluster = Cluster::start(1, 8);
    let job = cluster.put_job("job.toml", LEDGER);
    let without = cluster.deploy(&job, &["--set", "job.checkpoints=false", "--set", "sink.out.path=other.jsonl"]);
    cluster.wait_for(&without, "RUNNING");
    check_refused(&cluster, &["savepoint", "create", &without], "checkpoints-off");
    check_refused(&cluster, &["stop", &without], "checkpoints-off");
    succeed(&cluster, &["cancel", &without]);

    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    succeed(&cluster, &["stop", &id]);
    cluster.wait_for(&id, "STOPPED");
    // The same operator, under another name: its state has no place.
    cluster.put_job(
        "renamed.toml",
        &LEDGER.replace("operator.count]", "operator.total]").replace("input = \"count\"", "input = \"total\""),
    );
    check_refused(&cluster, &["deploy", "renamed.toml", "--from", &id], "state-incompatible");
    let planned = cluster.client(&["plan", "renamed.toml", "--from", &id, "-o", "json"]);
    assert_eq!(planned.code, Some(2), "{}", planned.stderr);
    let plan: Value = serde_json::from_str(&planned.stdout).expect("it is JSON");
    assert_eq!(plan["beginning"]["refusal"]["code"], "state-incompatible");
    assert_eq!(plan["beginning"]["from"], id.as_str());
    let fates = |plan: &Value| -> BTreeSet<(String, String, String)> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let changes = plan["beginning"]["state"].as_array().expect("a list").clone();
        changes.iter().map(|c| (text(&c["vertex"]), text(&c["what"]), text(&c["fate"]))).collect()
    };
    let expect = [
        ("events", "position", "kept"),
        ("total", "cell `count`", "new"),
        ("count", "cell `count`", "dropped"),
        ("out", "output", "kept"),
        ("total", "event-time timers", "new"),
        ("total", "processing-time timers", "new"),
        ("count", "event-time timers", "dropped"),
        ("count", "processing-time timers", "dropped"),
    ];
    let expect = expect.map(|(vertex, what, fate)| (vertex.to_owned(), what.to_owned(), fate.to_owned()));
    assert_eq!(fates(&plan), BTreeSet::from(expect));
    assert_eq!(plan["guarantees"][0]["guarantee"], "exactly-once");
    let planned = cluster.client(&["plan", "renamed.toml", "--from", &id, "--allow-dropped-state"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    assert!(planned.stdout.contains("dropped") && planned.stdout.contains("exactly once"), "{}", planned.stdout);
    // Another type of key: what is kept cannot be found by it.
    let other = LEDGER.replace("key_by = [\"bidder\"]", "key_by = [\"channel\"]");
    cluster.put_job("other-key.toml", &other);
    check_refused(&cluster, &["deploy", "other-key.toml", "--from", &id], "state-incompatible");
    let allowed = succeed(&cluster, &["deploy", "renamed.toml", "--from", &id, "--allow-dropped-state", "--no-wait"]);
    assert!(allowed.contains("job-") && allowed.contains("dropped") && allowed.contains("exactly once"), "{allowed}");

    // What would become of a running job.
    let running = cluster.deploy(&job, &["--set", "sink.out.path=third/counts.jsonl"]);
    wait_for_checkpoint(&cluster, &running);
    let plan = cluster.json(&["plan", "job.toml", "--replace", &running, "--set", "sink.out.path=third/counts.jsonl"]);
    assert!(fates(&plan).contains(&("count".to_owned(), "cell `count`".to_owned(), "kept".to_owned())), "{plan}");
    check_refused(&cluster, &["plan", "job.toml", "--replace", "job-99"], "not-found");
}

/// Counts in a map how often each bidder has bid on each of twenty lots, and keeps all bids in a list.
fn lots() -> String {
    LEDGER
        .replace("name = \"ledger\"", "name = \"lots\"")
        .replace("events = 50000", "events = 20000")
        .replace(
            "[operator.count]\nplugin = \"PLUGINS/keyed-counter.wasm\"\ninput = \"events.bids\"",
            "[operator.lot]\nplugin = \"PLUGINS/map.wasm\"\ninput = \"events.bids\"\nconfig = { columns = { a = \"auction % 20\" } }\n\
             [operator.count]\nplugin = \"PLUGINS/rust-plain.wasm\"\ninput = \"lot\"",
        )
        .replace("{ emit = \"updates\" }", "{ mode = \"entries\", lasting = true }")
}

/// Entries of maps and lists go on as values do, under another name if the operator says which they had.
#[test]
fn entries_are_kept_over_a_savepoint_a_kill_a_rename_and_other_parallelisms() {
    let mut cluster = Cluster::start(2, 4);
    let job = cluster.put_job("lots.toml", &lots());
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    succeed(&cluster, &["stop", &id, "--savepoint", "lots"]);
    let before = visible(&cluster).len();
    assert!(before < 20_000, "it was stopped before its end");

    // Neither its cells under other names, nor other cells, have a place for what is kept.
    let renamed = lots().replace("lasting = true", "lasting = true, renamed = true");
    cluster.put_job("other.toml", &lots().replace("mode = \"entries\"", "mode = \"count-one\""));
    check_refused(&cluster, &["deploy", "other.toml", "--from", "lots"], "state-incompatible");
    let job = cluster.put_job("renamed.toml", &renamed);
    let again = cluster.deploy(&job, &["--from", "lots"]);
    cluster.wait_for(&again, "RUNNING");
    succeed(&cluster, &["scale", &format!("{again}.count=3")]);
    wait_for_checkpoint(&cluster, &again);
    cluster.kill_taskmanager(0);
    cluster.restart_taskmanager(0);
    cluster.wait_for(&again, "FINISHED");

    let mut seen: BTreeMap<(i64, i64), BTreeSet<i64>> = BTreeMap::new();
    let rows = visible(&cluster);
    for row in &rows {
        let number = |name: &str| row[name].as_i64().expect("a number");
        let lot = seen.entry((number("bidder"), number("a"))).or_default();
        assert!(lot.insert(number("seen")), "twice: {row}");
    }
    for (lot, seen) in &seen {
        assert_eq!(seen.last().copied(), i64::try_from(seen.len()).ok(), "lost of {lot:?}");
    }
    assert_eq!(rows.len(), 20_000);
}
