//! Slow and failing disks, and the next life of the JobManager.

use super::*;

fn recovered(id: u64, desired: Desired, end: Option<EndState>) -> Recovered {
    Recovered { record: record(id, desired, end), checkpoints: Vec::new() }
}

pub(super) fn record(id: u64, desired: Desired, end: Option<EndState>) -> JobRecord {
    let restart = Restart::Backoff { attempts_max: None };
    JobRecord {
        id: JobId(id),
        shape: shape(&[1], restart),
        submitted_ms: 0,
        desired,
        end: end.map(|state| End { state, at_ms: 0 }),
        restarts: 0,
        last_cause: None,
        version: 0,
        previous: None,
        recovery: Recovery::default(),
    }
}

#[test]
fn nothing_is_told_or_done_before_it_is_durable() {
    Run::new()
        .slow_disk()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .on(Event::Stored { write: 1 })
        .on(Event::Cancel { job: JobId(1) })
        // Repeated before it is durable: another write, for whoever waits for it.
        .on(Event::Cancel { job: JobId(1) })
        .on(Event::Stored { write: 2 })
        .says(1, &[(0, 0, Stopped)])
        .on(Event::Stored { write: 3 })
        .on(Event::Stored { write: 4 })
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            submit [1]
                write 1: job-1 Run, 0 restarts
            write 1 is durable
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
            cancel job-1
                write 2: job-1 Cancel, 0 restarts
            cancel job-1
                write 3: job-1 Cancel, 0 restarts
            write 2 is durable
                job-1 CANCELLING
                taskmanager-1 <- 3: Stop job-1 attempt-1.1 0[0]
            taskmanager-1 reports 0[0] Stopped
                write 4: job-1 Cancel, 0 restarts, its end
                taskmanager-1 <- 4: 
            write 3 is durable
            write 4 is durable
                job-1 CANCELLED
        "#]]);
}

#[test]
fn a_wish_while_the_end_is_written_is_answered_after_it() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(submit(&[1])).says(1, &[(0, 0, Prepared)]).slow_disk();
    run.says(1, &[(0, 0, Committed)]).on(Event::Cancel { job: JobId(1) });
    run.on(Event::Stored { write: 2 }).on(Event::Stored { write: 3 }).check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
        taskmanager-1 reports 0[0] Prepared
            job-1 RUNNING
            taskmanager-1 <- 3: Commit job-1 attempt-1.1 0[0]
        taskmanager-1 reports 0[0] Committed
            write 2: job-1 Run, 0 restarts, its end
            taskmanager-1 <- 4: 
        cancel job-1
            write 3: job-1 Cancel, 0 restarts, its end
        write 2 is durable
            job-1 FINISHED
        write 3 is durable
    "#]]);
}

fn fails(write: u64) -> Event {
    Event::StoreFailed { write, message: "the disk is full".to_owned() }
}

#[test]
fn a_job_that_cannot_be_written_is_refused_and_other_writes_are_repeated() {
    Run::new()
        .slow_disk()
        .on(submit(&[1]))
        .on(fails(1))
        // The first try may have reached the disk: only a tombstone makes sure that the job does not come back.
        .on(fails(2))
        .at(1_000)
        .on(Event::Stored { write: 3 })
        .on(submit(&[1]))
        .on(Event::Stored { write: 4 })
        .on(Event::Cancel { job: JobId(2) })
        .on(fails(5))
        .at(1_999)
        .at(2_000)
        .on(Event::Stored { write: 6 })
        .on(Event::Stored { write: 7 })
        .check(expect![[r#"
            submit [1]
                write 1: job-1 Run, 0 restarts
            write 1 fails
                write 2: job-1 Run, 0 restarts, its end
            write 2 fails
            at 1000
                write 3: job-1 Run, 0 restarts, its end
            write 3 is durable
                refuse 7: could not make the job durable: the disk is full
                forget job-1
            submit [1]
                write 4: job-2 Run, 0 restarts
            write 4 is durable
                accept 7 as job-2
                job-2 CREATED
            cancel job-2
                write 5: job-2 Cancel, 0 restarts
            write 5 fails
            at 1999
            at 2000
                write 6: job-2 Cancel, 0 restarts
            write 6 is durable
                job-2 CANCELLING
                write 7: job-2 Cancel, 0 restarts, its end
            write 7 is durable
                job-2 CANCELLED
        "#]]);
}

#[test]
fn the_next_life_resumes_jobs_once_the_last_ones_leases_are_over() {
    let records = vec![
        recovered(1, Desired::Run, Some(EndState::Finished)),
        recovered(2, Desired::Run, None),
        recovered(3, Desired::Drain, None),
        recovered(4, Desired::Cancel, None),
    ];
    let mut run = Run::with(Config::default(), 2, records);
    run.on(register(1, 1, 2)).at(1_999).on(heartbeat(1)).at(2_000).on(submit(&[1])).check(expect![[r#"
        begin
            job-2 recovered: the JobManager was restarted (epoch-2); the job starts again from the beginning of its input
            job-2 RESTARTING
            job-3 recovered: the JobManager was restarted (epoch-2)
            job-3 CANCELLING
            job-4 recovered: the JobManager was restarted (epoch-2)
            job-4 CANCELLING
        taskmanager-1 registers, incarnation-1, 2 slots
            taskmanager-1 <- 1: 
        at 1999
        taskmanager-1 polls
        at 2000
            write 1: job-3 Drain, 0 restarts, its end
            write 2: job-4 Cancel, 0 restarts, its end
            job-2 placed: attempt-2.1 runs on taskmanager-1
            job-2 DEPLOYING
            taskmanager-1 <- 2: Run job-2 attempt-2.1 0[0]
            job-3 FAILED: what the job had read was lost while it was being stopped: the JobManager was restarted
            job-4 CANCELLED
        submit [1]
            write 3: job-5 Run, 0 restarts
            accept 7 as job-5
            job-5 CREATED
            job-5 placed: attempt-2.1 runs on taskmanager-1
            job-5 DEPLOYING
            taskmanager-1 <- 3: Run job-2 attempt-2.1 0[0]; Run job-5 attempt-2.1 0[0]
    "#]]);
}

#[test]
fn records_are_read_as_they_are_written() {
    let cause = Cause { code: Code::TaskManagerLost, domain: Domain::Internal, message: "lost".to_owned() };
    let written = record(u64::MAX, Desired::Cancel, Some(EndState::Failed(cause)));
    let json = serde_json::to_string(&written).expect("it is plain");
    assert!(json.starts_with(r#"{"id":"18446744073709551615","#), "{json}");
    assert_eq!(serde_json::from_str::<JobRecord>(&json).expect("it was written"), written);
}

#[test]
fn records_from_before_there_were_checkpoints_are_read() {
    let json = r#"{"id":"3","shape":{"name":"fraud","chains":[1],"restart":{"Backoff":{"attempts_max":null}}},"submitted_ms":0,
        "desired":"Run","end":null,"restarts":0,"last_cause":null}"#;
    assert_eq!(serde_json::from_str::<JobRecord>(json).expect("it was written so"), record(3, Desired::Run, None));
}

fn out_of_reach() -> SubtaskState {
    let message = "lost the connection to taskmanager-1".to_owned();
    SubtaskState::Failed(Cause { code: Code::ExchangeLost, domain: Domain::External, message })
}

#[test]
fn once_it_is_known_that_a_taskmanager_is_lost_which_another_could_not_reach_nothing_is_waited_for() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(register(2, 1, 1)).on(register(3, 1, 1)).on(submit(&[2]));
    // Its neighbour hears of it first.
    run.says(2, &[(0, 1, out_of_reach())]).at(50).on(lost(1));
    // A second time it is not so simple.
    run.says_of((1, 2), 2, &[(0, 0, out_of_reach())]).at(60).on(lost(3));
    run.check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        taskmanager-2 registers, incarnation-1, 1 slots
            taskmanager-2 <- 2: 
        taskmanager-3 registers, incarnation-1, 1 slots
            taskmanager-3 <- 3: 
        submit [2]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1, taskmanager-2
            job-1 DEPLOYING
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0]
            taskmanager-2 <- 5: Run job-1 attempt-1.1 0[1]
        taskmanager-2 reports 0[1] Failed(External)
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: lost the connection to taskmanager-1
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 6: Stop job-1 attempt-1.1 0[0]
            taskmanager-2 <- 7: Stop job-1 attempt-1.1 0[1]
        at 50
        taskmanager-1 is disconnected
            job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
            job-1 placed: attempt-1.2 runs on taskmanager-2, taskmanager-3
            job-1 DEPLOYING
            taskmanager-2 <- 8: Run job-1 attempt-1.2 0[0]
            taskmanager-3 <- 9: Run job-1 attempt-1.2 0[1]
        taskmanager-2 reports 0[0] Failed(External)
            write 3: job-1 Run, 2 restarts
            job-1 failure: attempt-1.2 failed: lost the connection to taskmanager-1
            job-1 restarting: it starts again from the beginning of its input in 400 ms
            job-1 RESTARTING
            taskmanager-2 <- 10: Stop job-1 attempt-1.2 0[0]
            taskmanager-3 <- 11: Stop job-1 attempt-1.2 0[1]
        at 60
        taskmanager-3 is disconnected
            job-1 worker-lost: taskmanager-3, which ran attempt-1.2, was lost
            taskmanager-2 <- 12: 
    "#]]);
}
