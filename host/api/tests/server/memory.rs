//! A JobManager that keeps everything in memory: real enough for each route to show what it does.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    future::pending,
    io::{Read, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use wasmill_api::{
    Backend,
    backend::{Blob, Outgoing, Upload},
};
use wasmill_model::fault::Code;
use wasmill_rest::{
    Accepted, Choice, Cluster, Event, Exception, JobCounts, JobDetail, JobSummary, LogLine, Operation, OperationKind,
    OperationState, Plan, PluginDetail, PluginVersion, Problem, Replaced, Savepoint, Scale, Stall, Stored, Submission,
    TapRow, Worker, WorkerState,
};

/// A plugin may have this many bytes.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone)]
pub(crate) struct Memory(Arc<Inner>);

struct Inner {
    folder: TempDir,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// Polls that wait, and those that were dropped.
    polls: watch::Sender<(u32, u32)>,
    /// The connection of the last poll, and whether its client has closed it.
    connection: watch::Sender<(u64, bool)>,
}

#[derive(Default)]
struct State {
    plugins: BTreeMap<(String, String), (PluginVersion, Bytes)>,
    jobs: Vec<Job>,
    keys: BTreeMap<String, (Submission, String)>,
    taps: Vec<mpsc::Sender<TapRow>>,
    savepoints: Vec<Savepoint>,
    drained: bool,
    unready: bool,
    /// Imports whose connection broke off.
    broken: usize,
}

struct Job {
    summary: JobSummary,
    wish: Option<OperationKind>,
    events: Vec<Event>,
    logs: Vec<LogLine>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("there is room");
        let (changed, polls) = (watch::Sender::new(0), watch::Sender::new((0, 0)));
        let connection = watch::Sender::new((0, false));
        Self(Arc::new(Inner { folder, state: Mutex::default(), changed, polls, connection }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nobody panics with it")
    }

    fn change(&self) {
        self.0.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn jobs_count(&self) -> usize {
        self.state().jobs.len()
    }

    /// Files in the upload folder.
    pub(crate) fn uploads(&self) -> usize {
        fs::read_dir(self.0.folder.path()).expect("it is there").count()
    }

    pub(crate) fn unready(&self) {
        self.state().unready = true;
    }

    /// Imports whose connection broke off.
    pub(crate) fn broken(&self) -> usize {
        self.state().broken
    }

    /// Polls that wait, and those that were dropped.
    pub(crate) fn polls(&self) -> watch::Receiver<(u32, u32)> {
        self.0.polls.subscribe()
    }

    /// The connection of the last poll, and whether its client has closed it.
    pub(crate) fn connection(&self) -> watch::Receiver<(u64, bool)> {
        self.0.connection.subscribe()
    }

    /// A job that runs.
    pub(crate) fn job_of(&self, text: &str) -> String {
        let mut state = self.state();
        let id = format!("job-{}", state.jobs.len() + 1);
        let summary = JobSummary {
            id: id.clone(),
            name: text.lines().next().unwrap_or_default().to_owned(),
            state: "RUNNING".to_owned(),
            submitted_ms: 1,
            ended_ms: None,
            slots: 1,
            restarts: 0,
            rows_read: 0,
            rows_written: 0,
            cpu_seconds: 0.5,
            cause: None,
            decision: None,
            checkpoints: None,
            version: 0,
            savepoint: None,
        };
        state.jobs.push(Job { summary, wish: None, events: Vec::new(), logs: Vec::new() });
        id
    }

    pub(crate) fn happen(&self, id: &str, message: &str) {
        self.with_job(id, |job| {
            let sequence = job.events.len() as u64 + 1;
            let (kind, message) = ("state".to_owned(), message.to_owned());
            job.events.push(Event { sequence, at_ms: 2, kind, message });
        })
        .expect("the job is there");
        self.change();
    }

    pub(crate) fn log(&self, id: &str, message: &str) {
        self.with_job(id, |job| {
            let sequence = job.logs.len() as u64 + 1;
            let (worker, operator) = ("taskmanager-1".to_owned(), "o".to_owned());
            let (level, message) = ("info".to_owned(), message.to_owned());
            job.logs.push(LogLine { sequence, at_ms: 2, worker, operator, subtask: 0, level, message });
        })
        .expect("the job is there");
        self.change();
    }

    pub(crate) fn end(&self, id: &str, state: &str) {
        self.with_job(id, |job| job.summary.state = state.to_owned()).expect("the job is there");
        self.change();
    }

    /// A row passes every edge that is looked at. Says how many looked.
    pub(crate) fn pass(&self, row: &serde_json::Value) -> usize {
        let mut state = self.state();
        state.taps.retain(|tap| !tap.is_closed());
        for tap in &state.taps {
            let _full = tap.try_send(TapRow { edge: "a.out".to_owned(), subtask: 0, row: row.clone() });
        }
        state.taps.len()
    }

    pub(crate) fn end_taps(&self) {
        self.state().taps.clear();
    }

    fn with_job<T>(&self, id: &str, change: impl FnOnce(&mut Job) -> T) -> Result<T, Problem> {
        let mut state = self.state();
        let job = state.jobs.iter_mut().find(|job| job.summary.id == id);
        job.map(change).ok_or_else(|| missing(&format!("could not look at {id}: there is no such job")))
    }

    fn find(&self, reference: &str) -> Result<(PluginVersion, Bytes), Problem> {
        let state = self.state();
        let is_meant = |plugin: &PluginVersion| {
            plugin.digest == reference || format!("{}@{}", plugin.name, plugin.version) == reference
        };
        let found = state.plugins.values().find(|(plugin, _)| is_meant(plugin)).cloned();
        found.ok_or_else(|| missing(&format!("could not describe {reference}: there is no such plugin")))
    }

    async fn ask(&self, id: &str, kind: OperationKind, state: &str) -> Result<JobSummary, Problem> {
        let summary = self.with_job(id, |job| {
            job.wish.get_or_insert(kind);
            if !is_over(&job.summary) {
                job.summary.state = state.to_owned();
            }
            job.summary.clone()
        })?;
        self.change();
        Ok(summary)
    }
}

fn is_over(job: &JobSummary) -> bool {
    matches!(job.state.as_str(), "CANCELLED" | "FINISHED" | "FAILED")
}

fn missing(detail: &str) -> Problem {
    Problem::new(404, Code::NotFound, detail)
}

fn digest_text(digest: &[u8; 32]) -> String {
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Counts polls that wait while it lives.
struct Polling(watch::Sender<(u32, u32)>);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.send_modify(|(waiting, dropped)| (*waiting, *dropped) = (*waiting - 1, *dropped + 1));
    }
}

impl Backend for Memory {
    async fn ready(&self) -> Result<(), Problem> {
        let unready = self.state().unready;
        if unready { Err(Problem::new(503, Code::NotReady, "could not begin: the catalogue is shut")) } else { Ok(()) }
    }

    async fn cluster(&self) -> Result<Cluster, Problem> {
        Ok(Cluster {
            id: "c".to_owned(),
            version: "0.1.0".to_owned(),
            epoch: "epoch-1".to_owned(),
            started_ms: 1,
            workers: 1,
            slots: 4,
            slots_free: 4,
            jobs: JobCounts::default(),
        })
    }

    async fn metrics(&self) -> String {
        format!("# TYPE wasmill_jobs gauge\nwasmill_jobs {}\n", self.jobs_count())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    fn upload_folder(&self) -> &Path {
        self.0.folder.path()
    }

    fn upload_bytes_max(&self) -> u64 {
        UPLOAD_BYTES_MAX
    }

    async fn put_plugin(&self, upload: Upload) -> Result<(PluginVersion, Stored), Problem> {
        let bytes = Bytes::from(fs::read(upload.file.path()).expect("it is there"));
        assert_eq!(bytes.len() as u64, upload.bytes);
        let digest = digest_text(&upload.digest);
        let key = (upload.name.clone(), upload.version.clone());
        let mut state = self.state();
        if let Some((known, _)) = state.plugins.get(&key) {
            if known.digest == digest {
                return Ok((known.clone(), Stored::Same));
            }
            return Err(Problem::new(409, Code::PluginVersionTaken, "could not store it: it has other bytes"));
        }
        let version = PluginVersion {
            name: upload.name,
            version: upload.version,
            digest,
            size: upload.bytes,
            description: None,
            languages: vec!["Rust".to_owned()],
            uploaded_ms: 1,
            used_by: Vec::new(),
        };
        if !upload.dry_run {
            state.plugins.insert(key, (version.clone(), bytes));
        }
        Ok((version, Stored::New))
    }

    async fn plugins(&self) -> Result<Vec<PluginVersion>, Problem> {
        Ok(self.state().plugins.values().map(|(version, _)| version.clone()).collect())
    }

    async fn plugin(&self, reference: &str) -> Result<PluginDetail, Problem> {
        let (version, _) = self.find(reference)?;
        Ok(PluginDetail { version, inspection: serde_json::json!({"exports": []}) })
    }

    async fn remove_plugin(&self, name: &str, version: &str) -> Result<(), Problem> {
        let removed = self.state().plugins.remove(&(name.to_owned(), version.to_owned()));
        removed.map(|_| ()).ok_or_else(|| missing("could not remove it: there is no such plugin"))
    }

    async fn submit(&self, submission: Submission, key: Option<String>) -> Result<(Accepted, Stored), Problem> {
        match submission.text.as_str() {
            "panic" => panic!("the job file asks for it"),
            "for ever" => pending::<()>().await,
            "refused" => {
                let problem = Problem::new(422, Code::UnknownColumn, "could not take job.toml: there is no column b");
                return Err(problem.with_hint("there are a and c"));
            }
            _ => {}
        }
        let known = key.as_ref().and_then(|key| self.state().keys.get(key).cloned());
        let (id, stored) = match known {
            Some((before, id)) if before == submission => (id, Stored::Same),
            Some(_) => return Err(Problem::new(409, Code::IdempotencyKeyReused, "could not submit: another body")),
            None => (self.job_of(&submission.text), Stored::New),
        };
        let name = submission.text.lines().next().unwrap_or_default().to_owned();
        if let Some(key) = key {
            self.state().keys.insert(key, (submission, id.clone()));
        }
        let (state, warnings, beginning, guarantees) = ("CREATED".to_owned(), Vec::new(), None, Vec::new());
        Ok((Accepted { id, name, state, warnings, beginning, guarantees }, stored))
    }

    async fn plan(&self, submission: Submission, replaces: Option<String>) -> Result<Plan, Problem> {
        let (vertices, edges, warnings) = (Vec::new(), Vec::new(), submission.set);
        let name = replaces.unwrap_or(submission.file);
        let (beginning, guarantees) = (None, Vec::new());
        Ok(Plan { name, slots: 1, slots_free: 4, vertices, edges, warnings, beginning, guarantees })
    }

    async fn jobs(&self) -> Result<Vec<JobSummary>, Problem> {
        Ok(self.state().jobs.iter().rev().map(|job| job.summary.clone()).collect())
    }

    async fn job(&self, id: &str) -> Result<JobDetail, Problem> {
        let summary = self.with_job(id, |job| job.summary.clone())?;
        let (vertices, edges, subtasks, warnings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(JobDetail { summary, attempt: "attempt-1.1".to_owned(), vertices, edges, subtasks, warnings })
    }

    async fn stall(&self, id: &str) -> Result<Stall, Problem> {
        let JobSummary { id, name, state, .. } = self.with_job(id, |job| job.summary.clone())?;
        let (attempt, because) = ("attempt-1.1".to_owned(), vec!["the watermark is held by nobody".to_owned()]);
        Ok(Stall { id, name, state, attempt, vertices: Vec::new(), watermark: None, checkpoint: None, because })
    }

    async fn cancel(&self, id: &str) -> Result<JobSummary, Problem> {
        self.ask(id, OperationKind::Cancel, "CANCELLED").await
    }

    async fn drain(&self, id: &str) -> Result<JobSummary, Problem> {
        self.ask(id, OperationKind::Stop, "RUNNING").await
    }

    async fn stop(&self, id: &str, savepoint: Option<String>) -> Result<JobSummary, Problem> {
        let stopped = self.ask(id, OperationKind::Stop, "STOPPED").await?;
        Ok(JobSummary { savepoint, ..stopped })
    }

    async fn replace(&self, id: &str, submission: Submission) -> Result<Replaced, Problem> {
        let job = self.with_job(id, |job| job.summary.clone())?;
        let warnings = submission.set;
        let (beginning, guarantees) = (None, Vec::new());
        Ok(Replaced { id: job.id, name: job.name, version: 1, state: job.state, warnings, beginning, guarantees })
    }

    async fn scale(&self, id: &str, scale: Scale) -> Result<Replaced, Problem> {
        let set = format!("{}={}", scale.operator.unwrap_or_default(), scale.parallelism);
        let (text, file) = (String::new(), String::new());
        let submission = Submission { text, file, base: None, set: vec![set], from: None, allow_dropped_state: false };
        self.replace(id, submission).await
    }

    async fn resolve(&self, id: &str, choice: Choice) -> Result<JobSummary, Problem> {
        let job = self.with_job(id, |job| job.summary.clone())?;
        match choice {
            Choice::Retry => Ok(JobSummary { state: "RESTARTING".to_owned(), ..job }),
            _ => Err(Problem::new(409, Code::ChoiceNotOffered, format!("could not resolve {id}"))),
        }
    }

    async fn savepoint(&self, id: &str, name: Option<String>) -> Result<Savepoint, Problem> {
        let job = self.with_job(id, |job| job.summary.clone())?;
        let savepoint = Savepoint {
            name: name.unwrap_or_else(|| "made-up".to_owned()),
            job: job.id,
            job_name: job.name,
            checkpoint: format!("{id}/1"),
            time_ms: 3,
            engine: "1.0.0".to_owned(),
            state_bytes: 0,
            operators: Vec::new(),
            cluster: None,
            unfinished: Vec::new(),
        };
        self.state().savepoints.push(savepoint.clone());
        Ok(savepoint)
    }

    async fn savepoints(&self) -> Result<Vec<Savepoint>, Problem> {
        Ok(self.state().savepoints.clone())
    }

    async fn get_savepoint(&self, name: &str) -> Result<Savepoint, Problem> {
        let found = self.state().savepoints.iter().find(|savepoint| savepoint.name == name).cloned();
        found.ok_or_else(|| missing("could not find the savepoint"))
    }

    async fn remove_savepoint(&self, name: &str) -> Result<(), Problem> {
        self.get_savepoint(name).await?;
        self.state().savepoints.retain(|savepoint| savepoint.name != name);
        Ok(())
    }

    async fn export_savepoint(&self, name: &str) -> Result<Outgoing, Problem> {
        self.get_savepoint(name).await?;
        let (bytes, whole) = (200_000, name != "breaks");
        let write = move |to: &mut dyn Write| {
            to.write_all(&vec![b'x'; 150_000])?;
            if whole { to.write_all(&vec![b'y'; 50_000]) } else { Err(std::io::Error::other("the disk is gone")) }
        };
        Ok(Outgoing { bytes, write: Box::new(write) })
    }

    async fn import_savepoint(
        &self,
        name: &str,
        mut from: impl Read + Send + 'static,
    ) -> Result<(Savepoint, Stored), Problem> {
        let read = tokio::task::spawn_blocking(move || {
            let mut first = [0];
            from.read_exact(&mut first)?;
            let mut bytes = 1;
            // Whoever begins so has had enough.
            if first[0] != b'!' {
                bytes += std::io::copy(&mut from, &mut std::io::sink())?;
            }
            Ok::<_, std::io::Error>((bytes, first[0]))
        });
        let (bytes, first) = read.await.expect("it does not panic").map_err(|error| {
            self.state().broken += 1;
            Problem::new(422, Code::SavepointFileDamaged, format!("could not import it: {error}"))
        })?;
        if first == b'!' {
            return Err(Problem::new(409, Code::SavepointExists, "could not import it: there is one"));
        }
        let mut savepoint = self.savepoint("job-1", Some(name.to_owned())).await?;
        savepoint.state_bytes = bytes;
        Ok((savepoint, Stored::New))
    }

    async fn operation(&self, job: &str, kind: OperationKind) -> Result<Operation, Problem> {
        let (summary, wish) = self.with_job(job, |job| (job.summary.clone(), job.wish))?;
        if wish != Some(kind) {
            return Err(missing(&format!("could not look at {job}.{kind}: that was never asked")));
        }
        let state = if is_over(&summary) { OperationState::Done } else { OperationState::Running };
        Ok(Operation::new(job, kind, state, &summary.state))
    }

    async fn events(&self, id: &str, after: u64, max: usize) -> Result<Vec<Event>, Problem> {
        let is_new = |event: &&Event| event.sequence > after;
        self.with_job(id, |job| job.events.iter().filter(is_new).take(max).cloned().collect())
    }

    async fn exceptions(&self, id: &str, after: u64, max: usize) -> Result<Vec<Exception>, Problem> {
        let exception = |sequence| Exception {
            sequence,
            at_ms: 3,
            attempt: "attempt-1.1".to_owned(),
            code: "operator-trapped".to_owned(),
            domain: "operator".to_owned(),
            message: "it trapped".to_owned(),
            restarted: true,
        };
        self.with_job(id, |_| (1..=2).filter(|sequence| *sequence > after).take(max).map(exception).collect())
    }

    async fn logs(&self, id: &str, after: u64, max: usize) -> Result<Vec<LogLine>, Problem> {
        let is_new = |line: &&LogLine| line.sequence > after;
        self.with_job(id, |job| job.logs.iter().filter(is_new).take(max).cloned().collect())
    }

    async fn ended(&self, id: &str) -> Result<bool, Problem> {
        self.with_job(id, |job| is_over(&job.summary))
    }

    async fn tap(&self, id: &str, edge: &str) -> Result<mpsc::Receiver<TapRow>, Problem> {
        self.with_job(id, |_| ())?;
        if edge != "a.out" {
            return Err(missing(&format!("could not look at {edge}: there is no such edge")));
        }
        let (sender, receiver) = mpsc::channel(16);
        self.state().taps.push(sender);
        Ok(receiver)
    }

    async fn workers(&self) -> Result<Vec<Worker>, Problem> {
        let state = if self.state().drained { WorkerState::Drained } else { WorkerState::Active };
        Ok(vec![Worker {
            id: "taskmanager-1".to_owned(),
            incarnation: "incarnation-1".to_owned(),
            state,
            address: "127.0.0.1:1".to_owned(),
            slots: 4,
            slots_free: 4,
            jobs: Vec::new(),
            registered_ms: 1,
            last_seen_ms: 1,
        }])
    }

    async fn worker(&self, id: &str) -> Result<Worker, Problem> {
        let found = self.workers().await?.into_iter().find(|worker| worker.id == id);
        found.ok_or_else(|| missing(&format!("could not describe {id}: there is no such worker")))
    }

    async fn cordon(&self, id: &str, on: bool) -> Result<Worker, Problem> {
        self.worker(id).await?;
        self.state().drained = on;
        self.worker(id).await
    }

    async fn tm_register(&self, body: Bytes) -> Result<Bytes, Problem> {
        Ok(body)
    }

    async fn tm_poll(&self, body: Bytes, connection: u64) -> Result<Bytes, Problem> {
        self.0.connection.send_replace((connection, false));
        self.0.polls.send_modify(|(waiting, _)| *waiting += 1);
        let _polling = Polling(self.0.polls.clone());
        if body == r#"{"wait":true}"#.as_bytes() {
            pending::<()>().await;
        }
        Ok(body)
    }

    async fn tm_reports(&self, body: Bytes) -> Result<Bytes, Problem> {
        Ok(body)
    }

    async fn tm_deployment(&self, job: &str, _attempt: Option<u64>) -> Result<Bytes, Problem> {
        self.with_job(job, |_| Bytes::from_static(b"{}"))
    }

    async fn tm_code(&self, key: &str) -> Result<Blob, Problem> {
        Ok(Blob::Bytes(Bytes::from(key.to_owned())))
    }

    async fn tm_plugin(&self, digest: &str) -> Result<Blob, Problem> {
        let (_, bytes) = self.find(digest)?;
        let mut file = tempfile::tempfile().expect("there is room");
        file.write_all(&bytes).expect("there is room");
        std::io::Seek::rewind(&mut file).expect("it is a file");
        Ok(Blob::File { file, bytes: bytes.len() as u64 })
    }

    fn closed(&self, connection: u64) {
        self.0.connection.send_if_modified(|(last, closed)| {
            *closed |= *last == connection;
            *last == connection
        });
    }
}
