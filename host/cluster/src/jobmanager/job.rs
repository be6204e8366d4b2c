//! What the owner keeps of a job beside what the core knows: how it looks, what has happened to it, what it does.

use std::sync::{Arc, mpsc::Sender};

use wasmill_control::{
    jobmanager::{JobEvent, JobRecord, JobState},
    message::Cause,
};
use wasmill_model::{Timestamp, ids::TaskManagerId};
use wasmill_rest::{Exception, LogLine, Plan};
use wasmill_runtime::Job;

use crate::{
    jobmanager::{Submit, history::History, metrics::Metrics},
    message::Logged,
    payload::Payload,
};

/// A job, from its submission until it is beyond the history.
#[derive(Debug)]
pub(crate) struct JobEntry {
    pub(crate) name: String,
    pub(crate) submitted_ms: Timestamp,
    pub(crate) ended_ms: Option<Timestamp>,
    pub(crate) key: Option<String>,
    pub(crate) plan: Plan,
    /// What TaskManagers make it of; until it has ended.
    pub(crate) payload: Option<Arc<Payload>>,
    /// The very job, in a run that is one process.
    pub(crate) prepared: Option<Arc<Job>>,
    watcher: Option<Sender<JobState>>,
    pub(crate) history: History,
    pub(crate) metrics: Metrics,
}

impl JobEntry {
    /// Of a job that is taken now.
    pub(crate) fn submitted(record: &JobRecord, submit: &mut Submit) -> Self {
        let payload = submit.payload.clone();
        Self { watcher: submit.watcher.take(), prepared: submit.prepared.take(), ..Self::new(record, payload) }
    }

    /// Of a job that an earlier life of the JobManager took.
    pub(crate) fn recovered(record: &JobRecord, payload: Payload) -> Self {
        let mut entry = Self::new(record, Arc::new(payload));
        entry.ended_ms = record.end.as_ref().map(|end| end.at_ms);
        if entry.ended_ms.is_some() {
            entry.payload = None;
        }
        entry
    }

    fn new(record: &JobRecord, payload: Arc<Payload>) -> Self {
        Self {
            name: record.shape.name.clone(),
            submitted_ms: record.submitted_ms,
            ended_ms: None,
            key: payload.key.clone(),
            plan: payload.plan.clone(),
            payload: Some(payload),
            prepared: None,
            watcher: None,
            history: History::default(),
            metrics: Metrics::default(),
        }
    }

    /// The job has come to a new state.
    pub(crate) fn changed(&mut self, now: Timestamp, state: JobState) {
        let message = match &state {
            JobState::Failed(cause) => format!("FAILED: {}", cause.message),
            state => state.name().to_owned(),
        };
        self.history.event(now, "state", message);
        if matches!(state, JobState::Restarting) {
            self.metrics.restart();
        }
        if state.is_terminal() {
            self.ended_ms = Some(now);
            self.metrics.end();
            self.payload = None;
            self.prepared = None;
        }
        if let Some(watcher) = &self.watcher {
            // Whoever watched and went away does not need it.
            let _ = watcher.send(state);
        }
    }

    /// Something else has happened to it.
    pub(crate) fn event(&mut self, at_ms: Timestamp, event: &JobEvent) {
        self.history.event(at_ms, event.kind(), event.to_string());
        if let JobEvent::Failure { attempt, cause, restarted } = event {
            let Cause { code, domain, message } = cause;
            self.history.exception(Exception {
                sequence: 0,
                at_ms,
                attempt: attempt.to_string(),
                code: code.to_string(),
                domain: domain.to_string(),
                message: message.clone(),
                restarted: *restarted,
            });
        }
    }

    /// A line that one of its operators logged.
    pub(crate) fn log(&mut self, taskmanager: TaskManagerId, line: Logged) {
        let Logged { at_ms, operator, subtask, level, message, .. } = line;
        let worker = taskmanager.to_string();
        self.history.log(LogLine { sequence: 0, at_ms, worker, operator, subtask, level, message });
    }
}
