//! A cluster of processes that fail, and somebody who works on it: whatever had no answer is looked at, and asked for again.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::lives::Process;
use crate::{cluster::wasmill, process::target};

/// How long one thing may take to come, whatever fails meanwhile.
const DEADLINE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(30);
/// Leases are short, so that a JobManager that was killed is not waited for longer than it takes.
const CONFIG: &str = "[control]\nlease_ms = 1000\n";
/// And so are the times that a job waits for which has failed often.
const CONFIG_OF_JOBMANAGER: &str = "[control]\nlease_ms = 1000\nrestart_max_ms = 400\n";

/// The two roles, and the client.
pub(super) struct Clerk {
    folder: TempDir,
    url: String,
    job: PathBuf,
    /// The JobManager first.
    processes: Vec<Process>,
    /// All that jobs have told, as it was seen.
    pub(super) told: String,
}

impl Clerk {
    /// A JobManager and two TaskManagers of one slot each, with what is to happen in their lives.
    pub(super) fn start(job: &str, jobmanager: &[&'static str], taskmanagers: [&[&'static str]; 2]) -> Self {
        Self::start_with(job, jobmanager, taskmanagers, |_, _| Vec::new())
    }

    /// The same, and in the environment of each process is what follows from its name and the folder of them all.
    pub(super) fn start_with(
        job: &str,
        jobmanager: &[&'static str],
        taskmanagers: [&[&'static str]; 2],
        environment: impl Fn(&str, &Path) -> Vec<(&'static str, OsString)>,
    ) -> Self {
        let folder = TempDir::new().expect("temporary folders can be made");
        let at = |name: &str| folder.path().join(name);
        let plugins = format!("{}/", target().join("plugins").display());
        fs::write(at("job.toml"), job.replace("PLUGINS/", &plugins)).expect("the folder takes files");
        fs::write(at("config.toml"), CONFIG).expect("the folder takes files");
        fs::write(at("jobmanager.toml"), CONFIG_OF_JOBMANAGER).expect("the folder takes files");
        let address = free_address();
        let url = format!("http://{address}");
        let (data, config) = (at("jobmanager"), at("jobmanager.toml"));
        let of_jobmanager = environment("JobManager", folder.path());
        let start = move || {
            let mut command = wasmill(&["jobmanager", "--listen", &address, "--config"]);
            command.arg(&config).arg("--data-dir").arg(&data).envs(of_jobmanager.clone());
            command
        };
        let mut processes = vec![Process::start("JobManager", jobmanager, start)];
        for (shown, lives) in ["TaskManager 0", "TaskManager 1"].into_iter().zip(taskmanagers) {
            let (url, data, config) = (url.clone(), at(shown), at("config.toml"));
            let of_taskmanager = environment(shown, folder.path());
            let start = move || {
                let mut command = wasmill(&["taskmanager", "--slots", "1", "--jobmanager", &url, "--config"]);
                command.arg(&config).arg("--data-dir").arg(&data).envs(of_taskmanager.clone());
                command
            };
            processes.push(Process::start(shown, lives, start));
        }
        let job = at("job.toml");
        Self { folder, url, job, processes, told: String::new() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn pending(&self) -> Vec<String> {
        self.processes.iter().flat_map(Process::pending).collect()
    }

    /// Waits until all processes together have said lines that begin so, so often.
    pub(super) fn wait_until_said(&mut self, part: &str, times: usize) {
        self.until(&format!("{times} times {part}"), |clerk| {
            let lines = clerk.processes.iter().flat_map(Process::said);
            (lines.filter(|line| line.starts_with(part)).count() >= times).then_some(())
        });
    }

    /// Runs the job, unless it runs by now; its id.
    pub(super) fn deploy(&mut self, more: &[&str]) -> String {
        let job = self.job.display().to_string();
        self.until("the job to be taken", |clerk| {
            let there = clerk.json(&["list"])?;
            // Its answer was lost.
            let lives = |job: &&Value| !["FAILED", "STOPPED"].contains(&job["state"].as_str().unwrap_or_default());
            if let Some(job) = there["items"].as_array()?.iter().find(lives) {
                return job["id"].as_str().map(str::to_owned);
            }
            let taken = clerk.json(&[&["deploy", job.as_str(), "--no-wait"], more].concat())?;
            taken["id"].as_str().map(str::to_owned)
        })
    }

    /// Waits until a job is in a state.
    pub(super) fn wait_for(&mut self, id: &str, state: &str) {
        self.until(&format!("{id} {state}"), |clerk| {
            let detail = clerk.json(&["status", id])?;
            let now = detail["state"].as_str()?;
            let over = ["FINISHED", "FAILED", "CANCELLED", "STOPPED", "NEEDS_DECISION"].contains(&now);
            assert!(now == state || !over, "{id} is {now}, not {state}: {detail:#}");
            (now == state).then_some(())
        });
    }

    pub(super) fn wait_for_checkpoint(&mut self, id: &str) {
        self.until("a checkpoint", |clerk| {
            let detail = clerk.json(&["status", id])?;
            detail["checkpoints"]["completed"].as_str().map(drop)
        });
    }

    pub(super) fn savepoint(&mut self, id: &str, name: &str) {
        self.until("a savepoint", |clerk| {
            let made = clerk.run(&["savepoint", "create", id, "--name", name]).status.success();
            (made || clerk.has_savepoint(name)?).then_some(())
        });
    }

    pub(super) fn remove_savepoint(&mut self, name: &str) {
        self.until("a savepoint to be gone", |clerk| {
            clerk.run(&["savepoint", "rm", name]);
            (!clerk.has_savepoint(name)?).then_some(())
        });
    }

    pub(super) fn scale(&mut self, id: &str, count: u32) {
        let change = format!("{id}.count={count}");
        self.until("another parallelism", |clerk| clerk.run(&["scale", &change]).status.success().then_some(()));
    }

    /// Ends the job with a savepoint of this name, which is there then.
    pub(super) fn stop(&mut self, id: &str, name: &str) {
        self.until("the job to be stopped", |clerk| {
            clerk.run(&["stop", id, "--savepoint", name, "--timeout", "5s"]);
            let stopped = clerk.json(&["status", id])?["state"] == "STOPPED";
            (stopped && clerk.has_savepoint(name)?).then_some(())
        });
    }

    /// Takes a savepoint out, and in again under another name.
    pub(super) fn carry(&mut self, name: &str, other: &str) {
        let file = self.path(&format!("{name}.tar")).display().to_string();
        self.until("an export", |clerk| {
            let _ = fs::remove_file(&file);
            clerk.run(&["savepoint", "export", name, &file]).status.success().then_some(())
        });
        self.until("an import", |clerk| {
            clerk.run(&["savepoint", "import", &file, "--name", other]).status.success().then_some(())
        });
    }

    fn has_savepoint(&mut self, name: &str) -> Option<bool> {
        let listed = self.json(&["savepoint", "ls"])?;
        Some(listed["items"].as_array()?.iter().any(|savepoint| savepoint["name"] == name))
    }

    /// Keeps what is told of a job before its JobManager forgets it.
    pub(super) fn listen(&mut self, id: &str) {
        let told = self.run(&["events", id]).stdout;
        self.told.push_str(&String::from_utf8_lossy(&told));
    }

    fn json(&mut self, arguments: &[&str]) -> Option<Value> {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok())?
    }

    fn run(&mut self, arguments: &[&str]) -> Output {
        let mut command: Command = wasmill(arguments);
        command.args(["--server", &self.url]).current_dir(self.folder.path());
        let output = command.output().expect("the binary starts");
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            self.told.push_str(&format!("{arguments:?}: {why}"));
        }
        output
    }

    #[track_caller]
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not come in {DEADLINE:?}\n{}", self.shown());
            thread::sleep(LOOK);
        }
    }

    /// All that anybody has said.
    pub(super) fn shown(&self) -> String {
        let said = self.processes.iter().map(|process| process.said().join("\n"));
        let said = said.collect::<Vec<_>>().join("\n----\n");
        format!("pending: {:?}\n{said}\n----\n{}", self.pending(), self.told)
    }
}

/// All rows that can be seen in a folder, sorted. Nothing else may be there.
#[track_caller]
pub(super) fn visible(folder: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(name.starts_with("counts.") && name.ends_with(".jsonl"), "{name} is left");
        let text = fs::read_to_string(&path).expect("it can be read");
        assert!(text.ends_with('\n'), "{name} is not whole");
        rows.extend(text.lines().map(str::to_owned));
    }
    rows.sort();
    rows
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").to_string()
}
