//! The one binary: the command line, and every role behind it.
//!
//! Exit codes: 0 done, 1 the job failed, 2 refused before it started, 130 interrupted.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

mod check;
mod plugin;
mod plugins;
mod replay;
mod report;
mod run;
mod status;

/// glibc's allocator maps and unmaps every large batch; this one keeps its pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stream and batch processing whose operators are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "wasmill", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a job in this process, until its sources end or Ctrl-C.
    Run(run::Arguments),
    /// Says whether a component can be an operator, and all that is wrong if not. Exit code 2 if not.
    Check(check::Arguments),
    /// Makes a call again that failed in a job. Exit code 0 if it fails in the same way, 1 if not.
    Replay(replay::Arguments),
    /// Looks at plugins.
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Inspects, compiles and describes one plugin, told on standard input: started by the other roles only.
    #[command(name = plugins::WORKER_VERB, hide = true)]
    Worker,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Plugin(verb) => plugin::run(&verb),
        Verb::Worker => wasmill_plugin::worker::main(),
    }
}

/// Refused before anything was started.
fn refused(error: &dyn std::fmt::Display) -> ExitCode {
    tell(&format!("error: {error}\n"));
    ExitCode::from(2)
}

/// Writes to standard error. Where that cannot be done there is nobody to be told so.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes to standard output. That nobody reads it any more is no failure.
fn show(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell(&format!("error: could not write to standard output: {error}\n"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
