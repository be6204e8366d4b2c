//! Moments.

use core::fmt;

/// Milliseconds since 1970-01-01T00:00Z: an event time, a watermark, a timer's time or the host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before all time: the watermark as long as nothing is known.
    pub const MIN: Self = Self(i64::MIN);
    /// The end of all input: a timer set for it fires when no more rows can come.
    pub const END: Self = Self(i64::MAX);

    /// This moment and a number of milliseconds, which may be negative. Stops at [`Self::MIN`] and [`Self::END`].
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
