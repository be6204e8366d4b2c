//! A keyed count over a hash exchange at parallelism 2: events by CPU second of all TaskManagers, within one of them and over two.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    Figure, Places, Spread, Verdict,
    processes::{Cluster, Size},
};

const EVENTS: u64 = 20_000_000;
const RUNS: usize = 3;
const JOB: &str = "examples/nexmark/keyed-count.toml";

/// Where it is run, and the millions of events by CPU second that are demanded.
const CASES: [(Size, f64); 2] = [(Size { taskmanagers: 1, slots: 2 }, 10.0), (Size { taskmanagers: 2, slots: 1 }, 6.0)];

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let file = places.root.join(JOB);
    let job = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    CASES.iter().map(|&(size, demand)| figure(places, &job, size, demand)).collect()
}

fn figure(places: &Places, job: &str, size: Size, demand: f64) -> Result<Figure> {
    let cluster = Cluster::start(places, size)?;
    // The first run has the TaskManagers fetch the plugin, and is not counted.
    run(&cluster, job)?;
    let seconds = (0..RUNS).map(|_| run(&cluster, job)).collect::<Result<Vec<f64>>>()?;
    let rates = Spread::of(seconds.iter().map(|seconds| EVENTS as f64 / seconds / 1e6).collect());
    let Spread { min, median, max } = rates;
    Ok(Figure {
        name: format!("keyed count, {size}: events by CPU second"),
        demand: format!(">= {demand} M"),
        measured: format!("{median:.1} M ({min:.1} to {max:.1})"),
        verdict: Verdict::of(median >= demand),
        values: vec![("events_per_cpu_s", median * 1e6), ("min", min * 1e6), ("max", max * 1e6)],
    })
}

/// CPU seconds of all TaskManagers for one run.
fn run(cluster: &Cluster, job: &str) -> Result<f64> {
    let set = [format!("source.nexmark.events={EVENTS}"), "operator.count.plugin=keyed-counter@1".to_owned()];
    let before = cluster.cpu_seconds()?;
    let id = cluster.client.submit(job, &set)?;
    let done = cluster.client.wait_for(&id, "FINISHED", Duration::from_millis(50))?;
    let seconds = cluster.cpu_seconds()? - before;
    ensure!(done.summary.rows_read == EVENTS, "{id} read {} rows, not {EVENTS}", done.summary.rows_read);
    Ok(seconds)
}
