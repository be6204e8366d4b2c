//! The JobManager's process: the core as shipped, in a shell that answers polls, writes to the disk and dies.

use std::collections::BTreeMap;

use wasmill_control::{
    JobManager,
    jobmanager::{Command, Config, Desired, Event, JobEvent, JobRecord, JobShape, JobState, Recovered},
    message::{At, Orders, Reports, Said, Wish},
};
use wasmill_model::{
    Timestamp,
    ids::{Epoch, Incarnation, JobId, TaskManagerId},
};

use crate::{
    Sabotage,
    checkers::Fact,
    disk::Change,
    message::{Answer, Reply, Request},
    world::{Happening, Pause, World},
};

mod people;

/// Long enough to be often lost and short enough to be seen in a run.
pub(crate) const LEASE_MS: u64 = 2_000;

#[derive(Debug, Default)]
pub(crate) struct JobManagerProcess {
    /// While it is up.
    pub(crate) core: Option<JobManager>,
    pub(crate) pause: Pause,
    /// Which life this is, as the world counts.
    life: u64,
    /// As the disk counts.
    epoch: u64,
    wake_ms: Option<Timestamp>,
    polls: BTreeMap<TaskManagerId, Waiting>,
    /// The key of each job whose record is written or being written.
    keys: BTreeMap<JobId, u64>,
    /// The shape of each job as it was last written, or is being written.
    shapes: BTreeMap<JobId, JobShape>,
    /// Submissions that are not answered.
    requests: BTreeMap<u64, Submission>,
    last_request: u64,
    /// Savepoints, stops and replacements that are not answered.
    open: BTreeMap<u64, JobId>,
    last_open: u64,
    /// Who waits for which write.
    waiters: BTreeMap<u64, Vec<Waiter>>,
}

/// Client, connection, and what is wanted of which job.
type Waiter = (usize, u64, (JobId, Desired));

#[derive(Debug)]
struct Submission {
    key: u64,
    /// Client and connection.
    asked_by: Vec<(usize, u64)>,
}

/// Connections of the newest life of a TaskManager that are to be answered.
#[derive(Debug)]
struct Waiting {
    incarnation: Incarnation,
    orders: Option<Orders>,
    /// Connection and the version that was seen.
    poll: Option<(u64, u64)>,
    reports: Vec<u64>,
}

impl JobManagerProcess {
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    pub(crate) fn unanswered(&self) -> Option<(u64, JobId)> {
        self.open.first_key_value().map(|(request, job)| (*request, *job))
    }
}

impl World {
    pub(crate) fn start_jobmanager(&mut self) {
        if self.disk.epoch == 0 || !self.is(Sabotage::ForgetsEpoch) {
            self.disk.epoch += 1;
        }
        let (life, epoch) = (self.jobmanager.life + 1, self.disk.epoch);
        self.see_with_disk(|disk| Fact::Begins { disk });
        let forgets_ended = self.is(Sabotage::ForgetsEndedJobs);
        let records: Vec<(JobRecord, u64)> =
            self.disk.all().filter(|(record, _)| !forgets_ended || record.end.is_none()).cloned().collect();
        let keys = if self.is(Sabotage::ForgetsKeys) {
            BTreeMap::new()
        } else {
            records.iter().map(|(record, key)| (record.id, *key)).collect()
        };
        let config = Config {
            lease_ms: LEASE_MS,
            restart_max_ms: 2_000,
            history_jobs_max: self.profile.history_jobs_max,
            live_jobs_max: 4,
            ..Config::default()
        };
        let forgets = self.is(Sabotage::ForgetsCheckpoint);
        let claims_nothing = self.is(Sabotage::ClaimsNothingVisible);
        let recovered = |(record, _): (JobRecord, u64)| {
            let mut checkpoints = self.store.completed(&record, claims_nothing);
            checkpoints.truncate(if forgets { 0 } else { checkpoints.len() });
            Recovered { record, checkpoints }
        };
        let shapes = records.iter().map(|(record, _)| (record.id, record.shape.clone())).collect();
        let records = records.into_iter().map(recovered).collect();
        let (core, commands) = JobManager::new(config, Epoch(epoch), records, self.now_ms);
        self.jobmanager =
            JobManagerProcess { core: Some(core), life, epoch, keys, shapes, ..JobManagerProcess::default() };
        self.note(&[10, life], || format!("jobmanager begins, {}", Epoch(epoch)));
        self.follow_jobmanager(commands);
        self.set_alarm();
    }

    /// False if it was not there to be killed.
    pub(crate) fn crash_jobmanager(&mut self) -> bool {
        if self.jobmanager.core.is_none() {
            return false;
        }
        self.jobmanager = JobManagerProcess { life: self.jobmanager.life, ..JobManagerProcess::default() };
        self.disk.crash(&mut self.random);
        self.crash_store();
        true
    }

    pub(crate) fn wake_jobmanager(&mut self, life: u64, at_ms: Timestamp) {
        if self.jobmanager.life == life && self.jobmanager.wake_ms == Some(at_ms) {
            self.jobmanager.wake_ms = None;
            self.advance_jobmanager();
        }
    }

    fn advance_jobmanager(&mut self) {
        let now_ms = self.now_ms;
        let Some(core) = &mut self.jobmanager.core else { return };
        let commands = core.advance(now_ms);
        self.follow_jobmanager(commands);
        self.set_alarm();
    }

    fn set_alarm(&mut self) {
        let Some(deadline_ms) = self.jobmanager.core.as_ref().and_then(JobManager::deadline) else { return };
        if self.jobmanager.wake_ms.is_none_or(|at| at > deadline_ms) {
            self.jobmanager.wake_ms = Some(deadline_ms);
            self.at(deadline_ms, Happening::WakeJobManager { life: self.jobmanager.life, at_ms: deadline_ms });
        }
    }

    /// Something happens to the core, and time has passed too. The newest write that followed.
    pub(crate) fn tell_jobmanager(&mut self, event: Event) -> Option<u64> {
        let now_ms = self.now_ms;
        let commands = self.jobmanager.core.as_mut()?.handle(now_ms, event);
        let write = commands.iter().rev().find_map(|command| match command {
            Command::Store { write, .. } => Some(*write),
            _ => None,
        });
        self.follow_jobmanager(commands);
        self.advance_jobmanager();
        write
    }

    fn follow_jobmanager(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Orders { taskmanager, incarnation, orders } => self.order(taskmanager, incarnation, orders),
                Command::Unknown { taskmanager, incarnation } => self.unknown(taskmanager, incarnation),
                Command::Acknowledge { taskmanager, incarnation, sequence } => {
                    self.acknowledge(taskmanager, incarnation, sequence);
                }
                Command::Store { write, record } => self.write(write, record),
                Command::Accepted { request, job } => self.accepted(request, job),
                Command::Refused { request, .. } => {
                    let submission = self.jobmanager.requests.remove(&request);
                    for (client, connection) in submission.map_or_else(Vec::new, |s| s.asked_by) {
                        self.send_reply(client, connection, Reply::Refused);
                    }
                }
                Command::Changed { job, state } => self.told(job, &state),
                Command::Event { job, event, .. } => {
                    self.note(&[11, job.0], || format!("{job}: {event}"));
                    self.happened(job, &event);
                }
                Command::StoreCheckpoint { job, checkpoint, parts, last, .. } => {
                    self.store_checkpoint((job, checkpoint), &parts, last);
                }
                Command::SavepointTaken { request, job, manifest, .. } => {
                    self.counts.savepoints += 1;
                    self.answer_open(request, "taken");
                    self.see(&Fact::SavepointTaken { job, manifest: &manifest });
                }
                Command::SavepointFailed { request, cause } => self.answer_open(request, &cause.message),
                Command::Replaced { request, .. } => {
                    self.counts.replaced += 1;
                    self.answer_open(request, "replaced");
                }
                Command::ReplaceFailed { request, cause } => self.answer_open(request, &cause.message),
                Command::Resolved { request, .. } => self.answer_open(request, "resolved"),
                Command::ResolveFailed { request, cause } => self.answer_open(request, &cause.message),
                Command::Forget { job } => {
                    self.note(&[12, job.0], || format!("{job} is forgotten"));
                    self.jobmanager.keys.remove(&job);
                    self.jobmanager.shapes.remove(&job);
                    self.see(&Fact::Forgotten { job });
                    self.ask_disk(Change::Forget(job));
                }
            }
        }
    }

    fn happened(&mut self, job: JobId, event: &JobEvent) {
        match event {
            JobEvent::Placed { attempt, .. } => {
                self.counts.attempts += 1;
                let of = (job, *attempt);
                let shape = self.jobmanager.shapes[&job].clone();
                self.see(&Fact::Placed { of });
                let core = self.jobmanager.core.as_ref();
                let from = core.and_then(|core| core.job(job)?.checkpoint).map(|checkpoint| checkpoint.manifest);
                if let Some(from) = from {
                    self.see(&Fact::Begun { job, from: from.as_deref() });
                }
                let durable = self.disk.record(job).is_some_and(|record| record.shape == shape);
                self.see(&Fact::Shape { of, durable });
                self.shapes.insert(of, shape);
            }
            JobEvent::RolledBack { .. } => self.counts.rolled_back += 1,
            JobEvent::PassedOver { .. } => self.counts.passed_over += 1,
            _ => {}
        }
    }

    fn told(&mut self, job: JobId, state: &JobState) {
        self.note(&[13, job.0], || format!("{job} is {}", state.name()));
        let busy: Vec<_> = self.taskmanagers.iter().filter(|process| !process.pause.paused).collect();
        let busy = busy.into_iter().flat_map(|process| process.busy().map(|of| (process.id, of)));
        let busy: Vec<_> = busy.collect();
        self.counts.stopped += u64::from(matches!(state, JobState::Stopped { .. }));
        self.see(&Fact::Told { job, state, busy: &busy });
        if *state == JobState::NeedsDecision {
            self.counts.decisions += 1;
            let takes_ms = self.damages.between(50, 2_000);
            self.within(takes_ms, Happening::Decide { job });
        }
    }

    // The disk.

    fn write(&mut self, write: u64, record: JobRecord) {
        let id = record.id;
        let new = !self.jobmanager.keys.contains_key(&id);
        if new {
            // Under the sabotage that forgets keys, those of earlier lives are unknown.
            let key = self.jobmanager.requests.get(&self.jobmanager.last_request).map_or(0, |request| request.key);
            self.jobmanager.keys.insert(id, key);
            self.see(&Fact::Shaped { record: &record });
        }
        self.jobmanager.shapes.insert(id, record.shape.clone());
        let key = self.jobmanager.keys[&id];
        self.note(&[14, id.0, write], || {
            format!("write {write}: {id} {:?}{}", record.desired, if record.end.is_some() { ", its end" } else { "" })
        });
        let skips = self.is(Sabotage::SkipsTombstone) && record.end.is_some();
        if !skips {
            self.ask_disk(Change::Job { write, record: Box::new(record), key });
        }
        if skips || self.is(Sabotage::AnswersBeforeDurable) {
            self.stored(write);
        }
    }

    fn ask_disk(&mut self, change: Change) {
        if self.disk.ask(change) {
            self.start_write();
        }
    }

    fn start_write(&mut self) {
        let often = if self.has_faults() { self.profile.slow_disk_permille } else { 0 };
        let takes_ms = self.random.heavy_tailed(0, 4, 3_000, often);
        self.within(takes_ms, Happening::DiskDone { life: self.jobmanager.life });
    }

    pub(crate) fn disk_done(&mut self, life: u64) {
        if self.jobmanager.life != life || self.jobmanager.core.is_none() {
            return;
        }
        let fails = self.has_faults() && self.random.permille(self.profile.failing_disk_permille);
        // A write that fails may have reached the disk all the same.
        let reached = !fails || self.random.permille(500);
        let (change, more) = self.disk.done(!reached);
        if more {
            self.start_write();
        }
        let Some(Change::Job { write, .. }) = change else { return };
        if fails {
            self.note(&[15, write], || format!("write {write} fails"));
            self.jobmanager.waiters.remove(&write);
            self.tell_jobmanager(Event::StoreFailed { write, message: "the disk is full".to_owned() });
        } else {
            self.stored(write);
        }
    }

    fn stored(&mut self, write: u64) {
        self.note(&[16, write], || format!("write {write} is durable"));
        self.tell_jobmanager(Event::Stored { write });
        for (client, connection, wish) in self.jobmanager.waiters.remove(&write).unwrap_or_default() {
            self.take_end(client, connection, wish);
        }
    }

    // TaskManagers.

    pub(crate) fn cordon(&mut self, taskmanager: usize, on: bool) {
        let taskmanager = self.taskmanagers[taskmanager].id;
        self.tell_jobmanager(Event::Cordon { taskmanager, on });
    }

    pub(crate) fn requested(&mut self, connection: u64, taskmanager: usize, request: Request) {
        if self.jobmanager.core.is_none() {
            return;
        }
        self.note(&[19, taskmanager as u64], || format!("taskmanager-{} asks: {}", taskmanager + 1, request.summary()));
        match request {
            Request::Register { taskmanager: id, incarnation, slots } => {
                let epoch = Epoch(self.jobmanager.epoch);
                self.tell_jobmanager(Event::Register { taskmanager: id, incarnation, slots, address: String::new() });
                self.answer(taskmanager, connection, &Answer::Registered { epoch });
            }
            Request::Poll { taskmanager: id, incarnation, epoch, version, watermarks } => {
                if epoch.0 != self.jobmanager.epoch {
                    self.answer(taskmanager, connection, &Answer::Register);
                    return;
                }
                self.park(id, incarnation, version, connection);
                self.tell_jobmanager(Event::Heartbeat { taskmanager: id, incarnation, watermarks });
            }
            Request::Reports(reports) => {
                let reports = self.sabotaged(reports);
                let (id, incarnation) = (reports.taskmanager, reports.incarnation);
                match self.waiting(id, incarnation) {
                    Some(waiting) => waiting.reports.push(connection),
                    None => self.answer(taskmanager, connection, &Answer::Register),
                }
                self.tell_jobmanager(Event::Reports(reports));
            }
        }
    }

    fn sabotaged(&self, mut reports: Reports) -> Reports {
        let Some(core) = &self.jobmanager.core else { return reports };
        if self.is(Sabotage::ForgetsIncarnation)
            && let Some(known) = core.taskmanagers().find(|view| view.id == reports.taskmanager)
        {
            reports.incarnation = known.incarnation;
        }
        if self.is(Sabotage::ForgetsAttempt) {
            for report in &mut reports.reports {
                report.attempt = core.job(report.job).map_or(report.attempt, |view| view.attempt);
            }
        }
        if self.is(Sabotage::TakesStaleParts) {
            for report in &mut reports.reports {
                let Some(view) = core.job(report.job).filter(|view| view.attempt != report.attempt) else { continue };
                if let Said::Part { at, .. } = &mut report.said {
                    report.attempt = view.attempt;
                    if let (At::Checkpoint(id), Some((present, ..))) = (at, view.checkpoint.and_then(|c| c.under_way)) {
                        *id = present;
                    }
                }
            }
        }
        reports
    }

    fn waiting(&mut self, id: TaskManagerId, incarnation: Incarnation) -> Option<&mut Waiting> {
        let new = || Waiting { incarnation, orders: None, poll: None, reports: Vec::new() };
        let waiting = self.jobmanager.polls.entry(id).or_insert_with(new);
        if waiting.incarnation < incarnation {
            *waiting = new();
        }
        (waiting.incarnation == incarnation).then_some(waiting)
    }

    fn answer(&mut self, taskmanager: usize, connection: u64, answer: &Answer) {
        let life = self.taskmanagers[taskmanager].life;
        self.send_answer(taskmanager, life, connection, answer);
    }

    fn park(&mut self, id: TaskManagerId, incarnation: Incarnation, version: u64, connection: u64) {
        let index = id.0 as usize - 1;
        let Some(waiting) = self.waiting(id, incarnation) else {
            self.answer(index, connection, &Answer::Register);
            return;
        };
        if let Some((earlier, _)) = waiting.poll.replace((connection, version)) {
            self.answer(index, earlier, &Answer::Nothing);
        }
        let life = self.jobmanager.life;
        self.within(500, Happening::PollOver { life, taskmanager: id, connection });
        self.answer_if_new(id);
    }

    fn answer_if_new(&mut self, id: TaskManagerId) {
        let Some(waiting) = self.jobmanager.polls.get_mut(&id) else { return };
        let Some(orders) = waiting.orders.clone() else { return };
        if let Some((connection, _)) = waiting.poll.take_if(|(_, seen)| *seen < orders.version) {
            self.answer(id.0 as usize - 1, connection, &Answer::Orders(orders));
        }
    }

    fn order(&mut self, id: TaskManagerId, incarnation: Incarnation, mut orders: Orders) {
        if self.is(Sabotage::CommitsEarly) {
            let prepared = |of| self.taskmanagers.iter().any(|process| process.has_prepared(of));
            for order in orders.orders.iter_mut().filter(|order| order.wish == Wish::Drain) {
                if prepared((order.job, order.attempt)) {
                    order.wish = Wish::Commit;
                }
            }
        }
        if self.is(Sabotage::StopsWithoutCompleted) {
            for order in orders.orders.iter_mut().filter(|order| order.wish == Wish::Stop) {
                order.checkpoints.completed = None;
            }
        }
        if let Some(waiting) = self.waiting(id, incarnation) {
            waiting.orders = Some(orders);
            self.answer_if_new(id);
        }
    }

    fn acknowledge(&mut self, id: TaskManagerId, incarnation: Incarnation, sequence: u64) {
        let Some(waiting) = self.waiting(id, incarnation) else { return };
        for connection in std::mem::take(&mut waiting.reports) {
            self.answer(id.0 as usize - 1, connection, &Answer::Acknowledged { sequence });
        }
    }

    fn unknown(&mut self, id: TaskManagerId, incarnation: Incarnation) {
        let Some(waiting) = self.waiting(id, incarnation) else { return };
        waiting.orders = None;
        let poll = waiting.poll.take().map(|(connection, _)| connection);
        let reports = std::mem::take(&mut waiting.reports);
        for connection in poll.into_iter().chain(reports) {
            self.answer(id.0 as usize - 1, connection, &Answer::Register);
        }
    }

    pub(crate) fn poll_over(&mut self, life: u64, id: TaskManagerId, connection: u64) {
        if self.jobmanager.life != life {
            return;
        }
        let Some(waiting) = self.jobmanager.polls.get_mut(&id) else { return };
        if waiting.poll.take_if(|(open, _)| *open == connection).is_some() {
            self.answer(id.0 as usize - 1, connection, &Answer::Nothing);
        }
    }

    /// A poll that can no longer be answered: its TaskManager is lost.
    pub(crate) fn closed(&mut self, taskmanager: usize, connection: u64) {
        let id = self.taskmanagers[taskmanager].id;
        let Some(waiting) = self.jobmanager.polls.get_mut(&id) else { return };
        if waiting.poll.take_if(|(open, _)| *open == connection).is_some() {
            let incarnation = waiting.incarnation;
            self.note(&[20, id.0], || format!("{id} has closed its connection"));
            self.tell_jobmanager(Event::Lost { taskmanager: id, incarnation });
        }
    }
}
