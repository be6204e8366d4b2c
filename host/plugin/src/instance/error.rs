//! How calls fail.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use wasmill_model::fault::{Code, Coded};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::{guest::Guest, interrupt::Interrupted, limits::Limits, log, wasi::Exit};

/// Bytes of a guest's own words in an error: enough for a stack trace.
const WORDS_BYTES_MAX: usize = 8 << 10;

/// Frames of a backtrace.
const FRAMES_MAX: usize = 50;

/// Lines of the log that an error shows in one line.
const LINES_SHOWN: usize = 3;

/// A call that was not done. Nothing of it is to be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest stopped itself, or did what a sandbox does not allow.
    #[error("the operator trapped in `{function}`: {kind}: {message}{report}")]
    Trap { function: &'static str, kind: TrapKind, message: String, report: Box<Report> },
    #[error("the operator was stopped in `{function}` after {} ms: a call may take {} ms (`limits.call_deadline`){report}", used.as_millis(), limit.as_millis())]
    Deadline { function: &'static str, used: Duration, limit: Duration, report: Box<Report> },
    /// The guest trapped after it was refused memory.
    #[error(
        "the operator trapped in `{function}` for want of memory: it asked for {wanted} bytes in all, of {limit} it may use (`limits.memory`){report}"
    )]
    Memory { function: &'static str, wanted: usize, limit: usize, report: Box<Report> },
    #[error(
        "the operator was stopped in `{function}`: it handed over more than {limit} bytes at once (`limits.output`)"
    )]
    OutputBytes { function: &'static str, limit: usize },
    #[error("the operator answered `{function}` with {rows} rows: a call may make {limit} (`limits.output_rows`)")]
    OutputRows { function: &'static str, rows: usize, limit: usize },
    #[error("could not hand over {rows} rows: a column of text has more than 4 GiB")]
    InputBytes { rows: usize },
    #[error("the operator answered `{function}` with what the contract does not allow: {what}")]
    BadReply { function: &'static str, what: String },
    /// The guest said so itself.
    #[error("the operator failed in `{function}`{}: {message}", at_row(*row))]
    Failure { function: &'static str, fatal: bool, row: Option<u32>, message: String },
    #[error("the operator could not be opened: {message}")]
    Open { message: String },
    /// Whoever runs it does not want it any more.
    #[error("the operator was interrupted in `{function}`")]
    Interrupted { function: &'static str },
    /// It has trapped before.
    #[error("could not call `{function}`: the instance is dead since it trapped")]
    Dead { function: &'static str },
    #[error("could not start the operator: there is no room for one more instance: {message}")]
    NoRoom { message: String },
    #[error("could not start the operator: {message}")]
    Start { message: String },
}

impl CallError {
    /// Whether the instance is of no more use.
    pub fn is_death(&self) -> bool {
        !matches!(
            self,
            Self::BadReply { .. } | Self::Failure { .. } | Self::OutputRows { .. } | Self::InputBytes { .. }
        )
    }

    /// Where the guest was and what it said last, if it was stopped in the middle of something.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Trap { report, .. } | Self::Deadline { report, .. } | Self::Memory { report, .. } => Some(report),
            _ => None,
        }
    }
}

impl Coded for CallError {
    fn code(&self) -> Code {
        match self {
            Self::Trap { .. } => Code::OperatorTrapped,
            Self::Deadline { .. } => Code::CallDeadline,
            Self::Memory { .. } => Code::MemoryLimit,
            Self::OutputBytes { .. } | Self::OutputRows { .. } => Code::OutputLimit,
            Self::InputBytes { .. } => Code::BatchTooLarge,
            Self::BadReply { .. } => Code::BadReply,
            Self::Failure { .. } => Code::OperatorFailed,
            Self::Open { .. } => Code::OperatorNotOpened,
            Self::Interrupted { .. } | Self::Dead { .. } => Code::Internal,
            Self::NoRoom { .. } => Code::NoRoomForInstance,
            Self::Start { .. } => Code::InstanceNotStarted,
        }
    }
}

/// What a `describe` did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    #[error("could not ask the operator to describe itself: {0}")]
    Call(#[from] CallError),
    /// It cannot be under this configuration on these inputs, as it says itself.
    #[error("the operator refuses its configuration: {message}")]
    Refused { message: String },
    #[error(transparent)]
    Bad(#[from] Misfit),
}

/// What an operator says it is, and cannot be: at all, or on the inputs that the job file gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the operator {}: {what}", match code {
    Code::BadDescriptor => "describes itself as something that cannot be",
    _ => "cannot work with what it is given",
})]
pub struct Misfit {
    pub code: Code,
    pub what: String,
}

impl Misfit {
    /// The same of a part, which is named first.
    pub(crate) fn within(self, part: fmt::Arguments<'_>) -> Self {
        Self { what: format!("{part}: {}", self.what), ..self }
    }
}

impl From<String> for Misfit {
    fn from(what: String) -> Self {
        Self { code: Code::BadDescriptor, what }
    }
}

impl Coded for DescribeError {
    fn code(&self) -> Code {
        match self {
            Self::Call(_) => Code::NotDescribed,
            Self::Refused { .. } => Code::RefusedByOperator,
            Self::Bad(misfit) => misfit.code,
        }
    }
}

/// Where a guest was when it was stopped, and its last words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Functions of the guest, the innermost first.
    pub backtrace: Vec<String>,
    /// The last lines of its log, the oldest first.
    pub log: Vec<String>,
}

impl fmt::Display for Report {
    /// The lines most worth reading: most languages write what went wrong just before they trap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spoken: Vec<&str> = self.log.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
        match &spoken[spoken.len().saturating_sub(LINES_SHOWN)..] {
            [] => Ok(()),
            last => write!(f, "; last logged: {}", last.join(" / ")),
        }
    }
}

/// Why a guest trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrapKind {
    /// What a panic and `abort` end in.
    Unreachable,
    StackOverflow,
    MemoryOutOfBounds,
    TableOutOfBounds,
    IndirectCall,
    Arithmetic,
    Exit,
    /// Arguments or results that are none: pointers out of bounds, text that is not UTF-8, unknown handles.
    Abi,
}

impl TrapKind {
    /// A word for dashboards and job files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::StackOverflow => "stack-overflow",
            Self::MemoryOutOfBounds => "memory-out-of-bounds",
            Self::TableOutOfBounds => "table-out-of-bounds",
            Self::IndirectCall => "indirect-call",
            Self::Arithmetic => "arithmetic",
            Self::Exit => "exit",
            Self::Abi => "abi",
        }
    }

    fn of(trap: Trap) -> Self {
        match trap {
            Trap::UnreachableCodeReached => Self::Unreachable,
            Trap::StackOverflow => Self::StackOverflow,
            Trap::MemoryOutOfBounds | Trap::HeapMisaligned => Self::MemoryOutOfBounds,
            Trap::TableOutOfBounds => Self::TableOutOfBounds,
            Trap::IndirectCallToNull | Trap::BadSignature => Self::IndirectCall,
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => Self::Arithmetic,
            _ => Self::Abi,
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A guest's own words, made harmless and cut. Line breaks stay: stack traces have them.
pub(super) fn words(text: &str) -> String {
    let mut words = String::new();
    for line in text.lines() {
        let room = WORDS_BYTES_MAX.saturating_sub(words.len() + 1);
        if room == 0 {
            break;
        }
        if !words.is_empty() {
            words.push('\n');
        }
        words.push_str(&log::clean(line, room));
    }
    words
}

/// What an error of wasmtime means for the caller.
pub(super) fn of_trap(
    error: &wasmtime::Error,
    function: &'static str,
    used: Duration,
    limits: &Limits,
    guest: &mut Guest,
) -> CallError {
    guest.log.flush(guest.time.now_ms);
    if error.is::<Interrupted>() {
        return CallError::Interrupted { function };
    }
    let report = || Box::new(Report { backtrace: backtrace(error), log: guest.log.tail() });
    let trap = error.downcast_ref::<Trap>().copied();
    if trap == Some(Trap::Interrupt) {
        let limit = limits.call_deadline;
        return CallError::Deadline { function, used, limit, report: report() };
    }
    // wasmtime keeps the type of this one to itself.
    if error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted") {
        return CallError::OutputBytes { function, limit: limits.output_bytes };
    }
    if let Some(denied) = guest.limiter.take_denied() {
        let report = Box::new(Report { backtrace: backtrace(error), log: guest.log.tail() });
        return CallError::Memory { function, wanted: denied.wanted, limit: limits.memory_bytes, report };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::NoRoom { message: words(&error.root_cause().to_string()) };
    }
    let exit = error.downcast_ref::<Exit>();
    let tables = guest.limiter.take_table_denied().map_or(String::new(), |wanted| {
        let limit = limits.table_elements;
        format!("; it asked for {wanted} elements in its tables, of {limit} it may have (`limits.table_elements`)")
    });
    if function == "start" && trap.is_none() && exit.is_none() {
        return CallError::Start { message: words(&format!("{error:#}{tables}")) };
    }
    let kind = match (trap, exit) {
        (_, Some(_)) => TrapKind::Exit,
        (Some(trap), _) => TrapKind::of(trap),
        _ => TrapKind::Abi,
    };
    let mut message = error.root_cause().to_string() + &tables;
    // wasmtime keeps the type of this one to itself, too.
    if message.contains("store handle limit exceeded") {
        message = format!("it opened more than {} handles at one time (`limits.handles`)", limits.handles);
    }
    CallError::Trap { function, kind, message: words(&message), report: report() }
}

/// The frames as wasmtime prints them, with their names as in the source; without their addresses.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let text = trace.to_string();
    let frames = text.lines().skip(1).filter_map(|line| line.split_once(" - ")).take(FRAMES_MAX);
    frames
        .map(|(_, frame)| log::clean(&without_hashes(frame.split_once('!').map_or(frame, |(_, name)| name)), 512))
        .collect()
}

/// A name without what Rust's compiler adds to make it unique: `[0123456789abcdef]` behind a crate, `::h0123456789abcdef`
/// at the end.
fn without_hashes(name: &str) -> String {
    const HASH: usize = 16;
    let hash = |text: &str| text.len() == HASH && text.bytes().all(|b| b.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((path, last)) if hash(last) => path,
        _ => name,
    };
    let mut clean = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        clean.push_str(before);
        match after.split_once(']') {
            Some((inside, behind)) if hash(inside) => rest = behind,
            _ => {
                clean.push('[');
                rest = after;
            }
        }
    }
    clean + rest
}

fn at_row(row: Option<u32>) -> String {
    row.map_or(String::new(), |row| format!(" at row {row}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_without_hashes() {
        let check = |name, expect| assert_eq!(without_hashes(name), expect);
        check("std[d123b7a1a2ed1472]::process::abort", "std::process::abort");
        check("<a[d123b7a1a2ed1472]::B as c[b7974e8690430dd9]::D>::e", "<a::B as c::D>::e");
        check("a::b::{{closure}}::h32a9411882a8b65b", "a::b::{{closure}}");
        check("array[3]::[u8]::here", "array[3]::[u8]::here");
        check("open[", "open[");
    }

    #[test]
    fn a_guests_words_keep_their_lines_and_no_more() {
        assert_eq!(words("one\n  two\u{7}\r\n"), "one\n  two\\u{7}");
        assert!(words(&"line\n".repeat(10_000)).len() <= WORDS_BYTES_MAX);
        assert_eq!(words(""), "");
    }
}
