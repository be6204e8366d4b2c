//! The host metrics example: a job without an end that is stopped and goes on.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::{cluster::Cluster, process::rows};

const ROUNDS: usize = 40;
/// Weight of the newest value in the moving average, as the operator has it where the job file is silent.
const ALPHA: f64 = 0.1;

/// What has become visible so far of a sink that writes one file after another.
fn visible(cluster: &Cluster, folder: &str) -> Vec<Value> {
    let Ok(files) = fs::read_dir(cluster.path(folder)) else { return Vec::new() };
    let paths = files.map(|entry| entry.expect("the folder can be read").path());
    let whole = paths.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("rows") && name.ends_with(".jsonl")
    });
    whole.flat_map(|path| rows(&fs::read_to_string(path).expect("it can be read"))).collect()
}

#[test]
fn averages_go_on_where_the_job_was_stopped() {
    let cluster = Cluster::start(1, 4);
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/host-metrics/job.toml");
    let mut sets = vec![
        "job.checkpoints.interval=200ms".to_owned(),
        "source.machine.interval=200ms".to_owned(),
        format!("source.machine.count={ROUNDS}"),
        // Each value is told, with the average before it.
        "operator.busy_cores.config.threshold=-1.0".to_owned(),
    ];
    for sink in ["alerts", "system"] {
        let path = cluster.path(sink).join("rows.jsonl");
        sets.push(format!("sink.{sink}.connector=file"));
        sets.push(format!("sink.{sink}.path={}", path.display()));
        sets.push(format!("sink.{sink}.roll.every=200ms"));
    }
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let id = cluster.deploy(&job, &sets);
    cluster.wait("results", || (!visible(&cluster, "alerts").is_empty()).then_some(()));
    let stopped = cluster.client(&["stop", &id, "--savepoint", "monday"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    cluster.wait_for(&id, "STOPPED");
    let before = visible(&cluster, "system").len();
    assert!(before < ROUNDS, "it was stopped before its end");
    let again = cluster.deploy(&job, &[&["--from", "monday"], &*sets].concat());
    cluster.wait_for(&again, "FINISHED");

    assert_eq!(visible(&cluster, "system").len(), ROUNDS);
    let mut cores = BTreeMap::<String, BTreeMap<i64, (f64, f64)>>::new();
    for row in visible(&cluster, "alerts") {
        let number = |name: &str| row[name].as_f64().expect("a number");
        let of = cores.entry(row["core"].to_string()).or_default();
        let told = of.insert(row["at"].as_i64().expect("a time"), (number("percent"), number("average")));
        assert!(told.is_none(), "twice: {row}");
    }
    assert!(!cores.is_empty());
    for (core, told) in cores {
        assert_eq!(told.len(), ROUNDS, "of core {core}");
        let told: Vec<(f64, f64)> = told.into_values().collect();
        for (place, pair) in told.windows(2).enumerate() {
            let [(percent, average), (_, next)] = *pair else { unreachable!("windows of two") };
            let expect = average + ALPHA * (percent - average);
            assert!(
                (next - expect).abs() < 1e-9 * expect.abs().max(1.0),
                "core {core}, round {place}: {next}, {expect}"
            );
        }
    }
}
