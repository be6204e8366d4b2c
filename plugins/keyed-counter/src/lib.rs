//! Counts the rows of each key, and reads no column. The README says how to configure it.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    Config, Ctx, Error, Keyed, KeyedOperator, Row, Timer, Timestamp,
    data::Context,
    ports::{Key, Ports},
    state::{State, Value},
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(Keyed<KeyedCounter>);

#[derive(Config)]
struct Settings {
    /// When a key's count leaves: once, at the end of all input, or at every row, as the count so far.
    #[config(default = Emit::Final)]
    emit: Emit,
}

#[derive(Config, Clone, Copy, PartialEq)]
enum Emit {
    /// Once a key, at the end of all input.
    Final,
    /// At every row.
    Updates,
}

#[derive(Row)]
struct Count {
    count: i64,
}

#[derive(Ports)]
struct Outputs {
    counts: Key<Count>,
}

#[derive(State)]
struct Seen {
    count: Value<i64>,
}

struct KeyedCounter {
    emit: Emit,
}

impl KeyedOperator for KeyedCounter {
    type Config = Settings;
    type Input<'a> = ();
    type State = Seen;
    type Output = Outputs;
    const TIMERS: bool = true;

    fn open(settings: Settings, _: &Context) -> Result<Self, Error> {
        Ok(Self { emit: settings.emit })
    }

    fn on_row(&mut self, (): (), seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        let is_new = seen.count.is_empty();
        let count = seen.count.get_or_insert(0);
        *count += 1;
        match self.emit {
            Emit::Final if is_new => ctx.set_timer(Timer::EventTime(Timestamp::END)),
            Emit::Final => {}
            Emit::Updates => ctx.out.counts.emit(Count { count: *count }),
        }
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, seen: &mut Seen, ctx: &mut Ctx<Outputs>) -> Result<(), Error> {
        ctx.out.counts.emit(Count { count: seen.count.get_or(0) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[derive(Row, Clone)]
    struct Word<'a> {
        word: &'a str,
    }

    #[derive(Row, Debug, PartialEq)]
    struct Total {
        word: String,
        count: i64,
    }

    fn harness(config: &str) -> Harness<Keyed<KeyedCounter>> {
        Harness::setup().config(config).keyed_input::<Word>(&["word"]).open().expect("it opens")
    }

    fn words(text: &str) -> Vec<Word<'_>> {
        text.split(' ').map(|word| Word { word }).collect()
    }

    fn totals(expect: &[(&str, i64)]) -> Vec<Total> {
        expect.iter().map(|&(word, count)| Total { word: word.to_owned(), count }).collect()
    }

    #[test]
    fn totals_leave_at_the_end_of_input() {
        let mut harness = harness("{}");
        harness.process(words("to be or not to be")).expect("no row fails");
        harness.process(words("be")).expect("no row fails");
        assert_eq!((harness.timers(), harness.keys()), (4, 4));
        assert_eq!(harness.take::<Total>("counts"), []);
        harness.finish().expect("no timer fails");
        assert_eq!(harness.take::<Total>("counts"), totals(&[("be", 3), ("not", 1), ("or", 1), ("to", 2)]));
    }

    #[test]
    fn updates_leave_at_every_row() {
        let mut harness = harness(r#"{"emit":"updates"}"#);
        harness.process(words("to be to")).expect("no row fails");
        harness.replace_instance().expect("it opens again");
        harness.process(words("to")).expect("no row fails");
        assert_eq!(harness.timers(), 0);
        assert_eq!(harness.take::<Total>("counts"), totals(&[("to", 1), ("be", 1), ("to", 2), ("to", 3)]));
    }

    #[test]
    fn no_column_is_read() {
        let harness = harness("{}");
        assert_eq!(harness.descriptor().inputs[0].columns, [""; 0]);
        assert!(harness.descriptor().inputs[0].keyed);
    }

    #[test]
    fn a_wrong_choice_is_refused() {
        let setup =
            Harness::<Keyed<KeyedCounter>>::setup().config(r#"{"emit":"always"}"#).keyed_input::<Word>(&["word"]);
        let error = setup.open().expect_err("there is no such choice");
        assert_eq!(error, "emit: expected one of final, updates, found \"always\"");
    }
}
