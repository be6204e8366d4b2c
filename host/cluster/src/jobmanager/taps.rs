//! Rows that somebody looks at as they pass an edge.
//!
//! TaskManagers are told with each answer which edges are looked at, and send a few rows of each batch with their polls. A slow
//! reader loses rows, never anybody's time.

use std::collections::BTreeSet;

use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use wasmill_model::{fault::Code, ids::JobId};
use wasmill_rest::{Problem, TapRow};

use crate::{
    jobmanager::Shell,
    message::{Tap, Tapped},
};

/// Rows that wait for a reader, at most.
const ROWS_MAX: usize = 256;
/// Readers of all edges, at most.
const READERS_MAX: usize = 64;

/// Who looks at what.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    readers: Vec<(Tap, Sender<TapRow>)>,
}

impl Taps {
    /// The edges that are looked at.
    pub(crate) fn edges(&mut self) -> Vec<Tap> {
        self.readers.retain(|(_, reader)| !reader.is_closed());
        let edges: BTreeSet<&Tap> = self.readers.iter().map(|(tap, _)| tap).collect();
        edges.into_iter().cloned().collect()
    }

    /// Hands rows to those who look at their edge.
    pub(crate) fn take(&mut self, rows: Vec<Tapped>) {
        for Tapped { tap, subtask, row } in rows {
            self.readers.retain(|(of, reader)| {
                let row = || TapRow { edge: tap.edge.clone(), subtask, row: row.clone() };
                *of != tap || !matches!(reader.try_send(row()), Err(TrySendError::Closed(_)))
            });
        }
    }

    /// Nothing passes the edges of a job that has ended.
    pub(crate) fn end(&mut self, job: JobId) {
        self.readers.retain(|(tap, _)| tap.job != job);
    }
}

impl Shell {
    pub(crate) fn tap(&mut self, id: &str, edge: &str) -> Result<Receiver<TapRow>, Problem> {
        let (job, entry) = self.find(id)?;
        if !entry.plan.edges.iter().any(|known| known.from == edge) {
            let mut edges: Vec<&str> = entry.plan.edges.iter().map(|edge| edge.from.as_str()).collect();
            edges.dedup();
            let problem = Problem::new(404, Code::NotFound, format!("there is no edge {edge} in {job}"));
            return Err(problem.with_hint(format!("its edges are {}", edges.join(", "))));
        }
        if entry.ended_ms.is_some() {
            return Err(Problem::new(409, Code::NotFound, format!("{job} has ended: no rows pass its edges")));
        }
        if self.taps.edges().len() >= READERS_MAX {
            return Err(Problem::new(503, Code::ServerBusy, "too many look at rows already"));
        }
        let (reader, rows) = mpsc::channel(ROWS_MAX);
        self.taps.readers.push((Tap { job, edge: edge.to_owned() }, reader));
        self.polls.answer_all();
        Ok(rows)
    }
}
