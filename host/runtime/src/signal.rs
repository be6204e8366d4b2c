//! What an attempt's subtasks are wished to do, seen by all their threads.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::life::Failure;

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
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    wish: Wish,
    /// Why there is the wish to stop, if it is not the JobManager's.
    failure: Option<Failure>,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { wish: Wish::Run, failure: None }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Wish {
        self.lock().wish
    }

    /// Why the subtasks are to stop, if the network is the reason.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    /// Raises the wish; a lower one than before changes nothing.
    pub(crate) fn raise(&self, wish: Wish) {
        let mut now = self.lock();
        now.wish = wish.max(now.wish);
        drop(now);
        self.changed.notify_all();
    }

    /// Raises the wish to stop because of the network, unless it has gone further than running already; returns whether.
    pub(crate) fn fail(&self, failure: Failure) -> bool {
        let mut now = self.lock();
        let fails = now.wish < Wish::Commit;
        if fails {
            *now = State { wish: Wish::Stop, failure: Some(failure) };
        }
        drop(now);
        self.changed.notify_all();
        fails
    }

    /// Waits until the wish is above `seen`, or until the deadline.
    pub(crate) fn wait_above(&self, seen: Wish, deadline: Option<Instant>) -> Wish {
        let mut state = self.lock();
        while state.wish <= seen {
            state = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.wish
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
