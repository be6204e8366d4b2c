//! What survives the JobManager: jobs before they are accepted, what is desired of them, their tombstones.

use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::JobId,
};

use crate::{
    jobmanager::{
        Command, Desired, End, EndState, JobEvent, JobManager, JobState, Recovered,
        checkpoints::Keeping,
        phase::{Job, Phase, Then},
        replace::{self, Replacing},
    },
    message::Cause,
};

/// Between two tries of a write that fails.
const STORE_RETRY_MS: Timestamp = 1_000;

/// What an unanswered write will have made certain.
#[derive(Debug)]
pub(super) struct Written {
    job: JobId,
    desired: Desired,
    ended: bool,
    /// The shape's version, and whether it is on trial.
    shape: (u32, bool),
    /// Nothing is to be decided.
    decided: bool,
}

impl JobManager {
    /// Takes over a job from an earlier life. An attempt of that life may go on until the leases given by it are over.
    pub(super) fn recover(&mut self, recovered: Recovered) {
        let Recovered { record, checkpoints } = recovered;
        let id = record.id;
        self.last_job = self.last_job.max(id.0);
        let quiet_from_ms = self.now_ms + self.config.lease_ms as i64;
        let phase = Phase::Waiting { from_ms: quiet_from_ms, again: true };
        let mut job = Job {
            durably_desired: record.desired,
            store_again: false,
            attempts: 0,
            failures: 0,
            ghosts_until_ms: quiet_from_ms,
            keeping: Keeping::new(checkpoints, self.now_ms),
            replacing: Replacing::new(&record),
            resolving: Vec::new(),
            phase,
            record,
        };
        let undecided = job.record.recovery.decision.is_some();
        let comes_again = job.comes_again();
        let state = match job.record.desired {
            Desired::Cancel => EndState::Cancelled,
            _ => EndState::Failed(lost_draining(None)),
        };
        if job.record.end.is_some() {
            job.phase = Phase::Over;
        } else if !comes_again {
            job.phase = Phase::Stopping { placed: None, then: Then::End(state), after_commit: false };
        } else if undecided {
            job.phase = Phase::Undecided;
        }
        if job.record.end.is_some() {
            self.ended.insert(id);
            self.jobs.insert(id, job);
            return;
        }
        let (restore, starts_again) = (job.begins_from(), comes_again && !undecided);
        self.live.insert(id);
        self.jobs.insert(id, job);
        self.look_again_at(quiet_from_ms, id);
        self.event(id, JobEvent::Recovered { epoch: self.epoch, starts_again, restore });
        self.changed(id);
    }

    /// Makes a job's record durable as it is now.
    pub(super) fn store(&mut self, id: JobId) {
        let record = self.jobs[&id].record.clone();
        self.last_write += 1;
        let (desired, ended, shape) = (record.desired, record.end.is_some(), replace::state(&record));
        let decided = record.recovery.decision.is_none();
        let written = Written { job: id, desired, ended, shape, decided };
        self.writes.insert(self.last_write, written);
        self.commands.push(Command::Store { write: self.last_write, record });
    }

    pub(super) fn stored(&mut self, write: u64) {
        let Some(Written { job: id, desired, ended, shape, decided }) = self.writes.remove(&write) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match &job.phase {
            Phase::Submitting { request } => {
                let request = *request;
                job.phase = Phase::Waiting { from_ms: self.now_ms, again: false };
                self.commands.push(Command::Accepted { request, job: id });
                self.changed(id);
                return;
            }
            Phase::Refusing { request, cause } => {
                self.commands.push(Command::Refused { request: *request, cause: cause.clone() });
                self.commands.push(Command::Forget { job: id });
                self.jobs.remove(&id);
                self.live.remove(&id);
                return;
            }
            _ => {}
        }
        if desired > job.durably_desired {
            job.durably_desired = desired;
            self.follow_desire(id);
        }
        self.shape_stored(id, shape);
        if decided {
            self.decided(id);
        }
        let job = self.jobs.get_mut(&id).expect("nothing forgets it here");
        if ended && matches!(job.phase, Phase::Ending { .. }) {
            job.phase = Phase::Over;
            self.live.remove(&id);
            self.ended.insert(id);
            self.changed(id);
            self.answer_at_end(id);
        }
    }

    /// A write that fails may be durable all the same. A new job gets a tombstone, so that it cannot come back after it was
    /// refused; all else is tried again.
    pub(super) fn store_failed(&mut self, write: u64, message: &str) {
        let Some(Written { job: id, .. }) = self.writes.remove(&write) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Phase::Submitting { request } = job.phase {
            let message = format!("could not make the job durable: {message}");
            let cause = Cause { code: Code::CatalogueUnusable, domain: Domain::Operator, message };
            job.record.end = Some(End { state: EndState::Failed(cause.clone()), at_ms: self.now_ms });
            job.phase = Phase::Refusing { request, cause };
            self.store(id);
            return;
        }
        job.store_again = true;
        self.look_again_at(self.now_ms + STORE_RETRY_MS, id);
    }

    pub(super) fn store_again(&mut self, id: JobId) {
        if self.jobs.get_mut(&id).is_some_and(|job| std::mem::take(&mut job.store_again)) {
            self.store(id);
        }
    }

    /// Writes a job's tombstone. It holds no slots any more.
    pub(super) fn end(&mut self, id: JobId, state: EndState) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let shown = match state {
            EndState::Finished | EndState::Stopped { .. } => JobState::Running,
            EndState::Cancelled | EndState::Failed(_) => JobState::Cancelling,
        };
        job.phase = Phase::Ending { shown };
        job.record.end = Some(End { state, at_ms: self.now_ms });
        job.record.recovery.decision = None;
        self.store(id);
    }

    /// The newest id is always kept: it is what the next life counts on from.
    pub(super) fn forget_oldest(&mut self) {
        while self.ended.len() > self.config.history_jobs_max.max(1) {
            let oldest = self.ended.pop_first().expect("there are more than one");
            self.jobs.remove(&oldest);
            self.commands.push(Command::Forget { job: oldest });
        }
    }
}

/// Why a job fails that was to end with what it had read, and has lost it.
pub(super) fn lost_draining(cause: Option<&Cause>) -> Cause {
    let what = cause.map_or("the JobManager was restarted", |cause| &cause.message);
    let message = format!("what the job had read was lost while it was being stopped: {what}");
    let (code, domain) = cause.map_or((Code::TaskManagerLost, Domain::Internal), |cause| (cause.code, cause.domain));
    Cause { code, domain, message }
}
