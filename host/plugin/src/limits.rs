//! What one instance may use, and the counting of its memory and tables.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// What one instance may use. Each limit ends the call that crosses it and, but for the log and metrics, the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories of the instance. It never shrinks. 64 MiB.
    pub memory_bytes: usize,
    /// Elements of tables, summed over all tables of the instance. 20,000.
    pub table_elements: usize,
    /// Handles of WASI's streams and the like, open at one time. 10,000.
    pub handles: usize,
    /// Time that one call may take, starting the instance included. Kept to within two ticks of the engine. 5 s.
    pub call_deadline: Duration,
    /// Bytes that one call may hand over to the host, in its answer or in one call of an import. 16 MiB.
    pub output_bytes: usize,
    /// Rows that one call may emit beyond those it was given, over all ports. 1,048,576.
    pub output_rows: usize,
    /// Bytes of one line of the log; what is longer is cut. 1,024.
    pub log_line_bytes: usize,
    /// Lines that may be logged in a second, or at once after a silence; more are counted and dropped. 100.
    pub log_lines_per_second: u32,
    /// Names of counters and gauges; numbers under further names are counted and dropped. 100.
    pub metric_names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            handles: 10_000,
            call_deadline: Duration::from_secs(5),
            output_bytes: 16 << 20,
            output_rows: 1 << 20,
            log_line_bytes: 1_024,
            log_lines_per_second: 100,
            metric_names: 100,
        }
    }
}

/// Memory that a guest asked for and was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Bytes in all memories, had it been granted.
    pub wanted: usize,
    /// Bytes in all memories when it asked.
    pub used: usize,
}

/// Sums memories and tables of one store: wasmtime asks for each by itself.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: Budget,
    table: Budget,
    denied: Option<Denied>,
    table_denied: Option<usize>,
}

#[derive(Debug)]
struct Budget {
    limit: usize,
    used: usize,
    /// What was added last, to be taken back if it fails after all.
    last: usize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { limit, used: 0, last: 0 }
    }

    /// Adds this many unless they go beyond the limit.
    fn add(&mut self, more: usize) -> bool {
        let granted = self.used.checked_add(more).is_some_and(|sum| sum <= self.limit);
        self.last = if granted { more } else { 0 };
        self.used += self.last;
        granted
    }

    fn take_back(&mut self) {
        self.used -= std::mem::take(&mut self.last);
    }
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: Budget::new(limits.memory_bytes),
            table: Budget::new(limits.table_elements),
            denied: None,
            table_denied: None,
        }
    }

    /// Bytes of all linear memories.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.used
    }

    /// Elements of all tables.
    pub(crate) fn table_elements(&self) -> usize {
        self.table.used
    }

    /// The first refusal since the last call of this.
    pub(crate) fn take_denied(&mut self) -> Option<Denied> {
        self.denied.take()
    }

    /// Elements that all tables would have had at the first refusal since the last call of this.
    pub(crate) fn take_table_denied(&mut self) -> Option<usize> {
        self.table_denied.take()
    }

    fn deny(&mut self, more: usize) {
        let used = self.memory.used;
        self.denied.get_or_insert(Denied { wanted: used.saturating_add(more), used });
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let granted = self.memory.add(more);
        if !granted {
            self.deny(more);
        }
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.deny(self.memory.last);
        self.memory.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let granted = self.table.add(more);
        if !granted {
            self.table_denied.get_or_insert(self.table.used.saturating_add(more));
        }
        Ok(granted)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    fn limiter(pages: usize) -> Limiter {
        Limiter::new(&Limits { memory_bytes: pages * PAGE, table_elements: 10, ..Limits::default() })
    }

    fn grow(limiter: &mut Limiter, current: usize, desired: usize) -> bool {
        limiter.memory_growing(current * PAGE, desired * PAGE, None).expect("never an error")
    }

    #[test]
    fn memories_are_summed() {
        let mut limiter = limiter(3);
        assert!(grow(&mut limiter, 0, 1));
        assert!(grow(&mut limiter, 0, 2));
        assert!(!grow(&mut limiter, 1, 2));
        assert_eq!(limiter.memory_bytes(), 3 * PAGE);
        assert_eq!(limiter.take_denied(), Some(Denied { wanted: 4 * PAGE, used: 3 * PAGE }));
        assert_eq!(limiter.take_denied(), None);
    }

    #[test]
    fn growth_that_fails_after_all_is_taken_back() {
        let mut limiter = limiter(3);
        assert!(grow(&mut limiter, 0, 3));
        limiter.memory_grow_failed(wasmtime::Error::msg("no")).expect("never an error");
        assert_eq!(limiter.memory_bytes(), 0);
        assert_eq!(limiter.take_denied(), Some(Denied { wanted: 6 * PAGE, used: 3 * PAGE }));
        assert!(grow(&mut limiter, 0, 3));
    }

    #[test]
    fn tables_are_summed() {
        let mut limiter = limiter(1);
        assert!(limiter.table_growing(0, 6, None).expect("never an error"));
        assert!(!limiter.table_growing(0, 5, None).expect("never an error"));
        assert!(limiter.table_growing(6, 10, None).expect("never an error"));
        assert_eq!((limiter.take_table_denied(), limiter.take_table_denied()), (Some(11), None));
    }

    #[test]
    fn a_sum_beyond_all_numbers_is_refused() {
        assert!(!limiter(3).memory_growing(0, usize::MAX, None).expect("never an error"));
    }
}
