//! How a running job comes along: a line at the foot of a terminal, or now and then a line of text elsewhere.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use console::{Style, Term, measure_text_width};
use indicatif::{ProgressBar, ProgressStyle};
use wasmill_cli::numbers::{clock, date, short};
use wasmill_model::{Timestamp, graph::Role};
use wasmill_runtime::{Job, OperatorLog};

use crate::{
    tell,
    terminal::{Color, Terminal},
};

/// The shortest time over which a rate is said.
const RATE_OVER: Duration = Duration::from_millis(500);
/// Where nothing can be drawn over: the time until the first line. It doubles from line to line, up to the last.
const LINE_FIRST: Duration = Duration::from_secs(10);
const LINE_LAST: Duration = Duration::from_secs(600);
/// Columns of the bar, if there is room for one.
const BAR_MIN: usize = 8;
const BAR_MAX: usize = 30;
/// Its two ends and the space behind it.
const BAR_FRAME: usize = 3;
/// What stands between two things said.
const BETWEEN: &str = " | ";

/// Shows how a job comes along, on standard error. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    bar: Option<ProgressBar>,
    color: Color,
    started: Instant,
    pace: Arc<Mutex<Pace>>,
}

/// What is remembered between two looks.
#[derive(Debug)]
struct Pace {
    at: Instant,
    rows: Rows,
    rates: Rows,
    next_line: Duration,
    wait: Duration,
}

/// Rows that sources brought and that sinks took.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    read: u64,
    written: u64,
}

/// What is said of a job.
#[derive(Debug, Clone, Copy)]
struct Reading {
    elapsed: Duration,
    /// A second.
    rates: Rows,
    rows: Rows,
    /// Bytes read, of how many.
    progress: Option<(u64, u64)>,
    /// How far behind the clock the watermark is, or the watermark itself if that is long ago.
    time: Option<Time>,
}

#[derive(Debug, Clone, Copy)]
enum Time {
    Lag(Duration),
    At(Timestamp),
}

impl Status {
    /// Of a job that begins now.
    pub(crate) fn new(job: &Job, color: Color, started: Instant) -> Self {
        // Rows on the same terminal would be written over the line.
        let rows_shown = job.writes_stdout() && Term::stdout().is_term();
        let bar = (Terminal::stderr(color).redraws && !rows_shown).then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is well formed"));
        }
        let nothing = Rows::default();
        let pace = Pace { at: started, rows: nothing, rates: nothing, next_line: LINE_FIRST, wait: LINE_FIRST };
        Self { bar, color, started, pace: Arc::new(Mutex::new(pace)) }
    }

    /// Shows how far the job is, if it is time to.
    pub(crate) fn draw(&self, job: &Job) {
        let elapsed = self.started.elapsed();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = Rows::of(job);
        let since = pace.at.elapsed();
        if since >= RATE_OVER {
            let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / since.as_secs_f64()) as u64;
            pace.rates = Rows { read: rate(rows.read, pace.rows.read), written: rate(rows.written, pace.rows.written) };
            (pace.at, pace.rows) = (Instant::now(), rows);
        }
        let reading =
            Reading { elapsed, rates: pace.rates, rows, progress: progress(job), time: watermark(job).map(Time::of) };
        match &self.bar {
            Some(bar) => {
                let terminal = Terminal::stderr(self.color);
                bar.set_message(reading.line(&terminal));
                bar.tick();
            }
            None if elapsed >= pace.next_line => {
                pace.wait = (2 * pace.wait).min(LINE_LAST);
                pace.next_line = elapsed + pace.wait;
                drop(pace);
                tell(&format!("{}\n", reading.text()));
            }
            None => {}
        }
    }

    /// Prints a line above the status line.
    pub(crate) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(&format!("{line}\n"))),
            None => tell(&format!("{line}\n")),
        }
    }

    /// Prints what operators log, each line above the status line.
    pub(crate) fn operator_log(&self) -> OperatorLog {
        let status = self.clone();
        Arc::new(move |operator, subtask, line| {
            let level = format!("{:?}", line.level).to_uppercase();
            status.print(&format!("{level:5} {operator}[{subtask}] {}", line.message));
        })
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Rows {
    fn of(job: &Job) -> Self {
        let mut rows = Self::default();
        for (vertex, counters) in job.graph.vertices.iter().zip(&job.counters) {
            match vertex.role {
                Role::Source { .. } => rows.read += counters.totals().rows_out,
                Role::Sink => rows.written += counters.totals().rows_in,
                Role::Operator { .. } => {}
            }
        }
        rows
    }
}

impl Time {
    fn of(watermark: Timestamp) -> Self {
        const DAY_MS: i64 = 86_400_000;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Timestamp);
        match now.saturating_sub(watermark) {
            lag @ 0..DAY_MS => Self::Lag(Duration::from_millis(lag.unsigned_abs())),
            _ => Self::At(watermark),
        }
    }
}

impl Reading {
    /// The line of a terminal: never wider than it is; what matters least is left out first.
    fn line(&self, terminal: &Terminal) -> String {
        // The last column stays free: some terminals break the line there.
        let width = terminal.width - 1;
        let mut line = match self.progress {
            Some((done, total)) => {
                format!("{:>3}% {} left", percent(done, total), left(self.elapsed, done, total))
            }
            None => format!("{} rows in {}", short(self.rows.read), clock(self.elapsed)),
        };
        let said =
            [Some(format!("in {}/s", short(self.rates.read))), Some(format!("out {}/s", short(self.rates.written)))];
        // The bar comes before the time.
        let kept = if self.progress.is_some() { BAR_MIN + BAR_FRAME } else { 0 };
        for (part, kept) in said.into_iter().map(|part| (part, 0)).chain([(self.time.map(Time::text), kept)]) {
            let Some(part) = part else { continue };
            if measure_text_width(&line) + BETWEEN.len() + measure_text_width(&part) + kept <= width {
                line.push_str(BETWEEN);
                line.push_str(&part);
            }
        }
        let room = width.saturating_sub(measure_text_width(&line) + BAR_FRAME);
        match self.progress {
            Some((done, total)) if room >= BAR_MIN => {
                format!("{} {line}", bar(done, total, room.min(BAR_MAX), terminal))
            }
            _ => line,
        }
    }

    /// A line for a file or a pipe.
    fn text(&self) -> String {
        let progress = self.progress.map_or(String::new(), |(done, total)| format!(", {}%", percent(done, total)));
        let time = self.time.map_or(String::new(), |time| format!(", {}", time.text()));
        let Self { elapsed, rows, .. } = self;
        format!("after {}: {} rows in, {} out{progress}{time}", clock(*elapsed), short(rows.read), short(rows.written))
    }
}

impl Time {
    fn text(self) -> String {
        match self {
            Self::Lag(lag) if lag < Duration::from_secs(10) => format!("lag {:.1}s", lag.as_secs_f64()),
            Self::Lag(lag) => format!("lag {}", clock(lag)),
            Self::At(at) => format!("at {}", date(at)),
        }
    }
}

fn bar(done: u64, total: u64, width: usize, terminal: &Terminal) -> String {
    let full = (width as u64).saturating_mul(done.min(total)) / total.max(1);
    let full = full as usize;
    let [left, on, off, right] = if terminal.unicode { ["▕", "█", "░", "▏"] } else { ["[", "=", " ", "]"] };
    let on = terminal.paint(&Style::new().green(), &on.repeat(full));
    let off = terminal.paint(&Style::new().dim(), &off.repeat(width - full));
    format!("{left}{on}{off}{right}")
}

fn percent(done: u64, total: u64) -> u64 {
    done.min(total).saturating_mul(100) / total.max(1)
}

/// The time that is left, if it goes on as it went so far.
fn left(elapsed: Duration, done: u64, total: u64) -> String {
    match done {
        0 => "--".to_owned(),
        _ => clock(Duration::from_secs_f64(elapsed.as_secs_f64() * total.saturating_sub(done) as f64 / done as f64)),
    }
}

/// Bytes that the sources have read, of how many, if all sources know.
fn progress(job: &Job) -> Option<(u64, u64)> {
    let sources = job.graph.vertices.iter().zip(&job.counters);
    let mut sources = sources.filter(|(vertex, _)| matches!(vertex.role, Role::Source { .. }));
    let sum = sources
        .try_fold((0, 0), |(done, total), (_, counters)| counters.progress().map(|(d, t)| (done + d, total + t)));
    sum.filter(|(_, total)| *total > 0)
}

/// The lowest watermark of the sources that have one.
fn watermark(job: &Job) -> Option<Timestamp> {
    job.counters.iter().filter_map(|counters| counters.watermark()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(width: usize) -> Terminal {
        Terminal { attended: true, redraws: true, width, columns: width, colors: false, unicode: false }
    }

    fn reading() -> Reading {
        Reading {
            elapsed: Duration::from_secs(30),
            rates: Rows { read: 1_234_567, written: 34_000 },
            rows: Rows { read: 40_000_000, written: 1_000_000 },
            progress: Some((300, 1_000)),
            time: Some(Time::At(1_517_966_773_840)),
        }
    }

    #[test]
    fn the_line_fits_and_leaves_out_what_matters_least() {
        let check = |width: usize, expected: &str| {
            let line = reading().line(&terminal(width));
            assert!(measure_text_width(&line) < width, "{line}");
            assert_eq!(line, expected);
        };
        check(100, "[=========                     ]  30% 1m10s left | in 1.2M/s | out 34k/s | at 2018-02-07 01:26");
        check(60, "[=====            ]  30% 1m10s left | in 1.2M/s | out 34k/s");
        check(45, " 30% 1m10s left | in 1.2M/s | out 34k/s");
        check(39, "[==      ]  30% 1m10s left | in 1.2M/s");
        let flowing = Reading { progress: None, time: Some(Time::Lag(Duration::from_millis(2_340))), ..reading() };
        assert_eq!(flowing.line(&terminal(60)), "40M rows in 30s | in 1.2M/s | out 34k/s | lag 2.3s");
        assert_eq!(flowing.text(), "after 30s: 40M rows in, 1.0M out, lag 2.3s");
        let colorful = Terminal { colors: true, unicode: true, ..terminal(100) };
        assert!(measure_text_width(&reading().line(&colorful)) < 100);
    }
}
