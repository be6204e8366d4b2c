//! What a row or a timer of a keyed operator happens in.

use alloc::vec::Vec;

use crate::{
    Timestamp,
    build::numbers,
    data::{Reply, TimeDomain, TimerAction, TimerChanges},
    memory::i64_bytes,
    ports::Ports,
};

/// A moment on one of the two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The clock that advances with the watermark. At [`Timestamp::END`] all input has ended.
    EventTime(Timestamp),
    /// The host's clock.
    ProcessingTime(Timestamp),
}

impl Timer {
    pub(crate) fn new(domain: TimeDomain, time: Timestamp) -> Self {
        match domain {
            TimeDomain::EventTime => Self::EventTime(time),
            TimeDomain::ProcessingTime => Self::ProcessingTime(time),
        }
    }
}

/// What a row or a timer of a keyed operator happens in: where output goes, the time, and the key's timers.
#[derive(Debug)]
pub struct Ctx<P> {
    /// The operator's output.
    pub out: P,
    group: u32,
    event_time: Timestamp,
    timers: TimerLists,
}

impl<P: Ports> Ctx<P> {
    pub(crate) fn new() -> Self {
        Self { out: P::default(), group: 0, event_time: Timestamp::MIN, timers: TimerLists::default() }
    }

    #[inline]
    pub(crate) fn begin(&mut self, row: u32, group: u32, event_time: Timestamp) {
        self.group = group;
        self.event_time = event_time;
        self.out.begin(row, event_time);
    }

    /// The event time of the row, or the time of the timer; `None` if the rows have none, or the operator did not ask for it
    /// by [`KeyedOperator::EVENT_TIMES`](crate::KeyedOperator::EVENT_TIMES).
    pub fn event_time(&self) -> Option<Timestamp> {
        (self.event_time != Timestamp::MIN).then_some(self.event_time)
    }

    /// Sets a timer for the key of the row. Setting it twice is setting it once; one that is due already fires soon.
    #[inline]
    pub fn set_timer(&mut self, timer: Timer) {
        self.timers.push(TimerAction::Set, timer, self.group);
    }

    /// Clears a timer of the key, if it is set.
    #[inline]
    pub fn clear_timer(&mut self, timer: Timer) {
        self.timers.push(TimerAction::Clear, timer, self.group);
    }

    pub(crate) fn finish(self, rows: usize, event_times: bool) -> Reply {
        Reply { emissions: self.out.finish(rows, event_times), timers: self.timers.finish(), ..Reply::none() }
    }
}

/// Timers in the order they were set or cleared, in runs of the same kind.
#[derive(Debug, Default)]
struct TimerLists {
    closed: Vec<TimerChanges>,
    run: Option<(TimeDomain, TimerAction)>,
    groups: Vec<u32>,
    times: Vec<i64>,
}

impl TimerLists {
    #[inline]
    fn push(&mut self, action: TimerAction, timer: Timer, group: u32) {
        let (domain, time) = match timer {
            Timer::EventTime(time) => (TimeDomain::EventTime, time),
            Timer::ProcessingTime(time) => (TimeDomain::ProcessingTime, time),
        };
        if self.run != Some((domain, action)) {
            self.close();
            self.run = Some((domain, action));
        }
        self.groups.push(group);
        self.times.push(time.0);
    }

    fn close(&mut self) {
        let Some((domain, action)) = self.run.take() else { return };
        let (groups, times) = (numbers(&self.groups), i64_bytes(&self.times).to_vec());
        self.closed.push(TimerChanges { domain, action, groups, times });
        self.groups.clear();
        self.times.clear();
    }

    fn finish(mut self) -> Vec<TimerChanges> {
        self.close();
        self.closed
    }
}
