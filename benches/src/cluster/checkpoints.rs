//! What checkpoints every second cost a keyed count and the latency of rows, and how soon a job with a million keys runs with
//! another parallelism, or with another plugin.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use wasmill_rest::VertexKind;

use super::{
    Figure, Places, STEADY, Spread, Verdict,
    filled::{self, KEYS},
    processes::{Cluster, Size},
};

const JOB: &str = "examples/nexmark/keyed-count.toml";
pub(super) const EVERY_SECOND: &str = "job.checkpoints={ interval = \"1s\", min_pause = \"100ms\" }";
const COUNTER: &str = "operator.count.plugin=keyed-counter@1";
const COUNTER_NAME: &str = "keyed-counter";
const RUNS: usize = 3;

/// Keys, events of a run that takes several seconds, and the millions of events by CPU second that are demanded.
const COUNTS: [(u64, u64, f64); 2] = [(10_000, 200_000_000, 9.0), (1_000_000, 100_000_000, 4.0)];
const ROWS_PER_SECOND: u64 = 50_000;
const LATENCY_TIME: Duration = Duration::from_secs(20);
const LATENCY_DEMAND_MS: f64 = 3.0;
const RESCALES: [u32; 6] = [4, 2, 4, 2, 4, 2];
const UPGRADES: usize = 6;
/// Of a rescale and of an upgrade.
const PAUSE_DEMAND_SECONDS: f64 = 1.0;
/// Of all keys, those whose rows come: all of them within any second.
const CHANGING: u64 = KEYS / 10;
const CHANGES: u64 = 200_000_000;
const LOSS_DEMAND_PERCENT: f64 = 10.0;
/// A job that begins from a savepoint takes checkpoints.
const ONE_AT_THE_END: &str = "job.checkpoints={ interval = \"1h\" }";
/// More than any machine makes.
const AS_FAST_AS_POSSIBLE: u64 = 1_000_000_000;

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let mut figures = COUNTS.iter().map(|count| count_figure(places, *count)).collect::<Result<Vec<Figure>>>()?;
    let cluster = Cluster::start(places, Size { taskmanagers: 1, slots: 4 })?;
    filled::make(&cluster, EVERY_SECOND)?;
    figures.push(loss_figure(&cluster)?);
    let id = filled::go_on(&cluster, &filled::rows_at(ROWS_PER_SECOND, EVERY_SECOND))?;
    figures.push(latency_figure(&cluster, &id)?);
    figures.push(rescale_figure(&cluster, &id)?);
    figures.push(upgrade_figure(places, &cluster, &id)?);
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

/// Rows of a tenth of the keys that the state has, as fast as they can, with checkpoints and with none but the last, in turn.
fn loss_figure(cluster: &Cluster) -> Result<Figure> {
    let run = |checkpoints: &str| -> Result<(f64, f64)> {
        let settings = [
            format!("source.bids.rate={AS_FAST_AS_POSSIBLE}"),
            format!("source.bids.keys={CHANGING}"),
            format!("source.bids.events={}", filled::ROWS + CHANGES),
            "operator.count.config={ emit = \"final\" }".to_owned(),
            checkpoints.to_owned(),
        ];
        let before = cluster.cpu_seconds()?;
        let id = filled::go_on(cluster, &settings)?;
        let began = Instant::now();
        cluster.client.wait_for(&id, "FINISHED", Duration::from_millis(20))?;
        Ok((cluster.cpu_seconds()? - before, began.elapsed().as_secs_f64()))
    };
    let pairs = (0..RUNS).map(|_| Ok((run(EVERY_SECOND)?, run(ONE_AT_THE_END)?)));
    let pairs = pairs.collect::<Result<Vec<_>>>()?;
    let loss = |of: fn((f64, f64)) -> f64| {
        Spread::of(pairs.iter().map(|(with, without)| 100.0 * (1.0 - of(*without) / of(*with))).collect())
    };
    let (by_cpu, by_clock) = (loss(|(cpu, _)| cpu), loss(|(_, clock)| clock));
    Ok(Figure {
        name: format!("{CHANGING} of {KEYS} keys change, a checkpoint every second: fewer rows by CPU second"),
        demand: format!("<= {LOSS_DEMAND_PERCENT} %"),
        measured: format!(
            "{:.1} % ({:.1} to {:.1}); by the clock {:.1} % ({:.1} to {:.1})",
            by_cpu.median, by_cpu.min, by_cpu.max, by_clock.median, by_clock.min, by_clock.max
        ),
        verdict: Verdict::of(by_cpu.median <= LOSS_DEMAND_PERCENT),
        values: vec![("loss_percent", by_cpu.median), ("loss_percent_by_clock", by_clock.median)],
    })
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
    let rescale = |parallelism: &u32| seconds(|| cluster.client.scale(id, *parallelism));
    let pauses = RESCALES.iter().map(rescale).collect::<Result<Vec<f64>>>()?;
    Ok(pause_figure(format!("{KEYS} keys, 2 subtasks to 4 and back: until it runs again"), pauses))
}

/// The same with another version of the plugin, which the TaskManager has to fetch.
fn upgrade_figure(places: &Places, cluster: &Cluster, id: &str) -> Result<Figure> {
    let upgrade = |version: usize| {
        let wasm = fs::read(places.plugin(COUNTER_NAME)).context("could not read the plugin")?;
        cluster.client.push_version(&another(wasm, version), COUNTER_NAME, version)?;
        let mut settings = filled::rows_at(ROWS_PER_SECOND, EVERY_SECOND);
        settings.push(format!("operator.count.plugin={COUNTER_NAME}@{version}"));
        seconds(|| cluster.client.replace(id, STEADY, &settings))
    };
    let pauses = (2..2 + UPGRADES).map(upgrade).collect::<Result<Vec<f64>>>()?;
    Ok(pause_figure(format!("{KEYS} keys, another version of the plugin: until it runs again"), pauses))
}

/// The same component with other bytes: a custom section more, of one byte and a name of one letter, which means nothing.
fn another(mut wasm: Vec<u8>, version: usize) -> Vec<u8> {
    wasm.extend([0, 3, 1, b'v', version as u8]);
    wasm
}

fn seconds(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed().as_secs_f64())
}

fn pause_figure(name: String, pauses: Vec<f64>) -> Figure {
    let times = pauses.len();
    let Spread { median, max, .. } = Spread::of(pauses);
    Figure {
        name,
        demand: format!("<= {PAUSE_DEMAND_SECONDS} s"),
        measured: format!("median {median:.2} s, longest of {times} {max:.2} s"),
        verdict: Verdict::of(max <= PAUSE_DEMAND_SECONDS),
        values: vec![("median_seconds", median), ("max_seconds", max)],
    }
}
