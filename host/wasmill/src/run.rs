//! `wasmill run`: a job in this process, from the job file to the table of what each operator did.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use wasmill_cli::INTERRUPTED;
use wasmill_cluster::Cluster;
use wasmill_connectors::similar_file;
use wasmill_control::{jobmanager::JobState, message::Cause};
use wasmill_model::{
    fault::{Code, Domain},
    graph::Role,
    settings::Settings,
    time::parse_duration,
};
use wasmill_plugin::Recorder;
use wasmill_runtime::{Bounds, Job};

use crate::{
    Output,
    error::Error,
    job_drawing, plugins, refused, report, show,
    status::Status,
    tell,
    terminal::{Color, Terminal},
};

mod redirect;

/// How often the status line is drawn and signals are looked for.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The job file.
    job: PathBuf,
    /// Sets a value of the job file, for example `--set job.parallelism=2`. Paths set so are relative to the current
    /// folder.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Lets the one source of the job read this file instead; `-` is standard input. Its name says the format.
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    /// Lets the one sink of the job write this file instead; `-` is standard output. Its name says the format.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Lets the sources end after so many rows in all; what was read is still handled.
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    /// Lets the sources end after this time, for example `15s`; what was read is still handled.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    run_for: Option<Duration>,
    /// Shows the checked job with its chains, exchanges and schemas, and does not run it.
    #[arg(long)]
    explain: bool,
    /// How to print what each vertex did: as a table to standard error, or as JSON to standard output; to standard
    /// error, if rows go to standard output.
    #[arg(short = 'o', long = "report", value_name = "FORM", value_enum, default_value_t = Output::Table)]
    report: Output,
    /// When to use colours.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Saves the first calls of each operator that fail in this folder, a file each, for `wasmill replay`.
    #[arg(long, value_name = "DIR")]
    capsule: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 500ms, 15s or 2m".to_owned())
}

/// How a run ended.
struct End {
    state: JobState,
    interrupted: bool,
}

/// Runs a job.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let job = match prepare(arguments) {
        Ok(job) => Arc::new(job),
        Err(error) => return refused(&error, arguments.report),
    };
    for warning in &job.graph.warnings {
        tell(&format!("warning: {warning}\n"));
    }
    for (sink, files) in job.leftovers() {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let files = files.join(", ");
        tell(&format!(
            "warning: beside the files of `{sink}` lies what a run with another parallelism wrote: {files}\n  \
             hint: remove it, or whoever reads all of them reads old rows too\n"
        ));
    }
    if arguments.explain {
        return show(&match arguments.report {
            Output::Table => job_drawing::draw(&job, &Terminal::stdout(arguments.color)),
            Output::Json => format!("{}\n", job_drawing::json(&job)),
        });
    }
    let started = Instant::now();
    let status = Status::new(&job, arguments.color, started);
    let end = match watch(arguments, &job, &status) {
        Ok(end) => end,
        Err(error) => {
            let error = Error::new(Code::SystemResources, format!("could not start the job: {error}"));
            return refused(&error, arguments.report);
        }
    };
    status.clear();
    if let JobState::Failed(Cause { domain: Domain::Nobody, .. }) = end.state
        && job.graph.vertices.iter().filter(|vertex| matches!(vertex.role, Role::Sink)).count() == 1
    {
        // Whoever read the only results has seen enough of them, as `head` does.
        return ExitCode::SUCCESS;
    }
    let report = report::Report::new(&job, &end.state, started.elapsed());
    let shown = match arguments.report {
        Output::Table => {
            tell(&report.table(&Terminal::stderr(arguments.color)));
            ExitCode::SUCCESS
        }
        // Standard output is for rows alone.
        Output::Json if job.writes_stdout() => {
            tell(&format!("{}\n", report.json()));
            ExitCode::SUCCESS
        }
        Output::Json => show(&format!("{}\n", report.json())),
    };
    match end.state {
        JobState::Failed(cause) => {
            tell(&Error::new(cause.code, cause.message.as_str()).shown());
            ExitCode::FAILURE
        }
        _ if end.interrupted => ExitCode::from(INTERRUPTED),
        _ => shown,
    }
}

fn prepare(arguments: &Arguments) -> Result<Job, Error> {
    let path = &arguments.job;
    let mut settings = Settings::parse(path, &read(path)?)?;
    for assignment in &arguments.set {
        settings.set(assignment)?;
    }
    if let Some(file) = &arguments.input {
        redirect::input(&mut settings, file)?;
    }
    if let Some(file) = &arguments.output {
        redirect::output(&mut settings, file)?;
    }
    let mut plugins = plugins::store(arguments.cache.as_deref())?;
    if let Some(folder) = &arguments.capsule {
        plugins = plugins.recorded_by(Recorder::new(folder)?);
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let job = Job::prepare(&settings, base, &plugins)?;
    Ok(job.bounded_by(Bounds { rows: arguments.limit, time: arguments.run_for }))
}

/// The text of the job file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|e| {
        let hint = match similar_file(path) {
            _ if path.is_dir() => "\n  hint: name the file in it, such as `job.toml`".to_owned(),
            Some(near) => format!("\n  hint: did you mean `{near}`?"),
            None => String::new(),
        };
        Error::new(Code::JobFileUnreadable, format!("could not read job file {}: {e}{hint}", path.display()))
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let byte = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
        let message = format!("could not read {}:{line}: byte {byte} of the line is not UTF-8", path.display());
        Error::new(Code::JobFileNotUtf8, format!("{message}\n  hint: save the file as UTF-8"))
    })
}

/// Runs a job to its end. The first interrupt lets the sources end, the second throws the job away, the third waits for
/// nothing.
fn watch(arguments: &Arguments, job: &Arc<Job>, status: &Status) -> std::io::Result<End> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let cluster = Cluster::start(job.graph.slots(), status.operator_log())?;
    let handle = cluster.submit(job.clone());
    let mut deadline = arguments.run_for.and_then(|time| Instant::now().checked_add(time));
    let mut interrupts = 0;
    loop {
        for _ in signals.pending() {
            interrupts += 1;
            match interrupts {
                1 => {
                    let message =
                        "interrupted: the sources end, what was read is still handled; again to throw it away";
                    status.print(message);
                    handle.drain();
                }
                2 => {
                    status.print("thrown away: calls under way are interrupted; again to wait for nothing");
                    handle.cancel();
                }
                // Something does not come back: a file that is a pipe, an output that nobody reads.
                _ => std::process::exit(INTERRUPTED.into()),
            }
        }
        if deadline.take_if(|at| *at <= Instant::now()).is_some() {
            handle.drain();
        }
        if let Some(state) = handle.next_state(TICK)
            && state.is_terminal()
        {
            return Ok(End { state, interrupted: interrupts > 0 });
        }
        status.draw(job);
    }
}
