//! Command lines, and how verbs end.

use clap::{CommandFactory, Parser};
use serde_json::json;

use super::*;
use crate::scripted::{Server, Step, json as answer, problem};

#[derive(Debug, Parser)]
struct Program {
    #[command(subcommand)]
    verb: Verb,
}

fn parses(line: &str) -> bool {
    Program::try_parse_from(["wasmill"].into_iter().chain(line.split(' '))).is_ok()
}

/// How a verb ends that asks this server.
fn run_at(server: &Server, line: &str) -> Result<ExitCode, Error> {
    let line = format!("wasmill {line} --server {}", server.url);
    let interrupt = Interrupt::default();
    match Program::try_parse_from(line.split(' ')).expect("it is a command line").verb {
        Verb::Scale(arguments) => replace::scale(&arguments, &interrupt),
        Verb::Stop(arguments) => ending::stop(&arguments, &interrupt),
        Verb::Cancel(arguments) => ending::cancel(&arguments, &interrupt),
        Verb::Savepoint(verb) => savepoints::run(&verb, &interrupt),
        other => panic!("{other:?} is not tried here"),
    }
}

fn job(state: &str, savepoint: Option<&str>) -> Step {
    let json = json!({
        "id": "job-7", "name": "fraud", "state": state, "submitted_ms": 0, "slots": 1, "restarts": 0,
        "rows_read": 0, "rows_written": 0, "cpu_seconds": 0.0, "savepoint": savepoint,
    });
    answer("200 OK", json)
}

fn replaced(version: u32) -> Step {
    let json = json!({ "id": "job-7", "name": "fraud", "version": version, "state": "RUNNING", "warnings": ["odd"] });
    answer("200 OK", json)
}

#[test]
fn verbs_are_well_formed() {
    Program::command().debug_assert();
}

#[test]
fn what_can_be_asked_for_together() {
    for good in [
        "deploy job.toml --from before-v2",
        "deploy job.toml --from job-7/1.41 --allow-dropped-state --no-wait",
        "deploy job.toml --replace job-7",
        "deploy job.toml --replace job-7 --allow-dropped-state --set job.parallelism=2",
        "plan job.toml --from job-7 --allow-dropped-state",
        "stop job-7",
        "stop job-7 --savepoint before-v2 --timeout 10m",
        "stop job-7 --drain --no-wait",
        "scale job-7=4",
        "scale job-7.count=4 job-7.score=2 -o json",
        "savepoint create job-7 --name before-v2",
        "savepoint ls -o json",
        "plan job.toml --replace job-7",
        "savepoint show before-v2",
        "savepoint rm a b",
        "list --state stopped",
    ] {
        assert!(parses(good), "{good}");
    }
    for bad in [
        "deploy job.toml --from a/b",
        "deploy job.toml --replace job-7 --from before-v2",
        "deploy job.toml --replace job-7 --no-wait",
        "deploy job.toml --replace job-7 --timeout 1m",
        "deploy job.toml --replace fraud",
        "deploy job.toml --allow-dropped-state",
        "stop job-7 --drain --savepoint before-v2",
        "stop job-7 --savepoint a.b",
        "scale",
        "scale job-7",
        "savepoint create job-7 --name a/b",
        "savepoint rm",
    ] {
        assert!(!parses(bad), "{bad}");
    }
}

#[test]
fn what_was_begun_and_failed_ends_otherwise_than_what_was_refused() {
    let ended = |code: &str| ended(Err(Error::told(code, "could not go on")), Output::Table);
    assert_eq!(ended("replace-failed"), ExitCode::FAILURE);
    assert_eq!(ended("savepoint-failed"), ExitCode::FAILURE);
    assert_eq!(ended("state-incompatible"), ExitCode::from(REFUSED));
    assert_eq!(ended("checkpoints-off"), ExitCode::from(REFUSED));
}

#[test]
fn several_are_scaled_one_after_the_other_until_one_fails() {
    for form in ["table", "json"] {
        let line = format!("scale job-7.count=4 job-8=2 job-9=1 -o {form}");
        let server = Server::start(vec![replaced(1), problem(409, "checkpoints-off", "job-8 takes none"), replaced(1)]);
        assert_eq!(run_at(&server, &line), Ok(ExitCode::FAILURE), "the first one is done");
        assert_eq!(server.lines(), ["POST /v1/jobs/job-7/scale", "POST /v1/jobs/job-8/scale"]);
        let server = Server::start(vec![replaced(1), replaced(1), replaced(1)]);
        assert_eq!(run_at(&server, &line), Ok(ExitCode::SUCCESS));
        let server = Server::start(vec![problem(409, "checkpoints-off", "job-7 takes none"), replaced(1)]);
        assert_eq!(run_at(&server, &line).expect_err("nothing is done").code(), "checkpoints-off");
        assert_eq!(server.lines().len(), 1);
    }
}

#[test]
fn a_job_is_stopped_with_a_savepoint_unless_it_is_to_be_drained() {
    let server = Server::start(vec![job("RUNNING", None), job("STOPPED", None), job("STOPPED", Some("before-v2"))]);
    assert_eq!(run_at(&server, "stop job-7 --savepoint before-v2"), Ok(ExitCode::SUCCESS));
    let looks = ["GET /v1/jobs/job-7"; 2];
    assert_eq!(server.lines()[0], "POST /v1/jobs/job-7/stop?savepoint=before-v2");
    assert_eq!(server.lines()[1..], looks);
    let server = Server::start(vec![job("RUNNING", None), job("FINISHED", None)]);
    assert_eq!(run_at(&server, "stop job-7 --drain -o json"), Ok(ExitCode::SUCCESS));
    assert_eq!(server.lines()[0], "POST /v1/jobs/job-7/stop?drain=1");
    let server = Server::start(vec![job("RUNNING", None)]);
    assert_eq!(run_at(&server, "stop job-7 --no-wait"), Ok(ExitCode::SUCCESS));
    assert_eq!(server.lines(), ["POST /v1/jobs/job-7/stop"]);
    let server = Server::start(vec![problem(409, "checkpoints-off", "job-7 takes none")]);
    assert_eq!(run_at(&server, "stop job-7").expect_err("it is refused").code(), "checkpoints-off");
}

#[test]
fn savepoints_are_listed_page_by_page_and_shown() {
    let savepoint = |name: &str| {
        json!({
            "name": name, "job": "job-7", "job_name": "fraud", "checkpoint": "job-7/1.41", "time_ms": 0, "engine": "0.1.0",
            "state_bytes": 7, "operators": ["count"],
        })
    };
    for form in ["table", "json"] {
        let page =
            |name: &str, next: Option<&str>| answer("200 OK", json!({ "items": [savepoint(name)], "next": next }));
        let server = Server::start(vec![page("a", Some("n")), page("b", None)]);
        assert_eq!(run_at(&server, &format!("savepoint ls -o {form}")), Ok(ExitCode::SUCCESS));
        assert_eq!(server.lines(), ["GET /v1/savepoints?limit=1000", "GET /v1/savepoints?limit=1000&cursor=n"]);
        let server = Server::start(vec![answer("200 OK", savepoint("a")), answer("201 Created", savepoint("b"))]);
        assert_eq!(run_at(&server, &format!("savepoint show a -o {form}")), Ok(ExitCode::SUCCESS));
        assert_eq!(run_at(&server, &format!("savepoint create job-7 --name b -o {form}")), Ok(ExitCode::SUCCESS));
        assert_eq!(server.lines(), ["GET /v1/savepoints/a", "POST /v1/jobs/job-7/savepoints"]);
    }
}
