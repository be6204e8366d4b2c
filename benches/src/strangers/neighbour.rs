//! What a job gets done beside each hostile guest, compared with what it gets done beside one that passes all rows on, in
//! one process.
//!
//! Two clusters share the engine. The neighbour's threads are pinned to one core, those of the guest's job to another, so
//! that what is compared is not the share of a core but what two cores share: caches, locks, address space, interrupts.
//! A job that has failed is begun again at once.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use wasmill_cluster::{Cluster, JobHandle};
use wasmill_control::jobmanager::JobState;
use wasmill_hostile::template;
use wasmill_model::settings::Settings;
use wasmill_plugin::{Engine, PluginStore, cache::Cache, worker::Worker};
use wasmill_runtime::Job;

use super::{Figure, Places, Verdict};

const DEMAND_PERCENT: f64 = 90.0;

/// How long each look at the neighbour is.
const WINDOW: Duration = Duration::from_millis(50);

/// Looks at the neighbour beside each guest, each after one beside the idle guest.
const ROUNDS: usize = 4;

/// Of guests beside which less than the demand was seen, which a busy machine makes many: the looks that count.
const CAREFUL_ROUNDS: usize = 30;

/// Guests that are looked at carefully, those with the least first.
const CAREFUL: usize = 10;

/// How long a job may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is seen whether the hostile job has ended, to begin it again.
const STEP: Duration = Duration::from_millis(2);

const NEIGHBOUR: &str = r#"
[job]
name = "neighbour"
[source.bids]
connector = "nexmark"
only_bids = true
[operator.o]
plugin = "PLUGIN"
input = "bids.bids"
[sink.out]
input = "o"
connector = "blackhole"
"#;

/// The same, for one that is not trusted.
const GUEST: &str = r#"
[job]
name = "guest"
[source.bids]
connector = "nexmark"
only_bids = true
rate = 200000
[operator.o]
plugin = "PLUGIN"
input = "bids.bids"
key_by = ["auction"]
on_error = "skip"
limits = { call_deadline = "60ms", state = "64KiB", timers = 500 }
[sink.out]
input = "o"
connector = "blackhole"
"#;

/// What the neighbour got done beside a guest, as a part of what it got done beside the idle one, in percent.
struct Beside {
    guest: String,
    by_cpu: f64,
    by_wall: f64,
}

pub(crate) fn figures(places: &Places, engine: &Engine) -> Result<Vec<Figure>> {
    let all = sched_getaffinity(None).context("could not ask for the cores of this process")?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).take(2).collect();
    let &[mine, theirs] = cores.as_slice() else { bail!("a neighbour needs a core of its own, and there is one") };
    let found = on_two_cores(places, engine, mine, theirs);
    sched_setaffinity(None, &all).context("could not take all cores again")?;
    let (found, refused) = found?;
    let least = &found[0];
    let by_wall = found.iter().min_by(|a, b| a.by_wall.total_cmp(&b.by_wall)).expect("there are guests");
    let middle = found[found.len() / 2].by_cpu;
    let mut figures = vec![Figure {
        name: format!("a neighbour of each of {} hostile guests ({refused} more are refused), at least", found.len()),
        demand: format!(">= {DEMAND_PERCENT} %"),
        measured: format!("{:.1} % ({}), median {middle:.1} %", least.by_cpu, least.guest),
        verdict: Verdict::of(least.by_cpu >= DEMAND_PERCENT),
        values: vec![("percent_min", least.by_cpu), ("percent_median", middle)],
    }];
    figures.push(Figure {
        name: "  the same by the clock, the rest of the machine included".to_owned(),
        demand: String::new(),
        measured: format!("{:.1} % ({})", by_wall.by_wall, by_wall.guest),
        verdict: Verdict::None,
        values: vec![("wall_percent_min", by_wall.by_wall)],
    });
    figures.extend(found.iter().take(SHOWN).map(|Beside { guest, by_cpu, by_wall }| Figure {
        name: format!("  beside {guest}"),
        demand: String::new(),
        measured: format!("{by_cpu:.1} %, by the clock {by_wall:.1} %"),
        verdict: Verdict::None,
        values: vec![("percent", *by_cpu), ("wall_percent", *by_wall)],
    }));
    Ok(figures)
}

/// Guests that are shown one by one.
const SHOWN: usize = 6;

fn on_two_cores(places: &Places, engine: &Engine, mine: usize, theirs: usize) -> Result<(Vec<Beside>, usize)> {
    let cache = Cache::open(places.folder.join("strangers-cache")).context("could not make a cache")?;
    let program = std::env::current_exe().context("could not find this program")?;
    let store = PluginStore::new(engine.clone(), cache, Worker::new(program, vec![super::WORKER.to_owned()]));
    let converter = places.plugin("currency-converter").display().to_string();
    let well_behaved = prepare(&NEIGHBOUR.replace("PLUGIN", &converter), &store)?;
    // Threads run where the thread that started them ran then.
    let cluster = |core| -> Result<Cluster> {
        pin(core)?;
        Ok(Cluster::start(1, Arc::new(|_, _, _| {}))?)
    };
    let (ours, others) = (cluster(mine)?, cluster(theirs)?);
    let neighbour = Neighbour { handle: ours.submit(Arc::clone(&well_behaved)), job: well_behaved };
    wait(&neighbour.handle, |state| *state == JobState::Running)?;
    let wasm = places.folder.join("stranger.wasm");
    let plugin = wasm.display().to_string();
    let prepare_guest = |component: Vec<u8>| {
        fs::write(&wasm, component).with_context(|| format!("could not write {plugin}"))?;
        prepare(&GUEST.replace("PLUGIN", &plugin), &store)
    };
    let idle = prepare_guest(template::component("")?)?;
    let (mut jobs, mut refused) = (Vec::new(), 0);
    for guest in guests(places)? {
        match prepare_guest(template::guest(&guest)?) {
            Ok(job) => jobs.push((guest, job)),
            Err(_) => refused += 1,
        }
    }
    let mut found = Vec::new();
    for (guest, job) in &jobs {
        found.push(beside(&neighbour, &others, guest, [&idle, job], ROUNDS)?);
    }
    sort(&mut found);
    for seen in found.iter_mut().take(CAREFUL).filter(|seen| seen.by_cpu < DEMAND_PERCENT) {
        let (guest, job) = jobs.iter().find(|(guest, _)| *guest == seen.guest).expect("it was found among them");
        *seen = beside(&neighbour, &others, guest, [&idle, job], CAREFUL_ROUNDS)?;
    }
    sort(&mut found);
    neighbour.handle.cancel();
    wait(&neighbour.handle, JobState::is_terminal)?;
    Ok((found, refused))
}

fn sort(found: &mut [Beside]) {
    found.sort_by(|a, b| a.by_cpu.total_cmp(&b.by_cpu));
}

/// The job that is to be left in peace. It runs all the time.
struct Neighbour {
    handle: JobHandle,
    job: Arc<Job>,
}

/// What it got done in some time.
#[derive(Default)]
struct Done {
    rows: u64,
    cpu_ns: u64,
    wall: Duration,
}

impl Neighbour {
    /// Adds what it gets done in a window of time in which another job runs.
    fn look(&self, others: &Cluster, name: &str, job: &Arc<Job>, done: &mut Done) -> Result<()> {
        let mut handle = others.submit(Arc::clone(job));
        let (before, began) = (self.so_far(), Instant::now());
        while began.elapsed() < WINDOW {
            if handle.next_state(STEP).is_some_and(|state| state.is_terminal()) {
                handle = others.submit(Arc::clone(job));
            }
        }
        let (after, wall) = (self.so_far(), began.elapsed());
        handle.cancel();
        wait_for_any_end(&handle).with_context(|| format!("the job of {name} does not end"))?;
        done.rows += after.0 - before.0;
        done.cpu_ns += after.1 - before.1;
        done.wall += wall;
        Ok(())
    }

    /// Rows that its vertices have emitted, and their CPU time, in ns.
    fn so_far(&self) -> (u64, u64) {
        let totals = self.job.counters.iter().map(|counters| counters.totals());
        totals.fold((0, 0), |(rows, cpu_ns), totals| (rows + totals.rows_out, cpu_ns + totals.cpu_ns))
    }
}

/// The neighbour beside the first and the second of these jobs in turn.
fn beside(
    neighbour: &Neighbour,
    others: &Cluster,
    guest: &str,
    [idle, hostile]: [&Arc<Job>; 2],
    rounds: usize,
) -> Result<Beside> {
    let (mut quiet, mut disturbed) = (Done::default(), Done::default());
    for _ in 0..rounds {
        neighbour.look(others, "the idle guest", idle, &mut quiet)?;
        neighbour.look(others, guest, hostile, &mut disturbed)?;
    }
    let by_cpu = |done: &Done| done.rows as f64 / done.cpu_ns.max(1) as f64;
    let by_wall = |done: &Done| done.rows as f64 / done.wall.as_secs_f64();
    let percent = |rate: fn(&Done) -> f64| 100.0 * rate(&disturbed) / rate(&quiet).max(f64::MIN_POSITIVE);
    Ok(Beside { guest: guest.to_owned(), by_cpu: percent(by_cpu), by_wall: percent(by_wall) })
}

fn wait_for_any_end(handle: &JobHandle) -> Result<()> {
    while !handle.next_state(PATIENCE).context("a job does not go on")?.is_terminal() {}
    Ok(())
}

/// The names of all hostile guests, in order.
fn guests(places: &Places) -> Result<Vec<String>> {
    let folder = places.root.join("tests/guests/hostile");
    let listed = fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "wat") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn prepare(text: &str, store: &PluginStore) -> Result<Arc<Job>> {
    let settings = Settings::parse("job.toml".as_ref(), text)?;
    Ok(Arc::new(Job::prepare(&settings, "/".as_ref(), store)?))
}

fn wait(handle: &JobHandle, until: impl Fn(&JobState) -> bool) -> Result<()> {
    loop {
        let state = handle.next_state(PATIENCE).context("a job does not go on")?;
        if until(&state) {
            return Ok(());
        }
        if let JobState::Failed(cause) = state {
            bail!("a job failed: {}", cause.message);
        }
    }
}

/// From now on this thread, and what it starts, runs on one core.
fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("could not run on core {core}"))
}
