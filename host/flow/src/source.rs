//! The watermark of a source, from the rows of its splits.
//!
//! Rows of a split come out of order by at most a given delay: its watermark is its largest event time less the delay, less 1 ms,
//! because a row with the same time may still come. A split that polling finds empty for a while is idle; time in which the
//! source was not polled, because what follows it was full or because it is ahead of other sources, does not count.
//!
//! A source that keeps in step with others is told up to which watermark it may go on. Behind that it is not polled. As long as it
//! was told nothing, it goes on until it has a watermark at all.

use std::time::Duration;

use wasmill_model::{Timestamp, spec::IDLE_AFTER_DEFAULT, time};

use crate::watermark::{Progress, Watermarks};

/// How a source makes its watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkOptions {
    /// How much later than a row another one with a smaller event time may come.
    pub out_of_order: Duration,
    /// How long polling must find nothing until a split is idle; `None`: never. A bounded source is never idle.
    pub idle_after: Option<Duration>,
    /// Whether it waits for others that are behind.
    pub in_step: bool,
}

impl WatermarkOptions {
    /// For a source that ends.
    pub fn bounded(out_of_order: Duration) -> Self {
        Self { out_of_order, idle_after: None, in_step: false }
    }

    /// For a source that does not end.
    pub fn unbounded(out_of_order: Duration) -> Self {
        Self { out_of_order, idle_after: Some(IDLE_AFTER_DEFAULT), in_step: false }
    }
}

#[derive(Debug, Clone, Copy)]
struct Split {
    /// When it last had rows, moved on by the time in which it was not polled.
    rows_at: Duration,
    /// Idle splits and finished ones are not waited for.
    waited_for: bool,
    finished: bool,
}

/// Makes the watermark of one source subtask. `now` is the time of a clock that never goes back, from any origin.
/// Each event returns what the splits are together now, if that has changed.
#[derive(Debug)]
pub struct WatermarkGenerator {
    options: WatermarkOptions,
    splits: Vec<Split>,
    watermarks: Watermarks,
    /// Since when polling has been held up, by what follows or by others that are behind.
    blocked_at: Option<Duration>,
    /// The watermark up to which it may be polled.
    limit: Timestamp,
}

impl WatermarkGenerator {
    /// For so many splits, at least one, from now on.
    pub fn new(splits: usize, options: WatermarkOptions, now: Duration) -> Self {
        let split = Split { rows_at: now, waited_for: true, finished: false };
        let limit = if options.in_step { time::MIN } else { time::MAX };
        Self { options, splits: vec![split; splits], watermarks: Watermarks::new(splits), blocked_at: None, limit }
    }

    /// A split has given rows, the latest with this event time; `None`: they have no event times.
    pub fn rows(&mut self, split: usize, event_time_max: Option<Timestamp>, now: Duration) -> Option<Progress> {
        if self.splits[split].finished {
            return None;
        }
        self.splits[split] = Split { rows_at: now, waited_for: true, finished: false };
        match event_time_max {
            Some(latest) => {
                let delay = i64::try_from(self.options.out_of_order.as_millis()).unwrap_or(time::MAX);
                self.watermarks.advance(split, latest.saturating_sub(delay).saturating_sub(1))
            }
            None => self.watermarks.active(split),
        }
    }

    /// A split has ended.
    pub fn finish(&mut self, split: usize) -> Option<Progress> {
        self.splits[split].waited_for = false;
        self.splits[split].finished = true;
        self.watermarks.finish(split)
    }

    /// Whether it waits for others that are behind.
    pub fn is_in_step(&self) -> bool {
        self.options.in_step
    }

    /// The watermark up to which the others let it go on now; `time::MAX`: however far. It may be lower than before.
    pub fn set_limit(&mut self, limit: Timestamp) {
        if self.options.in_step {
            self.limit = limit;
        }
    }

    /// The limit, if the source is ahead of it: then it is not to be polled, and that is no silence of the source.
    pub fn ahead_of(&mut self, now: Duration) -> Option<Timestamp> {
        match self.progress() {
            Progress::Watermark(watermark) if watermark > self.limit => {
                self.blocked(now);
                Some(self.limit)
            }
            _ => {
                self.unblocked(now);
                None
            }
        }
    }

    /// Polling is held up by what follows, until `unblocked`.
    pub fn blocked(&mut self, now: Duration) {
        self.blocked_at.get_or_insert(now);
    }

    /// Polling goes on.
    pub fn unblocked(&mut self, now: Duration) {
        if let Some(since) = self.blocked_at.take() {
            let held_up = now.saturating_sub(since);
            for split in &mut self.splits {
                // Rows that came while blocked began a new wait.
                split.rows_at = (split.rows_at + held_up).min(now);
            }
        }
    }

    /// Time has passed: splits that had no rows for too long are idle now.
    pub fn advance(&mut self, now: Duration) -> Option<Progress> {
        let idle_after = self.options.idle_after?;
        if self.blocked_at.is_some() {
            return None;
        }
        let mut changed = None;
        for (number, split) in self.splits.iter_mut().enumerate() {
            if split.waited_for && now.saturating_sub(split.rows_at) >= idle_after {
                split.waited_for = false;
                changed = self.watermarks.idle(number).or(changed);
            }
        }
        changed
    }

    /// When `advance` will next change something, if nothing else happens.
    pub fn deadline(&self) -> Option<Duration> {
        let idle_after = self.options.idle_after?;
        let waited_for = self.splits.iter().filter(|split| split.waited_for && self.blocked_at.is_none());
        waited_for.map(|split| split.rows_at + idle_after).min()
    }

    /// What the splits are together.
    pub fn progress(&self) -> Progress {
        self.watermarks.progress()
    }

    /// The watermark of the splits together.
    pub fn watermark(&self) -> Timestamp {
        self.watermarks.watermark()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn secs(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    fn in_step(options: WatermarkOptions) -> WatermarkOptions {
        WatermarkOptions { in_step: true, ..options }
    }

    /// Runs a script of `<seconds> <event> ...`, and prints what each changes and what is waited for.
    fn check(splits: usize, options: WatermarkOptions, script: &str, expect: Expect) {
        let mut source = WatermarkGenerator::new(splits, options, secs(0.0));
        let mut transcript = String::new();
        for line in script.split(';').map(str::trim).filter(|l| !l.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let now = secs(words[0].parse().expect("a time"));
            let split = || words[2].parse::<usize>().expect("a split");
            let changed = match words[1] {
                "rows" => source.rows(split(), words.get(3).map(|t| t.parse().expect("a time")), now),
                "finish" => source.finish(split()),
                "blocked" => {
                    source.blocked(now);
                    None
                }
                "unblocked" => {
                    source.unblocked(now);
                    None
                }
                "poll" => source.advance(now),
                "limit" => {
                    source.set_limit(words[2].parse().expect("a time"));
                    None
                }
                "ask" => {
                    let ahead = source.ahead_of(now).map_or("may".to_owned(), |limit| format!("ahead of {limit}"));
                    transcript += &format!("{line:<18} {ahead}\n");
                    continue;
                }
                other => panic!("no event {other}"),
            };
            let changed = changed.map_or("-".to_string(), |p| format!("{p:?}"));
            let deadline = source.deadline().map_or("-".to_string(), |d| format!("{}s", d.as_secs_f64()));
            transcript += &format!("{line:<18} {changed:<16} deadline {deadline}\n");
        }
        expect.assert_eq(&transcript);
    }

    #[test]
    fn the_watermark_is_the_latest_time_less_the_delay_less_one() {
        check(
            1,
            WatermarkOptions::bounded(secs(2.0)),
            "0 rows 0 10000; 1 rows 0 9000; 2 rows 0 12000; 99 poll; 99 finish 0; 99 rows 0 20000",
            expect![[r#"
                0 rows 0 10000     Watermark(7999)  deadline -
                1 rows 0 9000      -                deadline -
                2 rows 0 12000     Watermark(9999)  deadline -
                99 poll            -                deadline -
                99 finish 0        Finished         deadline -
                99 rows 0 20000    -                deadline -
            "#]],
        );
    }

    #[test]
    fn an_empty_split_becomes_idle_and_comes_back() {
        check(
            2,
            WatermarkOptions::unbounded(secs(0.0)),
            "0 rows 0 101; 4.9 poll; 4.95 rows 0 201; 5 poll; 5.5 rows 1 151; 6 rows 0 301; 20 poll; 21 rows 1 152",
            expect![[r#"
                0 rows 0 101       -                deadline 5s
                4.9 poll           -                deadline 5s
                4.95 rows 0 201    -                deadline 5s
                5 poll             Watermark(200)   deadline 9.95s
                5.5 rows 1 151     -                deadline 9.95s
                6 rows 0 301       -                deadline 10.5s
                20 poll            Idle             deadline -
                21 rows 1 152      Watermark(200)   deadline 26s
            "#]],
        );
    }

    #[test]
    fn time_in_which_the_source_was_held_up_does_not_count() {
        check(
            1,
            WatermarkOptions::unbounded(secs(0.0)),
            "1 rows 0 11; 3 blocked; 60 blocked; 60 poll; 100 unblocked; 102 poll; 103 poll; 104 rows 0",
            expect![[r#"
                1 rows 0 11        Watermark(10)    deadline 6s
                3 blocked          -                deadline -
                60 blocked         -                deadline -
                60 poll            -                deadline -
                100 unblocked      -                deadline 103s
                102 poll           -                deadline 103s
                103 poll           Idle             deadline -
                104 rows 0         Watermark(10)    deadline 109s
            "#]],
        );
    }

    #[test]
    fn splits_are_combined_and_finish_one_by_one() {
        check(
            2,
            WatermarkOptions::bounded(secs(0.0)),
            "0 rows 0 101; 0 rows 1 51; 0 finish 1; 0 rows 0 102; 0 finish 0",
            expect![[r#"
                0 rows 0 101       -                deadline -
                0 rows 1 51        Watermark(50)    deadline -
                0 finish 1         Watermark(100)   deadline -
                0 rows 0 102       Watermark(101)   deadline -
                0 finish 0         Finished         deadline -
            "#]],
        );
    }

    #[test]
    fn a_source_in_step_begins_and_then_goes_as_far_as_it_is_let() {
        check(
            1,
            in_step(WatermarkOptions::bounded(secs(1.0))),
            "0 ask; 0 rows 0; 0 ask; 0 rows 0 5001; 0 ask; 1 limit 4000; 1 ask; 1 rows 0 5002; 2 ask; 2 limit 9000; 2 ask; \
             3 limit 100; 3 ask; 3 finish 0; 3 ask",
            expect![[r#"
                0 ask              may
                0 rows 0           -                deadline -
                0 ask              may
                0 rows 0 5001      Watermark(4000)  deadline -
                0 ask              ahead of -9223372036854775808
                1 limit 4000       -                deadline -
                1 ask              may
                1 rows 0 5002      Watermark(4001)  deadline -
                2 ask              ahead of 4000
                2 limit 9000       -                deadline -
                2 ask              may
                3 limit 100        -                deadline -
                3 ask              ahead of 100
                3 finish 0         Finished         deadline -
                3 ask              may
            "#]],
        );
    }

    #[test]
    fn a_source_that_waits_for_others_is_not_idle_and_one_that_is_idle_does_not_wait() {
        check(
            1,
            in_step(WatermarkOptions::unbounded(secs(0.0))),
            "1 rows 0 11; 2 ask; 60 poll; 60 ask; 90 limit 10; 90 ask; 93.9 poll; 94 poll; 95 limit 1; 95 ask; 96 rows 0 12; 96 ask",
            expect![[r#"
                1 rows 0 11        Watermark(10)    deadline 6s
                2 ask              ahead of -9223372036854775808
                60 poll            -                deadline -
                60 ask             ahead of -9223372036854775808
                90 limit 10        -                deadline -
                90 ask             may
                93.9 poll          -                deadline 94s
                94 poll            Idle             deadline -
                95 limit 1         -                deadline -
                95 ask             may
                96 rows 0 12       Watermark(11)    deadline 101s
                96 ask             ahead of 1
            "#]],
        );
    }

    #[test]
    fn times_at_the_ends_of_time_do_not_overflow() {
        let options = WatermarkOptions::bounded(Duration::MAX);
        let mut source = WatermarkGenerator::new(1, options, secs(0.0));
        assert_eq!(source.rows(0, Some(time::MIN), secs(0.0)), None);
        assert_eq!(source.rows(0, Some(0), secs(0.0)), None);
        assert_eq!(source.watermark(), time::MIN);
    }
}
