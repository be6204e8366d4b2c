//! Reports on their way: the newest of each subtask and kind, until it is acknowledged.

use std::collections::BTreeMap;

use wasmill_model::{
    Timestamp,
    ids::{Attempt, JobId, Subtask},
};

use crate::message::{At, Report, Said};

/// What a later report takes the place of. A part at a checkpoint and that at the end are two things: if the second came alone, it
/// would be taken for the first, with rows in it that others have not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    State,
    Part,
    End,
    Declined,
    Committed,
    Asks,
}

/// Bounded by the subtasks of the attempts that are ordered: a later report of a subtask takes the place of an earlier one of its
/// kind.
#[derive(Debug)]
pub(super) struct Outbox {
    resend_ms: Timestamp,
    by_subtask: BTreeMap<(JobId, Attempt, Subtask, Kind), u64>,
    by_sequence: BTreeMap<u64, Report>,
    sent_ms: Timestamp,
}

impl Outbox {
    pub(super) fn new(resend_ms: Timestamp) -> Self {
        Self { resend_ms, by_subtask: BTreeMap::new(), by_sequence: BTreeMap::new(), sent_ms: 0 }
    }

    pub(super) fn put(&mut self, sequence: u64, report: Report) {
        if let Some(earlier) = self.by_subtask.insert(key(&report), sequence) {
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
            self.by_subtask.remove(&key(&report));
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

fn key(report: &Report) -> (JobId, Attempt, Subtask, Kind) {
    let kind = match report.said {
        Said::State(_) => Kind::State,
        Said::Part { at: At::Checkpoint(_), .. } => Kind::Part,
        Said::Part { at: At::End, .. } => Kind::End,
        Said::Declined { .. } => Kind::Declined,
        Said::Committed(_) => Kind::Committed,
        Said::Asks(_) => Kind::Asks,
    };
    (report.job, report.attempt, report.subtask, kind)
}
