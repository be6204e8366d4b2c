//! Checkpoints that no attempt can begin from, and results that are gone: what is passed over, and what people decide.

use super::{
    checkpoints::{committed, id, keeping, part, running},
    *,
};

fn unrestorable(code: Code) -> Said {
    let message = match code {
        Code::CheckpointDamaged => "file a is not what was written",
        _ => "file b of sink out[0] is gone",
    };
    Said::State(SubtaskState::Failed(Cause { code, domain: Domain::Operator, message: message.to_owned() }))
}

fn damaged() -> Said {
    unrestorable(Code::CheckpointDamaged)
}

fn lost() -> Said {
    unrestorable(Code::TransactionLost)
}

fn resolve(request: u64, choice: Choice) -> Event {
    Event::Resolve { request, job: JobId(1), choice }
}

/// A job with so many checkpoints, whose TaskManager is lost and there again: its second attempt is placed.
fn placed_again(checkpoints: u32, transactions: bool) -> Run {
    let mut run = running();
    run.transactions = transactions;
    for count in 1..=checkpoints {
        run.until(1_000 * i64::from(count)).tells((1, 1), 1, &[(0, 0, part(count)), (0, 1, part(count))]);
        run.tells((1, 1), 1, &[(0, 0, committed(count)), (0, 1, committed(count))]);
    }
    run.on(super::lost(1)).quiet().on(register(1, 1, 4));
    run.sequence = 0;
    run
}

fn resolved_to(run: &Run) -> (String, Vec<&'static str>, Option<String>) {
    let view = run.core.job(JobId(1)).expect("it is there");
    let DecisionView { decision, choices, rewind_to } = view.decision.expect("something is to be decided");
    assert_eq!(view.state, JobState::NeedsDecision);
    (decision.manifest.clone(), choices.into_iter().map(Choice::name).collect(), rewind_to)
}

#[test]
fn a_damaged_checkpoint_is_passed_over_as_long_as_nothing_has_become_visible_since_the_one_before() {
    let mut run = placed_again(2, false);
    run.tells((1, 2), 1, &[(0, 0, damaged())]).tells((1, 2), 1, &[(0, 1, Said::State(Stopped))]);
    run.tells((1, 3), 1, &[(0, 0, Said::State(Running)), (0, 1, Said::State(Running))]);
    run.until(3_000).tells((1, 3), 1, &[(0, 0, part(3)), (0, 1, part(3))]).check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 4 slots
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.2
        taskmanager-1 reports 0[0] Failed(Operator)
            job-1 checkpoint-passed-over: checkpoint-1.2 is passed over, as nothing of it was visible yet: file a is not what was written
            write 3: job-1 Run, 2 restarts, without 1.2
            job-1 failure: attempt-1.2 failed: file a is not what was written
            job-1 restarting: it goes on from manifest-1.1 in 0 ms
            job-1 RESTARTING
            taskmanager-1 <- 8: Stop job-1 attempt-1.2 0[0] 0[1] from manifest-1.2
        taskmanager-1 reports 0[1] Stopped
            job-1 placed: attempt-1.3 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 9: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1 past manifest-1.2
        taskmanager-1 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
        at 3000
            taskmanager-1 <- 10: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1 past manifest-1.2, take 1.3
        taskmanager-1 reports 0[0] part of 1.3, 0[1] part of 1.3
            store 1.3 after manifest-1.1, without 1.2: 0[0] p3, 0[1] p3
            taskmanager-1 <- 11: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1 past manifest-1.2, take 1.3, completed 1.3
    "#]]);
}

#[test]
fn without_an_older_checkpoint_a_job_begins_anew_if_its_sinks_make_nothing_visible_and_else_people_decide() {
    for transactional in [false, true] {
        let mut run = Run::new();
        let shape = JobShape { transactional, ..keeping(&[1]) };
        run.on(register(1, 1, 4)).on(Event::Submit { request: 7, shape }).says(1, &[(0, 0, Running)]);
        run.until(1_000).tells((1, 1), 1, &[(0, 0, part(1))]).on(super::lost(1)).on(register(1, 1, 4));
        run.sequence = 0;
        run.tells((1, 2), 1, &[(0, 0, damaged())]);
        let view = run.core.job(JobId(1)).expect("it is there");
        match transactional {
            false => assert_eq!((view.state, view.attempt), (JobState::Deploying, Attempt::new(Epoch(1), 3))),
            true => assert_eq!(resolved_to(&run), (manifest(id(1)), vec!["retry", "rewind"], None)),
        }
    }
}

#[test]
fn people_decide_about_a_damaged_checkpoint_when_something_has_become_visible_since() {
    let mut run = placed_again(2, true);
    run.tells((1, 2), 1, &[(0, 0, damaged())]).on(resolve(6, Choice::GiveUpTransaction));
    assert_eq!(resolved_to(&run), (manifest(id(2)), vec!["retry", "rewind"], Some(manifest(id(1)))));
    run.on(resolve(8, Choice::Retry)).tells((1, 2), 1, &[(0, 1, Said::State(Stopped))]).until(5_000);
    run.tells((1, 3), 1, &[(0, 0, damaged()), (0, 1, Said::State(Stopped))]);
    run.slow_disk().on(resolve(9, Choice::Rewind)).on(resolve(10, Choice::Rewind)).on(Event::Stored { write: 8 });
    run.check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 4 slots
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 7: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.2 visible
        taskmanager-1 reports 0[0] Failed(Operator)
            job-1 needs-decision: somebody has to decide, damaged-checkpoint: file a is not what was written
            write 5: job-1 Run, 1 restarts, 1.2 visible, to decide: damaged-checkpoint
            job-1 failure: attempt-1.2 failed: file a is not what was written
            job-1 NEEDS_DECISION
            taskmanager-1 <- 8: Stop job-1 attempt-1.2 0[0] 0[1] from manifest-1.2 visible
        resolve by give-up-transaction, request 6
            6: choice-not-offered: could not resolve job-1: give-up-transaction is not among the choices: retry, rewind
        resolve by retry, request 8
            job-1 resolved: it was decided, retry: it goes on from manifest-1.2
            write 6: job-1 Run, 1 restarts, 1.2 visible
            8: resolved
        taskmanager-1 reports 0[1] Stopped
            taskmanager-1 <- 9: 
        at 4000
            job-1 placed: attempt-1.3 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 10: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.2 visible
        taskmanager-1 reports 0[0] Failed(Operator), 0[1] Stopped
            job-1 needs-decision: somebody has to decide, damaged-checkpoint: file a is not what was written
            write 7: job-1 Run, 1 restarts, 1.2 visible, to decide: damaged-checkpoint
            job-1 failure: attempt-1.3 failed: file a is not what was written
            job-1 NEEDS_DECISION
            taskmanager-1 <- 11: 
        resolve by rewind, request 9
            job-1 resolved: it was decided, rewind: it goes on from manifest-1.1
            write 8: job-1 Run, 1 restarts, without 1.2, 1.2 visible
        resolve by rewind, request 10
            10: nothing-to-decide: could not resolve job-1: it was decided a moment ago
        write 8 is durable
            9: resolved
            job-1 RESTARTING
            job-1 placed: attempt-1.4 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 12: Run job-1 attempt-1.4 0[0] 0[1] from manifest-1.1 visible past manifest-1.2
    "#]]);
}

#[test]
fn what_is_lost_is_given_up_for_the_checkpoint_it_belongs_to_and_for_no_later_one() {
    let mut run = placed_again(1, true);
    run.tells((1, 2), 1, &[(0, 0, lost()), (0, 1, Said::State(Stopped))]);
    assert_eq!(resolved_to(&run), (manifest(id(1)), vec!["retry", "give-up-transaction", "rewind"], None));
    run.on(resolve(8, Choice::GiveUpTransaction)).until(3_000);
    run.tells((1, 3), 1, &[(0, 0, Said::State(Running)), (0, 1, Said::State(Running))]);
    run.until(4_000).tells((1, 3), 1, &[(0, 0, part(2)), (0, 1, part(2))]);
    run.on(super::lost(1)).on(register(1, 1, 4)).check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 4 slots
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 5: Run job-1 attempt-1.2 0[0] 0[1] from manifest-1.1 visible
        taskmanager-1 reports 0[0] Failed(Operator), 0[1] Stopped
            job-1 needs-decision: somebody has to decide, lost-transaction: file b of sink out[0] is gone
            write 4: job-1 Run, 1 restarts, 1.1 visible, to decide: lost-transaction
            job-1 failure: attempt-1.2 failed: file b of sink out[0] is gone
            job-1 NEEDS_DECISION
            taskmanager-1 <- 6: 
        resolve by give-up-transaction, request 8
            job-1 resolved: it was decided, give-up-transaction: it goes on from manifest-1.1
            write 5: job-1 Run, 1 restarts, 1.1 visible
            8: resolved
            job-1 RESTARTING
        at 3000
            job-1 placed: attempt-1.3 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 7: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1 visible given up
        taskmanager-1 reports 0[0] Running, 0[1] Running
            job-1 RUNNING
        at 4000
            taskmanager-1 <- 8: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1 visible given up, take 1.2
        taskmanager-1 reports 0[0] part of 1.2, 0[1] part of 1.2
            store 1.2 after manifest-1.1: 0[0] p2, 0[1] p2
            taskmanager-1 <- 9: Run job-1 attempt-1.3 0[0] 0[1] from manifest-1.1 visible given up, take 1.2, completed 1.2
        taskmanager-1 is disconnected
            job-1 worker-lost: taskmanager-1, which ran attempt-1.3, was lost
            write 6: job-1 Run, 2 restarts, 1.1 visible
            job-1 failure: attempt-1.3 failed: taskmanager-1 was lost
            job-1 restarting: it goes on from manifest-1.2 in 400 ms
            job-1 RESTARTING
        taskmanager-1 registers, incarnation-1, 4 slots
            taskmanager-1 <- 10: 
    "#]]);
}

#[test]
fn a_decision_outlives_the_jobmanager_and_a_job_can_be_cancelled_instead() {
    let cause = Cause { code: Code::CheckpointDamaged, domain: Domain::Operator, message: "damaged".to_owned() };
    let decision = Decision { about: About::DamagedCheckpoint, manifest: "manifest-1.2".to_owned(), cause };
    let recovery = Recovery { decision: Some(decision), ..Recovery::default() };
    let record = JobRecord { shape: keeping(&[1]), recovery, ..crashes::record(1, Desired::Run, None) };
    let completed = |count| Completed { id: id(count), manifest: manifest(id(count)), last: false, transactions: true };
    let recovered = Recovered { record, checkpoints: vec![completed(1), completed(2)] };
    let begin = || Run::with(Config::default(), 2, vec![recovered.clone()]);
    let mut run = begin();
    run.on(register(1, 1, 4)).until(3_000);
    assert_eq!(resolved_to(&run), (manifest(id(2)), vec!["retry", "rewind"], Some(manifest(id(1)))));
    // What an earlier life ran may still be there when it is decided at once.
    run.on(Event::Cancel { job: JobId(1) }).check(expect![[r#"
        begin
            job-1 recovered: the JobManager was restarted (epoch-2)
            job-1 NEEDS_DECISION
        taskmanager-1 registers, incarnation-1, 4 slots
            taskmanager-1 <- 1: 
        cancel job-1
            write 1: job-1 Cancel, 0 restarts, to decide: damaged-checkpoint
            job-1 CANCELLING
            write 2: job-1 Cancel, 0 restarts, its end
            job-1 CANCELLED
    "#]]);
    let mut run = begin();
    run.on(register(1, 1, 4)).on(resolve(8, Choice::Rewind)).until(3_000).check(expect![[r#"
        begin
            job-1 recovered: the JobManager was restarted (epoch-2)
            job-1 NEEDS_DECISION
        taskmanager-1 registers, incarnation-1, 4 slots
            taskmanager-1 <- 1: 
        resolve by rewind, request 8
            job-1 resolved: it was decided, rewind: it goes on from manifest-1.1
            write 1: job-1 Run, 0 restarts, without 1.2
            8: resolved
            job-1 RESTARTING
        at 2000
            job-1 placed: attempt-2.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-2.1 0[0] from manifest-1.1 past manifest-1.2
    "#]]);
}

#[test]
fn a_savepoint_that_is_damaged_fails_the_job_that_begins_from_it() {
    let mut run = Run::new();
    let shape = JobShape { from: Some("savepoint".to_owned()), from_visible: true, ..keeping(&[1]) };
    run.on(register(1, 1, 4)).on(Event::Submit { request: 7, shape }).tells((1, 1), 1, &[(0, 0, damaged())]);
    run.check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 4 slots
            taskmanager-1 <- 1: 
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0] from savepoint visible
        taskmanager-1 reports 0[0] Failed(Operator)
            job-1 failure: attempt-1.1 failed: file a is not what was written
            job-1 CANCELLING
            write 2: job-1 Run, 0 restarts, its end
            taskmanager-1 <- 3: 
            job-1 FAILED: file a is not what was written
    "#]]);
}

#[test]
fn no_more_intact_checkpoints_are_kept_than_are_retained_and_none_of_them_goes_for_a_damaged_one() {
    let mut run = placed_again(4, false);
    run.tells((1, 2), 1, &[(0, 0, damaged()), (0, 1, Said::State(Stopped))]);
    run.tells((1, 3), 1, &[(0, 0, damaged()), (0, 1, Said::State(Stopped))]);
    let order = |run: &Run| run.core.job(JobId(1)).and_then(|view| view.checkpoint?.manifest);
    assert_eq!(order(&run), Some(manifest(id(2))), "3 and 4 are passed over; 1 was not kept");
    run.tells((1, 4), 1, &[(0, 0, damaged()), (0, 1, Said::State(Stopped))]);
    // No sink of this job has ever prepared anything, but that is known of those that are kept only.
    assert_eq!(resolved_to(&run), (manifest(id(2)), vec!["retry", "rewind"], None));
    run.on(resolve(8, Choice::Rewind)).until(7_000);
    run.tells((1, 5), 1, &[(0, 0, Said::State(Running)), (0, 1, Said::State(Running))]);
    for count in 5..9 {
        run.until(run.now_ms + 1_000).tells((1, 5), 1, &[(0, 0, part(count)), (0, 1, part(count))]);
    }
    let shown = run.transcript.lines().rfind(|line| line.contains("store 1.8")).map(str::trim);
    assert_eq!(shown, Some("store 1.8 after manifest-1.7: 0[0] p8, 0[1] p8"), "2, 3 and 4 are forgotten");
    run.on(super::lost(1)).on(register(1, 1, 4));
    run.sequence = 0;
    run.until(run.now_ms + 30_000).tells((1, 6), 1, &[(0, 0, damaged()), (0, 1, Said::State(Stopped))]);
    assert_eq!(order(&run), Some(manifest(id(7))));
}
