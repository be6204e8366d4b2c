//! Talks to the JobManager: all that its interfaces offer, each as one call.
//!
//! Calls that wait for the disk, the compiler or the owner are `async`; the work goes on when the caller goes away.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio::sync::{mpsc as mpsc_async, oneshot, watch};
use wasmill_control::jobmanager::{CheckpointConfig, Config, Event, InStep, JobShape, Restart};
use wasmill_model::{
    fault::{Code, Coded},
    ids::{Attempt, JobId},
};
use wasmill_plugin::PluginStore;
use wasmill_rest::{
    Accepted, Cluster, JobDetail, JobSummary, LogLine, Operation, OperationKind, Plan, PluginDetail, PluginVersion,
    Problem, Stall, Stored, Submission, TapRow, Worker,
};
use wasmill_runtime::{Folders, Job};

use crate::{
    catalogue::{self, Catalogue, Recovered, rand_bytes},
    checkpoints,
    jobmanager::{
        Begin, CheckpointPlace, Message, Shell, Submit,
        keeper::{self, Keeper},
        now_ms, open_metrics, store,
        views::{self, not_found},
    },
    message::{Answer, Deployment, Poll, Polled, Register, Registered, Told},
    payload::{self, Payload},
    registry::Registry,
    scratch::Scratch,
};

mod lasting;

/// What a JobManager needs.
#[derive(Debug)]
pub struct Options {
    /// Its durable memory: the catalogue and the plugins. One JobManager at a time.
    pub data_dir: PathBuf,
    pub config: Config,
    /// Checks, compiles and describes plugins.
    pub plugins: Arc<PluginStore>,
    /// Where jobs may read and write files, resolved.
    pub folders: Folders,
    /// The folder of checkpoints and savepoints, the same on all hosts; none: `checkpoints` in the data folder.
    pub checkpoints: Option<PathBuf>,
}

/// What went wrong when a JobManager started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
    #[error("could not open the plugins in {folder}: {source}")]
    Plugins { folder: String, source: io::Error },
    #[error("could not make the scratch folder of the data folder {folder} anew: {source}")]
    Scratch { folder: String, source: io::Error },
    #[error(transparent)]
    Checkpoints(#[from] checkpoints::Error),
    #[error("could not start a thread: {0}")]
    Thread(io::Error),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Catalogue(error) => error.code(),
            Self::Checkpoints(error) => error.code(),
            Self::Plugins { .. } | Self::Scratch { .. } => Code::CatalogueUnusable,
            Self::Thread(_) => Code::SystemResources,
        }
    }
}

/// Talks to a JobManager. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    inbox: Sender<Message>,
    changed: watch::Receiver<u64>,
    catalogue: Arc<Catalogue>,
    registry: Arc<Registry>,
    upload_folder: Arc<PathBuf>,
    folders: Arc<Folders>,
    keeper: Keeper,
}

/// The largest component that is taken.
pub const UPLOAD_BYTES_MAX: u64 = 256 << 20;

impl Handle {
    /// Starts a JobManager on its data folder: everything that an earlier one left goes on.
    pub fn start(options: Options) -> Result<Self, Error> {
        let Options { data_dir, config, plugins, folders, checkpoints } = options;
        let catalogue = Arc::new(Catalogue::open(&data_dir)?);
        let scratch = Scratch::begin(&data_dir);
        let scratch = scratch.map_err(|source| Error::Scratch { folder: data_dir.display().to_string(), source })?;
        let Recovered { cluster, epoch, jobs, previous, plugins: records, drained, stops } = catalogue.begin()?;
        let registry = Registry::open(&data_dir, catalogue.clone(), plugins, records);
        let registry = registry.map_err(|source| Error::Plugins { folder: data_dir.display().to_string(), source })?;
        let (inbox, messages) = mpsc::channel();
        let (changes, changed) = watch::channel(0);
        let store = store::Store::catalogue(catalogue.clone(), inbox.clone()).map_err(Error::Thread)?;
        for taskmanager in drained {
            // Before anybody can register.
            let _ = inbox.send(Message::Event(Event::Cordon { taskmanager, on: true }));
        }
        let folder = checkpoints.unwrap_or_else(|| data_dir.join("checkpoints"));
        let kept = checkpoints::create(&folder, &cluster)?;
        // What cannot be removed now is removed at the next start.
        let _ = kept.sweep_imports();
        let nonce = rand_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        kept.write_nonce(&nonce).map_err(checkpoints::Error::from)?;
        let jobs = jobs.into_iter().map(|(record, payload)| {
            let checkpoints = match record.end {
                Some(_) => Vec::new(),
                None => keeper::completed(&kept, record.id)?,
            };
            Ok((wasmill_control::jobmanager::Recovered { record, checkpoints }, payload))
        });
        let jobs =
            jobs.collect::<Result<Vec<_>, wasmill_snapshot::store::Error>>().map_err(checkpoints::Error::from)?;
        let keeper = Keeper::start(kept, scratch, inbox.clone()).map_err(Error::Thread)?;
        let folder = folder.canonicalize().unwrap_or(folder).display().to_string();
        let place = CheckpointPlace { folder, nonce };
        let begin = Begin { config, cluster, epoch, jobs, previous, stops, keeper: Some((keeper.clone(), place)) };
        crate::jobmanager::start(begin, store, (inbox.clone(), messages), changes).map_err(Error::Thread)?;
        let upload_folder = Arc::new(registry.upload_folder());
        Ok(Self {
            inbox,
            changed,
            catalogue,
            registry: Arc::new(registry),
            upload_folder,
            folders: Arc::new(folders),
            keeper,
        })
    }

    /// Ends the owner's thread once it has come to it. Jobs go on where they run until their TaskManagers miss it.
    pub fn shut_down(&self) {
        let _ = self.inbox.send(Message::ShutDown);
    }

    pub(crate) fn inbox(&self) -> &Sender<Message> {
        &self.inbox
    }

    /// A number that changes whenever there is something new to read of a job.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Where uploads are written before they are put.
    pub fn upload_folder(&self) -> &Path {
        &self.upload_folder
    }

    /// Lets the owner answer.
    async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut Shell) -> T + Send + 'static) -> Result<T, Problem> {
        let (answer, answered) = oneshot::channel();
        let ask = Box::new(move |shell: &mut Shell| {
            // Whoever asked and went away does not need it.
            let _ = answer.send(ask(shell));
        });
        let _ = self.inbox.send(Message::Ask(ask));
        answered.await.map_err(|_| gone())
    }

    // Plugins.

    /// Checks and keeps a component that has arrived in the upload folder.
    pub async fn put_plugin(
        &self,
        name: &str,
        version: &str,
        file: NamedTempFile,
        dry_run: bool,
    ) -> Result<(PluginVersion, Stored), Problem> {
        let (name, version) = (name.to_owned(), version.to_owned());
        let put = move |registry: &Registry| registry.put(&name, &version, file, dry_run, now_ms());
        let (record, stored) = self.with_registry(put).await?;
        let digest = record.digest.to_string();
        let used_by = self.ask(move |shell| shell.users_of(&digest)).await?;
        Ok((record.shown(used_by), stored))
    }

    pub async fn plugins(&self) -> Result<Vec<PluginVersion>, Problem> {
        let records = self.registry.all();
        let shown = move |shell: &mut Shell| {
            let shown = records.iter().map(|record| record.shown(shell.users_of(&record.digest.to_string())));
            shown.collect()
        };
        self.ask(shown).await
    }

    /// By `name@version` or digest.
    pub async fn plugin(&self, reference: &str) -> Result<PluginDetail, Problem> {
        let digest = self.registry.find(reference)?.digest.to_string();
        let used_by = self.ask(move |shell| shell.users_of(&digest)).await?;
        let reference = reference.to_owned();
        self.with_registry(move |registry| registry.detail(&reference, used_by)).await
    }

    pub async fn remove_plugin(&self, name: &str, version: &str) -> Result<(), Problem> {
        let digest = self.registry.find(&format!("{name}@{version}"))?.digest.to_string();
        let used_by = self.ask(move |shell| shell.users_of(&digest)).await?;
        if !used_by.is_empty() {
            let detail = format!("could not remove plugin {name}@{version}: {} runs it", used_by.join(", "));
            return Err(Problem::new(409, Code::PluginInUse, detail).with_hint("stop or cancel what runs it first"));
        }
        let (name, version) = (name.to_owned(), version.to_owned());
        self.with_registry(move |registry| registry.remove(&name, &version)).await
    }

    async fn with_registry<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let registry = self.registry.clone();
        tokio::task::spawn_blocking(move || work(&registry)).await.map_err(|_| gone())?
    }

    // Jobs.

    /// Takes a job. With a key, the same request again gives the same job.
    pub async fn submit(&self, submission: Submission, key: Option<String>) -> Result<(Accepted, Stored), Problem> {
        if let Some(key) = key.clone()
            && let Some(known) = self.known(submission.clone(), key).await?
        {
            return Ok((known, Stored::Same));
        }
        let (job, found) = self.check(&submission).await?;
        let (from, beginning) = self.starting_point(&submission, &job).await?.unzip();
        let slots_free = self.ask(|shell| shell.slots_free()).await?;
        let mut plan = views::plan(&job, slots_free);
        let slots = self.ask(|shell| shell.core.taskmanagers().map(|view| view.slots).sum::<u32>()).await?;
        if plan.slots > slots {
            let needs = format!("it needs {} slots and the cluster has {slots}: it waits for TaskManagers", plan.slots);
            plan.warnings.push(needs);
        }
        let shape = shape(&job, Restart::Backoff { attempts_max: None }, from);
        let (name, warnings, guarantees) = (plan.name.clone(), plan.warnings.clone(), plan.guarantees.clone());
        let payload = Arc::new(Payload { submission, found, plan, key });
        let (accepted, answer) = oneshot::channel();
        let submit = Submit { shape, payload, prepared: None, watcher: None, accepted };
        let _ = self.inbox.send(Message::Submit(Box::new(submit)));
        let id = answer.await.map_err(|_| gone())??;
        let state = self.ask(move |shell| shell.summary(id).map(|summary| summary.state)).await?;
        let state = state.unwrap_or_else(|| "CREATED".to_owned());
        Ok((Accepted { id: id.to_string(), name, state, warnings, beginning, guarantees }, Stored::New))
    }

    /// The job that a request with this key made, if there was one.
    async fn known(&self, submission: Submission, key: String) -> Result<Option<Accepted>, Problem> {
        let look = move |shell: &mut Shell| {
            let found = shell.jobs.iter().find(|(_, entry)| entry.key.as_deref() == Some(&key));
            let Some((id, entry)) = found else { return Ok(None) };
            // Of a job that has ended the submission is no longer at hand; its key is.
            if entry.payload.as_ref().is_some_and(|payload| payload.submission != submission) {
                let detail = format!(
                    "could not submit the job: {id} was submitted under the same Idempotency-Key, and is another"
                );
                return Err(
                    Problem::new(409, Code::IdempotencyKeyReused, detail).with_hint("use a new key for each job")
                );
            }
            let summary = shell.summary(*id);
            Ok(summary.map(|summary| Accepted {
                id: summary.id,
                name: summary.name,
                state: summary.state,
                warnings: entry.plan.warnings.clone(),
                beginning: None,
                guarantees: entry.plan.guarantees.clone(),
            }))
        };
        self.ask(look).await?
    }

    /// What a submission would run; with a job that it is to replace, what that job would go on as.
    pub async fn plan(&self, submission: Submission, replaces: Option<String>) -> Result<Plan, Problem> {
        let (job, _) = self.check(&submission).await?;
        let beginning = match replaces {
            Some(id) => self.going_on(&id, &submission, &job).await?.1,
            None => self.beginning(&submission, &job).await?.map(|(_, beginning)| beginning),
        };
        let slots_free = self.ask(|shell| shell.slots_free()).await?;
        Ok(Plan { beginning, ..views::plan(&job, slots_free) })
    }

    async fn check(&self, submission: &Submission) -> Result<(Job, wasmill_runtime::Found), Problem> {
        let (submission, folders) = (submission.clone(), self.folders.clone());
        let check = move |registry: &Registry| {
            let of_job_file = |error: wasmill_model::settings::Error| Problem::of(422, &error);
            let settings = payload::settings(&submission).map_err(of_job_file)?;
            let base = payload::base(&submission);
            let find = |plugin: &wasmill_model::settings::Setting| registry.find_for_job(plugin);
            let job = Job::prepare_with(&settings, &base, registry.store(), &find, &folders).map_err(of_job_file)?;
            let only_here = |what: &str| {
                let detail = format!(
                    "could not submit job {}: {what} belongs to a process, and a cluster's processes have none",
                    job.graph.name
                );
                Problem::new(422, Code::JobFileConflict, detail).with_hint("name a file; `wasmill run` can use both")
            };
            if job.reads_standard_input() {
                return Err(only_here("standard input"));
            }
            if job.writes_stdout() {
                return Err(only_here("standard output"));
            }
            let found = job.found();
            Ok((job, found))
        };
        self.with_registry(check).await
    }

    pub async fn jobs(&self) -> Result<Vec<JobSummary>, Problem> {
        self.ask(|shell| shell.summaries()).await
    }

    pub async fn job(&self, id: &str) -> Result<JobDetail, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| shell.detail(&id)).await?
    }

    pub async fn stall(&self, id: &str) -> Result<Stall, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| shell.stall(&id)).await?
    }

    /// Ends a job without results. The wish is durable when this is answered.
    pub async fn cancel(&self, id: &str) -> Result<JobSummary, Problem> {
        self.end(id, |job| Event::Cancel { job }).await
    }

    /// Lets a job's sources end where they are; what was read comes out. The wish is durable when this is answered.
    pub async fn drain(&self, id: &str) -> Result<JobSummary, Problem> {
        self.end(id, |job| Event::Drain { job }).await
    }

    async fn end(&self, id: &str, event: impl FnOnce(JobId) -> Event + Send + 'static) -> Result<JobSummary, Problem> {
        let (answer, answered) = oneshot::channel();
        let id = id.to_owned();
        let ask = move |shell: &mut Shell| match shell.find(&id).map(|(job, _)| job) {
            Err(problem) => drop(answer.send(Err(problem))),
            Ok(job) => {
                let then = move |shell: &mut Shell, stored: Result<(), String>| {
                    let missing = || not_found("job", &job.to_string(), "wasmill list --all");
                    drop(answer.send(match stored {
                        Ok(()) => shell.summary(job).ok_or_else(missing),
                        Err(reason) => {
                            let detail = format!("could not note down what is wished of {job}: {reason}");
                            let problem = Problem::new(503, Code::CatalogueUnusable, detail);
                            Err(problem.with_hint("see to the disk of the JobManager, and ask again"))
                        }
                    }));
                };
                shell.handle_durably(event(job), Box::new(then));
            }
        };
        let _ = self.inbox.send(Message::Ask(Box::new(ask)));
        answered.await.map_err(|_| gone())?
    }

    pub async fn operation(&self, id: &str, kind: OperationKind) -> Result<Operation, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| shell.operation(&id, kind)).await?
    }

    pub async fn events(&self, id: &str, after: u64, max: usize) -> Result<Vec<wasmill_rest::Event>, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| Ok(shell.find(&id)?.1.history.events_after(after, max))).await?
    }

    pub async fn exceptions(&self, id: &str, after: u64, max: usize) -> Result<Vec<wasmill_rest::Exception>, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| Ok(shell.find(&id)?.1.history.exceptions_after(after, max))).await?
    }

    pub async fn logs(&self, id: &str, after: u64, max: usize) -> Result<Vec<LogLine>, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| Ok(shell.find(&id)?.1.history.logs_after(after, max))).await?
    }

    /// Whether nothing more will happen to a job.
    pub async fn ended(&self, id: &str) -> Result<bool, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| Ok(shell.find(&id)?.1.ended_ms.is_some())).await?
    }

    /// Rows that pass an edge from now on, until the receiver is dropped.
    pub async fn tap(&self, id: &str, edge: &str) -> Result<mpsc_async::Receiver<TapRow>, Problem> {
        let (id, edge) = (id.to_owned(), edge.to_owned());
        self.ask(move |shell| shell.tap(&id, &edge)).await?
    }

    // The cluster.

    pub async fn cluster(&self) -> Result<Cluster, Problem> {
        self.ask(|shell| shell.cluster_view()).await
    }

    /// Metrics in OpenMetrics text.
    pub async fn metrics(&self) -> String {
        self.ask(|shell| open_metrics::text(shell)).await.unwrap_or_default()
    }

    pub async fn workers(&self) -> Result<Vec<Worker>, Problem> {
        self.ask(|shell| shell.workers()).await
    }

    pub async fn worker(&self, id: &str) -> Result<Worker, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| shell.worker(&id)).await?
    }

    /// Lets a TaskManager get no more subtasks, or again; durably.
    pub async fn cordon(&self, id: &str, on: bool) -> Result<Worker, Problem> {
        let id = id.to_owned();
        let known = id.clone();
        let taskmanager = self.ask(move |shell| shell.worker_id(&known)).await??;
        let catalogue = self.catalogue.clone();
        let written = tokio::task::spawn_blocking(move || catalogue.set_drained(taskmanager, on)).await;
        written.map_err(|_| gone())?.map_err(|error| Problem::of(500, &error))?;
        let cordon = move |shell: &mut Shell| {
            shell.handle(Event::Cordon { taskmanager, on });
            shell.worker(&id)
        };
        self.ask(cordon).await?
    }

    // TaskManagers.

    /// Takes a TaskManager into the cluster.
    pub async fn register(&self, register: Register) -> Result<Registered, Problem> {
        let secret = self.registry.store().secret();
        let admit = move |shell: &mut Shell| {
            let registered = shell.admit(register)?;
            Ok(Registered { secret: Some(secret), ..registered })
        };
        self.ask(admit).await?
    }

    /// Waits for orders, for a TaskManager that has asked by a connection.
    pub async fn poll(&self, poll: Poll, connection: u64) -> Result<Polled, Problem> {
        let (answer, answered) = oneshot::channel();
        let _ = self.inbox.send(Message::Poll(poll, Some(connection), answer));
        let answer = answered.await.map_err(|_| gone())?;
        Ok(Polled { answer, taps: self.ask(|shell| shell.taps.edges()).await? })
    }

    /// The other end has closed a connection. A TaskManager that has asked by it last is lost: while it lives, it asks again as
    /// soon as it is answered.
    pub fn closed(&self, connection: u64) {
        let _ = self.inbox.send(Message::Closed(connection));
    }

    pub async fn told(&self, told: Told) -> Result<Answer, Problem> {
        let (answer, answered) = oneshot::channel();
        let _ = self.inbox.send(Message::Told(told, answer));
        answered.await.map_err(|_| gone())
    }

    /// What a TaskManager makes a job of.
    pub async fn deployment(&self, id: &str, attempt: u64) -> Result<Deployment, Problem> {
        let id = id.to_owned();
        self.ask(move |shell| shell.deployment(shell.find(&id)?.0, Attempt(attempt))).await?
    }

    /// Compiled code, sealed, by the key that a TaskManager's store looks for.
    pub async fn code(&self, key: &str) -> Result<File, Problem> {
        let key = key.to_owned();
        let missing = Problem::new(404, Code::NotFound, "there is no code under this key: compile it");
        self.with_registry(move |registry| registry.store().sealed(&key).ok_or(missing)).await
    }

    /// The bytes of a component.
    pub async fn component(&self, digest: &str) -> Result<File, Problem> {
        let record = self.registry.find(digest)?;
        let open = move |registry: &Registry| {
            let failed = |e: io::Error| {
                Problem::new(500, Code::CatalogueUnusable, format!("could not read plugin {}: {e}", record.digest))
            };
            File::open(registry.file(&record.digest)).map_err(failed)
        };
        self.with_registry(open).await
    }
}

/// What a job begins from: a manifest, and whether all that sinks had prepared in it was visible once.
pub(crate) type StartingPoint = (String, bool);

/// What the JobManager needs to know of a plan.
pub(crate) fn shape(job: &Job, restart: Restart, from: Option<StartingPoint>) -> JobShape {
    let chains = job.plan.chains.iter().map(|chain| chain.parallelism).collect();
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let checkpoints = job.checkpoints().map(|spec| CheckpointConfig {
        interval_ms: ms(spec.interval),
        timeout_ms: ms(spec.timeout),
        min_pause_ms: ms(spec.min_pause),
        retained: spec.retained,
    });
    let in_step = job.plan.in_step(&job.graph).into_iter().map(|source| InStep {
        chain: source.chain as u32,
        group: source.group as u32,
        max_drift_ms: source.max_drift.map(ms),
    });
    let in_step = in_step.collect();
    let (name, transactional) = (job.graph.name.clone(), job.is_transactional());
    let (from, from_visible) = from.map_or((None, false), |(from, visible)| (Some(from), visible));
    JobShape { name, chains, restart, checkpoints, from, from_visible, transactional, in_step }
}

fn gone() -> Problem {
    Problem::new(503, Code::NotReady, "the JobManager is shutting down")
}
