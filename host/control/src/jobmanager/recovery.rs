//! What a job begins from, and what follows when it cannot: a checkpoint whose files are damaged, results that sinks had prepared
//! and that are gone.
//!
//! ```text
//! damaged, and no sink has made visible what came since the one before --> passed over, the one before is tried
//! damaged otherwise, or a transaction is lost --> Undecided -resolved-> the same again, the one before, or without what is lost
//! ```
//!
//! As soon as a manifest is durable sinks may be told, so what it has of transactions counts as visible. What is passed over stays
//! behind for good: its number is in the record, no attempt begins from it and no checkpoint goes on from it.

use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::{CheckpointId, JobId},
};

use crate::{
    jobmanager::{
        About, Choice, Command, Completed, Decision, DecisionView, EndState, JobEvent, JobManager,
        phase::{Job, Phase, Stage, Then},
    },
    message::{Cause, Passed, Restore, SubtaskState},
};

impl Job {
    fn is_damaged(&self, id: CheckpointId) -> bool {
        self.record.recovery.damaged.contains(&id)
    }

    /// The newest checkpoint of its own that an attempt may begin from.
    pub(super) fn intact(&self) -> Option<&Completed> {
        self.intact_but(None)
    }

    fn intact_but(&self, but: Option<CheckpointId>) -> Option<&Completed> {
        let newest_first = self.keeping.completed.iter().rev().map(|(completed, _)| completed);
        newest_first.into_iter().find(|completed| Some(completed.id) != but && !self.is_damaged(completed.id))
    }

    /// The same, and when it was stored.
    pub(super) fn intact_since(&self) -> Option<(CheckpointId, Timestamp)> {
        let id = self.intact()?.id;
        self.keeping.completed.iter().find(|(completed, _)| completed.id == id).map(|(_, at_ms)| (id, *at_ms))
    }

    /// The manifest that an attempt begins from.
    pub(super) fn begins_from(&self) -> Option<String> {
        self.intact().map(|intact| &intact.manifest).or(self.record.shape.from.as_ref()).cloned()
    }

    /// The same, with what is known of it.
    pub(super) fn restore(&self) -> Option<Restore> {
        let manifest = self.begins_from()?;
        let recovery = &self.record.recovery;
        let intact = self.intact().map(|intact| intact.id);
        let visible = match intact {
            Some(id) => recovery.visible >= Some(id),
            None => self.record.shape.from_visible,
        };
        let later = self.keeping.completed.iter().filter(|(completed, _)| Some(completed.id) > intact);
        let passed = later.map(|(completed, _)| Passed {
            manifest: completed.manifest.clone(),
            visible: recovery.visible >= Some(completed.id),
        });
        let passed = passed.collect();
        let given_up = recovery.given_up.as_ref() == Some(&manifest);
        Some(Restore { manifest, visible, given_up, passed })
    }

    /// Keeps as many intact checkpoints as are to be retained; what is older is removed from the store.
    pub(super) fn forget_older(&mut self) {
        let retained = self.record.shape.checkpoints.map_or(1, |config| config.retained.max(1)) as usize;
        let (completed, recovery) = (&mut self.keeping.completed, &mut self.record.recovery);
        let intact = completed.iter().rev().filter(|(completed, _)| !recovery.damaged.contains(&completed.id));
        let Some(oldest) = intact.take(retained).last().map(|(completed, _)| completed.id) else { return };
        if completed.iter().filter(|(completed, _)| !recovery.damaged.contains(&completed.id)).count() >= retained {
            completed.retain(|(completed, _)| completed.id >= oldest);
            recovery.damaged.retain(|damaged| *damaged >= oldest);
        }
    }

    /// Whether an attempt may begin from the checkpoint before one although nobody has agreed to it: nothing has become visible
    /// since. What has become visible by checkpoints that are not kept any more nobody knows.
    fn may_fall_back(&self, damaged: CheckpointId) -> bool {
        let before = self.intact_but(Some(damaged)).map(|completed| completed.id);
        let mut passed = self.keeping.completed.iter().filter(|(completed, _)| Some(completed.id) > before);
        !self.record.shape.transactional || before.is_some() && passed.all(|(completed, _)| !completed.transactions)
    }

    /// What is to be decided, and how that can be.
    pub(super) fn decision(&self) -> Option<DecisionView<'_>> {
        let decision = self.record.recovery.decision.as_ref()?;
        if !matches!(self.phase, Phase::Undecided | Phase::Stopping { then: Then::Decide, .. }) {
            return None;
        }
        let own = self.own(&decision.manifest);
        let mut choices = vec![Choice::Retry];
        choices.extend((decision.about == About::LostTransaction).then_some(Choice::GiveUpTransaction));
        choices.extend(own.map(|_| Choice::Rewind));
        let before = own.and_then(|own| self.intact_but(Some(own)));
        let rewind_to = before.map(|before| &before.manifest).or(self.record.shape.from.as_ref()).cloned();
        Some(DecisionView { decision, choices, rewind_to })
    }

    /// The checkpoint of a manifest, if it is one of its own.
    fn own(&self, manifest: &str) -> Option<CheckpointId> {
        let all = self.keeping.completed.iter().map(|(completed, _)| completed);
        all.into_iter().find(|completed| completed.manifest == manifest).map(|completed| completed.id)
    }

    /// Whether all that sinks had prepared in a checkpoint is visible.
    fn is_visible(&self, id: CheckpointId) -> bool {
        match &self.phase {
            Phase::Placed { placed, stage: Stage::Running { .. } | Stage::Committing } => placed.has_committed(id),
            Phase::Stopping { placed: Some(placed), .. } => placed.subtasks().all(|subtask| {
                let said = placed.committed.get(&subtask).is_some_and(|to| *to >= id);
                said || placed.states.get(&subtask) == Some(&SubtaskState::Committed)
            }),
            _ => false,
        }
    }
}

impl JobManager {
    /// An attempt has failed. What follows, if that is because it could not begin from what it was to begin from.
    pub(super) fn after_failed_restore(&mut self, id: JobId, cause: &Cause) -> Option<Then> {
        let about = match cause.code {
            Code::CheckpointDamaged => About::DamagedCheckpoint,
            Code::TransactionLost => About::LostTransaction,
            _ => return None,
        };
        let job = self.jobs.get_mut(&id)?;
        let Phase::Placed { placed, stage: Stage::Deploying } = &job.phase else { return None };
        let manifest = placed.restore.as_ref()?.manifest.clone();
        let own = job.own(&manifest);
        if about == About::DamagedCheckpoint {
            // It has nothing of its own yet: whoever began it can do so again.
            if own.is_none() && job.keeping.completed.is_empty() {
                return Some(Then::End(EndState::Failed(cause.clone())));
            }
            if let Some(checkpoint) = own.filter(|own| job.may_fall_back(*own)) {
                self.pass_over(id, checkpoint, &cause.message);
                return Some(Then::Restart { from_ms: self.now_ms });
            }
        }
        let reason = cause.message.clone();
        job.record.recovery.decision = Some(Decision { about, manifest, cause: cause.clone() });
        self.event(id, JobEvent::NeedsDecision { about, reason });
        Some(Then::Decide)
    }

    /// No attempt begins from a checkpoint any more, once that is written.
    fn pass_over(&mut self, id: JobId, checkpoint: CheckpointId, reason: &str) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        job.record.recovery.damaged.insert(checkpoint);
        self.event(id, JobEvent::PassedOver { checkpoint, reason: reason.to_owned() });
        self.refuse_savepoints(id, checkpoint, reason);
    }

    pub(super) fn resolve(&mut self, request: u64, id: JobId, choice: Choice) {
        let refused = |code, why: &str| {
            let message = format!("could not resolve {id}: {why}");
            Command::ResolveFailed { request, cause: Cause { code, domain: Domain::User, message } }
        };
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_accepted()) else {
            self.commands.push(refused(Code::NotFound, "there is no such job"));
            return;
        };
        let Some(DecisionView { decision, choices, .. }) = job.decision() else {
            let why = match job.resolving.is_empty() {
                true => format!("it is {}, and nothing is to be decided", job.state().name()),
                false => "it was decided a moment ago".to_owned(),
            };
            self.commands.push(refused(Code::NothingToDecide, &why));
            return;
        };
        if !choices.contains(&choice) {
            let names: Vec<&str> = choices.iter().map(|choice| choice.name()).collect();
            let why = format!("{} is not among the choices: {}", choice.name(), names.join(", "));
            self.commands.push(refused(Code::ChoiceNotOffered, &why));
            return;
        }
        let Decision { manifest, cause, .. } = decision.clone();
        let own = job.own(&manifest);
        job.record.recovery.decision = None;
        job.resolving.push(request);
        match (choice, own) {
            (Choice::Rewind, Some(checkpoint)) => {
                job.record.recovery.damaged.insert(checkpoint);
                self.refuse_savepoints(id, checkpoint, &cause.message);
            }
            (Choice::GiveUpTransaction, _) => job.record.recovery.given_up = Some(manifest),
            _ => {}
        }
        let restore = self.jobs[&id].begins_from();
        self.event(id, JobEvent::Resolved { choice, restore });
        self.store(id);
    }

    /// On the disk nothing is to be decided about a job: if something was, it goes on.
    pub(super) fn decided(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let resolved = std::mem::take(&mut job.resolving);
        self.commands.extend(resolved.into_iter().map(|request| Command::Resolved { request, job: id }));
        let from_ms = job.ghosts_until_ms.max(self.now_ms);
        match &mut job.phase {
            _ if job.record.recovery.decision.is_some() => {}
            Phase::Stopping { then: then @ Then::Decide, .. } => *then = Then::Restart { from_ms },
            Phase::Undecided => {
                job.phase = Phase::Waiting { from_ms, again: true };
                self.look_again_at(from_ms, id);
                self.changed(id);
            }
            _ => {}
        }
    }

    /// Writes down how far all that sinks had prepared is visible, if that has become more: whoever looks for it later and does not
    /// find it then knows that somebody has taken it away.
    pub(super) fn note_visible(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(newest) = job.keeping.newest().filter(|newest| newest.transactions) else { return };
        let newest = newest.id;
        if job.record.recovery.visible < Some(newest) && !job.is_damaged(newest) && job.is_visible(newest) {
            job.record.recovery.visible = Some(newest);
            self.store(id);
        }
    }
}
