//! `wasmill resolve`: how a job goes on that cannot begin from its checkpoint.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use wasmill_model::fault::Code;
use wasmill_rest::{Choice, Decision, JobSummary, Resolve};

use crate::{
    client::Client,
    connection::Common,
    deploy::{duration, next},
    error::Error,
    harmless,
    interrupt::Interrupt,
    jobs::id,
    output::{Output, show, tell},
    request::Request,
    wait::{Until, failure, wait},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// The same again: the file that was damaged or gone is back.
    #[arg(long, group = "choice")]
    retry: bool,
    /// Begins from the checkpoint before. Rows that have become visible since then may appear twice.
    #[arg(long, group = "choice")]
    rewind: bool,
    /// Goes on without what a sink had prepared and cannot be found. Its rows are missing, for good.
    #[arg(long, group = "choice")]
    give_up_transaction: bool,
    /// Says that it is decided, and does not wait until the job runs.
    #[arg(long, requires = "choice")]
    no_wait: bool,
    /// How long to wait until the job runs.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Arguments {
    fn choice(&self) -> Option<Choice> {
        let choices = [
            (self.retry, Choice::Retry),
            (self.rewind, Choice::Rewind),
            (self.give_up_transaction, Choice::GiveUpTransaction),
        ];
        choices.into_iter().find_map(|(is_it, choice)| is_it.then_some(choice))
    }
}

/// Shows what is to be decided, or decides it.
pub(crate) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    let Arguments { id, no_wait, timeout, common, .. } = arguments;
    let client = common.connection.client()?;
    match arguments.choice() {
        None => {
            let job: JobSummary = client.ask(&Request::get(format!("/v1/jobs/{id}")))?;
            let Some(decision) = &job.decision else {
                let text = format!("nothing is to be decided about {id}: it is {}", harmless::line(&job.state, 40));
                return Err(Error::new(Code::NothingToDecide, text));
            };
            Ok(show(&match common.output {
                Output::Json => {
                    format!("{}\n", json!({ "id": job.id, "name": job.name, "state": job.state, "decision": decision }))
                }
                Output::Table => shown(&client, &job, decision),
            }))
        }
        Some(choice) => {
            let body = serde_json::to_vec(&Resolve { choice }).expect("its keys are text");
            let job: JobSummary = client.ask(&Request::post(format!("/v1/jobs/{id}/resolve")).json(&body))?;
            interrupt.say(format!("{id} goes on whether it is waited for or not\n"));
            let (state, error) = match no_wait {
                true => (job.state.clone(), None),
                false => match wait(&client, id, Until::Running, *timeout) {
                    Ok(job) => {
                        let error = (job.state == "FAILED").then(|| failure(&job));
                        (job.state, error)
                    }
                    Err(overdue) => (overdue.state.unwrap_or_else(|| job.state.clone()), Some(overdue.error)),
                },
            };
            Ok(resolved(&client, &JobSummary { state, ..job }, error.as_ref(), common.output))
        }
    }
}

/// What is to be decided, and how that can be.
fn shown(client: &Client, job: &JobSummary, decision: &Decision) -> String {
    let [id, name, state] = [&job.id, &job.name, &job.state].map(|text| harmless::line(text, 100));
    let checkpoint = harmless::line(&decision.checkpoint, 100);
    let reason = harmless::text(&decision.reason, 4_000);
    let mut text = format!("{id} {name} {state}\ncould not begin from {checkpoint}: {reason}\n\n");
    let to = harmless::line(decision.rewind_to.as_deref().unwrap_or("an earlier one"), 100);
    let mut line = |words: &str, what: &str| text += &format!("  {}\n    {what}\n", client.command(words));
    for choice in &decision.choices {
        let (flag, what) = match choice {
            Choice::Retry => {
                ("retry", format!("begins from {checkpoint} again, once what is wrong has been put right"))
            }
            Choice::Rewind => {
                ("rewind", format!("begins from {to}: rows that have become visible since then may appear twice"))
            }
            Choice::GiveUpTransaction => (
                "give-up-transaction",
                format!("begins from {checkpoint} without what sinks had prepared and is gone: its rows are missing"),
            ),
        };
        line(&format!("resolve {id} --{flag}"), &what);
    }
    line(&format!("cancel {id}"), "ends it; its checkpoints stay");
    text
}

fn resolved(client: &Client, job: &JobSummary, error: Option<&Error>, output: Output) -> ExitCode {
    let [id, name, state] = [&job.id, &job.name, &job.state].map(|text| harmless::line(text, 100));
    let shown = show(&match output {
        Output::Json => {
            let mut json = json!({ "id": id, "name": name, "state": state });
            if let Some(error) = error {
                json["error"] = error.json();
            }
            format!("{json}\n")
        }
        Output::Table => format!("{id} {name} {state}\n{}", next(client, &id)),
    });
    match error {
        Some(error) => {
            tell(&error.shown());
            ExitCode::FAILURE
        }
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::scripted::{Server, Step, json as answer};

    fn job(state: &str, about: Option<&str>) -> JobSummary {
        let choices = match about {
            Some("lost-transaction") => json!(["retry", "give-up-transaction", "rewind"]),
            _ => json!(["retry", "rewind"]),
        };
        let decision = about.map(|about| {
            json!({
                "about": about, "checkpoint": "job-7/1.41", "code": "checkpoint-damaged", "choices": choices,
                "reason": "file a is not what was written", "rewind_to": "job-7/1.40",
            })
        });
        let json = json!({
            "id": "job-7", "name": "fraud", "state": state, "submitted_ms": 0, "slots": 1, "restarts": 0,
            "rows_read": 0, "rows_written": 0, "cpu_seconds": 0.0, "decision": decision,
        });
        serde_json::from_value(json).expect("it is a job")
    }

    #[test]
    fn who_has_to_decide_is_told_what_each_choice_costs() {
        let server = Server::start(Vec::new());
        let job = job("NEEDS_DECISION", Some("lost-transaction"));
        let text = shown(&server.client(), &job, job.decision.as_ref().expect("it is there"));
        expect![[r#"
            job-7 fraud NEEDS_DECISION
            could not begin from job-7/1.41: file a is not what was written

              wasmill resolve job-7 --retry
                begins from job-7/1.41 again, once what is wrong has been put right
              wasmill resolve job-7 --give-up-transaction
                begins from job-7/1.41 without what sinks had prepared and is gone: its rows are missing
              wasmill resolve job-7 --rewind
                begins from job-7/1.40: rows that have become visible since then may appear twice
              wasmill cancel job-7
                ends it; its checkpoints stay
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn who_waits_for_a_job_that_needs_a_decision_is_told_at_once() {
        let step = |job: JobSummary| -> Step { answer("200 OK", serde_json::to_value(job).expect("it is JSON")) };
        let steps = vec![step(job("RESTARTING", None)), step(job("NEEDS_DECISION", Some("damaged-checkpoint")))];
        let server = Server::start(steps);
        let overdue = wait(&server.client(), "job-7", Until::Running, Duration::from_secs(600)).expect_err("it waits");
        assert_eq!(overdue.state.as_deref(), Some("NEEDS_DECISION"));
        assert_eq!(overdue.error.code(), "checkpoint-damaged");
    }
}
