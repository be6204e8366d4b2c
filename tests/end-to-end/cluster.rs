//! A cluster of real processes on loopback: a JobManager, TaskManagers, and the client's verbs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Running};

mod bank;
mod failures;
mod golden;
mod jobs;
mod local;
mod plugins;
mod recovery;
mod rescales;
mod savepoints;
mod security;
mod splits;
mod time;
mod travel;

/// How long a state may take to come, many times what any needs.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A JobManager and its TaskManagers; killed when it is dropped.
pub(crate) struct Cluster {
    folder: TempDir,
    pub(crate) url: String,
    jobmanager: Option<Running>,
    taskmanagers: Vec<Option<Running>>,
    slots: u32,
    /// Arguments of every client's verb.
    pub(crate) client: Vec<String>,
}

/// A verb of the binary, which knows of no context of whoever runs the tests.
pub(crate) fn wasmill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.args(arguments).env("WASMILL_CONFIG", "/nonexistent/config.toml");
    command
}

impl Cluster {
    /// A cluster of so many TaskManagers with so many slots each.
    pub(crate) fn start(taskmanagers: usize, slots: u32) -> Self {
        let folder = TempDir::new().expect("temporary folders can be made");
        let (jobmanager, url) = start_jobmanager(&folder.path().join("jobmanager"), "127.0.0.1:0", &[]);
        let client = vec!["--server".to_owned(), url.clone()];
        let mut cluster = Self { folder, url, jobmanager: Some(jobmanager), taskmanagers: Vec::new(), slots, client };
        for _ in 0..taskmanagers {
            cluster.add_taskmanager();
        }
        cluster.wait_for_workers(taskmanagers);
        cluster
    }

    pub(crate) fn add_taskmanager(&mut self) -> usize {
        self.taskmanagers.push(None);
        let place = self.taskmanagers.len() - 1;
        self.restart_taskmanager(place);
        place
    }

    fn taskmanager_folder(&self, place: usize) -> PathBuf {
        self.folder.path().join(format!("taskmanager-{place}"))
    }

    /// What the cluster calls a TaskManager.
    pub(crate) fn worker_id(&self, place: usize) -> String {
        let identity = fs::read(self.taskmanager_folder(place).join("identity.json")).expect("it has started");
        let identity: Value = serde_json::from_slice(&identity).expect("it is JSON");
        format!("taskmanager-{}", identity["taskmanager"])
    }

    pub(crate) fn restart_taskmanager(&mut self, place: usize) {
        let folder = self.taskmanager_folder(place);
        let mut command = wasmill(&["taskmanager", "--jobmanager", &self.url]);
        command.args(["--slots", &self.slots.to_string(), "--data-dir"]).arg(folder);
        self.taskmanagers[place] = Some(Running::start(command));
    }

    /// Kills a TaskManager and waits until it is gone.
    pub(crate) fn kill_taskmanager(&mut self, place: usize) {
        let running = self.taskmanagers[place].take().expect("it runs");
        running.signal(Signal::KILL);
        running.end();
    }

    pub(crate) fn signal_taskmanager(&self, place: usize, signal: Signal) {
        self.taskmanagers[place].as_ref().expect("it runs").signal(signal);
    }

    pub(crate) fn wait_for_taskmanager_to_say(&mut self, place: usize, part: &str) -> String {
        self.taskmanagers[place].as_mut().expect("it runs").wait_for_stderr(part)
    }

    pub(crate) fn end_taskmanager(&mut self, place: usize) -> Ended {
        let running = self.taskmanagers[place].take().expect("it runs");
        running.signal(Signal::TERM);
        running.end()
    }

    pub(crate) fn kill_jobmanager(&mut self) {
        let running = self.jobmanager.take().expect("it runs");
        running.signal(Signal::KILL);
        running.end();
    }

    /// Starts a JobManager on the same folder and address again.
    pub(crate) fn restart_jobmanager(&mut self) {
        let address = self.url.split("//").nth(1).expect("it is a URL").to_owned();
        let (running, _) = start_jobmanager(&self.jobmanager_folder(), &address, &[]);
        self.jobmanager = Some(running);
    }

    pub(crate) fn jobmanager_folder(&self) -> PathBuf {
        self.folder.path().join("jobmanager")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a job file; `PLUGINS/` becomes the folder of the plugins.
    pub(crate) fn put_job(&self, name: &str, job: &str) -> PathBuf {
        let plugins = format!("{}/", crate::process::target().join("plugins").display());
        let path = self.path(name);
        fs::write(&path, job.replace("PLUGINS/", &plugins)).expect("the folder takes files");
        path
    }

    /// Runs a client's verb to its end.
    #[track_caller]
    pub(crate) fn client(&self, arguments: &[&str]) -> Ended {
        let mut command = wasmill(arguments);
        command.args(&self.client).current_dir(self.folder.path());
        Running::start(command).end()
    }

    /// The JSON that a client's verb prints; it must succeed.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.client(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", ended.stdout))
    }

    /// Deploys a job, without waiting; its id.
    #[track_caller]
    pub(crate) fn deploy(&self, job: &Path, more: &[&str]) -> String {
        let job = job.display().to_string();
        let arguments = [&["deploy", job.as_str(), "--no-wait"], more].concat();
        self.json(&arguments)["id"].as_str().expect("a job has an id").to_owned()
    }

    /// The JobManager's figures, as Prometheus gets them.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let address = self.url.split("//").nth(1).expect("it is a URL");
        let mut stream = TcpStream::connect(address).expect("it listens");
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Waits until a job is in a state.
    #[track_caller]
    pub(crate) fn wait_for(&self, id: &str, state: &str) -> Value {
        self.wait(&format!("{id} {state}"), || {
            let ended = self.client(&["status", id, "-o", "json"]);
            let detail: Value = serde_json::from_str(&ended.stdout).ok()?;
            let now = detail["state"].as_str()?.to_owned();
            let over = ["FINISHED", "FAILED", "CANCELLED", "STOPPED"].contains(&now.as_str());
            assert!(now == state || !over, "{id} is {now}, not {state}: {detail:#}");
            (now == state).then_some(detail)
        })
    }

    #[track_caller]
    pub(crate) fn wait_for_workers(&self, count: usize) {
        self.wait(&format!("{count} workers"), || {
            let workers = self.client(&["workers", "-o", "json"]);
            let workers: Value = serde_json::from_str(&workers.stdout).ok()?;
            let found = workers.as_array().or_else(|| workers["items"].as_array())?.len();
            (found == count).then_some(())
        });
    }

    /// Looks until something is there.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not come in {DEADLINE:?}");
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for running in self.taskmanagers.iter().chain([&self.jobmanager]).flatten() {
            running.kill();
        }
    }
}

/// Starts a JobManager; its URL once it is ready.
pub(crate) fn start_jobmanager(folder: &Path, listen: &str, more: &[&str]) -> (Running, String) {
    let mut command = wasmill(&["jobmanager", "--listen", listen, "--data-dir"]);
    command.arg(folder).args(more);
    let mut running = Running::start(command);
    let line = running.wait_for_stderr("JobManager is ready at");
    let url = line.trim().rsplit(' ').next().expect("the line ends with the URL").to_owned();
    (running, url)
}
