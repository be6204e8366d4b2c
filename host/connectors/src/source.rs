//! Sources: their configuration, and the trait that the runtime polls.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmill_model::{
    Batch, Schema,
    settings::{self, Settings},
};

use crate::{
    BadRow, Error, Replay,
    file_source::{FileConfig, Files},
    host_metrics::HostMetricsConfig,
    nexmark::NexmarkConfig,
};

/// The source connectors, in the order of [`Kind`].
const CONNECTORS: [&str; 3] = ["file", "nexmark", "host-metrics"];

/// A source of a job file, its keys read and checked.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    File(FileConfig),
    Nexmark(NexmarkConfig),
    HostMetrics(HostMetricsConfig),
}

/// A named output of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePort {
    pub name: String,
    pub schema: Schema,
}

/// A part of a source's input that one subtask reads from beginning to end: one file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Split {
    pub path: PathBuf,
}

impl Split {
    /// What stands for standard input in place of a path. A file of that name is `./-`.
    pub(crate) const STANDARD_INPUT: &str = "-";

    pub(crate) fn standard_input() -> Self {
        Self { path: Self::STANDARD_INPUT.into() }
    }

    /// Whether it is standard input, which only one source of a process can read.
    pub fn is_standard_input(&self) -> bool {
        self.path.as_os_str() == Self::STANDARD_INPUT
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_standard_input() {
            true => f.write_str("standard input"),
            false => self.path.display().fmt(f),
        }
    }
}

/// One subtask's source, open.
pub trait Source: Send {
    /// The next rows, if there are any. `now_ms` is the host's clock, ms since the epoch.
    ///
    /// It does not wait, but for files. After an error or [`Polled::End`] it must not be polled again.
    fn poll(&mut self, now_ms: i64) -> Result<Polled, Error>;

    /// How far its input has been read: everything that was handed out lies before it, and nothing else does. One value for each
    /// piece that can be read alone. Only the connector knows what a value means; each stands for itself, so that those of all
    /// subtasks can be dealt out anew.
    fn positions(&self) -> Vec<Value>;

    /// Bytes read so far, of how many, if that can be known: those of the files as they lie on disk.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// Rows of the port of this place; at least one row.
    Batch { port: usize, batch: Batch },
    /// Rows that could not be read; at least one. Whoever polls again goes on behind them.
    Bad(Vec<BadRow>),
    /// Nothing yet. Polling before this time, ms since the epoch, brings nothing either.
    Pending { retry_at_ms: i64 },
    /// All was read.
    End,
}

impl SourceConfig {
    /// Reads the keys of a `[source.x]` table; whoever calls it also reads the generic keys and calls
    /// [`Settings::finish`]. Relative paths are relative to `base`, the folder of the job file, but those
    /// given by `--set` to the current directory.
    ///
    /// # Errors
    /// The first key that is missing or wrong.
    pub fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let kind = match settings.require("connector")?.choice(&CONNECTORS)? {
            0 => Kind::File(FileConfig::read(settings, base)?),
            1 => Kind::Nexmark(NexmarkConfig::read(settings)?),
            _ => Kind::HostMetrics(HostMetricsConfig::read(settings)?),
        };
        Ok(Self { kind })
    }

    /// The ports, in the order of their numbers. The one port of a `file` source is called `out`.
    pub fn ports(&self) -> &[SourcePort] {
        match &self.kind {
            Kind::File(config) => config.ports(),
            Kind::Nexmark(config) => config.ports(),
            Kind::HostMetrics(config) => config.ports(),
        }
    }

    /// Whether it brings the same rows again when it goes back.
    pub fn replay(&self) -> Replay {
        match &self.kind {
            Kind::File(_) | Kind::Nexmark(_) => Replay::Exact,
            Kind::HostMetrics(_) => Replay::Never,
        }
    }

    /// Whether it ends by itself.
    pub fn bounded(&self) -> bool {
        match &self.kind {
            Kind::File(_) => true,
            Kind::Nexmark(config) => config.bounded(),
            Kind::HostMetrics(config) => config.bounded(),
        }
    }

    /// The parts to share out among the subtasks: the files of a `file` source, sorted. Other sources have none.
    ///
    /// # Errors
    /// [`Error::NoFile`] if nothing matches, [`Error::Folder`], [`Error::Read`].
    pub fn splits(&self) -> Result<Vec<Split>, Error> {
        match &self.kind {
            Kind::File(config) => config.splits(),
            Kind::Nexmark(_) | Kind::HostMetrics(_) => Ok(Vec::new()),
        }
    }

    /// Opens the source of a subtask (from 0, below `parallelism`). `splits` are those of all subtasks, of which it reads its own;
    /// `positions` those of all subtasks that read before, however many they were. `None`: from the beginning.
    ///
    /// `wanted` says for each port whether anybody reads it (`None`: nobody) and, if so, which of its columns.
    /// Other ports bring no batches; other columns are left out of the batches and are not checked.
    ///
    /// # Errors
    /// [`Error::Read`] if it cannot be opened, [`Error::Position`] if it cannot go on.
    ///
    /// # Panics
    /// If `wanted` has another shape than the ports' schemas.
    pub fn open(
        &self,
        subtask: u32,
        parallelism: u32,
        splits: &[Split],
        wanted: &[Option<Vec<bool>>],
        positions: Option<&[Value]>,
    ) -> Result<Box<dyn Source>, Error> {
        assert!(subtask < parallelism, "subtask {subtask} of {parallelism}");
        assert_eq!(wanted.len(), self.ports().len(), "one entry a port");
        for (columns, port) in wanted.iter().zip(self.ports()) {
            let given = columns.as_ref().map_or(port.schema.len(), Vec::len);
            assert_eq!(given, port.schema.len(), "one entry a column of `{}`", port.name);
        }
        Ok(match &self.kind {
            Kind::File(config) => {
                config.open(Files::of(splits, subtask, parallelism, positions)?, wanted[0].as_deref())
            }
            Kind::Nexmark(config) => Box::new(config.open(subtask, parallelism, wanted, positions)?),
            Kind::HostMetrics(config) => Box::new(config.open(subtask, wanted, positions)?),
        })
    }
}
