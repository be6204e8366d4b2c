//! What a TaskManager keeps in its own data folder: local copies of snapshot files, and a scratch folder that is not left behind.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    cluster::{
        Cluster,
        recovery::below,
        savepoints::{LEDGER, check_all_counted_once, wait_for_checkpoint},
        wasmill,
    },
    process::Running,
};

/// Snapshot files in the checkpoint store.
fn stored(cluster: &Cluster) -> Vec<PathBuf> {
    let mut files = below(&cluster.jobmanager_folder().join("checkpoints"));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "redb"));
    files
}

/// Bytes that the running attempt began from: of local copies, and of the store.
fn restored(detail: &Value) -> (u64, u64) {
    let vertices = detail["vertices"].as_array().expect("a list");
    let sum = |key: &str| vertices.iter().filter_map(|vertex| vertex["metrics"][key].as_u64()).sum();
    (sum("restored_local_bytes"), sum("restored_store_bytes"))
}

/// Starts the first TaskManager again, in place of one that has ended.
fn start_with(cluster: &mut Cluster, more: &[&str], environment: &[(&str, &str)]) {
    let mut command = wasmill(&["taskmanager", "--jobmanager", &cluster.url, "--slots", "2", "--data-dir"]);
    command.arg(cluster.taskmanager_folder(0)).args(more).envs(environment.iter().copied());
    cluster.taskmanagers[0] = Some(Running::start(command));
}

/// The JobManager dies and comes again, which begins the job anew where it ran; then, what it began from.
#[track_caller]
fn begin_again(cluster: &mut Cluster, id: &str, meanwhile: impl FnOnce(&Cluster)) -> (u64, u64) {
    let before = cluster.json(&["status", id])["attempt"].clone();
    cluster.kill_jobmanager();
    meanwhile(cluster);
    cluster.restart_jobmanager();
    cluster.wait("what the attempt began from", || {
        let detail = cluster.json(&["status", id]);
        let restored = restored(&detail);
        (detail["attempt"] != before && restored != (0, 0)).then_some(restored)
    })
}

#[test]
fn a_job_that_begins_again_where_it_ran_reads_its_local_copies_whatever_becomes_of_the_store() {
    let mut cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    let mut whole = Vec::new();
    let restored = begin_again(&mut cluster, &id, |cluster| {
        for path in stored(cluster) {
            let mut bytes = fs::read(&path).expect("it is there");
            whole.push((path.clone(), bytes.clone()));
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).expect("it is ours");
        }
    });
    assert!(restored.0 > 0 && restored.1 == 0, "local and store: {restored:?}");
    let told = cluster.metrics();
    let told =
        told.lines().find(|line| line.starts_with("wasmill_restored_local_bytes{") && line.contains("\"count\""));
    assert!(told.is_some_and(|line| !line.ends_with(" 0")), "{told:?}");
    cluster.wait_for(&id, "FINISHED");
    check_all_counted_once(&cluster);
    assert!(!whole.is_empty() && whole.iter().all(|(path, _)| !path.with_extension("redb.damaged").exists()));
}

#[test]
fn without_local_copies_or_after_they_are_gone_the_store_is_read() {
    let mut cluster = Cluster::start(1, 2);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    cluster.kill_taskmanager(0);
    start_with(&mut cluster, &["--local-copies-bytes", "0"], &[]);
    cluster.wait_for(&id, "RUNNING");
    let restored = begin_again(&mut cluster, &id, |_| ());
    assert!(restored.0 == 0 && restored.1 > 0, "local and store: {restored:?}");
    let copies = cluster.taskmanager_folder(0).join("scratch/copies");
    assert_eq!(below(&copies), Vec::<PathBuf>::new());
    cluster.kill_taskmanager(0);
    cluster.restart_taskmanager(0);
    cluster.wait("what was fetched to be kept", || (!below(&copies).is_empty()).then_some(()));
    let restored = begin_again(&mut cluster, &id, |_| {
        // Of two copies one is gone, and the other is not what was written.
        for (number, copy) in below(&copies).iter().enumerate() {
            match number % 2 {
                0 => fs::write(copy, "another").expect("it is ours"),
                _ => drop(fs::remove_file(copy)),
            }
        }
    });
    assert!(restored.1 > 0, "local and store: {restored:?}");
    cluster.wait_for(&id, "FINISHED");
    check_all_counted_once(&cluster);
}

#[test]
fn a_taskmanager_that_is_killed_while_it_writes_leaves_nothing_behind_for_its_next_life() {
    let mut cluster = Cluster::start(1, 2);
    let elsewhere = cluster.path("tmp");
    fs::create_dir(&elsewhere).expect("there is room");
    let tmp = elsewhere.display().to_string();
    cluster.end_taskmanager(0);
    let scratch = cluster.taskmanager_folder(0).join("scratch");
    assert!(!scratch.exists(), "it ended in good order");
    // It dies between a snapshot file's bytes and its name.
    start_with(&mut cluster, &[], &[("TMPDIR", &tmp), ("FAILPOINTS", "snapshot.sync=2*off->kill")]);
    let job = cluster.put_job("job.toml", LEDGER);
    let id = cluster.deploy(&job, &[]);
    cluster.taskmanagers[0].take().expect("it runs").end();
    let left = below(&scratch);
    assert!(left.iter().any(|path| path.to_string_lossy().ends_with(".unfinished")), "{left:?}");
    start_with(&mut cluster, &[], &[("TMPDIR", &tmp)]);
    cluster.wait_for(&id, "FINISHED");
    check_all_counted_once(&cluster);
    assert!(
        left.iter().filter(|path| !path.starts_with(scratch.join("copies"))).all(|path| !path.exists()),
        "{left:?}"
    );
    cluster.end_taskmanager(0);
    assert!(!scratch.exists(), "it ended in good order");
    assert_eq!(below(&elsewhere), Vec::<PathBuf>::new());
}
