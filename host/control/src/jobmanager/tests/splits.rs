//! Files of sources: each is given once, whoever asks and however often, and nobody gets more than it asked for.

use expect_test::expect;
use wasmill_model::portions::Given;

use super::*;
use crate::message::Order;

/// What the sources of an order were given.
pub(super) fn shown(order: &Order) -> String {
    let given = |(subtask, Given { portions, is_all }): &(Subtask, Given)| {
        format!(", {subtask} has {portions:?}{}", if *is_all { " and no more" } else { "" })
    };
    order.given.iter().map(given).collect()
}

fn asks(index: u32, of: u32, has: u32) -> [(u32, u32, Said); 1] {
    [(0, index, Said::Asks(Asks { of, has }))]
}

#[test]
fn whoever_asks_gets_the_next_and_all_hear_when_nothing_is_left() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(register(2, 1, 1)).on(submit(&[2, 1])).quiet();
    // Before all are running, too.
    run.tells((1, 1), 2, &asks(1, 3, 0));
    run.says(1, &[(0, 0, Running), (1, 0, Running)]).says(2, &[(0, 1, Running)]);
    run.tells((1, 1), 2, &asks(1, 3, 1));
    // What comes twice, or late, was answered.
    run.tells((1, 1), 2, &asks(1, 3, 1)).tells((1, 1), 2, &asks(1, 3, 0));
    run.tells((1, 1), 1, &asks(0, 3, 0));
    run.tells((1, 1), 2, &asks(1, 3, 2)).tells((1, 1), 1, &asks(0, 3, 1));
    run.check(expect![[r#"
        taskmanager-2 reports 0[1] has 0 of 3 portions
            taskmanager-2 <- 5: Run job-1 attempt-1.1 0[1], 0[1] has [0]
        taskmanager-1 reports 0[0] Running, 1[0] Running
        taskmanager-2 reports 0[1] Running
            job-1 RUNNING
        taskmanager-2 reports 0[1] has 1 of 3 portions
            taskmanager-2 <- 6: Run job-1 attempt-1.1 0[1], 0[1] has [0, 1]
        taskmanager-2 reports 0[1] has 1 of 3 portions
        taskmanager-2 reports 0[1] has 0 of 3 portions
        taskmanager-1 reports 0[0] has 0 of 3 portions
            taskmanager-1 <- 7: Run job-1 attempt-1.1 0[0] 1[0], 0[0] has [2] and no more
            taskmanager-2 <- 8: Run job-1 attempt-1.1 0[1], 0[1] has [0, 1] and no more
        taskmanager-2 reports 0[1] has 2 of 3 portions
        taskmanager-1 reports 0[0] has 1 of 3 portions
    "#]]);
}

#[test]
fn who_asks_when_nothing_is_left_hears_of_that() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(register(2, 1, 1)).on(submit(&[2])).quiet();
    run.tells((1, 1), 1, &asks(0, 1, 0)).tells((1, 1), 2, &asks(1, 1, 0));
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] has 0 of 1 portions
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0], 0[0] has [0] and no more
            taskmanager-2 <- 6: Run job-1 attempt-1.1 0[1]
        taskmanager-2 reports 0[1] has 0 of 1 portions
            taskmanager-2 <- 7: Run job-1 attempt-1.1 0[1], 0[1] has [] and no more
    "#]]);
}

#[test]
fn each_attempt_shares_out_anew_and_asks_of_another_count_for_nothing() {
    let mut run = Run::new();
    run.on(register(1, 1, 2)).on(submit(&[2])).tells((1, 1), 1, &asks(0, 9, 0)).quiet();
    run.says(1, &[(0, 0, Running), (0, 1, failed(Domain::External))]);
    // While it is stopped nobody gets anything.
    run.tells((1, 1), 1, &asks(0, 9, 1));
    run.says(1, &[(0, 0, Stopped)]).at(300);
    run.tells((1, 1), 1, &asks(0, 9, 1)).tells((1, 2), 1, &asks(1, 4, 0));
    // What is not where it says it is.
    run.on(register(2, 1, 2)).tells((1, 2), 2, &asks(1, 4, 1));
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] Running, 0[1] Failed(External)
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0] 0[1], 0[0] has [0]
        taskmanager-1 reports 0[0] has 1 of 9 portions
        taskmanager-1 reports 0[0] Stopped
            taskmanager-1 <- 5: 
        at 300
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] 0[1]
        taskmanager-1 reports 0[0] has 1 of 9 portions
        taskmanager-1 reports 0[1] has 0 of 4 portions
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] 0[1], 0[1] has [0]
        taskmanager-2 registers, incarnation-1, 2 slots
            taskmanager-2 <- 8: 
        taskmanager-2 reports 0[1] has 1 of 4 portions
    "#]]);
}

#[test]
fn subtasks_that_have_not_found_the_same_cannot_share() {
    let mut run = Run::new();
    run.on(register(1, 1, 2)).on(submit(&[2])).tells((1, 1), 1, &asks(0, 9, 0)).quiet();
    run.tells((1, 1), 1, &asks(1, 8, 0));
    run.check(expect![[r#"
        taskmanager-1 reports 0[1] has 0 of 8 portions
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: could not share out the files of a source of job-1: 0[1] has found 8 portions of them, and another subtask 9; run the same version of wasmill on all TaskManagers
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0] 0[1], 0[0] has [0]
    "#]]);
}
