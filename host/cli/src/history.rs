//! `wasmill logs`, `events` and `tap`: what has happened to a job, what its operators say, and rows as they pass.

use std::process::ExitCode;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasmill_rest::{Event, LogLine, Page, TapRow};

use crate::{
    client::{Client, encoded},
    connection::Common,
    error::Error,
    harmless,
    jobs::id,
    numbers::date_time,
    output::{Output, show_more},
    stream::{self, Kept},
};

/// Characters of a line that are shown.
const LINE_MAX: usize = 100_000;

/// Entries that are asked for at a time: as many as a server gives.
const PAGE_LIMIT: usize = 1_000;

/// Pages of a history, at most.
const PAGES_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub struct LogsArguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// Shows lines of this operator only.
    operator: Option<String>,
    /// Goes on with lines as they come, until the job has ended.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub struct EventsArguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// Goes on with events as they come, until the job has ended.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub struct TapArguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// The edge, by the vertex and the port that it comes from, for example `score.suspicious`; `wasmill plan` and `wasmill
    /// status -o json` show them.
    #[arg(value_name = "EDGE", value_parser = edge)]
    edge: String,
    /// Ends after so many rows.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

fn edge(text: &str) -> Result<String, String> {
    match text.split_once('.') {
        Some((vertex, port)) if !vertex.is_empty() && !port.is_empty() => Ok(text.to_owned()),
        _ => Err("expected a vertex, a point and a port, such as score.out".to_owned()),
    }
}

/// Why no more is shown.
enum Stop {
    Error(Error),
    /// Enough was shown, or nobody reads it any more.
    Done(ExitCode),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ExitCode> for Stop {
    fn from(code: ExitCode) -> Self {
        Self::Done(code)
    }
}

fn ended(shown: Result<(), Stop>) -> Result<ExitCode, Error> {
    match shown {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Stop::Done(code)) => Ok(code),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Shows what a job's operators have logged.
pub(crate) fn logs(arguments: &LogsArguments) -> Result<ExitCode, Error> {
    let LogsArguments { id, operator, follow, common } = arguments;
    let line = |line: &LogLine| {
        let wanted = operator.as_ref().is_none_or(|operator| *operator == line.operator);
        wanted.then(|| log_line(line))
    };
    history(common, &format!("/v1/jobs/{id}/logs"), *follow, line)
}

/// Shows what has happened to a job.
pub(crate) fn events(arguments: &EventsArguments) -> Result<ExitCode, Error> {
    let EventsArguments { id, follow, common } = arguments;
    history(common, &format!("/v1/jobs/{id}/events"), *follow, |event: &Event| Some(event_line(event)))
}

fn log_line(line: &LogLine) -> String {
    let LogLine { at_ms, operator, subtask, level, message, .. } = line;
    let level = harmless::line(level, 10).to_uppercase();
    let operator = harmless::line(operator, 63);
    format!("{} {level:5} {operator}[{subtask}] {}", date_time(*at_ms), harmless::line(message, LINE_MAX))
}

fn event_line(event: &Event) -> String {
    let Event { at_ms, kind, message, .. } = event;
    format!("{} {:11} {}", date_time(*at_ms), harmless::line(kind, 40), harmless::line(message, LINE_MAX))
}

/// Shows a history; `line` gives an entry for people, or none if it is not wanted.
fn history<T: DeserializeOwned>(
    common: &Common,
    path: &str,
    follow: bool,
    line: impl Fn(&T) -> Option<String>,
) -> Result<ExitCode, Error> {
    let client = common.connection.client()?;
    let show = |json: &Value| -> Result<(), Stop> {
        let entry: T = client.typed(path, json)?;
        let Some(line) = line(&entry) else { return Ok(()) };
        Ok(match common.output {
            Output::Table => show_more(&format!("{line}\n")),
            Output::Json => show_more(&format!("{json}\n")),
        }?)
    };
    ended(match follow {
        true => stream::follow(&client, path, Kept::Yes, |data| show(&stream::read(&client, path, data)?)),
        false => all(&client, path, show),
    })
}

/// All that is there now. An entry is shown before the next page is asked for.
fn all(client: &Client, path: &str, show: impl Fn(&Value) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let page: Page<Value> = client.get(&format!("{path}?limit={PAGE_LIMIT}{cursor}"))?;
        for item in &page.items {
            show(item)?;
        }
        match page.next {
            Some(next) if !page.items.is_empty() => cursor = format!("&cursor={}", encoded(&next)),
            _ => return Ok(()),
        }
    }
    Err(client.nonsense(path, "the history has no end").into())
}

/// Shows rows as they pass an edge.
pub(crate) fn tap(arguments: &TapArguments) -> Result<ExitCode, Error> {
    let TapArguments { id, edge, limit, common } = arguments;
    let client = common.connection.client()?;
    let mut path = format!("/v1/jobs/{id}/tap?edge={}", encoded(edge));
    if let Some(limit) = limit {
        path += &format!("&limit={limit}");
    }
    let mut left = limit.unwrap_or(u64::MAX);
    ended(stream::follow(&client, &path, Kept::No, |data| -> Result<(), Stop> {
        let row: TapRow = stream::read(&client, &path, data)?;
        match common.output {
            Output::Json => show_more(&format!("{}\n", serde_json::to_value(&row).unwrap_or_default())),
            Output::Table => {
                show_more(&format!("{}[{}] {}\n", harmless::line(&row.edge, 130), row.subtask, in_a_line(&row.row)))
            }
        }?;
        left -= 1;
        if left == 0 { Err(ExitCode::SUCCESS.into()) } else { Ok(()) }
    }))
}

/// A row as JSON. What would steer a terminal is escaped there as JSON escapes it, but for a few characters that turn text
/// around.
fn in_a_line(row: &Value) -> String {
    harmless::line(&row.to_string(), LINE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_lines_whatever_is_in_them() {
        let line = LogLine {
            sequence: 1,
            at_ms: 1_517_966_773_840,
            worker: "taskmanager-1".to_owned(),
            operator: "score".to_owned(),
            subtask: 3,
            level: "warn".to_owned(),
            message: "card\n\u{1b}[2Jx".to_owned(),
        };
        assert_eq!(log_line(&line), "2018-02-07 01:26:13 WARN  score[3] card\\n\\u{1b}[2Jx");
        let event = Event { sequence: 1, at_ms: 0, kind: "state".to_owned(), message: "RUNNING".to_owned() };
        assert_eq!(event_line(&event), "1970-01-01 00:00:00 state       RUNNING");
        assert_eq!(in_a_line(&serde_json::json!({ "a": "\u{202e}b\n" })), "{\"a\":\"\\u{202e}b\\n\"}");
    }

    #[test]
    fn an_edge_has_a_vertex_and_a_port() {
        assert_eq!(edge("score.out"), Ok("score.out".to_owned()));
        for bad in ["score", ".out", "score.", ""] {
            assert!(edge(bad).is_err(), "{bad}");
        }
    }
}
