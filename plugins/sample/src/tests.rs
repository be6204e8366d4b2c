//! Samples of small tables.

use wasmill_sdk::{Row, testing::Harness};

use super::*;

#[derive(Row, Debug, Clone, PartialEq)]
struct Visit {
    user: String,
    page: Option<i64>,
    at: f64,
}

fn visits(count: i64) -> Vec<Visit> {
    let visit = |n: i64| Visit { user: format!("u{}", n % 50), page: (n % 3 != 0).then_some(n), at: n as f64 };
    (0..count).map(visit).collect()
}

/// What goes on if so many rows come at a time, each time to a new instance.
fn sampled(config: &str, rows_per_call: usize, visits: &[Visit]) -> Vec<Visit> {
    let mut harness = Harness::<Sample>::setup().config(config).input::<Visit>().open().expect("it opens");
    for rows in visits.chunks(rows_per_call) {
        harness.process(rows.to_vec()).expect("no row fails");
        harness.replace_instance().expect("it opens again");
    }
    harness.take("out")
}

#[test]
fn every_nth_row_of_a_key_goes_on() {
    #[derive(Row, Debug, Clone, PartialEq)]
    struct Event {
        key: i64,
        n: i64,
    }
    let events: Vec<Event> = (0..100).map(|n| Event { key: n % 7 % 3, n }).collect();
    for every in [1, 2, 10, 1_000] {
        let mut seen = [0; 3];
        let goes_on = |event: &&Event| {
            let seen: &mut i64 = &mut seen[event.key as usize];
            *seen += 1;
            (*seen - 1) % every == 0
        };
        let expect: Vec<Event> = events.iter().filter(goes_on).cloned().collect();
        for rows_per_call in [1, 9, 100] {
            let setup = Harness::<Sample>::setup().config(&format!(r#"{{"every":{every}}}"#));
            let mut harness = setup.keyed_input::<Event>(&["key"]).open().expect("it opens");
            for rows in events.chunks(rows_per_call) {
                harness.process(rows.to_vec()).expect("no row fails");
                harness.replace_instance().expect("it opens again");
            }
            assert_eq!(harness.take::<Event>("out"), expect, "{every}, {rows_per_call} rows a call");
        }
    }
}

#[test]
fn a_fraction_is_chosen_by_the_row_alone() {
    let all = visits(10_000);
    let config = r#"{"fraction":0.25,"columns":["page","at"]}"#;
    let expect = sampled(config, all.len(), &all);
    assert!((2_300..2_700).contains(&expect.len()), "{}", expect.len());
    assert_eq!(sampled(config, 333, &all), expect);
    let mut backwards: Vec<Visit> = all.iter().rev().cloned().collect();
    backwards = sampled(config, 77, &backwards);
    backwards.reverse();
    assert_eq!(backwards, expect);
    let seeded = sampled(r#"{"fraction":0.25,"columns":["page","at"],"seed":1}"#, 333, &all);
    assert!(seeded != expect && (2_300..2_700).contains(&seeded.len()));
    assert_eq!(sampled(r#"{"fraction":1,"columns":["at"]}"#, 333, &all), all);
}

#[test]
fn rows_of_equal_values_share_their_lot() {
    let all = visits(1_000);
    let kept = sampled(r#"{"fraction":0.5,"columns":["user"]}"#, 100, &all);
    let users: std::collections::BTreeSet<&str> = kept.iter().map(|visit| visit.user.as_str()).collect();
    assert!((15..35).contains(&users.len()), "{}", users.len());
    assert_eq!(kept.len(), users.len() * 20);
    let odd = [0.0, -0.0, f64::NAN, -f64::NAN].map(|at| Visit { user: String::new(), page: None, at });
    for seed in 0..20 {
        let kept = sampled(&format!(r#"{{"fraction":0.5,"columns":["page","at"],"seed":{seed}}}"#), 1, &odd);
        let zeros = kept.iter().filter(|visit| visit.at == 0.0).count();
        assert!(zeros % 2 == 0 && (kept.len() - zeros).is_multiple_of(2), "seed {seed}");
    }
}

#[test]
fn the_choice_stays_the_same_for_ever() {
    let kept = sampled(r#"{"fraction":0.1,"columns":["user","page"]}"#, 100, &visits(60));
    let places: Vec<f64> = kept.iter().map(|visit| visit.at).collect();
    assert_eq!(places, KEPT);
}

/// Whoever changes the hash changes everybody's samples.
const KEPT: [f64; 6] = [1.0, 5.0, 18.0, 21.0, 47.0, 59.0];

#[test]
fn wrong_settings_are_refused_before_the_job_starts() {
    let check = |config: &str, message: &str| {
        let setup = Harness::<Sample>::setup().config(config).keyed_input::<Visit>(&["user"]);
        assert_eq!(setup.open().expect_err(message), message);
    };
    let either = "give either `every` (with `key_by` of the job file), or `fraction` and `columns`";
    check("{}", either);
    check(r#"{"every":2,"fraction":0.5}"#, either);
    check(r#"{"every":2,"columns":["at"]}"#, either);
    check(r#"{"every":0}"#, "`every` must be at least 1");
    check(r#"{"fraction":0,"columns":["at"]}"#, "`fraction` must lie above 0 and not above 1");
    check(r#"{"fraction":0.5}"#, "`fraction` needs `columns`: rows are chosen by a hash of their values");
    check(r#"{"fraction":0.5,"columns":[]}"#, "`columns` names no column");
    check(r#"{"fraction":0.5,"columns":["att"]}"#, "the input has no column `att`; its columns: user, page, at");
}
