//! Passes on at most so many rows of a key in a span of event time: a token bucket. The README says how to configure it.
//!
//! A key's bucket holds `rows` tokens when it is full, and fills at `rows` tokens a span. Levels are counted in parts of a
//! token, one over the span in milliseconds, so that nothing is rounded: each millisecond adds `rows` parts.

#![cfg_attr(not(test), no_std)]

use core::time::Duration;

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Timer, Timestamp,
    data::{Context, Input},
    ports::{Pass, Ports},
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<RateLimit>);

#[derive(Config)]
struct Settings {
    /// Rows of a key that may go on in a span, 1 to 4,294,967,295.
    rows: u32,
    /// The span, `"1ms"` to `"24d"`.
    span: Duration,
}

#[derive(State)]
struct Bucket {
    /// Parts of tokens in it at that time.
    level: Value<i64>,
    /// The latest time a row came at.
    at: Value<Timestamp>,
}

#[derive(Ports)]
struct Outputs {
    out: Pass,
    over: Pass,
}

struct RateLimit {
    /// Parts that a millisecond adds.
    parts_per_ms: i64,
    /// Parts of a token.
    token: i64,
}

/// The longest span: a full bucket then has fewer parts than an int64 holds.
const SPAN_MS_MAX: u128 = i32::MAX as u128;

impl KeyedOperator for RateLimit {
    type Config = Settings;
    type Input<'a> = ();
    type State = Bucket;
    type Output = Outputs;
    const TIMERS: bool = true;
    const EVENT_TIMES: bool = true;

    fn check(settings: &Settings, input: &Input) -> Result<(), Error> {
        if settings.rows == 0 {
            return Err(Error::new("`rows` must be at least 1"));
        }
        if !(1..=SPAN_MS_MAX).contains(&settings.span.as_millis()) {
            return Err(Error::new("`span` must be at least 1ms and at most 24 days"));
        }
        if !input.event_times {
            return Err(Error::new("a rate needs rows with event times: give their source `event_time`"));
        }
        Ok(())
    }

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        let token = settings.span.as_millis().min(SPAN_MS_MAX) as i64;
        Ok(Self { parts_per_ms: settings.rows.into(), token })
    }

    fn on_row(&mut self, (): (), bucket: &mut Bucket, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let time = ctx.event_time().unwrap_or(Timestamp::MIN);
        let (mut level, mut at) = (self.full(), time);
        if let (Some(&left), Some(&latest)) = (bucket.level.get(), bucket.at.get()) {
            at = latest.max(time);
            level = self.filled(left, latest, at);
        } else {
            ctx.set_timer(Timer::EventTime(time.plus_ms(self.token)));
        }
        if level >= self.token {
            level -= self.token;
            ctx.out.out.emit();
        } else {
            ctx.out.over.emit();
        }
        bucket.level.set(level);
        bucket.at.set(at);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, bucket: &mut Bucket, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let now = ctx.event_time().unwrap_or(Timestamp::MIN);
        let (Some(&level), Some(&at)) = (bucket.level.get(), bucket.at.get()) else { return Ok(()) };
        let missing = self.full() - level;
        let full_at = at.plus_ms(missing / self.parts_per_ms + i64::from(missing % self.parts_per_ms > 0));
        if full_at <= now {
            bucket.level.clear();
            bucket.at.clear();
        } else {
            ctx.set_timer(Timer::EventTime(full_at));
        }
        Ok(())
    }
}

impl RateLimit {
    /// Parts in a full bucket.
    fn full(&self) -> i64 {
        self.parts_per_ms * self.token
    }

    /// The level after some time.
    fn filled(&self, level: i64, from: Timestamp, to: Timestamp) -> i64 {
        let added = to.0.saturating_sub(from.0).saturating_mul(self.parts_per_ms);
        level.saturating_add(added).min(self.full())
    }
}

#[cfg(test)]
mod tests;
