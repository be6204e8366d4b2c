//! Files of checkpoints and of sinks that are damaged or gone when a job is to go on: it falls back by itself where that costs
//! nothing, and else somebody decides.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{cluster::Cluster, process::rows};

/// Each event adds one to the count of its bidder. Once more to a sink that makes nothing visible, or to files that roll.
const COUNTS: &str = r#"
[job]
name = "counts"
[job.checkpoints]
interval = "200ms"
min_pause = "50ms"
[source.events]
connector = "nexmark"
rate = 10000
events = 60000
only_bids = true
keys = 1000
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "events.bids"
key_by = ["bidder"]
config = { emit = "updates" }
"#;

const BLACKHOLE: &str = r#"
[sink.out]
input = "count"
connector = "blackhole"
"#;

const FILES: &str = r#"
[sink.out]
input = "count"
connector = "file"
path = "out/counts.jsonl"
format = "json"
[sink.out.roll]
every = "EVERY"
"#;

const EVENTS: usize = 60_000;

fn files(every: &str) -> String {
    format!("{COUNTS}{}", FILES.replace("EVERY", every))
}

/// Files below a folder.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// The manifests of a job, the newest last.
pub(super) fn manifests(cluster: &Cluster, id: &str) -> Vec<(u64, PathBuf)> {
    let all = below(&cluster.jobmanager_folder().join("checkpoints"));
    let number = |path: PathBuf| Some((path.file_stem()?.to_str()?.parse().ok()?, path));
    let of_job = all.into_iter().filter(|path| path.to_string_lossy().contains(&format!("/{id}/manifests/")));
    let mut found: Vec<(u64, PathBuf)> = of_job.filter_map(number).collect();
    found.sort();
    found
}

/// The files that only the newest checkpoint names, newest last; and its manifest.
fn newest(cluster: &Cluster, id: &str) -> (Vec<PathBuf>, Value) {
    let found = manifests(cluster, id);
    let (number, path) = found.last().expect("there is a checkpoint");
    let manifest = serde_json::from_slice(&fs::read(path).expect("it is there")).expect("it is JSON");
    let own = format!("/{id}/files/{number}/");
    let all = below(&cluster.jobmanager_folder().join("checkpoints"));
    (all.into_iter().filter(|path| path.to_string_lossy().contains(&own)).collect(), manifest)
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("it is ours");
}

#[track_caller]
fn wait_for_checkpoints(cluster: &Cluster, id: &str, count: u64) {
    cluster.wait("checkpoints", || {
        let taken = cluster.json(&["status", id])["checkpoints"]["taken"].as_u64()?;
        (taken >= count && manifests(cluster, id).len() >= 2).then_some(())
    });
}

/// Kills the one TaskManager without letting it see what is done to files meanwhile.
fn kill_and(cluster: &mut Cluster, id: &str, harm: impl FnOnce(&Cluster)) {
    cluster.signal_taskmanager(0, Signal::STOP);
    // What was on its way when it was stopped is still written.
    let mut seen = (0, 0);
    cluster.wait("the last manifest", || {
        let newest = manifests(cluster, id).last()?.0;
        seen = if seen.0 == newest { (newest, seen.1 + 1) } else { (newest, 0) };
        (seen.1 >= 10).then_some(())
    });
    harm(cluster);
    cluster.kill_taskmanager(0);
    cluster.restart_taskmanager(0);
}

/// How often each new count of each bidder is visible.
fn visible(cluster: &Cluster) -> BTreeMap<(i64, i64), usize> {
    let mut seen = BTreeMap::new();
    let shown = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("counts"));
    for path in below(&cluster.path("out")).into_iter().filter(shown) {
        for row in rows(&fs::read_to_string(path).expect("it can be read")) {
            let number = |key: &str| row[key].as_i64().expect("a number");
            *seen.entry((number("bidder"), number("count"))).or_default() += 1;
        }
    }
    seen
}

#[track_caller]
fn events(cluster: &Cluster, id: &str) -> String {
    cluster.client(&["events", id]).stdout
}

#[track_caller]
fn check_decision(detail: &Value, about: &str, choices: &[&str]) -> String {
    let decision = &detail["decision"];
    assert_eq!(decision["about"], about, "{detail:#}");
    let offered: Vec<&str> = decision["choices"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(offered, choices, "{detail:#}");
    decision["reason"].as_str().expect("a text").to_owned()
}

#[test]
fn a_job_whose_sinks_make_nothing_visible_passes_over_a_damaged_checkpoint() {
    let mut cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", &format!("{COUNTS}{BLACKHOLE}"));
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoints(&cluster, &id, 3);
    kill_and(&mut cluster, &id, |cluster| {
        let (files, _) = newest(cluster, &id);
        flip(files.last().expect("the newest has a file of its own"));
    });
    let detail = cluster.wait_for(&id, "FINISHED");
    let told = events(&cluster, &id);
    assert!(told.contains("is passed over") && told.contains("it is not what was written"), "{told}");
    assert_eq!(detail["rows_written"].as_u64().map(|rows| rows < EVENTS as u64), Some(true), "it went on: {detail:#}");
}

#[test]
fn what_is_damaged_can_be_put_back_and_then_no_row_is_lost_or_there_twice() {
    let mut cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", &files("300ms"));
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoints(&cluster, &id, 4);
    let mut harmed = (PathBuf::new(), Vec::new());
    kill_and(&mut cluster, &id, |cluster| {
        let path = newest(cluster, &id).0.pop().expect("the newest has a file of its own");
        harmed = (path.clone(), fs::read(&path).expect("it is there"));
        flip(&path);
    });
    let detail = cluster.wait_for(&id, "NEEDS_DECISION");
    let reason = check_decision(&detail, "damaged-checkpoint", &["retry", "rewind"]);
    let name = harmed.0.file_name().expect("a file").to_string_lossy().into_owned();
    assert!(reason.contains(&name) && reason.contains("it is not what was written"), "{reason}");
    let list = cluster.client(&["list"]).stdout;
    assert!(list.contains("NEEDS_DECISION"), "{list}");
    // Neither a wrong choice nor a restart of the JobManager changes anything.
    let wrong = cluster.client(&["resolve", &id, "--give-up-transaction"]);
    assert!(wrong.code != Some(0) && wrong.stderr.contains("choice-not-offered"), "{}", wrong.stderr);
    cluster.kill_jobmanager();
    cluster.restart_jobmanager();
    cluster.wait_for(&id, "NEEDS_DECISION");
    let shown = cluster.client(&["resolve", &id]).stdout;
    assert!(shown.contains("--rewind") && shown.contains("may appear twice"), "{shown}");
    // It is still damaged.
    let again = cluster.client(&["resolve", &id, "--retry"]);
    assert!(again.code == Some(1) && again.stderr.contains("checkpoint-damaged"), "{}", again.stderr);
    fs::write(&harmed.0, &harmed.1).expect("it is ours");
    let retried = cluster.client(&["resolve", &id, "--retry"]);
    assert_eq!(retried.code, Some(0), "{}{}", retried.stdout, retried.stderr);
    cluster.wait_for(&id, "FINISHED");
    let seen = visible(&cluster);
    assert!(seen.values().all(|times| *times == 1), "a row is there twice");
    assert_eq!(seen.len(), EVENTS);
    let nothing = cluster.client(&["resolve", &id]);
    assert!(nothing.stderr.contains("nothing-to-decide"), "{}", nothing.stderr);
}

#[test]
fn who_agrees_to_see_rows_twice_goes_on_from_the_checkpoint_before() {
    let mut cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", &files("300ms"));
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoints(&cluster, &id, 4);
    kill_and(&mut cluster, &id, |cluster| {
        // Also a manifest can be damaged, or lost.
        fs::remove_file(&manifests(cluster, &id).last().expect("there are some").1).expect("it is ours");
    });
    let detail = cluster.wait_for(&id, "NEEDS_DECISION");
    check_decision(&detail, "damaged-checkpoint", &["retry", "rewind"]);
    let rewound = cluster.client(&["resolve", &id, "--rewind", "--timeout", "30s"]);
    if rewound.code != Some(0) {
        // Nobody can tell any more whether a file that is gone was made visible by the checkpoint that is lost.
        assert!(rewound.stderr.contains("transaction-lost"), "{}", rewound.stderr);
        let reason = check_decision(
            &cluster.json(&["status", &id]),
            "lost-transaction",
            &["retry", "give-up-transaction", "rewind"],
        );
        assert!(reason.contains("sink out[0]"), "{reason}");
        assert_eq!(cluster.client(&["resolve", &id, "--give-up-transaction"]).code, Some(0));
    }
    cluster.wait_for(&id, "FINISHED");
    let told = events(&cluster, &id);
    assert!(told.contains("it was decided, rewind"), "{told}");
    let seen = visible(&cluster);
    assert!(seen.values().all(|times| *times <= 2), "more than one step back");
    assert_eq!(seen.len(), EVENTS, "nothing is lost");
}

#[test]
fn a_file_that_a_sink_had_prepared_and_that_is_gone_is_given_up_by_whoever_runs_the_job() {
    let mut cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", &files("1h"));
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoints(&cluster, &id, 3);
    let mut prepared = PathBuf::new();
    kill_and(&mut cluster, &id, |cluster| {
        let (_, manifest) = newest(cluster, &id);
        let vertices = manifest["vertices"].as_array().expect("a list");
        let sink = vertices.iter().find(|vertex| vertex["name"] == "out").expect("it keeps something");
        let open = &sink["subtasks"][0]["transaction"]["open"]["temporary"];
        prepared = PathBuf::from(open.as_str().expect("a file is written"));
        fs::remove_file(&prepared).expect("it is there");
    });
    let detail = cluster.wait_for(&id, "NEEDS_DECISION");
    let reason = check_decision(&detail, "lost-transaction", &["retry", "give-up-transaction", "rewind"]);
    assert!(reason.contains("sink out[0]") && reason.contains(&prepared.display().to_string()), "{reason}");
    let given_up = cluster.client(&["resolve", &id, "--give-up-transaction"]);
    assert_eq!(given_up.code, Some(0), "{}{}", given_up.stdout, given_up.stderr);
    cluster.wait_for(&id, "FINISHED");
    let seen = visible(&cluster);
    assert!(seen.values().all(|times| *times == 1) && seen.len() < EVENTS, "{} rows", seen.len());
    // What is missing is the beginning of each bidder's counts, and nothing else.
    let mut counts: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    seen.keys().for_each(|(bidder, count)| counts.entry(*bidder).or_default().push(*count));
    for (bidder, counts) in counts {
        let last = counts[counts.len() - 1];
        assert_eq!(last - counts[0] + 1, counts.len() as i64, "bidder {bidder}: {counts:?}");
    }
}

#[test]
fn a_job_does_not_begin_from_a_savepoint_that_is_damaged() {
    let cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", &files("300ms"));
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoints(&cluster, &id, 2);
    assert_eq!(cluster.client(&["stop", &id, "--savepoint", "monday"]).code, Some(0));
    let all = below(&cluster.jobmanager_folder().join("checkpoints"));
    let named = |path: &&PathBuf| path.to_string_lossy().ends_with("-monday.json");
    let manifest: Value =
        serde_json::from_slice(&fs::read(all.iter().find(named).expect("it is there")).expect("it is there"))
            .expect("it is JSON");
    let file =
        manifest["vertices"].as_array().expect("a list").iter().find_map(|vertex| vertex["files"][0]["name"].as_str());
    let file = cluster.jobmanager_folder().join("checkpoints").join(file.expect("the counts are in a file"));
    let whole = fs::read(&file).expect("it is there");
    let deploy = || cluster.client(&["deploy", "job.toml", "--from", "monday"]);

    // What lacks a file, or a part of one, is refused before there is a job.
    fs::write(&file, &whole[..whole.len() / 2]).expect("it is ours");
    let cut = deploy();
    let told = "could not begin from monday: file";
    assert!(
        cut.code != Some(0) && cut.stderr.contains("checkpoint-damaged") && cut.stderr.contains(told),
        "{}",
        cut.stderr
    );
    assert_eq!(cluster.json(&["list"])["items"].as_array().map(Vec::len), Some(0), "no job was made");
    // A bit that is wrong shows when the job begins: it has failed, and has done nothing.
    fs::write(&file, &whole).expect("it is ours");
    flip(&file);
    let flipped = deploy();
    assert!(flipped.code == Some(1) && flipped.stderr.contains("it is not what was written"), "{}", flipped.stderr);
    let jobs = cluster.json(&["list", "--all"]);
    let failed = jobs["items"].as_array().expect("a list").iter().find(|job| job["state"] == "FAILED");
    assert_eq!(failed.expect("it has failed")["cause"]["code"], "checkpoint-damaged");
    fs::write(&file, whole).expect("it is ours");
    let again = cluster.deploy(&job, &["--from", "monday"]);
    cluster.wait_for(&again, "FINISHED");
    assert_eq!(visible(&cluster).len(), EVENTS);
}
