//! A TaskManager of a running job is killed, and there is a free slot elsewhere: how long until it runs again, and until
//! its status shows rows. That is told every half second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wasmill_rest::JobSummary;

use super::{
    Figure, Places, STEADY, Spread, Verdict,
    processes::{Cluster, Size},
    wait,
};

/// One slot more than the job has subtasks of a chain.
const SIZE: Size = Size { taskmanagers: 3, slots: 1 };
const RUNS: usize = 7;
const DEMAND_SECONDS: f64 = 1.5;
const LOOK: Duration = Duration::from_millis(2);
/// Rows that the first attempt has written when its process is killed: more than the next one can have written when it is first
/// heard of, so that the two are told apart.
const ROWS: u64 = 20_000;

/// Seconds from the kill.
struct Recovery {
    until_running: f64,
    until_rows: f64,
}

pub(crate) fn figure(places: &Places) -> Result<Figure> {
    let mut cluster = Cluster::start(places, SIZE)?;
    let found = (0..RUNS).map(|_| run(&mut cluster)).collect::<Result<Vec<_>>>()?;
    let rows = Spread::of(found.iter().map(|recovery| recovery.until_rows).collect());
    let running = Spread::of(found.iter().map(|recovery| recovery.until_running).collect());
    let Spread { median, max, .. } = rows;
    Ok(Figure {
        name: format!("a process of a job killed, {SIZE}: until its status shows rows again"),
        demand: format!("<= {DEMAND_SECONDS} s"),
        measured: format!(
            "median {median:.2} s, longest of {RUNS} {max:.2} s; RUNNING after {:.2} s, at most {:.2} s",
            running.median, running.max
        ),
        verdict: Verdict::of(max <= DEMAND_SECONDS),
        values: vec![
            ("median_seconds", median),
            ("max_seconds", max),
            ("running_median_seconds", running.median),
            ("running_max_seconds", running.max),
        ],
    })
}

/// One kill; the cluster is whole again afterwards.
fn run(cluster: &mut Cluster) -> Result<Recovery> {
    let id = cluster.client.submit(STEADY, &[])?;
    let before = wait("the first rows", LOOK, || {
        Ok(Some(cluster.client.job(&id)?).filter(|job| job.summary.rows_written >= ROWS))
    })?;
    let victim = before.subtasks.first().with_context(|| format!("{id} has no subtasks"))?;
    let place = cluster.place_of(&victim.worker)?;
    let killed = Instant::now();
    cluster.taskmanagers[place].kill()?;
    let until = |what: &str, is_so: fn(&JobSummary) -> bool| {
        wait(what, LOOK, || {
            let job = cluster.client.job(&id)?.summary;
            Ok((job.restarts == 1 && job.state == "RUNNING" && is_so(&job)).then(|| killed.elapsed().as_secs_f64()))
        })
    };
    let until_running = until("another attempt", |_| true)?;
    // Until the new attempt is heard of, the figures are those of the last one.
    let until_rows = until("rows of another attempt", |job| (1..ROWS).contains(&job.rows_written))?;
    cluster.client.cancel(&id)?;
    cluster.restart(place)?;
    Ok(Recovery { until_running, until_rows })
}
