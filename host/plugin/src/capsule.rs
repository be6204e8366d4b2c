//! A capsule: a call that failed, with all that decided how it went, to be made again elsewhere.
//!
//! `docs/reference/capsules.md` draws the file. What a call depends on and a capsule does not hold is what earlier calls of
//! the same instance left in the guest's memory: an operator that keeps state in the host, as it should, has none of that.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    descriptor::{Context, Descriptor},
    fault::{Code, Coded},
    reply::TimeDomain,
};
use wasmtime::component::{ComponentType, Lower};

use crate::{
    digest::Digest,
    entries::Answer,
    guest::CallTime,
    instance::{CallError, InstanceOptions, TrapKind},
    interrupt::Interrupt,
    limits::Limits,
    log::LogSink,
    plugin::Plugin,
};

mod file;
mod recorder;

pub use file::{read, write};
pub use recorder::{CALLS_MAX, Recorder};

/// Bytes of a capsule, at most.
pub const SIZE_MAX: usize = 64 << 20;

/// The longest that a call of a capsule may take when it is made again, whatever its limits say.
const DEADLINE_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// Why a capsule cannot be written, read or made again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read capsule {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("could not {action} capsule {}: {source}", path.display())]
    Write { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("could not read capsule {}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("could not save the call: it takes {size} bytes, more than the {SIZE_MAX} of a capsule")]
    TooLarge { size: usize },
    #[error("could not make the call again: it is of plugin {recorded}, not of {given}")]
    OtherPlugin { recorded: Digest, given: Digest },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Read { .. } | Self::Malformed { .. } => Code::CapsuleUnreadable,
            Self::Write { .. } | Self::TooLarge { .. } => Code::CapsuleUnwritable,
            Self::OtherPlugin { .. } => Code::CapsulePlugin,
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capsule {
    /// Of the component's bytes.
    pub digest: Digest,
    /// The component itself, if there was room.
    pub component: Option<Vec<u8>>,
    pub context: Context,
    pub descriptor: Descriptor,
    pub limits: Limits,
    /// Of the instance's random numbers.
    pub seed: u64,
    /// How many calls the instance had before, `open` included. The random numbers of a call follow from this and the seed.
    pub calls_before: u64,
    /// The host's clock when the instance was started, ms since the epoch.
    pub started_ms: Timestamp,
    /// The time of the call; none for `open`.
    pub at: Option<CallTime>,
    pub call: Call,
    /// What it had read of list, map and broadcast cells, in the order in which it asked.
    pub reads: Vec<Answer>,
    pub failure: Failure,
}

/// The function that was called, and its arguments as the guest was given them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Open,
    Process { input: u32, arguments: Arguments },
    OnTimers { domain: TimeDomain, arguments: Arguments },
    OnNotice(crate::instance::Notice),
}

impl Call {
    /// The contract's name of the function.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Process { .. } => "process",
            Self::OnTimers { .. } => "on-timers",
            Self::OnNotice(_) => "on-notice",
        }
    }
}

/// `rows`, `groups` and `state` of the contract, buffer by buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    pub rows: u32,
    pub event_times: Option<Vec<u8>>,
    pub columns: Vec<Column>,
    /// Number of groups, and the group of each row.
    pub groups: Option<(u32, Vec<u8>)>,
    pub state: Vec<Column>,
}

/// `column` of the contract.
#[derive(Debug, Clone, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Column {
    pub validity: Option<Vec<u8>>,
    pub offsets: Option<Vec<u8>>,
    pub values: Vec<u8>,
}

/// How a call failed. Two calls fail in the same way if all but `message` is equal: messages may hold times and sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `trap`, `deadline`, `memory`, `output-bytes`, `output-rows`, `bad-reply`, `failure`, `open`, `start`.
    pub kind: String,
    /// What kind of trap it was.
    pub trap: Option<String>,
    /// The row that the guest blames.
    pub row: Option<u32>,
    /// Whether the guest says that it cannot go on at all.
    pub fatal: bool,
    /// What is wrong with a reply.
    pub reply: Option<String>,
    pub message: String,
}

impl Failure {
    /// The part of an error that can be compared.
    pub fn of(error: &CallError) -> Self {
        let kind = match error {
            CallError::Trap { .. } => "trap",
            CallError::Deadline { .. } => "deadline",
            CallError::Memory { .. } => "memory",
            CallError::OutputBytes { .. } => "output-bytes",
            CallError::OutputRows { .. } => "output-rows",
            CallError::BadReply { .. } => "bad-reply",
            CallError::Failure { .. } => "failure",
            CallError::Open { .. } => "open",
            _ => "start",
        };
        let mut failure =
            Self { kind: kind.into(), trap: None, row: None, fatal: false, reply: None, message: error.to_string() };
        match error {
            CallError::Trap { kind, .. } => failure.trap = Some(TrapKind::name(*kind).to_owned()),
            CallError::BadReply { what, .. } => failure.reply = Some(what.clone()),
            CallError::Failure { fatal, row, .. } => (failure.fatal, failure.row) = (*fatal, *row),
            _ => {}
        }
        failure
    }

    /// Whether another call failed in the same way.
    pub fn is_same(&self, other: &Self) -> bool {
        *self == Self { message: self.message.clone(), ..other.clone() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

/// Makes the call again, in a new instance of the plugin, which must be the capsule's. `descriptor` is what that plugin says
/// it is under the capsule's configuration: a file is not to be trusted with it.
///
/// The error of the outer result says that there was no call; the inner result is what came of it.
pub fn replay(
    capsule: &Capsule,
    plugin: &Plugin,
    descriptor: Descriptor,
    log: LogSink,
) -> Result<Result<(), CallError>, Error> {
    if plugin.digest() != capsule.digest {
        return Err(Error::OtherPlugin { recorded: capsule.digest, given: plugin.digest() });
    }
    let mut limits = capsule.limits.clone();
    limits.call_deadline = limits.call_deadline.min(DEADLINE_MAX);
    let options = InstanceOptions {
        limits,
        context: capsule.context.clone(),
        descriptor,
        log,
        seed: capsule.seed,
        now_ms: capsule.started_ms,
        entries: None,
        interrupt: Interrupt::default(),
    };
    let call = || {
        let mut instance = plugin.instantiate(options)?;
        instance.open()?;
        instance.call_again(capsule)
    };
    Ok(call())
}
