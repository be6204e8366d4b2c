//! Which slots a job gets.

use std::{cmp::Reverse, collections::BTreeMap};

use wasmill_model::ids::{Attempt, JobId, TaskManagerId};

use crate::{
    jobmanager::{
        Desired, JobEvent, JobManager, Restart,
        drift::Drift,
        phase::{Job, Phase, Placed, Stage, Then},
        splits::Sharing,
    },
    message::{Checkpoints, Place, Wish},
};

impl JobManager {
    /// Gives slots to waiting jobs, the oldest first. Jobs behind one that does not fit yet wait too, so that a wide job is not
    /// starved by narrow ones; one that is wider than all TaskManagers together keeps nobody waiting.
    pub(super) fn place_waiting(&mut self) {
        let ready: Vec<JobId> = self.live.iter().copied().filter(|id| self.is_ready(&self.jobs[id])).collect();
        if ready.is_empty() {
            return;
        }
        let open = self.taskmanagers.iter().filter(|(id, _)| !self.cordoned.contains(id));
        let slots: u32 = open.map(|(_, taskmanager)| taskmanager.slots).sum();
        let mut free = self.free_slots();
        for id in ready {
            let wanted = self.jobs[&id].record.shape.slots();
            if wanted > slots {
                continue;
            }
            if free.values().sum::<u32>() < wanted {
                return;
            }
            let chosen = (0..wanted).map(|_| {
                let by_room = |(id, slots): &(&TaskManagerId, &mut u32)| (**slots, Reverse(**id));
                let (best, slots) = free.iter_mut().max_by_key(by_room).expect("slots are free");
                *slots -= 1;
                *best
            });
            let chosen: Vec<TaskManagerId> = chosen.collect();
            self.place(id, &chosen);
        }
    }

    fn is_ready(&self, job: &Job) -> bool {
        let due = matches!(job.phase, Phase::Waiting { from_ms, .. } if from_ms <= self.now_ms);
        // What an attempt is of, and what it begins from, has to be certain.
        let certain = job.keeping.writing.is_none() && job.replacing.is_durable(&job.record);
        due && certain && job.comes_again()
    }

    fn place(&mut self, id: JobId, chosen: &[TaskManagerId]) {
        let place = |id: &TaskManagerId| {
            let known = &self.taskmanagers[id];
            Place { taskmanager: *id, incarnation: known.incarnation, address: known.address.clone() }
        };
        let places: Vec<Place> = chosen.iter().map(place).collect();
        let job = self.jobs.get_mut(&id).expect("it is waiting");
        job.attempts += 1;
        let attempt = Attempt::new(self.epoch, job.attempts);
        let restored = job.intact().map(|intact| intact.id);
        let wish = if job.durably_desired == Desired::Drain { Wish::Drain } else { Wish::Run };
        let placed = Placed {
            attempt,
            version: job.record.version,
            chains: job.record.shape.chains.clone(),
            places,
            states: BTreeMap::new(),
            wish,
            restore: job.restore(),
            restored,
            checkpoints: Checkpoints::default(),
            taking: None,
            ends: BTreeMap::new(),
            committed: BTreeMap::new(),
            drift: Drift::new(&job.record.shape, self.now_ms),
            sharing: Sharing::default(),
        };
        let taskmanagers = placed.taskmanagers().into_iter().map(|(id, _)| id).collect();
        job.phase = Phase::Placed { placed, stage: Stage::Deploying };
        self.event(id, JobEvent::Placed { attempt, taskmanagers });
        self.changed(id);
        self.set_limits(id);
        self.order(id);
        // A job without subtasks has already come to its end.
        self.get_on(id);
    }

    /// Free slots where new subtasks may run.
    pub(super) fn free_slots(&self) -> BTreeMap<TaskManagerId, u32> {
        let mut free: BTreeMap<TaskManagerId, u32> = self.taskmanagers.iter().map(|(id, t)| (*id, t.slots)).collect();
        for place in self.live.iter().filter_map(|id| self.jobs[id].placed()).flat_map(|placed| &placed.places) {
            let here = self.taskmanagers.get(&place.taskmanager).is_some_and(|t| t.incarnation == place.incarnation);
            if let (true, Some(slots)) = (here, free.get_mut(&place.taskmanager)) {
                *slots = slots.saturating_sub(1);
            }
        }
        free.retain(|id, _| !self.cordoned.contains(id));
        free
    }

    /// Ends attempts on TaskManagers that take no new subtasks, as long as there is room for another elsewhere.
    pub(super) fn move_from_cordoned(&mut self) {
        if self.cordoned.is_empty() {
            return;
        }
        let comes_again = |job: &&Job| {
            let again = matches!(job.phase, Phase::Waiting { .. } | Phase::Stopping { then: Then::Restart { .. }, .. });
            again && job.comes_again()
        };
        let coming = self.live.iter().map(|id| &self.jobs[id]).filter(comes_again);
        let promised: u32 = coming.map(|job| job.slots_missing(&self.cordoned)).sum();
        let mut room = self.free_slots().values().sum::<u32>().saturating_sub(promised);
        for id in self.live.clone() {
            let Some((from, missing)) = self.movable(&self.jobs[&id]) else { continue };
            if missing <= room {
                room -= missing;
                let attempt = self.jobs[&id].placed().expect("it is movable").attempt;
                self.event(id, JobEvent::Moved { attempt, taskmanager: from });
                self.stop(id, Then::Restart { from_ms: self.now_ms });
            }
        }
    }

    /// The cordoned TaskManager that a job is to leave, and the slots it needs elsewhere.
    fn movable(&self, job: &Job) -> Option<(TaskManagerId, u32)> {
        let Phase::Placed { placed, stage: Stage::Deploying | Stage::Running { .. } } = &job.phase else { return None };
        if job.record.shape.restart == Restart::Never || job.record.desired != Desired::Run {
            return None;
        }
        let from = placed.places.iter().map(|place| place.taskmanager).find(|id| self.cordoned.contains(id))?;
        Some((from, job.slots_missing(&self.cordoned)))
    }
}
