//! What comes out of a trial: the rows of each port, and the rows that were left out.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::{Array, ArrayRef, cast::AsArray, types::Int64Type};
use wasmill_connectors::{CheckpointKind, Error, Sink, SinkPart};
use wasmill_model::{Batch, dead_letters, ids::CheckpointId};

/// Rows that a run keeps, over all ports.
pub const ROWS_MAX: usize = 1_000_000;

/// Bytes of rows that a run keeps, over all ports.
const BYTES_MAX: usize = 512 << 20;

/// The rows of a run, by port.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) ports: Vec<Vec<Batch>>,
    rows: usize,
    bytes: usize,
}

/// How much was kept at some moment.
#[derive(Debug)]
pub(super) struct Mark(Vec<usize>);

impl Kept {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.ports.iter().map(Vec::len).collect())
    }

    /// Forgets what was kept since.
    pub(super) fn back_to(&mut self, Mark(lengths): &Mark) {
        for (port, length) in self.ports.iter_mut().zip(lengths) {
            for batch in port.drain(*length..) {
                self.rows -= batch.rows;
                self.bytes -= batch.memory_bytes();
            }
        }
    }
}

/// Keeps the rows of one port.
pub(super) struct Collector {
    place: usize,
    name: String,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(super) fn new(place: usize, name: &str, kept: Arc<Mutex<Kept>>) -> Self {
        Self { place, name: name.to_owned(), kept }
    }
}

impl Sink for Collector {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.rows += batch.rows;
        kept.bytes += batch.memory_bytes();
        if kept.rows > ROWS_MAX || kept.bytes > BYTES_MAX {
            let source = io::Error::other(format!("a run keeps {ROWS_MAX} rows and {} MiB", BYTES_MAX >> 20));
            return Err(Error::Write { doing: "keep the rows of port", path: PathBuf::from(&self.name), source });
        }
        kept.ports[self.place].push(batch.clone());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn checkpoint(&mut self, _: CheckpointId, _: CheckpointKind) -> Result<SinkPart, Error> {
        Ok(SinkPart::default())
    }

    fn completed(&mut self, _: CheckpointId) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<SinkPart, Error> {
        Ok(SinkPart::default())
    }

    fn commit(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A row, or a timer, that was left out. What each item means is said in `docs/reference/dead-letters.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// None: a timer.
    pub input: Option<usize>,
    /// The row's number in its input, from 0.
    pub position: Option<u64>,
    pub kind: String,
    pub reason: String,
    pub backtrace: Option<String>,
    pub log: Option<String>,
    /// As a JSON object.
    pub row: String,
}

impl Rejected {
    /// The rows that a batch of dead letters is about.
    pub(super) fn of(letters: &Batch) -> Vec<Self> {
        let schema = dead_letters::schema();
        let column = |name: &str| letters.column(schema.index_of(name).expect("a column of dead letters"));
        let text = |name: &str, row: usize| {
            let column: &ArrayRef = column(name);
            column.is_valid(row).then(|| column.as_string_view().value(row).to_owned())
        };
        let number = |name: &str, row: usize| {
            let column: &ArrayRef = column(name);
            let value = column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row));
            value.and_then(|value| u64::try_from(value).ok())
        };
        let rejected = (0..letters.rows).map(|row| Self {
            input: number("input", row).map(|input| input as usize),
            position: number("position", row),
            kind: text("kind", row).unwrap_or_default(),
            reason: text("reason", row).unwrap_or_default(),
            backtrace: text("backtrace", row).filter(|text| !text.is_empty()),
            log: text("log", row).filter(|text| !text.is_empty()),
            row: text("row", row).unwrap_or_default(),
        });
        rejected.collect()
    }
}
