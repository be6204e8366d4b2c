//! `wasmill stop` and `cancel`: jobs that are to end.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use wasmill_rest::JobSummary;

use crate::{
    client::{Client, encoded},
    connection::Common,
    deploy::duration,
    error::Error,
    harmless,
    interrupt::Interrupt,
    jobs::id,
    output::{Output, show, tell},
    request::Request,
    savepoints,
    wait::{STOPPED, Until, failure, has_ended, wait},
};

#[derive(Debug, Args)]
pub struct StopArguments {
    /// How the savepoint is called, 1 to 63 letters, digits, `-` and `_` [default: the job's id].
    #[arg(long, value_name = "NAME", value_parser = savepoints::name, conflicts_with = "drain")]
    savepoint: Option<String>,
    /// Takes no savepoint: the sources end, what they have read is handled, its results become visible, and the job is
    /// FINISHED.
    #[arg(long)]
    drain: bool,
    #[command(flatten)]
    pub(crate) end: EndArguments,
}

#[derive(Debug, Args)]
pub struct EndArguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// Says that the job will end, and does not wait until it has.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until it has ended.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How a job is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    /// What was not committed is thrown away.
    Cancel,
    /// What its sources have read is still handled.
    Drain,
    /// What it keeps becomes a savepoint, perhaps of this name.
    Savepoint(Option<&'a str>),
}

impl End<'_> {
    fn path(self, id: &str) -> String {
        match self {
            Self::Cancel => format!("/v1/jobs/{id}/cancel"),
            Self::Drain => format!("/v1/jobs/{id}/stop?drain=1"),
            Self::Savepoint(None) => format!("/v1/jobs/{id}/stop"),
            Self::Savepoint(Some(name)) => format!("/v1/jobs/{id}/stop?savepoint={}", encoded(name)),
        }
    }

    fn until(self) -> Until {
        match self {
            Self::Cancel | Self::Drain => Until::Ended,
            Self::Savepoint(_) => Until::Kept,
        }
    }

    /// Why a job that has ended is not what was wanted. One that is thrown away may end in any way.
    fn error(self, job: &JobSummary) -> Option<Error> {
        (job.state == "FAILED" && self != Self::Cancel).then(|| failure(job))
    }

    /// Whether the job has ended before there was anything to go on from.
    fn came_too_late(self, job: &JobSummary) -> bool {
        matches!(self, Self::Savepoint(_)) && matches!(&*job.state, "FINISHED" | "CANCELLED")
    }
}

/// Ends a job with a savepoint, or with what its sources have read.
pub(crate) fn stop(arguments: &StopArguments, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    let how = match arguments.drain {
        true => End::Drain,
        false => End::Savepoint(arguments.savepoint.as_deref()),
    };
    end(&arguments.end, how, interrupt)
}

/// Ends a job without results.
pub(crate) fn cancel(arguments: &EndArguments, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    end(arguments, End::Cancel, interrupt)
}

fn end(arguments: &EndArguments, how: End<'_>, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    let EndArguments { id, no_wait, timeout, common } = arguments;
    let client = common.connection.client()?;
    let job: JobSummary = client.ask(&Request::post(how.path(id)))?;
    interrupt.say(format!("{id} ends whether it is waited for or not\n"));
    let (job, error) = match no_wait {
        true => (job, None),
        false => until_ended(&client, job, id, how, *timeout),
    };
    let shown = show(&ended(&client, &job, error.as_ref(), common.output));
    if how.came_too_late(&job) {
        tell(&format!("warning: there is no savepoint: {id} was {} before one could be taken\n", job.state));
    }
    Ok(match error {
        Some(error) => {
            tell(&error.shown());
            ExitCode::FAILURE
        }
        None => shown,
    })
}

/// The job as it was seen last, and what went wrong.
fn until_ended(
    client: &Client,
    asked: JobSummary,
    id: &str,
    how: End<'_>,
    timeout: Duration,
) -> (JobSummary, Option<Error>) {
    match wait(client, id, how.until(), timeout) {
        Ok(job) => {
            let error = how.error(&job);
            (job, error)
        }
        Err(overdue) => {
            let state = overdue.state.unwrap_or_else(|| asked.state.clone());
            (JobSummary { state, ..asked }, Some(overdue.error))
        }
    }
}

fn ended(client: &Client, job: &JobSummary, error: Option<&Error>, output: Output) -> String {
    let [id, name, state] = [&job.id, &job.name, &job.state].map(|text| harmless::line(text, 100));
    let savepoint = job.savepoint.as_deref().filter(|_| job.state == STOPPED);
    match output {
        Output::Json => {
            let mut json = json!({ "id": id, "name": name, "state": state });
            if let Some(savepoint) = savepoint {
                json["savepoint"] = savepoint.into();
            }
            if let Some(error) = error {
                json["error"] = error.json();
            }
            format!("{json}\n")
        }
        Output::Table => {
            let next = match savepoint {
                Some(savepoint) => savepoints::again(client, savepoint),
                None if has_ended(&job.state) => String::new(),
                None => format!("  {:<8} {}\n", "figures", client.command(&format!("status {id}"))),
            };
            format!("{id} {name} {state}\n{next}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Server, Step, json as answer};

    const LONG: Duration = Duration::from_secs(600);

    fn job(state: &str, savepoint: Option<&str>) -> JobSummary {
        let json = json!({
            "id": "job-7", "name": "fraud", "state": state, "submitted_ms": 0, "slots": 1, "restarts": 0,
            "rows_read": 0, "rows_written": 0, "cpu_seconds": 0.0, "savepoint": savepoint,
            "cause": { "code": "operator-trapped", "domain": "user", "message": "operator `score` trapped" },
        });
        serde_json::from_value(json).expect("it is a job")
    }

    fn step(state: &str, savepoint: Option<&str>) -> Step {
        answer("200 OK", serde_json::to_value(job(state, savepoint)).expect("it is JSON"))
    }

    /// What is shown at last, and the error.
    fn shown(steps: Vec<Step>, how: End<'_>, timeout: Duration, output: Output) -> (String, Option<String>) {
        let server = Server::start(steps);
        let client = server.client();
        let (job, error) = until_ended(&client, job("RUNNING", None), "job-7", how, timeout);
        (ended(&client, &job, error.as_ref(), output), error.map(|error| error.code().to_owned()))
    }

    #[test]
    fn each_way_to_end_is_asked_for_by_its_own_path() {
        for (how, path) in [
            (End::Cancel, "/v1/jobs/job-7/cancel"),
            (End::Drain, "/v1/jobs/job-7/stop?drain=1"),
            (End::Savepoint(None), "/v1/jobs/job-7/stop"),
            (End::Savepoint(Some("before_v2")), "/v1/jobs/job-7/stop?savepoint=before_v2"),
        ] {
            assert_eq!(how.path("job-7"), path);
        }
    }

    #[test]
    fn who_stops_a_job_is_told_how_to_go_on() {
        let steps = || vec![step("RUNNING", None), step("STOPPED", None), step("STOPPED", Some("before-v2"))];
        let (text, error) = shown(steps(), End::Savepoint(None), LONG, Output::Table);
        assert_eq!(text, "job-7 fraud STOPPED\n  again    wasmill deploy JOB.toml --from before-v2\n");
        assert_eq!(error, None);
        let (text, _) = shown(steps(), End::Savepoint(None), LONG, Output::Json);
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(json, json!({ "id": "job-7", "name": "fraud", "state": "STOPPED", "savepoint": "before-v2" }));
    }

    #[test]
    fn a_savepoint_that_is_not_there_in_time_is_a_failure() {
        let late = vec![step("STOPPED", None)];
        let (text, error) = shown(late, End::Savepoint(None), Duration::ZERO, Output::Table);
        assert_eq!(text, "job-7 fraud STOPPED\n");
        assert_eq!(error.as_deref(), Some("wait-timeout"));
    }

    #[test]
    fn only_who_wanted_results_is_told_that_a_job_failed() {
        let drained = shown(vec![step("FINISHED", None)], End::Drain, LONG, Output::Table);
        assert_eq!(drained, ("job-7 fraud FINISHED\n".to_owned(), None));
        let failed = |how| shown(vec![step("FAILED", None)], how, LONG, Output::Table).1;
        assert_eq!(failed(End::Cancel), None);
        assert_eq!(failed(End::Drain).as_deref(), Some("operator-trapped"));
        assert_eq!(failed(End::Savepoint(None)).as_deref(), Some("operator-trapped"));
    }

    #[test]
    fn a_job_that_ended_before_leaves_no_savepoint() {
        for (how, state, expect) in [
            (End::Savepoint(None), "FINISHED", true),
            (End::Savepoint(None), "CANCELLED", true),
            (End::Savepoint(None), "STOPPED", false),
            (End::Savepoint(None), "RUNNING", false),
            (End::Drain, "FINISHED", false),
            (End::Cancel, "CANCELLED", false),
        ] {
            assert_eq!(how.came_too_late(&job(state, None)), expect, "{how:?} {state}");
        }
    }
}
