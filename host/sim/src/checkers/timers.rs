//! Each row's timer fires once in what is visible, and not before it is due: with the job, or, where it goes on from a savepoint of
//! another, after that. What has not fired at a job's end is in its last checkpoint, for whoever goes on from it.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_control::jobmanager::JobState;
use wasmill_model::ids::{CheckpointId, JobId};

use crate::{
    checkers::Fact,
    store::{Fired, Manifest, Row, Transaction},
};

#[derive(Debug, Default)]
pub(crate) struct Timers {
    points: BTreeMap<String, Point>,
    jobs: BTreeMap<JobId, Fires>,
}

/// What a manifest says of timers.
#[derive(Debug)]
struct Point {
    job: JobId,
    checkpoint: CheckpointId,
    positions: BTreeMap<u32, u64>,
    /// Rows whose timers have not fired.
    waiting: BTreeSet<Row>,
    transactions: Vec<Transaction>,
}

/// What has fired of a job.
#[derive(Debug, Default)]
struct Fires {
    begun: Option<String>,
    newest: Option<String>,
    fired: BTreeSet<Row>,
    /// Those of which somebody has agreed that they are missing.
    given_up: BTreeSet<Row>,
    /// What belongs to checkpoints that were passed over, and what had fired at the one that an attempt went back to.
    passed: BTreeSet<Transaction>,
    back_to: BTreeSet<Row>,
    /// What had fired and fires again, by the newest checkpoint then: who begins from one of before goes on with it all the same.
    again: BTreeMap<CheckpointId, BTreeSet<Row>>,
    /// Nothing has fired since that was found to be right.
    is_exact: bool,
}

impl Timers {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            // A number that nobody was told of is used again.
            Fact::Shaped { record } => {
                let begun = record.shape.from.clone();
                self.jobs.insert(record.id, Fires { begun, ..Fires::default() });
            }
            Fact::Complete { name, manifest } => {
                self.jobs.entry(manifest.job).or_default().newest = Some((*name).to_owned());
                self.points.insert((*name).to_owned(), Point::new(manifest));
            }
            Fact::Visible { transaction, fired, .. } => self.fire(transaction, fired)?,
            Fact::GoesWithout { of, lost: Some(lost), .. } => {
                let fires = self.jobs.entry(of.0).or_default();
                fires.given_up.extend(lost.fired.iter().map(|fired| fired.timer.1));
            }
            Fact::Begun { job, from } => self.begins(*job, *from),
            Fact::SavepointTaken { job, manifest } => {
                let fires = &self.jobs[job];
                let missing = self.wanted(*job, &self.points[*manifest]).find(|row| !fires.has(row));
                if let Some(row) = missing {
                    return Err(format!("a savepoint of {job} covers the timer of row {row:?}, which has not fired"));
                }
            }
            Fact::Told { job, state, .. } => self.is_exact(*job, state)?,
            Fact::Begins { disk } => {
                let ends = disk.all().filter_map(|(record, _)| Some((record.id, record.end.clone()?.state)));
                ends.into_iter().try_for_each(|(job, end)| self.is_exact(job, &end.into()))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn fire(&mut self, transaction: &Transaction, fired: &[Fired]) -> Result<(), String> {
        let job = transaction.job;
        let known = self.jobs.entry(job).or_default();
        known.is_exact = false;
        for Fired { timer: (due_ms, row), watermark } in fired {
            if due_ms > watermark {
                return Err(format!("the timer of row {row:?} of {job} is due at {due_ms} and fires at {watermark}"));
            }
            let is_passed = known.passed.contains(transaction);
            if is_passed && !known.back_to.contains(row) {
                continue;
            }
            if !known.fired.insert(*row) && !is_passed {
                return Err(format!("the timer of row {row:?} of {job} fires twice"));
            }
        }
        Ok(())
    }

    /// Of what comes after the checkpoint that an attempt goes back to nothing counts.
    fn begins(&mut self, job: JobId, from: Option<&str>) {
        let own = from.map(|name| &self.points[name]).filter(|point| point.job == job);
        let at = own.map(|point| point.checkpoint);
        let later = self.points.values().filter(|point| point.job == job && Some(point.checkpoint) > at);
        let kept = own.map_or(&[][..], |point| &point.transactions);
        let newest = later.clone().map(|point| point.checkpoint).max().unwrap_or(CheckpointId(0));
        let passed = later.flat_map(|point| &point.transactions).filter(|transaction| !kept.contains(transaction));
        let passed: Vec<Transaction> = passed.copied().collect();
        let Some(fires) = self.jobs.get(&job) else { return };
        let is_known = fires.again.range(at.unwrap_or(CheckpointId(u64::MAX))..).next().is_some();
        if passed.is_empty() && !is_known {
            return;
        }
        let wanted: BTreeSet<Row> = own.map(|point| self.wanted(job, point).collect()).unwrap_or_default();
        let fires = self.jobs.get_mut(&job).expect("it was found above");
        fires.passed.extend(passed);
        // What was thought to be removed may be there after a crash, and newer than what was begun from since.
        if let Some((_, again)) = fires.again.range_mut(at.unwrap_or(CheckpointId(u64::MAX))..).next() {
            fires.passed.retain(|transaction| !kept.contains(transaction));
            fires.fired.extend(again.extract_if(.., |row| wanted.contains(row)));
        }
        let again = fires.again.entry(newest).or_default();
        again.extend(fires.fired.extract_if(.., |row| !wanted.contains(row)));
        again.extend(fires.given_up.extract_if(.., |row| !wanted.contains(row)));
        fires.back_to = wanted;
    }

    /// The rows whose timers have fired since a job began, up to a checkpoint of its own.
    fn wanted<'a>(&'a self, job: JobId, to: &'a Point) -> impl Iterator<Item = Row> + 'a {
        let begun = self.jobs[&job].begun.as_ref().map(|name| &self.points[name]);
        let from = move |split: &u32| begun.and_then(|begun| begun.positions.get(split)).copied().unwrap_or(0);
        let rows = to.positions.iter().flat_map(move |(split, to)| (from(split)..*to).map(|n| (*split, n)));
        let waited = begun.into_iter().flat_map(|begun| &begun.waiting).copied();
        rows.chain(waited).filter(|row| !to.waiting.contains(row))
    }

    fn is_exact(&mut self, job: JobId, state: &JobState) -> Result<(), String> {
        let Some(fires) = self.jobs.get(&job).filter(|fires| !fires.is_exact) else { return Ok(()) };
        let name = match state {
            JobState::Finished => fires.newest.as_ref(),
            JobState::Stopped { manifest, .. } => Some(manifest),
            _ => return Ok(()),
        };
        // One that takes no checkpoints has no timers.
        let Some(point) = name.map(|name| &self.points[name]) else { return Ok(()) };
        let (mut wanted, mut missing) = (0, None);
        for row in self.wanted(job, point) {
            wanted += 1;
            missing = missing.or_else(|| (!fires.has(&row)).then_some(row));
        }
        let found = fires.fired.union(&fires.given_up).count();
        if found != wanted || missing.is_some() {
            let which = missing.map_or_else(String::new, |row| format!(", not that of row {row:?}"));
            return Err(format!("{job} is {}: {found} timers have fired of {wanted}{which}", state.name()));
        }
        if *state == JobState::Finished && !point.waiting.is_empty() {
            return Err(format!("{job} has finished, and {} timers wait for ever", point.waiting.len()));
        }
        self.jobs.get_mut(&job).expect("it was found above").is_exact = true;
        Ok(())
    }
}

impl Fires {
    fn has(&self, row: &Row) -> bool {
        self.fired.contains(row) || self.given_up.contains(row)
    }
}

impl Point {
    fn new(manifest: &Manifest) -> Self {
        let Manifest { job, checkpoint, positions, timers, transactions, .. } = manifest;
        let waiting = timers.iter().map(|(_, row)| *row).collect();
        let (positions, transactions) = (positions.clone(), transactions.clone());
        Self { job: *job, checkpoint: *checkpoint, positions, waiting, transactions }
    }
}
