//! What checkpoints every second cost a keyed count and the latency of rows, and how soon a job with a million keys runs with
//! another parallelism.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use wasmill_rest::VertexKind;

use super::{
    Figure, Places, STEADY, Spread, Verdict,
    processes::{Cluster, Size},
    wait,
};

const JOB: &str = "examples/nexmark/keyed-count.toml";
const EVERY_SECOND: &str = "job.checkpoints={ interval = \"1s\", min_pause = \"100ms\" }";
const COUNTER: &str = "operator.count.plugin=keyed-counter@1";
const RUNS: usize = 3;
const LOOK: Duration = Duration::from_millis(2);

/// Keys, events of a run that takes several seconds, and the millions of events by CPU second that are demanded.
const COUNTS: [(u64, u64, f64); 2] = [(10_000, 200_000_000, 9.0), (1_000_000, 100_000_000, 4.0)];
/// Keys of the jobs below, and rows after which nearly all of them have come.
const KEYS: u64 = 1_000_000;
const FILLING_ROWS: u64 = 8_000_000;
const FILLING_RATE: u64 = 2_000_000;
const ROWS_PER_SECOND: u64 = 50_000;
const LATENCY_TIME: Duration = Duration::from_secs(20);
const LATENCY_DEMAND_MS: f64 = 3.0;
const RESCALES: [u32; 6] = [4, 2, 4, 2, 4, 2];
const RESCALE_DEMAND_SECONDS: f64 = 1.0;

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let mut figures = COUNTS.iter().map(|count| count_figure(places, *count)).collect::<Result<Vec<Figure>>>()?;
    let cluster = Cluster::start(places, Size { taskmanagers: 1, slots: 4 })?;
    let id = filled(&cluster)?;
    figures.push(latency_figure(&cluster, &id)?);
    figures.push(rescale_figure(&cluster, &id)?);
    Ok(figures)
}

/// A keyed count with and without them, in turn.
fn count_figure(places: &Places, (keys, events, demand): (u64, u64, f64)) -> Result<Figure> {
    let file = places.root.join(JOB);
    let job = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    let cluster = Cluster::start(places, Size { taskmanagers: 1, slots: 2 })?;
    let run = |events: u64, checkpoints: &str| -> Result<f64> {
        let source = [format!("source.nexmark.events={events}"), format!("source.nexmark.keys={keys}")];
        let set = [&source[..], &[COUNTER.to_owned(), checkpoints.to_owned()]].concat();
        let before = cluster.cpu_seconds()?;
        let id = cluster.client.submit(&job, &set)?;
        let done = cluster.client.wait_for(&id, "FINISHED", Duration::from_millis(50))?;
        ensure!(done.summary.rows_read == events, "{id} read {} rows, not {events}", done.summary.rows_read);
        Ok(events as f64 / (cluster.cpu_seconds()? - before) / 1e6)
    };
    // The first run has the TaskManager fetch the plugin, and is not counted.
    run(events / 10, EVERY_SECOND)?;
    let pairs = (0..RUNS).map(|_| Ok((run(events, EVERY_SECOND)?, run(events, "job.checkpoints=false")?)));
    let pairs = pairs.collect::<Result<Vec<(f64, f64)>>>()?;
    let Spread { min, median, max } = Spread::of(pairs.iter().map(|(with, _)| *with).collect());
    let loss = Spread::of(pairs.iter().map(|(with, without)| 100.0 * (1.0 - with / without)).collect());
    Ok(Figure {
        name: format!("keyed count of {keys} keys, a checkpoint every second: events by CPU second"),
        demand: format!(">= {demand} M"),
        measured: format!(
            "{median:.1} M ({min:.1} to {max:.1}); {:.0} % ({:.0} to {:.0}) fewer than without",
            loss.median, loss.min, loss.max
        ),
        verdict: Verdict::of(median >= demand),
        values: vec![("events_per_cpu_s", median * 1e6), ("loss_percent", loss.median)],
    })
}

/// A job whose keys have come, and that goes on slowly.
fn filled(cluster: &Cluster) -> Result<String> {
    let set =
        |rate: u64| [format!("source.bids.rate={rate}"), format!("source.bids.keys={KEYS}"), EVERY_SECOND.to_owned()];
    let id = cluster.client.submit(STEADY, &set(FILLING_RATE))?;
    wait("the keys", Duration::from_millis(50), || {
        Ok((cluster.client.job(&id)?.summary.rows_written >= FILLING_ROWS).then_some(()))
    })?;
    cluster.client.stop(&id, "filled")?;
    cluster.client.wait_for(&id, "STOPPED", LOOK)?;
    wait("the savepoint", LOOK, || Ok(cluster.client.job(&id)?.summary.savepoint))?;
    let id = cluster.client.submit_from(STEADY, &set(ROWS_PER_SECOND), "filled")?;
    cluster.client.wait_for(&id, "RUNNING", LOOK)?;
    Ok(id)
}

fn latency_figure(cluster: &Cluster, id: &str) -> Result<Figure> {
    thread::sleep(LATENCY_TIME);
    let job = cluster.client.job(id)?;
    let sink = job.vertices.into_iter().find(|vertex| vertex.kind == VertexKind::Sink);
    let metrics = sink.and_then(|sink| sink.metrics).with_context(|| format!("{id} has no sink with figures"))?;
    let latency = metrics.latency.with_context(|| format!("the sink of {id} has measured no row"))?;
    Ok(Figure {
        name: format!("{ROWS_PER_SECOND} rows/s, {KEYS} keys, a checkpoint every second: 99 of 100 rows took"),
        demand: format!("<= {LATENCY_DEMAND_MS} ms"),
        measured: format!(
            "{:.2} ms; a half {:.2} ms, 99.9 of 100 {:.1} ms",
            latency.p99_ms, latency.p50_ms, latency.p999_ms
        ),
        verdict: Verdict::of(latency.p99_ms <= LATENCY_DEMAND_MS),
        values: vec![("p50_ms", latency.p50_ms), ("p99_ms", latency.p99_ms), ("p999_ms", latency.p999_ms)],
    })
}

/// From when it is asked for until the job runs with the new parallelism; it takes a savepoint meanwhile.
fn rescale_figure(cluster: &Cluster, id: &str) -> Result<Figure> {
    let rescale = |parallelism: &u32| -> Result<f64> {
        let began = Instant::now();
        cluster.client.scale(id, *parallelism)?;
        Ok(began.elapsed().as_secs_f64())
    };
    let Spread { median, max, .. } = Spread::of(RESCALES.iter().map(rescale).collect::<Result<Vec<f64>>>()?);
    Ok(Figure {
        name: format!("{KEYS} keys, 2 subtasks to 4 and back: until it runs again"),
        demand: format!("<= {RESCALE_DEMAND_SECONDS} s"),
        measured: format!("median {median:.2} s, longest of {} {max:.2} s", RESCALES.len()),
        verdict: Verdict::of(max <= RESCALE_DEMAND_SECONDS),
        values: vec![("median_seconds", median), ("max_seconds", max)],
    })
}
