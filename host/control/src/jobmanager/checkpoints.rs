//! Checkpoints: when one is to be taken, when it is complete, and what follows.
//!
//! ```text
//! trigger -all subtasks have said their part-> written -stored-> complete: sinks are told, and attempts begin from it
//!    |                                            |
//!    `-- declined, late, its attempt has ended    `-- certainly not there --> given up
//! ```
//!
//! A job has one at most on its way. What is not known to be stored or not holds up the job's next attempt and its end: who goes
//! on from an older checkpoint than the newest one that is there would do again what is visible already.

use std::collections::BTreeMap;

use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::{Attempt, CheckpointId, Epoch, JobId, Subtask},
};

use crate::{
    jobmanager::{
        CheckpointConfig, Command, Completed, Desired, EndState, JobEvent, JobManager,
        phase::{Job, Phase, Placed, Stage, Then},
        savepoints::Savepoints,
    },
    message::{At, Cause, SubtaskState, Trigger, Wish},
};

/// From a savepoint that was given up to the next try, which would most likely fail too if it came at once.
const SAVEPOINT_RETRY_MS: Timestamp = 1_000;

/// What a job keeps, over all its attempts.
#[derive(Debug)]
pub(super) struct Keeping {
    /// Those that are kept, the newest last, and when each was stored; for one of an earlier life of the JobManager: when this life
    /// began.
    pub(super) completed: Vec<(Completed, Timestamp)>,
    /// The highest id that was given, or found.
    last_id: CheckpointId,
    /// Asked to be stored, and not answered.
    pub(super) writing: Option<Writing>,
    /// When the newest began, and when it ended.
    began_ms: Timestamp,
    ended_ms: Timestamp,
    /// Before that, no savepoint is tried.
    savepoint_from_ms: Timestamp,
    pub(super) taken: u64,
    pub(super) failed: u64,
    pub(super) failed_in_row: u32,
    /// When the job's checkpoints are to be looked at again: its one entry in the timers for that.
    look_ms: Option<Timestamp>,
    pub(super) savepoints: Savepoints,
}

/// A checkpoint that is being taken.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) trigger: Trigger,
    pub(super) since_ms: Timestamp,
    parts: BTreeMap<Subtask, String>,
}

/// A checkpoint whose manifest is being written.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) id: CheckpointId,
    pub(super) since_ms: Timestamp,
    attempt: Attempt,
    savepoint: bool,
    last: bool,
}

impl Keeping {
    /// `completed`: the newest last.
    pub(super) fn new(completed: Vec<Completed>, now_ms: Timestamp) -> Self {
        Self {
            last_id: completed.last().map_or(CheckpointId(0), |newest| newest.id),
            completed: completed.into_iter().map(|completed| (completed, now_ms)).collect(),
            writing: None,
            began_ms: now_ms,
            ended_ms: now_ms,
            savepoint_from_ms: now_ms,
            taken: 0,
            failed: 0,
            failed_in_row: 0,
            look_ms: None,
            savepoints: Savepoints::default(),
        }
    }

    /// The newest, whether an attempt can begin from it or not.
    pub(super) fn newest(&self) -> Option<&Completed> {
        self.completed.last().map(|(completed, _)| completed)
    }

    /// An attempt runs: its first checkpoint comes an interval later, a savepoint that is wanted at once.
    pub(super) fn begin(&mut self, now_ms: Timestamp) {
        (self.began_ms, self.ended_ms, self.savepoint_from_ms) = (now_ms, now_ms, now_ms);
    }

    /// As attempts are numbered: the life of the JobManager, then a count. Never one that was given or found before.
    fn next_id(&mut self, epoch: Epoch) -> CheckpointId {
        let first = Attempt::new(epoch, 1).0;
        self.last_id = CheckpointId(first.max(self.last_id.0 + 1));
        self.last_id
    }

    fn is_due_from_ms(&self, config: &CheckpointConfig) -> Timestamp {
        let by_interval = self.began_ms.saturating_add_unsigned(config.interval_ms);
        by_interval.max(self.ended_ms.saturating_add_unsigned(config.min_pause_ms))
    }
}

impl Taking {
    /// The subtasks that have not said their part.
    pub(super) fn missing(&self, placed: &Placed) -> Vec<Subtask> {
        placed.subtasks().filter(|s| !self.parts.contains_key(s) && !placed.ends.contains_key(s)).collect()
    }
}

impl Placed {
    /// All that the checkpoint that is being taken consists of, if it is whole. A subtask that has ended after its part of it is
    /// in it as it was at the checkpoint.
    fn whole(&self) -> Option<Vec<(Subtask, At, String)>> {
        let Taking { trigger, parts, .. } = self.taking.as_ref()?;
        let part = |subtask: Subtask| {
            let at_checkpoint = parts.get(&subtask).map(|part| (subtask, At::Checkpoint(trigger.id), part.clone()));
            at_checkpoint.or_else(|| self.end(subtask))
        };
        self.subtasks().map(part).collect()
    }

    fn end(&self, subtask: Subtask) -> Option<(Subtask, At, String)> {
        self.ends.get(&subtask).map(|part| (subtask, At::End, part.clone()))
    }

    fn has_ended(&self) -> bool {
        self.subtasks().all(|subtask| self.ends.contains_key(&subtask))
    }
}

impl Job {
    /// Whether the attempt's shape is for certain the one that the job has, so that a checkpoint is one of that shape.
    fn is_settled(&self) -> bool {
        let placed = self.placed().is_some_and(|placed| placed.version == self.record.version);
        placed && self.replacing.is_durable(&self.record)
    }

    /// When the next checkpoint is to be triggered, and whether as a savepoint, as far as it is known.
    fn next_trigger(&self) -> Option<(Timestamp, bool)> {
        let config = self.record.shape.checkpoints.as_ref()?;
        let Phase::Placed { placed, stage: Stage::Running { .. } } = &self.phase else { return None };
        let busy = placed.taking.is_some() || self.keeping.writing.is_some();
        if busy || placed.has_ended() || !self.is_settled() {
            return None;
        }
        if self.durably_desired == Desired::Stop || self.keeping.savepoints.wait() {
            return Some((self.keeping.savepoint_from_ms, true));
        }
        let due_ms = if self.replacing.waits() { Timestamp::MIN } else { self.keeping.is_due_from_ms(config) };
        Some((due_ms, false))
    }

    fn timeout_ms(&self) -> u64 {
        self.record.shape.checkpoints.map_or(u64::MAX, |config| config.timeout_ms)
    }

    /// When the checkpoint that is being taken is late.
    fn late_ms(&self) -> Option<Timestamp> {
        let taking = self.placed()?.taking.as_ref()?;
        Some(taking.since_ms.saturating_add_unsigned(self.timeout_ms()))
    }
}

impl JobManager {
    /// Does for a job's checkpoints what is due by now.
    pub(super) fn keep(&mut self, id: JobId) {
        self.give_up_if_late(id);
        self.write_if_whole(id);
        self.write_last(id);
        self.trigger_if_due(id);
        self.set_checkpoint_timer(id);
    }

    pub(super) fn keep_due(&mut self) {
        while let Some(&(at_ms, id)) = self.checkpoint_timers.first()
            && at_ms <= self.now_ms
        {
            self.checkpoint_timers.pop_first();
            if let Some(job) = self.jobs.get_mut(&id) {
                job.keeping.look_ms = None;
                self.keep(id);
            }
        }
    }

    fn set_checkpoint_timer(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let at_ms = job.late_ms().or_else(|| job.next_trigger().map(|(at_ms, _)| at_ms));
        let earlier = std::mem::replace(&mut job.keeping.look_ms, at_ms);
        if let Some(earlier) = earlier {
            self.checkpoint_timers.remove(&(earlier, id));
        }
        if let Some(at_ms) = at_ms {
            self.checkpoint_timers.insert((at_ms, id));
        }
    }

    fn trigger_if_due(&mut self, id: JobId) {
        let (now_ms, epoch) = (self.now_ms, self.epoch);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some((_, savepoint)) = job.next_trigger().filter(|(due_ms, _)| *due_ms <= now_ms) else { return };
        let trigger = Trigger { id: job.keeping.next_id(epoch), savepoint };
        job.keeping.began_ms = now_ms;
        job.replacing.triggered(trigger.id);
        if savepoint {
            job.keeping.savepoints.triggered(trigger.id);
        }
        let placed = job.placed_mut().expect("what triggers has an attempt");
        placed.taking = Some(Taking { trigger, since_ms: now_ms, parts: BTreeMap::new() });
        placed.checkpoints.triggered = Some(trigger);
        self.order(id);
        // A job without subtasks has said all its parts.
        self.write_if_whole(id);
    }

    /// A subtask of the present attempt has said its part.
    pub(super) fn take_part(&mut self, id: JobId, subtask: Subtask, at: At, content: String) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Placed { placed, .. } = &mut job.phase else { return };
        match (at, &mut placed.taking) {
            (At::End, _) => drop(placed.ends.entry(subtask).or_insert(content)),
            (At::Checkpoint(id), Some(taking)) if taking.trigger.id == id => {
                taking.parts.entry(subtask).or_insert(content);
            }
            // Of one that is given up, or complete.
            (At::Checkpoint(_), _) => return,
        }
        self.keep(id);
    }

    pub(super) fn take_declined(&mut self, id: JobId, subtask: Subtask, checkpoint: CheckpointId, reason: &str) {
        let taking = self.jobs[&id].placed().and_then(|placed| placed.taking.as_ref());
        if taking.is_some_and(|taking| taking.trigger.id == checkpoint) {
            self.give_up(id, &format!("{subtask} could not take its part: {reason}"));
            self.keep(id);
        }
    }

    fn write_if_whole(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Placed { placed, .. } = &mut job.phase else { return };
        let Some(parts) = placed.whole() else { return };
        let attempt = placed.attempt;
        let Taking { trigger, since_ms, .. } = placed.taking.take().expect("it is whole");
        let (id_of_it, savepoint) = (trigger.id, trigger.savepoint);
        self.write_checkpoint(id, Writing { id: id_of_it, since_ms, attempt, savepoint, last: false }, parts);
    }

    /// All have prepared: what they have prepared becomes visible once it is in a checkpoint.
    fn write_last(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Phase::Placed { placed, stage: Stage::Running { .. } } = &job.phase else { return };
        let prepared = job.all(|state| state.rank() >= SubtaskState::Prepared.rank());
        let busy = job.keeping.writing.is_some() || !job.is_settled();
        if job.record.shape.checkpoints.is_none() || busy || !prepared || !placed.has_ended() {
            return;
        }
        let (attempt, parts) = (placed.attempt, placed.subtasks().filter_map(|subtask| placed.end(subtask)).collect());
        self.give_up(id, "all input has been handled before");
        let (now_ms, epoch) = (self.now_ms, self.epoch);
        let keeping = &mut self.jobs.get_mut(&id).expect("it was found above").keeping;
        let checkpoint = keeping.next_id(epoch);
        let savepoint = keeping.savepoints.wait();
        if savepoint {
            keeping.savepoints.triggered(checkpoint);
        }
        self.write_checkpoint(id, Writing { id: checkpoint, since_ms: now_ms, attempt, savepoint, last: true }, parts);
    }

    fn write_checkpoint(&mut self, id: JobId, writing: Writing, parts: Vec<(Subtask, At, String)>) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let Writing { id: checkpoint, attempt, savepoint, last, .. } = writing;
        assert!(job.keeping.writing.is_none(), "{id} writes {checkpoint} while another is not answered");
        job.keeping.writing = Some(writing);
        let (parent, damaged) = (job.begins_from(), job.record.recovery.damaged.clone());
        let command =
            Command::StoreCheckpoint { job: id, attempt, checkpoint, parent, parts, savepoint, last, damaged };
        self.commands.push(command);
    }

    /// Gives up the checkpoint that is being taken, if one is. What is being written is beyond that.
    pub(super) fn give_up(&mut self, id: JobId, reason: &str) {
        let Some(taking) = self.jobs.get_mut(&id).and_then(Job::placed_mut).and_then(|placed| placed.taking.take())
        else {
            return;
        };
        self.not_taken(id, taking.trigger, reason);
        self.order(id);
    }

    fn give_up_if_late(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.late_ms().is_some_and(|late_ms| late_ms <= self.now_ms) {
            self.give_up(id, &format!("it was not complete after {} ms", job.timeout_ms()));
        }
    }

    /// Counts a checkpoint that comes to nothing, and answers whoever waited for it.
    fn not_taken(&mut self, id: JobId, trigger: Trigger, reason: &str) {
        let now_ms = self.now_ms;
        let checkpoint = trigger.id;
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let keeping = &mut job.keeping;
        keeping.failed += 1;
        keeping.failed_in_row += 1;
        keeping.ended_ms = now_ms;
        if trigger.savepoint {
            keeping.savepoint_from_ms = now_ms + SAVEPOINT_RETRY_MS;
        }
        if let Some(placed) = job.placed_mut() {
            placed.checkpoints.given_up = placed.checkpoints.given_up.max(Some(checkpoint));
        }
        self.event(id, JobEvent::CheckpointFailed { checkpoint, reason: reason.to_owned() });
        self.refuse_savepoints(id, checkpoint, reason);
        self.refuse_replacing(id, checkpoint, reason);
    }

    /// A checkpoint is durable: all that comes later begins from it. Whatever has become of its attempt.
    pub(super) fn checkpoint_stored(&mut self, id: JobId, completed: Completed) {
        let now_ms = self.now_ms;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (checkpoint, keeping) = (completed.id, &mut job.keeping);
        let Some(writing) = keeping.writing.take_if(|writing| writing.id == checkpoint) else { return };
        let Writing { attempt, savepoint, last, .. } = writing;
        let manifest = completed.manifest.clone();
        keeping.completed.push((Completed { last, ..completed }, now_ms));
        keeping.ended_ms = now_ms;
        keeping.taken += 1;
        keeping.failed_in_row = 0;
        keeping.savepoints.stored(checkpoint, &manifest);
        job.forget_older();
        if savepoint {
            self.event(id, JobEvent::SavepointTaken { checkpoint });
        }
        self.make_visible(id, attempt, (checkpoint, &manifest), (savepoint, last));
        self.answer_savepoints(id);
        self.go_on_if_stopped(id);
        self.keep(id);
    }

    /// Tells the sinks of the attempt, if it is still there, that a checkpoint is complete, and what else follows from that.
    fn make_visible(
        &mut self,
        id: JobId,
        attempt: Attempt,
        (checkpoint, manifest): (CheckpointId, &str),
        (savepoint, last): (bool, bool),
    ) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let stops = savepoint && job.durably_desired == Desired::Stop;
        let replaces = job.replacing.is_by(checkpoint);
        let Phase::Placed { placed, stage } = &mut job.phase else { return };
        if placed.attempt != attempt {
            return;
        }
        placed.checkpoints.completed = Some(checkpoint);
        if last {
            *stage = Stage::Committing;
            self.wish(id, Wish::Commit);
            self.get_on(id);
        } else if stops {
            let manifest = manifest.to_owned();
            self.stop(id, Then::End(EndState::Stopped { checkpoint, manifest }));
        } else {
            self.order(id);
            if replaces {
                self.put_in_place(id);
            }
        }
    }

    /// A checkpoint is certainly not there.
    pub(super) fn checkpoint_not_stored(&mut self, id: JobId, checkpoint: CheckpointId, message: &str) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(writing) = job.keeping.writing.take_if(|writing| writing.id == checkpoint) else { return };
        let Writing { attempt, savepoint, last, .. } = writing;
        let present = matches!(&job.phase, Phase::Placed { placed, .. } if placed.attempt == attempt);
        let reason = format!("could not store it: {message}");
        self.not_taken(id, Trigger { id: checkpoint, savepoint }, &reason);
        if present && last {
            let message = format!("could not store {checkpoint} of {id}, the last: {message}");
            self.fail(id, Cause { code: Code::CheckpointStore, domain: Domain::External, message });
        } else if present {
            self.order(id);
        }
        self.go_on_if_stopped(id);
        self.keep(id);
    }
}
