//! What an exchange costs: a keyed count at parallelism 2 on one TaskManager, where batches go by reference, and on two, where
//! half of the rows go over a connection on loopback. Both data planes are in this process, so that its CPU time is that of both.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use wasmill_model::{
    ids::{Attempt as Number, Incarnation, JobId, Subtask, TaskManagerId},
    settings::Settings,
};
use wasmill_plugin::{Engine, EngineOptions, PluginStore, Worker, cache::Cache};
use wasmill_runtime::{
    Attempt, Job, Network, OnProgress, OperatorLog, Place, Placement, Progress, Wish, net::Options as NetOptions,
};

use crate::strangers;

/// Both keep a connection each way busy.
const PARALLELISM: u64 = 2;

/// Runs the count on one and on two TaskManagers in turn, and shows each.
pub(crate) fn run(events: u64, repeat: usize) -> Result<()> {
    for round in 0..repeat as u64 {
        for taskmanagers in [1, 2] {
            let job = prepare(events)?;
            let (cpu, wall) = measure(&job, taskmanagers, round)?;
            let per_second = events as f64 / cpu.as_secs_f64() / 1e6;
            let ns = cpu.as_nanos() as f64 / events as f64;
            println!(
                "keyed count, {taskmanagers} TaskManager(s): {per_second:.2} M events per CPU second, {ns:.1} ns an event, {:.2} s",
                wall.as_secs_f64()
            );
        }
    }
    Ok(())
}

fn prepare(events: u64) -> Result<Arc<Job>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file: PathBuf = root.join("examples/nexmark/keyed-count.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    let mut settings = Settings::parse(&file, &text)?;
    settings.set(&format!("source.nexmark.events={events}"))?;
    let program = std::env::current_exe().context("could not find this program")?;
    let engine = Engine::new(&EngineOptions::default())?;
    let cache = Cache::open(root.join("target/bench-cache"))?;
    let plugins = PluginStore::new(engine, cache, Worker::new(program, vec![strangers::WORKER.into()]));
    Ok(Arc::new(Job::prepare(&settings, &root.join("examples/nexmark"), &plugins)?))
}

/// CPU time of the process and time, from start to commit.
fn measure(job: &Arc<Job>, taskmanagers: u64, round: u64) -> Result<(Duration, Duration)> {
    let networks = (1..=taskmanagers).map(|id| {
        Network::start(NetOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
            cluster: "bench".to_owned().into(),
            taskmanager: TaskManagerId(id),
            incarnation: Incarnation(round),
        })
    });
    let networks = networks.collect::<Result<Vec<_>, _>>()?;
    let place = |index: u64| {
        let id = index % taskmanagers;
        let address = networks[id as usize].address().to_string();
        Place { taskmanager: TaskManagerId(id + 1), incarnation: Incarnation(round), address }
    };
    let places: Vec<Place> = (0..PARALLELISM).map(place).collect();
    let (reports, progress) = mpsc::channel();
    let on_progress: OnProgress = Arc::new(move |_, progress| {
        // Behind a failure nobody listens.
        let _ = reports.send(progress);
    });
    let log: OperatorLog = Arc::new(|_, _, _| {});
    let (cpu, wall) = (process_cpu(), Instant::now());
    let all = |here: u64| {
        let mine = (0..PARALLELISM as u32).filter(move |index| u64::from(*index) % taskmanagers == here);
        let chains = job.plan.chains.len() as u32;
        mine.flat_map(move |index| (0..chains).map(move |chain| Subtask { chain, index })).collect::<Vec<_>>()
    };
    let attempts = networks.iter().zip(0..).map(|(network, here)| {
        let (job_id, attempt, places) = (JobId(1), Number(1), places.clone());
        let placement = Placement { job: job_id, attempt, here: TaskManagerId(here + 1), places };
        Attempt::start(job, &all(here), &placement, Some(network), None, &on_progress, &log)
    });
    let attempts: Vec<Attempt> = attempts.collect();
    let subtasks = job.plan.chains.len() * PARALLELISM as usize;
    wait(&progress, subtasks, |progress| matches!(progress, Progress::Prepared))?;
    attempts.iter().for_each(|attempt| attempt.raise(Wish::Commit));
    wait(&progress, subtasks, |progress| matches!(progress, Progress::Committed))?;
    Ok((process_cpu() - cpu, wall.elapsed()))
}

fn wait(progress: &mpsc::Receiver<Progress>, mut left: usize, what: fn(&Progress) -> bool) -> Result<()> {
    while left > 0 {
        match progress.recv().context("all subtasks are gone")? {
            Progress::Failed(error) => bail!("{error}"),
            now => left -= usize::from(what(&now)),
        }
    }
    ensure!(left == 0, "more subtasks than there are");
    Ok(())
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
