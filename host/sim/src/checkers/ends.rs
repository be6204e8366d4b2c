//! A job that was said to have ended has: nothing of it runs, nothing of it starts, and it stays as it is. And every job comes to
//! its end.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_control::jobmanager::JobState;
use wasmill_model::ids::JobId;

use crate::checkers::{Fact, Try};

#[derive(Debug, Default)]
pub(crate) struct Ends {
    accepted: BTreeSet<JobId>,
    ended: BTreeMap<JobId, JobState>,
}

impl Ends {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Accepted { job, .. } => {
                self.accepted.insert(*job);
            }
            Fact::Told { job, state, busy, .. } => {
                if let Some(end) = self.ended.get(job) {
                    return Err(format!("{job} is said to be {} and was {}", state.name(), end.name()));
                }
                if !state.is_terminal() {
                    return Ok(());
                }
                if let Some((taskmanager, (_, attempt))) = busy.iter().find(|(_, (busy, _))| busy == job) {
                    return Err(format!("{job} is said to be {} and {attempt} runs on {taskmanager}", state.name()));
                }
                self.ended.insert(*job, (*state).clone());
            }
            // A crash may have come between the tombstone and telling it.
            Fact::Begins { disk } => {
                let ends = disk.all().filter_map(|(record, _)| Some((record.id, record.end.clone()?.state.into())));
                let new: Vec<(JobId, JobState)> = ends.filter(|(job, _)| !self.ended.contains_key(job)).collect();
                self.ended.extend(new);
            }
            Fact::Starts { of, taskmanager, .. } => self.is_not_over(of, &format!("starts on {taskmanager}"))?,
            Fact::Commits { of, taskmanager } => self.is_not_over(of, &format!("commits on {taskmanager}"))?,
            Fact::Complete { name, manifest } => {
                if let Some(end) = self.ended.get(&manifest.job) {
                    return Err(format!("{name} is stored after its job has ended, {}", end.name()));
                }
            }
            Fact::Placed { of } => self.is_not_over(of, "is given slots")?,
            _ => {}
        }
        Ok(())
    }

    fn is_not_over(&self, (job, attempt): &Try, what: &str) -> Result<(), String> {
        match self.ended.get(job) {
            Some(end) => Err(format!("{attempt} {what}, and {job} is {}", end.name())),
            None => Ok(()),
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.accepted.iter().all(|job| self.ended.contains_key(job))
    }

    pub(crate) fn unfinished(&self) -> BTreeSet<JobId> {
        self.accepted.iter().filter(|job| !self.ended.contains_key(job)).copied().collect()
    }
}
