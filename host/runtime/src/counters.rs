//! What is counted for each vertex of a job, over all its subtasks.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

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
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
}

impl Counters {
    pub fn totals(&self) -> Totals {
        Totals {
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            batches: self.batches.load(Relaxed),
            cpu_ns: self.cpu_ns.load(Relaxed),
            guest_memory_bytes: self.guest_memory_bytes.load(Relaxed),
            state_bytes: self.state_bytes.load(Relaxed),
        }
    }

    /// Moves a subtask's share of a gauge from what it last said to what it says now.
    pub(crate) fn adjust(gauge: &AtomicU64, last: &mut u64, now: u64) {
        gauge.fetch_add(now.wrapping_sub(*last), Relaxed);
        *last = now;
    }
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
