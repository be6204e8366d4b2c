//! What jobs with checkpoints write: each row once, nothing that no complete checkpoint covers, and in the end all.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_control::jobmanager::JobState;
use wasmill_model::ids::{CheckpointId, JobId};

use crate::{
    checkers::Fact,
    data::{ROWS, SPLITS, key},
    store::{Manifest, Row, Transaction},
};

#[derive(Debug, Default)]
pub(crate) struct Outputs {
    manifests: BTreeMap<String, Manifest>,
    covered: BTreeSet<Transaction>,
    jobs: BTreeMap<JobId, Output>,
    /// Manifests that may be passed over although something of them is visible.
    agreed: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Output {
    /// Where it began: positions, and how many of each key there were.
    begun: Option<(BTreeMap<u32, u64>, BTreeMap<u32, u64>)>,
    /// It ends when it has read all there is, and not before.
    reads_all: bool,
    visible: BTreeMap<Row, u64>,
    /// What somebody has agreed to that it is missing.
    given_up: BTreeMap<Row, u64>,
    newest: Option<String>,
    /// What belongs to checkpoints that were passed over, and how far those were read that an attempt went back to: somebody who wakes
    /// late may still make it visible, and may not find it.
    passed: BTreeSet<Transaction>,
    back_to: BTreeMap<u32, u64>,
    /// What was visible and comes again, by the newest checkpoint then: who begins from one of before goes on with it all the same.
    again: BTreeMap<CheckpointId, BTreeMap<Row, u64>>,
}

impl Outputs {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Shaped { record } if record.shape.checkpoints.is_some() => {
                let from = record.shape.from.as_ref().map(|name| &self.manifests[name]);
                let begun = from.map(|manifest| (manifest.positions.clone(), manifest.counts.clone()));
                let reads_all = record.shape.name == "bounded";
                self.jobs.insert(record.id, Output { begun, reads_all, ..Output::default() });
                Ok(())
            }
            // A number that nobody was told of is used again.
            Fact::Shaped { record } => {
                self.jobs.remove(&record.id);
                Ok(())
            }
            Fact::Complete { name, manifest } => {
                self.covered.extend(&manifest.transactions);
                self.jobs.entry(manifest.job).or_default().newest = Some((*name).to_owned());
                self.manifests.insert((*name).to_owned(), (*manifest).clone());
                Ok(())
            }
            Fact::Visible { transaction, rows, .. } => {
                if !self.covered.contains(transaction) {
                    return Err(format!("{transaction:?} becomes visible, and no complete checkpoint covers it"));
                }
                let output = self.jobs.entry(transaction.job).or_default();
                let is_passed = output.passed.contains(transaction);
                for (row, count) in *rows {
                    if is_passed && !output.is_before(row) {
                        continue;
                    }
                    if output.visible.insert(*row, *count).is_some() && !is_passed {
                        return Err(format!("row {row:?} of {} is visible twice", transaction.job));
                    }
                }
                Ok(())
            }
            Fact::Agreed { manifest } => {
                self.agreed.insert((*manifest).to_owned());
                Ok(())
            }
            Fact::GoesWithout { of, lost: Some(lost), .. } => {
                self.jobs.entry(of.0).or_default().given_up.extend(lost.rows.iter().copied());
                Ok(())
            }
            Fact::Begun { job, from } => self.begins(*job, *from),
            Fact::Gone { transaction } if self.has_passed(transaction) => Ok(()),
            Fact::Gone { transaction } => Err(format!("{transaction:?} is to become visible, and its file is gone")),
            Fact::SavepointTaken { job, manifest } => self.is_visible(*job, manifest),
            Fact::Told { job, state, .. } => self.is_exact(*job, state),
            Fact::Begins { disk } => {
                let ends = disk.all().filter_map(|(record, _)| Some((record.id, record.end.clone()?.state)));
                ends.into_iter().try_for_each(|(job, end)| self.is_exact(job, &end.into()))
            }
            _ => Ok(()),
        }
    }

    /// Nobody goes back past a checkpoint that covers results before somebody has agreed to it. What was visible of such comes again,
    /// and after that each row is there once.
    fn begins(&mut self, job: JobId, from: Option<&str>) -> Result<(), String> {
        let Some(output) = self.jobs.get_mut(&job) else { return Ok(()) };
        let own = from.map(|name| &self.manifests[name]).filter(|manifest| manifest.job == job);
        let at = own.map(|manifest| manifest.checkpoint);
        let is_later = |manifest: &Manifest| manifest.job == job && Some(manifest.checkpoint) > at;
        let later = || self.manifests.iter().filter(|(_, manifest)| is_later(manifest));
        let passed: Vec<&String> =
            later().filter(|(_, manifest)| !manifest.transactions.is_empty()).map(|(name, _)| name).collect();
        // Who goes back to the beginning is asked about the oldest that is kept, which may hold nothing itself, and passes over those
        // that are not.
        let is_agreed = match at {
            Some(_) => passed.iter().all(|name| self.agreed.contains(*name)),
            None => later().any(|(name, _)| self.agreed.contains(name)),
        };
        if !passed.is_empty() && !is_agreed {
            return Err(format!("{job} goes back past {}, to which nobody has agreed", passed.len()));
        }
        let is_known = output.again.range(at.unwrap_or(CheckpointId(u64::MAX))..).next().is_some();
        if !passed.is_empty() || is_known {
            let begun = output.begun.as_ref().map(|(positions, _)| positions);
            output.back_to = own.map(|manifest| &manifest.positions).or(begun).cloned().unwrap_or_default();
            let kept = own.map_or(&[][..], |manifest| &manifest.transactions);
            let all = passed.iter().flat_map(|name| &self.manifests[*name].transactions);
            output.passed.extend(all.filter(|transaction| !kept.contains(transaction)));
            let is_before = |(split, n): &Row| output.back_to.get(split).is_some_and(|to| n < to);
            // What was thought to be removed may be there after a crash, and newer than what was begun from since.
            if let Some((_, again)) = output.again.range_mut(at.unwrap_or(CheckpointId(u64::MAX))..).next() {
                output.passed.retain(|transaction| !kept.contains(transaction));
                output.visible.extend(again.extract_if(.., |row, _| is_before(row)));
            }
            let newest = passed.iter().map(|name| self.manifests[*name].checkpoint).max();
            let again = output.again.entry(newest.unwrap_or(CheckpointId(0))).or_default();
            again.extend(output.visible.extract_if(.., |row, _| !is_before(row)));
            again.extend(output.given_up.extract_if(.., |row, _| !is_before(row)));
        }
        Ok(())
    }

    fn has_passed(&self, transaction: &Transaction) -> bool {
        self.jobs.get(&transaction.job).is_some_and(|output| output.passed.contains(transaction))
    }

    /// All that a savepoint covers is visible.
    fn is_visible(&self, job: JobId, manifest: &str) -> Result<(), String> {
        let (output, manifest) = (&self.jobs[&job], &self.manifests[manifest]);
        let (wanted, _) = output.since_begun(manifest);
        let covered = |(split, n): &Row| *n < manifest.positions[split];
        let found = output.accounted().filter(|(row, _)| covered(row)).count() as u64;
        match found == wanted {
            true => Ok(()),
            false => Err(format!("a savepoint of {job} covers {wanted} rows, and {found} of them are visible")),
        }
    }

    /// A job that has finished, or was stopped, has written what its last checkpoint covers, each row once, and no other.
    fn is_exact(&self, job: JobId, state: &JobState) -> Result<(), String> {
        let Some(output) = self.jobs.get(&job) else { return Ok(()) };
        let name = match state {
            JobState::Finished => output.newest.as_ref(),
            JobState::Stopped { manifest, .. } => Some(manifest),
            _ => return Ok(()),
        };
        let Some(manifest) = name.map(|name| &self.manifests[name]) else {
            return Err(format!("{job} is {} without a checkpoint", state.name()));
        };
        let (wanted, counts) = output.since_begun(manifest);
        let beyond = output.accounted().filter(|((split, n), _)| *n >= manifest.positions[split]).count();
        let found = output.accounted().count() as u64;
        if beyond > 0 || found != wanted {
            let name = state.name();
            return Err(format!("{job} is {name}: {found} rows are visible of {wanted}, {beyond} beyond its last"));
        }
        if output.counts() != counts {
            return Err(format!("{job} is {}, and its state has not counted each row once", state.name()));
        }
        let read = (0..SPLITS).all(|split| manifest.positions.get(&split).is_some_and(|position| *position >= ROWS));
        if *state == JobState::Finished && output.reads_all && !read {
            return Err(format!("{job} has finished and has not read all its input: {:?}", manifest.positions));
        }
        Ok(())
    }
}

impl Output {
    /// How many rows were read since the job began, and which counts of each key must have come out.
    fn since_begun(&self, manifest: &Manifest) -> (u64, BTreeMap<u32, Vec<u64>>) {
        let none = BTreeMap::new();
        let (positions, counts) = self.begun.as_ref().map_or((&none, &none), |(positions, counts)| (positions, counts));
        let before = |of: &BTreeMap<u32, u64>, n: &u32| of.get(n).copied().unwrap_or(0);
        let rows = manifest.positions.iter().map(|(split, position)| position - before(positions, split)).sum();
        let keys = manifest.counts.iter().map(|(key, count)| (*key, (before(counts, key) + 1..=*count).collect()));
        (rows, keys.filter(|(_, counts): &(u32, Vec<u64>)| !counts.is_empty()).collect())
    }

    fn is_before(&self, (split, n): &Row) -> bool {
        self.back_to.get(split).is_some_and(|to| n < to)
    }

    /// What is visible, and what is missing because somebody has agreed to that.
    fn accounted(&self) -> impl Iterator<Item = (&Row, &u64)> {
        let missing = self.given_up.iter().filter(|(row, _)| !self.visible.contains_key(row));
        self.visible.iter().chain(missing)
    }

    fn counts(&self) -> BTreeMap<u32, Vec<u64>> {
        let mut counts: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        self.accounted().for_each(|(row, count)| counts.entry(key(*row)).or_default().push(*count));
        counts.values_mut().for_each(|counts| counts.sort_unstable());
        counts
    }
}
