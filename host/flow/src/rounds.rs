//! Rounds: what an operator is told, and in which order, when the watermark or the clock advances and when its inputs end.
//!
//! A round is begun by an event and pulled command by command, so that each sees the timers that the one before has set:
//!
//! ```
//! # use wasmill_flow::{Command, Event, NextTimers, Rounds, Wants};
//! let mut rounds = Rounds::new(Wants { timers: true, notice_watermark: false, notice_end: false });
//! let mut next = NextTimers { event_time: Some(7), processing_time: None };
//! rounds.begin(Event::Watermark(10));
//! let mut told = Vec::new();
//! while let Some(command) = rounds.next(next) {
//!     told.push(command);
//!     next.event_time = None; // it has fired
//! }
//! assert!(matches!(told[..], [Command::FireTimers { up_to: 10, .. }, Command::ForwardWatermark(10)]));
//! ```
//!
//! * The watermark advances: event-time timers up to it, those included that are set meanwhile at or before it; the notice;
//!   then it goes on.
//! * The clock advances: processing-time timers up to it, likewise.
//! * All inputs have ended: the watermark becomes `time::MAX`; event-time timers; the notice of that watermark; then no
//!   processing-time timer can be set any more, and those that are set fire (each of them may set event-time timers, which
//!   go first); the end notice; then the end goes on. The watermark `time::MAX` itself does not go on alone, because rows
//!   that processing-time timers emit come after it: the end says it too.

use wasmill_model::{Timestamp, reply::TimeDomain, time};

/// Timers that one call of an operator is given at most.
pub const FIRED_MAX: usize = 4_096;

/// Calls of `on-timers` in one round at most. Many times what full state needs (4 million timers in 1,024 calls): an
/// operator that gets there sets timers that are due at once, for ever.
pub const CALLS_PER_ROUND_MAX: u32 = 1_000_000;

/// What the operator wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    pub timers: bool,
    pub notice_watermark: bool,
    pub notice_end: bool,
}

/// What begins a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The watermark of the inputs: it has advanced, or they are not idle any more.
    Watermark(Timestamp),
    /// Nothing is expected of the inputs for now.
    Idle,
    /// The host's clock.
    ProcessingTime(Timestamp),
    /// All inputs have ended.
    End,
}

/// The times of the first timers that are set now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTimers {
    pub event_time: Option<Timestamp>,
    pub processing_time: Option<Timestamp>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Call `on-timers` with the first timers of a domain up to a time, at most so many.
    FireTimers { domain: TimeDomain, up_to: Timestamp, max: usize },
    /// From now on ignore what sets timers of this domain: they would never fire.
    CloseTimers { domain: TimeDomain },
    /// Call `on-notice`.
    NoticeWatermark(Timestamp),
    /// Call `on-notice`.
    NoticeEnd,
    /// The watermark goes on to what follows; it is active.
    ForwardWatermark(Timestamp),
    /// What follows should expect nothing for now.
    ForwardIdle,
    /// The end goes on. Nothing comes after it.
    ForwardEnd,
    /// Fail: the operator sets timers that are due at once, for ever.
    Endless { domain: TimeDomain },
}

/// What is still to come in the current round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between rounds.
    Waiting,
    /// Event-time timers, then the notice of the watermark. `ends`: it is the last watermark.
    Watermark { ends: bool },
    /// The watermark goes on.
    Forward,
    /// Idleness goes on.
    Idle,
    /// Processing-time timers up to here.
    Clock { now: Timestamp },
    /// Processing-time timers are closed.
    Close,
    /// All timers.
    Drain,
    /// The end notice.
    Notice,
    /// The end goes on.
    End,
    /// After the end.
    Ended,
}

/// Runs the rounds of one operator.
#[derive(Debug, Clone)]
pub struct Rounds {
    wants: Wants,
    watermark: Timestamp,
    phase: Phase,
    /// Whether what follows was last told to expect nothing.
    idle: bool,
    /// Calls of `on-timers` in this round.
    calls: u32,
}

impl Rounds {
    /// No watermark yet, and nothing to do until the first event.
    pub fn new(wants: Wants) -> Self {
        Self { wants, watermark: time::MIN, phase: Phase::Waiting, idle: false, calls: 0 }
    }

    /// The watermark of the operator: during a round already the new one.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Whether the end has gone on.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Begins a round. There is nothing to do in it after the end, and for a watermark that does not advance; but after
    /// `Idle` any watermark goes on, because it says that there will be rows again.
    ///
    /// # Panics
    /// If the round before has not been pulled to its end.
    pub fn begin(&mut self, event: Event) {
        if self.phase == Phase::Ended {
            return;
        }
        assert_eq!(self.phase, Phase::Waiting, "a round begins within another");
        self.calls = 0;
        self.phase = match event {
            Event::Watermark(watermark) if watermark > self.watermark => {
                self.watermark = watermark;
                Phase::Watermark { ends: false }
            }
            Event::Watermark(_) if self.idle => Phase::Forward,
            Event::Watermark(_) => Phase::Waiting,
            Event::Idle if self.idle => Phase::Waiting,
            Event::Idle => Phase::Idle,
            Event::ProcessingTime(now) => Phase::Clock { now },
            Event::End => {
                self.watermark = time::MAX;
                Phase::Watermark { ends: true }
            }
        };
    }

    /// What is to be done next; `None`: the round is over.
    pub fn next(&mut self, timers: NextTimers) -> Option<Command> {
        loop {
            match self.phase {
                Phase::Waiting | Phase::Ended => return None,
                Phase::Watermark { ends } => {
                    if let Some(fire) = self.fire(TimeDomain::EventTime, timers.event_time, self.watermark) {
                        return Some(fire);
                    }
                    self.phase = if ends { Phase::Close } else { Phase::Forward };
                    if self.wants.notice_watermark {
                        return Some(Command::NoticeWatermark(self.watermark));
                    }
                }
                Phase::Forward => {
                    (self.phase, self.idle) = (Phase::Waiting, false);
                    return Some(Command::ForwardWatermark(self.watermark));
                }
                Phase::Idle => {
                    (self.phase, self.idle) = (Phase::Waiting, true);
                    return Some(Command::ForwardIdle);
                }
                Phase::Clock { now } => {
                    let fire = self.fire(TimeDomain::ProcessingTime, timers.processing_time, now);
                    if fire.is_some() {
                        return fire;
                    }
                    self.phase = Phase::Waiting;
                }
                Phase::Close => {
                    self.phase = Phase::Drain;
                    if self.wants.timers {
                        return Some(Command::CloseTimers { domain: TimeDomain::ProcessingTime });
                    }
                }
                Phase::Drain => {
                    let event_time = self.fire(TimeDomain::EventTime, timers.event_time, time::MAX);
                    if event_time.is_some() {
                        return event_time;
                    }
                    let fire = self.fire(TimeDomain::ProcessingTime, timers.processing_time, time::MAX);
                    if fire.is_some() {
                        return fire;
                    }
                    self.phase = Phase::Notice;
                }
                Phase::Notice => {
                    self.phase = Phase::End;
                    if self.wants.notice_end {
                        return Some(Command::NoticeEnd);
                    }
                }
                Phase::End => {
                    self.phase = Phase::Ended;
                    return Some(Command::ForwardEnd);
                }
            }
        }
    }

    /// The call that fires timers, if the first of them is due.
    fn fire(&mut self, domain: TimeDomain, first: Option<Timestamp>, up_to: Timestamp) -> Option<Command> {
        first.filter(|&first| first <= up_to)?;
        self.calls += 1;
        if self.calls > CALLS_PER_ROUND_MAX {
            return Some(Command::Endless { domain });
        }
        Some(Command::FireTimers { domain, up_to, max: FIRED_MAX })
    }
}

#[cfg(test)]
mod tests;
