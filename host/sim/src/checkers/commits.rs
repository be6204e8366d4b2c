//! Results of a job without checkpoints become visible of one attempt at a time, and only once all subtasks of that very attempt
//! have prepared. Those of one with checkpoints belong to a checkpoint, whoever makes them visible.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::ids::{Attempt, JobId, Subtask};

use crate::checkers::{Fact, Try};

#[derive(Debug, Default)]
pub(crate) struct Commits {
    subtasks: BTreeMap<JobId, usize>,
    newest: BTreeMap<JobId, Attempt>,
    prepared: BTreeMap<Try, BTreeSet<Subtask>>,
}

impl Commits {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Shaped { record } if record.shape.checkpoints.is_none() => {
                self.subtasks.insert(record.id, record.shape.subtasks().count());
            }
            // A number that nobody was told of is used again.
            Fact::Shaped { record } => drop(self.subtasks.remove(&record.id)),
            Fact::Placed { of: (job, attempt) } => {
                self.newest.insert(*job, *attempt);
            }
            Fact::Prepared { of, subtask } => {
                self.prepared.entry(*of).or_default().insert(*subtask);
            }
            Fact::Commits { taskmanager, of } => {
                let (job, attempt) = of;
                if !self.subtasks.contains_key(job) {
                    return Ok(());
                }
                let (all, prepared) = (self.subtasks[job], self.prepared.get(of).map_or(0, BTreeSet::len));
                if prepared < all {
                    let which = format!("{prepared} of {all} subtasks have prepared");
                    return Err(format!("{taskmanager} commits {attempt} of {job}, of which {which}"));
                }
                let newest = self.newest[job];
                if *attempt != newest {
                    return Err(format!("{taskmanager} commits {attempt} of {job}, which is at {newest} by now"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
