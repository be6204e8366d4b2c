//! Another shape for a job that runs: another parallelism, or another job file.
//!
//! ```text
//! asked -checkpoint stored-> written -durable-> the attempt is stopped, the next one is of the new shape: on trial
//!   `-- at once, where no attempt is placed --^        |                                  |
//!                                                   it runs: written, answered    it fails: the shape before, written, answered
//! ```
//!
//! The record says it all: the new shape with its version, and the one before while the new one is on trial. So a later life of the
//! JobManager goes on where this one was.

use wasmill_model::{
    fault::{Code, Domain},
    ids::{CheckpointId, JobId},
};

use crate::{
    jobmanager::{
        Command, Desired, JobEvent, JobManager, JobRecord, JobShape,
        phase::{Job, Phase, Stage, Then},
    },
    message::Cause,
};

/// How far the replacement of a job's shape is.
#[derive(Debug, Default)]
pub(super) struct Replacing {
    asked: Option<Asked>,
    /// Who is answered when the trial is over.
    request: Option<u64>,
    /// How it ended, as soon as that is in the record.
    outcome: Option<Outcome>,
    /// What is on disk for certain: the version, and whether it is on trial.
    durable: (u32, bool),
}

/// A new shape that is not in the record yet.
#[derive(Debug)]
struct Asked {
    request: u64,
    shape: JobShape,
    /// The checkpoint that it waits for.
    checkpoint: Option<CheckpointId>,
}

#[derive(Debug)]
enum Outcome {
    Runs,
    Failed(Cause),
}

impl Replacing {
    /// Of a job whose record is durable.
    pub(super) fn new(record: &JobRecord) -> Self {
        Self { durable: state(record), ..Self::default() }
    }

    /// Whether a checkpoint is to be triggered for it.
    pub(super) fn waits(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.checkpoint.is_none())
    }

    pub(super) fn triggered(&mut self, id: CheckpointId) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.checkpoint.is_none()) {
            asked.checkpoint = Some(id);
        }
    }

    pub(super) fn is_by(&self, id: CheckpointId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.checkpoint == Some(id))
    }

    /// Whether what the record says of the shape is on disk.
    pub(super) fn is_durable(&self, record: &JobRecord) -> bool {
        self.durable == state(record)
    }

    fn is_idle(&self) -> bool {
        self.asked.is_none() && self.request.is_none() && self.outcome.is_none() && !self.durable.1
    }
}

/// What a record says of the shape.
pub(super) fn state(record: &JobRecord) -> (u32, bool) {
    (record.version, record.previous.is_some())
}

impl JobManager {
    pub(super) fn replace(&mut self, request: u64, id: JobId, shape: JobShape) {
        if let Some(cause) = self.refusal_to_replace(id, &shape) {
            self.commands.push(Command::ReplaceFailed { request, cause });
            return;
        }
        let job = self.jobs.get_mut(&id).expect("it was not refused");
        job.replacing.asked = Some(Asked { request, shape, checkpoint: None });
        match job.phase {
            Phase::Placed { .. } => self.keep(id),
            _ => self.put_in_place(id),
        }
    }

    fn refusal_to_replace(&self, id: JobId, shape: &JobShape) -> Option<Cause> {
        let refused = |code, message: &str| {
            let message = format!("could not replace {id}: {message}");
            Some(Cause { code, domain: Domain::User, message })
        };
        let Some(job) = self.jobs.get(&id).filter(|job| job.is_accepted()) else {
            return refused(Code::NotFound, "there is no such job");
        };
        let may = match &job.phase {
            Phase::Waiting { .. } | Phase::Stopping { then: Then::Restart { .. }, .. } => true,
            Phase::Placed { stage, .. } => !matches!(stage, Stage::Committing),
            _ => false,
        };
        if job.decision().is_some() {
            return refused(
                Code::ReplaceFailed,
                "somebody has to decide first how it goes on; `wasmill resolve` says why",
            );
        }
        if !may || job.record.desired != Desired::Run {
            return refused(Code::ReplaceFailed, "it is ending, or has ended");
        }
        if job.record.shape.checkpoints.is_none() || shape.checkpoints.is_none() {
            return refused(Code::ReplaceFailed, "only a job that takes checkpoints can be replaced by one that does");
        }
        if !job.replacing.is_idle() || !job.replacing.is_durable(&job.record) {
            return refused(Code::ReplaceFailed, "it is being replaced");
        }
        let slots: u32 = self.taskmanagers.values().map(|taskmanager| taskmanager.slots).sum();
        if shape.slots() > slots {
            let message = format!("it would need {} slots, and all TaskManagers together have {slots}", shape.slots());
            return refused(Code::ReplaceFailed, &message);
        }
        None
    }

    /// Writes down the shape that was asked for, on trial. It begins where the job would: also where that is not its beginning.
    pub(super) fn put_in_place(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let Some(Asked { request, mut shape, .. }) = job.replacing.asked.take() else { return };
        let before = &job.record.shape;
        (shape.from, shape.from_visible) = (before.from.clone(), before.from_visible);
        // What sinks that are gone have made visible stays visible.
        shape.transactional |= before.transactional;
        let before = std::mem::replace(&mut job.record.shape, shape);
        job.record.previous = Some(Box::new(before));
        job.record.version += 1;
        job.replacing.request = Some(request);
        self.store(id);
    }

    /// What the record said of the shape when it was written is durable.
    pub(super) fn shape_stored(&mut self, id: JobId, durable: (u32, bool)) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        job.replacing.durable = durable;
        if !job.replacing.is_durable(&job.record) {
            return;
        }
        let stale = job.placed().is_some_and(|placed| placed.version != job.record.version);
        if let (true, Phase::Placed { .. }) = (stale, &job.phase) {
            self.stop(id, Then::Restart { from_ms: self.now_ms });
        }
        self.answer_replacing(id);
        self.keep(id);
    }

    fn answer_replacing(&mut self, id: JobId) {
        let replacing = &mut self.jobs.get_mut(&id).expect("the caller has found it").replacing;
        let version = replacing.durable.0;
        let Some(outcome) = replacing.outcome.take() else { return };
        let request = replacing.request.take();
        match outcome {
            Outcome::Runs => {
                self.event(id, JobEvent::Replaced { version });
                self.commands.extend(request.map(|request| Command::Replaced { request, job: id, version }));
            }
            Outcome::Failed(cause) => {
                self.event(id, JobEvent::RolledBack { version, cause: cause.clone() });
                self.commands.extend(request.map(|request| Command::ReplaceFailed { request, cause }));
            }
        }
    }

    /// An attempt runs. If it was the first of a shape on trial, the trial is over.
    pub(super) fn pass_trial(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        if job.is_tried() {
            job.record.previous = None;
            job.replacing.outcome = Some(Outcome::Runs);
            self.store(id);
        }
    }

    /// An attempt of a shape on trial has failed before it ran: takes the shape before again. Whether that is so.
    pub(super) fn roll_back(&mut self, id: JobId, cause: &Cause) -> bool {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        if !job.is_tried() || job.record.desired == Desired::Cancel {
            return false;
        }
        let before = job.record.previous.take().expect("it is on trial");
        job.record.shape = *before;
        job.record.version += 1;
        job.replacing.outcome = Some(Outcome::Failed(cause.clone()));
        true
    }

    /// The checkpoint that a new shape waits for is given up.
    pub(super) fn refuse_replacing(&mut self, id: JobId, checkpoint: CheckpointId, reason: &str) {
        let replacing = &mut self.jobs.get_mut(&id).expect("the caller has found it").replacing;
        if let Some(asked) = replacing.asked.take_if(|asked| asked.checkpoint == Some(checkpoint)) {
            let message = format!("could not replace {id}: could not take {checkpoint}: {reason}");
            let cause = Cause { code: Code::ReplaceFailed, domain: Domain::External, message };
            self.commands.push(Command::ReplaceFailed { request: asked.request, cause });
        }
    }

    /// A new shape that is not in the record comes too late: the job is to end.
    pub(super) fn refuse_asked_shape(&mut self, id: JobId, cause: &Cause) {
        let replacing = &mut self.jobs.get_mut(&id).expect("the caller has found it").replacing;
        if let Some(Asked { request, .. }) = replacing.asked.take() {
            self.commands.push(Command::ReplaceFailed { request, cause: cause.clone() });
        }
    }

    /// A job has ended, whatever shape it has.
    pub(super) fn refuse_replacing_at_end(&mut self, id: JobId, cause: &Cause) {
        self.refuse_asked_shape(id, cause);
        let replacing = &mut self.jobs.get_mut(&id).expect("the caller has found it").replacing;
        if let Some(request) = replacing.request.take() {
            self.commands.push(Command::ReplaceFailed { request, cause: cause.clone() });
        }
    }
}

impl Job {
    /// Whether the present attempt is one of a shape that is on trial.
    fn is_tried(&self) -> bool {
        let placed = self.placed().is_some_and(|placed| placed.version == self.record.version);
        placed && self.record.previous.is_some()
    }

    /// Whether the present attempt is one of a shape that was replaced.
    pub(super) fn is_replaced(&self) -> bool {
        self.placed().is_some_and(|placed| placed.version != self.record.version)
    }
}
