//! The shell of the JobManager: one thread owns the core, takes what happens, and does what the core says.
//!
//! Nothing is decided here. What the core wants durable is written by a thread of its own, so that the owner never waits for a
//! disk; what people ask is answered by the owner from what it holds, by closures sent to it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, LazyLock,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{oneshot, watch};
use wasmill_control::{
    JobManager,
    jobmanager::{Command, Config, Event, JobRecord, JobShape, JobState, Recovered},
};
use wasmill_model::{
    Timestamp,
    fault::Code,
    ids::{Epoch, JobId, TaskManagerId},
};
use wasmill_rest::{JobSummary, Problem, Savepoint};
use wasmill_runtime::Job;

use crate::{
    catalogue::{Change, Payloads},
    jobmanager::{
        job::JobEntry,
        keeper::{Keeper, Work},
        polls::Polls,
        store::Store,
        taps::Taps,
    },
    message::{Answer, JobTotals, PROTOCOL, Poll, Register, Registered, Told},
    payload::Payload,
};

mod checkpointing;
mod compatibility;
mod handle;
mod history;
mod job;
mod keeper;
mod manifests;
mod metrics;
mod open_metrics;
mod polls;
mod savepoints;
mod stall;
pub(crate) mod store;
mod taps;
mod travel;
pub(crate) mod views;

pub(crate) use handle::shape;
pub use handle::{Error, Handle, Options, UPLOAD_BYTES_MAX};
pub use metrics::quantiles;

/// How long a JobManager waits when nothing else is due.
const TICK_MAX: Duration = Duration::from_secs(60);

/// Ended jobs whose log lines are kept.
const JOBS_WITH_LOGS_MAX: usize = 50;

/// What comes into the inbox. It is bounded by who sends: requests that wait for their answer, a handful of messages for each
/// job and each subtask.
pub(crate) enum Message {
    Event(Event),
    Submit(Box<Submit>),
    Replace(Box<Replace>),
    /// With the connection by which it came, if it came by one.
    Poll(Poll, Option<u64>, oneshot::Sender<Answer>),
    /// A connection was closed by the other end.
    Closed(u64),
    Told(Told, oneshot::Sender<Answer>),
    /// A durable write has come to its end.
    Written(u64, Result<(), String>),
    /// Something to look up, or to start and wait for.
    Ask(Box<dyn FnOnce(&mut Shell) + Send>),
    ShutDown,
}

/// A checked job to take.
pub(crate) struct Submit {
    pub(crate) shape: JobShape,
    pub(crate) payload: Arc<Payload>,
    /// The very job, where JobManager and TaskManager share a process and whoever submits wants to look at its counters.
    pub(crate) prepared: Option<Arc<Job>>,
    pub(crate) watcher: Option<Sender<JobState>>,
    pub(crate) accepted: oneshot::Sender<Result<JobId, Problem>>,
}

/// Another form of a job that runs.
pub(crate) struct Replace {
    pub(crate) job: JobId,
    pub(crate) shape: JobShape,
    pub(crate) payload: Arc<Payload>,
    pub(crate) replaced: oneshot::Sender<Result<u32, Problem>>,
}

/// Whoever waits for a savepoint.
pub(crate) struct WantsSavepoint {
    pub(crate) job: JobId,
    /// `None`: one is made up.
    pub(crate) name: Option<String>,
    /// `None`: nobody waits any more.
    pub(crate) answer: Option<oneshot::Sender<Result<Savepoint, Problem>>>,
}

/// What waits for a durable write, to be told how it went.
type Waiter = Box<dyn FnOnce(&mut Shell, Result<(), String>) + Send>;

/// The owner's facts beside those of the core.
pub(crate) struct Shell {
    pub(crate) core: JobManager,
    pub(crate) cluster: String,
    pub(crate) epoch: Epoch,
    pub(crate) started_ms: Timestamp,
    /// How long a TaskManager may be silent.
    lease_ms: u64,
    pub(crate) jobs: BTreeMap<JobId, JobEntry>,
    pub(crate) polls: Polls,
    pub(crate) taps: Taps,
    /// When each TaskManager registered and was heard of last.
    pub(crate) seen: BTreeMap<TaskManagerId, (Timestamp, Timestamp)>,
    /// The owner's own inbox.
    pub(crate) inbox: Sender<Message>,
    store: Store,
    /// Keeps checkpoints; none in a run that is over with its process.
    pub(crate) keeper: Option<(Keeper, CheckpointPlace)>,
    pub(crate) savepoints: BTreeMap<u64, WantsSavepoint>,
    replaces: BTreeMap<u64, Replace>,
    /// Who has decided something, by request.
    pub(crate) resolves: BTreeMap<u64, oneshot::Sender<Result<JobSummary, Problem>>>,
    /// Submitted jobs that have no id yet, by request.
    requests: BTreeMap<u64, Submit>,
    last_request: u64,
    /// Who sent the same request while its job was not durable.
    also_waiting: BTreeMap<JobId, Vec<oneshot::Sender<Result<JobId, Problem>>>>,
    waiters: BTreeMap<u64, Vec<Waiter>>,
    changed: watch::Sender<u64>,
}

/// What a JobManager begins with.
pub(crate) struct Begin {
    pub(crate) config: Config,
    pub(crate) cluster: String,
    pub(crate) epoch: Epoch,
    pub(crate) jobs: Vec<(Recovered, Option<Payload>)>,
    /// The forms of jobs that are to be gone back to if their new ones do not start.
    pub(crate) previous: BTreeMap<JobId, Payload>,
    /// How the savepoints are to be called that jobs are stopped with.
    pub(crate) stops: BTreeMap<JobId, String>,
    pub(crate) keeper: Option<(Keeper, CheckpointPlace)>,
}

/// Where checkpoints are kept, and what shows that somebody reads there.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointPlace {
    pub(crate) folder: String,
    pub(crate) nonce: String,
}

/// Starts the owner's thread.
pub(crate) fn start(
    begin: Begin,
    store: Store,
    (inbox, messages): (Sender<Message>, Receiver<Message>),
    changed: watch::Sender<u64>,
) -> io::Result<()> {
    let Begin { config, cluster, epoch, jobs, mut previous, mut stops, keeper } = begin;
    let (heartbeat, lease_ms) = (Duration::from_millis(config.heartbeat_ms), config.lease_ms);
    let records = jobs.iter().map(|(recovered, _)| recovered.clone()).collect();
    let (core, commands) = JobManager::new(config, epoch, records, now_ms());
    let known = jobs.into_iter().filter_map(|(Recovered { record, .. }, payload)| {
        Some((record.id, JobEntry::recovered(&record, payload?, previous.remove(&record.id), stops.remove(&record.id))))
    });
    let mut shell = Shell {
        core,
        cluster,
        epoch,
        started_ms: now_ms(),
        lease_ms,
        jobs: known.collect(),
        polls: Polls::new(heartbeat),
        taps: Taps::default(),
        seen: BTreeMap::new(),
        inbox,
        store,
        keeper,
        savepoints: BTreeMap::new(),
        replaces: BTreeMap::new(),
        resolves: BTreeMap::new(),
        requests: BTreeMap::new(),
        last_request: 0,
        also_waiting: BTreeMap::new(),
        waiters: BTreeMap::new(),
        changed,
    };
    thread::Builder::new().name("jobmanager".to_owned()).spawn(move || {
        shell.follow(commands);
        shell.keep_all_stopped();
        shell.run(&messages);
    })?;
    Ok(())
}

impl Shell {
    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(self.wait()) {
                Ok(Message::ShutDown) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Whatever came, time has passed too.
            let commands = self.core.advance(now_ms());
            self.follow(commands);
            self.polls.answer_due(Instant::now());
        }
    }

    /// How long nothing has to be done unless something comes.
    fn wait(&self) -> Duration {
        let core = self.core.deadline().map(|at| Duration::from_millis((at - now_ms()).max(0).unsigned_abs()));
        let polls = self.polls.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        core.into_iter().chain(polls).min().map_or(TICK_MAX, |wait| wait.min(TICK_MAX))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.handle(event),
            Message::Submit(submit) => self.submit(*submit),
            Message::Replace(replace) => self.replace(*replace),
            Message::Poll(poll, connection, answer) => self.poll(poll, connection, answer),
            Message::Closed(connection) => {
                if let Some((taskmanager, incarnation)) = self.polls.closed(connection) {
                    self.handle(Event::Lost { taskmanager, incarnation });
                }
            }
            Message::Told(Told { reports, metrics }, answer) => {
                self.take_metrics(reports.taskmanager, metrics);
                let (taskmanager, incarnation) = (reports.taskmanager, reports.incarnation);
                self.polls.expect_acknowledgement(taskmanager, incarnation, answer);
                self.handle(Event::Reports(reports));
            }
            Message::Written(write, Ok(())) => {
                self.handle(Event::Stored { write });
                for waiter in self.waiters.remove(&write).unwrap_or_default() {
                    waiter(self, Ok(()));
                }
            }
            Message::Written(write, Err(message)) => {
                for waiter in self.waiters.remove(&write).unwrap_or_default() {
                    waiter(self, Err(message.clone()));
                }
                self.handle(Event::StoreFailed { write, message });
            }
            Message::Ask(ask) => ask(self),
            Message::ShutDown => unreachable!("the loop has ended"),
        }
    }

    fn submit(&mut self, submit: Submit) {
        let same_key = |entry: &JobEntry| entry.key.is_some() && entry.key == submit.payload.key;
        if let Some(job) = self.jobs.iter().find(|(_, entry)| same_key(entry)).map(|(job, _)| *job) {
            // Two requests of one key at once: the second is answered when the first one's job is durable.
            match self.core.job(job) {
                Some(_) => drop(submit.accepted.send(Ok(job))),
                None => self.also_waiting.entry(job).or_default().push(submit.accepted),
            }
            return;
        }
        self.last_request += 1;
        let shape = submit.shape.clone();
        self.requests.insert(self.last_request, submit);
        self.handle(Event::Submit { request: self.last_request, shape });
    }

    /// A TaskManager asks for orders: it lives, and it is answered at once if there is something new, or later.
    fn poll(&mut self, poll: Poll, connection: Option<u64>, answer: oneshot::Sender<Answer>) {
        let Poll { taskmanager, incarnation, epoch, version, metrics, logs, rows } = poll;
        self.taps.take(rows);
        let now = now_ms();
        if epoch != self.epoch {
            let _ = answer.send(Answer::Register);
            return;
        }
        if let Some((_, last)) = self.seen.get_mut(&taskmanager) {
            *last = now;
        }
        let watermarks = metrics::watermarks(&metrics);
        self.take_metrics(taskmanager, metrics);
        let new_lines = !logs.is_empty();
        for line in logs {
            if let Some(entry) = self.jobs.get_mut(&line.job) {
                entry.log(taskmanager, line);
            }
        }
        self.polls.park(taskmanager, incarnation, (version, connection), answer, Instant::now());
        self.handle(Event::Heartbeat { taskmanager, incarnation, watermarks });
        if new_lines {
            self.tell_changed();
        }
    }

    fn take_metrics(&mut self, taskmanager: TaskManagerId, metrics: Vec<JobTotals>) {
        for totals in metrics {
            if let Some(entry) = self.jobs.get_mut(&totals.job) {
                entry.metrics.take(taskmanager, totals, now_ms());
            }
        }
    }

    /// Takes a TaskManager into the cluster, if it fits.
    pub(crate) fn admit(&mut self, register: Register) -> Result<Registered, Problem> {
        let Register { protocol, taskmanager, incarnation, slots, lease_ms, address, cluster, nonce } = register;
        let refused = |why: String, hint: &str| {
            let detail = format!("could not register {taskmanager}: {why}");
            Err(Problem::new(409, Code::TaskManagerRefused, detail).with_hint(hint))
        };
        if protocol != PROTOCOL {
            let why = format!("it speaks protocol {protocol}, the JobManager {PROTOCOL}");
            return refused(why, "run the same version of wasmill everywhere");
        }
        if let Some(other) = cluster.filter(|cluster| *cluster != self.cluster) {
            let why = format!("it belongs to {other}, and this is {}", self.cluster);
            return refused(why, "start it again: it then belongs to the cluster it finds");
        }
        if lease_ms > self.lease_ms {
            let why = format!("it would go on for {lease_ms} ms and is given up after {} ms", self.lease_ms);
            return refused(why, "set its `control.lease_ms` to that of the JobManager, or below");
        }
        let place = self.keeper.as_ref().map(|(_, place)| place);
        let prove = place.is_some_and(|place| nonce.as_ref() != Some(&place.nonce));
        let checkpoints = place.map(|place| place.folder.clone());
        if !prove {
            let now = now_ms();
            self.seen.insert(taskmanager, (now, now));
            self.handle(Event::Register { taskmanager, incarnation, slots, address });
        }
        Ok(Registered { cluster: self.cluster.clone(), epoch: self.epoch, secret: None, checkpoints, prove })
    }

    /// A number that no other request has.
    pub(crate) fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let commands = self.core.handle(now_ms(), event);
        self.follow(commands);
    }

    /// Lets an event happen; `then` runs once what it changes is durable, or cannot be made so; at once if it changes nothing that
    /// lasts.
    pub(crate) fn handle_durably(&mut self, event: Event, then: Waiter) {
        let commands = self.core.handle(now_ms(), event);
        let write = commands.iter().rev().find_map(|command| match command {
            Command::Store { write, .. } => Some(*write),
            _ => None,
        });
        match write {
            Some(write) => {
                self.waiters.entry(write).or_default().push(then);
                self.follow(commands);
            }
            None => {
                self.follow(commands);
                then(self, Ok(()));
            }
        }
    }

    fn follow(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Orders { taskmanager, incarnation, orders } => {
                    self.polls.orders(taskmanager, incarnation, orders)
                }
                Command::Unknown { taskmanager, incarnation } => self.polls.unknown(taskmanager, incarnation),
                Command::Acknowledge { taskmanager, incarnation, sequence } => {
                    self.polls.acknowledge(taskmanager, incarnation, sequence);
                }
                Command::Store { write, record } => {
                    let payloads = self.payloads_to_write(&record);
                    self.store.write(write, Change::Job { record: Box::new(record), payloads });
                }
                other @ (Command::StoreCheckpoint { .. }
                | Command::SavepointTaken { .. }
                | Command::SavepointFailed { .. }
                | Command::Replaced { .. }
                | Command::ReplaceFailed { .. }
                | Command::Resolved { .. }
                | Command::ResolveFailed { .. }) => self.follow_checkpoints(other),
                Command::Accepted { request, job } => {
                    if let Some(submit) = self.requests.remove(&request) {
                        let _ = submit.accepted.send(Ok(job));
                    }
                    for accepted in self.also_waiting.remove(&job).unwrap_or_default() {
                        let _ = accepted.send(Ok(job));
                    }
                }
                Command::Refused { request, cause } => {
                    if let Some(submit) = self.requests.remove(&request) {
                        let _ = submit.accepted.send(Err(Problem::new(503, cause.code, cause.message)));
                    }
                }
                Command::Changed { job, state } => self.changed(job, state),
                Command::Event { job, at_ms, event } => {
                    if let Some(entry) = self.jobs.get_mut(&job) {
                        entry.event(at_ms, &event);
                    }
                    self.tell_changed();
                }
                Command::Forget { job } => {
                    // Dropping them tells those who wait that there is no such job.
                    self.also_waiting.remove(&job);
                    self.jobs.remove(&job);
                    self.store.forget(job);
                    if let Some((keeper, _)) = &self.keeper {
                        keeper.put(Work::Forget(job));
                    }
                }
            }
        }
    }

    /// What was submitted, the first time that the record of its job is written; and whenever its form is another.
    fn payloads_to_write(&mut self, record: &JobRecord) -> Payloads {
        if let Some(entry) = self.jobs.get_mut(&record.id) {
            let replace = self.replaces.values().find(|replace| replace.job == record.id);
            return entry.changed_form(record, replace.map(|replace| replace.payload.clone()));
        }
        let Some(submit) = self.requests.get_mut(&self.last_request) else { return Payloads::Same };
        let entry = JobEntry::submitted(record, submit);
        self.jobs.insert(record.id, entry);
        Payloads::New(submit.payload.clone())
    }

    fn changed(&mut self, job: JobId, state: JobState) {
        let terminal = state.is_terminal();
        if matches!(state, JobState::Stopped { .. }) {
            self.keep_stopped(job, &state);
        }
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.changed(now_ms(), state);
        }
        if terminal {
            self.taps.end(job);
            let mut ended = self.jobs.values_mut().rev().filter(|entry| entry.ended_ms.is_some());
            if let Some(entry) = ended.nth(JOBS_WITH_LOGS_MAX) {
                entry.history.drop_logs();
            }
        }
        self.tell_changed();
    }

    fn tell_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// The clock of both roles: ms since the epoch when the process began, and from there on a clock that nobody sets. Leases must
/// not end, or never end, because somebody set the time.
pub(crate) fn now_ms() -> Timestamp {
    static BEGAN: LazyLock<(Instant, Timestamp)> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        (Instant::now(), since.map_or(0, |since| since.as_millis() as Timestamp))
    });
    BEGAN.1 + BEGAN.0.elapsed().as_millis() as Timestamp
}
