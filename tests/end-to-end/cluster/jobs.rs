//! Jobs on a cluster: what comes out, how they end, what is seen of them.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::{
    cluster::Cluster,
    process::{counted, rows},
};

/// Words of a file, counted over a hash exchange on four subtasks.
const WORDS: &str = r#"
[job]
name = "words"
parallelism = 4
[source.text]
connector = "file"
path = "in*.txt"
format = "lines"
[operator.words]
plugin = "PLUGINS/tokenizer.wasm"
input = "text"
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "words"
key_by = ["word"]
[sink.counts]
input = "count"
parallelism = 1
connector = "file"
path = "counts.jsonl"
format = "json"
"#;

/// Bids without end.
pub(super) const ENDLESS: &str = r#"
[job]
name = "endless"
parallelism = 2
[source.n]
connector = "nexmark"
rate = 2000
only_bids = true
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "n.bids"
key_by = ["bidder"]
[sink.out]
input = "count"
connector = "blackhole"
"#;

fn put_words(cluster: &Cluster) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for file in 0..5 {
        let line = |number: usize| {
            let words: Vec<String> = (0..7).map(|word| format!("w{}", number * word * (file + 3) % 997)).collect();
            words.join(" ") + "\n"
        };
        let text: String = (0..2_000).map(line).collect();
        for word in text.split_whitespace() {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
        fs::write(cluster.path(&format!("in{file}.txt")), text).expect("the folder takes files");
    }
    counts
}

#[test]
fn rows_cross_from_one_taskmanager_to_another_and_come_out_as_in_one_process() {
    let cluster = Cluster::start(2, 2);
    let counts = put_words(&cluster);
    cluster.put_job("job.toml", WORDS);
    let ended = cluster.client(&["deploy", "job.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let id = cluster.json(&["list", "--all"]);
    let jobs = id.as_array().cloned().or_else(|| id["items"].as_array().cloned()).expect("a list");
    let id = jobs[0]["id"].as_str().expect("a job has an id");
    let detail = cluster.wait_for(id, "FINISHED");
    let events = cluster.client(&["events", id]).stdout;
    for place in 0..2 {
        assert!(events.contains(&cluster.worker_id(place)), "both run a part of it: {events}");
    }
    let expect: Vec<Value> =
        counts.iter().map(|(word, count)| serde_json::json!({ "word": word, "count": count })).collect();
    let found = rows(&fs::read_to_string(cluster.path("counts.jsonl")).expect("the job has finished"));
    assert_eq!(counted(&found), counted(&expect));
    assert_eq!(detail["rows_written"], counts.len());
    assert_eq!(detail["vertices"][0]["metrics"]["rows_out"], 10_000);
}

#[test]
fn a_job_that_never_ends_is_seen_stopped_and_cancelled() {
    let cluster = Cluster::start(1, 4);
    let job = cluster.put_job("job.toml", ENDLESS);
    let (stopped, cancelled) = (cluster.deploy(&job, &[]), cluster.deploy(&job, &["--set", "job.name=other"]));
    for id in [&stopped, &cancelled] {
        cluster.wait_for(id, "RUNNING");
    }
    cluster.wait("rows", || {
        let detail = cluster.json(&["status", &stopped]);
        detail["vertices"][1]["metrics"]["rows_in"].as_u64().filter(|rows| *rows > 1_000)
    });
    let ended = cluster.client(&["stop", &stopped, "--drain"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    cluster.wait_for(&stopped, "FINISHED");
    let ended = cluster.client(&["cancel", &cancelled]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let detail = cluster.wait_for(&cancelled, "CANCELLED");
    assert_eq!(detail["name"], "other");
    let events = cluster.client(&["events", &cancelled]).stdout;
    for word in ["CREATED", "RUNNING", "CANCELLED"] {
        assert!(events.contains(word), "{word}: {events}");
    }
    // Again changes nothing, and is no error.
    assert_eq!(cluster.client(&["cancel", &cancelled]).code, Some(0));
    let unknown = cluster.client(&["status", "job-999"]);
    assert!(unknown.code != Some(0) && unknown.stderr.contains("there is no job job-999"), "{}", unknown.stderr);
}

#[test]
fn a_job_waits_for_slots_and_runs_when_they_come() {
    let mut cluster = Cluster::start(1, 1);
    let job = cluster.put_job("job.toml", ENDLESS);
    let id = cluster.deploy(&job, &[]);
    cluster.wait_for(&id, "CREATED");
    cluster.add_taskmanager();
    cluster.wait_for(&id, "RUNNING");
    assert_eq!(cluster.client(&["cancel", &id]).code, Some(0));
    cluster.wait_for(&id, "CANCELLED");
}

#[test]
fn what_a_job_file_gets_wrong_is_refused_with_its_line() {
    let cluster = Cluster::start(0, 1);
    for (from, to, code, says) in [
        ("key_by = [\"bidder\"]", "key_by = [\"biddr\"]", "unknown-column", "did you mean `bidder`?"),
        ("connector = \"blackhole\"", "connector = \"stdout\"", "job-file-conflict", "standard output"),
        ("rate = 2000", "rte = 2000", "job-file-unknown-key", "did you mean `rate`?"),
    ] {
        cluster.put_job("job.toml", &ENDLESS.replace(from, to));
        let ended = cluster.client(&["deploy", "job.toml"]);
        assert_eq!(ended.code, Some(2), "{to}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("error[{code}]")) && ended.stderr.contains(says), "{}", ended.stderr);
    }
}

#[test]
fn a_failing_operator_fails_the_job_once_and_says_where() {
    let cluster = Cluster::start(1, 2);
    let job = ENDLESS.replace("keyed-counter.wasm\"", "rust-plain.wasm\"\nconfig = { mode = \"hostile:trap\" }");
    let job = cluster.put_job("job.toml", &job.replace("key_by = [\"bidder\"]", ""));
    let id = cluster.deploy(&job, &[]);
    let detail = cluster.wait_for(&id, "FAILED");
    assert_eq!((detail["restarts"].as_u64(), detail["cause"]["code"].as_str()), (Some(0), Some("operator-failed")));
    let exceptions = cluster.client(&["status", &id]);
    assert!(exceptions.stdout.contains("error[operator-failed]"), "{}{}", exceptions.stdout, exceptions.stderr);
}
