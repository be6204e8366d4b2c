//! Ending calls from outside, whatever their deadline.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Ends the calls of all instances that were started with it or a clone of it, for good: those under way within a tenth of a second.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a guest is stopped with.
#[derive(Debug, thiserror::Error)]
#[error("it was interrupted")]
pub(crate) struct Interrupted;
