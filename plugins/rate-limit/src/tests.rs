//! Rates by hand.

use wasmill_sdk::{Row, testing::Harness};

use super::*;

#[derive(Row, Debug, Clone, PartialEq)]
struct Call {
    caller: i64,
    n: i64,
}

fn setup(config: &str) -> Harness<Keyed<RateLimit>> {
    let setup = Harness::setup().config(config).keyed_input::<Call>(&["caller"]).with_event_times();
    setup.open().expect("it opens")
}

/// The numbers of the rows that go on, of rows of one key that come at these times, each in a call and instance of its own.
fn kept(config: &str, times: &[i64]) -> Vec<i64> {
    let mut harness = setup(config);
    for (n, &time) in (0..).zip(times) {
        harness.process_at([(Timestamp(time), Call { caller: 1, n })]).expect("no row fails");
        harness.replace_instance().expect("it opens again");
    }
    let kept: Vec<i64> = harness.take::<Call>("out").iter().map(|call| call.n).collect();
    assert_eq!(kept.len() + harness.take::<Call>("over").len(), times.len());
    kept
}

#[test]
fn a_bucket_holds_as_many_rows_as_a_span_may_have() {
    let check = |times: &[i64], expect: &[i64]| assert_eq!(kept(r#"{"rows":2,"span":"10ms"}"#, times), expect);
    check(&[0, 0, 0, 4, 5, 9, 10], &[0, 1, 4, 6]);
    check(&[-20, -20, -20, -10, -10, -10], &[0, 1, 3, 4]);
    check(&[100, 100, 0, 50, 104, 105], &[0, 1, 5]);
    check(&[i64::MIN, i64::MIN, i64::MIN, i64::MAX, i64::MAX, i64::MAX], &[0, 1, 3, 4]);
}

#[test]
fn nothing_is_rounded() {
    // One row each third of a millisecond.
    let times: Vec<i64> = (0..30).map(|n| n / 10).collect();
    assert_eq!(kept(r#"{"rows":3,"span":"1ms"}"#, &times).len(), 9);
    // A row each 7 ms over 10 s: every second one goes on where one may each 14 ms.
    let times: Vec<i64> = (0..1_000).map(|n| 7 * n).collect();
    assert_eq!(kept(r#"{"rows":1,"span":"14ms"}"#, &times).len(), 500);
    let most = r#"{"rows":4294967295,"span":"24d"}"#;
    assert_eq!(kept(most, &[0, i64::MAX, i64::MAX]), [0, 1, 2]);
}

#[test]
fn a_full_bucket_is_forgotten() {
    let mut harness = setup(r#"{"rows":2,"span":"10ms"}"#);
    let row = |time| (Timestamp(time), Call { caller: 1, n: time });
    harness.process_at([row(0), row(1), row(2), row(9)]).expect("no row fails");
    assert_eq!((harness.keys(), harness.timers()), (1, 1));
    harness.advance_watermark(Timestamp(10)).expect("no timer fails");
    assert_eq!((harness.keys(), harness.timers()), (1, 1));
    harness.advance_watermark(Timestamp(19)).expect("no timer fails");
    assert_eq!((harness.keys(), harness.timers()), (0, 0));
}

#[test]
fn wrong_settings_are_refused_before_the_job_starts() {
    let check = |config: &str, message: &str| {
        let setup = Harness::<Keyed<RateLimit>>::setup().config(config).keyed_input::<Call>(&["caller"]);
        assert_eq!(setup.open().expect_err(message), message);
    };
    check(r#"{"rows":0,"span":"1s"}"#, "`rows` must be at least 1");
    check(r#"{"rows":1,"span":"0ms"}"#, "`span` must be at least 1ms and at most 24 days");
    check(r#"{"rows":1,"span":"25d"}"#, "`span` must be at least 1ms and at most 24 days");
    check(r#"{"rows":1,"span":"1s"}"#, "a rate needs rows with event times: give their source `event_time`");
    check(r#"{"span":"1s"}"#, "`rows` is missing");
}
