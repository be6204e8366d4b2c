//! What the owner keeps of a job beside what the core knows: how it looks, what has happened to it, what it does.

use std::{
    sync::{Arc, mpsc::Sender},
    time::{SystemTime, UNIX_EPOCH},
};

use wasmill_control::{
    jobmanager::{JobEvent, JobRecord, JobState},
    message::Cause,
};
use wasmill_model::{Timestamp, ids::TaskManagerId};
use wasmill_rest::{Exception, LogLine, Plan, Problem, Savepoint};
use wasmill_runtime::Job;

use crate::{
    catalogue::Payloads,
    jobmanager::{Submit, history::History, manifests::Facts, metrics::Metrics, savepoints},
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
    /// What manifests say of it; none if the job file cannot be read any more.
    pub(crate) facts: Option<Facts>,
    /// The form to go back to if the new one does not start.
    previous: Option<Arc<Payload>>,
    version: u32,
    /// When its newest attempt was given slots.
    pub(crate) placed_ms: Timestamp,
    /// What the savepoint is to be called that is taken when it is stopped.
    pub(crate) stop_as: Option<String>,
    /// The savepoint of a job that was stopped.
    pub(crate) savepoint: Option<String>,
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
    pub(crate) fn recovered(
        record: &JobRecord,
        payload: Payload,
        previous: Option<Payload>,
        stop_as: Option<String>,
    ) -> Self {
        let mut entry = Self::new(record, Arc::new(payload));
        entry.previous = previous.map(Arc::new);
        entry.stop_as = stop_as;
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
            facts: Facts::of(&payload).ok(),
            payload: Some(payload),
            previous: None,
            version: record.version,
            placed_ms: record.submitted_ms,
            stop_as: None,
            savepoint: None,
            prepared: None,
            watcher: None,
            history: History::default(),
            metrics: Metrics::default(),
        }
    }

    /// Takes another form of the job, if the record is of another one: a new one, or the one before. Returns what is to be written
    /// with the record.
    pub(crate) fn changed_form(&mut self, record: &JobRecord, new: Option<Arc<Payload>>) -> Payloads {
        if record.version == self.version {
            let confirmed = record.previous.is_none() && self.previous.take().is_some();
            return if confirmed { Payloads::Confirmed } else { Payloads::Same };
        }
        self.version = record.version;
        let (form, payloads) = match (record.previous.is_some(), new) {
            (true, Some(new)) => {
                self.previous = self.payload.take();
                let payloads = self
                    .previous
                    .clone()
                    .map_or(Payloads::New(new.clone()), |previous| Payloads::Trial { new: new.clone(), previous });
                (Some(new), payloads)
            }
            _ => {
                let back = self.previous.take();
                let payloads = back.clone().map_or(Payloads::Same, Payloads::Back);
                (back, payloads)
            }
        };
        if let Some(form) = form {
            self.plan = form.plan.clone();
            self.facts = Facts::of(&form).ok();
            self.name.clone_from(&record.shape.name);
            self.payload = Some(form);
            self.metrics.restart();
        }
        payloads
    }

    /// What it has kept when it was stopped is a savepoint now, or could not become one.
    pub(crate) fn stopped_as(&mut self, now: Timestamp, made: Result<Savepoint, Problem>) {
        match made {
            Ok(savepoint) => {
                self.history.event(now, "savepoint", format!("savepoint {} is complete", savepoint.name));
                self.savepoint = Some(savepoint.name);
            }
            Err(problem) => self.history.event(now, "savepoint", format!("no savepoint: {}", problem.detail)),
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
        let mut shown = event.clone();
        if let JobEvent::Restarting { restore, .. }
        | JobEvent::Recovered { restore, .. }
        | JobEvent::Resolved { restore, .. } = &mut shown
        {
            *restore = restore.as_deref().map(savepoints::shown_name);
        }
        self.history.event(at_ms, event.kind(), shown.to_string());
        if matches!(event, JobEvent::Placed { .. }) {
            self.placed_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(at_ms, |t| t.as_millis() as Timestamp);
        }
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
