//! The JobManager's disk: writes become durable one after another, each in its own time. A crash keeps those that were durable,
//! and of the others none, some or all, in their order.

use std::collections::{BTreeMap, VecDeque};

use wasmill_control::jobmanager::JobRecord;
use wasmill_model::ids::JobId;

use crate::random::Random;

/// What the JobManager's shell writes.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Job { write: u64, record: Box<JobRecord>, key: u64 },
    Forget(JobId),
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Which life of the JobManager has begun last.
    pub(crate) epoch: u64,
    jobs: BTreeMap<JobId, (JobRecord, u64)>,
    waiting: VecDeque<Change>,
}

impl Disk {
    /// Takes a change; true if nothing else is being written.
    pub(crate) fn ask(&mut self, change: Change) -> bool {
        self.waiting.push_back(change);
        self.waiting.len() == 1
    }

    /// The write under way is durable, or not if it `fails`. What it was, and whether there is another.
    pub(crate) fn done(&mut self, fails: bool) -> (Option<Change>, bool) {
        let change = self.waiting.pop_front();
        if let (Some(change), false) = (&change, fails) {
            self.apply(change.clone());
        }
        (change, !self.waiting.is_empty())
    }

    pub(crate) fn crash(&mut self, random: &mut Random) {
        let kept = random.between(0, self.waiting.len() as i64) as usize;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().take(kept).for_each(|change| self.apply(change));
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Job { record, key, .. } => drop(self.jobs.insert(record.id, (*record, key))),
            Change::Forget(job) => drop(self.jobs.remove(&job)),
        }
    }

    pub(crate) fn record(&self, job: JobId) -> Option<&JobRecord> {
        self.jobs.get(&job).map(|(record, _)| record)
    }

    /// All records, with the keys they were submitted under.
    pub(crate) fn all(&self) -> impl Iterator<Item = &(JobRecord, u64)> {
        self.jobs.values()
    }
}
