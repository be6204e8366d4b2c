//! Transcripts of whole rounds over a small operator whose timers set other timers.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::*;

/// An operator with timers of times only. When a timer of `sets.0` fires, it sets the timer `sets.1`.
struct Operator {
    timers: [BTreeSet<Timestamp>; 2],
    sets: Vec<((TimeDomain, Timestamp), (TimeDomain, Timestamp))>,
    processing_time_closed: bool,
    max: usize,
}

const EVENT: TimeDomain = TimeDomain::EventTime;
const CLOCK: TimeDomain = TimeDomain::ProcessingTime;

impl Operator {
    fn new(event_time: &[Timestamp], processing_time: &[Timestamp]) -> Self {
        let timers = [event_time, processing_time].map(|times| times.iter().copied().collect());
        Self { timers, sets: Vec::new(), processing_time_closed: false, max: 2 }
    }

    fn sets(mut self, on: (TimeDomain, Timestamp), set: (TimeDomain, Timestamp)) -> Self {
        self.sets.push((on, set));
        self
    }

    fn fire(&mut self, fired_in: TimeDomain, up_to: Timestamp) -> Vec<Timestamp> {
        let timers = &mut self.timers[usize::from(fired_in == CLOCK)];
        let fired: Vec<Timestamp> = timers.iter().copied().filter(|&t| t <= up_to).take(self.max).collect();
        timers.retain(|t| !fired.contains(t));
        for &((on, at), (domain, time)) in &self.sets {
            let closed = domain == CLOCK && self.processing_time_closed;
            if on == fired_in && fired.contains(&at) && !closed {
                self.timers[usize::from(domain == CLOCK)].insert(time);
            }
        }
        fired
    }
}

const ALL: Wants = Wants { timers: true, notice_watermark: true, notice_end: true };

fn run(rounds: &mut Rounds, operator: &mut Operator, events: &[Event]) -> String {
    let time = |t: Timestamp| match t {
        time::MIN => "MIN".to_string(),
        time::MAX => "MAX".to_string(),
        t => t.to_string(),
    };
    let list = |times: &[Timestamp]| times.iter().map(|&t| time(t)).collect::<Vec<_>>().join(", ");
    let mut transcript = String::new();
    for &event in events {
        transcript += &match event {
            Event::Watermark(t) => format!("watermark {}\n", time(t)),
            Event::ProcessingTime(t) => format!("clock {}\n", time(t)),
            other => format!("{other:?}\n").to_lowercase(),
        };
        rounds.begin(event);
        loop {
            let [event_time, processing_time] = operator.timers.each_ref().map(|t| t.first().copied());
            let Some(command) = rounds.next(NextTimers { event_time, processing_time }) else { break };
            transcript += &match command {
                Command::FireTimers { domain, up_to, .. } => {
                    let fired = operator.fire(domain, up_to);
                    format!("    fire {domain:?} {} at watermark {}\n", list(&fired), time(rounds.watermark()))
                }
                Command::CloseTimers { domain } => {
                    operator.processing_time_closed = true;
                    format!("    close {domain:?}\n")
                }
                Command::NoticeWatermark(t) => format!("    notice watermark {}\n", time(t)),
                Command::ForwardWatermark(t) => format!("    forward watermark {}\n", time(t)),
                other => format!("    {other:?}\n"),
            };
        }
    }
    transcript
}

fn check(wants: Wants, mut operator: Operator, events: &[Event], expect: Expect) {
    expect.assert_eq(&run(&mut Rounds::new(wants), &mut operator, events));
}

#[test]
fn timers_fire_up_to_the_watermark_before_it_is_told_and_goes_on() {
    check(
        ALL,
        Operator::new(&[1, 3, 5, 9, 20], &[2]),
        &[Event::Watermark(9), Event::Watermark(9), Event::Watermark(8), Event::Watermark(10)],
        expect![[r#"
            watermark 9
                fire EventTime 1, 3 at watermark 9
                fire EventTime 5, 9 at watermark 9
                notice watermark 9
                forward watermark 9
            watermark 9
            watermark 8
            watermark 10
                notice watermark 10
                forward watermark 10
        "#]],
    );
}

/// rule 34
#[test]
fn a_timer_set_during_the_round_at_or_before_the_watermark_fires_in_it() {
    check(
        ALL,
        Operator::new(&[4], &[]).sets((EVENT, 4), (EVENT, 2)).sets((EVENT, 2), (EVENT, 6)).sets((EVENT, 6), (EVENT, 7)),
        &[Event::Watermark(6), Event::Watermark(7)],
        expect![[r#"
            watermark 6
                fire EventTime 4 at watermark 6
                fire EventTime 2 at watermark 6
                fire EventTime 6 at watermark 6
                notice watermark 6
                forward watermark 6
            watermark 7
                fire EventTime 7 at watermark 7
                notice watermark 7
                forward watermark 7
        "#]],
    );
}

#[test]
fn the_clock_fires_processing_time_timers_only() {
    check(
        ALL,
        Operator::new(&[1], &[10, 11, 12, 30]).sets((CLOCK, 12), (CLOCK, 5)),
        &[Event::ProcessingTime(9), Event::ProcessingTime(12), Event::Idle],
        expect![[r#"
            clock 9
            clock 12
                fire ProcessingTime 10, 11 at watermark MIN
                fire ProcessingTime 12 at watermark MIN
                fire ProcessingTime 5 at watermark MIN
            idle
                ForwardIdle
        "#]],
    );
}

/// rule 37
#[test]
fn the_end_fires_event_time_then_processing_time_then_gives_notice() {
    check(
        ALL,
        Operator::new(&[5, time::MAX], &[100, 200])
            .sets((EVENT, 5), (CLOCK, 150))
            .sets((CLOCK, 100), (EVENT, 50))
            // A periodic timer of the clock would go on for ever.
            .sets((CLOCK, 200), (CLOCK, 300)),
        &[Event::Watermark(5), Event::End, Event::Watermark(6), Event::End],
        expect![[r#"
            watermark 5
                fire EventTime 5 at watermark 5
                notice watermark 5
                forward watermark 5
            end
                fire EventTime MAX at watermark MAX
                notice watermark MAX
                close ProcessingTime
                fire ProcessingTime 100, 150 at watermark MAX
                fire EventTime 50 at watermark MAX
                fire ProcessingTime 200 at watermark MAX
                NoticeEnd
                ForwardEnd
            watermark 6
            end
        "#]],
    );
}

/// rule 2
#[test]
fn an_operator_that_wants_nothing_is_told_nothing() {
    let wants = Wants { timers: false, notice_watermark: false, notice_end: false };
    check(
        wants,
        Operator::new(&[], &[]),
        &[Event::Watermark(5), Event::Idle, Event::Watermark(5), Event::ProcessingTime(7), Event::End],
        expect![[r#"
            watermark 5
                forward watermark 5
            idle
                ForwardIdle
            watermark 5
                forward watermark 5
            clock 7
            end
                ForwardEnd
        "#]],
    );
}

/// rule 38
#[test]
fn timers_that_set_themselves_for_ever_are_found_out() {
    let mut rounds = Rounds::new(ALL);
    rounds.begin(Event::Watermark(10));
    let timers = NextTimers { event_time: Some(10), processing_time: None };
    for _ in 0..CALLS_PER_ROUND_MAX {
        assert!(matches!(rounds.next(timers), Some(Command::FireTimers { .. })));
    }
    assert_eq!(rounds.next(timers), Some(Command::Endless { domain: EVENT }));
}

#[test]
#[should_panic(expected = "a round begins within another")]
fn rounds_do_not_overlap() {
    let mut rounds = Rounds::new(ALL);
    rounds.begin(Event::Watermark(1));
    rounds.begin(Event::Watermark(2));
}
