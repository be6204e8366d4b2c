//! The last checkpoint of a job whose input has ended: it is stored before anything of it becomes visible.

use super::{
    checkpoints::{end, not_stored, part, running, stored},
    *,
};

fn prepare(run: &mut Run, count: u32) -> &mut Run {
    run.tells((1, count), 1, &[(0, 0, end()), (0, 1, end())]).says_of(
        (1, count),
        1,
        &[(0, 0, Prepared), (0, 1, Prepared)],
    )
}

#[test]
fn all_is_committed_once_the_last_checkpoint_is_stored() {
    let mut run = running();
    prepare(run.slow_store(), 1).until(2_000).on(stored(1)).says(1, &[(0, 0, Committed), (0, 1, Committed)]);
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] part at its end, 0[1] part at its end
        taskmanager-1 reports 0[0] Prepared, 0[1] Prepared
            store 1.1, last: 0[0] at its end e, 0[1] at its end e
        1.1 is stored
            taskmanager-1 <- 3: Commit job-1 attempt-1.1 0[0] 0[1], completed 1.1
        taskmanager-1 reports 0[0] Committed, 0[1] Committed
            write 2: job-1 Run, 0 restarts, its end
            taskmanager-1 <- 4: 
            job-1 FINISHED
    "#]]);
}

#[test]
fn the_last_checkpoint_waits_for_one_that_is_being_written() {
    let mut run = running();
    run.slow_store().until(1_000).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    prepare(&mut run, 1).on(stored(1)).on(stored(2)).check(expect![[r#"
        taskmanager-1 reports 0[0] part at its end, 0[1] part at its end
        taskmanager-1 reports 0[0] Prepared, 0[1] Prepared
        1.1 is stored
            store 1.2 after manifest-1.1, last: 0[0] at its end e, 0[1] at its end e
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        1.2 is stored
            taskmanager-1 <- 5: Commit job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.2
    "#]]);
}

#[test]
fn what_all_have_said_at_their_end_completes_the_one_that_is_being_taken() {
    let mut run = running();
    run.until(1_000).tells((1, 1), 1, &[(0, 0, part(1))]).quiet();
    prepare(&mut run, 1).check(expect![[r#"
        taskmanager-1 reports 0[0] part at its end, 0[1] part at its end
            store 1.1: 0[0] p1, 0[1] at its end e
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        taskmanager-1 reports 0[0] Prepared, 0[1] Prepared
            store 1.2 after manifest-1.1, last: 0[0] at its end e, 0[1] at its end e
            taskmanager-1 <- 5: Commit job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.2
    "#]]);
}

#[test]
fn an_attempt_whose_last_checkpoint_is_not_stored_fails_and_the_next_one_goes_on_from_the_one_before() {
    let mut run = running();
    run.until(1_000).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    prepare(run.slow_store(), 1).on(not_stored(2)).says(1, &[(0, 0, Stopped), (0, 1, Stopped)]).until(1_500);
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] part at its end, 0[1] part at its end
        taskmanager-1 reports 0[0] Prepared, 0[1] Prepared
            store 1.2 after manifest-1.1, last: 0[0] at its end e, 0[1] at its end e
        1.2 is not stored
            job-1 checkpoint-failed: checkpoint-1.2 was given up: could not store it: the store is away
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: could not store checkpoint-1.2 of job-1, the last: the store is away
            job-1 restarting: it goes on from manifest-1.1 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 5: Stop job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1, given up 1.2
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            taskmanager-1 <- 6: 
        at 1500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
    "#]]);
}

#[test]
fn a_failure_while_it_commits_is_made_good_from_the_last_checkpoint() {
    let mut run = running();
    prepare(&mut run, 1).quiet();
    run.says(1, &[(0, 0, Committed)]).on(lost(1)).on(register(2, 1, 2)).check(expect![[r#"
        taskmanager-1 reports 0[0] Committed
        taskmanager-1 is disconnected
            job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
            job-1 restarting: it goes on from manifest-1.1 in 0 ms
            job-1 RESTARTING
        taskmanager-2 registers, incarnation-1, 2 slots
            job-1 placed: attempt-1.2 runs on taskmanager-2
            job-1 DEPLOYING
            taskmanager-2 <- 4: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
    "#]]);
}

#[test]
fn a_cancelled_job_whose_last_checkpoint_comes_to_be_stored_makes_nothing_visible() {
    let mut run = running();
    prepare(run.slow_store(), 1)
        .on(Event::Cancel { job: JobId(1) })
        .says(1, &[(0, 0, Stopped), (0, 1, Stopped)])
        .quiet();
    run.on(stored(1)).check(expect![[r#"
        1.1 is stored
            write 3: job-1 Cancel, 0 restarts, its end
            job-1 CANCELLED
    "#]]);
}
