//! Sinks: their configuration, and the trait that the runtime writes to.

use std::path::Path;

use wasmill_model::{
    Batch, Schema,
    settings::{self, Settings},
};

use crate::{Error, blackhole::Blackhole, encode::EncoderConfig, file_sink::FileSinkConfig, stdout::StdoutSink};

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

/// One subtask's sink, open.
///
/// Dropping it before [`Sink::commit`] removes what it wrote, where that is possible.
pub trait Sink: Send {
    /// Takes rows. Every column that [`SinkConfig::columns_read`] names must be there.
    fn write(&mut self, batch: &Batch) -> Result<(), Error>;

    /// The input is empty for the moment: shows what was written, where it can be shown before the end.
    fn flush(&mut self) -> Result<(), Error>;

    /// The input has ended: makes everything durable and, where it can, nothing visible yet.
    fn prepare(&mut self) -> Result<(), Error>;

    /// Makes everything visible. A second call does nothing. [`Sink::prepare`] must have succeeded.
    fn commit(&mut self) -> Result<(), Error>;
}

impl SinkConfig {
    /// Reads the keys of a `[sink.x]` table, as [`crate::SourceConfig::read`] does for a source.
    ///
    /// # Errors
    /// The first key that is missing or wrong.
    pub fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let kind = match settings.require("connector")?.choice(&CONNECTORS)? {
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

    /// Opens the sink of a subtask (from 0, below `parallelism`) for rows of this schema.
    ///
    /// # Errors
    /// [`Error::Write`] if it cannot be opened.
    pub fn open(&self, schema: &Schema, subtask: u32, parallelism: u32) -> Result<Box<dyn Sink>, Error> {
        assert!(subtask < parallelism, "subtask {subtask} of {parallelism}");
        Ok(match &self.kind {
            Kind::File(config) => Box::new(config.open(schema, subtask, parallelism)?),
            Kind::Stdout(encoder) => Box::new(StdoutSink::open(encoder, schema, subtask)?),
            Kind::Blackhole => Box::new(Blackhole),
        })
    }
}
