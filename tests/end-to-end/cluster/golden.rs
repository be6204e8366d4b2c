//! Savepoints that earlier versions of Wasmill have exported: each can be imported, and a job goes on from it to the rows that it would
//! have had without. There is one for each version of the format, and none is ever made anew.
//!
//! `MAKE_GOLDEN=1 cargo nextest run --release -E 'test(golden)'` makes that of the present version if it is not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use wasmill_snapshot::{file::FORMAT, manifest::VERSION};

use crate::{
    cluster::{
        Cluster,
        savepoints::{succeed, wait_for_checkpoint},
    },
    process::{plugin, rows},
};

/// Values of every type, with and without a time to live, a list, a map, timers in both domains, a source, a sink that rolls.
const JOB: &str = r#"
[job]
name = "golden"
parallelism = 2
[job.checkpoints]
interval = "200ms"
min_pause = "50ms"
[source.events]
connector = "nexmark"
rate = 200
events = 1000
only_bids = true
keys = 8
[operator.keep]
plugin = "./keep.wasm"
input = "events.bids"
key_by = ["bidder"]
config = { mode = "every-type" }
[sink.out]
input = "keep"
connector = "file"
path = "out/told.jsonl"
format = "json"
roll = { every = "200ms" }
"#;
const BIDS: i64 = 1_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/end-to-end/golden")
}

fn present() -> PathBuf {
    folder().join(format!("manifest-{VERSION}-format-{FORMAT}.tar"))
}

/// A cluster with the job and its plugin, so that no path of a machine is in the job file, which savepoints have.
fn start() -> (Cluster, PathBuf) {
    let cluster = Cluster::start(1, 4);
    fs::copy(plugin("rust-plain"), cluster.path("keep.wasm")).expect("there is room");
    let job = cluster.put_job("job.toml", JOB);
    (cluster, job)
}

/// Stops the job on its way, when it has seen all keys and none of its timers is due.
fn make(file: &Path) {
    let (cluster, job) = start();
    let id = cluster.deploy(&job, &[]);
    wait_for_checkpoint(&cluster, &id);
    cluster.wait("rows of all keys", || {
        (cluster.json(&["status", &id])["rows_read"].as_i64().is_some_and(|read| read > 300)).then_some(())
    });
    succeed(&cluster, &["stop", &id, "--savepoint", "golden"]);
    cluster.wait_for(&id, "STOPPED");
    fs::create_dir_all(folder()).expect("it can be made");
    succeed(&cluster, &["savepoint", "export", "golden", file.to_str().expect("it is text")]);
}

/// What the job has told of each bidder.
fn told(cluster: &Cluster, id: &str, out: &str) -> BTreeMap<i64, BTreeSet<String>> {
    cluster.wait_for(id, "FINISHED");
    let mut told: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    for entry in fs::read_dir(cluster.path(out)).expect("a file is visible") {
        let path = entry.expect("readable").path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden || path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for row in rows(&fs::read_to_string(path).expect("it can be read")) {
            let (bidder, text): (i64, &Value) = (row["bidder"].as_i64().expect("a number"), &row["told"]);
            told.entry(bidder).or_default().insert(text.as_str().expect("text").to_owned());
            count += 1;
        }
    }
    assert_eq!(told.values().map(BTreeSet::len).sum::<usize>(), count, "no row is there twice");
    told
}

#[test]
fn a_job_goes_on_from_golden_savepoints_of_all_versions() {
    if !present().exists() && env::var_os("MAKE_GOLDEN").is_some() {
        make(&present());
    }
    assert!(present().exists(), "there is no savepoint of this version of the format: MAKE_GOLDEN=1 makes it");
    let (cluster, job) = start();
    let fast = ["--set", "source.events.rate=100000"];
    let fresh = cluster.deploy(&job, &[&fast[..], &["--set", "sink.out.path=fresh/told.jsonl"]].concat());
    let fresh = told(&cluster, &fresh, "fresh");
    let count = |told: &BTreeSet<String>| -> i64 {
        let all = told.iter().next().expect("a row of each key");
        all.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_else(|| panic!("{all}"))
    };
    assert_eq!(fresh.values().map(count).sum::<i64>(), BIDS);
    for entry in fs::read_dir(folder()).expect("there are some") {
        let file = entry.expect("readable").path();
        let name = file.file_stem().expect("a name").to_str().expect("text").to_owned();
        succeed(&cluster, &["savepoint", "import", file.to_str().expect("text"), "--name", &name]);
        let out = format!("sink.out.path={name}/told.jsonl");
        let more = ["--from", &name, "--set", "job.parallelism=3", "--set", &out];
        let id = cluster.deploy(&job, &[&fast[..], &more].concat());
        let found = told(&cluster, &id, &name);
        for (bidder, told) in &fresh {
            let mut expect = told.clone();
            // Its time has come since.
            expect.insert("later".to_owned());
            assert_eq!(found.get(bidder), Some(&expect), "bidder {bidder} from {name}");
        }
        assert_eq!(found.len(), fresh.len(), "{name}");
    }
}
