//! `wasmill status`: a job with the figures of its vertices.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use console::Term;
use serde_json::Value;
use wasmill_model::Timestamp;
use wasmill_rest::{JobDetail, VertexDetail, VertexKind, VertexMetrics};

use crate::{
    client::Client,
    connection::Common,
    error::Error,
    harmless,
    jobs::id,
    numbers::{clock, date_time, percent, rate, short, took},
    output::{Output, show_more},
    request::Request,
    table::{self, Column},
    terminal::{Color, Terminal},
    wait::{failure, has_ended},
};

mod checkpoints;

/// The time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// The same where each look is a line of its own.
const EVERY_LINE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Arguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// Looks again and again, until the job has ended: on a terminal every second in the same place, elsewhere in a line
    /// every five seconds. Exit code 1 if the job failed.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

const NO_METRICS: VertexMetrics = VertexMetrics {
    rows_in: 0,
    rows_out: 0,
    batches: 0,
    rejected: 0,
    traps: 0,
    cpu_seconds: 0.0,
    guest_memory_bytes: 0,
    state_bytes: 0,
    restored_local_bytes: 0,
    restored_store_bytes: 0,
    rows_in_per_second: 0.0,
    rows_out_per_second: 0.0,
    busy: 0.0,
    idle: 0.0,
    back_pressured: 0.0,
    watermark_ms: None,
    latency: None,
};

fn of(vertex: &VertexDetail) -> &VertexMetrics {
    vertex.metrics.as_ref().unwrap_or(&NO_METRICS)
}

const COLUMNS: [Column<VertexDetail>; 12] = [
    Column::text("vertex", |vertex| harmless::line(&vertex.name, 63)),
    Column::number("par", |vertex| vertex.parallelism.to_string()),
    Column::number("in/s", |vertex| rate(of(vertex).rows_in_per_second)),
    Column::number("out/s", |vertex| rate(of(vertex).rows_out_per_second)),
    Column::number("busy", |vertex| percent(of(vertex).busy)),
    Column::number("idle", |vertex| percent(of(vertex).idle)),
    Column::number("held", |vertex| percent(of(vertex).back_pressured)),
    Column::wide_number("rows in", |vertex| short(of(vertex).rows_in)),
    Column::wide_number("rows out", |vertex| short(of(vertex).rows_out)),
    Column::wide_number("p99", |vertex| {
        of(vertex).latency.as_ref().map_or_else(|| "-".to_owned(), |latency| took(latency.p99_ms))
    }),
    Column::wide_number("cpu", |vertex| format!("{:.1}s", of(vertex).cpu_seconds)),
    Column::wide_number("state", |vertex| match of(vertex).state_bytes {
        0 => "-".to_owned(),
        bytes => indicatif::HumanBytes(bytes).to_string(),
    }),
];

/// Shows a job, once or until it has ended.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let Arguments { id, watch, common } = arguments;
    let client = common.connection.client()?;
    let path = format!("/v1/jobs/{id}");
    let mut screen = Screen::new(*watch);
    let mut request = Request::get(&path);
    loop {
        let answer: Value = client.ask(&request)?;
        let job: JobDetail = client.typed(&path, &answer)?;
        let shown = match common.output {
            Output::Json => show_more(&format!("{answer}\n")),
            Output::Table => screen.show(&client, &job),
        };
        if let Err(code) = shown {
            return Ok(code);
        }
        if !watch {
            return Ok(ExitCode::SUCCESS);
        }
        if has_ended(&job.summary.state) {
            return Ok(if job.summary.state == "FAILED" { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        thread::sleep(if screen.redraws || common.output == Output::Json { EVERY } else { EVERY_LINE });
        // The JobManager may be away for a moment.
        request = Request::get(&path).patiently();
    }
}

/// Where looks are shown.
struct Screen {
    terminal: Terminal,
    watch: bool,
    /// Whether one look takes the place of the other.
    redraws: bool,
    /// Lines of the look before.
    lines: usize,
}

impl Screen {
    fn new(watch: bool) -> Self {
        let terminal = Terminal::stdout(Color::Auto);
        Self { redraws: watch && terminal.redraws, terminal, watch, lines: 0 }
    }

    fn show(&mut self, client: &Client, job: &JobDetail) -> Result<(), ExitCode> {
        if self.watch && !self.redraws && !has_ended(&job.summary.state) {
            return show_more(&format!("{}\n", in_a_line(job)));
        }
        let terminal = Terminal::stdout(Color::Auto);
        let mut text = whole(job, &terminal, now_ms());
        if !self.watch && job.summary.state == "FAILED" {
            text += &format!("  more: {}\n", client.command(&format!("events {}", job.summary.id)));
        }
        if self.redraws {
            // What does not fit above the cursor cannot be drawn over.
            let height = usize::from(Term::stdout().size().0).saturating_sub(1);
            let cut: Vec<&str> = text.lines().take(height).collect();
            // A terminal that cannot go back shows one look below the other.
            let _ = Term::stdout().clear_last_lines(self.lines);
            self.lines = cut.len();
            text = format!("{}\n", cut.join("\n"));
        }
        self.terminal = terminal;
        show_more(&text)
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Timestamp)
}

fn in_a_line(job: &JobDetail) -> String {
    let total = |rate: fn(&VertexMetrics) -> f64, wanted: wasmill_rest::VertexKind| -> f64 {
        job.vertices.iter().filter(|vertex| vertex.kind == wanted).map(|vertex| rate(of(vertex))).sum()
    };
    let read = total(|metrics| metrics.rows_out_per_second, wasmill_rest::VertexKind::Source);
    let written = total(|metrics| metrics.rows_in_per_second, wasmill_rest::VertexKind::Sink);
    let summary = &job.summary;
    format!(
        "{} {}: {} rows read, {} written, in {}/s, out {}/s",
        harmless::line(&summary.id, 40),
        harmless::line(&summary.state, 40),
        short(summary.rows_read),
        short(summary.rows_written),
        rate(read),
        rate(written)
    )
}

fn whole(job: &JobDetail, terminal: &Terminal, now_ms: Timestamp) -> String {
    let summary = &job.summary;
    let line = |text: &str| harmless::line(text, 100);
    let age = summary.ended_ms.unwrap_or(now_ms).saturating_sub(summary.submitted_ms).max(0);
    let age = clock(Duration::from_millis(age.unsigned_abs()));
    let mut text = format!(
        "{} {} {}, {age} since it was submitted\n",
        line(&summary.id),
        line(&summary.name),
        line(&summary.state)
    );
    let version = if summary.version == 0 { String::new() } else { format!(", version: {}", summary.version) };
    let (attempt, restarts) = (line(&job.attempt), summary.restarts);
    text += &format!("{attempt}, restarts: {restarts}{version}, cpu: {:.1}s", summary.cpu_seconds);
    text += &watermark(job, now_ms).map_or_else(String::new, |at| format!("\nwatermark {at}"));
    text.push('\n');
    text += &checkpoints::of(summary, terminal);
    text += &format!("{}\n", table::draw(terminal, &COLUMNS, &job.vertices));
    text += &failures(job);
    text += &placement(job);
    for warning in &job.warnings {
        text += &format!("warning: {}\n", harmless::text(warning, 4_000));
    }
    if summary.cause.is_some() {
        text += &failure(summary).shown();
    }
    if let Some(decision) = &summary.decision {
        let checkpoint = line(&decision.checkpoint);
        text += &format!(
            "it cannot begin from {checkpoint} before somebody has decided how: wasmill resolve {}\n",
            line(&summary.id)
        );
    }
    text
}

/// The lowest watermark of the sources that have one, and how far it is behind the clock.
fn watermark(job: &JobDetail, now_ms: Timestamp) -> Option<String> {
    const DAY_MS: i64 = 86_400_000;
    let sources = job.vertices.iter().filter(|vertex| vertex.kind == VertexKind::Source);
    let at = sources.filter_map(|vertex| of(vertex).watermark_ms).min()?;
    Some(match now_ms.saturating_sub(at) {
        lag @ 0..DAY_MS => format!("{}, {} behind", date_time(at), clock(Duration::from_millis(lag.unsigned_abs()))),
        _ => date_time(at),
    })
}

/// Which vertices have failed on rows, and how often.
fn failures(job: &JobDetail) -> String {
    let failed = job.vertices.iter().filter(|vertex| of(vertex).rejected > 0 || of(vertex).traps > 0);
    let line = |vertex: &VertexDetail| {
        let VertexMetrics { rejected, traps, .. } = of(vertex);
        format!("{}: {rejected} rejected, {traps} traps\n", harmless::line(&vertex.name, 63))
    };
    failed.map(line).collect()
}

/// Which TaskManager runs how many subtasks.
fn placement(job: &JobDetail) -> String {
    let mut workers: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for subtask in &job.subtasks {
        *workers.entry(&subtask.worker).or_default().entry(&subtask.state).or_default() += 1;
    }
    let worker = |(name, states): (&&str, &BTreeMap<&str, u32>)| {
        let states: Vec<String> =
            states.iter().map(|(state, count)| format!("{count} {}", harmless::line(state, 40))).collect();
        let name = if name.is_empty() { "nowhere yet".to_owned() } else { harmless::line(name, 60) };
        format!("{name}: {}\n", states.join(", "))
    };
    workers.iter().map(worker).collect()
}

#[cfg(test)]
mod tests;
