//! Why a subtask cannot go on.

use std::fmt;

use wasmill_connectors::Error as ConnectorError;
use wasmill_model::{
    fault::{Code, Coded, Domain},
    ids::Subtask,
    keys,
};
use wasmill_plugin::CallError;

/// What ends a subtask. The vertex and subtask it names are those of the job file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not start operator {vertex}[{subtask}]: {source}{}", Trace(source))]
    Start { vertex: String, subtask: u32, source: CallError },
    #[error("operator {vertex}[{subtask}] failed: {source}{}", Trace(source))]
    Call { vertex: String, subtask: u32, source: CallError },
    #[error("operator {vertex}[{subtask}] could not keep its state: {source}")]
    State { vertex: String, subtask: u32, source: wasmill_state::Error },
    #[error("could not find within two call deadlines which of {rows} rows operator {vertex}[{subtask}] fails on")]
    Isolation { vertex: String, subtask: u32, rows: usize },
    #[error("operator {vertex}[{subtask}] failed on more than 1 % of {rows} rows; the last time: {last}")]
    TooManyBlamed { vertex: String, subtask: u32, rows: u64, last: String },
    #[error(
        "source {vertex}[{subtask}] failed: more than {percent} % of {rows} rows could not be read; the last: {last}\n  \
         hint: if as many bad rows are expected, raise `bad_rows_percent_max`"
    )]
    TooManyBadRows { vertex: String, subtask: u32, percent: f64, rows: u64, last: String },
    #[error(
        "operator {vertex}[{subtask}] sets {domain} timers that are due at once, for ever\n  \
         hint: let a timer that sets itself again stop when `clock.watermark` says that the end of all input is reached"
    )]
    EndlessTimers { vertex: String, subtask: u32, domain: &'static str },
    #[error("could not work out the keys of the rows into {vertex}: {source}")]
    Keys { vertex: String, source: keys::Error },
    #[error("source {vertex}[{subtask}] failed: {source}")]
    Source { vertex: String, subtask: u32, source: ConnectorError },
    #[error("sink {vertex}[{subtask}] failed: {source}")]
    Sink { vertex: String, subtask: u32, source: ConnectorError },
    #[error("subtask of chain {chain}[{subtask}] panicked: {message}")]
    Panic { chain: String, subtask: u32, message: String },
    #[error("could not start a thread for chain {chain}[{subtask}]: {source}")]
    Thread { chain: String, subtask: u32, source: std::io::Error },
    #[error("could not make the last part of subtask {subtask} durable: {reason}")]
    Checkpoint { subtask: Subtask, reason: String },
    #[error("could not write snapshots again and again; the last time: {reason}")]
    Checkpoints { reason: String },
    #[error("could not restore the state of operator {vertex}[{subtask}]: {reason}")]
    Restore { vertex: String, subtask: u32, code: Code, reason: String },
    #[error("lost the connection to {peer}: {reason}")]
    ExchangeLost { peer: String, reason: String },
    #[error("could not connect to {peer}: {reason}")]
    ExchangeUnreachable { peer: String, reason: String },
    #[error("a row of {bytes} bytes is too large to be sent to another TaskManager")]
    RowTooLarge { bytes: usize },
    /// Not a failure: the attempt was told to stop.
    #[error("stopped")]
    Stopped,
}

/// Frames of a guest's stack that are shown.
const FRAMES_SHOWN: usize = 12;

/// Where the guest was, a line a frame.
struct Trace<'a>(&'a CallError);

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How the names of Rust's own panic machinery begin; it says nothing of where the guest was.
        const MACHINERY: [&str; 5] = ["abort", "std::", "core::panicking", "__rustc::", "__rust_"];
        let frames = self.0.report().map_or(&[][..], |report| &report.backtrace);
        let is_machinery = |frame: &&String| MACHINERY.iter().any(|name| frame.starts_with(name));
        let own = frames.iter().skip_while(is_machinery).take(FRAMES_SHOWN);
        own.into_iter().try_for_each(|frame| write!(f, "\n    at {frame}"))
    }
}

impl Error {
    /// Whose fault it is.
    pub fn domain(&self) -> Domain {
        match self {
            Self::Start { .. }
            | Self::Call { .. }
            | Self::State { .. }
            | Self::Isolation { .. }
            | Self::TooManyBlamed { .. }
            | Self::TooManyBadRows { .. }
            | Self::EndlessTimers { .. }
            | Self::Keys { .. }
            | Self::RowTooLarge { .. } => Domain::User,
            Self::Source { source, .. } | Self::Sink { source, .. } => match source {
                ConnectorError::Read { .. }
                | ConnectorError::Write { .. }
                | ConnectorError::Unpublished { .. }
                | ConnectorError::Lost { .. } => Domain::Operator,
                ConnectorError::OutputClosed => Domain::Nobody,
                _ => Domain::User,
            },
            Self::ExchangeLost { .. }
            | Self::ExchangeUnreachable { .. }
            | Self::Checkpoint { .. }
            | Self::Checkpoints { .. } => Domain::External,
            Self::Thread { .. } | Self::Restore { .. } => Domain::Operator,
            Self::Panic { .. } | Self::Stopped => Domain::Internal,
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Start { source, .. } | Self::Call { source, .. } => source.code(),
            Self::State { source, .. } => source.code(),
            Self::Isolation { .. } => Code::BadRowsNotFound,
            Self::TooManyBlamed { .. } | Self::TooManyBadRows { .. } => Code::TooManyBadRows,
            Self::EndlessTimers { .. } => Code::EndlessTimers,
            Self::Keys { source, .. } => source.code(),
            Self::Source { source, .. } | Self::Sink { source, .. } => source.code(),
            Self::Checkpoint { .. } | Self::Checkpoints { .. } => Code::CheckpointStore,
            Self::Restore { code, .. } => *code,
            Self::ExchangeLost { .. } => Code::ExchangeLost,
            Self::ExchangeUnreachable { .. } => Code::ExchangeUnreachable,
            Self::RowTooLarge { .. } => Code::BatchTooLarge,
            Self::Thread { .. } => Code::SystemResources,
            Self::Panic { .. } | Self::Stopped => Code::Internal,
        }
    }
}

impl Error {
    /// Why an instance was not started: its own fault, unless the attempt is to end.
    pub(crate) fn of_start(vertex: &str, subtask: u32, source: CallError) -> Self {
        match source {
            CallError::Interrupted { .. } => Self::Stopped,
            source => Self::Start { vertex: vertex.to_owned(), subtask, source },
        }
    }
}

impl From<crate::exchange::Stopped> for Error {
    fn from(_: crate::exchange::Stopped) -> Self {
        Self::Stopped
    }
}
