//! The clock that operators see: the machine's, or one that is set by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use wasmill_model::Timestamp;

/// Tells the processing time.
#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    #[default]
    Machine,
    /// Stands still until it is set. Clones show the same time.
    ByHand(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that is set by hand, at the epoch.
    pub(crate) fn by_hand() -> Self {
        Self::ByHand(Arc::default())
    }

    /// Ms since the epoch.
    pub(crate) fn now_ms(&self) -> Timestamp {
        match self {
            Self::Machine => now_ms(),
            Self::ByHand(time) => time.load(Relaxed),
        }
    }

    /// Sets a clock that is set by hand.
    ///
    /// # Panics
    /// If it is the machine's.
    pub(crate) fn set(&self, now_ms: Timestamp) {
        let Self::ByHand(time) = self else { panic!("the machine's clock is not set by hand") };
        time.store(now_ms, Relaxed);
    }
}

/// The machine's clock, ms since the epoch.
pub(crate) fn now_ms() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Timestamp)
}

/// The machine's clock, µs since the epoch.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
