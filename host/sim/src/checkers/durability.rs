//! Nothing is told that the disk does not know, and what was told is still known after any crash.

use std::collections::BTreeMap;

use wasmill_control::jobmanager::Desired;
use wasmill_model::ids::JobId;

use crate::checkers::Fact;

/// What has been told of a job.
#[derive(Debug, Clone, Copy)]
struct Known {
    ended: bool,
    desired: Desired,
}

#[derive(Debug, Default)]
pub(crate) struct Durability {
    told: BTreeMap<JobId, Known>,
}

impl Durability {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            // Whether the disk knows it by now is seen when the next life begins: a crash may never come.
            Fact::Accepted { job, .. } => {
                self.told.entry(*job).or_insert(Known { ended: false, desired: Desired::Run });
            }
            Fact::EndTaken { job, desired } => {
                if let Some(known) = self.told.get_mut(job) {
                    known.desired = known.desired.max(*desired);
                }
            }
            Fact::Told { job, state, .. } if state.is_terminal() => {
                if let Some(known) = self.told.get_mut(job) {
                    known.ended = true;
                }
            }
            Fact::Shape { of: (job, attempt), durable: false } => {
                return Err(format!("{attempt} of {job} is placed, and its shape is not durable"));
            }
            Fact::Forgotten { job } => {
                self.told.remove(job);
            }
            Fact::Begins { disk } => {
                for (job, known) in &self.told {
                    let Some(record) = disk.record(*job) else {
                        return Err(format!("{job} was accepted and is not known after a restart"));
                    };
                    if known.ended && record.end.is_none() {
                        return Err(format!("{job} was said to have ended and has not after a restart"));
                    }
                    if record.end.is_none() && record.desired < known.desired {
                        return Err(format!("{job} was to end and is not after a restart"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
