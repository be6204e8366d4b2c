//! The JobManager: TaskManagers with their slots, jobs with their phases.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::{
    Timestamp,
    fault::{Code, Domain},
    ids::{Attempt, Incarnation, JobId, Subtask, TaskManagerId},
};

use crate::message::{Cause, Order, Report, SubtaskState, Wish};

/// Jobs that have ended and are still remembered; the oldest are forgotten first.
pub const HISTORY_JOBS_MAX: usize = 1_000;

/// What happens to the JobManager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A TaskManager is there, or there again in a later life.
    Register { taskmanager: TaskManagerId, incarnation: Incarnation, slots: u32 },
    /// A TaskManager is gone.
    Lost { taskmanager: TaskManagerId, incarnation: Incarnation },
    /// A job is to run. The answer, [`Command::Accepted`], carries `request`.
    Submit { request: u64, shape: JobShape },
    /// A job is to end as if its input ended now: what was read comes out.
    Drain { job: JobId },
    /// A job is to end without results.
    Cancel { job: JobId },
    /// An agent says how far a subtask is.
    Report(Report),
}

/// What the JobManager needs to know of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobShape {
    pub name: String,
    /// Parallelism of each chain.
    pub chains: Vec<u32>,
}

impl JobShape {
    /// Slots the job needs. Slot i holds subtask i of every chain that has one.
    fn slots(&self) -> u32 {
        self.chains.iter().copied().max().unwrap_or(0)
    }

    fn subtasks(&self) -> impl Iterator<Item = Subtask> {
        let chains = self.chains.iter().zip(0..);
        chains.flat_map(|(&parallelism, chain)| (0..parallelism).map(move |index| Subtask { chain, index }))
    }
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Accepted {
        request: u64,
        job: JobId,
    },
    Tell {
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        order: Order,
    },
    /// A job has come to a new state.
    Changed {
        job: JobId,
        state: JobState,
    },
}

/// What a person sees of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Waiting for slots.
    Created,
    /// Its subtasks are being started.
    Deploying,
    Running,
    /// Its subtasks are being stopped.
    Cancelling,
    Cancelled,
    Failed(Cause),
    /// All results are visible.
    Finished,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed(_) | Self::Finished)
    }

    /// The name used in interfaces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Deploying => "DEPLOYING",
            Self::Running => "RUNNING",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Failed(_) => "FAILED",
            Self::Finished => "FINISHED",
        }
    }
}

#[derive(Debug)]
struct TaskManager {
    incarnation: Incarnation,
    slots: u32,
}

#[derive(Debug)]
struct Job {
    shape: JobShape,
    attempt: Attempt,
    /// The TaskManager of each slot, once there are enough.
    placement: Vec<TaskManagerId>,
    phase: Phase,
}

/// What a job is at, with what exists only then.
#[derive(Debug)]
enum Phase {
    Created,
    /// Subtasks that run, or have already prepared.
    Deploying {
        running: BTreeSet<Subtask>,
        prepared: BTreeSet<Subtask>,
    },
    Running {
        prepared: BTreeSet<Subtask>,
    },
    /// Everything has prepared; a failure from here on cannot take results back, and is reported as it is.
    Committing {
        left: BTreeSet<Subtask>,
    },
    Stopping {
        left: BTreeSet<Subtask>,
        end: JobState,
    },
    Over(JobState),
}

impl Job {
    fn state(&self) -> JobState {
        match &self.phase {
            Phase::Created => JobState::Created,
            Phase::Deploying { .. } => JobState::Deploying,
            Phase::Running { .. } | Phase::Committing { .. } => JobState::Running,
            Phase::Stopping { .. } => JobState::Cancelling,
            Phase::Over(state) => state.clone(),
        }
    }

    fn holds_slots(&self) -> bool {
        !matches!(self.phase, Phase::Created | Phase::Over(_))
    }

    fn subtasks_on(&self, taskmanager: TaskManagerId) -> Vec<Subtask> {
        let on = |subtask: &Subtask| self.placement[subtask.index as usize] == taskmanager;
        self.shape.subtasks().filter(on).collect()
    }

    fn taskmanagers(&self) -> BTreeSet<TaskManagerId> {
        self.placement.iter().copied().collect()
    }
}

/// The JobManager's core. All its facts; none of its sockets.
#[derive(Debug, Default)]
pub struct JobManager {
    taskmanagers: BTreeMap<TaskManagerId, TaskManager>,
    jobs: BTreeMap<JobId, Job>,
    last_job: u64,
}

impl JobManager {
    pub fn new() -> Self {
        Self::default()
    }

    /// The state of a job, unless it was never there or is forgotten.
    pub fn job_state(&self, job: JobId) -> Option<JobState> {
        self.jobs.get(&job).map(Job::state)
    }

    /// Takes what happened and says what to do.
    pub fn handle(&mut self, _now_ms: Timestamp, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Register { taskmanager, incarnation, slots } => {
                self.register(taskmanager, incarnation, slots, &mut commands);
            }
            Event::Lost { taskmanager, incarnation } => self.lose(taskmanager, incarnation, &mut commands),
            Event::Submit { request, shape } => self.submit(request, shape, &mut commands),
            Event::Drain { job } => self.drain(job, &mut commands),
            Event::Cancel { job } => self.stop(job, JobState::Cancelled, &mut commands),
            Event::Report(report) => self.report(report, &mut commands),
        }
        self.place_waiting(&mut commands);
        self.forget_old();
        commands
    }

    fn register(&mut self, id: TaskManagerId, incarnation: Incarnation, slots: u32, commands: &mut Vec<Command>) {
        match self.taskmanagers.get(&id) {
            Some(known) if known.incarnation >= incarnation => return,
            Some(known) => {
                let earlier = known.incarnation;
                self.lose(id, earlier, commands);
            }
            None => {}
        }
        self.taskmanagers.insert(id, TaskManager { incarnation, slots });
    }

    fn lose(&mut self, id: TaskManagerId, incarnation: Incarnation, commands: &mut Vec<Command>) {
        if self.taskmanagers.get(&id).is_none_or(|known| known.incarnation != incarnation) {
            return;
        }
        self.taskmanagers.remove(&id);
        let message = format!("{id} was lost");
        let cause = Cause { code: Code::TaskManagerLost, domain: Domain::Internal, message };
        let touched: Vec<JobId> =
            self.jobs.iter().filter(|(_, j)| j.holds_slots() && j.placement.contains(&id)).map(|(id, _)| *id).collect();
        for job_id in touched {
            self.stop(job_id, JobState::Failed(cause.clone()), commands);
            let job = self.jobs.get_mut(&job_id).expect("it was found above");
            let gone = job.subtasks_on(id);
            if let Phase::Stopping { left, .. } = &mut job.phase {
                left.retain(|subtask| !gone.contains(subtask));
            }
            self.end_if_stopped(job_id, commands);
        }
    }

    fn submit(&mut self, request: u64, shape: JobShape, commands: &mut Vec<Command>) {
        self.last_job += 1;
        let id = JobId(self.last_job);
        let job = Job { shape, attempt: Attempt(1), placement: Vec::new(), phase: Phase::Created };
        self.jobs.insert(id, job);
        commands.push(Command::Accepted { request, job: id });
        commands.push(Command::Changed { job: id, state: JobState::Created });
    }

    /// Gives slots to waiting jobs, the oldest first, spread over the TaskManagers with the most free slots.
    fn place_waiting(&mut self, commands: &mut Vec<Command>) {
        let waiting: Vec<JobId> =
            self.jobs.iter().filter(|(_, j)| matches!(j.phase, Phase::Created)).map(|(id, _)| *id).collect();
        for id in waiting {
            let mut free = self.free_slots();
            let wanted = self.jobs[&id].shape.slots();
            if free.values().sum::<u32>() < wanted {
                // Jobs behind it wait too: a wide job must not be starved by narrow ones.
                return;
            }
            let placement = (0..wanted).map(|_| {
                let (best, slots) = free
                    .iter_mut()
                    .max_by_key(|(id, slots)| (**slots, std::cmp::Reverse(**id)))
                    .expect("slots are free");
                *slots -= 1;
                *best
            });
            let placement: Vec<TaskManagerId> = placement.collect();
            let job = self.jobs.get_mut(&id).expect("it is waiting");
            job.placement = placement;
            job.phase = Phase::Deploying { running: BTreeSet::new(), prepared: BTreeSet::new() };
            commands.push(Command::Changed { job: id, state: JobState::Deploying });
            for taskmanager in self.jobs[&id].taskmanagers() {
                let subtasks = self.jobs[&id].subtasks_on(taskmanager);
                self.tell(id, taskmanager, Wish::Run { subtasks }, commands);
            }
        }
    }

    fn free_slots(&self) -> BTreeMap<TaskManagerId, u32> {
        let mut free: BTreeMap<TaskManagerId, u32> = self.taskmanagers.iter().map(|(id, t)| (*id, t.slots)).collect();
        for taskmanager in self.jobs.values().filter(|j| j.holds_slots()).flat_map(|j| &j.placement) {
            if let Some(slots) = free.get_mut(taskmanager) {
                *slots = slots.saturating_sub(1);
            }
        }
        free
    }

    fn tell(&self, id: JobId, taskmanager: TaskManagerId, wish: Wish, commands: &mut Vec<Command>) {
        let Some(TaskManager { incarnation, .. }) = self.taskmanagers.get(&taskmanager) else { return };
        let order = Order { job: id, attempt: self.jobs[&id].attempt, wish };
        commands.push(Command::Tell { taskmanager, incarnation: *incarnation, order });
    }

    fn tell_all(&self, id: JobId, wish: &Wish, commands: &mut Vec<Command>) {
        for taskmanager in self.jobs[&id].taskmanagers() {
            self.tell(id, taskmanager, wish.clone(), commands);
        }
    }

    fn report(&mut self, report: Report, commands: &mut Vec<Command>) {
        let Report { taskmanager, incarnation, job: id, attempt, subtask, state } = report;
        let known = self.taskmanagers.get(&taskmanager).is_some_and(|t| t.incarnation == incarnation);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !known || job.attempt != attempt || job.placement.get(subtask.index as usize) != Some(&taskmanager) {
            return;
        }
        let all = job.shape.subtasks().count();
        match (&mut job.phase, state) {
            (Phase::Deploying { running, .. }, SubtaskState::Running) => {
                running.insert(subtask);
                if running.len() == all {
                    self.all_running(id, commands);
                }
            }
            (Phase::Deploying { prepared, .. }, SubtaskState::Prepared) => {
                prepared.insert(subtask);
            }
            (Phase::Running { prepared }, SubtaskState::Prepared) => {
                prepared.insert(subtask);
                self.commit_if_all_prepared(id, commands);
            }
            (Phase::Committing { left }, SubtaskState::Committed) => {
                left.remove(&subtask);
                if left.is_empty() {
                    self.end(id, JobState::Finished, commands);
                }
            }
            (Phase::Stopping { left, .. }, state) if state.is_over() => {
                left.remove(&subtask);
                self.end_if_stopped(id, commands);
            }
            (
                Phase::Deploying { .. } | Phase::Running { .. } | Phase::Committing { .. },
                SubtaskState::Failed(cause),
            ) => {
                self.stop(id, JobState::Failed(cause), commands);
                if let Some(Job { phase: Phase::Stopping { left, .. }, .. }) = self.jobs.get_mut(&id) {
                    left.remove(&subtask);
                }
                self.end_if_stopped(id, commands);
            }
            _ => {}
        }
    }

    fn all_running(&mut self, id: JobId, commands: &mut Vec<Command>) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let Phase::Deploying { prepared, .. } = &mut job.phase else { return };
        job.phase = Phase::Running { prepared: std::mem::take(prepared) };
        commands.push(Command::Changed { job: id, state: JobState::Running });
        self.commit_if_all_prepared(id, commands);
    }

    fn commit_if_all_prepared(&mut self, id: JobId, commands: &mut Vec<Command>) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let left: BTreeSet<Subtask> = job.shape.subtasks().collect();
        if matches!(&job.phase, Phase::Running { prepared } if *prepared == left) {
            job.phase = Phase::Committing { left };
            self.tell_all(id, &Wish::Commit, commands);
        }
    }

    fn drain(&mut self, id: JobId, commands: &mut Vec<Command>) {
        match self.jobs.get(&id).map(|job| &job.phase) {
            Some(Phase::Created) => self.end(id, JobState::Cancelled, commands),
            Some(Phase::Deploying { .. } | Phase::Running { .. }) => self.tell_all(id, &Wish::Drain, commands),
            _ => {}
        }
    }

    /// Stops a job's subtasks; the job ends in `end` once all are gone.
    fn stop(&mut self, id: JobId, end: JobState, commands: &mut Vec<Command>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match &job.phase {
            Phase::Created => self.end(id, end, commands),
            Phase::Deploying { .. } | Phase::Running { .. } | Phase::Committing { .. } => {
                if matches!((&job.phase, &end), (Phase::Committing { .. }, JobState::Cancelled)) {
                    // Results are already becoming visible: it is too late to cancel.
                    return;
                }
                let left = job.shape.subtasks().collect();
                job.phase = Phase::Stopping { left, end };
                commands.push(Command::Changed { job: id, state: JobState::Cancelling });
                self.tell_all(id, &Wish::Stop, commands);
            }
            Phase::Stopping { .. } | Phase::Over(_) => {}
        }
    }

    fn end_if_stopped(&mut self, id: JobId, commands: &mut Vec<Command>) {
        if let Some(Job { phase: Phase::Stopping { left, end }, .. }) = self.jobs.get(&id)
            && left.is_empty()
        {
            let end = end.clone();
            self.end(id, end, commands);
        }
    }

    fn end(&mut self, id: JobId, state: JobState, commands: &mut Vec<Command>) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        job.phase = Phase::Over(state.clone());
        commands.push(Command::Changed { job: id, state });
    }

    fn forget_old(&mut self) {
        let over: Vec<JobId> =
            self.jobs.iter().filter(|(_, j)| matches!(j.phase, Phase::Over(_))).map(|(id, _)| *id).collect();
        for id in over.iter().take(over.len().saturating_sub(HISTORY_JOBS_MAX)) {
            self.jobs.remove(id);
        }
    }
}

#[cfg(test)]
mod tests;
