//! The owner's side of checkpoints, savepoints, and jobs that are replaced by another form of themselves.

use std::collections::BTreeSet;

use tokio::sync::oneshot;
use wasmill_control::{
    jobmanager::{Command, Event, JobState},
    message::Cause,
};
use wasmill_model::{
    fault::Code,
    ids::{Attempt, CheckpointId, JobId},
};
use wasmill_rest::{Problem, Savepoint};

use crate::{
    jobmanager::{
        Message, Replace, Shell, WantsSavepoint,
        keeper::{Checkpoint, Work},
        manifests::{Complete, manifest},
        now_ms, views,
    },
    message::Deployment,
};

impl Shell {
    /// Follows what the core says about checkpoints.
    pub(crate) fn follow_checkpoints(&mut self, command: Command) {
        match command {
            Command::StoreCheckpoint { job, checkpoint, parent, parts, damaged, .. } => {
                self.store_checkpoint(Complete { job, checkpoint, parent, parts }, damaged);
            }
            Command::Resolved { request, job } => {
                let missing = || views::not_found("job", &job.to_string(), "wasmill list --all");
                let summary = self.summary(job).ok_or_else(missing);
                if let Some(answer) = self.resolves.remove(&request) {
                    let _ = answer.send(summary);
                }
            }
            Command::ResolveFailed { request, cause } => {
                if let Some(answer) = self.resolves.remove(&request) {
                    let _ = answer.send(Err(refused(cause)));
                }
            }
            Command::SavepointTaken { request, manifest, .. } => self.savepoint_taken(request, manifest),
            Command::SavepointFailed { request, cause } => {
                if let Some(answer) = self.savepoints.remove(&request).and_then(|wants| wants.answer) {
                    let _ = answer.send(Err(refused(cause)));
                }
            }
            Command::Replaced { request, version, .. } => {
                if let Some(replace) = self.replaces.remove(&request) {
                    let _ = replace.replaced.send(Ok(version));
                }
            }
            Command::ReplaceFailed { request, cause } => {
                if let Some(replace) = self.replaces.remove(&request) {
                    let _ = replace.replaced.send(Err(refused(cause)));
                }
            }
            other => unreachable!("{other:?} is not about checkpoints"),
        }
    }

    fn store_checkpoint(&mut self, complete: Complete, damaged: BTreeSet<CheckpointId>) {
        let (job, checkpoint) = (complete.job, complete.checkpoint);
        let made = match (&self.keeper, self.jobs.get(&job)) {
            (Some(_), Some(entry)) => match &entry.facts {
                Some(facts) => manifest(&self.cluster, facts, &complete).map(|manifest| {
                    let retained = facts.checkpoints.unwrap_or_default().retained;
                    Checkpoint { manifest, retained, damaged, placed_ms: entry.placed_ms }
                }),
                None => Err("what was submitted cannot be read any more".to_owned()),
            },
            _ => Err("there is no checkpoint store".to_owned()),
        };
        match (made, &self.keeper) {
            (Ok(checkpoint), Some((keeper, _))) => keeper.put(Work::Checkpoint(Box::new(checkpoint))),
            (made, _) => {
                let message = made.err().unwrap_or_default();
                let event = Event::CheckpointNotStored { job, checkpoint, message };
                // It must not be handled within what is being followed.
                let _ = self.inbox.send(Message::Event(event));
            }
        }
    }

    /// A checkpoint is complete of which somebody wants a savepoint.
    fn savepoint_taken(&mut self, request: u64, manifest: String) {
        let Some(WantsSavepoint { job, name, answer: Some(answer) }) = self.savepoints.remove(&request) else { return };
        let name = name.unwrap_or_else(|| format!("{job}-{}", now_ms() / 1_000));
        match &self.keeper {
            Some((keeper, _)) => keeper.put(Work::Savepoint { of: manifest, name, answer }),
            None => drop(answer.send(Err(no_checkpoints(job)))),
        }
    }

    /// A job was stopped: what it has kept becomes a savepoint.
    pub(crate) fn keep_stopped(&mut self, job: JobId, state: &JobState) {
        let (JobState::Stopped { manifest, .. }, Some((keeper, _))) = (state, &self.keeper) else { return };
        let name = self.jobs.get(&job).and_then(|entry| entry.stop_as.clone()).unwrap_or_else(|| job.to_string());
        let (answer, answered) = oneshot::channel::<Result<Savepoint, Problem>>();
        let inbox = self.inbox.clone();
        keeper.put(Work::Savepoint { of: manifest.clone(), name, answer });
        keeper.put(Work::Ask(Box::new(move |_| {
            // It comes behind the savepoint.
            let made = answered.blocking_recv();
            let noted = move |shell: &mut Shell| {
                let Ok(made) = made else { return };
                if made.is_ok() {
                    shell.store.kept(job);
                }
                if let Some(entry) = shell.jobs.get_mut(&job) {
                    entry.stopped_as(now_ms(), made);
                    shell.tell_changed();
                }
            };
            let _ = inbox.send(Message::Ask(Box::new(noted)));
        })));
    }

    /// Makes the savepoints that are still to be made of jobs that were stopped before this life of the JobManager began.
    pub(crate) fn keep_all_stopped(&mut self) {
        let waiting = self.jobs.iter().filter(|(_, entry)| entry.ended_ms.is_some() && entry.stop_as.is_some());
        for job in waiting.map(|(job, _)| *job).collect::<Vec<_>>() {
            self.keep_again(job);
        }
    }

    /// Makes the savepoint of a job that was stopped, if that has failed or nobody has come to it.
    pub(crate) fn keep_again(&mut self, job: JobId) {
        let has_one = self.jobs.get(&job).is_none_or(|entry| entry.savepoint.is_some());
        if let (false, Some(state)) = (has_one, self.core.job(job).map(|view| view.state)) {
            self.keep_stopped(job, &state);
        }
    }

    /// Wants a savepoint of a running job.
    pub(crate) fn want_savepoint(&mut self, wants: WantsSavepoint) {
        let (request, job) = (self.next_request(), wants.job);
        self.savepoints.insert(request, wants);
        self.handle(Event::Savepoint { request, job });
    }

    /// Wants another form of a running job.
    pub(crate) fn replace(&mut self, replace: Replace) {
        let (request, job, shape) = (self.next_request(), replace.job, replace.shape.clone());
        self.replaces.insert(request, replace);
        self.handle(Event::Replace { request, job, shape });
    }

    /// What an attempt of a job runs.
    pub(crate) fn deployment(&mut self, job: JobId, attempt: Attempt) -> Result<Deployment, Problem> {
        let (_, entry) = self.find(&job.to_string())?;
        if self.core.job(job).is_some_and(|view| view.attempt != attempt) {
            let detail = format!("{job} has gone on from {attempt}: it is not to be run any more");
            return Err(Problem::new(409, Code::NotFound, detail));
        }
        let missing = || Problem::new(404, Code::NotFound, format!("{job} has ended: there is nothing to run"));
        let payload = entry.payload.as_ref().ok_or_else(missing)?;
        Ok(Deployment { submission: payload.submission.clone(), found: payload.found.clone() })
    }
}

/// Why the core did not do what was asked.
fn refused(Cause { code, message, .. }: Cause) -> Problem {
    Problem::new(409, code, message)
}

/// The job keeps nothing from which it could go on.
pub(crate) fn no_checkpoints(job: JobId) -> Problem {
    let detail = format!("could not do this with {job}: it takes no checkpoints");
    Problem::new(409, Code::CheckpointsOff, detail)
        .with_hint("its job file turns them off, or a sink cannot take part: `wasmill plan` says which")
}
