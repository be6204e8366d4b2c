//! The TaskManager's agent: keeps to the wishes of the JobManager, refuses those of the past, and reports.

use std::collections::BTreeMap;

use wasmill_model::{
    Timestamp,
    ids::{Attempt, Incarnation, JobId, Subtask, TaskManagerId},
};

use crate::message::{Order, Report, SubtaskState, Wish};

/// What happens to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The JobManager wishes something.
    Order(Order),
    /// A subtask has come to this state.
    Subtask { job: JobId, attempt: Attempt, subtask: Subtask, state: SubtaskState },
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start these subtasks, all together: their channels belong to each other.
    Start {
        job: JobId,
        attempt: Attempt,
        subtasks: Vec<Subtask>,
    },
    /// Let the sources of the attempt end.
    Drain {
        job: JobId,
        attempt: Attempt,
    },
    /// Let all subtasks of the attempt commit.
    Commit {
        job: JobId,
        attempt: Attempt,
    },
    /// End all subtasks of the attempt.
    Stop {
        job: JobId,
        attempt: Attempt,
    },
    /// Forget the attempt: all its subtasks are over.
    Release {
        job: JobId,
        attempt: Attempt,
    },
    Report(Report),
}

/// The wishes in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Run,
    Drain,
    Commit,
    Stop,
}

#[derive(Debug)]
struct Running {
    attempt: Attempt,
    /// Nothing is heard of a subtask until it says that it runs.
    subtasks: BTreeMap<Subtask, Option<SubtaskState>>,
    /// How far the wishes have gone. They only go up.
    wish: Level,
}

/// The agent's core.
#[derive(Debug)]
pub struct Agent {
    taskmanager: TaskManagerId,
    incarnation: Incarnation,
    jobs: BTreeMap<JobId, Running>,
}

impl Agent {
    pub fn new(taskmanager: TaskManagerId, incarnation: Incarnation) -> Self {
        Self { taskmanager, incarnation, jobs: BTreeMap::new() }
    }

    /// Takes what happened and says what to do.
    pub fn handle(&mut self, _now_ms: Timestamp, event: Event) -> Vec<Command> {
        match event {
            Event::Order(order) => self.order(order),
            Event::Subtask { job, attempt, subtask, state } => self.subtask(job, attempt, subtask, state),
        }
    }

    fn order(&mut self, Order { job, attempt, wish }: Order) -> Vec<Command> {
        let known = self.jobs.get_mut(&job);
        match (known, wish) {
            (None, Wish::Run { subtasks }) => self.start(job, attempt, subtasks),
            (Some(running), Wish::Run { subtasks }) if attempt > running.attempt => {
                let old = running.attempt;
                let mut commands = vec![Command::Stop { job, attempt: old }, Command::Release { job, attempt: old }];
                commands.extend(self.start(job, attempt, subtasks));
                commands
            }
            (Some(running), wish) if attempt == running.attempt => {
                let (level, command) = match wish {
                    Wish::Run { .. } => return Vec::new(),
                    Wish::Drain => (Level::Drain, Command::Drain { job, attempt }),
                    Wish::Commit => (Level::Commit, Command::Commit { job, attempt }),
                    Wish::Stop => (Level::Stop, Command::Stop { job, attempt }),
                };
                if level <= running.wish {
                    return Vec::new();
                }
                running.wish = level;
                vec![command]
            }
            _ => Vec::new(),
        }
    }

    fn start(&mut self, job: JobId, attempt: Attempt, subtasks: Vec<Subtask>) -> Vec<Command> {
        let states = subtasks.iter().map(|&subtask| (subtask, None)).collect();
        self.jobs.insert(job, Running { attempt, subtasks: states, wish: Level::Run });
        vec![Command::Start { job, attempt, subtasks }]
    }

    fn subtask(&mut self, job: JobId, attempt: Attempt, subtask: Subtask, state: SubtaskState) -> Vec<Command> {
        let Some(running) = self.jobs.get_mut(&job).filter(|r| r.attempt == attempt) else { return Vec::new() };
        running.subtasks.insert(subtask, Some(state.clone()));
        let over = state.is_over();
        let (taskmanager, incarnation) = (self.taskmanager, self.incarnation);
        let mut commands = vec![Command::Report(Report { taskmanager, incarnation, job, attempt, subtask, state })];
        if over && running.subtasks.values().all(|state| state.as_ref().is_some_and(SubtaskState::is_over)) {
            commands.push(Command::Release { job, attempt });
        }
        commands
    }
}

#[cfg(test)]
mod tests;
