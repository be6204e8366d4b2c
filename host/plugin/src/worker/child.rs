//! The child: limits itself, does one thing, answers, ends.

use std::{any::Any, io, process::ExitCode, thread};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::protocol::{self, Question, Request, Response, Task};
use crate::{
    cache::{Cache, Key},
    engine::{Engine, EngineOptions, Mode, Tier},
    inspect,
    instance::{self, DescribeError},
    plugin::Plugin,
};

/// Stack of every thread that compiles: the compiler recurses on what it is given.
const STACK_BYTES: usize = 64 << 20;

/// Threads that compile, at most: each has a stack of its own within the child's memory.
const THREADS_MAX: usize = 8;

/// Address space that `describe` needs beside memory, because each linear memory reserves 4 GiB and a guard.
const RESERVED_BYTES: u64 = 5 * ((4 << 30) + (128 << 20));

/// Processor time between the signal that ends the child and the one that it could not even have blocked.
const CPU_GRACE_SECONDS: u64 = 5;

pub(super) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker could not read its request or write its response: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let request: Request = protocol::read_header(&mut stdin)?;
    limit_self(&request)?;
    let payload = protocol::read_payload(&mut stdin, request.limits.payload_max)?;
    let (response, code) = thread::scope(|scope| {
        let work = || work(&request, &payload);
        let worker = thread::Builder::new().name("worker".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work)?;
        let crashed = |panic: Box<dyn Any + Send>| (Response::Crashed { message: message_of(&*panic) }, Vec::new());
        io::Result::Ok(worker.join().unwrap_or_else(crashed))
    })?;
    protocol::write(&mut io::stdout().lock(), &response, &code)
}

/// Sets the limits of this process, for good.
fn limit_self(request: &Request) -> io::Result<()> {
    let limits = &request.limits;
    // What runs guests also keeps the first content of their memories in a file that is only in memory.
    let (reserved, files) = match request.task {
        Task::Describe(_) => (RESERVED_BYTES, limits.memory_bytes),
        Task::Inspect | Task::Compile { .. } => (0, 0),
    };
    let limit = |resource, soft: u64, hard: u64| {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) }).map_err(io::Error::from)
    };
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, files, files)?;
    limit(Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds + CPU_GRACE_SECONDS)?;
    limit(Resource::Data, limits.memory_bytes, limits.memory_bytes)?;
    limit(Resource::As, limits.memory_bytes + reserved, limits.memory_bytes + reserved)?;
    // It is of no use without its parent.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

fn work(request: &Request, payload: &[u8]) -> (Response, Vec<u8>) {
    let size_max = usize::try_from(request.limits.payload_max).unwrap_or(usize::MAX);
    let done = |response| (response, Vec::new());
    match &request.task {
        Task::Inspect => done(match inspect::inspect_up_to(payload, size_max) {
            Ok(inspection) => Response::Inspected { inspection },
            Err(refusal) => Response::Refused { refusal },
        }),
        Task::Compile { baseline } => {
            let tier = if *baseline { Tier::Baseline } else { Tier::Optimized };
            compile(tier, payload, size_max)
        }
        Task::Describe(question) => done(describe(question)),
    }
}

fn compile(tier: Tier, wasm: &[u8], size_max: usize) -> (Response, Vec<u8>) {
    let failed = |message: String| (Response::Failed { message }, Vec::new());
    let inspection = match inspect::inspect_up_to(wasm, size_max) {
        Ok(inspection) => inspection,
        Err(refusal) => return (Response::Refused { refusal }, Vec::new()),
    };
    let engine = match Engine::new(&EngineOptions { mode: Mode::OnDemand, tier, ..EngineOptions::default() }) {
        Ok(engine) => engine,
        Err(error) => return failed(error.to_string()),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES).build() {
        Ok(pool) => pool,
        // What they lack is room for their stacks.
        Err(_) => return (Response::OutOfMemory, Vec::new()),
    };
    match pool.install(|| engine.wasmtime().precompile_component(wasm)) {
        Ok(code) => (Response::Compiled { inspection }, code),
        Err(error) => {
            let message = format!("{error:#}");
            let response =
                if out_of_memory(&message) { Response::OutOfMemory } else { Response::NotCompiled { message } };
            (response, Vec::new())
        }
    }
}

/// Whether the system refused memory, which says nothing about the component but its size. The error comes as text.
fn out_of_memory(message: &str) -> bool {
    message.contains("Cannot allocate memory") || message.contains("out of memory")
}

fn describe(question: &Question) -> Response {
    let failed = |message: String| Response::Failed { message };
    let Some(key) = Key::from_text(&question.key) else { return failed(format!("`{}` is no key", question.key)) };
    let cache = match Cache::open(&question.cache) {
        Ok(cache) => cache,
        Err(error) => return failed(error.to_string()),
    };
    let engine = match Engine::new(&EngineOptions { mode: Mode::OnDemand, ..EngineOptions::default() }) {
        Ok(engine) => engine,
        Err(error) => return failed(error.to_string()),
    };
    let Some(component) = cache.get(&engine, &key) else { return Response::NotCached };
    let plugin = match Plugin::from_component(&engine, &component, question.digest) {
        Ok(plugin) => plugin,
        Err(error) => return Response::NotDescribed { message: error.to_string() },
    };
    match instance::describe(&plugin, question.limits.clone(), &question.config, &question.inputs) {
        Ok(descriptor) => Response::Described { descriptor },
        Err(DescribeError::Refused { message }) => Response::RefusedByOperator { message },
        Err(DescribeError::Bad(misfit)) => Response::Misfit { misfit },
        Err(DescribeError::Call(error)) => Response::NotDescribed { message: error.to_string() },
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a message".into())
}
