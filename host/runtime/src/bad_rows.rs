//! What becomes of the rows that a source could not read: they fail the job, or are counted and left out, or are counted and
//! go to the dead letters.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use wasmill_connectors::{BadRow, Error as ConnectorError};
use wasmill_model::{
    Batch,
    spec::{BadRowPolicy, OnError},
};
use wasmill_plugin::{Level, LogLine, LogSink};

use crate::{
    clock::now_ms,
    counters::Counters,
    error::Error,
    letters::{self, Letter, Place, Writer},
    operator::WINDOW_ROWS,
};

/// Bad rows that are told in the log; the rest is counted.
const TOLD_MAX: u64 = 10;

/// The bad rows of one subtask of a source.
pub(crate) struct BadRows {
    vertex: String,
    subtask: u32,
    policy: BadRowPolicy,
    /// Rows and bad rows of the current window.
    window: (u64, u64),
    told: u64,
    counters: Arc<Counters>,
    log: LogSink,
}

impl BadRows {
    pub(crate) fn new(vertex: &str, subtask: u32, policy: BadRowPolicy, counters: Arc<Counters>, log: LogSink) -> Self {
        Self { vertex: vertex.to_owned(), subtask, policy, window: (0, 0), told: 0, counters, log }
    }

    /// Good rows have been read.
    pub(crate) fn passed(&mut self, rows: u64) {
        // Only now: the bad rows among those of the last batch came behind it.
        if self.window.0 >= WINDOW_ROWS {
            self.window = (0, 0);
        }
        self.window.0 += rows;
    }

    /// Follows the policy; returns dead letters.
    pub(crate) fn handle(&mut self, mut rows: Vec<BadRow>) -> Result<Option<Batch>, Error> {
        let (vertex, subtask) = (&self.vertex, self.subtask);
        if self.policy.on_error == OnError::Fail {
            let source = ConnectorError::BadRow(Box::new(rows.swap_remove(0)));
            return Err(Error::Source { vertex: vertex.clone(), subtask, source });
        }
        for row in &rows {
            self.counters.rejected.fetch_add(1, Relaxed);
            self.told += 1;
            if self.told <= TOLD_MAX {
                (self.log)(LogLine { level: Level::Warn, message: format!("a row is left out: {row}") });
            }
            self.window.1 += 1;
            self.window.0 += 1;
            let percent = self.policy.percent_max;
            if self.window.1 as f64 > self.window.0.max(WINDOW_ROWS) as f64 * percent / 100.0 {
                let (vertex, last) = (vertex.clone(), row.to_string());
                return Err(Error::TooManyBadRows { vertex, subtask, percent, rows: WINDOW_ROWS, last });
            }
        }
        if self.policy.on_error == OnError::Skip {
            return Ok(None);
        }
        let letters: Vec<Letter> = rows.into_iter().map(letter).collect();
        Ok(Some(letters::batch(Writer::Source { name: &self.vertex }, subtask, now_ms(), &letters)))
    }
}

fn letter(row: BadRow) -> Letter {
    let BadRow { file, line, column, reason, text, .. } = row;
    Letter {
        call: "read",
        input: None,
        position: None,
        event_time: None,
        kind: "bad-row",
        reason,
        backtrace: None,
        log: None,
        row: text,
        place: Some(Place { file, line: line as i64, column }),
    }
}
