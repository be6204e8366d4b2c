//! The TaskManager's agent: keeps to the wishes of the JobManager, refuses those of the past, and reports.
//!
//! It works only while it is *inside*: registered with a life of the JobManager that has answered it lately. Outside it stops
//! everything and asks to be registered again; it takes nothing over from one registration to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    ids::{Attempt, Epoch, Incarnation, JobId, Subtask, TaskManagerId},
    portions::Given,
};

use crate::message::{Checkpoints, Order, Orders, Place, Report, Reports, Restore, Said, SubtaskState, Wish};

mod outbox;

use outbox::Outbox;

/// How an agent works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Without an answer from the JobManager for so long, everything is stopped. The same as that of the JobManager.
    pub lease_ms: u64,
    /// After how long reports are repeated that were not acknowledged.
    pub resend_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { lease_ms: 2_000, resend_ms: 500 }
    }
}

/// What happens to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The JobManager has registered this TaskManager, as it was asked to at a time.
    Registered { epoch: Epoch, asked_ms: Timestamp },
    /// The JobManager has answered a poll that was *sent* at this time. The lease counts from then: that of the JobManager,
    /// which counts from when it received the poll, ends later.
    Contact { asked_ms: Timestamp },
    /// All that the JobManager wishes.
    Orders(Orders),
    /// The JobManager has taken the reports up to this one.
    Acknowledged { sequence: u64 },
    /// A subtask has come to a state, or to a point of a checkpoint.
    Subtask { job: JobId, attempt: Attempt, subtask: Subtask, said: Said },
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start these subtasks, all together: their channels belong to each other. They begin from this manifest, if there is one.
    Start { job: JobId, attempt: Attempt, subtasks: Vec<Subtask>, placement: Vec<Place>, restore: Option<Restore> },
    /// One of these numbers has risen, or several have.
    Checkpoints { job: JobId, attempt: Attempt, checkpoints: Checkpoints },
    /// Let these sources of the attempt go on up to these watermarks. They replace the ones before.
    Limits { job: JobId, attempt: Attempt, limits: Vec<(Subtask, Timestamp)> },
    /// These sources of the attempt have been given so much. Each has all of before.
    Give { job: JobId, attempt: Attempt, given: Vec<(Subtask, Given)> },
    /// Let the sources of the attempt end.
    Drain { job: JobId, attempt: Attempt },
    /// Let all subtasks of the attempt commit.
    Commit { job: JobId, attempt: Attempt },
    /// End all subtasks of the attempt.
    Stop { job: JobId, attempt: Attempt },
    /// Forget the attempt: all its subtasks are over.
    Release { job: JobId, attempt: Attempt },
    /// Send this; what was not sent yet of earlier ones need not be.
    Report(Reports),
    /// Register, as often as it takes.
    Register,
}

/// How the agent stands with the JobManager.
#[derive(Debug)]
enum Standing {
    Outside,
    Inside {
        epoch: Epoch,
        /// What the lease counts from.
        contact_ms: Timestamp,
        /// The newest orders; none yet: version 0.
        version: u64,
        orders: BTreeMap<JobId, Order>,
        /// Attempts that have ended here since the orders first named them.
        ended: BTreeMap<JobId, Attempt>,
        outbox: Outbox,
    },
}

/// An attempt whose subtasks are here.
#[derive(Debug)]
struct Running {
    /// Nothing is heard of a subtask until it says that it runs.
    subtasks: BTreeMap<Subtask, Option<SubtaskState>>,
    /// How far the wishes have gone. They only go up.
    wish: Wish,
    /// So do these.
    checkpoints: Checkpoints,
    /// These go up and down: those of the newest orders count.
    limits: Vec<(Subtask, Timestamp)>,
    given: Vec<(Subtask, Given)>,
}

/// The agent's core.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    taskmanager: TaskManagerId,
    incarnation: Incarnation,
    /// The highest it has seen.
    epoch: Epoch,
    standing: Standing,
    running: BTreeMap<(JobId, Attempt), Running>,
    last_sequence: u64,
    now_ms: Timestamp,
}

impl Agent {
    /// Begins outside. The shell registers without being asked to.
    pub fn new(config: Config, taskmanager: TaskManagerId, incarnation: Incarnation) -> Self {
        Self {
            config,
            taskmanager,
            incarnation,
            epoch: Epoch(0),
            standing: Standing::Outside,
            running: BTreeMap::new(),
            last_sequence: 0,
            now_ms: 0,
        }
    }

    /// Takes what happened and says what to do.
    pub fn handle(&mut self, now_ms: Timestamp, event: Event) -> Vec<Command> {
        let mut commands = Vec::new();
        self.now_ms = self.now_ms.max(now_ms);
        if let Event::Contact { asked_ms } = event {
            self.contact(asked_ms);
        }
        self.leave_if_lease_over(&mut commands);
        match event {
            Event::Registered { epoch, asked_ms } => self.registered(epoch, asked_ms, &mut commands),
            Event::Contact { .. } => {}
            Event::Orders(orders) => self.take_orders(orders, &mut commands),
            Event::Acknowledged { sequence } => {
                if let Standing::Inside { outbox, .. } = &mut self.standing {
                    outbox.acknowledged(sequence);
                }
            }
            Event::Subtask { job, attempt, subtask, said } => {
                self.subtask((job, attempt), subtask, said, &mut commands);
            }
        }
        // What was registered long before it is heard of is over already.
        self.leave_if_lease_over(&mut commands);
        commands
    }

    /// Does what is due.
    pub fn advance(&mut self, now_ms: Timestamp) -> Vec<Command> {
        let mut commands = Vec::new();
        self.now_ms = self.now_ms.max(now_ms);
        self.leave_if_lease_over(&mut commands);
        if let Standing::Inside { outbox, .. } = &mut self.standing
            && outbox.is_due(self.now_ms)
        {
            self.report(&mut commands);
        }
        commands
    }

    /// When `advance` is to be called at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        let Standing::Inside { contact_ms, outbox, .. } = &self.standing else { return None };
        let lease = contact_ms + self.config.lease_ms as i64;
        Some(outbox.deadline().map_or(lease, |resend| resend.min(lease)))
    }

    fn contact(&mut self, asked_ms: Timestamp) {
        if let Standing::Inside { contact_ms, .. } = &mut self.standing {
            *contact_ms = asked_ms.max(*contact_ms);
        }
    }

    /// The time that a TaskManager sleeps through is never added to its lease: the JobManager has not slept.
    fn leave_if_lease_over(&mut self, commands: &mut Vec<Command>) {
        if let Standing::Inside { contact_ms, .. } = &self.standing
            && self.now_ms - contact_ms >= self.config.lease_ms as i64
        {
            self.standing = Standing::Outside;
            self.stop_all(commands);
            commands.push(Command::Register);
        }
    }

    /// Begins anew: whatever runs is unknown to this registration.
    fn registered(&mut self, epoch: Epoch, asked_ms: Timestamp, commands: &mut Vec<Command>) {
        if epoch < self.epoch {
            return;
        }
        self.epoch = epoch;
        self.standing = Standing::Inside {
            epoch,
            contact_ms: asked_ms,
            version: 0,
            orders: BTreeMap::new(),
            ended: BTreeMap::new(),
            outbox: Outbox::new(self.config.resend_ms as i64),
        };
        self.stop_all(commands);
    }

    fn stop_all(&mut self, commands: &mut Vec<Command>) {
        for (&(job, attempt), running) in &mut self.running {
            running.raise(Wish::Stop, job, attempt, commands);
        }
    }

    fn take_orders(&mut self, new: Orders, commands: &mut Vec<Command>) {
        let Standing::Inside { epoch, version, orders, ended, .. } = &mut self.standing else { return };
        if new.epoch != *epoch || new.version <= *version {
            return;
        }
        *version = new.version;
        *orders = new.orders.into_iter().map(|order| (order.job, order)).collect();
        ended.retain(|job, _| orders.contains_key(job));
        self.follow_orders(commands);
    }

    /// Makes what runs here what is ordered.
    fn follow_orders(&mut self, commands: &mut Vec<Command>) {
        let Standing::Inside { orders, ended, .. } = &self.standing else { return };
        let mut strays = false;
        for (&(job, attempt), running) in &mut self.running {
            match orders.get(&job).filter(|order| order.attempt == attempt) {
                Some(order) => running.follow(order, commands),
                None => {
                    running.raise(Wish::Stop, job, attempt, commands);
                    strays = true;
                }
            }
        }
        // The JobManager may take the slots of what it has not ordered to be free: nothing starts before they are.
        if strays {
            return;
        }
        let mut never_started = Vec::new();
        for order in orders.values() {
            let Order { job, attempt, wish, subtasks, placement, restore, .. } = order;
            let (job, attempt) = (*job, *attempt);
            let over = ended.get(&job).is_some_and(|ended| attempt <= *ended);
            if over || self.running.contains_key(&(job, attempt)) {
                continue;
            }
            match wish {
                Wish::Run | Wish::Drain => {
                    let (subtasks, placement) = (subtasks.clone(), placement.clone());
                    let states = subtasks.iter().map(|&subtask| (subtask, None)).collect();
                    let restore = restore.clone();
                    commands.push(Command::Start { job, attempt, subtasks, placement, restore });
                    let checkpoints = Checkpoints::default();
                    let (limits, given) = (Vec::new(), Vec::new());
                    let mut running = Running { subtasks: states, wish: Wish::Run, checkpoints, limits, given };
                    running.follow(order, commands);
                    self.running.insert((job, attempt), running);
                }
                // What has never started here has nothing to commit.
                Wish::Commit => {}
                Wish::Stop => never_started.push((job, attempt, subtasks.clone())),
            }
        }
        self.report_never_started(never_started, commands);
    }

    /// The JobManager waits to hear that these have stopped.
    fn report_never_started(&mut self, attempts: Vec<(JobId, Attempt, Vec<Subtask>)>, commands: &mut Vec<Command>) {
        let Standing::Inside { ended, outbox, .. } = &mut self.standing else { return };
        if attempts.is_empty() {
            return;
        }
        for (job, attempt, subtasks) in attempts {
            ended.insert(job, attempt);
            for subtask in subtasks {
                self.last_sequence += 1;
                let said = Said::State(SubtaskState::Stopped);
                outbox.put(self.last_sequence, Report { job, attempt, subtask, said });
            }
        }
        self.report(commands);
    }

    fn subtask(&mut self, key: (JobId, Attempt), subtask: Subtask, said: Said, commands: &mut Vec<Command>) {
        let (job, attempt) = key;
        let Some(running) = self.running.get_mut(&key) else { return };
        // What is over says nothing more.
        if running.subtasks.get(&subtask).and_then(Option::as_ref).is_some_and(SubtaskState::is_over) {
            return;
        }
        if let Said::State(state) = &said {
            running.subtasks.insert(subtask, Some(state.clone()));
        }
        let all_over = running.is_over();
        if let Standing::Inside { orders, outbox, ended, .. } = &mut self.standing
            && orders.get(&job).is_some_and(|order| order.attempt == attempt)
        {
            self.last_sequence += 1;
            outbox.put(self.last_sequence, Report { job, attempt, subtask, said });
            if all_over {
                ended.insert(job, attempt);
            }
            self.report(commands);
        }
        if all_over {
            self.running.remove(&key);
            commands.push(Command::Release { job, attempt });
            self.follow_orders(commands);
        }
    }

    /// Sends all that is not acknowledged.
    fn report(&mut self, commands: &mut Vec<Command>) {
        let Standing::Inside { epoch, outbox, .. } = &mut self.standing else { return };
        let (sequence, reports) = outbox.take(self.now_ms);
        let (epoch, taskmanager, incarnation) = (*epoch, self.taskmanager, self.incarnation);
        commands.push(Command::Report(Reports { epoch, taskmanager, incarnation, sequence, reports }));
    }
}

impl Running {
    /// Follows an order, unless it is of the past. The checkpoints come first: what ends or commits does so up to them.
    fn follow(&mut self, order: &Order, commands: &mut Vec<Command>) {
        let (job, attempt) = (order.job, order.attempt);
        // What was told to stop has nothing more to do with them.
        if self.wish < Wish::Stop && self.checkpoints.raise(order.checkpoints) {
            commands.push(Command::Checkpoints { job, attempt, checkpoints: self.checkpoints });
        }
        if self.wish < Wish::Stop && self.limits != order.limits {
            self.limits = order.limits.clone();
            commands.push(Command::Limits { job, attempt, limits: order.limits.clone() });
        }
        if self.wish < Wish::Stop && self.given != order.given {
            self.given = order.given.clone();
            commands.push(Command::Give { job, attempt, given: order.given.clone() });
        }
        self.raise(order.wish, job, attempt, commands);
    }

    /// Takes the wishes up to this one, unless they have gone further.
    fn raise(&mut self, wish: Wish, job: JobId, attempt: Attempt, commands: &mut Vec<Command>) {
        if wish <= self.wish {
            return;
        }
        self.wish = wish;
        commands.push(match wish {
            Wish::Run => unreachable!("it is the lowest"),
            Wish::Drain => Command::Drain { job, attempt },
            Wish::Commit => Command::Commit { job, attempt },
            Wish::Stop => Command::Stop { job, attempt },
        });
    }

    fn is_over(&self) -> bool {
        self.subtasks.values().all(|state| state.as_ref().is_some_and(SubtaskState::is_over))
    }
}

#[cfg(test)]
mod tests;
