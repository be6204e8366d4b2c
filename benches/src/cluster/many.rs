//! Two hundred small jobs on one TaskManager: how long they take to start and to end, and what both processes hold and do meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use super::{
    Figure, Places, SETTLE, STEADY, Spread, Verdict,
    process::{Held, Process},
    processes::{Cluster, Size},
    wait,
};

const JOBS: usize = 200;
const PARALLELISM: u32 = 4;
const ROWS_PER_SECOND: u64 = 20;
const SIZE: Size = Size { taskmanagers: 1, slots: 800 };
/// Over which CPU time is measured.
const WATCHED: Duration = Duration::from_secs(5);
const LISTS: usize = 20;
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn figures(places: &Places) -> Result<Vec<Figure>> {
    let cluster = Cluster::start(places, SIZE)?;
    thread::sleep(SETTLE);
    let before = held(&cluster)?;
    let began = Instant::now();
    let set = [format!("job.parallelism={PARALLELISM}"), format!("source.bids.rate={ROWS_PER_SECOND}")];
    let ids = (0..JOBS).map(|_| cluster.client.submit(STEADY, &set)).collect::<Result<Vec<_>>>()?;
    wait_for_all(&cluster, "RUNNING")?;
    let started = began.elapsed();
    let shares = cpu_shares(&cluster)?;
    let running = held(&cluster)?;
    let list = (0..LISTS).map(|_| list_ms(&cluster)).collect::<Result<_>>()?;
    let began = Instant::now();
    ids.iter().try_for_each(|id| cluster.client.ask_to_cancel(id))?;
    wait_for_all(&cluster, "CANCELLED")?;
    let ended = began.elapsed();
    thread::sleep(SETTLE);
    let after = held(&cluster)?;
    let mut figures = vec![time(&format!("{JOBS} jobs of parallelism {PARALLELISM}, {SIZE}: until all run"), started)];
    for (place, name) in ["JobManager", "TaskManager"].into_iter().enumerate() {
        figures.push(memory(&format!("  {name} before"), &before[place]));
        figures.push(with_cpu(memory(&format!("  {name} while they run"), &running[place]), shares[place]));
        figures.push(memory(&format!("  {name} after them"), &after[place]));
    }
    figures.push(list_figure(Spread::of(list)));
    figures.push(time("  all cancelled: until they have ended", ended));
    Ok(figures)
}

/// The JobManager, then the TaskManager.
fn processes(cluster: &Cluster) -> [&Process; 2] {
    [&cluster.jobmanager, &cluster.taskmanagers[0]]
}

fn held(cluster: &Cluster) -> Result<Vec<Held>> {
    processes(cluster).into_iter().map(Process::held).collect()
}

/// CPU seconds a second of each.
fn cpu_shares(cluster: &Cluster) -> Result<Vec<f64>> {
    let look = || processes(cluster).into_iter().map(Process::cpu_seconds).collect::<Result<Vec<_>>>();
    let (began, before) = (Instant::now(), look()?);
    thread::sleep(WATCHED);
    let (after, seconds) = (look()?, began.elapsed().as_secs_f64());
    Ok(after.iter().zip(before).map(|(after, before)| (after - before) / seconds).collect())
}

fn list_ms(cluster: &Cluster) -> Result<f64> {
    let began = Instant::now();
    let jobs = cluster.client.jobs()?.len();
    let elapsed = began.elapsed();
    ensure!(jobs == JOBS, "the list has {jobs} jobs, not {JOBS}");
    Ok(elapsed.as_secs_f64() * 1e3)
}

fn wait_for_all(cluster: &Cluster, state: &str) -> Result<()> {
    wait(&format!("{JOBS} jobs {state}"), LOOK, || {
        let jobs = cluster.client.jobs()?;
        if let Some(failed) = jobs.iter().find(|job| job.state == "FAILED") {
            bail!("{} has failed: {:?}", failed.id, failed.cause);
        }
        Ok(jobs.iter().all(|job| job.state == state).then_some(()))
    })
}

fn time(name: &str, time: Duration) -> Figure {
    let seconds = time.as_secs_f64();
    plain(name, format!("{seconds:.2} s"), vec![("seconds", seconds)])
}

fn memory(name: &str, held: &Held) -> Figure {
    plain(name, held.to_string(), held.values())
}

fn with_cpu(mut figure: Figure, share: f64) -> Figure {
    figure.measured.push_str(&format!(", {:.0} % of a core", 100.0 * share));
    figure.values.push(("cpu_seconds_per_second", share));
    figure
}

fn list_figure(Spread { median, max, .. }: Spread) -> Figure {
    let measured = format!("median {median:.1} ms, longest of {LISTS} {max:.1} ms");
    plain("  GET /v1/jobs, all of them", measured, vec![("median_ms", median), ("max_ms", max)])
}

/// One of which nothing is demanded.
fn plain(name: &str, measured: String, values: Vec<(&'static str, f64)>) -> Figure {
    Figure { name: name.to_owned(), demand: String::new(), measured, verdict: Verdict::None, values }
}
