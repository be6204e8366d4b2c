//! Transcripts of a JobManager: what happens to it, then what it commands.

use expect_test::{Expect, expect};

use super::*;

fn register(id: u64, incarnation: u64, slots: u32) -> Event {
    Event::Register { taskmanager: TaskManagerId(id), incarnation: Incarnation(incarnation), slots }
}

fn submit(chains: &[u32]) -> Event {
    Event::Submit { request: 7, shape: JobShape { name: "fraud".to_owned(), chains: chains.to_vec() } }
}

fn report(taskmanager: u64, chain: u32, index: u32, state: SubtaskState) -> Event {
    Event::Report(Report {
        taskmanager: TaskManagerId(taskmanager),
        incarnation: Incarnation(1),
        job: JobId(1),
        attempt: Attempt(1),
        subtask: Subtask { chain, index },
        state,
    })
}

fn failed() -> SubtaskState {
    SubtaskState::Failed(Cause { code: Code::BadRow, domain: Domain::User, message: "bad row".to_owned() })
}

fn show(command: &Command) -> String {
    match command {
        Command::Accepted { request, job } => format!("accept {request} as {job}"),
        Command::Tell { taskmanager, order: Order { wish: Wish::Run { subtasks }, .. }, .. } => {
            let subtasks: Vec<String> = subtasks.iter().map(Subtask::to_string).collect();
            format!("{taskmanager} run {}", subtasks.join(" "))
        }
        Command::Tell { taskmanager, order, .. } => format!("{taskmanager} {:?}", order.wish),
        Command::Changed { job, state: JobState::Failed(cause) } => format!("{job} FAILED: {}", cause.message),
        Command::Changed { job, state } => format!("{job} {}", state.name()),
    }
}

fn check(events: Vec<Event>, expected: Expect) {
    let mut core = JobManager::new();
    let mut transcript = String::new();
    for event in events {
        let commands: Vec<String> = core.handle(0, event).iter().map(show).collect();
        transcript += &format!("{}\n", commands.join("; "));
    }
    expected.assert_eq(&transcript);
}

#[test]
fn a_job_runs_prepares_commits_and_finishes() {
    use SubtaskState::{Committed, Prepared, Running};
    check(
        vec![
            register(1, 1, 2),
            submit(&[2, 1]),
            report(1, 0, 0, Running),
            report(1, 0, 1, Running),
            report(1, 0, 1, Prepared),
            report(1, 1, 0, Running),
            report(1, 0, 0, Prepared),
            report(1, 1, 0, Prepared),
            report(1, 0, 0, Committed),
            report(1, 0, 1, Committed),
            report(1, 1, 0, Committed),
        ],
        expect![[r#"

            accept 7 as job-1; job-1 CREATED; job-1 DEPLOYING; taskmanager-1 run 0[0] 0[1] 1[0]



            job-1 RUNNING

            taskmanager-1 Commit


            job-1 FINISHED
        "#]],
    );
}

#[test]
fn a_job_waits_for_slots_and_is_spread() {
    check(
        vec![submit(&[3]), register(1, 1, 2), register(2, 1, 2)],
        expect![[r#"
            accept 7 as job-1; job-1 CREATED

            job-1 DEPLOYING; taskmanager-1 run 0[0] 0[2]; taskmanager-2 run 0[1]
        "#]],
    );
}

#[test]
fn a_failure_stops_the_others_and_commits_nothing() {
    use SubtaskState::{Prepared, Running, Stopped};
    check(
        vec![
            register(1, 1, 2),
            submit(&[2]),
            report(1, 0, 0, Running),
            report(1, 0, 1, Running),
            report(1, 0, 0, Prepared),
            report(1, 0, 1, failed()),
            report(1, 0, 1, Prepared),
            report(1, 0, 0, Stopped),
        ],
        expect![[r#"

            accept 7 as job-1; job-1 CREATED; job-1 DEPLOYING; taskmanager-1 run 0[0] 0[1]

            job-1 RUNNING

            job-1 CANCELLING; taskmanager-1 Stop

            job-1 FAILED: bad row
        "#]],
    );
}

#[test]
fn draining_asks_the_sources_to_end() {
    use SubtaskState::{Committed, Prepared, Running};
    let drain = || Event::Drain { job: JobId(1) };
    check(
        vec![
            register(1, 1, 1),
            submit(&[1]),
            drain(),
            report(1, 0, 0, Running),
            drain(),
            report(1, 0, 0, Prepared),
            drain(),
            report(1, 0, 0, Committed),
            drain(),
        ],
        expect![[r#"

            accept 7 as job-1; job-1 CREATED; job-1 DEPLOYING; taskmanager-1 run 0[0]
            taskmanager-1 Drain
            job-1 RUNNING
            taskmanager-1 Drain
            taskmanager-1 Commit

            job-1 FINISHED

        "#]],
    );
}

#[test]
fn a_job_that_waits_for_slots_is_drained_at_once() {
    check(
        vec![submit(&[1]), Event::Drain { job: JobId(1) }],
        expect![[r#"
        accept 7 as job-1; job-1 CREATED
        job-1 CANCELLED
    "#]],
    );
}

#[test]
fn cancelling_waits_for_all_subtasks_and_frees_the_slots() {
    check(
        vec![
            register(1, 1, 1),
            submit(&[1]),
            submit(&[1]),
            Event::Cancel { job: JobId(1) },
            Event::Cancel { job: JobId(1) },
            report(1, 0, 0, SubtaskState::Stopped),
            Event::Cancel { job: JobId(1) },
        ],
        expect![[r#"

            accept 7 as job-1; job-1 CREATED; job-1 DEPLOYING; taskmanager-1 run 0[0]
            accept 7 as job-2; job-2 CREATED
            job-1 CANCELLING; taskmanager-1 Stop

            job-1 CANCELLED; job-2 DEPLOYING; taskmanager-1 run 0[0]

        "#]],
    );
}

#[test]
fn a_lost_taskmanager_fails_its_jobs_and_its_past_says_nothing() {
    check(
        vec![
            register(1, 1, 1),
            register(2, 1, 1),
            submit(&[2]),
            register(1, 2, 1),
            report(1, 0, 0, SubtaskState::Running),
            report(2, 0, 1, SubtaskState::Stopped),
            Event::Lost { taskmanager: TaskManagerId(1), incarnation: Incarnation(1) },
            submit(&[2]),
        ],
        expect![[r#"


            accept 7 as job-1; job-1 CREATED; job-1 DEPLOYING; taskmanager-1 run 0[0]; taskmanager-2 run 0[1]
            job-1 CANCELLING; taskmanager-2 Stop

            job-1 FAILED: taskmanager-1 was lost

            accept 7 as job-2; job-2 CREATED; job-2 DEPLOYING; taskmanager-1 run 0[0]; taskmanager-2 run 0[1]
        "#]],
    );
}

#[test]
fn ended_jobs_are_forgotten_beyond_a_bound() {
    let mut core = JobManager::new();
    for job in 1..=HISTORY_JOBS_MAX as u64 + 1 {
        core.handle(0, submit(&[1]));
        core.handle(0, Event::Cancel { job: JobId(job) });
    }
    assert_eq!(core.job_state(JobId(1)), None);
    assert_eq!(core.job_state(JobId(2)), Some(JobState::Cancelled));
}
