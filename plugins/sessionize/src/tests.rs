//! Sessions against those that sorting the rows gives.

use wasmill_sdk::{Row, Timestamp, testing::Harness};

use super::*;

#[derive(Row, Debug, Clone, Copy, PartialEq)]
struct Click {
    user: i64,
    amount: Option<i64>,
}

#[derive(Row, Debug, Clone, PartialEq)]
struct Visit {
    user: i64,
    start: Timestamp,
    end: Timestamp,
    count: i64,
    sum: Option<i64>,
}

const CONFIG: &str = r#"{"gap":"10ms","sum":"amount"}"#;

fn setup(config: &str) -> Harness<Sessionize> {
    let setup = Harness::setup().config(config).keyed_input::<Click>(&["user"]).with_event_times();
    setup.open().expect("it opens")
}

fn click(time: i64) -> (Timestamp, Click) {
    (Timestamp(time), Click { user: 1, amount: Some(time) })
}

fn visit(start: i64, end: i64, count: i64, sum: Option<i64>) -> Visit {
    Visit { user: 1, start: Timestamp(start), end: Timestamp(end), count, sum }
}

/// Sessions of one user's clicks, with their event times.
fn sessions(times: &[i64]) -> Vec<(i64, Visit)> {
    let mut harness = setup(CONFIG);
    for &time in times {
        harness.process_at([click(time)]).expect("no row fails");
        harness.replace_instance().expect("it opens again");
    }
    harness.finish().expect("no timer fails");
    assert_eq!((harness.keys(), harness.timers()), (0, 0));
    let mut sessions: Vec<_> =
        harness.take_at::<Visit>("out").into_iter().map(|(time, visit)| (time.0, visit)).collect();
    // A timer that is set again fires after those of other sessions that were due with it.
    sessions.sort_by_key(|(time, _)| *time);
    sessions
}

#[test]
fn a_longer_pause_than_the_gap_ends_a_session() {
    let expect = [(29, visit(0, 19, 4, Some(34))), (40, visit(30, 30, 1, Some(30)))];
    assert_eq!(sessions(&[0, 5, 10, 19, 30]), expect);
    assert_eq!(sessions(&[-7, -7]), [(3, visit(-7, -7, 2, Some(-14)))]);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let times = [0, 8, 18, 40, 49, 60, 71, 90];
    let expect = sessions(&times);
    assert_eq!(expect.len(), 5);
    let mut shuffled = times;
    let mut seed = 1_usize;
    for _ in 0..200 {
        for i in (1..shuffled.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (seed >> 33) % (i + 1));
        }
        assert_eq!(sessions(&shuffled), expect, "{shuffled:?}");
    }
}

#[test]
fn a_session_leaves_when_the_watermark_has_passed_the_gap() {
    let mut harness = setup(CONFIG);
    harness.process_at([click(0), click(8), click(30)]).expect("no row fails");
    harness.advance_watermark(Timestamp(17)).expect("no timer fails");
    assert_eq!(harness.take::<Visit>("out"), []);
    // Still not late: it makes the two one.
    harness.process_at([click(18), click(20)]).expect("no row fails");
    harness.advance_watermark(Timestamp(39)).expect("no timer fails");
    assert_eq!(harness.take::<Visit>("out"), []);
    harness.advance_watermark(Timestamp(40)).expect("no timer fails");
    assert_eq!(harness.take::<Visit>("out"), [visit(0, 30, 5, Some(76))]);
    assert_eq!((harness.keys(), harness.timers()), (0, 0));
}

#[test]
fn a_late_row_joins_an_open_session_or_leaves_as_one_of_its_own() {
    let mut harness = setup(CONFIG);
    harness.process_at([click(0), click(100)]).expect("no row fails");
    harness.advance_watermark(Timestamp(95)).expect("no timer fails");
    assert_eq!(harness.take::<Visit>("out"), [visit(0, 0, 1, Some(0))]);
    harness.process_at([click(92), click(3)]).expect("no row fails");
    assert_eq!(harness.take_at::<Visit>("out"), [(Timestamp(13), visit(3, 3, 1, Some(3)))]);
    harness.finish().expect("no timer fails");
    assert_eq!(harness.take::<Visit>("out"), [visit(92, 100, 2, Some(192))]);
}

#[test]
fn nulls_count_but_do_not_add() {
    let mut harness = setup(CONFIG);
    let null = |user, time| (Timestamp(time), Click { user, amount: None });
    harness
        .process_at([null(1, 0), null(2, 0), (Timestamp(1), Click { user: 1, amount: Some(4) })])
        .expect("rows pass");
    harness.finish().expect("no timer fails");
    let other = Visit { user: 2, ..visit(0, 0, 1, None) };
    assert_eq!(harness.take::<Visit>("out"), [other, visit(0, 1, 2, Some(4))]);
}

#[test]
fn the_ends_of_time_are_times_too() {
    let mut harness = setup(r#"{"gap":"10ms"}"#);
    let row = |time| (Timestamp(time), Click { user: 1, amount: None });
    harness.process_at([i64::MIN, i64::MIN + 10, i64::MAX, i64::MAX - 10, 0].map(row)).expect("no row fails");
    harness.finish().expect("no timer fails");
    #[derive(Row, Debug, PartialEq)]
    struct Plain {
        start: Timestamp,
        end: Timestamp,
        count: i64,
    }
    let plain = |start, end, count| Plain { start: Timestamp(start), end: Timestamp(end), count };
    let expect = [plain(i64::MIN, i64::MIN + 10, 2), plain(0, 0, 1), plain(i64::MAX - 10, i64::MAX, 2)];
    let mut sessions = harness.take::<Plain>("out");
    sessions.sort_by_key(|session| session.start);
    assert_eq!(sessions, expect);
}

#[test]
fn a_sum_beyond_64_bits_fails_with_its_row() {
    let mut harness = setup(CONFIG);
    let row = |amount| (Timestamp(0), Click { user: 1, amount: Some(amount) });
    let failure = harness.process_at([row(1), row(i64::MAX)]).expect_err("the sum is too large");
    assert_eq!((failure.row, failure.message.as_str()), (Some(1), "the sum of a session is beyond 64 bits"));
}

#[test]
fn columns_can_be_named_and_floats_summed() {
    #[derive(Row, Clone)]
    struct Ride {
        city: i64,
        km: f64,
    }
    #[derive(Row, Debug, PartialEq)]
    struct Trips {
        city: i64,
        a: Timestamp,
        b: Timestamp,
        n: i64,
        total: Option<f64>,
    }
    let config =
        r#"{"gap":"1s","sum":"km","start_column":"a","end_column":"b","count_column":"n","sum_column":"total"}"#;
    let setup = Harness::<Sessionize>::setup().config(config).keyed_input::<Ride>(&["city"]).with_event_times();
    let mut harness = setup.open().expect("it opens");
    harness
        .process_at([(Timestamp(5), 1.5), (Timestamp(4), 0.25)].map(|(t, km)| (t, Ride { city: 3, km })))
        .expect("ok");
    harness.finish().expect("no timer fails");
    let expect = Trips { city: 3, a: Timestamp(4), b: Timestamp(5), n: 2, total: Some(1.75) };
    assert_eq!(harness.take::<Trips>("out"), [expect]);
}

#[test]
fn wrong_settings_are_refused_before_the_job_starts() {
    #[derive(Row)]
    struct Named<'a> {
        user: i64,
        name: &'a str,
    }
    let check = |config: &str, message: &str| {
        let setup = Harness::<Sessionize>::setup().config(config).keyed_input::<Named>(&["user"]).with_event_times();
        assert_eq!(setup.open().expect_err(message), message);
    };
    check("{}", "`gap` is missing");
    check(r#"{"gap":"0s"}"#, "`gap` must be at least 1ms");
    check(r#"{"gap":"1s","sum":"name"}"#, "column `name` is utf8, expected int64 or float64 to sum up");
    check(r#"{"gap":"1s","sum":"nam"}"#, "the input has no column `nam`; its columns: user, name");
    let error = Harness::<Sessionize>::setup().config(r#"{"gap":"1s"}"#).keyed_input::<Named>(&["user"]).open();
    let message = "sessions need rows with event times: give their source `event_time`";
    assert_eq!(error.expect_err("there are none"), message);
}
