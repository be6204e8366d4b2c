//! Transcripts of a JobManager: what happens to it, then what it commands.

use expect_test::{Expect, expect};
use wasmill_model::{
    fault::{Code, Domain},
    ids::{Attempt, Subtask},
    portions::Asks,
};

use super::*;
use crate::message::{Report, Said, SubtaskState};

mod checkpoints;
mod crashes;
mod drift;
mod finals;
mod recovery;
mod replacing;
mod savepoints;
mod splits;
mod transcript;

use transcript::{manifest, shown, shown_event};

/// A JobManager whose disk and checkpoint store answer at once, unless they are told not to.
struct Run {
    core: JobManager,
    now_ms: Timestamp,
    slow_disk: bool,
    slow_store: bool,
    /// Whether sinks prepare something for each checkpoint.
    transactions: bool,
    sequence: u64,
    transcript: String,
}

impl Run {
    fn new() -> Self {
        Self::with(Config::default(), 1, Vec::new())
    }

    fn with(config: Config, epoch: u64, records: Vec<Recovered>) -> Self {
        let (core, commands) = JobManager::new(config, Epoch(epoch), records, 0);
        let (slow_disk, slow_store, transactions) = (false, false, false);
        let mut run =
            Self { core, now_ms: 0, slow_disk, slow_store, transactions, sequence: 0, transcript: String::new() };
        if !commands.is_empty() {
            run.follow("begin", commands);
        }
        run
    }

    /// Lets an event happen, and the writes that follow become durable.
    fn on(&mut self, event: Event) -> &mut Self {
        let shown = shown_event(&event);
        let commands = self.core.handle(self.now_ms, event);
        self.settle(&shown, commands)
    }

    fn at(&mut self, now_ms: Timestamp) -> &mut Self {
        self.now_ms = now_ms;
        let commands = self.core.advance(now_ms);
        self.settle(&format!("at {now_ms}"), commands)
    }

    fn settle(&mut self, what: &str, mut commands: Vec<Command>) -> &mut Self {
        let mut next = 0;
        while let Some(command) = commands.get(next) {
            next += 1;
            let answer = match command {
                Command::Store { write, .. } if !self.slow_disk => Event::Stored { write: *write },
                Command::StoreCheckpoint { job, checkpoint, .. } if !self.slow_store => {
                    let (job, checkpoint, manifest) = (*job, *checkpoint, manifest(*checkpoint));
                    Event::CheckpointStored { job, checkpoint, manifest, transactions: self.transactions }
                }
                _ => continue,
            };
            commands.extend(self.core.handle(self.now_ms, answer));
        }
        self.follow(what, commands);
        self
    }

    fn slow_disk(&mut self) -> &mut Self {
        self.slow_disk = true;
        self
    }

    fn slow_store(&mut self) -> &mut Self {
        self.slow_store = true;
        self
    }

    /// From here on it is written down what happens.
    fn quiet(&mut self) -> &mut Self {
        self.transcript.clear();
        self
    }

    /// A TaskManager reports, in the first attempt of the first job unless `of` says otherwise.
    fn says(&mut self, taskmanager: u64, reports: &[(u32, u32, SubtaskState)]) -> &mut Self {
        self.says_of((1, 1), taskmanager, reports)
    }

    fn says_of(&mut self, of: (u64, u32), taskmanager: u64, reports: &[(u32, u32, SubtaskState)]) -> &mut Self {
        let said: Vec<(u32, u32, Said)> =
            reports.iter().map(|(chain, index, state)| (*chain, *index, Said::State(state.clone()))).collect();
        self.tells(of, taskmanager, &said)
    }

    fn tells(&mut self, of: (u64, u32), taskmanager: u64, reports: &[(u32, u32, Said)]) -> &mut Self {
        self.sequence += 1;
        let report = |(chain, index, said): &(u32, u32, Said)| Report {
            job: JobId(of.0),
            attempt: Attempt::new(self.core.epoch, of.1),
            subtask: Subtask { chain: *chain, index: *index },
            said: said.clone(),
        };
        let reports = Reports {
            epoch: self.core.epoch,
            taskmanager: TaskManagerId(taskmanager),
            incarnation: Incarnation(1),
            sequence: self.sequence,
            reports: reports.iter().map(report).collect(),
        };
        self.on(Event::Reports(reports))
    }

    fn follow(&mut self, what: &str, commands: Vec<Command>) {
        self.transcript += &format!("{what}\n");
        for command in commands.iter().filter(|command| !matches!(command, Command::Acknowledge { .. })) {
            self.transcript += &format!("    {}\n", shown(command));
        }
    }

    fn check(&self, expected: Expect) {
        expected.assert_eq(&self.transcript);
    }
}

fn register(id: u64, incarnation: u64, slots: u32) -> Event {
    let address = format!("host-{id}:7000");
    Event::Register { taskmanager: TaskManagerId(id), incarnation: Incarnation(incarnation), slots, address }
}

fn submit(chains: &[u32]) -> Event {
    submit_with(chains, Restart::Backoff { attempts_max: None })
}

fn submit_with(chains: &[u32], restart: Restart) -> Event {
    Event::Submit { request: 7, shape: shape(chains, restart) }
}

fn shape(chains: &[u32], restart: Restart) -> JobShape {
    let (name, chains) = ("fraud".to_owned(), chains.to_vec());
    JobShape {
        name,
        chains,
        restart,
        checkpoints: None,
        from: None,
        from_visible: false,
        transactional: true,
        in_step: Vec::new(),
    }
}

fn heartbeat(id: u64) -> Event {
    Event::Heartbeat { taskmanager: TaskManagerId(id), incarnation: Incarnation(1), watermarks: Vec::new() }
}

fn lost(id: u64) -> Event {
    Event::Lost { taskmanager: TaskManagerId(id), incarnation: Incarnation(1) }
}

fn failed(domain: Domain) -> SubtaskState {
    SubtaskState::Failed(Cause { code: Code::BadRow, domain, message: "bad row".to_owned() })
}

use SubtaskState::{Committed, Prepared, Running, Stopped};

#[test]
fn a_job_runs_prepares_commits_and_finishes() {
    Run::new()
        .on(register(1, 1, 2))
        .on(submit(&[2, 1]))
        .says(1, &[(0, 0, Running), (0, 1, Running), (0, 1, Prepared)])
        .says(1, &[(1, 0, Running), (0, 0, Prepared)])
        .says(1, &[(1, 0, Prepared)])
        .says(1, &[(0, 0, Committed), (0, 1, Committed)])
        .says(1, &[(1, 0, Committed)])
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 2 slots
                taskmanager-1 <- 1: 
            submit [2, 1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0] 0[1] 1[0]
            taskmanager-1 reports 0[0] Running, 0[1] Running, 0[1] Prepared
            taskmanager-1 reports 1[0] Running, 0[0] Prepared
                job-1 RUNNING
            taskmanager-1 reports 1[0] Prepared
                taskmanager-1 <- 3: Commit job-1 attempt-1.1 0[0] 0[1] 1[0]
            taskmanager-1 reports 0[0] Committed, 0[1] Committed
            taskmanager-1 reports 1[0] Committed
                write 2: job-1 Run, 0 restarts, its end
                taskmanager-1 <- 4: 
                job-1 FINISHED
        "#]]);
}

#[test]
fn a_job_waits_for_slots_and_is_spread() {
    Run::new().on(submit(&[3])).on(register(1, 1, 2)).on(register(2, 1, 2)).check(expect![[r#"
        submit [3]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
        taskmanager-1 registers, incarnation-1, 2 slots
            taskmanager-1 <- 1: 
        taskmanager-2 registers, incarnation-1, 2 slots
            job-1 placed: attempt-1.1 runs on taskmanager-1, taskmanager-2
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0] 0[2]
            taskmanager-2 <- 3: Run job-1 attempt-1.1 0[1]
    "#]]);
}

#[test]
fn a_job_that_can_never_fit_holds_up_nobody_and_one_that_will_does() {
    Run::new().on(register(1, 1, 2)).on(submit(&[3])).on(submit(&[1])).on(submit(&[2])).on(submit(&[1])).check(
        expect![[r#"
        taskmanager-1 registers, incarnation-1, 2 slots
            taskmanager-1 <- 1: 
        submit [3]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
        submit [1]
            write 2: job-2 Run, 0 restarts
            accept 7 as job-2
            job-2 CREATED
            job-2 placed: attempt-1.1 runs on taskmanager-1
            job-2 DEPLOYING
            taskmanager-1 <- 2: Run job-2 attempt-1.1 0[0]
        submit [2]
            write 3: job-3 Run, 0 restarts
            accept 7 as job-3
            job-3 CREATED
        submit [1]
            write 4: job-4 Run, 0 restarts
            accept 7 as job-4
            job-4 CREATED
    "#]],
    );
}

#[test]
fn a_failure_of_the_users_ends_the_job_and_commits_nothing() {
    Run::new()
        .on(register(1, 1, 2))
        .on(submit(&[2]))
        .says(1, &[(0, 0, Running), (0, 1, Running), (0, 0, Prepared)])
        .says(1, &[(0, 1, failed(Domain::User))])
        .says(1, &[(0, 1, Prepared)])
        .says(1, &[(0, 0, Stopped)])
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 2 slots
                taskmanager-1 <- 1: 
            submit [2]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0] 0[1]
            taskmanager-1 reports 0[0] Running, 0[1] Running, 0[0] Prepared
                job-1 RUNNING
            taskmanager-1 reports 0[1] Failed(User)
                job-1 failure: attempt-1.1 failed: bad row
                job-1 CANCELLING
                taskmanager-1 <- 3: Stop job-1 attempt-1.1 0[0] 0[1]
            taskmanager-1 reports 0[1] Prepared
            taskmanager-1 reports 0[0] Stopped
                write 2: job-1 Run, 0 restarts, its end
                taskmanager-1 <- 4: 
                job-1 FAILED: bad row
        "#]]);
}

#[test]
fn other_failures_restart_the_job_later_and_later() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(submit(&[1])).says(1, &[(0, 0, failed(Domain::External))]).at(100).at(200);
    run.says_of((1, 2), 1, &[(0, 0, Running)]).says_of((1, 2), 1, &[(0, 0, failed(Domain::Internal))]).at(599).at(600);
    run.check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
            job-1 placed: attempt-1.1 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
        taskmanager-1 reports 0[0] Failed(External)
            write 2: job-1 Run, 1 restarts
            job-1 failure: attempt-1.1 failed: bad row
            job-1 restarting: it starts again from the beginning of its input in 200 ms
            job-1 RESTARTING
            taskmanager-1 <- 3: 
        at 100
        at 200
            job-1 placed: attempt-1.2 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 4: Run job-1 attempt-1.2 0[0]
        taskmanager-1 reports 0[0] Running
            job-1 RUNNING
        taskmanager-1 reports 0[0] Failed(Internal)
            write 3: job-1 Run, 2 restarts
            job-1 failure: attempt-1.2 failed: bad row
            job-1 restarting: it starts again from the beginning of its input in 400 ms
            job-1 RESTARTING
            taskmanager-1 <- 5: 
        at 599
        at 600
            job-1 placed: attempt-1.3 runs on taskmanager-1
            job-1 DEPLOYING
            taskmanager-1 <- 6: Run job-1 attempt-1.3 0[0]
    "#]]);
}

#[test]
fn a_job_is_restarted_as_often_as_it_may_be() {
    Run::new()
        .on(register(1, 1, 1))
        .on(submit_with(&[1], Restart::Backoff { attempts_max: Some(1) }))
        .says(1, &[(0, 0, failed(Domain::External))])
        .at(200)
        .says_of((1, 2), 1, &[(0, 0, failed(Domain::External))])
        .on(submit_with(&[1], Restart::Never))
        .says_of((2, 1), 1, &[(0, 0, failed(Domain::External))])
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            submit [1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
            taskmanager-1 reports 0[0] Failed(External)
                write 2: job-1 Run, 1 restarts
                job-1 failure: attempt-1.1 failed: bad row
                job-1 restarting: it starts again from the beginning of its input in 200 ms
                job-1 RESTARTING
                taskmanager-1 <- 3: 
            at 200
                job-1 placed: attempt-1.2 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 4: Run job-1 attempt-1.2 0[0]
            taskmanager-1 reports 0[0] Failed(External)
                job-1 failure: attempt-1.2 failed: bad row
                job-1 CANCELLING
                write 3: job-1 Run, 1 restarts, its end
                taskmanager-1 <- 5: 
                job-1 FAILED: bad row
            submit [1]
                write 4: job-2 Run, 0 restarts
                accept 7 as job-2
                job-2 CREATED
                job-2 placed: attempt-1.1 runs on taskmanager-1
                job-2 DEPLOYING
                taskmanager-1 <- 6: Run job-2 attempt-1.1 0[0]
            taskmanager-1 reports 0[0] Failed(External)
                job-2 failure: attempt-1.1 failed: bad row
                job-2 CANCELLING
                write 5: job-2 Run, 0 restarts, its end
                taskmanager-1 <- 7: 
                job-2 FAILED: bad row
        "#]]);
}

#[test]
fn draining_asks_the_sources_to_end() {
    let drain = || Event::Drain { job: JobId(1) };
    Run::new()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .on(drain())
        .says(1, &[(0, 0, Running)])
        .on(drain())
        .says(1, &[(0, 0, Prepared)])
        .says(1, &[(0, 0, Committed)])
        .on(drain())
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            submit [1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
            drain job-1
                write 2: job-1 Drain, 0 restarts
                taskmanager-1 <- 3: Drain job-1 attempt-1.1 0[0]
            taskmanager-1 reports 0[0] Running
                job-1 RUNNING
            drain job-1
            taskmanager-1 reports 0[0] Prepared
                taskmanager-1 <- 4: Commit job-1 attempt-1.1 0[0]
            taskmanager-1 reports 0[0] Committed
                write 3: job-1 Drain, 0 restarts, its end
                taskmanager-1 <- 5: 
                job-1 FINISHED
            drain job-1
        "#]]);
}

#[test]
fn a_job_that_waits_for_slots_is_drained_at_once() {
    Run::new().on(submit(&[1])).on(Event::Drain { job: JobId(1) }).check(expect![[r#"
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
        drain job-1
            write 2: job-1 Drain, 0 restarts
            job-1 CANCELLING
            write 3: job-1 Drain, 0 restarts, its end
            job-1 CANCELLED
    "#]]);
}

#[test]
fn a_job_that_loses_what_it_had_read_while_it_is_drained_fails() {
    Run::new()
        .on(register(1, 1, 1))
        .on(register(2, 1, 1))
        .on(submit(&[1]))
        .on(Event::Drain { job: JobId(1) })
        .on(lost(1))
        .at(2_000)
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            taskmanager-2 registers, incarnation-1, 1 slots
                taskmanager-2 <- 2: 
            submit [1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 3: Run job-1 attempt-1.1 0[0]
            drain job-1
                write 2: job-1 Drain, 0 restarts
                taskmanager-1 <- 4: Drain job-1 attempt-1.1 0[0]
            taskmanager-1 is disconnected
                job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
                job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
                job-1 CANCELLING
            at 2000
                write 3: job-1 Drain, 0 restarts, its end
                job-1 FAILED: what the job had read was lost while it was being stopped: taskmanager-1 was lost
        "#]]);
}

#[test]
fn cancelling_waits_for_all_subtasks_and_frees_the_slots() {
    let cancel = || Event::Cancel { job: JobId(1) };
    Run::new()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .on(submit(&[1]))
        .on(cancel())
        .on(cancel())
        .says(1, &[(0, 0, Stopped)])
        .on(cancel())
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            submit [1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
            submit [1]
                write 2: job-2 Run, 0 restarts
                accept 7 as job-2
                job-2 CREATED
            cancel job-1
                write 3: job-1 Cancel, 0 restarts
                job-1 CANCELLING
                taskmanager-1 <- 3: Stop job-1 attempt-1.1 0[0]
            cancel job-1
            taskmanager-1 reports 0[0] Stopped
                write 4: job-1 Cancel, 0 restarts, its end
                job-2 placed: attempt-1.1 runs on taskmanager-1
                job-2 DEPLOYING
                taskmanager-1 <- 4: Run job-2 attempt-1.1 0[0]
                job-1 CANCELLED
            cancel job-1
        "#]]);
}

#[test]
fn it_can_be_too_late_to_cancel() {
    Run::new()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .says(1, &[(0, 0, Prepared)])
        .on(Event::Cancel { job: JobId(1) })
        .says(1, &[(0, 0, Committed)])
        .check(expect![[r#"
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
            cancel job-1
                write 2: job-1 Cancel, 0 restarts
                job-1 too-late-to-cancel: it was too late to cancel attempt-1.1: its results are already becoming visible
            taskmanager-1 reports 0[0] Committed
                write 3: job-1 Cancel, 0 restarts, its end
                taskmanager-1 <- 4: 
                job-1 FINISHED
        "#]]);
}

#[test]
fn a_lost_taskmanager_restarts_its_jobs_at_once_elsewhere() {
    Run::new()
        .on(register(1, 1, 1))
        .on(register(2, 1, 1))
        .on(register(3, 1, 1))
        .on(submit(&[2]))
        .says(2, &[(0, 1, Running)])
        .on(lost(1))
        .says(2, &[(0, 1, Stopped)])
        .check(expect![[r#"
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
            taskmanager-2 reports 0[1] Running
            taskmanager-1 is disconnected
                job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
                write 2: job-1 Run, 1 restarts
                job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
                job-1 restarting: it starts again from the beginning of its input in 0 ms
                job-1 RESTARTING
                taskmanager-2 <- 6: Stop job-1 attempt-1.1 0[1]
            taskmanager-2 reports 0[1] Stopped
                job-1 placed: attempt-1.2 runs on taskmanager-2, taskmanager-3
                job-1 DEPLOYING
                taskmanager-2 <- 7: Run job-1 attempt-1.2 0[0]
                taskmanager-3 <- 8: Run job-1 attempt-1.2 0[1]
        "#]]);
}

#[test]
fn a_lost_taskmanager_that_may_still_commit_is_waited_for() {
    Run::new()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .says(1, &[(0, 0, Prepared)])
        .on(register(2, 1, 1))
        .on(lost(1))
        .at(1_999)
        .on(heartbeat(2))
        .at(2_000)
        .check(expect![[r#"
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
            taskmanager-2 registers, incarnation-1, 1 slots
                taskmanager-2 <- 4: 
            taskmanager-1 is disconnected
                job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
                write 2: job-1 Run, 1 restarts
                job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
                job-1 restarting: it starts again from the beginning of its input in 0 ms; some of its results are visible already and will be written again
                job-1 RESTARTING
            at 1999
            taskmanager-2 polls
            at 2000
                job-1 placed: attempt-1.2 runs on taskmanager-2
                job-1 DEPLOYING
                taskmanager-2 <- 5: Run job-1 attempt-1.2 0[0]
        "#]]);
}

#[test]
fn a_silent_taskmanager_is_lost_unless_the_jobmanager_was_late() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(register(2, 1, 1));
    for now_ms in [500, 1_000, 1_500] {
        run.at(now_ms).on(heartbeat(2));
    }
    run.at(2_000).on(heartbeat(1));
    // It slept for five seconds, and was to be called after half of one.
    run.at(7_000).on(heartbeat(2)).at(7_500).at(8_000);
    run.check(expect![[r#"
        taskmanager-1 registers, incarnation-1, 1 slots
            taskmanager-1 <- 1: 
        taskmanager-2 registers, incarnation-1, 1 slots
            taskmanager-2 <- 2: 
        at 500
        taskmanager-2 polls
        at 1000
        taskmanager-2 polls
        at 1500
        taskmanager-2 polls
        at 2000
        taskmanager-1 polls
            taskmanager-1 incarnation-1 is unknown
        at 7000
        taskmanager-2 polls
        at 7500
        at 8000
    "#]]);
    assert_eq!(run.core.taskmanagers().map(|view| view.id.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_later_life_of_a_taskmanager_has_nothing_of_the_earlier_one() {
    Run::new()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .on(register(1, 2, 1))
        .says(1, &[(0, 0, Running)])
        .on(register(1, 1, 1))
        .on(heartbeat(1))
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            submit [1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
            taskmanager-1 registers, incarnation-2, 1 slots
                job-1 worker-lost: taskmanager-1, which ran attempt-1.1, was lost
                write 2: job-1 Run, 1 restarts
                job-1 failure: attempt-1.1 failed: taskmanager-1 was lost
                job-1 restarting: it starts again from the beginning of its input in 0 ms
                job-1 RESTARTING
                job-1 placed: attempt-1.2 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 3: Run job-1 attempt-1.2 0[0]
            taskmanager-1 reports 0[0] Running
                taskmanager-1 incarnation-1 is unknown
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 incarnation-1 is unknown
            taskmanager-1 polls
                taskmanager-1 incarnation-1 is unknown
        "#]]);
}

#[test]
fn reports_that_come_late_change_nothing() {
    let mut run = Run::new();
    run.on(register(1, 1, 1)).on(submit(&[1])).says(1, &[(0, 0, Prepared)]);
    run.sequence -= 1;
    run.says(1, &[(0, 0, failed(Domain::Internal))]).says(1, &[(0, 0, Running)]).check(expect![[r#"
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
        taskmanager-1 reports 0[0] Failed(Internal)
        taskmanager-1 reports 0[0] Running
    "#]]);
}

#[test]
fn jobs_move_from_a_cordoned_taskmanager_when_there_is_room() {
    let cordon = |on| Event::Cordon { taskmanager: TaskManagerId(1), on };
    Run::new()
        .on(register(1, 1, 1))
        .on(submit(&[1]))
        .on(cordon(true))
        .on(submit(&[1]))
        .on(register(2, 1, 1))
        .on(register(3, 1, 1))
        .says(1, &[(0, 0, Stopped)])
        .on(submit(&[1]))
        .on(cordon(false))
        .check(expect![[r#"
            taskmanager-1 registers, incarnation-1, 1 slots
                taskmanager-1 <- 1: 
            submit [1]
                write 1: job-1 Run, 0 restarts
                accept 7 as job-1
                job-1 CREATED
                job-1 placed: attempt-1.1 runs on taskmanager-1
                job-1 DEPLOYING
                taskmanager-1 <- 2: Run job-1 attempt-1.1 0[0]
            taskmanager-1 cordoned: true
            submit [1]
                write 2: job-2 Run, 0 restarts
                accept 7 as job-2
                job-2 CREATED
            taskmanager-2 registers, incarnation-1, 1 slots
                job-2 placed: attempt-1.1 runs on taskmanager-2
                job-2 DEPLOYING
                taskmanager-2 <- 3: Run job-2 attempt-1.1 0[0]
            taskmanager-3 registers, incarnation-1, 1 slots
                job-1 moved: attempt-1.1 moves away from taskmanager-1, which is being drained
                job-1 RESTARTING
                taskmanager-1 <- 4: Stop job-1 attempt-1.1 0[0]
                taskmanager-3 <- 5: 
            taskmanager-1 reports 0[0] Stopped
                job-1 placed: attempt-1.2 runs on taskmanager-3
                job-1 DEPLOYING
                taskmanager-1 <- 6: 
                taskmanager-3 <- 7: Run job-1 attempt-1.2 0[0]
            submit [1]
                write 3: job-3 Run, 0 restarts
                accept 7 as job-3
                job-3 CREATED
            taskmanager-1 cordoned: false
                job-3 placed: attempt-1.1 runs on taskmanager-1
                job-3 DEPLOYING
                taskmanager-1 <- 8: Run job-3 attempt-1.1 0[0]
        "#]]);
}

#[test]
fn ended_jobs_are_forgotten_beyond_a_bound() {
    let mut run = Run::with(Config { history_jobs_max: 2, ..Config::default() }, 1, Vec::new());
    for job in 1..=3 {
        run.on(submit(&[1])).on(Event::Cancel { job: JobId(job) });
    }
    let known: Vec<JobId> = run.core.jobs().collect();
    assert_eq!(known, [JobId(2), JobId(3)]);
    assert!(run.transcript.ends_with("forget job-1\n"), "{}", run.transcript);
}

#[test]
fn more_live_jobs_than_are_taken_are_refused() {
    let mut run = Run::with(Config { live_jobs_max: 1, ..Config::default() }, 1, Vec::new());
    run.on(submit(&[1])).on(submit(&[1])).check(expect![[r#"
        submit [1]
            write 1: job-1 Run, 0 restarts
            accept 7 as job-1
            job-1 CREATED
        submit [1]
            refuse 7: could not take the job: 1 jobs have not ended, and no more are taken
    "#]]);
}

#[test]
fn views_show_what_is_accepted() {
    let mut run = Run::new();
    run.slow_disk().on(register(1, 1, 3)).on(submit(&[2]));
    assert!(run.core.job(JobId(1)).is_none(), "nobody has been told of it");
    run.on(Event::Stored { write: 1 }).says(1, &[(0, 1, Running)]);
    let view = run.core.job(JobId(1)).expect("it is accepted");
    assert_eq!((view.state, view.attempt, view.restarts), (JobState::Deploying, Attempt::new(Epoch(1), 1), 0));
    let states: Vec<bool> = view.subtasks.iter().map(|(_, _, state)| state.is_some()).collect();
    assert_eq!(states, [false, true]);
    let worker = run.core.taskmanagers().next().expect("it is there");
    assert_eq!((worker.slots, worker.free, worker.jobs, worker.address), (3, 1, vec![JobId(1)], "host-1:7000"));
}
