//! A whole cluster in one process, over with it: a JobManager that keeps nothing and one TaskManager.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use tokio::sync::{oneshot, watch};
use wasmill_control::{
    agent,
    jobmanager::{Config, Event, JobShape, JobState, Restart},
};
use wasmill_model::ids::{Epoch, Incarnation, JobId, TaskManagerId};
use wasmill_rest::Submission;
use wasmill_runtime::{Job, OperatorLog};

use crate::{
    jobmanager::{self, Begin, Message, Submit, shape, store::Store, views},
    payload::Payload,
    taskmanager::{self, TaskManager, client::Client},
};

/// Longer than any run: JobManager and TaskManager cannot lose each other.
const FOREVER_MS: u64 = 1 << 50;

/// A JobManager and one TaskManager. Both end when the cluster is dropped; it must outlive its job handles.
#[derive(Debug)]
pub struct Cluster {
    inbox: Sender<Message>,
    taskmanager: TaskManager,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.taskmanager.shut_down();
        let _ = self.inbox.send(Message::ShutDown);
    }
}

/// A submitted job.
#[derive(Debug)]
pub struct JobHandle {
    id: JobId,
    inbox: Sender<Message>,
    states: Receiver<JobState>,
}

impl Cluster {
    /// Starts both roles. The TaskManager has this many slots; `log` gets the lines of all operators.
    pub fn start(slots: u32, log: OperatorLog) -> io::Result<Self> {
        let (inbox, messages) = mpsc::channel();
        let config = Config { lease_ms: FOREVER_MS, ..Config::default() };
        let begin = Begin {
            config,
            cluster: "embedded".to_owned(),
            epoch: Epoch(1),
            jobs: Vec::new(),
            previous: BTreeMap::new(),
            stops: BTreeMap::new(),
            keeper: None,
        };
        let (changed, _) = watch::channel(0);
        jobmanager::start(begin, Store::Nowhere(inbox.clone()), (inbox.clone(), messages), changed)?;
        let taskmanager = TaskManager::start(taskmanager::Options {
            taskmanager: TaskManagerId(1),
            incarnation: Incarnation(1),
            slots,
            config: agent::Config { lease_ms: FOREVER_MS, ..agent::Config::default() },
            client: Client::Inside(inbox.clone()),
            plugins: None,
            network: None,
            address: String::new(),
            identity: None,
            local: None,
            log: Some(log),
            say: Arc::new(|_: &str| {}),
        })?;
        Ok(Self { inbox, taskmanager })
    }

    /// Submits a job that is ready to run. It is not started again if it fails.
    pub fn submit(&self, job: Arc<Job>) -> JobHandle {
        let (watcher, states) = mpsc::channel();
        let submission = Submission {
            text: String::new(),
            file: job.graph.name.clone(),
            base: None,
            set: Vec::new(),
            from: None,
            allow_dropped_state: false,
        };
        let payload = Payload { submission, found: job.found(), plan: views::plan(&job, 0), key: None };
        let (accepted, answer) = oneshot::channel();
        let submit = Submit {
            shape: JobShape { checkpoints: None, ..shape(&job, Restart::Never, None) },
            payload: Arc::new(payload),
            prepared: Some(job),
            watcher: Some(watcher),
            accepted,
        };
        let _ = self.inbox.send(Message::Submit(Box::new(submit)));
        let id = answer.blocking_recv().expect("the JobManager's thread lives as long as its cluster");
        let id = id.unwrap_or_else(|problem| panic!("a job was refused that was checked: {}", problem.detail));
        JobHandle { id, inbox: self.inbox.clone(), states }
    }
}

impl JobHandle {
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The next state of the job, if it comes in time.
    pub fn next_state(&self, timeout: Duration) -> Option<JobState> {
        match self.states.recv_timeout(timeout) {
            Ok(state) => Some(state),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the JobManager's thread has ended"),
        }
    }

    /// Asks the job to end as if its input ended now.
    pub fn drain(&self) {
        let _ = self.inbox.send(Message::Event(Event::Drain { job: self.id }));
    }

    /// Asks the job to end without results.
    pub fn cancel(&self) {
        let _ = self.inbox.send(Message::Event(Event::Cancel { job: self.id }));
    }
}
