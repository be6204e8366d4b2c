//! What is counted for each vertex of a job, over all its subtasks.

use std::{
    cell::Cell,
    ops::AddAssign,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use wasmill_model::{Timestamp, time};

use crate::{
    activity,
    latency::{Histogram, Latencies},
};

/// Counters of one vertex. Subtasks add; anybody reads.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) rows_in: AtomicU64,
    pub(crate) rows_out: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    pub(crate) guest_memory_bytes: AtomicU64,
    pub(crate) state_bytes: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) idle_ns: AtomicU64,
    pub(crate) blocked_ns: AtomicU64,
    pub(crate) restored_local_bytes: AtomicU64,
    pub(crate) restored_store_bytes: AtomicU64,
    /// Of a sink: how long rows took from their source.
    pub(crate) latency: Histogram,
    /// One a subtask.
    gauges: Box<[Gauge]>,
}

/// How far a subtask has come.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// Whether the subtask is of this TaskManager.
    here: AtomicBool,
    /// Of a source what it has made, of others what they have handled. `MIN`: none yet; `MAX`: nobody waits for it.
    watermark: AtomicI64,
    /// Of a source: bytes read, of how many; 0 of 0 if it cannot tell.
    done: AtomicU64,
    total: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub rows_in: u64,
    pub rows_out: u64,
    /// Rows, and timers, that could not be handled and were left out.
    pub rejected: u64,
    /// Batches taken in, or for a source produced.
    pub batches: u64,
    /// Thread CPU time spent in the vertex itself, what it sends included.
    pub cpu_ns: u64,
    /// Linear memory of all its instances, at its highest.
    pub guest_memory_bytes: u64,
    /// Keyed state of all its subtasks.
    pub state_bytes: u64,
    /// Instances that failed and were replaced.
    pub traps: u64,
    /// Time that its subtasks waited for input; of the head of a chain, for the whole chain.
    pub idle_ns: u64,
    /// Time that its subtasks waited for room behind it, or for other sources.
    pub blocked_ns: u64,
    /// Bytes of snapshot files that its subtasks began from, which were local copies.
    pub restored_local_bytes: u64,
    /// The same, which came from the checkpoint store.
    pub restored_store_bytes: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.rejected += other.rejected;
        self.batches += other.batches;
        self.cpu_ns += other.cpu_ns;
        self.guest_memory_bytes += other.guest_memory_bytes;
        self.state_bytes += other.state_bytes;
        self.traps += other.traps;
        self.idle_ns += other.idle_ns;
        self.blocked_ns += other.blocked_ns;
        self.restored_local_bytes += other.restored_local_bytes;
        self.restored_store_bytes += other.restored_store_bytes;
    }
}

impl Counters {
    /// Of a vertex with so many subtasks.
    pub(crate) fn new(parallelism: u32) -> Self {
        let gauge = |_| Gauge {
            here: AtomicBool::new(false),
            watermark: AtomicI64::new(time::MIN),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        };
        Self { gauges: (0..parallelism).map(gauge).collect(), ..Self::default() }
    }

    pub(crate) fn gauge(&self, subtask: u32) -> &Gauge {
        &self.gauges[subtask as usize]
    }

    /// A subtask has handled all that came up to a watermark; `MAX`: nobody waits for it.
    pub(crate) fn set_watermark(&self, subtask: u32, watermark: Timestamp) {
        // Counters of a trial have none.
        if let Some(gauge) = self.gauges.get(subtask as usize) {
            gauge.set_watermark(watermark);
        }
    }

    /// A subtask begins here.
    pub(crate) fn begin(&self, subtask: u32) {
        let gauge = self.gauge(subtask);
        gauge.set_watermark(time::MIN);
        gauge.here.store(true, Relaxed);
    }

    /// The watermark of all its subtasks here together. None as long as one has none, and after the end.
    pub fn watermark(&self) -> Option<Timestamp> {
        let here = self.gauges.iter().filter(|gauge| gauge.here.load(Relaxed));
        let together = here.map(|gauge| gauge.watermark.load(Relaxed)).min();
        together.filter(|watermark| !matches!(*watermark, time::MIN | time::MAX))
    }

    /// Of a source that knows how much there is to read: bytes read, of how many.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let of = |part: fn(&Gauge) -> &AtomicU64| self.gauges.iter().map(|gauge| part(gauge).load(Relaxed)).sum();
        let (done, total): (u64, u64) = (of(|gauge| &gauge.done), of(|gauge| &gauge.total));
        (total > 0).then_some((done, total))
    }

    /// Of a sink: how long the rows took that it has written, from when their source handed them over.
    pub fn latencies(&self) -> Latencies {
        self.latency.latencies()
    }

    pub fn totals(&self) -> Totals {
        Totals {
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            batches: self.batches.load(Relaxed),
            cpu_ns: self.cpu_ns.load(Relaxed),
            guest_memory_bytes: self.guest_memory_bytes.load(Relaxed),
            state_bytes: self.state_bytes.load(Relaxed),
            traps: self.traps.load(Relaxed),
            idle_ns: self.idle_ns.load(Relaxed),
            blocked_ns: self.blocked_ns.load(Relaxed),
            restored_local_bytes: self.restored_local_bytes.load(Relaxed),
            restored_store_bytes: self.restored_store_bytes.load(Relaxed),
        }
    }

    /// Charges the vertex for what this thread has waited for credit.
    pub(crate) fn charge_blocked(&self) {
        match BLOCKED_NS.take() {
            0 => {}
            waited => drop(self.blocked_ns.fetch_add(waited, Relaxed)),
        }
    }

    /// The vertex has waited for other sources since then.
    pub(crate) fn held_since(&self, began: Instant) {
        self.blocked_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
    }

    /// The vertex has waited for input since then.
    pub(crate) fn idle_since(&self, began: Instant) {
        self.idle_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
    }

    /// Moves a subtask's share of a gauge from what it last said to what it says now.
    pub(crate) fn adjust(gauge: &AtomicU64, last: &mut u64, now: u64) {
        gauge.fetch_add(now.wrapping_sub(*last), Relaxed);
        *last = now;
    }
}

impl Gauge {
    pub(crate) fn set_watermark(&self, watermark: Timestamp) {
        self.watermark.store(watermark, Relaxed);
    }

    pub(crate) fn set_progress(&self, (done, total): (u64, u64)) {
        self.done.store(done, Relaxed);
        self.total.store(total, Relaxed);
    }
}

thread_local! {
    /// Time that this thread has waited for credit and was not charged for yet.
    static BLOCKED_NS: Cell<u64> = const { Cell::new(0) };
}

/// This thread has waited for credit since then.
pub(crate) fn blocked_since(began: Instant) {
    activity::got_credit();
    BLOCKED_NS.set(BLOCKED_NS.get() + began.elapsed().as_nanos() as u64);
}

/// A stretch of this thread's CPU time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    started_ns: u64,
}

impl CpuTime {
    pub(crate) fn start() -> Self {
        Self { started_ns: thread_cpu_ns() }
    }

    /// Adds the time since the start to a vertex; returns it, in ns.
    pub(crate) fn charge(self, counters: &Counters) -> u64 {
        let spent = thread_cpu_ns().saturating_sub(self.started_ns);
        counters.cpu_ns.fetch_add(spent, Relaxed);
        spent
    }
}

/// CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    Duration::from_nanos(thread_cpu_ns())
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_as_far_as_its_subtasks_together() {
        let counters = Counters::new(3);
        counters.gauge(2).set_watermark(400);
        assert_eq!((counters.watermark(), counters.progress()), (None, None), "none is here");
        counters.begin(0);
        counters.begin(1);
        counters.gauge(0).set_watermark(700);
        assert_eq!(counters.watermark(), None, "the other has none yet");
        counters.gauge(1).set_watermark(500);
        assert_eq!(counters.watermark(), Some(500));
        counters.gauge(1).set_watermark(time::MAX);
        assert_eq!(counters.watermark(), Some(700));
        counters.gauge(0).set_watermark(time::MAX);
        assert_eq!(counters.watermark(), None);
        counters.gauge(0).set_progress((10, 100));
        counters.gauge(1).set_progress((50, 60));
        assert_eq!(counters.progress(), Some((60, 160)));
    }
}
