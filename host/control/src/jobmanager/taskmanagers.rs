//! TaskManagers: who is there, for how long they are believed to be, and what is wished of each.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::{Incarnation, JobId, TaskManagerId},
};

use crate::{
    jobmanager::{
        Command, JobEvent, JobManager,
        phase::{Job, Phase, Placed},
    },
    message::{Cause, Order, Orders, SubtaskState, Wish},
};

/// One life of a TaskManager that has registered.
#[derive(Debug)]
pub(super) struct TaskManager {
    pub(super) incarnation: Incarnation,
    pub(super) slots: u32,
    pub(super) address: String,
    /// What its lease counts from.
    heard_ms: Timestamp,
    /// All that is wished of it.
    orders: BTreeMap<JobId, Order>,
    /// Of its reports that were taken.
    pub(super) sequence: u64,
}

/// What is known of a TaskManager that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Another life of it is there: this one is over for certain.
    Dead,
    /// It may go on until its lease is over.
    OutOfReach,
}

impl JobManager {
    pub(super) fn register(&mut self, id: TaskManagerId, incarnation: Incarnation, slots: u32, address: String) {
        match self.taskmanagers.get(&id).map(|known| known.incarnation) {
            Some(known) if known > incarnation => {
                self.commands.push(Command::Unknown { taskmanager: id, incarnation });
                return;
            }
            Some(known) if known == incarnation => self.lose(id, Loss::OutOfReach),
            Some(_) => self.lose(id, Loss::Dead),
            None => {}
        }
        let orders = BTreeMap::new();
        let taskmanager = TaskManager { incarnation, slots, address, heard_ms: self.now_ms, orders, sequence: 0 };
        self.taskmanagers.insert(id, taskmanager);
        // An empty list, but a new one: what was wished before does not count any more.
        self.to_tell.insert(id);
    }

    pub(super) fn heartbeat(&mut self, taskmanager: TaskManagerId, incarnation: Incarnation) {
        match self.taskmanagers.get_mut(&taskmanager).filter(|known| known.incarnation == incarnation) {
            Some(known) => known.heard_ms = known.heard_ms.max(self.now_ms),
            None => self.commands.push(Command::Unknown { taskmanager, incarnation }),
        }
    }

    pub(super) fn disconnected(&mut self, id: TaskManagerId, incarnation: Incarnation) {
        if self.taskmanagers.get(&id).is_some_and(|known| known.incarnation == incarnation) {
            self.lose(id, Loss::OutOfReach);
        }
    }

    pub(super) fn cordon(&mut self, id: TaskManagerId, on: bool) {
        // One that is away finds it when it comes.
        match on {
            true => self.cordoned.insert(id),
            false => self.cordoned.remove(&id),
        };
    }

    pub(super) fn end_leases(&mut self) {
        let over = self.now_ms - self.config.lease_ms as i64;
        let silent: Vec<TaskManagerId> =
            self.taskmanagers.iter().filter(|(_, known)| known.heard_ms <= over).map(|(id, _)| *id).collect();
        for id in silent {
            self.lose(id, Loss::OutOfReach);
        }
    }

    pub(super) fn stretch_leases(&mut self, gap_ms: Timestamp) {
        for taskmanager in self.taskmanagers.values_mut() {
            taskmanager.heard_ms += gap_ms;
        }
    }

    /// A TaskManager is not there any more: its subtasks are over, or will be when its lease is.
    fn lose(&mut self, id: TaskManagerId, loss: Loss) {
        let Some(gone) = self.taskmanagers.remove(&id) else { return };
        self.to_tell.remove(&id);
        let lease_over_ms = gone.heard_ms + self.config.lease_ms as i64;
        let message = format!("{id} was lost");
        let cause = Cause { code: Code::TaskManagerLost, domain: Domain::Internal, message };
        for job_id in self.live.clone() {
            let job = self.jobs.get_mut(&job_id).expect("live jobs are known");
            let subtasks = job.subtasks_on(id, gone.incarnation);
            let Some(placed) = job.placed_mut().filter(|_| !subtasks.is_empty()) else { continue };
            let attempt = placed.attempt;
            let mut unfinished = false;
            for subtask in subtasks {
                if !placed.states.get(&subtask).is_some_and(SubtaskState::is_over) {
                    placed.states.insert(subtask, SubtaskState::Failed(cause.clone()));
                    unfinished = true;
                }
            }
            if unfinished && loss == Loss::OutOfReach {
                job.ghosts_until_ms = job.ghosts_until_ms.max(lease_over_ms);
            }
            let placed = matches!(job.phase, Phase::Placed { .. });
            if unfinished {
                self.event(job_id, JobEvent::TaskManagerLost { attempt, taskmanager: id });
            }
            match (unfinished, placed) {
                (true, true) => self.fail(job_id, cause.clone()),
                (true, false) => {
                    self.found_why(job_id);
                    self.go_on_if_stopped(job_id);
                }
                (false, _) => {}
            }
        }
    }

    /// Wishes something of all TaskManagers of a job's attempt. A later wish replaces the earlier ones.
    pub(super) fn wish(&mut self, id: JobId, wish: Wish) {
        if let Some(placed) = self.jobs.get_mut(&id).and_then(Job::placed_mut) {
            placed.wish = wish;
        }
        self.order(id);
    }

    /// Orders what is wished, and how far the checkpoints are.
    pub(super) fn order(&mut self, id: JobId) {
        let taskmanagers = self.jobs[&id].placed().map_or_else(BTreeSet::new, Placed::taskmanagers);
        self.order_of(id, taskmanagers);
    }

    /// Orders it of some of the TaskManagers, if nothing has changed for the others.
    pub(super) fn order_of(&mut self, id: JobId, taskmanagers: impl IntoIterator<Item = (TaskManagerId, Incarnation)>) {
        let job = &self.jobs[&id];
        let Some(placed) = job.placed() else { return };
        for (taskmanager, incarnation) in taskmanagers {
            let known = self.taskmanagers.get_mut(&taskmanager).filter(|known| known.incarnation == incarnation);
            if let Some(known) = known {
                let (attempt, placement) = (placed.attempt, placed.places.clone());
                let subtasks = job.subtasks_on(taskmanager, incarnation);
                let (wish, restore, checkpoints) = (placed.wish, placed.restore.clone(), placed.checkpoints);
                let limits = placed.drift.limits_of(&subtasks);
                let given = placed.sharing.given_to(&subtasks);
                let order = Order { job: id, attempt, wish, subtasks, placement, restore, checkpoints, limits, given };
                known.orders.insert(id, order);
                self.to_tell.insert(taskmanager);
            }
        }
    }

    /// Wishes nothing any more for a job.
    pub(super) fn release(&mut self, id: JobId) {
        let Some(placed) = self.jobs[&id].placed() else { return };
        for (taskmanager, incarnation) in placed.taskmanagers() {
            let known = self.taskmanagers.get_mut(&taskmanager).filter(|known| known.incarnation == incarnation);
            if known.is_some_and(|known| known.orders.remove(&id).is_some()) {
                self.to_tell.insert(taskmanager);
            }
        }
    }

    /// Tells those whose orders have changed.
    pub(super) fn tell(&mut self) {
        for id in std::mem::take(&mut self.to_tell) {
            let Some(known) = self.taskmanagers.get(&id) else { continue };
            self.last_version += 1;
            let orders = known.orders.values().cloned().collect();
            let orders = Orders { epoch: self.epoch, version: self.last_version, orders };
            self.commands.push(Command::Orders { taskmanager: id, incarnation: known.incarnation, orders });
        }
    }
}
