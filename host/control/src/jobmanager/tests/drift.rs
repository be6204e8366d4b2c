//! Sources that keep in step: what TaskManagers say of them, and how far they may go.

use expect_test::expect;
use wasmill_model::time;

use super::*;
use crate::message::{Order, SourceWatermark};

/// The limits of an order.
pub(super) fn shown(order: &Order) -> String {
    let limit = |(subtask, limit): &(Subtask, Timestamp)| match *limit {
        time::MAX => format!(", {subtask} may go however far"),
        limit if limit < -1_000_000 => format!(", {subtask} may go with its first rows"),
        limit => format!(", {subtask} may go to {limit}"),
    };
    order.limits.iter().map(limit).collect()
}

/// `fast` and `slow` in chains 0 and 1, the first may be 100 ahead of the others; one operator behind them.
fn in_step(chains: &[u32]) -> Event {
    let source = |chain, max_drift_ms| InStep { chain, group: 7, max_drift_ms };
    let shape = JobShape { in_step: vec![source(0, Some(100)), source(1, None)], ..shape(chains, Restart::Never) };
    Event::Submit { request: 7, shape }
}

/// A TaskManager polls, and says how far sources of the first job's attempt are: chain, index, watermark.
fn polls(taskmanager: u64, attempt: u32, said: &[(u32, u32, Option<Timestamp>)]) -> Event {
    let watermark = |(chain, index, watermark): &(u32, u32, Option<Timestamp>)| SourceWatermark {
        job: JobId(1),
        attempt: Attempt::new(Epoch(1), attempt),
        subtask: Subtask { chain: *chain, index: *index },
        watermark: *watermark,
    };
    let watermarks = said.iter().map(watermark).collect();
    Event::Heartbeat { taskmanager: TaskManagerId(taskmanager), incarnation: Incarnation(1), watermarks }
}

#[test]
fn a_source_may_go_as_far_ahead_of_the_slowest_as_it_may_drift() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(in_step(&[1, 1, 1])).quiet();
    // The slow one has no watermark yet.
    run.at(100).on(polls(1, 1, &[(0, 0, Some(50)), (1, 0, Some(time::MIN))]));
    run.at(200).on(polls(1, 1, &[(0, 0, Some(50)), (1, 0, Some(10))]));
    // Not at once again, and not as long as it has room for more than half of its drift.
    run.at(250).on(polls(1, 1, &[(0, 0, Some(50)), (1, 0, Some(20))])).at(300);
    run.at(400).on(polls(1, 1, &[(0, 0, Some(60)), (1, 0, Some(30))]));
    run.at(500).on(polls(1, 1, &[(0, 0, Some(130)), (1, 0, Some(35))]));
    // Nobody waits for one that is idle, and for one that comes back behind the others somebody does.
    run.at(600).on(polls(1, 1, &[(1, 0, None)]));
    run.at(700).on(polls(1, 1, &[(0, 0, Some(900)), (1, 0, Some(36))]));
    run.check(expect![[r#"
        at 100
        taskmanager-1 polls
        at 200
        taskmanager-1 polls
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 1[0] 2[0], 0[0] may go to 110
        at 250
        taskmanager-1 polls
        at 300
        at 400
        taskmanager-1 polls
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 1[0] 2[0], 0[0] may go to 130
        at 500
        taskmanager-1 polls
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 1[0] 2[0], 0[0] may go to 135
        at 600
        taskmanager-1 polls
            taskmanager-1 <- 6: Run job-1 attempt-1.1 0[0] 1[0] 2[0], 0[0] may go however far
        at 700
        taskmanager-1 polls
            taskmanager-1 <- 7: Run job-1 attempt-1.1 0[0] 1[0] 2[0], 0[0] may go to 136
    "#]]);
}

#[test]
fn subtasks_of_one_source_keep_in_step_too_and_one_alone_goes_on() {
    let mut run = Run::new();
    let alone = InStep { chain: 0, group: 0, max_drift_ms: Some(100) };
    let shape = |chains: &[u32]| JobShape { in_step: vec![alone], ..shape(chains, Restart::Never) };
    run.on(register(1, 1, 1)).on(register(2, 1, 1)).on(Event::Submit { request: 7, shape: shape(&[2]) });
    run.at(100).on(polls(1, 1, &[(0, 0, Some(500))])).on(polls(2, 1, &[(0, 1, Some(300))])).at(200);
    // What is said of another place, or by another attempt, is not believed.
    run.on(polls(1, 1, &[(0, 1, Some(999))])).on(polls(2, 9, &[(0, 1, Some(999))])).at(300);
    // It has ended, although that was not heard with its watermark.
    run.says(2, &[(0, 1, SubtaskState::Running), (0, 1, SubtaskState::Prepared)]).at(400);
    run.check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        taskmanager-2 registers, incarnation-1, 1 slots
            taskmanager-2 <- 2: 
        submit [2]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1, taskmanager-2
            job-1 DEPLOYING
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0], 0[0] may go with its first rows
            taskmanager-2 <- 4: Run job-1 attempt-1.1 0[1], 0[1] may go with its first rows
        at 100
        taskmanager-1 polls
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0], 0[0] may go with its first rows
            taskmanager-2 <- 6: Run job-1 attempt-1.1 0[1], 0[1] may go to 600
        taskmanager-2 polls
        at 200
            taskmanager-1 <- 7: Run job-1 attempt-1.1 0[0], 0[0] may go to 400
            taskmanager-2 <- 8: Run job-1 attempt-1.1 0[1], 0[1] may go to 600
        taskmanager-1 polls
        taskmanager-2 polls
        at 300
        taskmanager-2 reports 0[1] Running, 0[1] Prepared
            taskmanager-1 <- 9: Run job-1 attempt-1.1 0[0], 0[0] may go however far
            taskmanager-2 <- 10: Run job-1 attempt-1.1 0[1], 0[1] may go to 600
        at 400
    "#]]);

    let mut run = Run::new();
    run.on(register(1, 1, 1)).quiet().on(Event::Submit { request: 7, shape: shape(&[1]) });
    run.check(expect![[r#"
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0], 0[0] may go however far
    "#]]);
}

#[test]
fn another_attempt_begins_anew() {
    let mut run = Run::new();
    let mut again = in_step(&[1, 1]);
    if let Event::Submit { shape, .. } = &mut again {
        shape.restart = Restart::Backoff { attempts_max: None };
    }
    run.on(register(1, 1, 1)).on(register(2, 1, 1)).on(again);
    run.at(100).on(polls(1, 1, &[(0, 0, Some(5_000)), (1, 0, Some(4_990))])).at(200).quiet();
    run.on(Event::Lost { taskmanager: TaskManagerId(1), incarnation: Incarnation(1) });
    for at_ms in (300..=2_700).step_by(300) {
        run.at(at_ms).on(heartbeat(2));
    }
    run.check(expect![[r#"
        taskmanager-1 is disconnected
            job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
            job-1 restarting: it starts again from the beginning of its input in 0 ms
            job-1 RESTARTING
            job-1 placed: attempt-1.2 runs on taskmanager-2
            job-1 DEPLOYING
            taskmanager-2 <- 5: Run job-1 attempt-1.2 0[0] 1[0], 0[0] may go with its first rows
        at 300
        taskmanager-2 polls
        at 600
        taskmanager-2 polls
        at 900
        taskmanager-2 polls
        at 1200
        taskmanager-2 polls
        at 1500
        taskmanager-2 polls
        at 1800
        taskmanager-2 polls
        at 2100
        taskmanager-2 polls
        at 2400
        taskmanager-2 polls
        at 2700
        taskmanager-2 polls
    "#]]);
}
