//! When an event happens, by its number.

use super::divide::Divisor;

/// Event time: a fixed number of events a second from a first time on.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventClock {
    first_ms: i64,
    /// Events a second.
    rate: Divisor,
}

impl EventClock {
    pub(super) fn new(first_ms: i64, rate: u64) -> Self {
        Self { first_ms, rate: Divisor::new(rate) }
    }

    /// Time of an event whose number is at most 2^53, ms since the epoch.
    #[inline]
    pub(super) fn at(&self, event: u64) -> i64 {
        self.first_ms + self.rate.divide(event * 1_000).0 as i64
    }
}
