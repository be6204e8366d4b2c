//! Requests to a JobManager, each on a connection of its own, so that none is left when descriptors are counted.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use wasmill_rest::{
    Accepted, Choice, Event, JobDetail, JobSummary, Page, Resolve, SavepointRequest, Scale, Submission, Worker,
};

use super::wait;

/// Many times what an answer takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Jobs of one answer, the most that may be asked for.
const JOBS: &str = "/v1/jobs?limit=1000";

/// Speaks with one JobManager.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT));
        Self { agent: config.build().into(), url: url.to_owned() }
    }

    /// Uploads a plugin as `NAME@1`.
    pub(crate) fn push(&self, wasm: &Path, name: &str) -> Result<()> {
        let bytes = fs::read(wasm).with_context(|| format!("could not read {}", wasm.display()))?;
        self.push_version(&bytes, name, 1)
    }

    /// Uploads the bytes of a plugin as one version of it.
    pub(crate) fn push_version(&self, bytes: &[u8], name: &str, version: usize) -> Result<()> {
        let path = format!("/v1/plugins/{name}/versions/{version}");
        let request = self.agent.put(format!("{}{path}", self.url)).header("content-type", "application/wasm");
        answer(&path, request.send(bytes)).map(drop)
    }

    /// Submits a job; its id once it is taken.
    pub(crate) fn submit(&self, text: &str, set: &[String]) -> Result<String> {
        self.submit_with(text, set, None)
    }

    /// Submits a job that goes on from a savepoint.
    pub(crate) fn submit_from(&self, text: &str, set: &[String], savepoint: &str) -> Result<String> {
        self.submit_with(text, set, Some(savepoint.to_owned()))
    }

    /// Asks for a job's end with a savepoint; it is still to come.
    pub(crate) fn stop(&self, id: &str, savepoint: &str) -> Result<()> {
        let path = format!("/v1/jobs/{id}/stop?savepoint={savepoint}");
        answer(&path, self.agent.post(format!("{}{path}", self.url)).send_empty()).map(drop)
    }

    /// Takes a savepoint of a job that goes on, and waits until it is complete.
    pub(crate) fn savepoint(&self, id: &str, name: &str) -> Result<()> {
        let path = format!("/v1/jobs/{id}/savepoints");
        let request = SavepointRequest { name: Some(name.to_owned()) };
        let body = serde_json::to_vec(&request).context("could not write a request")?;
        let request = self.agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        answer(&path, request.send(&body[..])).map(drop)
    }

    /// Has a job that needs a decision begin from its checkpoint again.
    pub(crate) fn retry(&self, id: &str) -> Result<()> {
        let path = format!("/v1/jobs/{id}/resolve");
        let body = serde_json::to_vec(&Resolve { choice: Choice::Retry }).context("could not write a request")?;
        let request = self.agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        answer(&path, request.send(&body[..])).map(drop)
    }

    /// Lets a job go on with another parallelism, and waits until it does.
    pub(crate) fn scale(&self, id: &str, parallelism: u32) -> Result<()> {
        let path = format!("/v1/jobs/{id}/scale");
        let body = serde_json::to_vec(&Scale { operator: None, parallelism }).context("could not write a request")?;
        let request = self.agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        answer(&path, request.send(&body[..])).map(drop)
    }

    /// Lets a job go on in another form, and waits until it does.
    pub(crate) fn replace(&self, id: &str, text: &str, set: &[String]) -> Result<()> {
        let path = format!("/v1/jobs/{id}");
        let body = submission(text, set, None)?;
        let request = self.agent.put(format!("{}{path}", self.url)).header("content-type", "application/json");
        answer(&path, request.send(&body[..])).map(drop)
    }

    fn submit_with(&self, text: &str, set: &[String], from: Option<String>) -> Result<String> {
        let path = "/v1/jobs";
        let body = submission(text, set, from)?;
        let request = self.agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let accepted: Accepted = parsed(path, &answer(path, request.send(&body[..]))?)?;
        Ok(accepted.id)
    }

    /// Asks for a job's end; it is still to come.
    pub(crate) fn ask_to_cancel(&self, id: &str) -> Result<()> {
        let path = format!("/v1/jobs/{id}/cancel");
        answer(&path, self.agent.post(format!("{}{path}", self.url)).send_empty()).map(drop)
    }

    /// Ends a job, and waits until it has.
    pub(crate) fn cancel(&self, id: &str) -> Result<()> {
        self.ask_to_cancel(id)?;
        self.wait_for(id, "CANCELLED", Duration::from_millis(2)).map(drop)
    }

    pub(crate) fn job(&self, id: &str) -> Result<JobDetail> {
        self.get(&format!("/v1/jobs/{id}"))
    }

    pub(crate) fn jobs(&self) -> Result<Vec<JobSummary>> {
        self.get::<Page<JobSummary>>(JOBS).map(|page| page.items)
    }

    pub(crate) fn events(&self, id: &str) -> Result<Vec<Event>> {
        self.get::<Page<Event>>(&format!("/v1/jobs/{id}/events")).map(|page| page.items)
    }

    pub(crate) fn workers(&self) -> Result<Vec<Worker>> {
        self.get::<Page<Worker>>("/v1/workers").map(|page| page.items)
    }

    /// Waits until a job is in a state. One that has ended otherwise is an error.
    pub(crate) fn wait_for(&self, id: &str, state: &str, between: Duration) -> Result<JobDetail> {
        wait(&format!("{id} {state}"), between, || {
            let job = self.job(id)?;
            let (is_there, has_ended) = (job.summary.state == state, job.summary.ended_ms.is_some());
            let cause = || job.summary.cause.as_ref().map_or("no cause", |cause| &cause.message);
            ensure!(is_there || !has_ended, "{id} is {}, not {state}: {}", job.summary.state, cause());
            Ok(is_there.then_some(job))
        })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        parsed(path, &answer(path, self.agent.get(format!("{}{path}", self.url)).call())?)
    }
}

fn submission(text: &str, set: &[String], from: Option<String>) -> Result<Vec<u8>> {
    let submission = Submission {
        text: text.to_owned(),
        file: "job.toml".to_owned(),
        base: None,
        set: set.to_vec(),
        from,
        allow_dropped_state: false,
    };
    serde_json::to_vec(&submission).context("could not write a submission")
}

/// The bytes of an answer; one that is no success is an error.
fn answer(path: &str, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>> {
    let mut response = response.with_context(|| format!("could not ask for {path}"))?;
    let bytes = response.body_mut().read_to_vec().with_context(|| format!("could not read the answer to {path}"))?;
    if !response.status().is_success() {
        bail!("{path} was answered with {}: {}", response.status(), String::from_utf8_lossy(&bytes));
    }
    Ok(bytes)
}

fn parsed<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).with_context(|| format!("could not read the answer to {path}"))
}
