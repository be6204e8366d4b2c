//! Keeping sources in step: up to which watermark each may go on, by how far the others of its group are.
//!
//! TaskManagers say with each heartbeat how far their sources are. A source may go on up to the lowest watermark of the others
//! of its group and as much further as it may drift. Those that are idle, or have ended, are not waited for; one of which nothing
//! was heard is waited for. Nothing of this is durable, and each attempt begins anew.

use std::collections::BTreeMap;

use wasmill_model::{
    Timestamp,
    ids::{Incarnation, JobId, Subtask, TaskManagerId},
    time,
};

use crate::{
    jobmanager::{
        InStep, JobManager, JobShape,
        job::subtasks,
        phase::{Job, Placed},
    },
    message::{SourceWatermark, SubtaskState},
};

/// The limits of a job are looked at no more often: all its TaskManagers may have to be told, and then poll again.
const LOOK_EVERY_MS: Timestamp = 100;

/// How far the sources of an attempt are, and how far they may go.
#[derive(Debug)]
pub(super) struct Drift {
    in_step: Vec<InStep>,
    /// What was heard: `None` of one that is idle or has ended.
    watermarks: BTreeMap<Subtask, Option<Timestamp>>,
    /// What was told.
    limits: BTreeMap<Subtask, Timestamp>,
    looked_ms: Timestamp,
}

impl Drift {
    /// Of an attempt that is placed now.
    pub(super) fn new(shape: &JobShape, now_ms: Timestamp) -> Self {
        let in_step = shape.in_step.clone();
        Self { in_step, watermarks: BTreeMap::new(), limits: BTreeMap::new(), looked_ms: now_ms }
    }

    pub(super) fn in_step(&self) -> &[InStep] {
        &self.in_step
    }

    /// The limits of these subtasks.
    pub(super) fn limits_of(&self, subtasks: &[Subtask]) -> Vec<(Subtask, Timestamp)> {
        let limits = self.limits.iter().map(|(subtask, limit)| (*subtask, *limit));
        limits.filter(|(subtask, _)| subtasks.contains(subtask)).collect()
    }

    /// Takes how far a source is. Whether that is new, and matters.
    fn take(&mut self, subtask: Subtask, watermark: Option<Timestamp>) -> bool {
        let counts = self.in_step.iter().any(|source| source.chain == subtask.chain);
        counts && self.watermarks.insert(subtask, watermark) != Some(watermark)
    }
}

impl Placed {
    /// The watermark for which others wait, if they do.
    fn waited_for(&self, subtask: Subtask) -> Option<Timestamp> {
        // What has prepared has ended, whatever was heard of its watermark.
        if self.states.get(&subtask).is_some_and(|state| *state != SubtaskState::Running) {
            return None;
        }
        self.drift.watermarks.get(&subtask).copied().unwrap_or(Some(time::MIN))
    }

    /// Takes the limits as they are now. Whether anybody is to be told.
    fn limit(&mut self) -> bool {
        let waited_for: Vec<(u32, Subtask, Timestamp)> = self
            .drift
            .in_step
            .iter()
            .flat_map(|source| {
                let of_source = subtasks(&self.chains).filter(|subtask| subtask.chain == source.chain);
                of_source.filter_map(|subtask| Some((source.group, subtask, self.waited_for(subtask)?)))
            })
            .collect();
        let mut told = false;
        for source in &self.drift.in_step {
            let Some(drift_ms) = source.max_drift_ms else { continue };
            let of_group = || waited_for.iter().filter(|(group, ..)| *group == source.group);
            // The lowest two: one of them is not the subtask itself.
            let mut others: Vec<(Timestamp, Subtask)> = of_group().map(|(_, subtask, at)| (*at, *subtask)).collect();
            others.sort_unstable();
            others.truncate(2);
            for subtask in subtasks(&self.chains).filter(|subtask| subtask.chain == source.chain) {
                let lowest = others.iter().find(|(_, other)| *other != subtask);
                let limit = lowest.map_or(time::MAX, |(at, _)| at.saturating_add_unsigned(drift_ms));
                let before = self.drift.limits.get(&subtask).copied();
                let own = self.drift.watermarks.get(&subtask).copied().flatten();
                if is_to_be_told(before, limit, own, drift_ms) {
                    self.drift.limits.insert(subtask, limit);
                    told = true;
                }
            }
        }
        told
    }
}

/// Whether a subtask is to hear of its new limit. One that may still go more than half of its drift need not hear of more.
fn is_to_be_told(before: Option<Timestamp>, limit: Timestamp, own: Option<Timestamp>, drift_ms: u64) -> bool {
    let Some(before) = before else { return true };
    let near = own.is_none_or(|own| own.saturating_add_unsigned(drift_ms / 2) >= before);
    limit != before && (limit < before || near)
}

impl JobManager {
    /// Takes how far the sources on a TaskManager are, of attempts that are placed there.
    pub(super) fn take_watermarks(
        &mut self,
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        watermarks: &[SourceWatermark],
    ) {
        for SourceWatermark { job: id, attempt, subtask, watermark } in watermarks {
            let Some(placed) = self.jobs.get_mut(id).and_then(Job::placed_mut) else { continue };
            let is_there = placed.attempt == *attempt && placed.is_at(*subtask, taskmanager, incarnation);
            if is_there && placed.drift.take(*subtask, *watermark) {
                let at_ms = placed.drift.looked_ms + LOOK_EVERY_MS;
                self.drift_timers.insert((at_ms, *id));
            }
        }
    }

    /// A subtask has come to another state: others may not have to wait for it any more.
    pub(super) fn limits_may_change(&mut self, id: JobId) {
        let Some(placed) = self.jobs.get(&id).and_then(Job::placed) else { return };
        if !placed.drift.in_step.is_empty() {
            self.drift_timers.insert((placed.drift.looked_ms + LOOK_EVERY_MS, id));
        }
    }

    /// Tells the limits of jobs whose sources have moved.
    pub(super) fn set_limits_due(&mut self) {
        while let Some(&(at_ms, id)) = self.drift_timers.first()
            && at_ms <= self.now_ms
        {
            self.drift_timers.pop_first();
            if self.set_limits(id) {
                self.order(id);
            }
        }
    }

    /// Takes the limits of a job's sources as they are now. Whether its TaskManagers are to be told.
    pub(super) fn set_limits(&mut self, id: JobId) -> bool {
        let now_ms = self.now_ms;
        let Some(placed) = self.jobs.get_mut(&id).and_then(Job::placed_mut) else { return false };
        placed.drift.looked_ms = now_ms;
        placed.limit()
    }
}
