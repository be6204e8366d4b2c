//! What strangers' bytes are first handled by: a child process of the same program, which can be stopped.
//!
//! A component of a few kilobytes can keep a compiler busy for minutes, make it panic or exhaust memory, and `describe`
//! runs the operator itself. All of that happens in a child with limits on processor time, memory and time. The child
//! answers one request and ends. This module is the parent's side; `main` is the child's.

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use wasmill_model::{
    descriptor::Descriptor,
    fault::{Code, Coded},
};

use crate::{
    engine::Tier,
    inspect::{self, Finding, Inspection, Place, Refusal},
    instance::Misfit,
};

mod child;
mod process;
mod protocol;

pub(crate) use protocol::Question;

use process::{Broken, End};
use protocol::{ChildLimits, Request, Response, Task};

/// Bytes of compiled code, at most. Baseline code is up to 30 times as large as its component.
const CODE_MAX: u64 = 1 << 30;

/// The child's side: answers one request. The program it stands in must write nothing else to its standard output.
pub fn main() -> ExitCode {
    child::main()
}

/// What one child may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Processor time, all threads together. In whole seconds.
    pub cpu: Duration,
    /// More of it for each MiB of the component. In whole seconds.
    pub cpu_per_mib: Duration,
    /// Memory it can write to.
    pub memory_bytes: u64,
    /// From its start to its answer, for inspection and compilation.
    pub deadline: Duration,
    /// The same for `describe`, its start included.
    pub describe_deadline: Duration,
    /// Children at one time; further requests wait their turn.
    pub concurrent: usize,
    /// Bytes of a component, at most.
    pub component_bytes_max: usize,
}

impl Default for Budget {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpu: Duration::from_secs(30),
            cpu_per_mib: Duration::from_secs(1),
            memory_bytes: 4 << 30,
            deadline: Duration::from_secs(120),
            describe_deadline: Duration::from_secs(10),
            concurrent: cores.div_ceil(2),
            component_bytes_max: inspect::SIZE_MAX,
        }
    }
}

/// Compiled code.
#[derive(Debug)]
pub struct Compiled {
    pub inspection: Inspection,
    pub code: Vec<u8>,
    /// `Baseline` if the optimizing compiler did not manage within its budget.
    pub tier: Tier,
}

/// Why a child's work came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("could not compile component: {message}")]
    NotCompiled { message: String },
    #[error("could not compile component within its budget: {optimized}; again, without optimizing: {baseline}")]
    CompileBudget { optimized: String, baseline: String },
    /// Says nothing about the component: the machine may be busy.
    #[error("could not compile component within {} s", deadline.as_secs())]
    CompileDeadline { deadline: Duration },
    #[error("the compiler crashed on the component: {message}")]
    CompilerCrash { message: String },
    #[error("could not inspect component: {message}")]
    InspectionEnded { message: String },
    /// The operator's own answer.
    #[error("operator refuses its configuration or inputs: {message}")]
    RefusedByOperator { message: String },
    /// It does not fit its inputs, or what it says cannot be.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// A trap, a limit, an answer that cannot be read.
    #[error("could not ask the operator to describe itself: {message}")]
    NotDescribed { message: String },
    #[error("compiled code is not in the cache")]
    NotCached,
    #[error("could not start worker {}: {message}", program.display())]
    Start { program: PathBuf, message: String },
    #[error("worker failed: {message}")]
    Failed { message: String },
}

impl Error {
    /// Why the component is refused, unless that is not what happened.
    pub fn refusal(&self) -> Option<Refusal> {
        let finding = |code, expected: &str| Some(Finding::new(code, Place::Whole, expected, self.to_string()));
        let finding = match self {
            Self::Refused(refusal) => return Some(refusal.clone()),
            Self::NotCompiled { .. } => finding(Code::Feature, "what the engine compiles"),
            Self::CompileBudget { .. } | Self::CompileDeadline { .. } => {
                finding(Code::CompileBudget, "a component that compiles within its budget")
                    .map(|finding| finding.hint("very large functions take compilers longest: split them"))
            }
            Self::CompilerCrash { .. } => finding(Code::CompilerCrash, "a component that compiles"),
            Self::InspectionEnded { .. } => finding(Code::Malformed, "a well-formed component"),
            _ => None,
        };
        finding.map(Refusal::from)
    }

    /// Whether the same component would fail in the same way again.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Refused(_) | Self::NotCompiled { .. } | Self::CompileBudget { .. } | Self::CompilerCrash { .. } => {
                true
            }
            Self::RefusedByOperator { .. } | Self::Misfit(_) => true,
            Self::CompileDeadline { .. } | Self::InspectionEnded { .. } | Self::NotDescribed { .. } => false,
            Self::NotCached | Self::Start { .. } | Self::Failed { .. } => false,
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotCompiled { .. } => Code::Feature,
            Self::CompileBudget { .. } | Self::CompileDeadline { .. } => Code::CompileBudget,
            Self::CompilerCrash { .. } => Code::CompilerCrash,
            Self::InspectionEnded { .. } => Code::Malformed,
            Self::RefusedByOperator { .. } => Code::RefusedByOperator,
            Self::Misfit(misfit) => misfit.code,
            Self::NotDescribed { .. } => Code::NotDescribed,
            Self::NotCached | Self::Start { .. } | Self::Failed { .. } => Code::PluginWorker,
        }
    }
}

/// Starts children and talks to them. Requests of several threads are worked on at the same time.
#[derive(Debug)]
pub struct Worker {
    program: PathBuf,
    args: Vec<String>,
    budget: Budget,
    running: Mutex<usize>,
    ended: Condvar,
}

impl Worker {
    /// A worker whose child is this program with these arguments, which must lead it to `main`.
    pub fn new(program: impl Into<PathBuf>, args: Vec<String>) -> Self {
        Self::with_budget(program, args, Budget::default())
    }

    /// The same, with another budget.
    pub fn with_budget(program: impl Into<PathBuf>, args: Vec<String>, budget: Budget) -> Self {
        assert!(budget.concurrent > 0, "no child could ever run");
        Self { program: program.into(), args, budget, running: Mutex::new(0), ended: Condvar::new() }
    }

    /// What stands in a component.
    pub fn inspect(&self, wasm: &[u8]) -> Result<Inspection, Error> {
        self.refuse_too_large(wasm)?;
        let ended = |end: End| Error::InspectionEnded { message: end.to_string() };
        match self.ask(Task::Inspect, wasm, self.budget.deadline)? {
            Ok((Response::Inspected { inspection }, _)) => Ok(inspection),
            Ok((Response::Refused { refusal }, _)) => Err(refusal.into()),
            Ok((Response::Crashed { message }, _)) => Err(Error::InspectionEnded { message }),
            Ok((other, _)) => Err(unexpected(&other)),
            Err(end) => Err(ended(end)),
        }
    }

    /// Inspects and compiles a component; without optimizing, if that takes more than the budget.
    pub fn compile(&self, wasm: &[u8]) -> Result<Compiled, Error> {
        self.refuse_too_large(wasm)?;
        let optimized = match self.compile_in_tier(wasm, Tier::Optimized)? {
            Ok(compiled) => return Ok(compiled),
            Err(missed) => missed,
        };
        match self.compile_in_tier(wasm, Tier::Baseline)? {
            Ok(compiled) => Ok(compiled),
            Err(Missed::Crash(message)) => Err(Error::CompilerCrash { message }),
            Err(Missed::Budget(baseline)) => {
                let (Missed::Budget(optimized) | Missed::Crash(optimized)) = optimized;
                Err(Error::CompileBudget { optimized, baseline })
            }
        }
    }

    /// Asks an operator whose compiled code stands in a cache what it is.
    pub(crate) fn describe(&self, question: Question) -> Result<Descriptor, Error> {
        let task = Task::Describe(Box::new(question));
        match self.ask(task, &[], self.budget.describe_deadline)? {
            Ok((Response::Described { descriptor }, _)) => Ok(descriptor),
            Ok((Response::RefusedByOperator { message }, _)) => Err(Error::RefusedByOperator { message }),
            Ok((Response::Misfit { misfit }, _)) => Err(misfit.into()),
            Ok((Response::NotDescribed { message } | Response::Crashed { message }, _)) => {
                Err(Error::NotDescribed { message })
            }
            Ok((Response::NotCached, _)) => Err(Error::NotCached),
            Ok((other, _)) => Err(unexpected(&other)),
            Err(end) => Err(Error::NotDescribed { message: end.to_string() }),
        }
    }

    fn compile_in_tier(&self, wasm: &[u8], tier: Tier) -> Result<Result<Compiled, Missed>, Error> {
        match self.ask(Task::compile(tier), wasm, self.budget.deadline)? {
            Ok((Response::Compiled { inspection }, code)) => Ok(Ok(Compiled { inspection, code, tier })),
            Ok((Response::Refused { refusal }, _)) => Err(refusal.into()),
            Ok((Response::NotCompiled { message }, _)) => Err(Error::NotCompiled { message }),
            Ok((Response::Crashed { message }, _)) => Ok(Err(Missed::Crash(message))),
            Ok((Response::OutOfMemory, _)) => Ok(Err(Missed::Budget(End::Memory.to_string()))),
            Ok((other, _)) => Err(unexpected(&other)),
            Err(End::Killed) => Err(Error::Failed { message: End::Killed.to_string() }),
            // The simple compiler is fast enough that the machine must be to blame.
            Err(End::Deadline) if tier == Tier::Baseline => {
                Err(Error::CompileDeadline { deadline: self.budget.deadline })
            }
            Err(end @ (End::Cpu | End::Memory | End::Deadline)) => Ok(Err(Missed::Budget(end.to_string()))),
            Err(End::Other(how)) => Ok(Err(Missed::Crash(how))),
        }
    }

    fn refuse_too_large(&self, wasm: &[u8]) -> Result<(), Error> {
        let (size, limit) = (wasm.len() as u64, self.budget.component_bytes_max as u64);
        if size > limit { Err(inspect::too_large(size, limit).into()) } else { Ok(()) }
    }

    /// Has a child do something. The inner error is the end of a child that gave no answer.
    fn ask(&self, task: Task, payload: &[u8], deadline: Duration) -> Result<Result<(Response, Vec<u8>), End>, Error> {
        let mebibytes = payload.len().div_ceil(1 << 20) as u64;
        let limits = ChildLimits {
            cpu_seconds: self.budget.cpu.as_secs() + mebibytes * self.budget.cpu_per_mib.as_secs(),
            memory_bytes: self.budget.memory_bytes,
            payload_max: self.budget.component_bytes_max as u64,
        };
        let request = Request { limits, task };
        let _turn = Turn::wait(self);
        match process::exchange(&self.program, &self.args, &request, payload, CODE_MAX, deadline) {
            Ok((Response::Failed { message }, _)) => Err(Error::Failed { message }),
            Ok(response) => Ok(Ok(response)),
            Err(Broken::Ended(end)) => Ok(Err(end)),
            Err(Broken::Start(error)) => Err(self.start_error(&error)),
        }
    }

    fn start_error(&self, error: &io::Error) -> Error {
        Error::Start { program: self.program.clone(), message: error.to_string() }
    }
}

/// Why a tier was given up.
enum Missed {
    Budget(String),
    Crash(String),
}

fn unexpected(response: &Response) -> Error {
    Error::Failed { message: format!("it answered another question: {response:?}") }
}

/// The right to run a child, given back when dropped.
struct Turn<'a>(&'a Worker);

impl<'a> Turn<'a> {
    fn wait(worker: &'a Worker) -> Self {
        let running = worker.running.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |running: &mut usize| *running >= worker.budget.concurrent;
        *worker.ended.wait_while(running, full).unwrap_or_else(PoisonError::into_inner) += 1;
        Self(worker)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}
