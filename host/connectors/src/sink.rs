//! Sinks: their configuration, and the trait that the runtime writes to.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::Value;
use wasmill_model::{
    Batch, Schema,
    ids::CheckpointId,
    settings::{self, Settings},
};

use crate::{
    Delivery, Error, blackhole::Blackhole, encode::EncoderConfig, file_sink::FileSinkConfig, stdout::StdoutSink,
};

/// The sink connectors, in the order of [`Kind`].
const CONNECTORS: [&str; 3] = ["file", "stdout", "blackhole"];

/// A sink of a job file, its keys read and checked.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    File(FileSinkConfig),
    Stdout(EncoderConfig),
    Blackhole,
}

/// Why a checkpoint is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    /// It is time for one.
    Checkpoint,
    /// Somebody has asked for it: what belongs to it is to be seen as soon as it is complete.
    Savepoint,
}

/// What one subtask of a sink keeps at a checkpoint: all that is not visible yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SinkPart {
    /// What is prepared, and becomes visible once the checkpoint is complete, or when somebody goes on from it. Of a savepoint it
    /// is visible before the savepoint is there.
    pub transaction: Option<Value>,
    /// Output that is to be written on: it lies where the sink writes, and is visible at the end of the job.
    pub unfinished: Option<Value>,
}

/// What all subtasks of a sink kept at the checkpoint that is gone on from, however many they were, and what is known of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SinkParts {
    pub transactions: Vec<Value>,
    pub unfinished: Vec<Value>,
    /// Others may go on from it too: what is unfinished is copied, and stays as it is.
    pub is_shared: bool,
    /// All of it that the checkpoint makes visible was visible once: what is gone of it, somebody has taken away.
    pub visible: bool,
    /// What cannot be found of it is given up.
    pub given_up: bool,
    /// Transactions of later checkpoints, which were complete and are not gone on from, and whether all of them were visible once.
    pub later: Vec<(Vec<Value>, bool)>,
}

/// One subtask's sink, open.
///
/// Dropping it before [`Sink::commit`] removes what it wrote, where that is possible and no checkpoint has it.
pub trait Sink: Send {
    /// Takes rows. Every column that [`SinkConfig::columns_read`] names must be there.
    fn write(&mut self, batch: &Batch) -> Result<(), Error>;

    /// The input is empty for the moment: shows what was written, where it can be shown before the end.
    fn flush(&mut self) -> Result<(), Error>;

    /// When [`Sink::flush`] is to be called although nothing has come; `None`: it need not be.
    fn flush_at(&self) -> Option<Instant> {
        None
    }

    /// A checkpoint is taken here: makes all that was written durable and, where it can, nothing visible. Returns what
    /// [`SinkConfig::open`] needs in order to go on from exactly here.
    fn checkpoint(&mut self, id: CheckpointId, kind: CheckpointKind) -> Result<SinkPart, Error>;

    /// This checkpoint is complete, and with it all before it: makes visible what belongs to them. A second call does nothing. What
    /// was prepared at the end of the input belongs to every checkpoint that was not seen before.
    fn completed(&mut self, id: CheckpointId) -> Result<(), Error>;

    /// The input has ended: makes everything durable and, where it can, nothing visible yet. Returns as [`Sink::checkpoint`]. It may
    /// be called again, and then says what is still not visible.
    fn prepare(&mut self) -> Result<SinkPart, Error>;

    /// Makes everything visible. A second call does nothing. [`Sink::prepare`] must have succeeded.
    fn commit(&mut self) -> Result<(), Error>;
}

/// Which of a sink's subtasks one is, and in what job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkPlace {
    /// From 0, below `parallelism`.
    pub subtask: u32,
    pub parallelism: u32,
    /// Whether the job ends by itself. In one that does not, files roll unless they are told not to.
    pub bounded: bool,
    /// Whether checkpoints are taken.
    pub checkpoints: bool,
}

impl SinkPlace {
    /// The one subtask of a sink.
    pub fn only(bounded: bool) -> Self {
        Self { subtask: 0, parallelism: 1, bounded, checkpoints: false }
    }
}

/// How a sink uses standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutUse {
    Never,
    /// Line by line: others may write lines too.
    Lines,
    /// From the first byte to the last.
    Alone,
}

/// The `path` of a `file` sink that means standard output.
const STANDARD: &str = "-";

impl SinkConfig {
    /// Reads the keys of a `[sink.x]` table, as [`crate::SourceConfig::read`] does for a source.
    ///
    /// # Errors
    /// The first key that is missing or wrong.
    pub fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let kind = match settings.require("connector")?.choice(&CONNECTORS)? {
            0 if settings.require("path")?.string()? == STANDARD => {
                settings.require("format")?;
                Kind::Stdout(EncoderConfig::read(settings)?)
            }
            0 => Kind::File(FileSinkConfig::read(settings, base)?),
            1 => Kind::Stdout(EncoderConfig::read(settings)?),
            _ => Kind::Blackhole,
        };
        Ok(Self { kind })
    }

    /// Whether rows of this schema can be written. The error says why not.
    pub fn check(&self, schema: &Schema) -> Result<(), String> {
        match &self.kind {
            Kind::File(config) => config.encoder().check(schema),
            Kind::Stdout(encoder) => encoder.check(schema),
            Kind::Blackhole => Ok(()),
        }
    }

    /// Whether so many subtasks can write to standard output as it is. The error says why not.
    pub fn check_stdout(&self, parallelism: u32) -> Result<(), String> {
        if self.stdout_use() != StdoutUse::Alone {
            return Ok(());
        }
        if parallelism > 1 {
            let reason = "several subtasks cannot write one stream of bytes that are no lines";
            return Err(format!("{reason}\n  hint: set the sink's `parallelism` to 1"));
        }
        match io::stdout().is_terminal() {
            true => Err("the format is not for people, and standard output is a terminal\n  \
                         hint: write to a file, or into a pipe"
                .to_owned()),
            false => Ok(()),
        }
    }

    /// How it uses standard output.
    pub fn stdout_use(&self) -> StdoutUse {
        match &self.kind {
            Kind::Stdout(encoder) if encoder.is_text() => StdoutUse::Lines,
            Kind::Stdout(_) => StdoutUse::Alone,
            Kind::File(_) | Kind::Blackhole => StdoutUse::Never,
        }
    }

    /// Files that an earlier run with another parallelism has left beside those that this one writes, so that whoever
    /// reads them all together would read some rows of then.
    pub fn leftovers(&self, parallelism: u32, bounded: bool) -> Vec<PathBuf> {
        match &self.kind {
            Kind::File(config) => config.leftovers(parallelism, bounded),
            Kind::Stdout(_) | Kind::Blackhole => Vec::new(),
        }
    }

    /// Which columns it reads. The blackhole reads all: it stands for a sink that does.
    ///
    /// # Panics
    /// If [`SinkConfig::check`] refuses the schema; so does [`SinkConfig::open`].
    pub fn columns_read(&self, schema: &Schema) -> Vec<bool> {
        match &self.kind {
            Kind::File(config) => config.encoder().columns_read(schema),
            Kind::Stdout(encoder) => encoder.columns_read(schema),
            Kind::Blackhole => vec![true; schema.len()],
        }
    }

    /// When it makes rows visible in a job that ends by itself, or does not.
    pub fn delivery(&self, bounded: bool) -> Delivery {
        match &self.kind {
            Kind::File(config) if config.rolls(bounded) => Delivery::Pieces,
            Kind::File(_) => Delivery::Whole,
            Kind::Stdout(_) => Delivery::AtOnce,
            Kind::Blackhole => Delivery::Nothing,
        }
    }

    /// Whether it can take part in checkpoints of a job that ends by itself, or does not. The error says why not.
    pub fn check_checkpoints(&self, bounded: bool) -> Result<(), String> {
        match &self.kind {
            Kind::File(config) => config.check_checkpoints(bounded),
            Kind::Stdout(_) | Kind::Blackhole => Ok(()),
        }
    }

    /// Whether it prepares what checkpoints make visible.
    pub fn is_transactional(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    /// Opens the sink of a subtask for rows of this schema. `restored`: what all subtasks of it returned from
    /// [`Sink::checkpoint`] or [`Sink::prepare`] at the checkpoint that is gone on from; what was prepared then is visible when this
    /// returns. `None`: it begins anew.
    ///
    /// # Errors
    /// [`Error::Write`] if it cannot be opened; [`Error::Unpublished`] and [`Error::Lost`] if what was kept is gone.
    pub fn open(
        &self,
        schema: &Schema,
        place: SinkPlace,
        restored: Option<&SinkParts>,
    ) -> Result<Box<dyn Sink>, Error> {
        assert!(place.subtask < place.parallelism, "{place:?}");
        Ok(match &self.kind {
            Kind::File(config) => config.open(schema, place, restored)?,
            Kind::Stdout(encoder) => Box::new(StdoutSink::open(encoder, schema, place.subtask)?),
            Kind::Blackhole => Box::new(Blackhole),
        })
    }
}
