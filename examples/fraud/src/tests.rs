//! Payments judged by rules, row by row.

use wasmill_sdk::testing::Harness;

use super::*;

#[derive(Row, Clone)]
struct Made {
    payment: String,
    card: i64,
    amount: f64,
    country: String,
}

#[derive(Row, Debug, PartialEq)]
struct Told {
    card: i64,
    at: Timestamp,
    payment: String,
    rule: String,
    payments: i64,
    amount: f64,
    today: f64,
}

#[derive(Row)]
struct CardKey {
    card: i64,
}

fn harness() -> Harness<Broadcast<Fraud>> {
    let setup = Harness::setup().keyed_input::<Made>(&["card"]).with_event_times();
    setup.input::<RuleRow<'_>>().with_event_times().open().expect("it opens")
}

fn many(at: i64, payments_max: Option<i64>) -> (Option<Timestamp>, RuleRow<'static>) {
    let at = Timestamp(at);
    (Some(at), RuleRow { rule: "many", at, window_s: 10, payments_max, amount_max: None, country: None })
}

/// Payments of a card every three seconds.
fn payments(count: i64) -> Vec<(Timestamp, Made)> {
    let made = |n: i64| Made { payment: format!("p{n}"), card: 7, amount: 2.0, country: "PL".to_owned() };
    (0..count).map(|n| (Timestamp(3_000 * n), made(n))).collect()
}

#[test]
fn it_does_not_matter_which_stream_is_read_first() {
    let rules = || [many(0, Some(3)), many(20_000, None), many(40_000, Some(3))];
    let mut told: Vec<Vec<Told>> = Vec::new();
    for rules_first in [true, false] {
        let mut harness = harness();
        if rules_first {
            harness.process_input(1, rules()).expect("no row fails");
        }
        harness.process_at(payments(16)).expect("no row fails");
        if !rules_first {
            harness.process_input(1, rules()).expect("no row fails");
        }
        harness.finish().expect("no timer fails");
        told.push(harness.take("alerts"));
    }
    let of: Vec<&str> = told[0].iter().map(|alert| alert.payment.as_str()).collect();
    assert_eq!(of, ["p3", "p4", "p5", "p6", "p14", "p15"]);
    assert_eq!((told[0][5].payments, told[0][5].amount, told[0][5].today), (4, 8.0, 32.0));
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_batch_asks_for_what_it_needs_at_once_and_what_is_old_is_forgotten() {
    let mut harness = harness();
    harness.process_input(1, [many(0, Some(3))]).expect("no row fails");
    let reads = harness.state_reads();
    harness.process_at(payments(16)).expect("no row fails");
    assert_eq!(harness.state_reads() - reads, 1, "those that wait");
    harness.advance_watermark(Timestamp(45_000)).expect("no timer fails");
    // Those that wait, recent ones, sums, rules.
    assert_eq!(harness.state_reads() - reads, 1 + 4);
    assert_eq!(harness.state::<Card>(CardKey { card: 7 }).recent.count(), 16);
    harness.advance_watermark(Timestamp(45_000 + DAY_MS)).expect("nothing fails");
    assert_eq!(harness.state::<Card>(CardKey { card: 7 }).recent.count(), 0);
    assert_eq!(harness.state::<Card>(CardKey { card: 7 }).sums.count(), 1);
    harness.advance_watermark(Timestamp(45_000 + 2 * DAY_MS)).expect("nothing fails");
    assert_eq!(harness.keys(), 0);
}
