//! The two clocks by which values are gone after their time.

use wasmill_model::{Timestamp, reply::TimeDomain};

/// The stamp of what was written nobody knows when.
const UNKNOWN: Timestamp = Timestamp::MAX;

/// What the clocks of a call show, ms since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    pub processing_time: Timestamp,
    /// The watermark.
    pub event_time: Timestamp,
}

impl Default for Clocks {
    /// Before all times.
    fn default() -> Self {
        Self { processing_time: 0, event_time: Timestamp::MIN }
    }
}

impl Clocks {
    /// What the clock of a domain shows.
    #[inline]
    pub fn of(self, domain: TimeDomain) -> Timestamp {
        match domain {
            TimeDomain::EventTime => self.event_time,
            TimeDomain::ProcessingTime => self.processing_time,
        }
    }
}

/// How long values live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl {
    ttl_ms: Timestamp,
    pub(crate) domain: TimeDomain,
}

impl Ttl {
    /// That of a cell; none: its values stay.
    pub(crate) fn of(cell: &wasmill_model::descriptor::Cell) -> Option<Self> {
        let ttl_ms = Timestamp::try_from(cell.ttl_ms?).unwrap_or(Timestamp::MAX);
        Some(Self { ttl_ms, domain: cell.ttl_domain })
    }

    /// Whether the time of a value that was written at `stamp` is not over.
    #[inline]
    pub(crate) fn is_on(self, stamp: Timestamp, now: Clocks) -> bool {
        now.of(self.domain).saturating_sub(stamp) < self.ttl_ms
    }

    /// When a value counts as written that is written now, for a group whose latest row is of `latest`, and had been written at
    /// `before`. In event time it is the later of both: of a value that every row of its key writes, it does not matter how the rows
    /// are cut into calls.
    #[inline]
    pub(crate) fn stamp(self, now: Clocks, latest: Option<Timestamp>, before: Option<Timestamp>) -> Timestamp {
        match self.domain {
            TimeDomain::ProcessingTime => now.processing_time,
            TimeDomain::EventTime => {
                let before = before.filter(|&before| before != UNKNOWN);
                let latest = latest.unwrap_or_else(|| self.unknown_stamp(now));
                latest.max(before.unwrap_or(Timestamp::MIN))
            }
        }
    }

    /// When a value counts as written of which nobody noted it: now, or, if it is not known what time it is, later than all times.
    pub(crate) fn unknown_stamp(self, now: Clocks) -> Timestamp {
        match now.of(self.domain) {
            Timestamp::MIN => UNKNOWN,
            now => now,
        }
    }
}
