//! The live line of a running job, on a terminal.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use wasmill_model::graph::Role;
use wasmill_runtime::Job;

use crate::tell;

/// The shortest time over which a rate is said.
const RATE_OVER: Duration = Duration::from_millis(500);

/// A line at the foot of the terminal; nothing where standard error is none. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    bar: Option<ProgressBar>,
    started: Instant,
    last: Arc<Mutex<Reading>>,
}

/// Rows at one moment, and the rate up to it.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    rows: u64,
    rate: u64,
}

impl Status {
    pub(crate) fn new(started: Instant) -> Self {
        // Rows on the terminal's standard output would be written over the line.
        let bar = (std::io::stderr().is_terminal() && !std::io::stdout().is_terminal()).then(ProgressBar::new_spinner);
        let bar = bar.or_else(|| std::io::stderr().is_terminal().then(ProgressBar::new_spinner));
        if let Some(bar) = &bar {
            bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed"));
        }
        Self { bar, started, last: Arc::new(Mutex::new(Reading { at: started, rows: 0, rate: 0 })) }
    }

    /// Draws what the sources have read so far.
    pub(crate) fn draw(&self, job: &Job) {
        let Some(bar) = &self.bar else { return };
        let of_role = |wanted: fn(&Role) -> bool| {
            job.graph.vertices.iter().zip(&job.counters).filter(move |(v, _)| wanted(&v.role))
        };
        let rows: u64 =
            of_role(|role| matches!(role, Role::Source { .. })).map(|(_, counters)| counters.totals().rows_out).sum();
        let written: u64 =
            of_role(|role| matches!(role, Role::Sink)).map(|(_, counters)| counters.totals().rows_in).sum();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last.at.elapsed();
        if since >= RATE_OVER {
            let rate = (rows - last.rows) as f64 / since.as_secs_f64();
            *last = Reading { at: Instant::now(), rows, rate: rate as u64 };
        }
        bar.set_message(format!(
            "{}  {} s  {} rows read  {}/s  {} rows written",
            job.graph.name,
            self.started.elapsed().as_secs(),
            HumanCount(rows),
            HumanCount(last.rate),
            HumanCount(written),
        ));
        bar.tick();
    }

    /// Prints a line above the live one, to standard error.
    pub(crate) fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(&format!("{line}\n"))),
            None => tell(&format!("{line}\n")),
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
