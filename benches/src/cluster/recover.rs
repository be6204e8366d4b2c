//! A TaskManager of a running job is killed, and there is a free slot elsewhere: how long until it runs again, and until
//! its status shows rows. That is told every half second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wasmill_rest::JobSummary;

use super::{
    Figure, Places, STEADY, Spread, Verdict,
    checkpoints::EVERY_SECOND,
    filled::{self, KEYS},
    processes::{Cluster, Size},
    wait,
};

/// One slot more than the job has subtasks of a chain.
const SIZE: Size = Size { taskmanagers: 3, slots: 1 };
const RUNS: usize = 7;
const DEMAND_SECONDS: f64 = 1.5;
/// With keys to restore.
const KEYS_DEMAND_SECONDS: f64 = 2.0;
const ROWS_PER_SECOND: u64 = 50_000;
const LOOK: Duration = Duration::from_millis(2);
/// What the first attempt does before its process is killed, many times what is told of the next one when it is first heard of,
/// so that the two are told apart.
const SECONDS: u64 = 4;

/// Seconds from the kill.
struct Recovery {
    until_running: f64,
    until_rows: f64,
}

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let mut cluster = Cluster::start(places, SIZE)?;
    let plain = (0..RUNS).map(|_| {
        let id = cluster.client.submit(STEADY, &[])?;
        run(&mut cluster, &id)
    });
    let plain = plain.collect::<Result<Vec<_>>>()?;
    filled::make(&cluster, EVERY_SECOND)?;
    let settings = filled::rows_at(ROWS_PER_SECOND, EVERY_SECOND);
    let keyed = (0..RUNS).map(|_| {
        let id = filled::go_on(&cluster, &settings)?;
        run(&mut cluster, &id)
    });
    let keyed = keyed.collect::<Result<Vec<_>>>()?;
    Ok(vec![figure("", DEMAND_SECONDS, &plain), figure(&format!(", {KEYS} keys"), KEYS_DEMAND_SECONDS, &keyed)])
}

fn figure(keys: &str, demand: f64, found: &[Recovery]) -> Figure {
    let rows = Spread::of(found.iter().map(|recovery| recovery.until_rows).collect());
    let running = Spread::of(found.iter().map(|recovery| recovery.until_running).collect());
    let Spread { median, max, .. } = rows;
    Figure {
        name: format!("a process of a job killed, {SIZE}{keys}: until its status shows rows again"),
        demand: format!("<= {demand} s"),
        measured: format!(
            "median {median:.2} s, longest of {RUNS} {max:.2} s; RUNNING after {:.2} s, at most {:.2} s",
            running.median, running.max
        ),
        verdict: Verdict::of(max <= demand),
        values: vec![
            ("median_seconds", median),
            ("max_seconds", max),
            ("running_median_seconds", running.median),
            ("running_max_seconds", running.max),
        ],
    }
}

/// One kill; the cluster is whole again afterwards.
fn run(cluster: &mut Cluster, id: &str) -> Result<Recovery> {
    let began = Instant::now();
    let before = wait("the first rows", LOOK, || {
        let is_so = |job: &JobSummary| job.rows_written > 0 && began.elapsed().as_secs() >= SECONDS;
        Ok(Some(cluster.client.job(id)?).filter(|job| is_so(&job.summary)))
    })?;
    let victim = before.subtasks.first().with_context(|| format!("{id} has no subtasks"))?;
    let place = cluster.place_of(&victim.worker)?;
    let killed = Instant::now();
    cluster.taskmanagers[place].kill()?;
    let until = |what: &str, is_so: &dyn Fn(&JobSummary) -> bool| {
        wait(what, LOOK, || {
            let job = cluster.client.job(id)?.summary;
            Ok((job.restarts >= 1 && job.state == "RUNNING" && is_so(&job)).then(|| killed.elapsed().as_secs_f64()))
        })
    };
    let until_running = until("another attempt", &|_| true)?;
    // Until the new attempt is heard of, the figures are those of the last one.
    let until_rows =
        until("rows of another attempt", &|job| (1..before.summary.rows_written).contains(&job.rows_written))?;
    cluster.client.cancel(id)?;
    cluster.restart(place)?;
    Ok(Recovery { until_running, until_rows })
}
