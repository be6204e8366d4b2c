//! `wasmill list`: jobs as wholes.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use wasmill_rest::JobSummary;

use crate::{
    client::encoded,
    connection::Common,
    error::Error,
    harmless,
    numbers::{clock, short},
    output::{Output, show},
    status::now_ms,
    table::{self, Column},
    terminal::{Color, Terminal},
    wait::{NEEDS_DECISION, has_ended},
};

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Lists jobs that have ended too.
    #[arg(long, conflicts_with = "state")]
    all: bool,
    /// Lists jobs in this state only, for example `failed`.
    #[arg(long, value_name = "STATE", value_parser = state, ignore_case = true)]
    state: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

const COLUMNS: [Column<JobSummary>; 8] = [
    Column::text("id", |job| harmless::line(&job.id, 40)),
    Column::text("name", |job| harmless::line(&job.name, 63)),
    Column::text("state", |job| harmless::line(&job.state, 40)),
    Column::number("age", age),
    Column::number("read", |job| short(job.rows_read)),
    Column::number("written", |job| short(job.rows_written)),
    Column::wide_number("slots", |job| job.slots.to_string()),
    Column::wide_number("restarts", |job| job.restarts.to_string()),
];

/// How long a job has been there, or was.
fn age(job: &JobSummary) -> String {
    let until = job.ended_ms.unwrap_or_else(now_ms);
    clock(Duration::from_millis(until.saturating_sub(job.submitted_ms).max(0).unsigned_abs()))
}

/// The id of a job.
pub(crate) fn id(text: &str) -> Result<String, String> {
    match text
        .strip_prefix("job-")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    {
        true => Ok(text.to_owned()),
        false => Err("expected the id of a job, such as job-7; `wasmill list` shows them".to_owned()),
    }
}

fn state(text: &str) -> Result<String, String> {
    const STATES: [&str; 10] = [
        "CREATED",
        "DEPLOYING",
        "RUNNING",
        "RESTARTING",
        NEEDS_DECISION,
        "CANCELLING",
        "CANCELLED",
        "FAILED",
        "FINISHED",
        "STOPPED",
    ];
    let state = text.to_ascii_uppercase().replace('-', "_");
    match STATES.contains(&state.as_str()) {
        true => Ok(state),
        false => Err(format!("expected one of {}", STATES.join(", "))),
    }
}

/// Lists jobs.
pub(crate) fn list(arguments: &ListArguments) -> Result<ExitCode, Error> {
    let ListArguments { all, state, common } = arguments;
    let client = common.connection.client()?;
    let path = match state {
        Some(state) => format!("/v1/jobs?state={}", encoded(state)),
        None => "/v1/jobs".to_owned(),
    };
    let mut items = client.list(&path)?;
    if !all && state.is_none() {
        items.retain(|job| job["state"].as_str().is_none_or(|state| !has_ended(state)));
    }
    Ok(show(&match common.output {
        Output::Json => format!("{}\n", json!({ "items": items })),
        Output::Table => {
            let jobs: Vec<JobSummary> = client.typed(&path, &Value::Array(items))?;
            table_of(&jobs, &Terminal::stdout(Color::Auto), *all || state.is_some())
        }
    }))
}

fn table_of(jobs: &[JobSummary], terminal: &Terminal, of_all: bool) -> String {
    match (jobs, of_all) {
        ([], true) => "there are no such jobs\n".to_owned(),
        ([], false) => "no job is there that has not ended; --all lists those that have\n".to_owned(),
        _ => format!("{}\n", table::draw(terminal, &COLUMNS, jobs)),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_list_fits_a_narrow_terminal() {
        let job = |id: &str, name: &str, state: &str, rows| JobSummary {
            id: id.to_owned(),
            name: name.to_owned(),
            state: state.to_owned(),
            submitted_ms: 0,
            ended_ms: Some(185_000),
            slots: 4,
            restarts: 1,
            rows_read: rows,
            rows_written: rows / 3,
            cpu_seconds: 1.5,
            cause: None,
            decision: None,
            checkpoints: None,
            version: 0,
            savepoint: None,
        };
        let jobs = [
            job("job-7", "fraud", "RUNNING", 1_234_567),
            job("job-12345", "a-job-with-a-name-that-is-longer-than-others", "RESTARTING", 12),
        ];
        let narrow = Terminal { attended: true, redraws: true, width: 60, columns: 60, colors: false, unicode: false };
        let drawn = table_of(&jobs, &narrow, false);
        assert!(drawn.lines().all(|line| console::measure_text_width(line) <= 60), "{drawn}");
        expect![[r#"
            ------------------------------------------------------------
             id          name        state         age   read   written
            ============================================================
             job-7       fraud       RUNNING     3m05s   1.2M      412k
            ------------------------------------------------------------
             job-12345   a-job-wit   RESTARTIN   3m05s     12         4
                         h-a-name-   G
                         that-is-l
                         onger-tha
                         n-others
            ------------------------------------------------------------
        "#]]
        .assert_eq(&drawn);
        let elsewhere =
            Terminal { attended: false, redraws: false, width: 80, columns: 80, colors: false, unicode: false };
        expect![[r#"
            jobs:
             id         name                                          state         age  read  written  slots  restarts
             job-7      fraud                                         RUNNING     3m05s  1.2M     412k      4         1
             job-12345  a-job-with-a-name-that-is-longer-than-others  RESTARTING  3m05s    12        4      4         1
        "#]]
        .assert_eq(&format!("jobs:\n{}", table_of(&jobs, &elsewhere, false)));
    }

    #[test]
    fn ids_and_states_are_looked_at_before_a_cluster_is_asked() {
        assert_eq!(id("job-7"), Ok("job-7".to_owned()));
        for bad in ["7", "job-", "job-x", "../jobs", "job-7/cancel", "JOB-7"] {
            assert!(id(bad).is_err(), "{bad}");
        }
        assert_eq!(state("failed"), Ok("FAILED".to_owned()));
        assert_eq!(state("stopped"), Ok("STOPPED".to_owned()));
        assert!(state("fine").is_err());
    }
}
