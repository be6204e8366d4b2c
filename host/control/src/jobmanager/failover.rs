//! The end of an attempt before its time, and what follows: another attempt, or the end of the job.

use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::JobId,
};

use crate::{
    jobmanager::{
        Desired, EndState, JobEvent, JobManager, Restart,
        durable::lost_draining,
        phase::{Job, Phase, Stage, Then},
    },
    message::{Cause, SubtaskState, Wish},
};

impl JobManager {
    /// An attempt cannot go on: decides what follows, and stops what is left of it.
    pub(super) fn fail(&mut self, id: JobId, cause: Cause) {
        let (now_ms, reset_ms) = (self.now_ms, self.config.restart_reset_ms as i64);
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let Phase::Placed { placed, stage } = &job.phase else { return };
        let (attempt, after_commit) = (placed.attempt, matches!(stage, Stage::Committing));
        if matches!(stage, Stage::Running { since_ms } if now_ms - since_ms >= reset_ms) {
            job.failures = 0;
        }
        let delay_ms = self.restart_delay(&self.jobs[&id], &cause);
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        job.record.last_cause = Some(cause.clone());
        let then = match (job.record.desired, delay_ms) {
            (Desired::Cancel, _) => Then::End(EndState::Cancelled),
            (Desired::Drain, _) => Then::End(EndState::Failed(lost_draining(Some(&cause)))),
            (Desired::Run, None) => Then::End(EndState::Failed(cause.clone())),
            (Desired::Run, Some(delay_ms)) => Then::Restart { from_ms: now_ms + delay_ms },
        };
        let restarted = matches!(then, Then::Restart { .. });
        if restarted {
            job.failures += 1;
            job.record.restarts += 1;
            self.store(id);
        }
        self.event(id, JobEvent::Failure { attempt, cause, restarted });
        if let (true, Some(delay_ms)) = (restarted, delay_ms) {
            self.event(id, JobEvent::Restarting { delay_ms: delay_ms.unsigned_abs(), after_commit });
        }
        self.stop(id, then);
    }

    /// How long to wait before another attempt; none if there is to be no other.
    fn restart_delay(&self, job: &Job, cause: &Cause) -> Option<Timestamp> {
        match (cause.domain, job.record.shape.restart) {
            // The same rows would fail again, or nobody wants them.
            (Domain::User | Domain::Nobody, _) | (_, Restart::Never) => None,
            (_, Restart::Backoff { attempts_max: Some(max) }) if job.record.restarts >= max => None,
            // Another TaskManager has nothing to do with why this one went.
            _ if cause.code == Code::TaskManagerLost && job.failures == 0 => Some(0),
            _ => {
                let factor = self.config.restart_factor.saturating_pow(job.failures);
                let delay = self.config.restart_initial_ms.saturating_mul(factor).min(self.config.restart_max_ms);
                Some(delay as Timestamp)
            }
        }
    }

    /// Lets no subtask of a job run any more.
    pub(super) fn stop(&mut self, id: JobId, then: Then) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let phase = std::mem::replace(&mut job.phase, Phase::Over);
        let Phase::Placed { placed, stage } = phase else { panic!("{id} has no attempt to stop: {phase:?}") };
        let after_commit = matches!(stage, Stage::Committing);
        job.phase = Phase::Stopping { placed: Some(placed), then, after_commit };
        self.changed(id);
        self.wish(id, Wish::Stop);
        self.go_on_if_stopped(id);
    }

    /// All results are visible. Subtasks of earlier attempts that are out of reach may still run; nothing runs once it is over.
    pub(super) fn finish(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let phase = std::mem::replace(&mut job.phase, Phase::Over);
        let Phase::Placed { placed, stage: Stage::Committing } = phase else {
            panic!("{id} commits nothing: {phase:?}")
        };
        let then = Then::End(EndState::Finished);
        job.phase = Phase::Stopping { placed: Some(placed), then, after_commit: true };
        self.go_on_if_stopped(id);
    }

    /// Goes on once every subtask of the stopped attempt is over. One on a TaskManager that was lost is over for certain when
    /// its lease is: before that another attempt is made only if the stopped one cannot have been told to commit.
    pub(super) fn go_on_if_stopped(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Phase::Stopping { placed, then, after_commit } = &job.phase else { return };
        if placed.is_some() && !job.all(SubtaskState::is_over) {
            return;
        }
        let waits_for_ghosts = *after_commit || matches!(then, Then::End(_));
        self.release(id);
        let job = self.jobs.get_mut(&id).expect("it was found above");
        let Phase::Stopping { placed, then, .. } = &mut job.phase else { return };
        *placed = None;
        if waits_for_ghosts && job.ghosts_until_ms > self.now_ms {
            let quiet_from_ms = job.ghosts_until_ms;
            self.look_again_at(quiet_from_ms, id);
            return;
        }
        match std::mem::replace(then, Then::Restart { from_ms: 0 }) {
            Then::End(state) => self.end(id, state),
            Then::Restart { from_ms } => {
                job.phase = Phase::Waiting { from_ms, again: true };
                self.look_again_at(from_ms, id);
            }
        }
    }
}
