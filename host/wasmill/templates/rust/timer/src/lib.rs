//! Tells of each visit, once it is over: a visit ends when a user has not been seen for a while.
//!
//! A keyed operator with timers: the host calls it when a timer of a key is due. Event-time timers follow the times of the
//! rows, not a clock, so that the same rows give the same visits however fast they come. A row can come before a timer
//! that is due by its time: timers fire when the watermark has reached them, which says that no earlier row is expected.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp,
    data::Context,
    ports::{Key, Ports},
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<Visits>);

/// What a job file may say under `config`.
#[derive(Config)]
struct Settings {
    /// How long a user is not seen until the visit is over, in milliseconds.
    #[config(default = 30_000)]
    gap_ms: i64,
}

/// What leaves, behind the columns of the key.
#[derive(Row)]
struct Visit {
    pages: i64,
    first: Timestamp,
    last: Timestamp,
}

/// Where rows leave.
#[derive(Ports)]
struct Outputs {
    out: Key<Visit>,
}

/// What is remembered of a user in the middle of a visit.
#[derive(State)]
struct Seen {
    pages: Value<i64>,
    first: Value<Timestamp>,
    last: Value<Timestamp>,
}

struct Visits {
    gap_ms: i64,
}

impl KeyedOperator for Visits {
    type Config = Settings;
    type Input<'a> = ();
    type State = Seen;
    type Output = Outputs;
    const TIMERS: bool = true;
    const EVENT_TIMES: bool = true;

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        if settings.gap_ms <= 0 {
            return Err(Error::new("`gap_ms` must be above 0"));
        }
        Ok(Self { gap_ms: settings.gap_ms })
    }

    fn on_row(&mut self, (): (), seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let time = ctx.event_time().ok_or_else(|| Error::fatal("visits need rows with event times"))?;
        if let Some(&last) = seen.last.get() {
            let end = last.plus_ms(self.gap_ms);
            ctx.clear_timer(Timer::EventTime(end));
            if time > end {
                Self::tell(seen, ctx);
            }
        }
        let last = seen.last.get_or(time).max(time);
        seen.pages.set(seen.pages.get_or(0) + 1);
        seen.first.set(seen.first.get_or(time).min(time));
        seen.last.set(last);
        ctx.set_timer(Timer::EventTime(last.plus_ms(self.gap_ms)));
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        Self::tell(seen, ctx);
        Ok(())
    }
}

impl Visits {
    /// The visit is over: it leaves, and the key has no state any more.
    fn tell(seen: &mut Seen, ctx: &mut Ctx<Outputs>) {
        if let (Some(pages), Some(first), Some(last)) = (seen.pages.take(), seen.first.take(), seen.last.take()) {
            ctx.out.out.emit(Visit { pages, first, last });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row)]
    struct Page {
        user: i64,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Out {
        user: i64,
        pages: i64,
        first: Timestamp,
        last: Timestamp,
    }

    #[test]
    fn a_visit_ends_after_the_gap() {
        let setup = Harness::<Keyed<Visits>>::setup().config(r#"{"gap_ms":10}"#);
        let mut harness = setup.keyed_input::<Page>(&["user"]).with_event_times().open().expect("it opens");
        let page = |time, user| (Timestamp(time), Page { user });
        harness.process_at([page(5, 1), page(7, 2), page(0, 1), page(14, 1)]).expect("no row fails");
        harness.advance_watermark(Timestamp(23)).expect("no timer fails");
        let out = |user, pages, first, last| Out { user, pages, first: Timestamp(first), last: Timestamp(last) };
        assert_eq!(harness.take::<Out>("out"), [out(2, 1, 7, 7)]);
        harness.finish().expect("no timer fails");
        assert_eq!(harness.take::<Out>("out"), [out(1, 3, 0, 14)]);
        assert_eq!((harness.keys(), harness.timers()), (0, 0));
    }

    #[test]
    fn a_row_beyond_the_gap_ends_the_visit_before_it() {
        let setup = Harness::<Keyed<Visits>>::setup().config(r#"{"gap_ms":10}"#);
        let mut harness = setup.keyed_input::<Page>(&["user"]).with_event_times().open().expect("it opens");
        let page = |time| (Timestamp(time), Page { user: 1 });
        harness.process_at([page(0), page(10), page(21)]).expect("no row fails");
        let visit = |first, last, pages| Out { user: 1, pages, first: Timestamp(first), last: Timestamp(last) };
        assert_eq!(harness.take::<Out>("out"), [visit(0, 10, 2)]);
        harness.finish().expect("no timer fails");
        assert_eq!(harness.take::<Out>("out"), [visit(21, 21, 1)]);
    }
}
