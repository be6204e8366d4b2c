//! Starts `wasmill` on a job file in a folder of its own, and waits for it with a deadline.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// When a process that has not ended is taken to hang. Many times what any run here needs.
const DEADLINE: Duration = Duration::from_secs(120);

/// The folder of everything that is built.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// An operator as `cargo xtask plugins` left it.
pub(crate) fn plugin(name: &str) -> String {
    let path = target().join("plugins").join(format!("{name}.wasm"));
    assert!(path.is_file(), "there is no {}: run `cargo xtask plugins` first", path.display());
    path.display().to_string()
}

/// One folder of compiled plugins for all tests.
pub(crate) fn cache() -> PathBuf {
    target().join("end-to-end-cache")
}

/// A folder with a job file, its input and its output.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    /// A folder with this job in it; `PLUGINS/` becomes the folder of the plugins.
    pub(crate) fn new(job: &str) -> Self {
        let bench = Self { folder: TempDir::new().expect("temporary folders can be made") };
        bench.put_job(job);
        bench
    }

    /// Puts another job in its place.
    pub(crate) fn put_job(&self, job: &str) {
        let plugins = format!("{}/", target().join("plugins").display());
        self.put("job.toml", job.replace("PLUGINS/", &plugins));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the folder takes files");
    }

    /// `wasmill run job.toml`, to be given more arguments.
    pub(crate) fn command(&self) -> Command {
        run_of(&self.path("job.toml"))
    }

    /// Runs the job.
    #[track_caller]
    pub(crate) fn run(&self, sets: &[&str]) -> Ended {
        let mut command = self.command();
        for set in sets {
            command.args(["--set", set]);
        }
        Running::start(command).end()
    }

    /// Runs the job, which must succeed.
    #[track_caller]
    pub(crate) fn succeed(&self, sets: &[&str]) -> Ended {
        let ended = self.run(sets);
        assert_eq!(ended.code, Some(0), "{sets:?}\n{}", ended.stderr);
        ended
    }

    /// Runs the job, which must fail while it runs.
    #[track_caller]
    pub(crate) fn fail(&self, sets: &[&str]) -> String {
        let ended = self.run(sets);
        assert_eq!(ended.code, Some(1), "{sets:?}\n{}", ended.stderr);
        ended.stderr
    }

    /// Runs the job, which must be refused; returns the message.
    #[track_caller]
    pub(crate) fn refused(&self, sets: &[&str]) -> String {
        let ended = self.run(sets);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{sets:?}\n{}", ended.stderr);
        ended.stderr
    }

    /// The text of a file of the folder.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The rows of a file of JSON lines.
    #[track_caller]
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        rows(&self.text(name))
    }

    /// The rows of all files `PREFIX.SUBTASK.jsonl`.
    #[track_caller]
    pub(crate) fn rows_of_all(&self, prefix: &str, parallelism: usize) -> Vec<Value> {
        match parallelism {
            1 => self.rows(&format!("{prefix}.jsonl")),
            _ => (0..parallelism).flat_map(|i| self.rows(&format!("{prefix}.{i}.jsonl"))).collect(),
        }
    }

    /// The names of all files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// `wasmill run` of a job file.
pub(crate) fn run_of(job: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.arg("run").arg(job).arg("--cache").arg(cache());
    command
}

/// Rows of JSON lines.
#[track_caller]
pub(crate) fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// How often each row occurs, whatever their order.
pub(crate) fn counted(rows: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.to_string()).or_insert(0) += 1;
    }
    counts
}

/// A process whose output is being read.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    seen: Ended,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::over(command.spawn().expect("the binary starts"))
    }

    /// A process that was started with an output of its own.
    pub(crate) fn over(mut child: Child) -> Self {
        let stdout = child.stdout.take().map_or_else(|| mpsc::channel().1, |out| lines(Box::new(out)));
        let stderr = lines(Box::new(child.stderr.take().expect("it was piped")));
        let seen = Ended { code: None, stdout: String::new(), stderr: String::new() };
        Self { child, stdout, stderr, seen }
    }

    /// Waits for a line of standard output.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&mut self, part: &str) {
        wait(&self.stdout, &mut self.seen.stdout, part, &mut self.child);
    }

    /// Waits for a line of standard error, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&mut self, part: &str) -> String {
        wait(&self.stderr, &mut self.seen.stderr, part, &mut self.child)
    }

    /// Kills the process, if it still runs.
    pub(crate) fn kill(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Waits for the end of the process. One that does not end is killed, and the test fails.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        for (from, to) in [(&self.stdout, &mut self.seen.stdout), (&self.stderr, &mut self.seen.stderr)] {
            while let Some(line) = receive(from, deadline, &mut self.child) {
                to.push_str(&line);
            }
        }
        self.seen.code = self.child.wait().expect("it is our child").code();
        self.seen
    }
}

#[track_caller]
fn wait(from: &Receiver<String>, to: &mut String, part: &str, child: &mut Child) -> String {
    let deadline = Instant::now() + DEADLINE;
    while let Some(line) = receive(from, deadline, child) {
        to.push_str(&line);
        if line.contains(part) {
            return line;
        }
    }
    panic!("it ended without saying {part}: {to}");
}

/// The next line; `None` at the end.
#[track_caller]
fn receive(from: &Receiver<String>, deadline: Instant, child: &mut Child) -> Option<String> {
    match from.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(line) => Some(line),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            child.kill().expect("it is our child");
            panic!("process {} did not end in {DEADLINE:?}", child.id());
        }
    }
}

/// The lines of a pipe, read by a thread so that the process never waits for us.
fn lines(from: Box<dyn Read + Send>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}
