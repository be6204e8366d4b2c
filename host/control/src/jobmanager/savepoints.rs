//! Savepoints, and the end of a job with one: who has asked for them, and when they are answered.

use wasmill_model::{
    fault::{Code, Domain},
    ids::{CheckpointId, JobId},
};

use crate::{
    jobmanager::{
        Command, Desired, EndState, JobManager,
        phase::{Job, Phase, Placed, Stage},
    },
    message::{Cause, SubtaskState},
};

/// Requests of a job that wait for an answer, of either kind. More are refused: whoever asks may do so again and again.
const WAITING_MAX: usize = 64;

/// Requests that are not answered.
#[derive(Debug, Default)]
pub(super) struct Savepoints {
    asked: Vec<Asked>,
    /// Those for the job's end.
    stops: Vec<u64>,
}

#[derive(Debug)]
struct Asked {
    request: u64,
    at: How,
}

/// How far a savepoint is.
#[derive(Debug)]
enum How {
    /// Until no other checkpoint is on its way.
    Waits,
    Triggered(CheckpointId),
    /// What belongs to it is not visible everywhere.
    Stored(CheckpointId, String),
}

impl Savepoints {
    /// Whether somebody waits for one to be triggered.
    pub(super) fn wait(&self) -> bool {
        self.asked.iter().any(|asked| matches!(asked.at, How::Waits))
    }

    /// All that wait share it.
    pub(super) fn triggered(&mut self, id: CheckpointId) {
        for asked in self.asked.iter_mut().filter(|asked| matches!(asked.at, How::Waits)) {
            asked.at = How::Triggered(id);
        }
    }

    pub(super) fn stored(&mut self, id: CheckpointId, manifest: &str) {
        for asked in self.asked.iter_mut().filter(|asked| matches!(asked.at, How::Triggered(of) if of == id)) {
            asked.at = How::Stored(id, manifest.to_owned());
        }
    }
}

impl Placed {
    /// Whether all that belongs to a checkpoint is visible: each subtask has said so, or has committed all there is, or all did so
    /// before the attempt began to run.
    pub(super) fn has_committed(&self, id: CheckpointId) -> bool {
        let by = |subtask| {
            let said = self.committed.get(&subtask).is_some_and(|to| *to >= id);
            said || self.states.get(&subtask) == Some(&SubtaskState::Committed)
        };
        self.restored.is_some_and(|restored| restored >= id) || self.subtasks().all(by)
    }
}

impl JobManager {
    pub(super) fn ask_savepoint(&mut self, request: u64, id: JobId) {
        let refused = self.refusal(id).or_else(|| {
            let job = &self.jobs[&id];
            let runs = matches!(job.phase, Phase::Placed { stage: Stage::Deploying | Stage::Running { .. }, .. });
            (!runs).then(|| not_now(id, &format!("it is {}", job.state().name())))
        });
        if let Some(cause) = refused {
            self.commands.push(Command::SavepointFailed { request, cause });
            return;
        }
        let job = self.jobs.get_mut(&id).expect("it was not refused");
        job.keeping.savepoints.asked.push(Asked { request, at: How::Waits });
        self.keep(id);
    }

    pub(super) fn ask_stop(&mut self, request: u64, id: JobId) {
        let refused = self.refusal(id).or_else(|| match self.jobs[&id].record.desired {
            Desired::Run | Desired::Stop => None,
            Desired::Drain => Some(not_now(id, "it is being drained")),
            Desired::Cancel => Some(not_now(id, "it is being cancelled")),
        });
        if let Some(cause) = refused {
            self.commands.push(Command::SavepointFailed { request, cause });
            return;
        }
        let job = self.jobs.get_mut(&id).expect("it was not refused");
        job.keeping.savepoints.stops.push(request);
        self.desire(id, Desired::Stop);
    }

    /// Why no savepoint of a job can be taken whatever it is at.
    pub(super) fn refusal(&self, id: JobId) -> Option<Cause> {
        let Some(job) = self.jobs.get(&id).filter(|job| job.is_accepted()) else {
            let message = format!("could not take a savepoint of {id}: there is no such job");
            return Some(Cause { code: Code::NotFound, domain: Domain::User, message });
        };
        if matches!(job.phase, Phase::Ending { .. } | Phase::Over) {
            return Some(not_now(id, "it has ended"));
        }
        if job.record.shape.checkpoints.is_none() {
            return Some(not_now(id, "it takes no checkpoints"));
        }
        let Savepoints { asked, stops } = &job.keeping.savepoints;
        if asked.len() + stops.len() >= WAITING_MAX {
            let message = format!("could not take a savepoint of {id}: {WAITING_MAX} requests for one wait already");
            return Some(Cause { code: Code::ServerBusy, domain: Domain::Operator, message });
        }
        None
    }

    /// Answers whoever waits for this savepoint, which is given up, or passed over.
    pub(super) fn refuse_savepoints(&mut self, id: JobId, checkpoint: CheckpointId, reason: &str) {
        let asked = &mut self.jobs.get_mut(&id).expect("the caller has found it").keeping.savepoints.asked;
        let of_it = |asked: &mut Asked| match asked.at {
            How::Waits => false,
            How::Triggered(of) | How::Stored(of, _) => of == checkpoint,
        };
        for Asked { request, .. } in asked.extract_if(.., of_it) {
            let cause = given_up(id, checkpoint, reason);
            self.commands.push(Command::SavepointFailed { request, cause });
        }
    }

    /// Answers whoever waited for a savepoint that is stored and whose results are all visible by now.
    pub(super) fn answer_savepoints(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Placed { placed, stage: Stage::Running { .. } | Stage::Committing } = &job.phase else { return };
        let visible = |asked: &mut Asked| matches!(asked.at, How::Stored(of, _) if placed.has_committed(of));
        for Asked { request, at } in job.keeping.savepoints.asked.extract_if(.., visible) {
            if let How::Stored(checkpoint, manifest) = at {
                self.commands.push(Command::SavepointTaken { request, job: id, checkpoint, manifest });
            }
        }
    }

    /// A job has ended: everybody who still waits is answered.
    pub(super) fn answer_at_end(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(end) = job.record.end.as_ref().map(|end| end.state.clone()) else { return };
        let Savepoints { asked, stops } = std::mem::take(&mut job.keeping.savepoints);
        let cause = ended(id, &end);
        for Asked { request, at } in asked {
            self.commands.push(match (at, &end) {
                (How::Stored(checkpoint, manifest), EndState::Finished | EndState::Stopped { .. }) => {
                    Command::SavepointTaken { request, job: id, checkpoint, manifest }
                }
                _ => Command::SavepointFailed { request, cause: cause.clone() },
            });
        }
        for request in stops {
            self.commands.push(match end.clone() {
                EndState::Stopped { checkpoint, manifest } => {
                    Command::SavepointTaken { request, job: id, checkpoint, manifest }
                }
                _ => Command::SavepointFailed { request, cause: cause.clone() },
            });
        }
        self.refuse_replacing_at_end(id, &cause);
    }
}

impl Job {
    /// Takes how far a subtask says its sinks are. Beyond what they were told there is nothing they can know of: such a number is
    /// that of a checkpoint of another job, from which this one began.
    pub(super) fn take_committed(&mut self, subtask: wasmill_model::ids::Subtask, to: CheckpointId) {
        let Some(placed) = self.placed_mut() else { return };
        if Some(to) <= placed.checkpoints.completed {
            let known = placed.committed.entry(subtask).or_insert(to);
            *known = to.max(*known);
        }
    }
}

fn not_now(id: JobId, why: &str) -> Cause {
    let message = format!("could not take a savepoint of {id}: {why}");
    Cause { code: Code::SavepointFailed, domain: Domain::User, message }
}

fn given_up(id: JobId, checkpoint: CheckpointId, reason: &str) -> Cause {
    let message = format!("could not take {checkpoint} of {id}: {reason}");
    Cause { code: Code::SavepointFailed, domain: Domain::External, message }
}

/// Why whoever waited for something of a job does so in vain.
fn ended(id: JobId, end: &EndState) -> Cause {
    let how = match end {
        EndState::Failed(cause) => return cause.clone(),
        EndState::Cancelled => "was cancelled",
        EndState::Finished => "has finished by itself",
        EndState::Stopped { .. } => "was stopped",
    };
    Cause { code: Code::SavepointFailed, domain: Domain::User, message: format!("{id} {how} before") }
}
