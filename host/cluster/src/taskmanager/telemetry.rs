//! What a TaskManager tells of its jobs with each poll: what their subtasks have done, and what operators logged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wasmill_model::ids::{Attempt, JobId};
use wasmill_plugin::LogLine;
use wasmill_runtime::{Job, taps::TappedRow};

use crate::{
    jobmanager::now_ms,
    message::{JobTotals, Logged, Tap, Tapped, VertexTotals},
};

/// Lines that wait for the next poll, at most; the rest are counted and left out. Operators have limits of their own.
const LINES_MAX: usize = 2_000;
const LINE_BYTES_MAX: usize = 4 << 10;

/// How often the figures of an ended attempt are told: a poll may be lost.
const TOLD_AFTER_END: u32 = 3;

/// Filled by subtasks, read by the thread that polls.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    jobs: Mutex<Jobs>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Jobs {
    live: BTreeMap<(JobId, Attempt), Live>,
    /// The last figures of those that ended, and how often they are still told.
    ended: Vec<(JobTotals, u32)>,
}

/// An attempt that runs here.
#[derive(Debug)]
struct Live {
    made: Arc<Job>,
    running: Arc<wasmill_runtime::Attempt>,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<Logged>,
    /// Of each job.
    left_out: BTreeMap<JobId, u64>,
}

impl Telemetry {
    pub(crate) fn begin(&self, job: JobId, attempt: Attempt, made: Arc<Job>, running: Arc<wasmill_runtime::Attempt>) {
        lock(&self.jobs).live.insert((job, attempt), Live { made, running });
    }

    pub(crate) fn end(&self, job: JobId, attempt: Attempt) {
        let mut jobs = lock(&self.jobs);
        if let Some(Live { made, .. }) = jobs.live.remove(&(job, attempt)) {
            jobs.ended.push((totals(job, attempt, &made), TOLD_AFTER_END));
        }
    }

    pub(crate) fn log(&self, job: JobId, operator: &str, subtask: u32, line: &LogLine) {
        let mut lines = lock(&self.lines);
        if lines.waiting.len() >= LINES_MAX {
            *lines.left_out.entry(job).or_default() += 1;
            return;
        }
        let mut message = line.message.clone();
        message.truncate(message.floor_char_boundary(LINE_BYTES_MAX));
        let level = format!("{:?}", line.level).to_lowercase();
        lines.waiting.push(Logged { job, at_ms: now_ms(), operator: operator.to_owned(), subtask, level, message });
    }

    /// The lines since the last poll.
    pub(crate) fn take_logs(&self) -> Vec<Logged> {
        let Lines { mut waiting, left_out } = std::mem::take(&mut *lock(&self.lines));
        for (job, count) in left_out {
            let message = format!("{count} lines were left out: more came than are sent");
            let (operator, level) = (String::new(), "warn".to_owned());
            waiting.push(Logged { job, at_ms: now_ms(), operator, subtask: 0, level, message });
        }
        waiting
    }

    /// Rows that passed edges that somebody looks at, since the last poll.
    pub(crate) fn take_rows(&self) -> Vec<Tapped> {
        let jobs = lock(&self.jobs);
        let rows = jobs
            .live
            .iter()
            .flat_map(|((job, _), Live { made, .. })| made.taps.take().into_iter().map(|row| (*job, row)));
        let tapped = rows.map(|(job, TappedRow { edge, subtask, json })| Tapped {
            tap: Tap { job, edge },
            subtask,
            row: serde_json::from_str(&json).unwrap_or(serde_json::Value::String(json)),
        });
        tapped.collect()
    }

    /// Lets the edges be looked at that somebody wants to see, and no others.
    pub(crate) fn look_at(&self, taps: &[Tap]) {
        for ((job, _), Live { made, .. }) in &lock(&self.jobs).live {
            let edges: Vec<&str> = taps.iter().filter(|tap| tap.job == *job).map(|tap| tap.edge.as_str()).collect();
            made.taps.look_at(&edges);
        }
    }

    /// The figures of all attempts that run here or have just ended.
    pub(crate) fn metrics(&self) -> Vec<JobTotals> {
        let jobs = lock(&self.jobs);
        let live = jobs.live.iter().map(|((job, attempt), Live { made, running })| {
            let queued = running.queued().into_iter().map(|queued| (queued.edge, queued.bytes as u64));
            let queued = queued.filter(|(_, bytes)| *bytes > 0).collect();
            JobTotals { queued, subtasks: running.activity(), ..totals(*job, *attempt, made) }
        });
        live.chain(jobs.ended.iter().map(|(totals, _)| totals.clone())).collect()
    }

    /// They have been told once more.
    pub(crate) fn told(&self) {
        lock(&self.jobs).ended.retain_mut(|(_, left)| {
            *left -= 1;
            *left > 0
        });
    }
}

fn totals(job: JobId, attempt: Attempt, made: &Job) -> JobTotals {
    let vertices = made.counters.iter().map(|counters| VertexTotals {
        totals: counters.totals(),
        watermark_ms: counters.watermark(),
        latencies: Some(counters.latencies()).filter(|latencies| latencies.rows() > 0),
    });
    JobTotals { job, attempt, vertices: vertices.collect(), queued: Vec::new(), subtasks: Vec::new() }
}

/// Nothing that is kept can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
