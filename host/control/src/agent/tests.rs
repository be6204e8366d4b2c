//! Transcripts of an agent: what it is told, then what it does.

use expect_test::{Expect, expect};
use wasmill_model::fault::{Code, Domain};

use super::*;
use crate::message::Cause;

const JOB: JobId = JobId(1);

fn subtask(chain: u32, index: u32) -> Subtask {
    Subtask { chain, index }
}

fn order(attempt: u64, wish: Wish) -> Event {
    Event::Order(Order { job: JOB, attempt: Attempt(attempt), wish })
}

fn run(attempt: u64) -> Event {
    order(attempt, Wish::Run { subtasks: vec![subtask(0, 0), subtask(1, 0)] })
}

fn says(attempt: u64, chain: u32, state: SubtaskState) -> Event {
    Event::Subtask { job: JOB, attempt: Attempt(attempt), subtask: subtask(chain, 0), state }
}

fn show(command: &Command) -> String {
    match command {
        Command::Start { attempt, subtasks, .. } => {
            let subtasks: Vec<String> = subtasks.iter().map(Subtask::to_string).collect();
            format!("start {attempt}: {}", subtasks.join(" "))
        }
        Command::Drain { attempt, .. } => format!("drain {attempt}"),
        Command::Commit { attempt, .. } => format!("commit {attempt}"),
        Command::Stop { attempt, .. } => format!("stop {attempt}"),
        Command::Release { attempt, .. } => format!("release {attempt}"),
        Command::Report(report) => format!("report {} {:?}", report.subtask, report.state),
    }
}

fn check(events: Vec<Event>, expected: Expect) {
    let mut agent = Agent::new(TaskManagerId(1), Incarnation(1));
    let mut transcript = String::new();
    for event in events {
        let commands: Vec<String> = agent.handle(0, event).iter().map(show).collect();
        transcript += &format!("{}\n", commands.join("; "));
    }
    expected.assert_eq(&transcript);
}

#[test]
fn a_job_from_start_to_release() {
    use SubtaskState::{Committed, Prepared, Running};
    check(
        vec![
            run(1),
            run(1),
            says(1, 0, Running),
            says(1, 1, Running),
            order(1, Wish::Drain),
            order(1, Wish::Drain),
            says(1, 0, Prepared),
            says(1, 1, Prepared),
            order(1, Wish::Commit),
            order(1, Wish::Commit),
            says(1, 0, Committed),
            says(1, 1, Committed),
        ],
        expect![[r#"
            start attempt-1: 0[0] 1[0]

            report 0[0] Running
            report 1[0] Running
            drain attempt-1

            report 0[0] Prepared
            report 1[0] Prepared
            commit attempt-1

            report 0[0] Committed
            report 1[0] Committed; release attempt-1
        "#]],
    );
}

#[test]
fn a_subtask_that_fails_before_another_has_started_releases_nothing() {
    let cause = Cause { code: Code::BadRow, domain: Domain::User, message: "bad row".to_owned() };
    check(
        vec![
            run(1),
            says(1, 0, SubtaskState::Failed(cause)),
            order(1, Wish::Stop),
            order(1, Wish::Commit),
            order(1, Wish::Drain),
            says(1, 1, SubtaskState::Stopped),
        ],
        expect![[r#"
            start attempt-1: 0[0] 1[0]
            report 0[0] Failed(Cause { code: BadRow, domain: User, message: "bad row" })
            stop attempt-1


            report 1[0] Stopped; release attempt-1
        "#]],
    );
}

#[test]
fn orders_and_reports_of_an_older_attempt_are_refused() {
    check(
        vec![run(2), run(1), order(1, Wish::Stop), says(1, 0, SubtaskState::Running), run(3)],
        expect![[r#"
            start attempt-2: 0[0] 1[0]



            stop attempt-2; release attempt-2; start attempt-3: 0[0] 1[0]
        "#]],
    );
}
