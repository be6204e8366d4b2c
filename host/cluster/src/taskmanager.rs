//! The shell of a TaskManager: one thread owns the agent, starts and ends attempts as it says, and tells it how they come along.
//!
//! Beside the owner there are three kinds of threads: one that polls the JobManager, one that sends reports, and one for each
//! attempt that is being made ready. None of them decides anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use wasmill_control::{
    Agent,
    agent::{Command, Config, Event},
    message::{At, Cause, Checkpoints as Wanted, Orders, Passed, Place, Reports, Restore, Said, SubtaskState, Trigger},
};
use wasmill_model::{
    Timestamp,
    fault::{Code, Coded, Domain},
    ids::{self, Epoch, Incarnation, JobId, Subtask, TaskManagerId},
    portions::Given,
};
use wasmill_plugin::PluginStore;
use wasmill_runtime::{
    Attempt, Barrier, CheckpointKind, Checkpoints, Job, Network, OnProgress, OperatorLog, Placement, Progress, Wish,
    checkpoint::{self, Beginning, Checkpointing, Local},
};

use crate::{
    jobmanager::now_ms,
    message::{Answer, PROTOCOL, Register, Told},
    taskmanager::{
        client::Client,
        code::CodeFetcher,
        polling::{CheckpointsCell, Found, Polling},
        telemetry::Telemetry,
    },
};

pub mod client;
mod code;
mod identity;
mod polling;
mod reach;
mod setup;
mod telemetry;

pub use client::Remote;
pub use identity::{Identity, IdentityError};
pub use polling::Say;
pub use setup::{Error, Setup, start, start_inside};

/// How long the owner waits when nothing is due.
const TICK_MAX: Duration = Duration::from_secs(60);
/// Between two looks for local copies that can go.
const COPIES_LOOK: Duration = Duration::from_secs(30);

/// What comes into the inbox. It is bounded by what sends: one poll and one report at a time, a handful of messages for each
/// subtask.
pub(crate) enum Message {
    /// The JobManager has taken this TaskManager.
    Registered {
        epoch: Epoch,
        asked_ms: Timestamp,
    },
    /// A poll that was sent then was answered; with orders, if there were new ones.
    Contact {
        asked_ms: Timestamp,
        orders: Option<Orders>,
    },
    Acknowledged(u64),
    Progress(JobId, ids::Attempt, Subtask, Progress),
    /// An attempt has been made ready and started, or could not be.
    Started(JobId, ids::Attempt, Box<Result<(Attempt, Arc<Job>), Cause>>),
    ShutDown,
}

/// What a TaskManager needs.
pub(crate) struct Options {
    pub(crate) taskmanager: TaskManagerId,
    pub(crate) incarnation: Incarnation,
    pub(crate) slots: u32,
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) plugins: Option<Arc<PluginStore>>,
    pub(crate) network: Option<Arc<Network>>,
    pub(crate) address: String,
    /// Kept as long as the TaskManager lives.
    pub(crate) identity: Option<Identity>,
    /// Where files lie for a while. None: its jobs take no checkpoints.
    pub(crate) local: Option<Local>,
    /// Gets the lines of all operators, beside the JobManager.
    pub(crate) log: Option<OperatorLog>,
    pub(crate) say: Say,
}

/// A running TaskManager. Dropping it leaves it running.
#[derive(Debug)]
pub struct TaskManager {
    inbox: Sender<Message>,
    owner: Option<JoinHandle<()>>,
    address: String,
    _identity: Option<Identity>,
}

struct Shell {
    core: Agent,
    inbox: Sender<Message>,
    reports: Sender<Reports>,
    polling: Polling,
    parts: Arc<StartParts>,
    attempts: BTreeMap<(JobId, ids::Attempt), Slot>,
}

/// What starting an attempt takes.
struct StartParts {
    taskmanager: TaskManagerId,
    client: Client,
    code: Option<CodeFetcher>,
    network: Option<Arc<Network>>,
    checkpoints: CheckpointsCell,
    local: Option<Local>,
    telemetry: Arc<Telemetry>,
    log: Option<OperatorLog>,
}

/// An attempt on this TaskManager.
enum Slot {
    /// It is being made ready; the wish is raised as soon as it runs.
    Starting {
        subtasks: Vec<Subtask>,
        wish: Wish,
        checkpoints: Checkpoints,
        limits: Vec<(Subtask, Timestamp)>,
        given: Vec<(Subtask, Given)>,
    },
    Running(Arc<Attempt>),
}

impl TaskManager {
    /// Starts the owner and its threads. It registers as soon as the JobManager can be reached, and again whenever that does
    /// not know it.
    pub(crate) fn start(options: Options) -> io::Result<Self> {
        let Options { taskmanager, incarnation, slots, config, client, plugins, network, address, .. } = options;
        let (identity, local, log, say) = (options.identity, options.local, options.log, options.say);
        let (inbox, messages) = mpsc::channel();
        let telemetry = Arc::new(Telemetry::default());
        let code = plugins.map(|plugins| CodeFetcher::new(client.clone(), plugins));
        let lease_ms = config.lease_ms;
        let register = Register {
            protocol: PROTOCOL,
            taskmanager,
            incarnation,
            slots,
            lease_ms,
            address: address.clone(),
            cluster: None,
            nonce: None,
        };
        let secret = code.as_ref().map(CodeFetcher::secret_cell);
        let checkpoints = CheckpointsCell::default();
        let found = Found { secret, network: network.clone(), checkpoints: checkpoints.clone() };
        let polling = Polling::start(client.clone(), register, telemetry.clone(), found, inbox.clone(), say)?;
        let reports = start_reports(client.clone(), telemetry.clone(), inbox.clone())?;
        let parts = Arc::new(StartParts { taskmanager, client, code, network, checkpoints, local, telemetry, log });
        let core = Agent::new(config, taskmanager, incarnation);
        let shell = Shell { core, inbox: inbox.clone(), reports, polling, parts, attempts: BTreeMap::new() };
        let owner = thread::Builder::new().name("taskmanager".to_owned()).spawn(move || shell.run(&messages))?;
        Ok(Self { inbox, owner: Some(owner), address, _identity: identity })
    }

    /// `HOST:PORT` on which other TaskManagers reach it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends everything that runs here and says goodbye; returns when the owner's thread has ended.
    pub fn shut_down(&mut self) {
        let _ = self.inbox.send(Message::ShutDown);
        if let Some(owner) = self.owner.take() {
            let _ = owner.join();
        }
    }
}

/// Sends reports, the newest first: each repeats what has not been acknowledged.
fn start_reports(client: Client, telemetry: Arc<Telemetry>, owner: Sender<Message>) -> io::Result<Sender<Reports>> {
    let (inbox, waiting) = mpsc::channel::<Reports>();
    let body = move || {
        while let Ok(mut reports) = waiting.recv() {
            if let Some(newest) = waiting.try_iter().last() {
                reports = newest;
            }
            // What does not arrive is sent again with the next reports.
            let told = Told { reports, metrics: telemetry.metrics() };
            if let Ok(Answer::Acknowledged { sequence }) = client.reports(told)
                && owner.send(Message::Acknowledged(sequence)).is_err()
            {
                return;
            }
        }
    };
    thread::Builder::new().name("reports".to_owned()).spawn(body)?;
    Ok(inbox)
}

impl Shell {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut looked = Instant::now();
        loop {
            let deadline = self.core.deadline().map(|at| Duration::from_millis((at - now_ms()).max(0).unsigned_abs()));
            match messages.recv_timeout(deadline.map_or(TICK_MAX, |wait| wait.min(TICK_MAX))) {
                Ok(Message::ShutDown) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let commands = self.core.advance(now_ms());
            self.follow(commands);
            if looked.elapsed() >= COPIES_LOOK
                && let Some(Local { copies, .. }) = &self.parts.local
            {
                looked = Instant::now();
                copies.advance(looked, |job| self.attempts.keys().any(|(runs, _)| *runs == job));
            }
        }
        for slot in self.attempts.values() {
            if let Slot::Running(attempt) = slot {
                attempt.raise(Wish::Stop);
            }
        }
        self.polling.stop();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Registered { epoch, asked_ms } => self.handle(Event::Registered { epoch, asked_ms }),
            Message::Contact { asked_ms, orders } => {
                self.handle(Event::Contact { asked_ms });
                if let Some(orders) = orders {
                    self.handle(Event::Orders(orders));
                }
            }
            Message::Acknowledged(sequence) => self.handle(Event::Acknowledged { sequence }),
            Message::Progress(job, attempt, subtask, progress) => {
                self.handle(Event::Subtask { job, attempt, subtask, said: said(progress) });
            }
            Message::Started(job, attempt, started) => self.started(job, attempt, *started),
            Message::ShutDown => unreachable!("the loop has ended"),
        }
    }

    fn handle(&mut self, event: Event) {
        let commands = self.core.handle(now_ms(), event);
        self.follow(commands);
    }

    fn follow(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Start { job, attempt, subtasks, placement, restore } => {
                    self.start(job, attempt, subtasks, placement, restore);
                }
                Command::Checkpoints { job, attempt, checkpoints } => {
                    self.checkpoints(job, attempt, wanted(checkpoints));
                }
                Command::Limits { job, attempt, limits } => self.limits(job, attempt, limits),
                Command::Give { job, attempt, given } => self.give(job, attempt, given),
                Command::Drain { job, attempt } => self.raise(job, attempt, Wish::Drain),
                Command::Commit { job, attempt } => self.raise(job, attempt, Wish::Commit),
                Command::Stop { job, attempt } => self.raise(job, attempt, Wish::Stop),
                Command::Release { job, attempt } => {
                    self.attempts.remove(&(job, attempt));
                    self.parts.telemetry.end(job, attempt);
                }
                // The thread that sends them ends with the owner only.
                Command::Report(reports) => drop(self.reports.send(reports)),
                Command::Register => self.polling.register_again(),
            }
        }
    }

    /// Makes an attempt ready on a thread of its own: it waits for the JobManager, perhaps for the compiler.
    fn start(
        &mut self,
        job: JobId,
        attempt: ids::Attempt,
        subtasks: Vec<Subtask>,
        placement: Vec<Place>,
        restore: Option<Restore>,
    ) {
        let (wish, checkpoints, limits, given) = (Wish::Run, Checkpoints::default(), Vec::new(), Vec::new());
        let slot = Slot::Starting { subtasks: subtasks.clone(), wish, checkpoints, limits, given };
        self.attempts.insert((job, attempt), slot);
        let (parts, inbox) = (self.parts.clone(), self.inbox.clone());
        let body = move || {
            let started = parts.start((job, attempt), &subtasks, placement, restore, &inbox);
            let _ = inbox.send(Message::Started(job, attempt, Box::new(started)));
        };
        if let Err(error) = thread::Builder::new().name(format!("start {job}")).spawn(body) {
            let message = format!("could not start {job}: the system gives no thread: {error}");
            let cause = Cause { code: Code::SystemResources, domain: Domain::Operator, message };
            let _ = self.inbox.send(Message::Started(job, attempt, Box::new(Err(cause))));
        }
    }

    fn started(&mut self, job: JobId, id: ids::Attempt, started: Result<(Attempt, Arc<Job>), Cause>) {
        let slot = self.attempts.remove(&(job, id));
        match (started, slot) {
            (Ok((attempt, made)), Some(Slot::Starting { wish, checkpoints, limits, given, .. })) => {
                attempt.checkpoints(checkpoints);
                attempt.limits(limits);
                attempt.give(given);
                if wish > Wish::Run {
                    attempt.raise(wish);
                }
                let attempt = Arc::new(attempt);
                self.parts.telemetry.begin(job, id, made, attempt.clone());
                self.attempts.insert((job, id), Slot::Running(attempt));
            }
            // It was released while it was being made ready.
            (Ok((attempt, _)), _) => attempt.raise(Wish::Stop),
            (Err(cause), Some(Slot::Starting { subtasks, .. })) => {
                for subtask in subtasks {
                    let said = Said::State(SubtaskState::Failed(cause.clone()));
                    self.handle(Event::Subtask { job, attempt: id, subtask, said });
                }
            }
            (Err(_), _) => {}
        }
    }

    fn checkpoints(&mut self, job: JobId, attempt: ids::Attempt, checkpoints: Checkpoints) {
        match self.attempts.get_mut(&(job, attempt)) {
            Some(Slot::Running(running)) => running.checkpoints(checkpoints),
            Some(Slot::Starting { checkpoints: later, .. }) => *later = checkpoints,
            None => {}
        }
    }

    fn limits(&mut self, job: JobId, attempt: ids::Attempt, limits: Vec<(Subtask, Timestamp)>) {
        match self.attempts.get_mut(&(job, attempt)) {
            Some(Slot::Running(running)) => running.limits(limits),
            Some(Slot::Starting { limits: later, .. }) => *later = limits,
            None => {}
        }
    }

    fn give(&mut self, job: JobId, attempt: ids::Attempt, given: Vec<(Subtask, Given)>) {
        match self.attempts.get_mut(&(job, attempt)) {
            Some(Slot::Running(running)) => running.give(given),
            Some(Slot::Starting { given: later, .. }) => *later = given,
            None => {}
        }
    }

    fn raise(&mut self, job: JobId, attempt: ids::Attempt, wish: Wish) {
        match self.attempts.get_mut(&(job, attempt)) {
            Some(Slot::Running(running)) => running.raise(wish),
            Some(Slot::Starting { wish: later, .. }) => *later = wish.max(*later),
            None => {}
        }
    }
}

impl StartParts {
    fn start(
        &self,
        (id, attempt): (JobId, ids::Attempt),
        subtasks: &[Subtask],
        places: Vec<Place>,
        restore: Option<Restore>,
        inbox: &Sender<Message>,
    ) -> Result<(Attempt, Arc<Job>), Cause> {
        let job = self.job(id, attempt)?;
        let chains: Vec<u32> = job.plan.chains.iter().map(|chain| chain.parallelism).collect();
        if !is_as_placed(&chains, &places, subtasks, self.taskmanager) {
            // Whoever asks late what an attempt runs is given the form that has replaced it meanwhile.
            let message = format!("could not run {attempt} of {id}: the job has been given another form meanwhile");
            return Err(Cause { code: Code::DeploymentFailed, domain: Domain::External, message });
        }
        let checkpointing = self.checkpointing(id, &job, restore)?;
        let places = places.into_iter().map(|Place { taskmanager, incarnation, address }| wasmill_runtime::Place {
            taskmanager,
            incarnation,
            address,
        });
        let placement = Placement { job: id, attempt, here: self.taskmanager, places: places.collect() };
        let here: BTreeSet<u32> =
            (0..).zip(&placement.places).filter(|(_, p)| p.taskmanager == self.taskmanager).map(|(i, _)| i).collect();
        debug_assert!(subtasks.iter().all(|subtask| here.contains(&subtask.index)), "a slot of another TaskManager");
        let progress = inbox.clone();
        let on_progress: OnProgress = Arc::new(move |subtask, step| {
            // Nobody is left to hear of it once the TaskManager has ended.
            let _ = progress.send(Message::Progress(id, attempt, subtask, step));
        });
        let (telemetry, also) = (self.telemetry.clone(), self.log.clone());
        let log: OperatorLog = Arc::new(move |operator, subtask, line| {
            telemetry.log(id, operator, subtask, &line);
            if let Some(also) = &also {
                also(operator, subtask, line);
            }
        });
        let network = self.network.as_deref();
        let running = Attempt::start(&job, subtasks, &placement, network, checkpointing.as_ref(), &on_progress, &log);
        Ok((running, job))
    }

    /// Where the checkpoints of a job go, and what it begins from. `None`: it takes none.
    fn checkpointing(&self, id: JobId, job: &Job, restore: Option<Restore>) -> Result<Option<Checkpointing>, Cause> {
        let shared = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = |code: Code, reason: &dyn std::fmt::Display| {
            let message = format!("could not begin {id} from its checkpoint: {reason}");
            Cause { code, domain: Domain::Operator, message }
        };
        let shared = shared.zip(self.local.clone()).filter(|_| job.checkpoints().is_some());
        let Some((shared, local)) = shared else {
            return match restore {
                Some(_) => Err(failed(Code::CheckpointStore, &"this TaskManager has no checkpoint store")),
                None => Ok(None),
            };
        };
        let restore = restore.map(|Restore { manifest, visible, given_up, passed }| {
            let name = manifest.parse().map_err(|e| failed(Code::CheckpointStore, &e))?;
            let read = shared.store.manifest(&name);
            let manifest = Arc::new(read.map_err(|e| failed(checkpoint::restore_code(&shared.store, &e), &e))?);
            let passed = passed.into_iter().filter_map(|Passed { manifest, visible }| {
                Some((Arc::new(shared.store.manifest(&manifest.parse().ok()?).ok()?), visible))
            });
            Ok(Beginning { manifest, visible, given_up, passed: passed.collect() })
        });
        let restore = restore.transpose()?;
        Ok(Some(Checkpointing { store: shared.store, cluster: shared.cluster, local, restore }))
    }

    /// Makes the job from what the JobManager tells of it.
    fn job(&self, id: JobId, attempt: ids::Attempt) -> Result<Arc<Job>, Cause> {
        let external = |message: String| Cause { code: Code::DeploymentFailed, domain: Domain::External, message };
        let told = self.client.deployment(id, attempt);
        let told = told.map_err(|e| external(format!("could not get what to run for {id}: {e}")))?;
        let deployment = match (told, &self.code) {
            (client::ToRun::Prepared(job), _) => return Ok(job),
            (client::ToRun::Described(deployment), Some(_)) => deployment,
            (client::ToRun::Described(_), None) => {
                return Err(external(format!("could not run {id}: this TaskManager has no plugins")));
            }
        };
        let code = self.code.as_ref().expect("it was matched");
        code.job(&deployment).map_err(|e| Cause {
            code: e.code(),
            domain: e.domain(),
            message: format!("could not make {id} ready on {}: {e}", self.taskmanager),
        })
    }
}

/// Whether a job of chains of so many subtasks each is the one that was placed: so many slots, and just these subtasks here.
fn is_as_placed(chains: &[u32], places: &[Place], subtasks: &[Subtask], here: TaskManagerId) -> bool {
    let is_here = |index: u32| places.get(index as usize).is_some_and(|place| place.taskmanager == here);
    let of_chain = |(chain, parallelism)| (0..parallelism).map(move |index| Subtask { chain, index });
    let own: BTreeSet<Subtask> =
        (0..).zip(chains.iter().copied()).flat_map(of_chain).filter(|subtask| is_here(subtask.index)).collect();
    let slots = chains.iter().max().map_or(0, |slots| *slots as usize);
    slots == places.len() && own == subtasks.iter().copied().collect()
}

fn wanted(Wanted { triggered, completed, given_up }: Wanted) -> Checkpoints {
    let barrier = |trigger: Trigger| Barrier {
        checkpoint: trigger.id,
        kind: if trigger.savepoint { CheckpointKind::Savepoint } else { CheckpointKind::Checkpoint },
    };
    Checkpoints { triggered: triggered.map(barrier), completed, given_up }
}

fn said(progress: Progress) -> Said {
    let state = match progress {
        Progress::Part { at, content } => {
            let at = match at {
                checkpoint::At::Checkpoint(checkpoint) => At::Checkpoint(checkpoint),
                checkpoint::At::End => At::End,
            };
            return Said::Part { at, content };
        }
        Progress::Declined { checkpoint, reason } => return Said::Declined { checkpoint, reason },
        Progress::CommittedUpTo(checkpoint) => return Said::Committed(checkpoint),
        Progress::Asks(asks) => return Said::Asks(asks),
        Progress::Running => SubtaskState::Running,
        Progress::Prepared => SubtaskState::Prepared,
        Progress::Committed => SubtaskState::Committed,
        Progress::Stopped => SubtaskState::Stopped,
        Progress::Failed(error) => {
            SubtaskState::Failed(Cause { code: error.code(), domain: error.domain(), message: error.to_string() })
        }
    };
    Said::State(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subtask((chain, index): (u32, u32)) -> Subtask {
        Subtask { chain, index }
    }

    #[test]
    fn a_job_is_run_only_as_it_was_placed() {
        let place = |id| Place { taskmanager: TaskManagerId(id), incarnation: Incarnation(1), address: String::new() };
        let places = [place(1), place(2), place(1)];
        let own = [(0, 0), (0, 2), (1, 0)].map(subtask);
        let check = |chains: &[u32], subtasks: &[Subtask]| is_as_placed(chains, &places, subtasks, TaskManagerId(1));
        assert!(check(&[3, 2], &own));
        assert!(check(&[3, 1], &own), "the second subtask of the second chain would be elsewhere");
        for other in [&[3][..], &[2, 3], &[4, 2], &[3, 3], &[2, 2], &[3, 2, 1], &[]] {
            assert!(!check(other, &own), "{other:?}");
        }
        assert!(!check(&[3, 2], &own[..2]));
    }
}
