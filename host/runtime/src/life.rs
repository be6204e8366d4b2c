//! The life of an attempt on this TaskManager: what ends it, from inside or from outside.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    error::Error,
    exchange,
    net::Outlet,
    signal::{Checkpoints, Signal, Wish},
};

/// Why the network, or the store, ended an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A connection that had channels of the attempt is gone.
    Lost { peer: String, reason: String },
    /// A channel could not be opened.
    Unreachable { peer: String, reason: String },
    /// Snapshots could not be written, again and again.
    Checkpoints { reason: String },
    /// A row is larger than can be sent.
    RowTooLarge { bytes: usize },
}

/// Wakes and ends whoever waits at one place.
#[derive(Debug)]
pub(crate) enum Stopper {
    Gate(exchange::Stopper),
    Outlet(Arc<Outlet>),
}

/// What an attempt's threads and the network share.
pub(crate) struct Life {
    pub(crate) signal: Signal,
    stoppers: Mutex<Vec<Stopper>>,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost { peer, reason } => Self::ExchangeLost { peer, reason },
            Failure::Unreachable { peer, reason } => Self::ExchangeUnreachable { peer, reason },
            Failure::Checkpoints { reason } => Self::Checkpoints { reason },
            Failure::RowTooLarge { bytes } => Self::RowTooLarge { bytes },
        }
    }
}

impl Stopper {
    fn stop(&self) {
        match self {
            Self::Gate(stopper) => stopper.stop(),
            Self::Outlet(outlet) => outlet.stop(),
        }
    }
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { signal: Signal::new(), stoppers: Mutex::default() }
    }

    /// Adds a place where somebody may wait; one that is added after the end is ended at once.
    pub(crate) fn add(&self, stopper: Stopper) {
        let mut stoppers = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.signal.get() == Wish::Stop {
            stopper.stop();
        }
        stoppers.push(stopper);
    }

    /// Raises what the subtasks are wished to do.
    pub(crate) fn raise(&self, wish: Wish) {
        self.signal.raise(wish);
        if wish == Wish::Stop {
            self.stop_all();
        }
    }

    /// Says how far checkpoints are, and wakes those who are to see to it.
    pub(crate) fn checkpoints(&self, checkpoints: Checkpoints) {
        self.signal.set_checkpoints(checkpoints);
        let stoppers = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        for stopper in stoppers.iter() {
            if let Stopper::Gate(gate) = stopper {
                gate.poke();
            }
        }
    }

    /// Ends the attempt here because of the network or the store. Once it is to commit, or to stop, nothing of the network matters.
    pub(crate) fn fail(&self, failure: Failure) {
        if self.signal.fail(failure) {
            self.stop_all();
        }
    }

    /// Closes the channels to other TaskManagers.
    pub(crate) fn close_outlets(&self) {
        let stoppers = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        stoppers.iter().filter(|stopper| matches!(stopper, Stopper::Outlet(_))).for_each(Stopper::stop);
    }

    fn stop_all(&self) {
        let stoppers = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        stoppers.iter().for_each(Stopper::stop);
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("signal", &self.signal).finish_non_exhaustive()
    }
}
