//! Waiting for states.

use serde_json::{Value, json};

use super::*;
use crate::scripted::{Server, Step, json as answer};

fn job(state: &str, cause: Option<Value>) -> Step {
    answer(
        "200 OK",
        json!({
            "id": "job-7", "name": "fraud", "state": state, "submitted_ms": 0, "slots": 1, "restarts": 0,
            "rows_read": 0, "rows_written": 0, "cpu_seconds": 0.0, "cause": cause, "vertices": "not looked at",
        }),
    )
}

#[track_caller]
fn check(steps: Vec<Step>, until: Until, within: Duration) -> Result<String, Overdue> {
    let count = steps.len();
    let server = Server::start(steps);
    let state = wait(&server.client(), "job-7", until, within).map(|job| job.state);
    assert_eq!(server.lines(), vec!["GET /v1/jobs/job-7"; count]);
    state
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_job_is_waited_for_until_it_is_where_it_should_be() {
    let states = || ["CREATED", "DEPLOYING", "RUNNING"].map(|state| job(state, None));
    assert_eq!(check(states().into(), Until::Running, LONG).expect("it runs"), "RUNNING");
    let mut steps: Vec<Step> = states().into();
    // A JobManager that is away for a moment is waited for.
    steps.extend([Step::Close, job("RESTARTING", None), job("FINISHED", None)]);
    assert_eq!(check(steps, Until::Ended, LONG).expect("it ends"), "FINISHED");
    assert_eq!(check(vec![job("FINISHED", None)], Until::Running, LONG).expect("it was quick"), "FINISHED");
}

fn stopped(savepoint: Option<&str>) -> Step {
    answer(
        "200 OK",
        json!({
            "id": "job-7", "name": "fraud", "state": "STOPPED", "submitted_ms": 0, "slots": 1, "restarts": 0,
            "rows_read": 0, "rows_written": 0, "cpu_seconds": 0.0, "savepoint": savepoint,
        }),
    )
}

#[test]
fn a_job_that_was_stopped_is_waited_for_until_its_savepoint_is_complete() {
    let steps = || vec![job("RUNNING", None), stopped(None), stopped(Some("fraud-1"))];
    assert_eq!(check(steps(), Until::Kept, LONG).expect("it is complete"), "STOPPED");
    // Who waits for its end alone sees it earlier, and so does who waits until it runs.
    assert_eq!(check(vec![stopped(None)], Until::Ended, LONG).expect("it has ended"), "STOPPED");
    assert_eq!(check(vec![stopped(None)], Until::Running, LONG).expect("it has ended"), "STOPPED");
    // A job that ended in another way has no savepoint to wait for.
    assert_eq!(check(vec![job("FINISHED", None)], Until::Kept, LONG).expect("it has ended"), "FINISHED");
    let overdue = check(vec![stopped(None)], Until::Kept, Duration::ZERO).expect_err("it is too long");
    let shown = overdue.error.shown();
    assert!(shown.starts_with("error[wait-timeout]: job-7 had no savepoint within 0s: it is STOPPED\n"), "{shown}");
}

#[test]
fn a_job_that_fails_says_why() {
    let cause = json!({ "code": "operator-trapped", "domain": "user", "message": "operator `score` trapped" });
    let server = Server::start(vec![job("FAILED", Some(cause))]);
    let failed = wait(&server.client(), "job-7", Until::Running, LONG).expect("it has ended");
    let expect = "error[operator-trapped]: operator `score` trapped\n  for more: wasmill explain operator-trapped\n";
    assert_eq!(failure(&failed).shown(), expect);
}

#[test]
fn a_wait_has_an_end_and_says_how_far_the_job_is() {
    let cause = json!({ "code": "no-slots", "domain": "operator", "message": "4 slots are needed, 2 are free" });
    let overdue = check(vec![job("CREATED", Some(cause))], Until::Running, Duration::ZERO).expect_err("it is too long");
    assert_eq!(overdue.state.as_deref(), Some("CREATED"));
    let shown = overdue.error.shown();
    let expect = "error[wait-timeout]: job-7 was not RUNNING within 0s: it is CREATED, because of no-slots: 4 slots are \
                  needed, 2 are free\n  hint: it goes on; `wasmill status job-7` shows it, --timeout waits longer\n";
    assert!(shown.starts_with(expect), "{shown}");
}
