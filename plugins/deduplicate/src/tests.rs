//! Deduplication by hand.

use wasmill_sdk::{Row, testing::Harness};

use super::*;

#[derive(Row, Debug, Clone, PartialEq)]
struct Order {
    id: i64,
    n: i64,
}

fn setup(config: &str) -> Harness<Keyed<Deduplicate>> {
    let setup = Harness::setup().config(config).keyed_input::<Order>(&["id"]).with_event_times();
    setup.open().expect("it opens")
}

/// The times of the rows that go on, of rows of one key that come at these times.
fn kept(config: &str, times: &[i64]) -> Vec<i64> {
    let mut harness = setup(config);
    harness.process_at(times.iter().map(|&time| (Timestamp(time), Order { id: 1, n: time }))).expect("no row fails");
    let kept: Vec<i64> = harness.take::<Order>("out").iter().map(|order| order.n).collect();
    assert_eq!(kept.len() + harness.take::<Order>("duplicates").len(), times.len());
    kept
}

#[test]
fn rows_less_than_a_span_apart_are_duplicates() {
    let check = |times: &[i64], expect: &[i64]| assert_eq!(kept(r#"{"span":"10ms"}"#, times), expect, "{times:?}");
    check(&[0, 1, 9, 10, 19, 20], &[0, 10, 20]);
    check(&[0, 9, 18, 27], &[0, 18]);
    check(&[5, 5, 5], &[5]);
    check(&[-10, -1, 0], &[-10, 0]);
    check(&[100, 95, 91, 90, 80, 81, 109, 110], &[100, 90, 80, 110]);
    check(&[100, 70, 85, 110, 60], &[100, 70, 110, 60]);
    check(&[i64::MIN, i64::MAX, 0, i64::MAX - 9], &[i64::MIN, i64::MAX]);
}

#[test]
fn without_a_span_the_first_row_of_each_key_goes_on() {
    assert_eq!(kept("{}", &[5, 1_000_000, -7]), [5]);
    let mut harness =
        Harness::<Keyed<Deduplicate>>::setup().keyed_input::<Order>(&["id"]).open().expect("no times are needed");
    let rows = [(1, 0), (2, 1), (1, 2), (3, 3), (2, 4)].map(|(id, n)| Order { id, n });
    for row in rows.clone() {
        harness.process([row]).expect("no row fails");
        harness.replace_instance().expect("it opens again");
    }
    assert_eq!(harness.take::<Order>("out"), [rows[0].clone(), rows[1].clone(), rows[3].clone()]);
    assert_eq!((harness.keys(), harness.timers()), (3, 0));
}

#[test]
fn a_key_is_forgotten_once_no_row_can_be_its_duplicate() {
    for (config, forgotten_at) in [(r#"{"span":"10ms"}"#, 22), (r#"{"span":"10ms","lateness":"5ms"}"#, 27)] {
        let mut harness = setup(config);
        harness.process_at([0, 12].map(|n| (Timestamp(n), Order { id: 1, n }))).expect("no row fails");
        harness.advance_watermark(Timestamp(forgotten_at - 1)).expect("no timer fails");
        assert_eq!(harness.keys(), 1);
        harness.advance_watermark(Timestamp(forgotten_at)).expect("no timer fails");
        assert_eq!((harness.keys(), harness.timers()), (0, 0));
    }
}

#[test]
fn wrong_settings_are_refused_before_the_job_starts() {
    let check = |config: &str, message: &str| {
        let setup = Harness::<Keyed<Deduplicate>>::setup().config(config).keyed_input::<Order>(&["id"]);
        assert_eq!(setup.open().expect_err(message), message);
    };
    check(r#"{"span":"0s"}"#, "`span` must be at least 1ms");
    check(r#"{"span":"1s"}"#, "`span` needs rows with event times: give their source `event_time`");
    check(r#"{"lateness":"1s"}"#, "`lateness` needs a `span`: without one, keys are remembered for ever");
    check(r#"{"spam":"1s"}"#, "unknown key `spam`; known keys: span, lateness");
}
