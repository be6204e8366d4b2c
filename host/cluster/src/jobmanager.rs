//! The shell of the JobManager.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use wasmill_control::{
    JobManager,
    jobmanager::{Command, Event, JobShape, JobState},
    message::{Order, Wish},
};
use wasmill_model::{
    Timestamp,
    ids::{JobId, TaskManagerId},
};
use wasmill_runtime::Job;

use crate::taskmanager;

/// What comes into the inbox. It is bounded by what sends: a handful of messages for each job and each subtask.
enum Message {
    Event(Event),
    Attach(TaskManagerId, taskmanager::Handle),
    Submit(Submission),
    ShutDown,
}

/// A job to submit, and who wants to know of it.
struct Submission {
    job: Arc<Job>,
    watcher: Sender<JobState>,
    accepted: Sender<JobId>,
}

/// Talks to the JobManager's thread.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    inbox: Sender<Message>,
}

struct Shell {
    core: JobManager,
    taskmanagers: BTreeMap<TaskManagerId, taskmanager::Handle>,
    jobs: BTreeMap<JobId, (Arc<Job>, Sender<JobState>)>,
    /// Jobs that have no id yet, by request.
    requests: BTreeMap<u64, Submission>,
    last_request: u64,
}

/// Starts the JobManager's thread.
pub(crate) fn start() -> io::Result<Handle> {
    let (inbox, messages) = mpsc::channel();
    let shell = Shell {
        core: JobManager::new(),
        taskmanagers: BTreeMap::new(),
        jobs: BTreeMap::new(),
        requests: BTreeMap::new(),
        last_request: 0,
    };
    thread::Builder::new().name("jobmanager".to_owned()).spawn(move || shell.run(&messages))?;
    Ok(Handle { inbox })
}

impl Handle {
    pub(crate) fn send(&self, event: Event) {
        self.post(Message::Event(event));
    }

    pub(crate) fn attach(&self, id: TaskManagerId, taskmanager: taskmanager::Handle) {
        self.post(Message::Attach(id, taskmanager));
    }

    pub(crate) fn submit(&self, job: Arc<Job>, watcher: Sender<JobState>) -> JobId {
        let (accepted, id) = mpsc::channel();
        self.post(Message::Submit(Submission { job, watcher, accepted }));
        id.recv().expect("the JobManager's thread lives as long as its cluster")
    }

    pub(crate) fn shut_down(&self) {
        self.post(Message::ShutDown);
    }

    /// A JobManager that is gone hears nothing more, and nothing more can follow.
    fn post(&self, message: Message) {
        let _ = self.inbox.send(message);
    }
}

impl Shell {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Event(event) => self.handle(event),
                Message::Attach(id, taskmanager) => {
                    self.taskmanagers.insert(id, taskmanager);
                }
                Message::Submit(submission) => {
                    self.last_request += 1;
                    let name = submission.job.graph.name.clone();
                    let chains = submission.job.plan.chains.iter().map(|chain| chain.parallelism).collect();
                    self.requests.insert(self.last_request, submission);
                    let shape = JobShape { name, chains };
                    self.handle(Event::Submit { request: self.last_request, shape });
                }
                Message::ShutDown => {
                    self.taskmanagers.values().for_each(taskmanager::Handle::shut_down);
                    return;
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        for command in self.core.handle(now_ms(), event) {
            match command {
                Command::Accepted { request, job } => {
                    let submission = self.requests.remove(&request).expect("each request is accepted once");
                    self.jobs.insert(job, (submission.job, submission.watcher));
                    // Whoever submitted and went away does not need the id.
                    let _ = submission.accepted.send(job);
                }
                Command::Tell { taskmanager, order, .. } => self.tell(taskmanager, order),
                Command::Changed { job, state } => {
                    let terminal = state.is_terminal();
                    if let Some((_, watcher)) = self.jobs.get(&job) {
                        let _ = watcher.send(state);
                    }
                    if terminal {
                        self.jobs.remove(&job);
                    }
                }
            }
        }
    }

    fn tell(&self, taskmanager: TaskManagerId, order: Order) {
        let job = match &order.wish {
            Wish::Run { .. } => self.jobs.get(&order.job).map(|(job, _)| job.clone()),
            _ => None,
        };
        if let Some(taskmanager) = self.taskmanagers.get(&taskmanager) {
            taskmanager.order(order, job);
        }
    }
}

/// The host's clock, ms since the epoch.
pub(crate) fn now_ms() -> Timestamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Timestamp)
}
