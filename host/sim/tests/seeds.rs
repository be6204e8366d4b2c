//! 5,000 seeds, in parts that run beside each other, and the same seed twice.

use wasmill_sim::{Options, run, search};

const SEEDS_EACH: u64 = 625;

#[track_caller]
fn every_rule_holds(part: u64) {
    let seeds = part * SEEDS_EACH..(part + 1) * SEEDS_EACH;
    match search(seeds, None) {
        // The world was no gentle one.
        Ok(counts) => {
            assert!(counts.jobmanager_crashes > 100 && counts.taskmanager_crashes > 100, "{counts:?}");
            assert!(counts.checkpoints > 500 && counts.savepoints > 100 && counts.stopped > 100, "{counts:?}");
            assert!(counts.replaced > 50 && counts.rolled_back > 10, "{counts:?}");
            assert!((part > 0 || counts.passed_over > 0) && counts.decisions > 20, "{counts:?}");
            assert!(counts.lost > 50 && counts.given_up > 10, "{counts:?}");
            assert!(counts.timers > 50_000 && counts.idles > 20 && counts.waits > 1_000, "{counts:?}");
            assert!(counts.messages_lost > 500 && counts.fences > 100 && counts.commits > 100, "{counts:?}");
        }
        Err(outcome) => panic!("{}", outcome.explain()),
    }
}

#[test]
fn every_rule_holds_in_the_first_part() {
    every_rule_holds(0);
}

#[test]
fn every_rule_holds_in_the_second_part() {
    every_rule_holds(1);
}

#[test]
fn every_rule_holds_in_the_third_part() {
    every_rule_holds(2);
}

#[test]
fn every_rule_holds_in_the_fourth_part() {
    every_rule_holds(3);
}

#[test]
fn every_rule_holds_in_the_fifth_part() {
    every_rule_holds(4);
}

#[test]
fn every_rule_holds_in_the_sixth_part() {
    every_rule_holds(5);
}

#[test]
fn every_rule_holds_in_the_seventh_part() {
    every_rule_holds(6);
}

#[test]
fn every_rule_holds_in_the_eighth_part() {
    every_rule_holds(7);
}

#[test]
fn a_seed_runs_the_same_way_each_time() {
    for seed in 0..50 {
        let [once, again] = [(); 2].map(|()| run(seed, Options { show: true, ..Options::default() }));
        assert_eq!(once.lines, again.lines, "seed {seed}");
        assert_eq!((once.hash, once.events, once.simulated_ms), (again.hash, again.events, again.simulated_ms));
        let silent = run(seed, Options::default());
        assert_eq!(silent.hash, once.hash, "whether lines are kept changes nothing");
    }
    assert_ne!(run(1, Options::default()).hash, run(2, Options::default()).hash);
}
