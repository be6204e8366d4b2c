//! Sources: their configuration, and the trait that the runtime polls.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmill_model::{
    Batch, Schema,
    portions::{Asks, Given},
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

/// A part of a source's input that one subtask reads from beginning to end: one file, or standard input. Which subtask that is shows
/// while they read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Split {
    pub path: PathBuf,
    /// How large it was when it was found; none: that is not known, as of a pipe.
    #[serde(default)]
    pub bytes: Option<u64>,
}

impl Split {
    /// What stands for standard input in place of a path. A file of that name is `./-`.
    pub(crate) const STANDARD_INPUT: &str = "-";

    pub(crate) fn standard_input() -> Self {
        Self { path: Self::STANDARD_INPUT.into(), bytes: None }
    }

    pub(crate) fn of_file(path: PathBuf) -> Self {
        let bytes = fs::metadata(&path).ok().filter(|file| file.is_file()).map(|file| file.len());
        Self { path, bytes }
    }

    /// Bytes, as far as they are known.
    pub(crate) fn size(&self) -> u64 {
        self.bytes.unwrap_or(0)
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

/// How far the subtasks of a source had come at the checkpoint that it goes on from.
#[derive(Debug, Clone, Default)]
pub struct ReadBefore {
    /// Those that all of them gave, however many they were.
    pub positions: Vec<Value>,
    /// Subtasks of those that go on that had handled all their input: they read nothing more.
    pub ended: BTreeSet<u32>,
}

/// One subtask's source, open.
pub trait Source: Send {
    /// The next rows, if there are any. `now_ms` is the host's clock, ms since the epoch.
    ///
    /// It does not wait, but for files. After an error or [`Polled::End`] it must not be polled again.
    fn poll(&mut self, now_ms: i64) -> Result<Polled, Error>;

    /// How far its input has been read: everything that was handed out lies before it, and nothing else does. One value for each
    /// piece that can be read alone. Only the connector knows what a value means; those of all subtasks together say how far the
    /// source has been read, and can be dealt out anew.
    fn positions(&self) -> Vec<Value>;

    /// Bytes read so far, of how many, if that can be known: those of the files as they lie on disk.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    /// What it asks the JobManager for, as it will soon have read what it was given.
    fn asks(&self) -> Option<Asks> {
        None
    }

    /// Takes what it has been given since it was opened, all of it each time.
    fn give(&mut self, given: &Given) {
        let _ = given;
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

    /// The parts that the subtasks share out among them: the files of a `file` source, sorted. Other sources have none.
    ///
    /// # Errors
    /// [`Error::NoFile`] if nothing matches, [`Error::Folder`], [`Error::Read`].
    pub fn splits(&self) -> Result<Arc<[Split]>, Error> {
        match &self.kind {
            Kind::File(config) => config.splits().map(Arc::from),
            Kind::Nexmark(_) | Kind::HostMetrics(_) => Ok(Arc::default()),
        }
    }

    /// Opens the source of a subtask (from 0, below `parallelism`). `splits` are those of all subtasks, of which it reads what it begins
    /// with and what it is given; `before` says what was read by all subtasks that read before. `None`: nothing was.
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
        splits: &Arc<[Split]>,
        wanted: &[Option<Vec<bool>>],
        before: Option<&ReadBefore>,
    ) -> Result<Box<dyn Source>, Error> {
        assert!(subtask < parallelism, "subtask {subtask} of {parallelism}");
        assert_eq!(wanted.len(), self.ports().len(), "one entry a port");
        for (columns, port) in wanted.iter().zip(self.ports()) {
            let given = columns.as_ref().map_or(port.schema.len(), Vec::len);
            assert_eq!(given, port.schema.len(), "one entry a column of `{}`", port.name);
        }
        let positions = before.map(|before| &*before.positions);
        Ok(match &self.kind {
            Kind::File(config) => config.open(Files::of(splits, subtask, parallelism, before)?, wanted[0].as_deref()),
            Kind::Nexmark(config) => Box::new(config.open(subtask, parallelism, wanted, positions)?),
            Kind::HostMetrics(config) => Box::new(config.open(subtask, wanted, positions)?),
        })
    }
}
