//! Passes on the first row of each key within a span of event time. The README says how to configure it.
//!
//! A key's cells are the times of its earliest and of its latest row that went on. A row between them, or less than the span
//! away from them, is a duplicate: so no two rows of a key that go on are less than the span apart, however late rows come.

#![cfg_attr(not(test), no_std)]

use core::time::Duration;

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Timer, Timestamp,
    data::{Context, Input},
    ports::{Pass, Ports},
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<Deduplicate>);

#[derive(Config)]
struct Settings {
    /// Two rows of a key both go on only if they are at least this far apart; without it, one row a key, for ever.
    span: Option<Duration>,
    /// How long a key is remembered beyond its span, for rows behind the watermark.
    #[config(default)]
    lateness: Duration,
}

impl Settings {
    /// The span, in ms; the largest there is for all time.
    fn span_ms(&self) -> i64 {
        self.span.map_or(i64::MAX, milliseconds)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[derive(State)]
struct Passed {
    earliest: Value<Timestamp>,
    latest: Value<Timestamp>,
}

#[derive(Ports)]
struct Outputs {
    out: Pass,
    /// All other rows.
    duplicates: Pass,
}

struct Deduplicate {
    has_span: bool,
    span_ms: i64,
    /// From a row that went on until its key may be forgotten.
    memory_ms: i64,
}

impl KeyedOperator for Deduplicate {
    type Config = Settings;
    type Input<'a> = ();
    type State = Passed;
    type Output = Outputs;
    const TIMERS: bool = true;
    const EVENT_TIMES: bool = true;

    fn check(settings: &Settings, input: &Input) -> Result<(), Error> {
        if settings.span.is_some_and(|span| milliseconds(span) == 0) {
            return Err(Error::new("`span` must be at least 1ms"));
        }
        if settings.span.is_none() && !settings.lateness.is_zero() {
            return Err(Error::new("`lateness` needs a `span`: without one, keys are remembered for ever"));
        }
        if settings.span.is_some() && !input.event_times {
            return Err(Error::new("`span` needs rows with event times: give their source `event_time`"));
        }
        Ok(())
    }

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        let span_ms = settings.span_ms();
        let memory_ms = span_ms.saturating_add(milliseconds(settings.lateness));
        Ok(Self { has_span: settings.span.is_some(), span_ms, memory_ms })
    }

    fn on_row(&mut self, (): (), passed: &mut Passed, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let time = ctx.event_time().unwrap_or(Timestamp::MIN);
        if let (Some(&earliest), Some(&latest)) = (passed.earliest.get(), passed.latest.get()) {
            let is_before = self.has_span && time < earliest && self.is_far(time, earliest);
            let is_behind = self.has_span && time > latest && self.is_far(latest, time);
            if !is_before && !is_behind {
                ctx.out.duplicates.emit();
                return Ok(());
            }
            if is_before {
                passed.earliest.set(time);
            } else {
                passed.latest.set(time);
                ctx.set_timer(Timer::EventTime(time.plus_ms(self.memory_ms)));
            }
        } else {
            passed.earliest.set(time);
            passed.latest.set(time);
            if self.has_span {
                ctx.set_timer(Timer::EventTime(time.plus_ms(self.memory_ms)));
            }
        }
        ctx.out.out.emit();
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, passed: &mut Passed, _: &mut Ctx<Outputs>) -> Result<(), Error> {
        let Timer::EventTime(now) = timer else { return Ok(()) };
        if passed.latest.get().is_some_and(|latest| latest.plus_ms(self.memory_ms) <= now) {
            passed.earliest.clear();
            passed.latest.clear();
        }
        Ok(())
    }
}

impl Deduplicate {
    /// Whether a moment is at least the span before another.
    fn is_far(&self, from: Timestamp, to: Timestamp) -> bool {
        i128::from(to.0) - i128::from(from.0) >= i128::from(self.span_ms)
    }
}

#[cfg(test)]
mod tests;
