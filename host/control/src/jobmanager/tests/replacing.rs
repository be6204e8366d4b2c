//! Another shape for a job that runs.

use super::{
    checkpoints::{EACH_SECOND, declined, id, keeping, part, running},
    *,
};

fn replace(request: u64, chains: &[u32]) -> Event {
    Event::Replace { request, job: JobId(1), shape: keeping(chains) }
}

#[test]
fn a_job_goes_on_with_another_shape_from_a_checkpoint() {
    let mut run = running();
    run.slow_disk().on(replace(8, &[1])).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).until(3_000);
    run.on(Event::Stored { write: 2 }).says(1, &[(0, 0, Stopped), (0, 1, Stopped)]);
    run.says_of((1, 2), 1, &[(0, 0, Running)]).until(5_000).on(Event::Stored { write: 3 });
    assert_eq!(run.core.job(JobId(1)).expect("it runs").version, 1);
    run.check(expect![[r#"
        replace by [1], request 8
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], take 1.1
        taskmanager-1 reports 0[0] part of 1.1, 0[1] part of 1.1
            store 1.1: 0[0] p1, 0[1] p1
            write 2: job-1 Run, 0 restarts, version 1 [1] on trial
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        write 2 is durable
            job-1 RESTARTING
            taskmanager-1 <- 5: Stop job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] from manifest-1.1
        taskmanager-1 reports 0[0] Running
            write 3: job-1 Run, 0 restarts, version 1 [1]
            job-1 RUNNING
        write 3 is durable
            job-1 replaced: it runs as version 1
            8: replaced, version 1
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] from manifest-1.1, take 1.2
    "#]]);
}

#[test]
fn a_shape_that_does_not_come_to_run_is_rolled_back() {
    let mut run = running();
    run.on(replace(8, &[1])).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet().slow_disk();
    run.says(1, &[(0, 0, Stopped), (0, 1, Stopped)]).says_of((1, 2), 1, &[(0, 0, failed(Domain::User))]);
    run.on(Event::Stored { write: 3 }).says_of((1, 3), 1, &[(0, 0, Running), (0, 1, Running)]).check(expect![[r#"
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] from manifest-1.1
        taskmanager-1 reports 0[0] Failed(User)
            write 3: job-1 Run, 1 restarts, version 2 [2]
            job-1 failure: attempt-1.2 failed: bad row
            job-1 restarting: it goes on from manifest-1.1 in 0 ms
            job-1 RESTARTING
            taskmanager-1 <- 7: 
        write 3 is durable
            job-1 rolled-back: what was to replace it did not come to run, so that it is the job before again, as version 2: bad row
            8: not replaced: bad row
            job-1 placed: attempt-1.3 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 8: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1
        taskmanager-1 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
    "#]]);
}

#[test]
fn a_shape_that_has_run_is_not_rolled_back() {
    let mut run = running();
    run.on(replace(8, &[1])).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]);
    run.says(1, &[(0, 0, Stopped), (0, 1, Stopped)]).slow_disk().says_of((1, 2), 1, &[(0, 0, Running)]).quiet();
    run.says_of((1, 2), 1, &[(0, 0, failed(Domain::External))]).on(Event::Stored { write: 3 });
    run.on(Event::Stored { write: 4 }).until(1_000).check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(External)
            write 4: job-1 Run, 1 restarts, version 1 [1]
            job-1 failure: attempt-1.2 failed: bad row
            job-1 restarting: it goes on from manifest-1.1 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 7: 
        write 3 is durable
            job-1 replaced: it runs as version 1
            8: replaced, version 1
        write 4 is durable
        at 500
            job-1 placed: attempt-1.3 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 8: Run job-1 attempt-1.3 0[0] from manifest-1.1
    "#]]);
}

#[test]
fn a_job_without_an_attempt_is_replaced_at_once() {
    let mut run = Run::new();
    run.on(register(1, 1, 2)).on(submit(&[2])).on(checkpoints::submit_keeping(&[1]));
    run.on(Event::Replace { request: 8, job: JobId(2), shape: keeping(&[2]) }).quiet();
    run.on(Event::Cancel { job: JobId(1) }).says(1, &[(0, 0, Stopped), (0, 1, Stopped)]);
    run.says_of((2, 1), 1, &[(0, 0, Running), (0, 1, Running)]).check(expect![[r#"
        cancel job-1
            write 4: job-1 Cancel, 0 restarts
            job-1 CANCELLING
            taskmanager-1 <- 3: Stop job-1 attempt-1.1 0[0] 0[1]
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            write 5: job-1 Cancel, 0 restarts, its end
            job-2 placed: attempt-1.1 runs on taskmanager-1
            job-2 DEPLOYING
            taskmanager-1 <- 4: Run job-2 attempt-1.1 0[0] 0[1]
            job-1 CANCELLED
        taskmanager-1 reports 0[0] Running, 0[1] Running
            write 6: job-2 Run, 0 restarts, version 1 [2]
            job-2 RUNNING
            job-2 replaced: it runs as version 1
            8: replaced, version 1
    "#]]);
}

#[test]
fn an_attempt_that_fails_while_it_is_to_be_replaced_makes_room_at_once() {
    let mut run = running();
    run.on(replace(8, &[1])).quiet().says(1, &[(0, 0, failed(Domain::External)), (0, 1, Stopped)]).until(500);
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(External), 0[1] Stopped
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            write 3: job-1 Run, 1 restarts, version 1 [1] on trial
            job-1 checkpoint-failed: checkpoint-1.1 was given up: its attempt has ended
            job-1 RESTARTING
            taskmanager-1 <- 4: 
        at 500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 5: Run job-1 attempt-1.2 0[0]
    "#]]);
    // The new shape is being written.
    let mut run = running();
    run.slow_disk().on(replace(8, &[1])).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run.says(1, &[(0, 0, failed(Domain::User)), (0, 1, Stopped)]).on(Event::Stored { write: 2 }).check(expect![[r#"
            taskmanager-1 reports 0[0] Failed(User), 0[1] Stopped
                job-1 failure: attempt-1.1 failed: bad row
                job-1 restarting: it goes on from manifest-1.1 in 0 ms
                job-1 RESTARTING
                taskmanager-1 <- 5: 
            write 2 is durable
                job-1 placed: attempt-1.2 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] from manifest-1.1
        "#]]);
}

#[test]
fn a_replacement_whose_checkpoint_is_given_up_comes_to_nothing() {
    let mut run = running();
    run.on(replace(8, &[1])).tells((1, 1), 1, &[(0, 0, declined(1))]).check(expect![[r#"
        replace by [1], request 8
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], take 1.1
        taskmanager-1 reports 0[0] declines 1.1
            job-1 checkpoint-failed: checkpoint-1.1 was given up: 0[0] could not take its part: its disk is full
            8: not replaced: could not replace job-1: could not take checkpoint-1.1: 0[0] could not take its part: its disk is full
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, given up 1.1
    "#]]);
}

#[test]
fn replacements_are_refused_where_they_cannot_be() {
    let mut run = running();
    run.on(Event::Replace { request: 8, job: JobId(5), shape: keeping(&[1]) }).on(replace(9, &[5]));
    run.on(Event::Replace { request: 10, job: JobId(1), shape: shape(&[1], Restart::Never) });
    run.on(replace(11, &[1])).on(replace(12, &[2])).on(Event::Drain { job: JobId(1) }).on(replace(13, &[2]));
    run.check(expect![[r#"
        replace by [1], request 8
            8: not replaced: could not replace job-5: there is no such job
        replace by [5], request 9
            9: not replaced: could not replace job-1: it would need 5 slots, and all TaskManagers together have 4
        replace by [1], request 10
            10: not replaced: could not replace job-1: only a job that takes checkpoints can be replaced by one that does
        replace by [1], request 11
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], take 1.1
        replace by [2], request 12
            12: not replaced: could not replace job-1: it is being replaced
        drain job-1
            write 2: job-1 Drain, 0 restarts
            11: not replaced: could not replace job-1: it is to end
            taskmanager-1 <- 4: Drain job-1 attempt-1.1 0[0] 0[1], take 1.1
        replace by [2], request 13
            13: not replaced: could not replace job-1: it is ending, or has ended
    "#]]);
}

fn on_trial() -> JobRecord {
    let previous = Some(Box::new(keeping(&[2])));
    JobRecord { shape: keeping(&[1]), version: 1, previous, ..crashes::record(1, Desired::Run, None) }
}

fn recovered(record: JobRecord) -> Run {
    let completed = Completed { id: id(3), manifest: manifest(id(3)), last: false, transactions: false };
    let recovered = Recovered { record, checkpoints: vec![completed] };
    let mut run = Run::with(Config::default(), 2, vec![recovered]);
    run.on(register(1, 1, 4)).until(2_000).quiet();
    run
}

#[test]
fn a_trial_goes_on_in_the_next_life() {
    let mut run = recovered(on_trial());
    run.says(1, &[(0, 0, failed(Domain::User))]).check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(User)
            write 1: job-1 Run, 1 restarts, version 2 [2]
            job-1 failure: attempt-2.1 failed: bad row
            job-1 restarting: it goes on from manifest-1.3 in 0 ms
            job-1 RESTARTING
            taskmanager-1 <- 3: 
            job-1 rolled-back: what was to replace it did not come to run, so that it is the job before again, as version 2: bad row
            job-1 placed: attempt-2.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 4: Run job-1 attempt-2.2 0[0] 0[1] from manifest-1.3
    "#]]);
    let mut run = recovered(on_trial());
    run.says(1, &[(0, 0, Running)]).check(expect![[r#"
        taskmanager-1 reports 0[0] Running
            write 1: job-1 Run, 0 restarts, version 1 [1]
            job-1 RUNNING
            job-1 replaced: it runs as version 1
    "#]]);
}

#[test]
fn a_record_that_the_crash_came_before_or_after_is_one_shape_or_the_other() {
    // Before the new shape was durable: nothing of it is left.
    let before = JobRecord { shape: keeping(&[2]), ..crashes::record(1, Desired::Run, None) };
    let mut run = recovered(before);
    run.says(1, &[(0, 0, Running), (0, 1, Running)]).check(expect![[r#"
        taskmanager-1 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
    "#]]);
    // After the trial was over: it is the new one for good.
    let after = JobRecord { previous: None, ..on_trial() };
    let mut run = recovered(after);
    run.says(1, &[(0, 0, failed(Domain::External))]).check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(External)
            write 1: job-1 Run, 1 restarts, version 1 [1]
            job-1 failure: attempt-2.1 failed: bad row
            job-1 restarting: it goes on from manifest-1.3 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 3: 
    "#]]);
    let json = serde_json::to_string(&on_trial()).expect("it is plain");
    assert_eq!(serde_json::from_str::<JobRecord>(&json).expect("it was written"), on_trial());
    assert_eq!(on_trial().shape.checkpoints, Some(EACH_SECOND));
}
