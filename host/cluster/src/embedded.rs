//! A whole cluster in one process: a JobManager and one TaskManager.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use wasmill_control::jobmanager::{Event, JobState};
use wasmill_model::ids::{Incarnation, JobId, TaskManagerId};
use wasmill_runtime::{Job, OperatorLog};

use crate::{jobmanager, taskmanager};

/// A JobManager and one TaskManager, each on a thread of its own. Both end when the cluster is dropped; it must outlive
/// its job handles.
#[derive(Debug)]
pub struct Cluster {
    jobmanager: jobmanager::Handle,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.jobmanager.shut_down();
    }
}

/// A submitted job.
#[derive(Debug)]
pub struct JobHandle {
    id: JobId,
    jobmanager: jobmanager::Handle,
    states: Receiver<JobState>,
}

impl Cluster {
    /// Starts both roles. The TaskManager has this many slots; `log` gets the lines of all operators.
    pub fn start(slots: u32, log: OperatorLog) -> io::Result<Self> {
        let jobmanager = jobmanager::start()?;
        let (id, incarnation) = (TaskManagerId(1), Incarnation(1));
        let taskmanager = taskmanager::start(id, incarnation, jobmanager.clone(), log)?;
        jobmanager.attach(id, taskmanager);
        jobmanager.send(Event::Register { taskmanager: id, incarnation, slots });
        Ok(Self { jobmanager })
    }

    /// Submits a job that is ready to run.
    pub fn submit(&self, job: Arc<Job>) -> JobHandle {
        let (watcher, states) = mpsc::channel();
        let id = self.jobmanager.submit(job, watcher);
        JobHandle { id, jobmanager: self.jobmanager.clone(), states }
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
        self.jobmanager.send(Event::Drain { job: self.id });
    }

    /// Asks the job to end without results.
    pub fn cancel(&self) {
        self.jobmanager.send(Event::Cancel { job: self.id });
    }
}
