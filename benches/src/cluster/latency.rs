//! How long rows take from when the source hands them over until the sink has written them, at a steady rate: within one
//! TaskManager, and where half of the rows cross to another.

use std::time::Duration;

use anyhow::{Context, Result};
use wasmill_rest::{LatencyDetail, VertexKind};

use super::{
    Figure, Places, STEADY, Spread, Verdict,
    processes::{Cluster, Size},
};

const ROWS_PER_SECOND: u64 = 50_000;
const SECONDS: u64 = 20;
const RUNS: usize = 3;

/// Where it is run, and what 99 of 100 rows may take, ms.
const CASES: [(Size, f64); 2] = [(Size { taskmanagers: 1, slots: 2 }, 1.0), (Size { taskmanagers: 2, slots: 1 }, 2.0)];

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    CASES.iter().map(|&(size, demand_ms)| figure(places, size, demand_ms)).collect()
}

fn figure(places: &Places, size: Size, demand_ms: f64) -> Result<Figure> {
    let cluster = Cluster::start(places, size)?;
    let found = (0..RUNS).map(|_| run(&cluster)).collect::<Result<Vec<_>>>()?;
    let of = |what: fn(&LatencyDetail) -> f64| Spread::of(found.iter().map(what).collect());
    let [p50, p99, p999] = [of(|l| l.p50_ms), of(|l| l.p99_ms), of(|l| l.p999_ms)];
    Ok(Figure {
        name: format!("{ROWS_PER_SECOND} rows/s, {size}: 99 of 100 rows took"),
        demand: format!("<= {demand_ms} ms"),
        measured: format!(
            "{:.2} ms ({:.2} to {:.2}); a half {:.2} ms, 99.9 of 100 {:.1} ms",
            p99.median, p99.min, p99.max, p50.median, p999.median
        ),
        verdict: Verdict::of(p99.median <= demand_ms),
        values: vec![
            ("p50_ms", p50.median),
            ("p99_ms", p99.median),
            ("p99_ms_min", p99.min),
            ("p99_ms_max", p99.max),
            ("p999_ms", p999.median),
        ],
    })
}

fn run(cluster: &Cluster) -> Result<LatencyDetail> {
    let events = ROWS_PER_SECOND * SECONDS;
    let set = [format!("source.bids.rate={ROWS_PER_SECOND}"), format!("source.bids.events={events}")];
    let id = cluster.client.submit(STEADY, &set)?;
    // Whoever looks often keeps busy what is measured.
    let done = cluster.client.wait_for(&id, "FINISHED", Duration::from_secs(1))?;
    let sink = done.vertices.into_iter().find(|vertex| vertex.kind == VertexKind::Sink);
    let metrics = sink.and_then(|sink| sink.metrics).with_context(|| format!("{id} has no sink with figures"))?;
    metrics.latency.with_context(|| format!("the sink of {id} has measured no row"))
}
