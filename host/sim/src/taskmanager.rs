//! A TaskManager's process: the agent as shipped, in a shell that polls, sends reports, pretends to run subtasks, and dies.

use std::collections::BTreeMap;

use wasmill_control::{
    Agent,
    agent::{Command, Config, Event},
    message::{At, Reports, Said},
};
use wasmill_model::{
    Timestamp,
    ids::{Epoch, Incarnation, TaskManagerId},
};

use crate::{
    Sabotage,
    checkers::{Fact, Try},
    faults::Profile,
    jobmanager::LEASE_MS,
    message::{Answer, Request},
    random::Random,
    subtasks::Attempted,
    world::{Happening, Pause, World},
};

const RETRY_MIN_MS: Timestamp = 50;
const RETRY_MAX_MS: Timestamp = 1_000;

#[derive(Debug)]
pub(crate) struct TaskManagerProcess {
    pub(crate) id: TaskManagerId,
    pub(crate) core: Agent,
    pub(crate) pause: Pause,
    pub(crate) life: u64,
    slots: u32,
    up: bool,
    /// What its clock shows beside the world's.
    clock_ms: Timestamp,
    wake_ms: Option<Timestamp>,
    polling: Polling,
    reporting: Reporting,
    pub(crate) attempts: BTreeMap<Try, Attempted>,
}

/// The thread that keeps in touch.
#[derive(Debug, Default)]
struct Polling {
    registered: Option<Epoch>,
    again: bool,
    version: u64,
    retry_ms: Timestamp,
    /// The open request, and when it was sent.
    open: Option<(u64, Timestamp)>,
    /// When the last request that was answered was sent.
    contact_ms: Timestamp,
}

/// The thread that sends reports, the newest only.
#[derive(Debug, Default)]
struct Reporting {
    waiting: Option<Reports>,
    open: Option<u64>,
}

impl TaskManagerProcess {
    pub(crate) fn new(index: usize, profile: &Profile, random: &mut Random) -> Self {
        let id = TaskManagerId(index as u64 + 1);
        // Together they have room for the widest job.
        let slots = random.between(3, 5) as u32 - (profile.taskmanagers as u32 - 1).min(2);
        Self {
            id,
            core: Agent::new(config(), id, Incarnation(0)),
            pause: Pause::default(),
            life: 0,
            slots,
            up: false,
            clock_ms: random.between(-900_000, 90_000_000),
            wake_ms: None,
            polling: Polling::default(),
            reporting: Reporting::default(),
            attempts: BTreeMap::new(),
        }
    }

    /// Attempts that have not been told to stop and are not over.
    pub(crate) fn busy(&self) -> impl Iterator<Item = Try> {
        self.attempts.iter().filter(|(_, attempt)| attempt.is_busy()).map(|(of, _)| *of)
    }

    pub(crate) fn has_prepared(&self, of: Try) -> bool {
        self.attempts.get(&of).is_some_and(Attempted::has_prepared)
    }
}

fn config() -> Config {
    Config { lease_ms: LEASE_MS, ..Config::default() }
}

impl World {
    pub(crate) fn start_taskmanager(&mut self, index: usize) {
        let process = &mut self.taskmanagers[index];
        process.life += 1;
        process.up = true;
        process.core = Agent::new(config(), process.id, Incarnation(process.life));
        process.polling = Polling { retry_ms: RETRY_MIN_MS, ..Polling::default() };
        let life = process.life;
        self.poll_again(index, life);
    }

    /// False if it was not there to be killed.
    pub(crate) fn crash_taskmanager(&mut self, index: usize) -> bool {
        let process = &mut self.taskmanagers[index];
        if !process.up {
            return false;
        }
        process.up = false;
        process.pause = Pause::default();
        process.wake_ms = None;
        process.attempts.clear();
        process.reporting = Reporting::default();
        let (id, open) = (process.id, process.polling.open.take());
        self.see(&Fact::Died { taskmanager: id });
        // The system of a host that lives closes the connections of a process that does not.
        if let (Some((connection, _)), true) = (open, self.random.permille(700)) {
            self.close(index, connection);
        }
        true
    }

    /// The connection breaks while both ends live.
    pub(crate) fn reset(&mut self, index: usize) {
        if let Some((connection, _)) = self.taskmanagers[index].polling.open {
            let life = self.taskmanagers[index].life;
            self.close(index, connection);
            self.within(1, Happening::TimedOut { taskmanager: index, life, connection });
        }
    }

    // Polling.

    pub(crate) fn poll_again(&mut self, index: usize, life: u64) {
        let now_ms = self.now_ms;
        let process = &self.taskmanagers[index];
        if process.life != life || !process.up || process.polling.open.is_some() {
            return;
        }
        let watermarks = self.source_watermarks(index);
        let process = &mut self.taskmanagers[index];
        let connection = self.network.connect();
        process.polling.open = Some((connection, now_ms + process.clock_ms));
        let (taskmanager, incarnation) = (process.id, Incarnation(life));
        if std::mem::take(&mut process.polling.again) {
            process.polling.registered = None;
        }
        let request = match process.polling.registered {
            Some(epoch) => {
                let version = process.polling.version;
                Request::Poll { taskmanager, incarnation, epoch, version, watermarks }
            }
            None => Request::Register { taskmanager, incarnation, slots: process.slots },
        };
        self.send_request(index, connection, &request);
        let timeout_ms = self.profile.request_timeout_ms;
        self.within(timeout_ms, Happening::TimedOut { taskmanager: index, life, connection });
    }

    pub(crate) fn timed_out(&mut self, index: usize, life: u64, connection: u64) {
        let process = &mut self.taskmanagers[index];
        if process.life != life || !process.up {
            return;
        }
        if process.polling.open.take_if(|(open, _)| *open == connection).is_some() {
            let retry_ms = process.polling.retry_ms;
            process.polling.retry_ms = (2 * retry_ms).min(RETRY_MAX_MS);
            self.close(index, connection);
            self.within(retry_ms, Happening::PollAgain { taskmanager: index, life });
        } else if process.reporting.open.take_if(|open| *open == connection).is_some() {
            self.send_reports(index);
        }
    }

    pub(crate) fn answered(&mut self, index: usize, life: u64, connection: u64, answer: Answer) {
        let process = &mut self.taskmanagers[index];
        if process.life != life || !process.up {
            return;
        }
        if process.reporting.open.take_if(|open| *open == connection).is_some() {
            if let Answer::Acknowledged { sequence } = answer {
                self.tell_agent(index, Event::Acknowledged { sequence });
            }
            self.send_reports(index);
            return;
        }
        let Some((_, asked_ms)) = process.polling.open.take_if(|(open, _)| *open == connection) else { return };
        process.polling.retry_ms = RETRY_MIN_MS;
        let id = process.id;
        self.note(&[30, id.0], || format!("{id} is answered: {}", answer.summary()));
        self.take_answer(index, asked_ms, answer);
        self.poll_again(index, life);
    }

    fn take_answer(&mut self, index: usize, asked_ms: Timestamp, answer: Answer) {
        let clock_ms = self.now_ms + self.taskmanagers[index].clock_ms;
        let said_ms = if self.is(Sabotage::LeaseFromAnswer) { clock_ms } else { asked_ms };
        let polling = &mut self.taskmanagers[index].polling;
        if let Answer::Nothing | Answer::Orders(_) | Answer::Registered { .. } = answer {
            polling.contact_ms = asked_ms;
        }
        match answer {
            Answer::Registered { epoch } => {
                (polling.registered, polling.version) = (Some(epoch), 0);
                self.tell_agent(index, Event::Registered { epoch, asked_ms: said_ms });
            }
            Answer::Register => polling.registered = None,
            Answer::Nothing => self.tell_agent(index, Event::Contact { asked_ms: said_ms }),
            Answer::Orders(orders) => {
                polling.version = orders.version;
                self.tell_agent(index, Event::Contact { asked_ms: said_ms });
                self.tell_agent(index, Event::Orders(orders));
            }
            Answer::Acknowledged { .. } => {}
        }
    }

    // Reports.

    fn send_reports(&mut self, index: usize) {
        let process = &mut self.taskmanagers[index];
        if process.reporting.open.is_some() {
            return;
        }
        let Some(reports) = process.reporting.waiting.take() else { return };
        let connection = self.network.connect();
        process.reporting.open = Some(connection);
        let life = process.life;
        let sequence = reports.sequence;
        self.send_request(index, connection, &Request::Reports(reports));
        let timeout_ms = self.profile.request_timeout_ms;
        self.within(timeout_ms, Happening::TimedOut { taskmanager: index, life, connection });
        if self.is(Sabotage::AcknowledgesUnread) {
            self.tell_agent(index, Event::Acknowledged { sequence });
        }
    }

    // The agent.

    pub(crate) fn wake_taskmanager(&mut self, index: usize, life: u64, at_ms: Timestamp) {
        let process = &mut self.taskmanagers[index];
        if process.life == life && process.up && process.wake_ms == Some(at_ms) {
            process.wake_ms = None;
            self.advance_agent(index);
        }
    }

    pub(crate) fn wake_up(&mut self, index: usize) {
        if self.taskmanagers[index].up {
            self.advance_agent(index);
        }
    }

    pub(crate) fn tell_agent(&mut self, index: usize, event: Event) {
        self.sabotage_lease(index);
        let clock_ms = self.now_ms + self.taskmanagers[index].clock_ms;
        let commands = self.taskmanagers[index].core.handle(clock_ms, event);
        self.follow_agent(index, commands);
        self.advance_agent(index);
    }

    fn advance_agent(&mut self, index: usize) {
        self.sabotage_lease(index);
        let now_ms = self.now_ms;
        let process = &mut self.taskmanagers[index];
        let clock_ms = now_ms + process.clock_ms;
        let commands = process.core.advance(clock_ms);
        self.follow_agent(index, commands);
        let process = &mut self.taskmanagers[index];
        let (taskmanager, busy) = (process.id, process.busy().count());
        let silent_ms = clock_ms - process.polling.contact_ms;
        let deadline_ms = process.core.deadline().map(|at| at - process.clock_ms);
        self.see(&Fact::Called { taskmanager, silent_ms, lease_ms: LEASE_MS as i64, busy });
        let process = &mut self.taskmanagers[index];
        if let Some(at_ms) = deadline_ms
            && process.wake_ms.is_none_or(|wake| wake > at_ms)
        {
            process.wake_ms = Some(at_ms);
            let life = process.life;
            self.at(at_ms, Happening::WakeTaskManager { taskmanager: index, life, at_ms });
        }
    }

    fn sabotage_lease(&mut self, index: usize) {
        if self.is(Sabotage::IgnoresLease) {
            let process = &mut self.taskmanagers[index];
            let asked_ms = self.now_ms + process.clock_ms;
            drop(process.core.handle(asked_ms, Event::Contact { asked_ms }));
        }
    }

    fn follow_agent(&mut self, index: usize, commands: Vec<Command>) {
        let taskmanager = self.taskmanagers[index].id;
        for command in commands {
            if !matches!(command, Command::Report(_)) {
                self.note(&[31, taskmanager.0], || format!("{taskmanager} does: {}", shown(&command)));
            }
            match command {
                Command::Start { job, attempt, subtasks, restore, .. } => {
                    let (of, slots) = ((job, attempt), self.taskmanagers[index].slots);
                    self.see(&Fact::Starts { taskmanager, of, subtasks: &subtasks, slots });
                    self.start_subtasks(index, of, &subtasks, restore);
                }
                Command::Checkpoints { job, attempt, checkpoints } => {
                    self.keep_checkpoints(index, (job, attempt), checkpoints);
                }
                Command::Limits { job, attempt, limits } => self.set_limits(index, (job, attempt), limits),
                Command::Give { job, attempt, given } => self.give(index, (job, attempt), given),
                Command::Drain { job, attempt } => self.drain_subtasks(index, (job, attempt)),
                Command::Commit { job, attempt } => {
                    self.counts.commits += 1;
                    self.see(&Fact::Commits { taskmanager, of: (job, attempt) });
                    self.commit_subtasks(index, (job, attempt));
                }
                Command::Stop { job, attempt } => self.stop_subtasks(index, (job, attempt)),
                Command::Release { .. } => {}
                Command::Report(mut reports) => {
                    if self.is(Sabotage::EndReplacesPart) {
                        forget_parts_before_ends(&mut reports);
                    }
                    self.taskmanagers[index].reporting.waiting = Some(reports);
                    self.send_reports(index);
                }
                Command::Register => {
                    self.counts.fences += 1;
                    self.taskmanagers[index].polling.again = true;
                }
            }
        }
    }
}

fn shown(command: &Command) -> String {
    match command {
        Command::Start { job, attempt, subtasks, .. } => {
            let subtasks: Vec<String> = subtasks.iter().map(ToString::to_string).collect();
            format!("start {job} {attempt}: {}", subtasks.join(" "))
        }
        Command::Checkpoints { job, attempt, checkpoints } => format!("keep {job} {attempt}: {checkpoints:?}"),
        Command::Limits { job, attempt, limits } => format!("limit {job} {attempt}: {limits:?}"),
        Command::Give { job, attempt, given } => format!("give {job} {attempt}: {given:?}"),
        Command::Drain { job, attempt } => format!("drain {job} {attempt}"),
        Command::Commit { job, attempt } => format!("commit {job} {attempt}"),
        Command::Stop { job, attempt } => format!("stop {job} {attempt}"),
        Command::Release { job, attempt } => format!("release {job} {attempt}"),
        Command::Report(_) => "report".to_owned(),
        Command::Register => "register".to_owned(),
    }
}

fn forget_parts_before_ends(reports: &mut Reports) {
    let part = |said: &Said| match said {
        Said::Part { at, .. } => Some(*at),
        _ => None,
    };
    let ends = reports.reports.iter().filter(|report| part(&report.said) == Some(At::End));
    let ends: Vec<_> = ends.map(|report| (report.job, report.attempt, report.subtask)).collect();
    reports.reports.retain(|report| {
        let has_ended = ends.contains(&(report.job, report.attempt, report.subtask));
        !has_ended || !matches!(part(&report.said), Some(At::Checkpoint(_)))
    });
}
