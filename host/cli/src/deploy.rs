//! `wasmill plan` and `wasmill deploy`: a job file, with all that it names by path, to a cluster.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use wasmill_model::{fault::Code, time::parse_duration};
use wasmill_rest::{Accepted, Plan, Problem};

use crate::{
    client::Client,
    connection::Common,
    error::Error,
    harmless,
    interrupt::Interrupt,
    jobs::id,
    output::{Output, REFUSED, show, tell},
    plan, push, replace,
    request::{Request, WORK_WITHIN},
    savepoints::beginning,
    submission::{Draft, Local},
    wait::{Until, failure, wait},
};

#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    job: Job,
    /// Shows what would become of this running job, with all it keeps, if the job file took its place.
    #[arg(long, value_name = "ID", value_parser = id, group = "beginning")]
    replace: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub struct DeployArguments {
    #[command(flatten)]
    job: Job,
    /// Lets this running job go on in the form of the job file, with all it keeps, in place of running another one. If the
    /// new form does not run, the job goes back to the old one. It is waited for until it runs again.
    #[arg(long, value_name = "ID", value_parser = id, group = "beginning", conflicts_with_all = ["no_wait", "timeout"])]
    replace: Option<String>,
    /// Says that the job is taken, and does not wait until it runs.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until the job runs.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
struct Job {
    /// The job file.
    #[arg(value_name = "JOB")]
    file: PathBuf,
    /// Sets a value of the job file, for example `--set job.parallelism=2`. Paths set so are relative to the current
    /// folder.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What the job begins from: a savepoint; or a checkpoint, as `job-7`, the newest of that job, or `job-7/1.41`.
    #[arg(long, value_name = "NAME", value_parser = beginning, group = "beginning")]
    from: Option<String>,
    /// Lets the job leave behind state that it has no place for, for good. Without it, it is refused then.
    #[arg(long, requires = "beginning")]
    allow_dropped_state: bool,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 500ms, 15s or 2m".to_owned())
}

/// Shows what a job would be, without running it.
pub(crate) fn plan(arguments: &PlanArguments, local: &Local<'_>) -> Result<ExitCode, Error> {
    let PlanArguments { job, replace, common } = arguments;
    let (client, draft) = prepare(job, common, local)?;
    let json = draft.json();
    let path = replace.as_ref().map_or_else(|| "/v1/plans".to_owned(), |id| format!("/v1/plans?replaces={id}"));
    let request = Request::post(path).json(&json).within(WORK_WITHIN);
    let answer: Value = client.ask(&request)?;
    let plan: Plan = client.typed("/v1/plans", &answer)?;
    warn(&plan.warnings);
    let shown = show(&match common.output {
        Output::Json => format!("{answer}\n"),
        Output::Table => plan::table(&plan),
    });
    match plan.beginning.and_then(|beginning| beginning.refusal) {
        Some(Problem { code, detail, hint, .. }) => {
            let hint = hint.map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
            tell(&Error::told(&code, &format!("{detail}{hint}")).shown());
            Ok(ExitCode::from(REFUSED))
        }
        None => Ok(shown),
    }
}

/// Submits a job and waits until it runs; or lets one that runs go on as this one.
pub(crate) fn deploy(arguments: &DeployArguments, local: &Local<'_>, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    let DeployArguments { job, replace, no_wait, timeout, common } = arguments;
    let (client, draft) = prepare(job, common, local)?;
    if let Some(id) = replace {
        return replace::replace(&client, id, &draft, common.output, interrupt);
    }
    let accepted = submit(&client, &draft)?;
    warn(&accepted.warnings);
    let id = harmless::line(&accepted.id, 40);
    interrupt.say(format!("{id} goes on; `{}` ends it\n", client.command(&format!("cancel {id}"))));
    let waited = match no_wait {
        true => Ok(None),
        false => wait(&client, &id, Until::Running, *timeout).map(Some),
    };
    let (state, error) = match waited {
        Ok(None) => (None, None),
        Ok(Some(job)) => {
            let error = (job.state == "FAILED").then(|| failure(&job));
            (Some(job.state), error)
        }
        Err(overdue) => (overdue.state, Some(overdue.error)),
    };
    let state = state.unwrap_or(accepted.state);
    let shown = show(&match common.output {
        Output::Json => {
            let mut json =
                json!({ "id": id, "name": accepted.name, "state": state, "guarantees": accepted.guarantees });
            if let Some(beginning) = &accepted.beginning {
                json["beginning"] = json!(beginning);
            }
            if let Some(error) = &error {
                json["error"] = error.json();
            }
            format!("{json}\n")
        }
        Output::Table => {
            let (name, state) = (harmless::line(&accepted.name, 100), harmless::line(&state, 40));
            let begins = accepted.beginning.as_ref().map_or_else(String::new, plan::beginning);
            let promised = plan::guarantees(&accepted.guarantees);
            format!("{begins}{id} {name} {state}\n{promised}{}", next(&client, &id))
        }
    });
    Ok(match error {
        Some(error) => {
            tell(&error.shown());
            ExitCode::FAILURE
        }
        None => shown,
    })
}

/// Where to look next.
pub(crate) fn next(client: &Client, id: &str) -> String {
    let line = |words: &str, what: &str| format!("  {:<8} {}\n", what, client.command(&format!("{words} {id}")));
    [("status", "figures"), ("logs", "logs"), ("events", "events"), ("cancel", "end")]
        .map(|(words, what)| line(words, what))
        .concat()
}

/// Reads the job file and sees to it that the cluster has its plugins.
fn prepare(job: &Job, common: &Common, local: &Local<'_>) -> Result<(Client, Draft), Error> {
    let text = (local.job_text)(&job.file)?;
    let here = env::current_dir().map_err(|e| {
        Error::new(Code::JobFileUnreadable, format!("could not find out which folder is the current one: {e}"))
    })?;
    let mut draft = Draft::read(&job.file, text, &job.set, &here)?;
    draft.begin_from(job.from.as_deref(), job.allow_dropped_state);
    let client = common.connection.client()?;
    push_plugins(&client, &mut draft, local)?;
    Ok((client, draft))
}

/// Builds, uploads where the cluster has none, and names by digest what the job names by path.
pub(crate) fn push_plugins(client: &Client, draft: &mut Draft, local: &Local<'_>) -> Result<(), Error> {
    let mut digests: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut named = Vec::new();
    for plugin in &draft.plugins {
        let digest = match digests.get(&plugin.path) {
            Some(digest) => digest.clone(),
            None => {
                let file = (local.component)(&plugin.path)?;
                let component = push::read(&file).map_err(|e| plugin.unreadable(&e))?;
                if let Some(stored) = push::ensure(client, &component, &file)? {
                    let (name, version) = (harmless::line(&stored.name, 64), harmless::line(&stored.version, 64));
                    tell(&format!("pushed {} as {name}@{version}\n", shown(&file)));
                }
                digests.insert(plugin.path.clone(), component.digest());
                component.digest()
            }
        };
        named.push((plugin.operator.clone(), digest));
    }
    for (operator, digest) in named {
        draft.name_plugin(&operator, &digest);
    }
    Ok(())
}

/// Submits a job, once, however often the request has to be sent.
pub(crate) fn submit(client: &Client, draft: &Draft) -> Result<Accepted, Error> {
    let json = draft.json();
    let request = Request::post("/v1/jobs").json(&json).within(WORK_WITHIN).header("idempotency-key", key()?);
    client.ask(&request)
}

/// A key that no other submission has.
fn key() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(Code::SystemResources, format!("could not get random bytes from the system: {e}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        tell(&format!("warning: {}\n", harmless::text(warning, 4_000)));
    }
}

/// A file as it is shown: relative to the current folder where it is in it.
fn shown(file: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    file.strip_prefix(here).unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests;
