//! One job on two TaskManagers: every row arrives once, where its key says, and the job ends on both.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use wasmill_model::{
    fault::{Coded, Domain},
    ids::{self, Incarnation, JobId, Subtask, TaskManagerId},
    settings::Settings,
};
use wasmill_plugin::{Engine, EngineOptions, PluginStore, Worker, cache::Cache};
use wasmill_runtime::{
    Attempt, Job, Network, OnProgress, OperatorLog, Place, Placement, Progress, Wish,
    net::{ConnectionTotals, Options},
};

/// Rows of each of the two files.
const ROWS: usize = 30_000;

const JOB: &str = r#"
[job]
name = "split"
parallelism = 2

[source.s]
connector = "file"
path = "in-*.jsonl"
format = "json"
schema = { n = "int64", k = "utf8?", unread = "utf8", at = "timestamp" }
event_time = { column = "at" }

[sink.keyed]
input = "s"
key_by = ["k"]
connector = "file"
path = "keyed.jsonl"
format = "json"

[sink.all]
input = "s"
exchange = "broadcast"
connector = "file"
path = "all.jsonl"
format = "json"
"#;

fn job(folder: &Path, text: &str) -> Arc<Job> {
    let engine = Engine::new(&EngineOptions { pool_instances: 8, ..EngineOptions::default() }).expect("it starts");
    // No plugin is in the job, so no child is ever run.
    let worker = Worker::new("never-run", Vec::new());
    let plugins = PluginStore::new(engine, Cache::open(folder.join("cache")).expect("it can be made"), worker);
    let settings = Settings::parse(Path::new("job.toml"), text).expect("it is TOML");
    Arc::new(Job::prepare(&settings, folder, &plugins).expect("it is a job"))
}

fn network(taskmanager: u64) -> Network {
    Network::start(Options {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: None,
        cluster: "test".to_owned().into(),
        taskmanager: TaskManagerId(taskmanager),
        incarnation: Incarnation(1),
    })
    .expect("loopback can be listened on")
}

/// A job on two TaskManagers, subtask i of each chain on the i-th.
struct Split {
    networks: Vec<Network>,
    attempts: Vec<Attempt>,
    progress: Receiver<(usize, Subtask, Progress)>,
    subtasks: usize,
}

fn start(job: &Arc<Job>) -> Split {
    let networks = vec![network(1), network(2)];
    let place = |(id, network): (u64, &Network)| Place {
        taskmanager: TaskManagerId(id),
        incarnation: Incarnation(1),
        address: network.address().to_string(),
    };
    let places: Vec<Place> = (1..).zip(&networks).map(place).collect();
    let log: OperatorLog = Arc::new(|_, _, _| {});
    let (reports, progress) = channel();
    let chains = job.plan.chains.len();
    let attempts = networks.iter().enumerate().map(|(here, network)| {
        let subtasks: Vec<Subtask> =
            (0..chains).map(|chain| Subtask { chain: chain as u32, index: here as u32 }).collect();
        let placement = Placement {
            job: JobId(1),
            attempt: ids::Attempt(1),
            here: places[here].taskmanager,
            places: places.clone(),
        };
        let reports = reports.clone();
        let on_progress: OnProgress = Arc::new(move |subtask, progress| {
            // At the end of a test nobody listens any more.
            let _ = reports.send((here, subtask, progress));
        });
        Attempt::start(job, &subtasks, &placement, Some(network), None, &on_progress, &log)
    });
    let attempts = attempts.collect();
    Split { networks, attempts, progress, subtasks: 2 * chains }
}

impl Split {
    fn next(&self) -> (usize, Progress) {
        let (here, _, progress) = self.progress.recv_timeout(Duration::from_secs(60)).expect("something happens");
        (here, progress)
    }

    fn wait(&self, what: fn(&Progress) -> bool) {
        let mut left = self.subtasks;
        while left > 0 {
            let (_, progress) = self.next();
            assert!(!matches!(progress, Progress::Failed(_) | Progress::Stopped), "{progress:?}");
            left -= usize::from(what(&progress));
        }
    }
}

fn lines(folder: &Path, prefix: &str) -> Vec<Vec<String>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is there").path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    paths.sort();
    let read =
        |path: &std::path::PathBuf| fs::read_to_string(path).expect("it is text").lines().map(str::to_owned).collect();
    paths.iter().map(read).collect()
}

#[test]
fn a_job_runs_on_two_taskmanagers_as_on_one() {
    let folder = TempDir::new().expect("there is room");
    for file in 0..2 {
        let mut text = String::new();
        for n in (0..ROWS).map(|n| n * 2 + file) {
            let key = if n % 7 == 0 { "null".to_owned() } else { format!("\"a key of some length {}\"", n % 101) };
            writeln!(text, "{{\"n\": {n}, \"k\": {key}, \"unread\": \"x\", \"at\": {n}}}").expect("it is a string");
        }
        fs::write(folder.path().join(format!("in-{file}.jsonl")), text).expect("it can be written");
    }
    let split = start(&job(folder.path(), JOB));
    split.wait(|progress| matches!(progress, Progress::Prepared));
    assert!(split.attempts.iter().flat_map(Attempt::queued).all(|queued| (queued.batches, queued.bytes) == (0, 0)));
    split.attempts.iter().for_each(|attempt| attempt.raise(Wish::Commit));
    split.wait(|progress| matches!(progress, Progress::Committed));
    let number = |line: &String| -> usize {
        let rest = &line[line.find("\"n\":").expect("it has a number") + 4..];
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).expect("it is one")
    };
    let mut keyed = lines(folder.path(), "keyed");
    assert_eq!(keyed.len(), 2);
    let keys = |lines: &[String]| -> std::collections::BTreeSet<usize> {
        lines.iter().map(number).map(|n| if n % 7 == 0 { 1_000 } else { n % 101 }).collect()
    };
    assert!(keys(&keyed[0]).is_disjoint(&keys(&keyed[1])) && keys(&keyed[0]).len() + keys(&keyed[1]).len() == 102);
    let mut numbers: Vec<usize> = keyed.drain(..).flatten().map(|line| number(&line)).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..2 * ROWS));
    for all in lines(folder.path(), "all") {
        let mut numbers: Vec<usize> = all.iter().map(number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..2 * ROWS));
    }
    assert!(split.networks.iter().all(|network| network.connections().len() == 2));
}

#[test]
fn a_taskmanager_that_is_lost_fails_the_attempt_on_the_others() {
    let folder = TempDir::new().expect("there is room");
    let endless = r#"
[job]
name = "endless"
parallelism = 2

[source.bids]
connector = "nexmark"
events = 1000000000000
only_bids = true

[sink.out]
input = "bids.bids"
key_by = ["auction"]
connector = "blackhole"
"#;
    let split = start(&job(folder.path(), endless));
    split.wait(|progress| matches!(progress, Progress::Running));
    // Subtasks run before there are connections: one that ends before it has begun could not be made, and is not lost.
    let deadline = Instant::now() + Duration::from_secs(60);
    let stands = |totals: &ConnectionTotals| totals.outgoing && totals.frames_in > 0;
    while !split.networks[0].connections().iter().any(stands) {
        assert!(Instant::now() < deadline, "no connection is made");
        thread::park_timeout(Duration::from_millis(1));
    }
    split.networks[1].shut_down();
    let mut ended = 0;
    while ended < split.subtasks {
        match split.next() {
            (_, Progress::Failed(error)) => {
                assert_eq!((error.code().as_str(), error.domain()), ("exchange-lost", Domain::External), "{error}");
                ended += 1;
            }
            (_, Progress::Running) => {}
            (here, other) => panic!("{other:?} on {here}"),
        }
    }
}
