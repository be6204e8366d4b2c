//! A running bank goes from each parallelism up to eight to each other one, while rows flow, and now and then a process is killed before
//! it has got there. What comes out is, sorted, byte for byte what comes out of a run that nobody disturbed.
//!
//! Balances, entries of maps and timers move with their keys; files that sinks have open change hands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{
    cluster::{Cluster, bank::bank, recovery::manifests, savepoints::succeed, wasmill},
    process::{Running, run_of},
};

const PARALLELISM_MAX: u32 = 8;
/// More than flow while the walk takes as long as it may.
const EVENTS: &str = "source.bids.events=120000";
const SLOWLY: &str = "source.bids.rate=1000";
/// What is left of the job, without waiting for its time.
const AT_ONCE: &str = "source.bids.rate=1000000";

/// Who is killed while the job goes to another parallelism.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    JobManager,
    /// The TaskManager at this place.
    TaskManager(usize),
}

/// What has just happened when somebody is killed.
#[derive(Clone, Copy)]
enum Moment {
    /// The client has been started; its request is on its way or there.
    Asked,
    /// A checkpoint has become complete, after which the job may be stopped.
    Stored,
    /// The new form is in the catalogue; the job is stopping, or begins again.
    Written,
}

/// A closed path that leads from each parallelism to each other one once, by Hierholzer's algorithm.
fn walk() -> Vec<u32> {
    let all = || (1..=PARALLELISM_MAX).rev();
    let mut left: BTreeMap<u32, Vec<u32>> =
        all().map(|from| (from, all().filter(|to| *to != from).collect())).collect();
    let (mut open, mut path) = (vec![1], Vec::new());
    while let Some(&at) = open.last() {
        match left.get_mut(&at).and_then(Vec::pop) {
            Some(next) => open.push(next),
            None => path.extend(open.pop()),
        }
    }
    path.reverse();
    path
}

#[test]
fn the_walk_takes_each_step_once() {
    let path = walk();
    let steps: BTreeSet<(u32, u32)> = path.windows(2).map(|step| (step[0], step[1])).collect();
    let pairs = (1..=PARALLELISM_MAX).flat_map(|from| (1..=PARALLELISM_MAX).map(move |to| (from, to)));
    assert_eq!(steps, pairs.filter(|(from, to)| from != to).collect());
    assert_eq!((path.len(), path[0], path[56]), (57, 1, 1));
}

/// A bank that is being rescaled.
struct Walker {
    cluster: Cluster,
    id: String,
    /// The part of the job that is, or else all of it.
    part: Option<&'static str>,
}

impl Walker {
    fn detail(&self) -> Value {
        self.cluster.json(&["status", &self.id])
    }

    /// How parallel the part is that changes. Sinks are as parallel as all of the job.
    fn parallelism(&self, detail: &Value) -> u64 {
        let vertices = detail["vertices"].as_array().expect("a list");
        let name = self.part.unwrap_or("bookings");
        let vertex = vertices.iter().find(|vertex| vertex["name"] == name).expect("the job has it");
        vertex["parallelism"].as_u64().expect("a number")
    }

    fn scaling(&self, to: u32) -> String {
        self.part.map_or_else(|| format!("{}={to}", self.id), |part| format!("{}.{part}={to}", self.id))
    }

    /// Waits until rows have gone through all of the running attempt, and says how parallel it is.
    #[track_caller]
    fn wait_for_rows(&self) -> u64 {
        self.cluster.wait("rows that are written", || {
            let detail = self.cluster.wait_for(&self.id, "RUNNING");
            (detail["rows_written"].as_u64()? > 0).then(|| self.parallelism(&detail))
        })
    }

    #[track_caller]
    fn go(&self, to: u32) {
        succeed(&self.cluster, &["scale", &self.scaling(to)]);
    }

    /// Goes to another parallelism while a process is killed. Who asked may get no answer, or an error, and asks again.
    #[track_caller]
    fn go_although(&mut self, to: u32, victim: Victim, moment: Moment) {
        let before = (self.newest_checkpoint(), self.detail()["version"].as_u64());
        let mut command = wasmill(&["scale", &self.scaling(to)]);
        command.args(&self.cluster.client);
        let asking = Running::start(command);
        match moment {
            Moment::Asked => {}
            Moment::Stored => {
                self.cluster.wait("a checkpoint", || (self.newest_checkpoint() > before.0).then_some(()));
            }
            Moment::Written => {
                self.cluster.wait("a version", || (self.detail()["version"].as_u64() > before.1).then_some(()));
            }
        }
        match victim {
            Victim::JobManager => {
                self.cluster.kill_jobmanager();
                self.cluster.restart_jobmanager();
            }
            Victim::TaskManager(place) => self.cluster.kill_taskmanager(place),
        }
        asking.end();
        while self.wait_for_rows() != u64::from(to) {
            self.cluster.client(&["scale", &self.scaling(to)]);
        }
        if let Victim::TaskManager(place) = victim {
            self.cluster.restart_taskmanager(place);
            self.cluster.wait_for_workers(3);
        }
    }

    fn newest_checkpoint(&self) -> Option<u64> {
        manifests(&self.cluster, &self.id).last().map(|(number, _)| *number)
    }
}

/// All lines of all files that can be seen in a folder, sorted.
fn lines(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").path());
    let mut lines = Vec::new();
    for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")) {
        let text = fs::read_to_string(&path).expect("it can be read");
        assert!(text.is_empty() || text.ends_with('\n'), "{} is not whole", path.display());
        lines.extend(text.lines().map(str::to_owned));
    }
    lines.sort();
    lines
}

/// What comes out where nothing happens.
#[track_caller]
fn undisturbed(cluster: &Cluster, job: &Path) -> Vec<String> {
    let mut command = run_of(job);
    for setting in
        [EVENTS, "sink.bookings.path=\"plain/bookings.jsonl\"", "sink.balances.path=\"plain/balances.jsonl\""]
    {
        command.args(["--set", setting]);
    }
    command.current_dir(cluster.path(""));
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    lines(&cluster.path("plain"))
}

/// Takes the whole walk. A process is killed at the steps that are named by their number.
#[track_caller]
fn check(part: Option<&'static str>, kills: &[(usize, Victim, Moment)]) {
    let cluster = Cluster::start(3, 4);
    let job = cluster.put_job("job.toml", &bank());
    let expected = undisturbed(&cluster, &job);
    let begin = part.map_or_else(|| "job.parallelism=1".to_owned(), |part| format!("operator.{part}.parallelism=1"));
    let all = if part.is_some() { "job.parallelism=2" } else { &begin };
    let set = ["--set", EVENTS, "--set", "job.checkpoints.interval=\"200ms\"", "--set", all, "--set", &begin];
    let id = cluster.deploy(&job, &[&set[..], &["--set", SLOWLY]].concat());
    let mut walker = Walker { cluster, id, part };
    let path = walk();
    for (number, step) in path.windows(2).enumerate() {
        assert_eq!(walker.wait_for_rows(), u64::from(step[0]), "before step {number} to {}", step[1]);
        match kills.iter().find(|(at, ..)| *at == number) {
            Some((_, victim, moment)) => walker.go_although(step[1], *victim, *moment),
            None => walker.go(step[1]),
        }
    }
    let Walker { cluster, id, .. } = walker;
    let replace = ["deploy", "job.toml", "--replace", &id, "--set", AT_ONCE];
    succeed(&cluster, &[&replace[..], &set].concat());
    cluster.wait_for(&id, "FINISHED");
    let found = lines(&cluster.path("out"));
    let differ = expected.iter().zip(&found).find(|(expected, found)| expected != found);
    assert!(found == expected, "{} rows instead of {}; the first: {differ:?}", found.len(), expected.len());
}

#[test]
fn all_of_a_job_goes_from_each_parallelism_to_each_other_and_every_row_is_there_once() {
    let kills = [
        (9, Victim::TaskManager(0), Moment::Asked),
        (23, Victim::JobManager, Moment::Stored),
        (38, Victim::TaskManager(1), Moment::Written),
    ];
    check(None, &kills);
}

#[test]
fn an_operator_goes_from_each_parallelism_to_each_other_and_every_row_is_there_once() {
    let kills = [
        (11, Victim::JobManager, Moment::Written),
        (27, Victim::TaskManager(2), Moment::Stored),
        (44, Victim::JobManager, Moment::Asked),
    ];
    check(Some("accounts"), &kills);
}
