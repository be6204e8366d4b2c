//! What people want: jobs to run, to end with what they have read, to end without results.

use wasmill_model::{
    fault::{Code, Domain},
    ids::JobId,
};

use crate::{
    jobmanager::{
        Command, Desired, EndState, JobEvent, JobManager, JobRecord, JobShape, Recovery,
        checkpoints::Keeping,
        phase::{Job, Phase, Stage, Then},
        replace::Replacing,
    },
    message::{Cause, Wish},
};

impl JobManager {
    pub(super) fn submit(&mut self, request: u64, shape: JobShape) {
        if self.live.len() >= self.config.live_jobs_max {
            let message =
                format!("could not take the job: {} jobs have not ended, and no more are taken", self.live.len());
            let cause = Cause { code: Code::CatalogueUnusable, domain: Domain::Operator, message };
            self.commands.push(Command::Refused { request, cause });
            return;
        }
        self.last_job += 1;
        let id = JobId(self.last_job);
        let submitted_ms = self.now_ms;
        let record = JobRecord {
            id,
            shape,
            submitted_ms,
            desired: Desired::Run,
            end: None,
            restarts: 0,
            last_cause: None,
            version: 0,
            previous: None,
            recovery: Recovery::default(),
        };
        let job = Job {
            keeping: Keeping::new(Vec::new(), self.now_ms),
            replacing: Replacing::new(&record),
            record,
            durably_desired: Desired::Run,
            store_again: false,
            attempts: 0,
            failures: 0,
            ghosts_until_ms: self.now_ms,
            resolving: Vec::new(),
            phase: Phase::Submitting { request },
        };
        self.jobs.insert(id, job);
        self.live.insert(id);
        self.store(id);
    }

    /// Writes down what is desired; it is followed once it is durable. Who repeats a wish that is not durable yet waits for a
    /// write of their own, and so does who wants something of a job whose tombstone is being written.
    pub(super) fn desire(&mut self, id: JobId, desired: Desired) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !job.is_accepted() || matches!(job.phase, Phase::Over) {
            return;
        }
        job.record.desired = job.record.desired.max(desired);
        if job.durably_desired < desired || matches!(job.phase, Phase::Ending { .. }) {
            self.store(id);
        }
    }

    /// Does what is durably desired, as far as it is not done.
    pub(super) fn follow_desire(&mut self, id: JobId) {
        let message = format!("could not replace {id}: it is to end");
        self.refuse_asked_shape(id, &Cause { code: Code::ReplaceFailed, domain: Domain::User, message });
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let comes_again = job.comes_again();
        match (job.durably_desired, &mut job.phase) {
            (Desired::Run, _) => {}
            (Desired::Cancel, Phase::Placed { placed, stage: Stage::Committing }) => {
                let attempt = placed.attempt;
                self.event(id, JobEvent::TooLateToCancel { attempt });
            }
            (Desired::Cancel, Phase::Placed { .. }) => self.stop(id, Then::End(EndState::Cancelled)),
            (Desired::Drain, Phase::Placed { stage: Stage::Deploying | Stage::Running { .. }, .. }) => {
                self.wish(id, Wish::Drain);
            }
            (Desired::Stop, Phase::Placed { .. }) => self.keep(id),
            // It waits for an attempt that can be stopped, or goes on from its checkpoint to the end.
            (Desired::Stop, _) => {}
            (Desired::Drain, Phase::Stopping { .. } | Phase::Waiting { again: true, .. } | Phase::Undecided)
                if comes_again => {}
            // Nothing was read, or it is lost: there is nothing to come out.
            (_, Phase::Stopping { then: then @ (Then::Restart { .. } | Then::Decide), .. }) => {
                *then = Then::End(EndState::Cancelled);
                self.changed(id);
                self.go_on_if_stopped(id);
            }
            (_, Phase::Waiting { .. } | Phase::Undecided) => {
                let then = Then::End(EndState::Cancelled);
                job.phase = Phase::Stopping { placed: None, then, after_commit: false };
                self.changed(id);
                self.go_on_if_stopped(id);
            }
            (_, Phase::Placed { .. } | Phase::Stopping { .. } | Phase::Ending { .. }) => {}
            (_, Phase::Submitting { .. } | Phase::Refusing { .. } | Phase::Over) => {}
        }
    }
}
