//! Savepoints, and stopping with one.

use super::{
    checkpoints::{committed, declined, end, id, not_stored, part, running, stored},
    *,
};

fn savepoint(request: u64) -> Event {
    Event::Savepoint { request, job: JobId(1) }
}

fn stop(request: u64) -> Event {
    Event::Stop { request, job: JobId(1) }
}

#[test]
fn a_savepoint_is_answered_once_it_is_stored_and_its_results_are_visible() {
    let mut run = running();
    run.on(savepoint(8)).on(savepoint(9)).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]);
    run.tells((1, 1), 1, &[(0, 0, committed(1))]).tells((1, 1), 1, &[(0, 1, committed(1)), (0, 0, committed(1))]);
    run.tells((1, 1), 1, &[(0, 0, part(2)), (0, 1, part(2))]).check(expect![[r#"
        savepoint, request 8
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.1
        savepoint, request 9
        taskmanager-1 reports 0[0] part of 1.1, 0[1] part of 1.1
            store 1.1, savepoint: 0[0] p1, 0[1] p1
            job-1 savepoint-taken: checkpoint-1.1 is complete, a savepoint
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.2, completed 1.1
        taskmanager-1 reports 0[0] committed to 1.1
        taskmanager-1 reports 0[1] committed to 1.1, 0[0] committed to 1.1
            8: savepoint manifest-1.1
        taskmanager-1 reports 0[0] part of 1.2, 0[1] part of 1.2
            store 1.2 after manifest-1.1, savepoint: 0[0] p2, 0[1] p2
            job-1 savepoint-taken: checkpoint-1.2 is complete, a savepoint
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.2, completed 1.2
    "#]]);
}

#[test]
fn a_savepoint_waits_for_the_checkpoint_that_is_on_its_way() {
    let mut run = running();
    run.until(1_000).quiet().on(savepoint(8)).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]);
    run.check(expect![[r#"
        savepoint, request 8
        taskmanager-1 reports 0[0] part of 1.1, 0[1] part of 1.1
            store 1.1: 0[0] p1, 0[1] p1
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.2, completed 1.1
    "#]]);
}

#[test]
fn who_waits_for_a_savepoint_that_is_given_up_is_told() {
    let mut run = running();
    run.on(savepoint(8)).tells((1, 1), 1, &[(0, 1, declined(1))]).on(savepoint(9)).until(1_000).slow_store();
    run.tells((1, 1), 1, &[(0, 0, part(2)), (0, 1, part(2))]).on(not_stored(2)).check(expect![[r#"
        savepoint, request 8
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.1
        taskmanager-1 reports 0[1] declines 1.1
            job-1 checkpoint-failed: checkpoint-1.1 was given up: 0[1] could not take its part: its disk is full
            8: no savepoint: could not take checkpoint-1.1 of job-1: 0[1] could not take its part: its disk is full
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.1, given up 1.1
        savepoint, request 9
        at 1000
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.2, given up 1.1
        taskmanager-1 reports 0[0] part of 1.2, 0[1] part of 1.2
            store 1.2, savepoint: 0[0] p2, 0[1] p2
        1.2 is not stored
            job-1 checkpoint-failed: checkpoint-1.2 was given up: could not store it: the store is away
            9: no savepoint: could not take checkpoint-1.2 of job-1: could not store it: the store is away
            taskmanager-1 <- 6: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.2, given up 1.2
    "#]]);
}

#[test]
fn a_savepoint_that_is_stored_is_made_visible_by_the_next_attempt() {
    let mut run = running();
    run.on(savepoint(8)).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run.says(1, &[(0, 0, failed(Domain::External)), (0, 1, Stopped)]).until(1_000);
    run.says_of((1, 2), 1, &[(0, 0, Running)]).says_of((1, 2), 1, &[(0, 1, Running)]).check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(External), 0[1] Stopped
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it goes on from manifest-1.1 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 5: 
        at 500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
        taskmanager-1 reports 0[0] Running
        taskmanager-1 reports 0[1] Running
            job-1 RUNNING
            8: savepoint manifest-1.1
    "#]]);
}

#[test]
fn the_last_checkpoint_of_a_job_serves_who_waits_for_a_savepoint() {
    let mut run = running();
    run.until(1_000).quiet().tells((1, 1), 1, &[(0, 0, end()), (0, 1, end())]).on(savepoint(8));
    run.says(1, &[(0, 0, Prepared), (0, 1, Prepared)]).says(1, &[(0, 0, Committed), (0, 1, Committed)]);
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] part at its end, 0[1] part at its end
            store 1.1: 0[0] at its end e, 0[1] at its end e
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        savepoint, request 8
        taskmanager-1 reports 0[0] Prepared, 0[1] Prepared
            store 1.2 after manifest-1.1, savepoint, last: 0[0] at its end e, 0[1] at its end e
            job-1 savepoint-taken: checkpoint-1.2 is complete, a savepoint
            taskmanager-1 <- 5: Commit job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.2
        taskmanager-1 reports 0[0] Committed, 0[1] Committed
            write 2: job-1 Run, 0 restarts, its end
            taskmanager-1 <- 6: 
            job-1 FINISHED
            8: savepoint manifest-1.2
    "#]]);
}

#[test]
fn savepoints_are_refused_where_none_can_be_taken() {
    let mut run = Run::new();
    run.on(savepoint(8)).on(submit(&[1])).on(savepoint(9)).on(stop(10)).on(checkpoints::submit_keeping(&[1]));
    run.on(Event::Savepoint { request: 11, job: JobId(2) }).on(Event::Drain { job: JobId(2) });
    run.on(Event::Stop { request: 12, job: JobId(2) }).check(expect![[r#"
        savepoint, request 8
            8: no savepoint: could not take a savepoint of job-1: there is no such job
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
        savepoint, request 9
            9: no savepoint: could not take a savepoint of job-1: it takes no checkpoints
        stop, request 10
            10: no savepoint: could not take a savepoint of job-1: it takes no checkpoints
        submit [1]
            write 2: job-2 Run, 0 restarts
            accept 7 as job-2
            job-2 CREATED
        savepoint, request 11
            11: no savepoint: could not take a savepoint of job-2: it is CREATED
        drain job-2
            write 3: job-2 Drain, 0 restarts
            job-2 CANCELLING
            write 4: job-2 Drain, 0 restarts, its end
            job-2 CANCELLED
        stop, request 12
            12: no savepoint: could not take a savepoint of job-2: it has ended
    "#]]);
}

#[test]
fn more_requests_than_may_wait_are_refused() {
    let mut run = running();
    for request in 0..64 {
        run.on(savepoint(request));
    }
    run.quiet().on(savepoint(64)).on(stop(65)).check(expect![[r#"
        savepoint, request 64
            64: no savepoint: could not take a savepoint of job-1: 64 requests for one wait already
        stop, request 65
            65: no savepoint: could not take a savepoint of job-1: 64 requests for one wait already
    "#]]);
}

#[test]
fn a_job_is_stopped_with_a_savepoint() {
    let mut run = running();
    run.slow_disk().on(stop(8)).on(Event::Stored { write: 2 }).on(stop(9));
    run.tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).says(1, &[(0, 0, Stopped)]).says(1, &[(0, 1, Stopped)]);
    run.on(Event::Stored { write: 3 }).on(Event::Stored { write: 4 }).check(expect![[r#"
        stop, request 8
            write 2: job-1 Stop, 0 restarts
        write 2 is durable
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.1
        stop, request 9
        taskmanager-1 reports 0[0] part of 1.1, 0[1] part of 1.1
            store 1.1, savepoint: 0[0] p1, 0[1] p1
            job-1 savepoint-taken: checkpoint-1.1 is complete, a savepoint
            taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0] 0[1], savepoint 1.1, completed 1.1
        taskmanager-1 reports 0[0] Stopped
        taskmanager-1 reports 0[1] Stopped
            write 3: job-1 Stop, 0 restarts, its end
            taskmanager-1 <- 5: 
        write 3 is durable
            job-1 STOPPED
            8: savepoint manifest-1.1
            9: savepoint manifest-1.1
        write 4 is durable
    "#]]);
    assert!(run.core.job(JobId(1)).expect("it is remembered").state.is_terminal());
}

#[test]
fn a_job_that_fails_while_it_is_stopped_is_stopped_with_another_savepoint() {
    let mut run = running();
    run.on(stop(8)).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run.says(1, &[(0, 0, Stopped)]).says(1, &[(0, 1, failed(Domain::External))]).until(500);
    run.says_of((1, 2), 1, &[(0, 0, Running), (0, 1, Running)]);
    run.tells((1, 2), 1, &[(0, 0, part(2)), (0, 1, part(2))]).on(lost(1)).on(register(2, 1, 2));
    run.says_of((1, 3), 2, &[(0, 0, Running), (0, 1, Running)]).check(expect![[r#"
        taskmanager-1 reports 0[0] Stopped
        taskmanager-1 reports 0[1] Failed(External)
            write 3: job-1 Stop, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it goes on from manifest-1.1 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 5: 
        at 500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
        taskmanager-1 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1, savepoint 1.2
        taskmanager-1 reports 0[0] part of 1.2, 0[1] part of 1.2
            store 1.2 after manifest-1.1, savepoint: 0[0] p2, 0[1] p2
            job-1 savepoint-taken: checkpoint-1.2 is complete, a savepoint
            taskmanager-1 <- 8: Stop job-1 attempt-1.2 0[0] 0[1] from manifest-1.1, savepoint 1.2, completed 1.2
        taskmanager-1 is disconnected
            job-1 worker-lost: taskmanager-1, which ran attempt-1.2, was lost
            write 4: job-1 Stop, 2 restarts
            job-1 failure: attempt-1.2 failed: taskmanager-1 was lost
            job-1 restarting: it goes on from manifest-1.2 in 400 ms
            job-1 RESTARTING
        taskmanager-2 registers, incarnation-1, 2 slots
            taskmanager-2 <- 9: 
        taskmanager-2 reports 0[0] Running, 0[1] Running
    "#]]);
}

#[test]
fn a_job_whose_attempt_fails_before_its_savepoint_is_complete_is_stopped_later() {
    let mut run = running();
    run.on(stop(8)).quiet().says(1, &[(0, 0, failed(Domain::External)), (0, 1, Stopped)]).until(500);
    run.says_of((1, 2), 1, &[(0, 0, Running), (0, 1, Running)]).check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(External), 0[1] Stopped
            write 3: job-1 Stop, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            job-1 checkpoint-failed: checkpoint-1.1 was given up: its attempt has ended
            job-1 RESTARTING
            taskmanager-1 <- 4: 
        at 500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 5: Run job-1 attempt-1.2 0[0] 0[1]
        taskmanager-1 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] 0[1], savepoint 1.2
    "#]]);
}

#[test]
fn a_savepoint_to_stop_with_is_tried_again() {
    let mut run = running();
    run.on(stop(8)).quiet().tells((1, 1), 1, &[(0, 1, declined(1))]).until(1_000).check(expect![[r#"
        taskmanager-1 reports 0[1] declines 1.1
            job-1 checkpoint-failed: checkpoint-1.1 was given up: 0[1] could not take its part: its disk is full
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.1, given up 1.1
        at 1000
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.2, given up 1.1
    "#]]);
}

#[test]
fn a_job_that_waits_is_stopped_once_it_runs() {
    let mut run = Run::new();
    run.on(checkpoints::submit_keeping(&[1])).on(stop(8)).on(register(1, 1, 1)).says(1, &[(0, 0, Running)]);
    run.tells((1, 1), 1, &[(0, 0, part(1))]).says(1, &[(0, 0, Stopped)]).check(expect![[r#"
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
        stop, request 8
            write 2: job-1 Stop, 0 restarts
        taskmanager-1 registers, incarnation-1, 1 slots
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 1: Run job-1 attempt-1.1 0[0]
        taskmanager-1 reports 0[0] Running
            job-1 RUNNING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0], savepoint 1.1
        taskmanager-1 reports 0[0] part of 1.1
            store 1.1, savepoint: 0[0] p1
            job-1 savepoint-taken: checkpoint-1.1 is complete, a savepoint
            taskmanager-1 <- 3: Stop job-1 attempt-1.1 0[0], savepoint 1.1, completed 1.1
        taskmanager-1 reports 0[0] Stopped
            write 3: job-1 Stop, 0 restarts, its end
            taskmanager-1 <- 4: 
            job-1 STOPPED
            8: savepoint manifest-1.1
    "#]]);
}

#[test]
fn who_stops_a_job_that_ends_otherwise_is_told_how() {
    let mut run = running();
    run.on(stop(8)).on(Event::Cancel { job: JobId(1) }).says(1, &[(0, 0, Stopped), (0, 1, Stopped)]);
    run.check(expect![[r#"
        stop, request 8
            write 2: job-1 Stop, 0 restarts
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], savepoint 1.1
        cancel job-1
            write 3: job-1 Cancel, 0 restarts
            job-1 checkpoint-failed: checkpoint-1.1 was given up: its attempt has ended
            job-1 CANCELLING
            taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0] 0[1], savepoint 1.1, given up 1.1
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            write 4: job-1 Cancel, 0 restarts, its end
            taskmanager-1 <- 5: 
            job-1 CANCELLED
            8: no savepoint: job-1 was cancelled before
    "#]]);
    let mut run = running();
    run.tells((1, 1), 1, &[(0, 0, end()), (0, 1, end())]).on(stop(8)).quiet();
    run.says(1, &[(0, 0, Prepared), (0, 1, Prepared)]).says(1, &[(0, 0, Committed), (0, 1, Committed)]);
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] Prepared, 0[1] Prepared
            store 1.1, last: 0[0] at its end e, 0[1] at its end e
            taskmanager-1 <- 3: Commit job-1 attempt-1.1 0[0] 0[1], completed 1.1
        taskmanager-1 reports 0[0] Committed, 0[1] Committed
            write 3: job-1 Stop, 0 restarts, its end
            taskmanager-1 <- 4: 
            job-1 FINISHED
            8: no savepoint: job-1 has finished by itself before
    "#]]);
}

#[test]
fn a_savepoint_that_is_being_written_when_a_job_is_stopped_is_what_it_stops_with() {
    let mut run = running();
    run.slow_store().on(savepoint(8)).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).on(stop(9)).quiet();
    run.on(stored(1)).says(1, &[(0, 0, Stopped), (0, 1, Stopped)]).check(expect![[r#"
        1.1 is stored
            job-1 savepoint-taken: checkpoint-1.1 is complete, a savepoint
            taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0] 0[1], savepoint 1.1, completed 1.1
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            write 3: job-1 Stop, 0 restarts, its end
            taskmanager-1 <- 5: 
            job-1 STOPPED
            8: savepoint manifest-1.1
            9: savepoint manifest-1.1
    "#]]);
    let state = run.core.job(JobId(1)).expect("it is remembered").state;
    assert_eq!(state, JobState::Stopped { checkpoint: id(1), manifest: manifest(id(1)) });
}
