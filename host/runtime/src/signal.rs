//! What an attempt's subtasks are wished to do, seen by all their threads.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// How far the wishes have gone. They only go up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    Run,
    /// Sources end where they are.
    Drain,
    /// Whoever has prepared makes its results visible.
    Commit,
    /// Everything ends; what is not committed is thrown away.
    Stop,
}

#[derive(Debug)]
pub(crate) struct Signal {
    wish: Mutex<Wish>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self { wish: Mutex::new(Wish::Run), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Wish {
        *self.lock()
    }

    /// Raises the wish; a lower one than before changes nothing.
    pub(crate) fn raise(&self, wish: Wish) {
        let mut now = self.lock();
        *now = wish.max(*now);
        drop(now);
        self.changed.notify_all();
    }

    /// Waits until the wish is above `seen`, or until the deadline.
    pub(crate) fn wait_above(&self, seen: Wish, deadline: Option<Instant>) -> Wish {
        let mut wish = self.lock();
        while *wish <= seen {
            wish = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(wish).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => self.changed.wait_timeout(wish, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        *wish
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn wishes_only_go_up_and_wake_those_who_wait() {
        let signal = Arc::new(Signal::new());
        let waiting = signal.clone();
        let waiter = thread::spawn(move || waiting.wait_above(Wish::Drain, None));
        signal.raise(Wish::Drain);
        signal.raise(Wish::Stop);
        signal.raise(Wish::Commit);
        assert_eq!(waiter.join().expect("the waiter does not panic"), Wish::Stop);
        assert_eq!(signal.get(), Wish::Stop);
        assert_eq!(Signal::new().wait_above(Wish::Run, Some(Instant::now())), Wish::Run);
    }
}
