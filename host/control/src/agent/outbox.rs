//! Reports on their way: the newest of each subtask, until it is acknowledged.

use std::collections::BTreeMap;

use wasmill_model::{
    Timestamp,
    ids::{Attempt, JobId, Subtask},
};

use crate::message::Report;

/// Bounded by the subtasks of the attempts that are ordered: a later state of a subtask takes the place of an earlier one.
#[derive(Debug)]
pub(super) struct Outbox {
    resend_ms: Timestamp,
    by_subtask: BTreeMap<(JobId, Attempt, Subtask), u64>,
    by_sequence: BTreeMap<u64, Report>,
    sent_ms: Timestamp,
}

impl Outbox {
    pub(super) fn new(resend_ms: Timestamp) -> Self {
        Self { resend_ms, by_subtask: BTreeMap::new(), by_sequence: BTreeMap::new(), sent_ms: 0 }
    }

    pub(super) fn put(&mut self, sequence: u64, report: Report) {
        let subtask = (report.job, report.attempt, report.subtask);
        if let Some(earlier) = self.by_subtask.insert(subtask, sequence) {
            self.by_sequence.remove(&earlier);
        }
        self.by_sequence.insert(sequence, report);
    }

    /// All of them, the oldest first, and the number of the newest.
    pub(super) fn take(&mut self, now_ms: Timestamp) -> (u64, Vec<Report>) {
        self.sent_ms = now_ms;
        let newest = self.by_sequence.last_key_value().map_or(0, |(sequence, _)| *sequence);
        (newest, self.by_sequence.values().cloned().collect())
    }

    pub(super) fn acknowledged(&mut self, sequence: u64) {
        while let Some(oldest) = self.by_sequence.first_entry()
            && *oldest.key() <= sequence
        {
            let report = oldest.remove();
            self.by_subtask.remove(&(report.job, report.attempt, report.subtask));
        }
    }

    pub(super) fn is_due(&self, now_ms: Timestamp) -> bool {
        self.deadline().is_some_and(|at| at <= now_ms)
    }

    /// When they are to be sent again.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        (!self.by_sequence.is_empty()).then_some(self.sent_ms + self.resend_ms)
    }
}
