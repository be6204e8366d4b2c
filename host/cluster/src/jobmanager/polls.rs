//! TaskManagers that wait for orders: each has one request open, which is answered as soon as there is something new for it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use wasmill_control::message::Orders;
use wasmill_model::ids::{Incarnation, TaskManagerId};

use crate::message::Answer;

/// A poll is not kept open for longer, whatever the heartbeat: TaskManagers take one without an answer for lost.
const OPEN_MAX: Duration = Duration::from_secs(1);

/// Who waits, and what there is for them.
#[derive(Debug)]
pub(crate) struct Polls {
    /// How long a poll may stay open.
    open: Duration,
    by_taskmanager: BTreeMap<TaskManagerId, Waiting>,
}

/// Of the newest life of a TaskManager.
#[derive(Debug)]
struct Waiting {
    incarnation: Incarnation,
    orders: Option<Orders>,
    poll: Option<(oneshot::Sender<Answer>, u64, Instant)>,
    /// By which connection it has asked last.
    connection: Option<u64>,
    /// Reports that have come and are not answered.
    reports: Vec<oneshot::Sender<Answer>>,
}

impl Polls {
    pub(crate) fn new(open: Duration) -> Self {
        Self { open: open.min(OPEN_MAX), by_taskmanager: BTreeMap::new() }
    }

    fn of(&mut self, taskmanager: TaskManagerId, incarnation: Incarnation) -> Option<&mut Waiting> {
        let new = || Waiting { incarnation, orders: None, poll: None, connection: None, reports: Vec::new() };
        let waiting = self.by_taskmanager.entry(taskmanager).or_insert_with(new);
        if waiting.incarnation < incarnation {
            *waiting = new();
        }
        (waiting.incarnation == incarnation).then_some(waiting)
    }

    /// Keeps a poll open that has seen orders of a version, or answers it. An earlier one of the same TaskManager is answered.
    pub(crate) fn park(
        &mut self,
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        (version, connection): (u64, Option<u64>),
        answer: oneshot::Sender<Answer>,
        now: Instant,
    ) {
        let until = now + self.open;
        let Some(waiting) = self.of(taskmanager, incarnation) else {
            let _ = answer.send(Answer::Register);
            return;
        };
        waiting.connection = connection;
        if let Some((earlier, ..)) = waiting.poll.replace((answer, version, until)) {
            let _ = earlier.send(Answer::Nothing);
        }
        waiting.answer_if_new();
    }

    /// Who has asked last by a connection that is closed: whether its poll was still open, or the answer was on its way.
    pub(crate) fn closed(&mut self, connection: u64) -> Option<(TaskManagerId, Incarnation)> {
        let mut all = self.by_taskmanager.iter_mut();
        let (taskmanager, waiting) = all.find(|(_, waiting)| waiting.connection == Some(connection))?;
        waiting.connection = None;
        Some((*taskmanager, waiting.incarnation))
    }

    /// Reports that are answered once the core has taken them.
    pub(crate) fn expect_acknowledgement(
        &mut self,
        taskmanager: TaskManagerId,
        incarnation: Incarnation,
        answer: oneshot::Sender<Answer>,
    ) {
        match self.of(taskmanager, incarnation) {
            Some(waiting) => waiting.reports.push(answer),
            None => {
                let _ = answer.send(Answer::Register);
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, taskmanager: TaskManagerId, incarnation: Incarnation, sequence: u64) {
        if let Some(waiting) = self.of(taskmanager, incarnation) {
            for answer in waiting.reports.drain(..) {
                let _ = answer.send(Answer::Acknowledged { sequence });
            }
        }
    }

    /// All that is wished of a TaskManager now.
    pub(crate) fn orders(&mut self, taskmanager: TaskManagerId, incarnation: Incarnation, orders: Orders) {
        if let Some(waiting) = self.of(taskmanager, incarnation) {
            waiting.orders = Some(orders);
            waiting.answer_if_new();
        }
    }

    /// The core does not know this TaskManager.
    pub(crate) fn unknown(&mut self, taskmanager: TaskManagerId, incarnation: Incarnation) {
        let Some(waiting) = self.of(taskmanager, incarnation) else { return };
        waiting.orders = None;
        let poll = waiting.poll.take().map(|(answer, ..)| answer);
        for answer in poll.into_iter().chain(waiting.reports.drain(..)) {
            let _ = answer.send(Answer::Register);
        }
    }

    /// Answers those that have waited long enough.
    pub(crate) fn answer_due(&mut self, now: Instant) {
        for waiting in self.by_taskmanager.values_mut() {
            if let Some((answer, ..)) = waiting.poll.take_if(|(_, _, until)| *until <= now) {
                let _ = answer.send(Answer::Nothing);
            }
        }
    }

    /// Answers all, because there is something to tell everybody.
    pub(crate) fn answer_all(&mut self) {
        for waiting in self.by_taskmanager.values_mut() {
            if let Some((answer, ..)) = waiting.poll.take() {
                let _ = answer.send(Answer::Nothing);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_taskmanager.values().filter_map(|waiting| waiting.poll.as_ref().map(|(.., until)| *until)).min()
    }
}

impl Waiting {
    fn answer_if_new(&mut self) {
        let Some(orders) = &self.orders else { return };
        if let Some((answer, ..)) = self.poll.take_if(|(_, seen, _)| *seen < orders.version) {
            let _ = answer.send(Answer::Orders(orders.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_connection_is_closed_is_lost_unless_it_has_asked_by_another() {
        let mut polls = Polls::new(OPEN_MAX);
        let ids = |number| (TaskManagerId(number), Incarnation(1));
        let mut park = |number, connection| {
            let ((taskmanager, incarnation), (answer, _)) = (ids(number), oneshot::channel());
            polls.park(taskmanager, incarnation, (0, connection), answer, Instant::now());
        };
        park(1, Some(7));
        park(2, Some(8));
        park(1, Some(9));
        park(3, None);
        assert_eq!(polls.closed(7), None, "it has asked by another one since");
        // Whether it is answered or not.
        polls.answer_all();
        assert_eq!(polls.closed(9), Some(ids(1)));
        assert_eq!(polls.closed(9), None, "it is told once");
        assert_eq!(polls.closed(8), Some(ids(2)));
    }
}
