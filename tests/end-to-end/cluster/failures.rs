//! Killed, paused and restarted processes are events, not disasters.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    cluster::{Cluster, jobs::ENDLESS, wasmill},
    process::{Running, rows},
};

/// A file written once all numbers are through, slowly enough to be disturbed.
const SLOW: &str = r#"
[job]
name = "slow"
parallelism = 2
[source.n]
connector = "nexmark"
rate = 20000
events = 60000
only_bids = true
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "n.bids"
key_by = ["bidder"]
[sink.counts]
input = "count"
parallelism = 1
connector = "file"
path = "counts.jsonl"
format = "json"
"#;

fn total(cluster: &Cluster) -> i64 {
    let rows = rows(&fs::read_to_string(cluster.path("counts.jsonl")).expect("the job has finished"));
    rows.iter().filter_map(|row| row["count"].as_i64()).sum()
}

fn wait_for_rows(cluster: &Cluster, id: &str) {
    cluster.wait("rows", || {
        let ended = cluster.client(&["status", id, "-o", "json"]);
        let detail: Value = serde_json::from_str(&ended.stdout).ok()?;
        (detail["state"] == "RUNNING" && detail["rows_read"].as_u64()? > 0).then_some(())
    });
}

#[test]
fn a_job_goes_on_elsewhere_when_a_taskmanager_is_killed() {
    let mut cluster = Cluster::start(3, 1);
    let job = cluster.put_job("job.toml", SLOW);
    let id = cluster.deploy(&job, &[]);
    wait_for_rows(&cluster, &id);
    let detail = cluster.json(&["status", &id]);
    let victim = detail["subtasks"][0]["worker"].as_str().expect("it is placed").to_owned();
    let place = (0..3).find(|place| cluster.worker_id(*place) == victim).expect("it is one of ours");
    cluster.kill_taskmanager(place);
    let detail = cluster.wait_for(&id, "FINISHED");
    assert_eq!(detail["restarts"], 1, "{detail:#}");
    assert_eq!(total(&cluster), 60_000, "every bid is counted once");
    let events = cluster.client(&["events", &id]).stdout;
    assert!(events.contains("lost") && events.contains("from the beginning"), "{events}");
}

#[test]
fn a_taskmanager_that_was_paused_beyond_its_lease_does_no_harm() {
    let mut cluster = Cluster::start(2, 2);
    let job = cluster.put_job("job.toml", SLOW);
    let id = cluster.deploy(&job, &[]);
    wait_for_rows(&cluster, &id);
    cluster.signal_taskmanager(0, Signal::STOP);
    cluster.wait("the lease to end", || {
        let detail = cluster.json(&["status", &id]);
        (detail["restarts"] == 1 && detail["state"] == "RUNNING").then_some(())
    });
    cluster.signal_taskmanager(0, Signal::CONT);
    cluster.wait_for(&id, "FINISHED");
    assert_eq!(total(&cluster), 60_000);
    cluster.wait_for_workers(2);
    // It takes part again.
    let job = cluster.put_job("endless.toml", ENDLESS);
    let other = cluster.deploy(&job, &["--set", "job.parallelism=4"]);
    cluster.wait_for(&other, "RUNNING");
    cluster.kill_taskmanager(0);
}

#[test]
fn a_killed_jobmanager_goes_on_with_every_job() {
    let mut cluster = Cluster::start(2, 2);
    let job = cluster.put_job("job.toml", SLOW);
    let finished = cluster.deploy(&job, &["--set", "source.n.events=100", "--set", "sink.counts.path=first.jsonl"]);
    cluster.wait_for(&finished, "FINISHED");
    let endless = cluster.put_job("endless.toml", ENDLESS);
    let cancelled = cluster.deploy(&endless, &[]);
    assert_eq!(cluster.client(&["cancel", &cancelled]).code, Some(0));
    let id = cluster.deploy(&job, &[]);
    wait_for_rows(&cluster, &id);
    cluster.kill_jobmanager();
    cluster.restart_jobmanager();
    assert_eq!(cluster.wait_for(&finished, "FINISHED")["id"], finished.as_str());
    cluster.wait_for(&cancelled, "CANCELLED");
    cluster.wait_for(&id, "FINISHED");
    assert_eq!(total(&cluster), 60_000);
}

#[test]
fn a_drained_taskmanager_stays_so_when_the_jobmanager_comes_again() {
    let mut cluster = Cluster::start(2, 1);
    let drained = cluster.worker_id(0);
    assert_eq!(cluster.json(&["workers", "drain", &drained])["state"], "DRAINED");
    cluster.kill_jobmanager();
    cluster.restart_jobmanager();
    cluster.wait_for_workers(2);
    let state = |cluster: &Cluster| {
        let workers = cluster.json(&["workers"]);
        let all = workers["items"].as_array().expect("a list").clone();
        all.iter().find(|worker| worker["id"] == drained.as_str()).expect("it is there")["state"].clone()
    };
    assert_eq!(state(&cluster), "DRAINED");
    assert_eq!(cluster.json(&["workers", "undrain", &drained])["state"], "ACTIVE");
    cluster.kill_jobmanager();
    cluster.restart_jobmanager();
    cluster.wait_for_workers(2);
    assert_eq!(state(&cluster), "ACTIVE");
}

#[test]
fn a_taskmanager_that_is_told_to_end_leaves_at_once() {
    let mut cluster = Cluster::start(2, 2);
    let job = cluster.put_job("job.toml", ENDLESS);
    let id = cluster.deploy(&job, &[]);
    cluster.wait_for(&id, "RUNNING");
    let ended = cluster.end_taskmanager(0);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    cluster.wait_for_workers(1);
    cluster.wait("the job to run on the other", || {
        let detail = cluster.json(&["status", &id]);
        (detail["state"] == "RUNNING").then_some(())
    });
}

#[test]
fn one_folder_has_one_jobmanager_and_one_taskmanager() {
    let cluster = Cluster::start(1, 1);
    let mut command = wasmill(&["jobmanager", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(cluster.jobmanager_folder());
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("error[data-folder-in-use]"), "{}", ended.stderr);
    let mut command = wasmill(&["taskmanager", "--jobmanager", &cluster.url, "--data-dir"]);
    command.arg(cluster.path("taskmanager-0"));
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("error[data-folder-in-use]"), "{}", ended.stderr);
}

#[test]
fn a_taskmanager_says_once_that_it_cannot_reach_its_jobmanager_and_comes_when_it_can() {
    let mut cluster = Cluster::start(1, 1);
    cluster.kill_jobmanager();
    let complaint = cluster.wait_for_taskmanager_to_say(0, "could not reach the JobManager");
    assert!(complaint.contains("trying again"), "{complaint}");
    cluster.restart_jobmanager();
    cluster.wait_for_workers(1);
}

/// It could still commit while its jobs run elsewhere.
#[test]
fn a_taskmanager_whose_lease_is_longer_than_the_jobmanagers_is_not_taken() {
    let cluster = Cluster::start(0, 1);
    fs::write(cluster.path("long.toml"), "[control]\nlease_ms = 5000\n").expect("the folder takes files");
    let mut command = wasmill(&["taskmanager", "--jobmanager", &cluster.url, "--config"]);
    command.arg(cluster.path("long.toml")).arg("--data-dir").arg(cluster.path("long"));
    let mut taskmanager = Running::start(command);
    let said = taskmanager.wait_for_stderr("refused register");
    taskmanager.kill();
    assert!(said.contains("taskmanager-refused") && said.contains("2000 ms"), "{said}");
}
