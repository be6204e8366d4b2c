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
        let then = self.after_failure(id, &cause);
        let restarted = matches!(then, Then::Restart { .. });
        self.event(id, JobEvent::Failure { attempt, cause, restarted });
        if let Then::Restart { from_ms } = then {
            let job = &self.jobs[&id];
            let (restore, after_commit) = (job.begins_from(), after_commit && !job.is_kept());
            let delay_ms = (from_ms - now_ms).unsigned_abs();
            self.event(id, JobEvent::Restarting { delay_ms, after_commit, restore });
        }
        self.stop(id, then);
    }

    /// Decides what follows when an attempt has failed, and writes it down.
    fn after_failure(&mut self, id: JobId, cause: &Cause) -> Then {
        let now_ms = self.now_ms;
        let at_once = Then::Restart { from_ms: now_ms };
        let delay_ms = self.restart_delay(&self.jobs[&id], cause);
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        job.record.last_cause = Some(cause.clone());
        let then = match (job.record.desired, delay_ms) {
            (Desired::Cancel, _) => return Then::End(EndState::Cancelled),
            // It was to make room for another in any case.
            _ if job.is_replaced() => return at_once,
            (Desired::Drain, _) if !job.is_kept() => return Then::End(EndState::Failed(lost_draining(Some(cause)))),
            _ if self.roll_back(id, cause) => at_once,
            (_, delay_ms) => match (self.after_failed_restore(id, cause), delay_ms) {
                (Some(Then::End(state)), _) => return Then::End(state),
                (Some(then), _) => then,
                (None, None) => return Then::End(EndState::Failed(cause.clone())),
                (None, Some(delay_ms)) => Then::Restart { from_ms: now_ms + delay_ms },
            },
        };
        let job = self.jobs.get_mut(&id).expect("it was found above");
        if let Then::Restart { .. } = then {
            job.failures += 1;
            job.record.restarts += 1;
        }
        self.store(id);
        then
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

    /// A TaskManager of a job that is being stopped was lost. If it was stopped because others could not reach one, that is why, and
    /// nothing is gained by waiting.
    pub(super) fn found_why(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let was_out_of_reach = job.record.last_cause.as_ref().is_some_and(|cause| cause.code == Code::ExchangeLost);
        if let Phase::Stopping { then: Then::Restart { from_ms }, .. } = &mut job.phase
            && was_out_of_reach
            && job.failures == 1
        {
            *from_ms = self.now_ms;
        }
    }

    /// Lets no subtask of a job run any more.
    pub(super) fn stop(&mut self, id: JobId, then: Then) {
        if let Then::Restart { .. } = then {
            self.put_in_place(id);
        }
        self.give_up(id, "its attempt has ended");
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let phase = std::mem::replace(&mut job.phase, Phase::Over);
        let Phase::Placed { placed, stage } = phase else { panic!("{id} has no attempt to stop: {phase:?}") };
        let after_commit = matches!(stage, Stage::Committing) && !job.is_kept();
        let shown = !matches!(then, Then::End(EndState::Stopped { .. }));
        job.phase = Phase::Stopping { placed: Some(placed), then, after_commit };
        if shown {
            self.changed(id);
        }
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
    /// its lease is: before that another attempt is made only if the stopped one cannot have been told to commit, or if what it
    /// commits belongs to a checkpoint, as then the next one commits the very same.
    pub(super) fn go_on_if_stopped(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Phase::Stopping { placed, .. } = &job.phase else { return };
        if placed.is_some() && !job.all(SubtaskState::is_over) {
            return;
        }
        self.restart_if_stopped_in_part(id);
        self.release(id);
        let job = self.jobs.get_mut(&id).expect("it was found above");
        let Phase::Stopping { placed, then, after_commit } = &mut job.phase else { return };
        *placed = None;
        let ends = matches!(then, Then::End(_));
        if ends && job.keeping.writing.is_some() {
            return;
        }
        if (ends || *after_commit) && job.ghosts_until_ms > self.now_ms {
            let quiet_from_ms = job.ghosts_until_ms;
            self.look_again_at(quiet_from_ms, id);
            return;
        }
        match std::mem::replace(then, Then::Restart { from_ms: 0 }) {
            Then::End(state) => self.end(id, state),
            Then::Decide => job.phase = Phase::Undecided,
            Then::Restart { from_ms } => {
                job.phase = Phase::Waiting { from_ms, again: true };
                self.look_again_at(from_ms, id);
            }
        }
    }

    /// A job was stopped with a savepoint, and not every subtask has made its results visible: another attempt does so, and the job
    /// is stopped with a later one.
    fn restart_if_stopped_in_part(&mut self, id: JobId) {
        let job = &self.jobs[&id];
        let Phase::Stopping { placed: Some(placed), then: Then::End(EndState::Stopped { .. }), .. } = &job.phase else {
            return;
        };
        let cause = placed.states.values().find_map(|state| match state {
            SubtaskState::Failed(cause) => Some(cause.clone()),
            _ => None,
        });
        let (Some(cause), attempt) = (cause, placed.attempt) else { return };
        let after = self.after_failure(id, &cause);
        let restarted = matches!(after, Then::Restart { .. });
        self.event(id, JobEvent::Failure { attempt, cause, restarted });
        if let Then::Restart { from_ms } = after {
            let (delay_ms, restore) = ((from_ms - self.now_ms).unsigned_abs(), self.jobs[&id].begins_from());
            self.event(id, JobEvent::Restarting { delay_ms, after_commit: false, restore });
        }
        let job = self.jobs.get_mut(&id).expect("it was found above");
        if let Phase::Stopping { then, .. } = &mut job.phase {
            *then = after;
        }
        self.changed(id);
    }
}
