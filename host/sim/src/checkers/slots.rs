//! No TaskManager runs more than it has slots for.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::ids::TaskManagerId;

use crate::checkers::{Fact, Try};

#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: BTreeMap<TaskManagerId, BTreeMap<Try, u32>>,
}

impl Slots {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Starts { taskmanager, of, subtasks, slots } => {
                let places: BTreeSet<u32> = subtasks.iter().map(|subtask| subtask.index).collect();
                let here = self.taken.entry(*taskmanager).or_default();
                if here.insert(*of, places.len() as u32).is_some() {
                    return Err(format!("{taskmanager} starts {} of {} twice", of.1, of.0));
                }
                let taken: u32 = here.values().sum();
                if taken > *slots {
                    return Err(format!("{taskmanager} has {slots} slots and runs what takes {taken}"));
                }
            }
            Fact::Released { taskmanager, of } => {
                self.taken.entry(*taskmanager).or_default().remove(of);
            }
            Fact::Died { taskmanager } => {
                self.taken.remove(taskmanager);
            }
            _ => {}
        }
        Ok(())
    }
}
