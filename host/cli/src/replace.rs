//! `wasmill scale` and `wasmill deploy --replace`: running jobs that go on in another form.

use std::{fmt, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};
use wasmill_rest::{Replaced, Scale};

use crate::{
    client::Client,
    connection::Common,
    deploy::warn,
    error::Error,
    harmless,
    interrupt::Interrupt,
    jobs::id,
    output::{Output, show, show_more, tell},
    plan,
    progress::States,
    request::{JOB_WITHIN, Request},
    submission::Draft,
};

#[derive(Debug, Args)]
pub struct ScaleArguments {
    /// How many subtasks one source, operator or sink of a job is to have, such as `job-7.count=4`; or all those of which the
    /// job file does not say it, such as `job-7=4`. Of several, one is done after the other.
    #[arg(value_name = "JOB[.OPERATOR]=N", value_parser = scaling, required = true)]
    to: Vec<Scaling>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// A job, and how parallel it or a part of it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scaling {
    job: String,
    scale: Scale,
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, scale } = self;
        match &scale.operator {
            Some(operator) => write!(f, "{job}.{operator}={}", scale.parallelism),
            None => write!(f, "{job}={}", scale.parallelism),
        }
    }
}

fn scaling(text: &str) -> Result<Scaling, String> {
    let (what, number) = text.rsplit_once('=').ok_or("expected JOB=N or JOB.OPERATOR=N, such as job-7.count=4")?;
    let (job, operator) = match what.split_once('.') {
        Some((job, operator)) => (id(job)?, Some(vertex(operator)?)),
        None => (id(what)?, None),
    };
    let parallelism = number.parse().ok().filter(|number| *number > 0);
    let parallelism = parallelism.ok_or("expected a number of subtasks, 1 or more, behind the `=`")?;
    Ok(Scaling { job, scale: Scale { operator, parallelism } })
}

fn vertex(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !text.is_empty() && text.bytes().all(known) {
        true => Ok(text.to_owned()),
        false => {
            Err("expected the name of a source, operator or sink behind the job's id; `wasmill status` shows them"
                .into())
        }
    }
}

/// Lets jobs go on with another parallelism.
pub(crate) fn scale(arguments: &ScaleArguments, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    let ScaleArguments { to, common } = arguments;
    let client = common.connection.client()?;
    let mut done = Vec::new();
    for scaling in to {
        interrupt.say(goes_on(&client, &scaling.job));
        let answer = watched(&format!("{scaling} is being done"), || ask(&client, scaling));
        let replaced = answer.and_then(|answer| Ok((client.typed::<Replaced>(&path(scaling), &answer)?, answer)));
        match replaced {
            Ok((replaced, answer)) => {
                warn(&replaced.warnings);
                if common.output == Output::Table
                    && let Err(code) = show_more(&line(&replaced))
                {
                    return Ok(code);
                }
                done.push(answer);
            }
            Err(error) if done.is_empty() => return Err(error),
            Err(error) => return Ok(half_done(&done, &error, common.output)),
        }
    }
    Ok(match common.output {
        Output::Json => show(&format!("{}\n", json!({ "items": done }))),
        Output::Table => ExitCode::SUCCESS,
    })
}

fn path(scaling: &Scaling) -> String {
    format!("/v1/jobs/{}/scale", scaling.job)
}

fn ask(client: &Client, scaling: &Scaling) -> Result<Value, Error> {
    let json = serde_json::to_vec(&scaling.scale).expect("text becomes JSON");
    client.ask(&Request::post(path(scaling)).json(&json).within(JOB_WITHIN))
}

/// Some of several were done, and stay so.
fn half_done(done: &[Value], error: &Error, output: Output) -> ExitCode {
    if output == Output::Json {
        // That nobody reads it does not make the error another one.
        let _ = show(&format!("{}\n", json!({ "items": done, "error": error.json() })));
    }
    tell(&error.shown());
    ExitCode::FAILURE
}

/// Lets a running job go on in the form of a draft.
pub(crate) fn replace(
    client: &Client,
    id: &str,
    draft: &Draft,
    output: Output,
    interrupt: &Interrupt,
) -> Result<ExitCode, Error> {
    interrupt.say(goes_on(client, id));
    let answer = watched(&format!("{id} is being replaced"), || put(client, id, draft))?;
    let replaced: Replaced = client.typed(&format!("/v1/jobs/{id}"), &answer)?;
    warn(&replaced.warnings);
    Ok(show(&match output {
        Output::Json => format!("{answer}\n"),
        Output::Table => told(&replaced) + &crate::deploy::next(client, &harmless::line(&replaced.id, 40)),
    }))
}

fn put(client: &Client, id: &str, draft: &Draft) -> Result<Value, Error> {
    let json = draft.json();
    let request = Request::put(format!("/v1/jobs/{id}"), &json, &|_| ()).header("content-type", "application/json");
    client.ask(&request.within(JOB_WITHIN))
}

/// What became of its state, the line, and what is promised from now on.
fn told(replaced: &Replaced) -> String {
    let begins = replaced.beginning.as_ref().map_or_else(String::new, plan::beginning);
    format!("{begins}{}{}", line(replaced), plan::guarantees(&replaced.guarantees))
}

fn line(replaced: &Replaced) -> String {
    let [id, name, state] = [&replaced.id, &replaced.name, &replaced.state].map(|text| harmless::line(text, 100));
    format!("{id} {name} {state}, version {}\n", replaced.version)
}

/// What is said when somebody does not wait for the end.
fn goes_on(client: &Client, id: &str) -> String {
    let status = client.command(&format!("status {id}"));
    format!("{id} goes on to its other form whether it is waited for or not; `{status}` shows it\n")
}

/// Does something that takes its time, and says so meanwhile.
fn watched<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let states = States::new();
    states.show(what);
    work()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scripted::{Server, Step, json as answer, problem};

    const JOB: &str = "[job]\nname = \"fraud\"\n[source.s]\nconnector = \"nexmark\"\n\
                       [sink.out]\ninput = \"s.bids\"\nconnector = \"blackhole\"\n";

    fn replaced(version: u32) -> Step {
        let json = json!({ "id": "job-7", "name": "fraud", "version": version, "state": "RUNNING", "warnings": [] });
        answer("200 OK", json)
    }

    #[test]
    fn a_scaling_names_a_job_or_a_part_of_it() {
        for (text, operator, parallelism) in [
            ("job-7=4", None, 4),
            ("job-7.count=1", Some("count"), 1),
            ("job-7.dead_letter=12", Some("dead_letter"), 12),
        ] {
            let scale = Scale { operator: operator.map(str::to_owned), parallelism };
            let read = scaling(text).expect(text);
            assert_eq!(read, Scaling { job: "job-7".to_owned(), scale });
            assert_eq!(read.to_string(), text);
        }
        for bad in
            ["", "job-7", "job-7=", "job-7=0", "job-7=-1", "job-7=four", "count=4", "job-7.=4", "job-7.a/b=4", "=4"]
        {
            assert!(scaling(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scaling_is_sent_and_its_version_told() {
        let server = Server::start(vec![replaced(1), replaced(2)]);
        let client = server.client();
        ask(&client, &scaling("job-7.count=4").expect("it is one")).expect("it is done");
        let answer = ask(&client, &scaling("job-7=2").expect("it is one")).expect("it is done");
        let requests = server.requests();
        assert_eq!(server.lines(), ["POST /v1/jobs/job-7/scale"; 2]);
        assert_eq!(requests[0].body, br#"{"operator":"count","parallelism":4}"#);
        assert_eq!(requests[1].body, br#"{"parallelism":2}"#);
        let replaced: Replaced = client.typed("", &answer).expect("it is one");
        assert_eq!(line(&replaced), "job-7 fraud RUNNING, version 2\n");
    }

    #[test]
    fn a_job_is_replaced_by_what_the_job_file_says() {
        let server = Server::start(vec![Step::Close, replaced(3)]);
        let mut draft =
            Draft::read(Path::new("job.toml"), JOB.to_owned(), &[], Path::new("/data")).expect("it is a job");
        draft.begin_from(None, true);
        put(&server.client(), "job-7", &draft).expect("it is done");
        assert_eq!(server.lines(), ["PUT /v1/jobs/job-7"; 2]);
        let request = &server.requests()[1];
        assert_eq!(request.header("content-type"), Some("application/json"));
        let sent: wasmill_rest::Submission = serde_json::from_slice(&request.body).expect("it is a submission");
        assert_eq!((sent.from, sent.allow_dropped_state, sent.text.as_str()), (None, true, JOB));
    }

    #[test]
    fn a_job_that_went_back_to_its_old_form_is_a_failure_and_one_that_was_left_alone_is_refused() {
        let draft = Draft::read(Path::new("job.toml"), JOB.to_owned(), &[], Path::new("/data")).expect("it is a job");
        for (code, is_failure) in [("replace-failed", true), ("state-incompatible", false), ("checkpoints-off", false)]
        {
            let server = Server::start(vec![problem(409, code, "could not replace job-7")]);
            let error = put(&server.client(), "job-7", &draft).expect_err("it is not done");
            assert_eq!((error.code(), error.is_failure()), (code, is_failure));
        }
    }
}
