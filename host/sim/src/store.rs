//! The checkpoint store that all share, and the outputs: parts, manifests, and the files of transactions. A manifest becomes durable
//! in its own time, or certainly not; the answer comes later still, and a crash of the JobManager leaves open which it was.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_control::{
    jobmanager::{Completed, Event, JobRecord},
    message::At,
};
use wasmill_model::{
    Timestamp,
    ids::{Attempt, CheckpointId, JobId, Subtask},
};

use crate::{
    Sabotage,
    checkers::Fact,
    random::Random,
    world::{Happening, World},
};

/// Intact checkpoints of a job that are kept.
pub(crate) const RETAINED: u32 = 3;

/// A row: a split of the input, and its place in it.
pub(crate) type Row = (u32, u64);

/// A row that a sink writes, with how many of its key it was.
pub(crate) type Counted = (Row, u64);

/// When a timer is due, and the row that has set it.
pub(crate) type Timer = (Timestamp, Row);

/// A timer that has fired, and the watermark that it fired at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fired {
    pub(crate) timer: Timer,
    pub(crate) watermark: Timestamp,
}

/// What a sink writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Counted>,
    pub(crate) fired: Vec<Fired>,
}

impl Results {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.fired.is_empty()
    }

    fn extend(&mut self, other: &Self) {
        self.rows.extend(&other.rows);
        self.fired.extend(&other.fired);
    }

    /// Those of some rows, without what is shown already.
    pub(crate) fn left(&self, is_own: impl Fn(Row) -> bool, shown: &Shown) -> Self {
        let rows = self.rows.iter().filter(|(row, _)| is_own(*row) && !shown.rows.contains(row));
        let fired =
            self.fired.iter().filter(|Fired { timer: (_, row), .. }| is_own(*row) && !shown.fired.contains(row));
        Self { rows: rows.copied().collect(), fired: fired.copied().collect() }
    }
}

/// Rows that are visible, and those whose timers have fired visibly.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    rows: BTreeSet<Row>,
    fired: BTreeSet<Row>,
}

/// A file of results, prepared by a sink and made visible, or not, as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Transaction {
    pub(crate) job: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) subtask: Subtask,
    pub(crate) number: u64,
}

/// What one subtask has kept.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Source {
        positions: BTreeMap<u32, u64>,
    },
    /// `open`: what belongs to no transaction yet.
    Sink {
        counts: BTreeMap<u32, u64>,
        transactions: Vec<Transaction>,
        open: Results,
        timers: BTreeSet<Timer>,
    },
}

/// What all have kept.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) job: JobId,
    pub(crate) checkpoint: CheckpointId,
    pub(crate) last: bool,
    pub(crate) positions: BTreeMap<u32, u64>,
    pub(crate) counts: BTreeMap<u32, u64>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) open: Results,
    pub(crate) timers: BTreeSet<Timer>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    parts: Vec<Part>,
    manifests: BTreeMap<String, Manifest>,
    /// On their way.
    waiting: BTreeMap<(JobId, CheckpointId), Manifest>,
    /// Prepared, and neither visible nor thrown away.
    pub(crate) files: BTreeMap<Transaction, Results>,
    pub(crate) visible: BTreeMap<Transaction, Results>,
    /// Prepared and gone, and visible once and gone.
    pub(crate) lost: BTreeMap<Transaction, Results>,
    pub(crate) taken: BTreeMap<Transaction, Results>,
    /// Manifests from which nobody can begin.
    pub(crate) damaged: BTreeSet<String>,
}

impl Store {
    /// Makes a part durable. What the JobManager is told of it.
    pub(crate) fn keep(&mut self, part: Part) -> String {
        self.parts.push(part);
        (self.parts.len() - 1).to_string()
    }

    pub(crate) fn manifest(&self, name: &str) -> Option<&Manifest> {
        self.manifests.get(name)
    }

    /// What a life of the JobManager finds of a job: what is beyond those that are retained was removed.
    pub(crate) fn completed(&self, record: &JobRecord, claims_nothing: bool) -> Vec<Completed> {
        let of_job = self.manifests.iter().filter(|(_, manifest)| manifest.job == record.id);
        let mut all: Vec<Completed> = of_job
            .map(|(name, manifest)| Completed {
                id: manifest.checkpoint,
                manifest: name.clone(),
                last: manifest.last,
                transactions: !manifest.transactions.is_empty() && !claims_nothing,
            })
            .collect();
        all.sort_by_key(|completed| completed.id);
        let intact = all.iter().rev().filter(|completed| !record.recovery.damaged.contains(&completed.id));
        let oldest = intact.take(RETAINED as usize).last().map(|completed| completed.id);
        all.retain(|completed| Some(completed.id) >= oldest);
        all
    }

    /// What later checkpoints than the one that is begun from have made visible.
    pub(crate) fn shown_by(&self, passed: &[String]) -> Shown {
        let transactions = passed.iter().filter_map(|name| self.manifests.get(name)).flat_map(|of| &of.transactions);
        let mut shown = Shown::default();
        let once = |of| self.visible.get(of).or(self.taken.get(of));
        for results in transactions.filter_map(once) {
            shown.rows.extend(results.rows.iter().map(|(row, _)| *row));
            shown.fired.extend(results.fired.iter().map(|fired| fired.timer.1));
        }
        shown
    }

    fn assemble(&self, job: JobId, checkpoint: CheckpointId, parts: &[(Subtask, At, String)], last: bool) -> Manifest {
        let (positions, counts, transactions) = Default::default();
        let (open, timers) = Default::default();
        let mut all = Manifest { job, checkpoint, last, positions, counts, transactions, open, timers };
        for (_, _, content) in parts {
            match &self.parts[content.parse::<usize>().expect("it was kept here")] {
                // Of two that speak of one split the further one reads it.
                Part::Source { positions } => {
                    for (split, position) in positions {
                        let known = all.positions.entry(*split).or_insert(0);
                        *known = (*known).max(*position);
                    }
                }
                Part::Sink { counts, transactions, open, timers } => {
                    all.open.extend(open);
                    all.timers.extend(timers);
                    all.counts.extend(counts);
                    all.transactions.extend(transactions);
                }
            }
        }
        all
    }
}

fn name(job: JobId, checkpoint: CheckpointId) -> String {
    format!("{job}-{}.{}", checkpoint.0 >> 32, checkpoint.0 as u32)
}

impl World {
    pub(crate) fn store_checkpoint(
        &mut self,
        (job, checkpoint): (JobId, CheckpointId),
        parts: &[(Subtask, At, String)],
        last: bool,
    ) {
        let manifest = self.store.assemble(job, checkpoint, parts, last);
        self.store.waiting.insert((job, checkpoint), manifest);
        let life = self.jobmanager.life();
        self.note(&[50, job.0], || format!("{} is to be stored", name(job, checkpoint)));
        let often = if self.has_faults() { self.profile.slow_store_permille } else { 0 };
        let takes_ms = self.random.heavy_tailed(1, 20, 4_000, often);
        self.within(takes_ms, Happening::StoreDone { life, job, checkpoint });
        if self.is(Sabotage::AnswersBeforeStored) {
            self.within(0, Happening::StoreAnswered { life, job, checkpoint, stored: true });
        } else if self.is(Sabotage::DeploysWhileUnanswered) && self.random.permille(300) {
            self.within(0, Happening::StoreAnswered { life, job, checkpoint, stored: false });
        }
    }

    /// A manifest is durable, or certainly not. Whether anybody hears of it is another matter.
    pub(crate) fn store_done(&mut self, life: u64, job: JobId, checkpoint: CheckpointId) {
        let Some(manifest) = self.store.waiting.remove(&(job, checkpoint)) else { return };
        let stored = !(self.has_faults() && self.random.permille(self.profile.failing_store_permille));
        if stored {
            self.store_manifest(manifest);
        }
        let often = if self.has_faults() { self.profile.slow_store_permille } else { 0 };
        let takes_ms = self.random.heavy_tailed(0, 10, 2_000, often);
        self.within(takes_ms, Happening::StoreAnswered { life, job, checkpoint, stored });
    }

    pub(crate) fn store_answered(&mut self, life: u64, job: JobId, checkpoint: CheckpointId, stored: bool) {
        if self.jobmanager.life() != life {
            return;
        }
        self.note(&[51, job.0], || format!("{} is stored: {stored}", name(job, checkpoint)));
        if stored {
            self.counts.checkpoints += 1;
            let manifest = name(job, checkpoint);
            let there = self.store.manifests.get(&manifest).is_some_and(|there| !there.transactions.is_empty());
            let transactions = there && !self.is(Sabotage::ClaimsNothingVisible);
            self.tell_jobmanager(Event::CheckpointStored { job, checkpoint, manifest, transactions });
        } else {
            let message = "the store is away".to_owned();
            self.tell_jobmanager(Event::CheckpointNotStored { job, checkpoint, message });
        }
    }

    fn store_manifest(&mut self, manifest: Manifest) {
        let name = name(manifest.job, manifest.checkpoint);
        self.see(&Fact::Complete { name: &name, manifest: &manifest });
        self.lose_some(&manifest);
        self.store.manifests.insert(name, manifest);
    }

    /// With the JobManager goes what it was writing, or it is there all the same.
    pub(crate) fn crash_store(&mut self) {
        for (_, manifest) in std::mem::take(&mut self.store.waiting) {
            if self.random.permille(500) {
                self.store_manifest(manifest);
            }
        }
    }

    /// Makes a transaction visible, unless it is already. False: somebody has taken it away.
    pub(crate) fn show(&mut self, transaction: Transaction) -> bool {
        if self.store.visible.contains_key(&transaction) {
            return true;
        }
        match self.store.files.remove(&transaction) {
            Some(results) => {
                self.see(&Fact::Visible { transaction, rows: &results.rows, fired: &results.fired });
                self.store.visible.insert(transaction, results);
                self.take_away_some(transaction);
                true
            }
            None => {
                if !self.store.lost.contains_key(&transaction) && !self.store.taken.contains_key(&transaction) {
                    self.see(&Fact::Gone { transaction });
                }
                false
            }
        }
    }
}

/// A number of splits that is divided among sources, and of keys among sinks.
pub(crate) fn share(of: u32, index: u32, parallelism: u32) -> impl Iterator<Item = u32> {
    (0..of).filter(move |n| n % parallelism == index)
}

/// Some other parallelism.
pub(crate) fn other_chains(random: &mut Random) -> Vec<u32> {
    vec![random.between(1, 3) as u32, random.between(1, 3) as u32]
}
