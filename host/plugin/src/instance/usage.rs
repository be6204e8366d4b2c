//! How near an instance has come to its limits. Counted only where it is asked for: by `wasmill test` and `wasmill bench`.

use std::time::{Duration, Instant};

use crate::{binding::reply::Size, limits::Limits};

/// What an instance has used at most so far, limit by limit. Of several instances: the most that one of them used, but for
/// what is counted over all their calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of linear memory.
    pub memory_bytes: usize,
    pub table_elements: usize,
    /// Handles that WASI gave out and the guest has not dropped, at one time.
    pub handles: usize,
    /// The longest call.
    pub call: Duration,
    /// Bytes of one answer.
    pub output_bytes: usize,
    /// Rows that one call made, beyond those it let through.
    pub output_rows: usize,
    /// Lines taken out of what the rate of the log allows at once.
    pub log_lines: u32,
    pub metric_names: usize,
    /// Lines over the rate, over all calls.
    pub log_dropped: u64,
    /// Numbers for names that are bad or too many, over all calls.
    pub metrics_refused: u64,
    /// Time from entering guest code to leaving it, arguments and results copied included, over all calls.
    pub in_guest: Duration,
    /// Calls over all functions.
    pub calls: u64,
}

impl Usage {
    /// Adds what another instance of the same operator used.
    pub fn join(&mut self, other: &Self) {
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.table_elements = self.table_elements.max(other.table_elements);
        self.handles = self.handles.max(other.handles);
        self.call = self.call.max(other.call);
        self.output_bytes = self.output_bytes.max(other.output_bytes);
        self.output_rows = self.output_rows.max(other.output_rows);
        self.log_lines = self.log_lines.max(other.log_lines);
        self.metric_names = self.metric_names.max(other.metric_names);
        self.log_dropped += other.log_dropped;
        self.metrics_refused += other.metrics_refused;
        self.in_guest += other.in_guest;
        self.calls += other.calls;
    }
}

/// Counts the calls of one instance.
#[derive(Debug, Default)]
pub(super) struct Meter {
    used: Usage,
}

impl Meter {
    pub(super) fn call(&mut self, began: Instant) {
        let took = began.elapsed();
        self.used.calls += 1;
        self.used.call = self.used.call.max(took);
        self.used.in_guest += took;
    }

    pub(super) fn answer(&mut self, size: Size) {
        self.used.output_bytes = self.used.output_bytes.max(size.bytes);
        self.used.output_rows = self.used.output_rows.max(size.rows);
    }
}

impl super::Instance {
    /// From now on counts what calls use.
    pub fn meter(&mut self) {
        self.guest.meter = Some(Box::default());
    }

    /// What was used since `meter` was called, and of memory, tables, log and metrics since the start.
    pub fn usage(&self) -> Usage {
        let guest = self.guest.store.data();
        let counted = self.guest.meter.as_ref().map(|meter| meter.used.clone()).unwrap_or_default();
        Usage {
            memory_bytes: guest.limiter.memory_bytes(),
            table_elements: guest.limiter.table_elements(),
            handles: guest.handles.most(),
            log_lines: guest.log.at_once(),
            log_dropped: guest.log.dropped(),
            metric_names: guest.metrics.iter().count(),
            metrics_refused: guest.metrics.refused(),
            ..counted
        }
    }

    /// The limits it runs under.
    pub fn limits(&self) -> &Limits {
        &self.guest.limits
    }
}
