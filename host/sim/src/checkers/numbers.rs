//! Ids and attempts only go up, over all lives of the JobManager, and a key stands for one job.

use std::collections::BTreeMap;

use wasmill_model::ids::{Attempt, JobId};

use crate::checkers::Fact;

#[derive(Debug, Default)]
pub(crate) struct Numbers {
    by_key: BTreeMap<u64, JobId>,
    highest: Option<JobId>,
    attempts: BTreeMap<JobId, Attempt>,
}

impl Numbers {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            // A number that nobody was told of may be used again: its job was refused, or lost with the JobManager.
            Fact::Shaped { record } => match self.highest {
                Some(highest) if highest >= record.id => Err(format!("{} is new, and {highest} is taken", record.id)),
                _ => Ok(()),
            },
            Fact::Accepted { key, job } => {
                self.highest = self.highest.max(Some(*job));
                match self.by_key.insert(*key, *job) {
                    Some(known) if known != *job => Err(format!("key {key} stands for {known} and for {job}")),
                    _ => Ok(()),
                }
            }
            // A key is known as long as its job is.
            Fact::Forgotten { job } => {
                self.by_key.retain(|_, known| known != job);
                Ok(())
            }
            Fact::Placed { of: (job, attempt) } => match self.attempts.insert(*job, *attempt) {
                Some(earlier) if earlier >= *attempt => Err(format!("{attempt} of {job} comes after {earlier}")),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
