//! `wasmill dev`: a job that is built and started again whenever its file, or the source of one of its operators, changes.
//!
//! One thread, the main one, owns the running job. Each change starts an attempt on a thread of its own, which builds and
//! checks; only an attempt that gives a job that can run replaces the one that is running.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{self, Receiver, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use wasmill_cli::INTERRUPTED;
use wasmill_cluster::{Cluster, JobHandle};
use wasmill_control::jobmanager::JobState;
use wasmill_model::{fault::Code, graph::Role};
use wasmill_plugin::PluginStore;
use wasmill_runtime::Job;

use crate::{
    Output,
    error::Error,
    plugins, refused,
    report::Report,
    status::Status,
    tell,
    terminal::{Color, Terminal},
};

mod attempt;
mod samples;
mod watch;

use attempt::{Attempt, Made, Order};
use watch::Watch;

/// How often signals, changes and the job's state are looked at.
const TICK: Duration = Duration::from_millis(50);

/// A change is taken up when nothing has changed for so long: editors write several files for one save.
const QUIET: Duration = Duration::from_millis(60);

/// How long a job may take to end that is replaced. Its calls end by their own deadlines.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How often rows are counted in a line where there is no terminal for a status line.
const COUNT_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The job file.
    job: PathBuf,
    /// Sets a value of the job file, for example `--set job.parallelism=2`. Paths set so are relative to the current
    /// folder.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Builds, runs and watches until a signal.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match Session::start(arguments).and_then(Session::watch) {
        Ok(()) => ExitCode::from(INTERRUPTED),
        Err(error) => refused(&error, Output::Table),
    }
}

/// A job that runs or has ended.
struct Running {
    handle: JobHandle,
    job: Arc<Job>,
    status: Status,
    started: Instant,
    ended: bool,
    counted_at: Instant,
    counted: (u64, u64),
    // Behind the handle, which it must outlive.
    _cluster: Cluster,
}

struct Session {
    order: Order,
    store: Arc<PluginStore>,
    watch: Watch,
    attempt: Option<Receiver<Attempt>>,
    /// What the job that was started last was made of.
    made_of: Option<Made>,
    /// When the last change was seen that no attempt has taken up.
    changed_at: Option<Instant>,
    running: Option<Running>,
}

impl Session {
    fn start(arguments: &Arguments) -> Result<Self, Error> {
        let shown = arguments.job.display();
        let job = std::fs::canonicalize(&arguments.job)
            .map_err(|e| Error::new(Code::JobFileUnreadable, format!("could not read job file {shown}: {e}")))?;
        let store = Arc::new(plugins::store(arguments.cache.as_deref())?);
        let order = Order { job: arguments.job.clone(), set: arguments.set.clone() };
        let watch = Watch::new(job).map_err(|e| no_resources(&e))?;
        let begin = Instant::now().checked_sub(QUIET);
        Ok(Self { order, store, watch, attempt: None, made_of: None, changed_at: begin, running: None })
    }

    /// Until a signal.
    fn watch(self) -> Result<(), Error> {
        self.until_signal().map_err(|e| no_resources(&e))
    }

    fn until_signal(mut self) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("could not wait for signals")?;
        while signals.pending().next().is_none() {
            if self.watch.changed() {
                self.changed_at = Some(Instant::now());
            }
            if self.attempt.is_none() && self.changed_at.is_some_and(|at| at.elapsed() >= QUIET) {
                self.changed_at = None;
                self.attempt = Some(self.begin_attempt()?);
            }
            self.take_attempt()?;
            self.look_after_job();
        }
        if let Some(running) = self.running.take() {
            running.stop();
        }
        Ok(())
    }

    fn begin_attempt(&mut self) -> anyhow::Result<Receiver<Attempt>> {
        if let Some(running) = &self.running {
            // Cargo writes where the line is.
            running.status.clear();
        }
        let (order, store, made_of) = (self.order.clone(), Arc::clone(&self.store), self.made_of.clone());
        let (sender, receiver) = mpsc::channel();
        let attempt = move || {
            // Nobody listens any more if the program is ending.
            let _ = sender.send(Attempt::make(&order, &store, made_of.as_ref()));
        };
        thread::Builder::new().name("attempt".into()).spawn(attempt).context("could not start a thread to build")?;
        Ok(receiver)
    }

    /// Takes up what has come of an attempt, if it is over.
    fn take_attempt(&mut self) -> anyhow::Result<()> {
        let Some(receiver) = &self.attempt else { return Ok(()) };
        let attempt = match receiver.try_recv() {
            Ok(attempt) => attempt,
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that builds has ended"),
        };
        self.attempt = None;
        self.watch.follow(&attempt.files)?;
        match attempt.job {
            Ok(Some((job, made_of))) => {
                self.made_of = Some(made_of);
                if let Some(running) = self.running.take() {
                    running.stop();
                }
                self.running = Some(Running::start(job)?);
            }
            Ok(None) => {
                tell("nothing has changed for the job\n");
                self.go_on();
            }
            Err(error) => {
                tell(&error.shown());
                self.go_on();
            }
        }
        Ok(())
    }

    /// Says what happens to the job that was there before.
    fn go_on(&mut self) {
        match &mut self.running {
            Some(running) if !running.ended => {
                running.status = Status::new(&running.job, Color::Auto, running.started);
                tell(&format!("job {} keeps running as it was\n", running.job.graph.name));
            }
            _ => tell("waiting for changes; Ctrl-C ends\n"),
        }
    }

    /// Shows how the job gets on; takes a tick.
    fn look_after_job(&mut self) {
        let building = self.attempt.is_some();
        let Some(running) = self.running.as_mut().filter(|running| !running.ended) else {
            thread::sleep(TICK);
            return;
        };
        let Some(state) = running.handle.next_state(TICK) else {
            if !building {
                running.show_rows();
            }
            return;
        };
        if state.is_terminal() {
            running.end(&state, self.order.job.parent().unwrap_or(Path::new("")));
            tell("waiting for changes; Ctrl-C ends\n");
        }
    }
}

impl Running {
    fn start(job: Job) -> anyhow::Result<Self> {
        let job = Arc::new(job);
        for warning in &job.graph.warnings {
            tell(&format!("warning: {warning}\n"));
        }
        let started = Instant::now();
        let status = Status::new(&job, Color::Auto, started);
        tell(&format!("running job {}\n", job.graph.name));
        let cluster = Cluster::start(job.graph.slots(), status.operator_log()).context("could not start the job")?;
        let handle = cluster.submit(job.clone());
        let (ended, counted) = (false, (0, 0));
        Ok(Self { handle, job, status, started, ended, counted_at: started, counted, _cluster: cluster })
    }

    /// The status line, or where there is no terminal a line now and then.
    fn show_rows(&mut self) {
        if std::io::stderr().is_terminal() {
            self.status.draw(&self.job);
            return;
        }
        if self.counted_at.elapsed() < COUNT_EVERY {
            return;
        }
        self.counted_at = Instant::now();
        let counted = rows(&self.job);
        if counted != self.counted {
            self.counted = counted;
            tell(&format!("{}: {} rows read, {} rows written\n", self.job.graph.name, counted.0, counted.1));
        }
    }

    fn end(&mut self, state: &JobState, base: &Path) {
        self.ended = true;
        self.status.clear();
        tell(&Report::new(&self.job, state, self.started.elapsed()).table(&Terminal::stderr(Color::Auto)));
        match state {
            JobState::Failed(cause) => tell(&Error::new(cause.code, cause.message.as_str()).shown()),
            _ => tell(&samples::of(&self.job, base)),
        }
    }

    /// Ends the job, without results, if it has not ended.
    fn stop(self) {
        self.status.clear();
        if self.ended {
            return;
        }
        self.handle.cancel();
        let until = Instant::now() + END_WITHIN;
        while Instant::now() < until {
            if self.handle.next_state(TICK).is_some_and(|state| state.is_terminal()) {
                return;
            }
        }
        tell(&format!(
            "job {} has not ended within {} s: it is left behind\n",
            self.job.graph.name,
            END_WITHIN.as_secs()
        ));
    }
}

/// The system refuses what is needed to go on.
fn no_resources(error: &anyhow::Error) -> Error {
    Error::new(Code::SystemResources, format!("{error:#}"))
}

/// Rows that sources have read and sinks have got.
fn rows(job: &Job) -> (u64, u64) {
    let mut rows = (0, 0);
    for (vertex, counters) in job.graph.vertices.iter().zip(&job.counters) {
        match vertex.role {
            Role::Source { .. } => rows.0 += counters.totals().rows_out,
            Role::Sink => rows.1 += counters.totals().rows_in,
            Role::Operator { .. } => {}
        }
    }
    rows
}
