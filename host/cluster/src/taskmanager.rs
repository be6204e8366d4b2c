//! The shell of a TaskManager: runs attempts as its agent says, and tells the agent how they come along.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use wasmill_control::{
    Agent,
    agent::{Command, Event},
    jobmanager,
    message::{Cause, Order, SubtaskState},
};
use wasmill_model::{
    fault::Coded,
    ids::{self, Incarnation, JobId, Subtask, TaskManagerId},
};
use wasmill_runtime::{Attempt, Job, OperatorLog, Progress, Wish};

use crate::jobmanager::{Handle as JobManager, now_ms};

/// What comes into the inbox. It is bounded by what sends: a handful of messages for each job and each subtask.
enum Message {
    /// The job comes along where the order is to run it.
    Order(Order, Option<Arc<Job>>),
    Progress(JobId, ids::Attempt, Subtask, Progress),
    ShutDown,
}

/// Talks to a TaskManager's thread.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    inbox: Sender<Message>,
}

struct Shell {
    core: Agent,
    inbox: Sender<Message>,
    jobmanager: JobManager,
    log: OperatorLog,
    /// Jobs that came with an order.
    jobs: BTreeMap<JobId, Arc<Job>>,
    attempts: BTreeMap<(JobId, ids::Attempt), Attempt>,
}

/// Starts a TaskManager's thread.
pub(crate) fn start(
    id: TaskManagerId,
    incarnation: Incarnation,
    jobmanager: JobManager,
    log: OperatorLog,
) -> io::Result<Handle> {
    let (inbox, messages) = mpsc::channel();
    let shell = Shell {
        core: Agent::new(id, incarnation),
        inbox: inbox.clone(),
        jobmanager,
        log,
        jobs: BTreeMap::new(),
        attempts: BTreeMap::new(),
    };
    thread::Builder::new().name("taskmanager".to_owned()).spawn(move || shell.run(&messages))?;
    Ok(Handle { inbox })
}

impl Handle {
    pub(crate) fn order(&self, order: Order, job: Option<Arc<Job>>) {
        // A TaskManager that is gone follows no order.
        let _ = self.inbox.send(Message::Order(order, job));
    }

    pub(crate) fn shut_down(&self) {
        let _ = self.inbox.send(Message::ShutDown);
    }
}

impl Shell {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Order(order, job) => {
                    if let Some(job) = job {
                        self.jobs.insert(order.job, job);
                    }
                    self.handle(Event::Order(order));
                }
                Message::Progress(job, attempt, subtask, progress) => {
                    self.handle(Event::Subtask { job, attempt, subtask, state: state(progress) });
                }
                Message::ShutDown => {
                    self.attempts.values().for_each(|attempt| attempt.raise(Wish::Stop));
                    return;
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        for command in self.core.handle(now_ms(), event) {
            match command {
                Command::Start { job, attempt, .. } => self.start(job, attempt),
                Command::Drain { job, attempt } => self.raise(job, attempt, Wish::Drain),
                Command::Commit { job, attempt } => self.raise(job, attempt, Wish::Commit),
                Command::Stop { job, attempt } => self.raise(job, attempt, Wish::Stop),
                Command::Release { job, attempt } => {
                    self.attempts.remove(&(job, attempt));
                    self.jobs.remove(&job);
                }
                Command::Report(report) => self.jobmanager.send(jobmanager::Event::Report(report)),
            }
        }
    }

    /// The one TaskManager of an embedded cluster runs all subtasks of a job.
    fn start(&mut self, id: JobId, attempt: ids::Attempt) {
        let job = self.jobs.get(&id).expect("an order to run brings its job");
        let inbox = self.inbox.clone();
        let on_progress = move |subtask, progress| {
            // Nobody is left to hear of it once the TaskManager has ended.
            let _ = inbox.send(Message::Progress(id, attempt, subtask, progress));
        };
        let running = Attempt::start(job, &(Arc::new(on_progress) as wasmill_runtime::OnProgress), &self.log);
        self.attempts.insert((id, attempt), running);
    }

    fn raise(&self, job: JobId, attempt: ids::Attempt, wish: Wish) {
        if let Some(running) = self.attempts.get(&(job, attempt)) {
            running.raise(wish);
        }
    }
}

fn state(progress: Progress) -> SubtaskState {
    match progress {
        Progress::Running => SubtaskState::Running,
        Progress::Prepared => SubtaskState::Prepared,
        Progress::Committed => SubtaskState::Committed,
        Progress::Stopped => SubtaskState::Stopped,
        Progress::Failed(error) => {
            SubtaskState::Failed(Cause { code: error.code(), domain: error.domain(), message: error.to_string() })
        }
    }
}
