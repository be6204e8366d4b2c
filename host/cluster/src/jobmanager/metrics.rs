//! What a job's subtasks have done, put together from what each TaskManager last said.

use std::collections::BTreeMap;

use wasmill_control::message::SourceWatermark;
use wasmill_model::{
    Timestamp,
    ids::{Attempt, TaskManagerId},
    time,
};
use wasmill_rest::{LatencyDetail, Plan, VertexKind, VertexMetrics};
use wasmill_runtime::{
    activity::{Standing, SubtaskFigures},
    latency::Latencies,
};

use crate::message::{JobTotals, VertexTotals};

/// The shortest time over which a rate is said.
const RATE_OVER_MS: Timestamp = 1_000;

/// The newest figures of a job's current attempt.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    attempt: Option<Attempt>,
    /// What it says does not count any more.
    over: Option<Attempt>,
    by_taskmanager: BTreeMap<TaskManagerId, Vec<VertexTotals>>,
    /// Bytes that wait, by the place of their edge.
    queued: BTreeMap<TaskManagerId, Vec<(usize, u64)>>,
    /// What each subtask was doing when it was last heard of.
    subtasks: BTreeMap<TaskManagerId, Vec<SubtaskFigures>>,
    rates: Rates,
}

/// What grows, by the second, and what that was measured from.
#[derive(Debug, Default)]
struct Rates {
    at_ms: Timestamp,
    /// Of each vertex.
    seen: Vec<[u64; 4]>,
    /// Rows in, rows out, seconds idle, seconds blocked.
    per_second: Vec<[f64; 4]>,
}

impl Rates {
    fn measured(VertexTotals { totals, .. }: &VertexTotals) -> [u64; 4] {
        [totals.rows_in, totals.rows_out, totals.idle_ns, totals.blocked_ns]
    }

    fn look(&mut self, totals: &[VertexTotals], now_ms: Timestamp) {
        let elapsed = now_ms - self.at_ms;
        if elapsed < RATE_OVER_MS {
            return;
        }
        let seen: Vec<[u64; 4]> = totals.iter().map(Self::measured).collect();
        let seconds = elapsed as f64 / 1_000.0;
        let per_second = |now: &[u64; 4], before: &[u64; 4]| {
            std::array::from_fn(|i| now[i].saturating_sub(before[i]) as f64 / seconds / [1.0, 1.0, 1e9, 1e9][i])
        };
        // Of what is seen for the first time nothing is known of how long it took.
        let per_second = seen.iter().zip(&self.seen).map(|(now, before)| per_second(now, before)).collect();
        *self = Self { at_ms: now_ms, seen, per_second };
    }
}

/// What a job has done as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) cpu_seconds: f64,
}

impl Metrics {
    /// Takes what one TaskManager says. A later attempt begins from nothing; an earlier one is over.
    pub(crate) fn take(&mut self, taskmanager: TaskManagerId, totals: JobTotals, now_ms: Timestamp) {
        if self.over >= Some(totals.attempt) || self.attempt > Some(totals.attempt) {
            return;
        }
        if self.attempt != Some(totals.attempt) {
            *self = Self { attempt: Some(totals.attempt), over: self.over, ..Self::default() };
        }
        self.by_taskmanager.insert(taskmanager, totals.vertices);
        self.queued.insert(taskmanager, totals.queued);
        self.subtasks.insert(taskmanager, totals.subtasks);
        let totals = self.totals();
        self.rates.look(&totals, now_ms);
    }

    /// The job is to be started again: what it has done does not count any more.
    pub(crate) fn restart(&mut self) {
        *self = Self { over: self.attempt.max(self.over), ..Self::default() };
    }

    /// Nothing grows any more.
    pub(crate) fn end(&mut self) {
        self.rates = Rates::default();
        self.queued.clear();
        self.subtasks.clear();
    }

    /// What each subtask was doing when it was last heard of.
    pub(crate) fn subtasks(&self) -> impl Iterator<Item = &SubtaskFigures> {
        self.subtasks.values().flatten()
    }

    /// Bytes of rows that wait in the channels of an edge.
    pub(crate) fn queued_bytes(&self, edge: usize) -> u64 {
        self.queued.values().flatten().filter(|(place, _)| *place == edge).map(|(_, bytes)| bytes).sum()
    }

    /// All TaskManagers together, one a vertex.
    fn totals(&self) -> Vec<VertexTotals> {
        let mut sums: Vec<VertexTotals> = Vec::new();
        for totals in self.by_taskmanager.values() {
            sums.resize(sums.len().max(totals.len()), VertexTotals::default());
            for (sum, totals) in sums.iter_mut().zip(totals) {
                sum.add(totals);
            }
        }
        sums
    }

    /// The figures of each vertex of a plan.
    pub(crate) fn of_vertices(&self, plan: &Plan) -> Vec<VertexMetrics> {
        let totals = self.totals().into_iter().chain(std::iter::repeat_with(VertexTotals::default));
        let vertices = plan.vertices.iter().zip(totals).enumerate();
        vertices
            .map(|(place, (vertex, VertexTotals { totals, watermark_ms, latencies }))| {
                let [rows_in_per_second, rows_out_per_second, ..] =
                    self.rates.per_second.get(place).copied().unwrap_or_default();
                let [idle, blocked] = self.waits_of_chain(plan, vertex.chain);
                let share = |seconds: f64| (seconds / f64::from(vertex.parallelism.max(1))).clamp(0.0, 1.0);
                let (idle, back_pressured) = (share(idle), share(blocked));
                VertexMetrics {
                    rows_in: totals.rows_in,
                    rows_out: totals.rows_out,
                    batches: totals.batches,
                    rejected: totals.rejected,
                    traps: totals.traps,
                    cpu_seconds: totals.cpu_ns as f64 / 1e9,
                    guest_memory_bytes: totals.guest_memory_bytes,
                    state_bytes: totals.state_bytes,
                    restored_local_bytes: totals.restored_local_bytes,
                    restored_store_bytes: totals.restored_store_bytes,
                    rows_in_per_second,
                    rows_out_per_second,
                    busy: if self.rates.per_second.is_empty() { 0.0 } else { (1.0 - idle - back_pressured).max(0.0) },
                    idle,
                    back_pressured,
                    watermark_ms,
                    latency: latencies.as_ref().and_then(quantiles),
                }
            })
            .collect()
    }

    /// Seconds a second that the subtasks of a chain wait: for input, which its head does, and for room behind any of it.
    fn waits_of_chain(&self, plan: &Plan, chain: u32) -> [f64; 2] {
        let of_chain = plan.vertices.iter().zip(&self.rates.per_second).filter(|(vertex, _)| vertex.chain == chain);
        of_chain.fold([0.0; 2], |[idle, blocked], (_, rates)| [idle + rates[2], blocked + rates[3]])
    }

    /// How long rows took to each sink: its place in the plan, and the times.
    pub(crate) fn latencies(&self) -> Vec<(usize, Latencies)> {
        let totals = self.totals().into_iter().enumerate();
        totals.filter_map(|(place, totals)| Some((place, totals.latencies?))).collect()
    }

    pub(crate) fn sums(&self, plan: &Plan) -> Sums {
        let mut sums = Sums::default();
        for (vertex, VertexTotals { totals, .. }) in plan.vertices.iter().zip(self.totals()) {
            match vertex.kind {
                VertexKind::Source => sums.rows_read += totals.rows_out,
                VertexKind::Sink => sums.rows_written += totals.rows_in,
                VertexKind::Operator => {}
            }
            sums.cpu_seconds += totals.cpu_ns as f64 / 1e9;
        }
        sums
    }
}

impl VertexTotals {
    fn add(&mut self, other: &Self) {
        self.totals += other.totals;
        // Whoever has none holds nothing back: its sources have ended, or are elsewhere.
        self.watermark_ms = self.watermark_ms.into_iter().chain(other.watermark_ms).min();
        if let Some(latencies) = &other.latencies {
            self.latencies.get_or_insert_default().add(latencies);
        }
    }
}

/// How far the sources of all jobs on a TaskManager are.
pub(crate) fn watermarks(metrics: &[JobTotals]) -> Vec<SourceWatermark> {
    let of_job = |totals: &JobTotals| {
        let (job, attempt) = (totals.job, totals.attempt);
        let sources = totals.subtasks.iter().filter(|subtask| subtask.silent_ms.is_some()).map(move |subtask| {
            let active = subtask.standing == Standing::Active;
            let watermark = active.then_some(subtask.watermark_ms.unwrap_or(time::MIN));
            SourceWatermark { job, attempt, subtask: subtask.subtask, watermark }
        });
        sources.collect::<Vec<_>>()
    };
    metrics.iter().flat_map(of_job).collect()
}

/// What people are told of the times that rows took; nothing if there were none.
pub fn quantiles(latencies: &Latencies) -> Option<LatencyDetail> {
    let ms = |part| Some(latencies.quantile_us(part)? as f64 / 1_000.0);
    Some(LatencyDetail { p50_ms: ms(0.5)?, p99_ms: ms(0.99)?, p999_ms: ms(0.999)?, max_ms: ms(1.0)? })
}

#[cfg(test)]
mod tests {
    use wasmill_model::ids::JobId;
    use wasmill_runtime::counters::Totals;

    use super::*;

    fn plan() -> Plan {
        let vertex = r#"{"name":"a","kind":"operator","parallelism":2,"chain":0}"#;
        let json = format!(r#"{{"name":"j","slots":2,"slots_free":0,"vertices":[{vertex}],"edges":[],"warnings":[]}}"#);
        serde_json::from_str(&json).expect("it is a plan")
    }

    fn said(attempt: u64, rows: u64) -> JobTotals {
        let totals = Totals { rows_in: rows, rows_out: 2 * rows, ..Totals::default() };
        let totals = VertexTotals { totals, watermark_ms: Some(rows as i64), latencies: None };
        JobTotals {
            job: JobId(1),
            attempt: Attempt(attempt),
            vertices: vec![totals],
            queued: vec![(0, rows)],
            subtasks: Vec::new(),
        }
    }

    #[test]
    fn figures_of_all_taskmanagers_are_one_and_a_new_attempt_begins_anew() {
        let mut metrics = Metrics::default();
        metrics.take(TaskManagerId(1), said(1, 10), 10_000);
        metrics.take(TaskManagerId(2), said(1, 5), 10_100);
        let found = &metrics.of_vertices(&plan())[0];
        assert_eq!((found.rows_in, found.rows_out, found.watermark_ms), (15, 30, Some(5)));
        assert_eq!((metrics.queued_bytes(0), metrics.queued_bytes(1)), (15, 0));
        metrics.take(TaskManagerId(1), said(1, 110), 12_000);
        let found = &metrics.of_vertices(&plan())[0];
        assert_eq!((found.rows_in, found.rows_in_per_second), (115, 52.5), "10 rows were known at the first look");
        metrics.take(TaskManagerId(2), said(2, 7), 12_100);
        assert_eq!(metrics.of_vertices(&plan())[0].rows_in, 7);
        metrics.take(TaskManagerId(1), said(1, 999), 12_200);
        assert_eq!(metrics.of_vertices(&plan())[0].rows_in, 7, "an earlier attempt is over");
        metrics.restart();
        metrics.take(TaskManagerId(2), said(2, 8), 12_300);
        assert_eq!(metrics.of_vertices(&plan())[0].rows_in, 0, "it is being started again");
        metrics.take(TaskManagerId(2), said(3, 9), 12_400);
        assert_eq!(metrics.of_vertices(&plan())[0].rows_in, 9);
    }
}
