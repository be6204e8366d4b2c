//! Who runs which subtasks of an attempt, and where their data plane listens.

use wasmill_model::ids::{Attempt, Incarnation, JobId, Subtask, TaskManagerId};

/// One life of a TaskManager, and the address at which the others reach its data plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub taskmanager: TaskManagerId,
    pub incarnation: Incarnation,
    /// `host:port`.
    pub address: String,
}

/// Where the subtasks of one attempt run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub job: JobId,
    pub attempt: Attempt,
    /// The TaskManager that reads this.
    pub here: TaskManagerId,
    /// One a slot: who runs subtask i of every chain.
    pub places: Vec<Place>,
}

impl Placement {
    /// All of so many slots on one TaskManager, which needs no data plane.
    pub fn embedded(job: JobId, attempt: Attempt, here: TaskManagerId, slots: u32) -> Self {
        let place = Place { taskmanager: here, incarnation: Incarnation(0), address: String::new() };
        Self { job, attempt, here, places: vec![place; slots as usize] }
    }

    /// Who runs this subtask.
    ///
    /// # Panics
    /// If there are fewer places than subtasks.
    pub(crate) fn place(&self, subtask: Subtask) -> &Place {
        let places = self.places.len();
        self.places.get(subtask.index as usize).unwrap_or_else(|| panic!("{places} places, none for {subtask}"))
    }

    pub(crate) fn is_here(&self, subtask: Subtask) -> bool {
        self.place(subtask).taskmanager == self.here
    }
}
