//! Plugins of a cluster: pushed, listed, used, removed.

use std::{fs, thread};

use crate::{
    cluster::{Cluster, jobs::ENDLESS, wasmill},
    process::{Running, plugin},
};

#[test]
fn a_version_is_pushed_once_and_never_changes() {
    let cluster = Cluster::start(0, 1);
    let (counter, filter) = (plugin("keyed-counter"), plugin("auction-filter"));
    for _ in 0..2 {
        let ended = cluster.client(&["plugin", "push", &counter, "--name", "counter", "--version", "1.0.0"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let ended = cluster.client(&["plugin", "push", &filter, "--name", "counter", "--version", "1.0.0"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[plugin-version-taken]"), "{}", ended.stderr);
    let listed = cluster.client(&["plugin", "ls"]);
    assert!(listed.stdout.contains("counter") && listed.stdout.contains("1.0.0"), "{}", listed.stdout);
    let shown = cluster.json(&["plugin", "inspect", "counter@1.0.0"]).to_string();
    assert!(shown.contains("wasmill:operator/guest"), "{shown}");
    let rubbish = cluster.path("rubbish.wasm");
    fs::write(&rubbish, b"\0asm\x0d\0\x01\0rubbish").expect("the folder takes files");
    let ended = cluster.client(&["plugin", "push", &rubbish.display().to_string()]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[malformed]"), "{}", ended.stderr);
}

#[test]
fn a_plugin_that_a_job_runs_cannot_be_removed() {
    let cluster = Cluster::start(1, 2);
    let counter = plugin("keyed-counter");
    assert_eq!(cluster.client(&["plugin", "push", &counter, "--name", "counter", "--version", "2"]).code, Some(0));
    let job = ENDLESS.replace("PLUGINS/keyed-counter.wasm", "counter@2");
    let job = cluster.put_job("job.toml", &job);
    let id = cluster.deploy(&job, &[]);
    cluster.wait_for(&id, "RUNNING");
    let ended = cluster.client(&["plugin", "rm", "counter@2"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[plugin-in-use]") && ended.stderr.contains(&id), "{}", ended.stderr);
    assert_eq!(cluster.client(&["cancel", &id]).code, Some(0));
    cluster.wait_for(&id, "CANCELLED");
    let ended = cluster.client(&["plugin", "rm", "counter@2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let files = fs::read_dir(cluster.jobmanager_folder().join("plugins")).expect("it is there").flatten();
    assert_eq!(files.filter(|file| file.path().extension().is_some_and(|e| e == "wasm")).count(), 0);
}

#[test]
fn many_who_push_the_same_at_once_all_succeed() {
    let cluster = Cluster::start(0, 1);
    let counter = plugin("keyed-counter");
    thread::scope(|scope| {
        for _ in 0..16 {
            let mut command = wasmill(&["plugin", "push", &counter, "--name", "counter", "--version", "1"]);
            command.args(&cluster.client);
            scope.spawn(|| {
                let ended = Running::start(command).end();
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            });
        }
    });
    let code = fs::read_dir(cluster.jobmanager_folder().join("cache")).expect("it is there").flatten();
    assert_eq!(code.filter(|file| file.path().extension().is_some_and(|e| e == "code")).count(), 1);
}
