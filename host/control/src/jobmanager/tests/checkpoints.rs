//! Checkpoints: when they are taken, when they are complete, and what becomes of a job with them.

use super::*;

/// Every second, at most half a second long, 200 ms apart.
pub(super) const EACH_SECOND: CheckpointConfig =
    CheckpointConfig { interval_ms: 1_000, timeout_ms: 500, min_pause_ms: 200, retained: 3 };

pub(super) fn keeping(chains: &[u32]) -> JobShape {
    let restart = Restart::Backoff { attempts_max: None };
    JobShape { checkpoints: Some(EACH_SECOND), ..shape(chains, restart) }
}

pub(super) fn submit_keeping(chains: &[u32]) -> Event {
    Event::Submit { request: 7, shape: keeping(chains) }
}

/// A checkpoint of the present life.
pub(super) fn id(count: u32) -> CheckpointId {
    id_of(1, count)
}

pub(super) fn id_of(epoch: u64, count: u32) -> CheckpointId {
    CheckpointId(epoch << 32 | u64::from(count))
}

pub(super) fn part(count: u32) -> Said {
    Said::Part { at: At::Checkpoint(id(count)), content: format!("p{count}") }
}

pub(super) fn end() -> Said {
    Said::Part { at: At::End, content: "e".to_owned() }
}

pub(super) fn declined(count: u32) -> Said {
    Said::Declined { checkpoint: id(count), reason: "its disk is full".to_owned() }
}

pub(super) fn committed(count: u32) -> Said {
    Said::Committed(id(count))
}

pub(super) fn stored(count: u32) -> Event {
    let manifest = manifest(id(count));
    Event::CheckpointStored { job: JobId(1), checkpoint: id(count), manifest, transactions: false }
}

pub(super) fn not_stored(count: u32) -> Event {
    let message = "the store is away".to_owned();
    Event::CheckpointNotStored { job: JobId(1), checkpoint: id(count), message }
}

/// One job with one chain of two subtasks on a TaskManager, running.
pub(super) fn running() -> Run {
    let mut run = Run::new();
    run.on(register(1, 1, 4)).on(submit_keeping(&[2])).says(1, &[(0, 0, Running), (0, 1, Running)]).quiet();
    run
}

impl Run {
    /// Time passes, in which TaskManagers are heard of.
    pub(super) fn until(&mut self, at_ms: Timestamp) -> &mut Self {
        while self.now_ms < at_ms {
            self.now_ms = at_ms.min(self.now_ms + 500);
            let mut commands = Vec::new();
            let there: Vec<(TaskManagerId, Incarnation)> =
                self.core.taskmanagers().map(|view| (view.id, view.incarnation)).collect();
            for (taskmanager, incarnation) in there {
                commands.extend(
                    self.core
                        .handle(self.now_ms, Event::Heartbeat { taskmanager, incarnation, watermarks: Vec::new() }),
                );
            }
            commands.extend(self.core.advance(self.now_ms));
            let (empty, what) = (commands.is_empty(), format!("at {}", self.now_ms));
            if !empty {
                self.settle(&what, commands);
            }
        }
        self
    }
}

#[test]
fn a_checkpoint_is_taken_each_interval_once_all_run_and_is_complete_when_all_have_said_their_part() {
    let mut run = Run::new();
    run.on(register(1, 1, 4)).on(submit_keeping(&[2])).says(1, &[(0, 0, Running)]).until(3_000);
    run.says(1, &[(0, 1, Running)]).until(4_000);
    run.tells((1, 1), 1, &[(0, 0, part(1))]).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]);
    run.until(5_000).tells((1, 1), 1, &[(0, 1, part(2)), (0, 0, part(2))]).check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 4 slots
            taskmanager-1 <- 1: 
        submit [2]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0] 0[1]
        taskmanager-1 reports 0[0] Running
        taskmanager-1 reports 0[1] Running
            job-1 RUNNING
        at 4000
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], take 1.1
        taskmanager-1 reports 0[0] part of 1.1
        taskmanager-1 reports 0[0] part of 1.1, 0[1] part of 1.1
            store 1.1: 0[0] p1, 0[1] p1
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        at 5000
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, completed 1.1
        taskmanager-1 reports 0[1] part of 1.2, 0[0] part of 1.2
            store 1.2 after manifest-1.1: 0[0] p2, 0[1] p2
            taskmanager-1 <- 6: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, completed 1.2
    "#]]);
    let view = run.core.job(JobId(1)).expect("it is there").checkpoint.expect("it takes some");
    let expected = CheckpointView {
        manifest: view.manifest.clone(),
        completed: Some((id(2), 5_000)),
        under_way: None,
        failed_in_row: 0,
        taken: 2,
        failed: 0,
        restored_from: None,
    };
    assert_eq!(view, expected);
}

#[test]
fn a_subtask_that_has_ended_counts_with_its_end_unless_it_has_said_another_part() {
    let mut run = running();
    run.tells((1, 1), 1, &[(0, 0, end())]).until(1_000).tells((1, 1), 1, &[(0, 1, part(1))]);
    run.until(2_000).tells((1, 1), 1, &[(0, 1, part(2)), (0, 1, end())]);
    // All are at their end: nothing more is triggered.
    run.until(4_000).check(expect![[r#"
        taskmanager-1 reports 0[0] part at its end
        at 1000
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], take 1.1
        taskmanager-1 reports 0[1] part of 1.1
            store 1.1: 0[0] at its end e, 0[1] p1
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        at 2000
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, completed 1.1
        taskmanager-1 reports 0[1] part of 1.2, 0[1] part at its end
            store 1.2 after manifest-1.1: 0[0] at its end e, 0[1] p2
            taskmanager-1 <- 6: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, completed 1.2
    "#]]);
}

#[test]
fn a_checkpoint_that_is_declined_late_or_not_stored_is_given_up() {
    let mut run = running();
    run.until(1_000).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, declined(1))]);
    // Of one that is given up, and of one that never was.
    run.tells((1, 1), 1, &[(0, 1, part(1)), (0, 0, declined(1)), (0, 0, part(9)), (0, 0, declined(9))]);
    run.until(2_000).tells((1, 1), 1, &[(0, 0, part(2))]).until(2_500);
    let view = run.core.job(JobId(1)).expect("it is there").checkpoint.expect("it takes some");
    assert_eq!((view.failed_in_row, view.failed, view.taken), (2, 2, 0));
    run.slow_store().until(3_000).tells((1, 1), 1, &[(0, 0, part(3)), (0, 1, part(3))]);
    run.on(not_stored(2)).on(not_stored(3)).on(stored(3)).until(4_000);
    let view = run.core.job(JobId(1)).expect("it is there").checkpoint.expect("it takes some");
    let all = vec![Subtask { chain: 0, index: 0 }, Subtask { chain: 0, index: 1 }];
    assert_eq!((view.failed_in_row, view.under_way), (3, Some((id(4), 4_000, all))));
    run.check(expect![[r#"
        at 1000
            taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0] 0[1], take 1.1
        taskmanager-1 reports 0[0] part of 1.1, 0[1] declines 1.1
            job-1 checkpoint-failed: checkpoint-1.1 was given up: 0[1] could not take its part: its disk is full
            taskmanager-1 <- 4: Run job-1 attempt-1.1 0[0] 0[1], take 1.1, given up 1.1
        taskmanager-1 reports 0[1] part of 1.1, 0[0] declines 1.1, 0[0] part of 1.9, 0[0] declines 1.9
        at 2000
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, given up 1.1
        taskmanager-1 reports 0[0] part of 1.2
        at 2500
            job-1 checkpoint-failed: checkpoint-1.2 was given up: it was not complete after 500 ms
            taskmanager-1 <- 6: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, given up 1.2
        at 3000
            taskmanager-1 <- 7: Run job-1 attempt-1.1 0[0] 0[1], take 1.3, given up 1.2
        taskmanager-1 reports 0[0] part of 1.3, 0[1] part of 1.3
            store 1.3: 0[0] p3, 0[1] p3
        1.2 is not stored
        1.3 is not stored
            job-1 checkpoint-failed: checkpoint-1.3 was given up: could not store it: the store is away
            taskmanager-1 <- 8: Run job-1 attempt-1.1 0[0] 0[1], take 1.3, given up 1.3
        1.3 is stored
        at 4000
            taskmanager-1 <- 9: Run job-1 attempt-1.1 0[0] 0[1], take 1.4, given up 1.3
    "#]]);
}

#[test]
fn a_pause_lies_between_the_end_of_one_and_the_start_of_the_next() {
    let mut run = running();
    run.until(1_000).slow_store().tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).until(3_000);
    assert!(run.transcript.ends_with("store 1.1: 0[0] p1, 0[1] p1\n"), "{}", run.transcript);
    run.on(stored(1)).quiet().until(3_199).at(3_200).check(expect![[r#"
        at 3200
            taskmanager-1 <- 5: Run job-1 attempt-1.1 0[0] 0[1], take 1.2, completed 1.1
    "#]]);
}

#[test]
fn the_next_attempt_goes_on_from_the_newest_checkpoint() {
    let mut run = running();
    run.on(register(2, 1, 4)).until(1_000).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run.tells((1, 1), 1, &[(0, 0, committed(1))]);
    run.says(1, &[(0, 1, failed(Domain::External)), (0, 0, Stopped)]).until(1_500);
    run.says_of((1, 2), 1, &[(0, 0, Running)]).says_of((1, 2), 2, &[(0, 0, Running), (0, 1, Running)]);
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] committed to 1.1
        taskmanager-1 reports 0[1] Failed(External), 0[0] Stopped
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it goes on from manifest-1.1 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 6: 
        at 1500
            job-1 placed: attempt-1.2 runs on taskmanager-1, taskmanager-2
            job-1 DEPLOYING
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] from manifest-1.1
            taskmanager-2 <- 8: Run job-1 attempt-1.2 0[1] from manifest-1.1
        taskmanager-1 reports 0[0] Running
        taskmanager-2 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
    "#]]);
}

#[test]
fn a_job_begins_from_the_manifest_it_was_given_until_it_has_a_checkpoint() {
    let mut run = Run::new();
    let from = Some("of-another-job".to_owned());
    run.on(register(1, 1, 1)).on(Event::Submit { request: 7, shape: JobShape { from, ..keeping(&[1]) } });
    run.says(1, &[(0, 0, failed(Domain::External))]).until(500).says_of((1, 2), 1, &[(0, 0, Running)]);
    // What it says of the other job's checkpoint is no news of this one's.
    run.tells((1, 2), 1, &[(0, 0, Said::Committed(CheckpointId(u64::MAX)))]);
    run.on(Event::Savepoint { request: 8, job: JobId(1) }).tells((1, 2), 1, &[(0, 0, part(1))]).check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0] from of-another-job
        taskmanager-1 reports 0[0] Failed(External)
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it goes on from of-another-job in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 3: 
        at 500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 4: Run job-1 attempt-1.2 0[0] from of-another-job
        taskmanager-1 reports 0[0] Running
            job-1 RUNNING
        taskmanager-1 reports 0[0] committed to 4294967295.4294967295
        savepoint, request 8
            taskmanager-1 <- 5: Run job-1 attempt-1.2 0[0] from of-another-job, savepoint 1.1
        taskmanager-1 reports 0[0] part of 1.1
            store 1.1 after of-another-job, savepoint: 0[0] p1
            job-1 savepoint-taken: checkpoint-1.1 is complete, a savepoint
            taskmanager-1 <- 6: Run job-1 attempt-1.2 0[0] from of-another-job, savepoint 1.1, completed 1.1
    "#]]);
}

/// Both subtasks have said their part, and nobody knows whether the manifest is there.
fn unanswered() -> Run {
    let mut run = running();
    run.until(1_000).slow_store().tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run
}

#[test]
fn no_attempt_is_made_while_a_manifest_is_being_written() {
    let mut run = unanswered();
    run.says(1, &[(0, 0, failed(Domain::External)), (0, 1, Stopped)]).until(5_000).on(stored(1)).on(stored(1));
    run.check(expect![[r#"
        taskmanager-1 reports 0[0] Failed(External), 0[1] Stopped
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 4: 
        1.1 is stored
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 5: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
        1.1 is stored
    "#]]);
    let mut run = unanswered();
    run.says(1, &[(0, 0, failed(Domain::External)), (0, 1, Stopped)]).until(5_000).on(not_stored(1));
    assert!(run.transcript.contains("Run job-1 attempt-1.2 0[0] 0[1]\n"), "{}", run.transcript);
}

#[test]
fn a_job_does_not_end_while_a_manifest_is_being_written() {
    let mut run = unanswered();
    run.on(Event::Cancel { job: JobId(1) }).says(1, &[(0, 0, Stopped), (0, 1, Stopped)]).until(5_000).on(stored(1));
    run.check(expect![[r#"
        cancel job-1
            write 2: job-1 Cancel, 0 restarts
            job-1 CANCELLING
            taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0] 0[1], take 1.1
        taskmanager-1 reports 0[0] Stopped, 0[1] Stopped
            taskmanager-1 <- 5: 
        1.1 is stored
            write 3: job-1 Cancel, 0 restarts, its end
            job-1 CANCELLED
    "#]]);
}

#[test]
fn a_lost_taskmanager_is_not_waited_for_by_an_attempt_that_goes_on_from_a_checkpoint() {
    let mut run = running();
    run.until(1_000).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run.on(lost(1)).on(register(2, 1, 2)).check(expect![[r#"
        taskmanager-1 is disconnected
            job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
            job-1 restarting: it goes on from manifest-1.1 in 0 ms
            job-1 RESTARTING
        taskmanager-2 registers, incarnation-1, 2 slots
            job-1 placed: attempt-1.2 runs on taskmanager-2
            job-1 DEPLOYING
            taskmanager-2 <- 5: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
    "#]]);
}

#[test]
fn what_another_attempt_or_another_taskmanager_says_is_not_heard() {
    let mut run = running();
    run.until(1_000).says(1, &[(0, 0, failed(Domain::External)), (0, 1, Stopped)]).until(1_500);
    run.says_of((1, 2), 1, &[(0, 0, Running), (0, 1, Running)]).until(2_500).quiet();
    run.tells((1, 1), 1, &[(0, 0, part(2)), (0, 1, part(2)), (0, 0, end()), (0, 1, declined(2))]);
    run.on(register(2, 1, 4)).tells((1, 2), 2, &[(0, 0, part(2)), (0, 1, part(2))]);
    run.tells((1, 2), 1, &[(0, 7, part(2)), (3, 0, part(2))]).check(expect![[r#"
        taskmanager-1 reports 0[0] part of 1.2, 0[1] part of 1.2, 0[0] part at its end, 0[1] declines 1.2
        taskmanager-2 registers, incarnation-1, 4 slots
            taskmanager-2 <- 7: 
        taskmanager-2 reports 0[0] part of 1.2, 0[1] part of 1.2
        taskmanager-1 reports 0[7] part of 1.2, 3[0] part of 1.2
    "#]]);
}

#[test]
fn a_lost_start_holds_up_checkpoints_rather_than_leaving_a_subtask_out() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(register(2, 1, 1)).on(submit_keeping(&[2])).says(1, &[(0, 0, Running)]).quiet();
    run.until(5_000).check(expect![[""]]);
}

#[test]
fn a_job_that_is_drained_goes_on_from_its_checkpoint_and_is_drained_again() {
    let mut run = running();
    run.until(1_000).tells((1, 1), 1, &[(0, 0, part(1)), (0, 1, part(1))]).quiet();
    run.on(Event::Drain { job: JobId(1) }).says(1, &[(0, 0, failed(Domain::Internal)), (0, 1, Stopped)]).until(1_500);
    run.check(expect![[r#"
        drain job-1
            write 2: job-1 Drain, 0 restarts
            taskmanager-1 <- 5: Drain job-1 attempt-1.1 0[0] 0[1], take 1.1, completed 1.1
        taskmanager-1 reports 0[0] Failed(Internal), 0[1] Stopped
            write 3: job-1 Drain, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it goes on from manifest-1.1 in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 6: 
        at 1500
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 7: Drain job-1 attempt-1.2 0[0] 0[1] from manifest-1.1
    "#]]);
}

#[test]
fn a_new_life_goes_on_from_the_newest_checkpoint_and_counts_beyond_it() {
    let record = |desired| JobRecord { shape: keeping(&[1]), ..crashes::record(1, desired, None) };
    let completed =
        Completed { id: id_of(2, 40), manifest: "manifest-2.40".to_owned(), last: false, transactions: false };
    for desired in [Desired::Run, Desired::Drain, Desired::Stop] {
        let recovered = Recovered { record: record(desired), checkpoints: vec![completed.clone()] };
        let mut run = Run::with(Config::default(), 3, vec![recovered]);
        run.on(register(1, 1, 1)).until(2_000).says(1, &[(0, 0, Running)]).until(3_000);
        let all = &run.transcript;
        assert!(all.contains("the job goes on from manifest-2.40"), "{all}");
        let wish = if desired == Desired::Drain { "Drain" } else { "Run" };
        assert!(all.contains(&format!("{wish} job-1 attempt-3.1 0[0] from manifest-2.40\n")), "{all}");
        let how = if desired == Desired::Stop { "savepoint" } else { "take" };
        assert!(all.contains(&format!("from manifest-2.40, {how} 3.1")), "{all}");
    }
    // A store that knows of a higher one than this life would give.
    let high = Completed { id: id_of(9, 1), ..completed };
    let mut run =
        Run::with(Config::default(), 3, vec![Recovered { record: record(Desired::Run), checkpoints: vec![high] }]);
    run.on(register(1, 1, 1)).until(2_000).says(1, &[(0, 0, Running)]).until(3_000);
    assert!(run.transcript.contains("take 9.2"), "{}", run.transcript);
}

#[test]
fn a_drained_job_without_checkpoints_so_far_runs_again_if_it_takes_any() {
    let record = JobRecord { shape: keeping(&[1]), ..crashes::record(1, Desired::Drain, None) };
    let mut run = Run::with(Config::default(), 2, vec![Recovered { record, checkpoints: Vec::new() }]);
    run.on(register(1, 1, 1)).until(2_000).check(expect![[r#"
        begin
            job-1 recovered: the JobManager was restarted (epoch-2); the job starts again from the beginning of its input
            job-1 RESTARTING
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        at 2000
            job-1 placed: attempt-2.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Drain job-1 attempt-2.1 0[0]
    "#]]);
}
