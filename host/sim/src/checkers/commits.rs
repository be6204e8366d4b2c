//! Results become visible of one attempt of a job at a time, and only once all subtasks of that very attempt have prepared.

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
            Fact::Shaped { record } => {
                self.subtasks.insert(record.id, record.shape.subtasks().count());
            }
            Fact::Placed { of: (job, attempt) } => {
                self.newest.insert(*job, *attempt);
            }
            Fact::Prepared { of, subtask } => {
                self.prepared.entry(*of).or_default().insert(*subtask);
            }
            Fact::Commits { taskmanager, of } => {
                let (job, attempt) = of;
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
