//! How soon a job runs: from when the JobManager has taken it until all its subtasks run, as its events say.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{
    Figure, Places, STEADY, Spread, Verdict,
    processes::{Cluster, Size},
};

const SIZE: Size = Size { taskmanagers: 2, slots: 2 };
const PARALLELISM: u32 = 4;
const RUNS: usize = 20;
const DEMAND_MS: f64 = 100.0;

pub(crate) fn figure(places: &Places) -> Result<Figure> {
    let cluster = Cluster::start(places, SIZE)?;
    // The first one has the TaskManagers fetch the plugin, and is not counted.
    run(&cluster)?;
    let Spread { median, max, .. } = Spread::of((0..RUNS).map(|_| run(&cluster)).collect::<Result<_>>()?);
    Ok(Figure {
        name: format!("parallelism {PARALLELISM}, {SIZE}: from taken to RUNNING"),
        demand: format!("<= {DEMAND_MS} ms"),
        measured: format!("median {median} ms, longest of {RUNS} {max} ms"),
        verdict: Verdict::of(max <= DEMAND_MS),
        values: vec![("median_ms", median), ("max_ms", max)],
    })
}

/// Milliseconds of one job, which is then ended.
fn run(cluster: &Cluster) -> Result<f64> {
    let id = cluster.client.submit(STEADY, &[format!("job.parallelism={PARALLELISM}")])?;
    cluster.client.wait_for(&id, "RUNNING", Duration::from_millis(2))?;
    let events = cluster.client.events(&id)?;
    let taken = events.first().with_context(|| format!("{id} has no events"))?;
    let running = events.iter().find(|event| event.kind == "state" && event.message == "RUNNING");
    let running = running.with_context(|| format!("no event says that {id} runs"))?;
    cluster.client.cancel(&id)?;
    Ok((running.at_ms - taken.at_ms) as f64)
}
