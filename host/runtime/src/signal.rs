//! What an attempt's subtasks are wished to do, seen by all their threads.

use std::{
    collections::BTreeMap,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use wasmill_model::{
    Timestamp,
    ids::{CheckpointId, Subtask},
    portions::Given,
};
use wasmill_plugin::Interrupt;

use crate::{exchange::Barrier, life::Failure};

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

/// How far the checkpoints of an attempt are. The numbers only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// The newest that is to be taken.
    pub triggered: Option<Barrier>,
    /// The newest that is complete: what belongs to it may become visible.
    pub completed: Option<CheckpointId>,
    /// The newest that is given up, with all before it that are not complete.
    pub given_up: Option<CheckpointId>,
}

#[derive(Debug)]
pub(crate) struct Signal {
    /// How often anything has changed: who has seen the last change need not look.
    changes: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    /// Ends the calls of operators, once there is the wish to stop.
    interrupt: Interrupt,
}

#[derive(Debug)]
struct State {
    wish: Wish,
    checkpoints: Checkpoints,
    /// Up to which watermark sources may go, of those that were told.
    limits: BTreeMap<Subtask, Timestamp>,
    /// What sources were given that have asked.
    given: BTreeMap<Subtask, Given>,
    /// Why there is the wish to stop, if it is not the JobManager's.
    failure: Option<Failure>,
}

impl Signal {
    pub(crate) fn new() -> Self {
        let (limits, given) = (BTreeMap::new(), BTreeMap::new());
        let state = State { wish: Wish::Run, checkpoints: Checkpoints::default(), limits, given, failure: None };
        Self {
            changes: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Condvar::new(),
            interrupt: Interrupt::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What ends the calls of the attempt's operators.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    pub(crate) fn get(&self) -> Wish {
        self.lock().wish
    }

    /// How far checkpoints are.
    pub(crate) fn checkpoints(&self) -> Checkpoints {
        self.lock().checkpoints
    }

    /// Up to which watermark a source may go; `None`: that was not told.
    pub(crate) fn limit(&self, subtask: Subtask) -> Option<Timestamp> {
        self.lock().limits.get(&subtask).copied()
    }

    /// Says up to which watermarks sources may go. They replace the ones before.
    pub(crate) fn set_limits(&self, limits: BTreeMap<Subtask, Timestamp>) {
        let mut state = self.lock();
        state.limits = limits;
        self.tell(state);
    }

    /// What a source was given to read since the attempt began, if it was given anything.
    pub(crate) fn given(&self, subtask: Subtask) -> Option<Given> {
        self.lock().given.get(&subtask).cloned()
    }

    /// Says what sources were given to read. Each has all of before.
    pub(crate) fn set_given(&self, given: BTreeMap<Subtask, Given>) {
        let mut state = self.lock();
        state.given = given;
        self.tell(state);
    }

    /// A number that rises whenever anything has changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Says how far checkpoints are; what would go back stays.
    pub(crate) fn set_checkpoints(&self, new: Checkpoints) {
        let mut state = self.lock();
        let Checkpoints { triggered, completed, given_up } = &mut state.checkpoints;
        if new.triggered.map(|barrier| barrier.checkpoint) > triggered.map(|barrier| barrier.checkpoint) {
            *triggered = new.triggered;
        }
        *completed = new.completed.max(*completed);
        *given_up = new.given_up.max(*given_up);
        self.tell(state);
    }

    /// Counts the change before the lock is given back: whoever is about to wait has the lock until he does.
    fn tell(&self, state: MutexGuard<'_, State>) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        drop(state);
        self.changed.notify_all();
    }

    /// Why the subtasks are to stop, if the network is the reason.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    /// Raises the wish; a lower one than before changes nothing.
    pub(crate) fn raise(&self, wish: Wish) {
        let mut now = self.lock();
        now.wish = wish.max(now.wish);
        if wish == Wish::Stop {
            self.interrupt.raise();
        }
        self.tell(now);
    }

    /// Raises the wish to stop because of the network, unless it has gone further than running already; returns whether.
    pub(crate) fn fail(&self, failure: Failure) -> bool {
        let mut now = self.lock();
        let fails = now.wish < Wish::Commit;
        if fails {
            (now.wish, now.failure) = (Wish::Stop, Some(failure));
            self.interrupt.raise();
        }
        self.tell(now);
        fails
    }

    /// Waits until anything has changed since `seen`, or until the deadline.
    pub(crate) fn wait(&self, seen: u64, deadline: Option<Instant>) -> Wish {
        let mut state = self.lock();
        while self.changes() == seen {
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
        let waiter = thread::spawn(move || {
            loop {
                let seen = waiting.changes();
                match waiting.get() {
                    Wish::Stop => return Wish::Stop,
                    _ => drop(waiting.wait(seen, None)),
                }
            }
        });
        signal.raise(Wish::Drain);
        signal.raise(Wish::Stop);
        signal.raise(Wish::Commit);
        assert_eq!(waiter.join().expect("the waiter does not panic"), Wish::Stop);
        assert_eq!(signal.get(), Wish::Stop);
        assert_eq!(Signal::new().wait(0, Some(Instant::now())), Wish::Run);
    }
}
