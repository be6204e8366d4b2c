//! The one binary: the command line, and every role behind it.
//!
//! Exit codes: 0 done, 1 the job failed, 2 refused before it started, 130 interrupted.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use wasmill_cli::{Local, Output, REFUSED, completions, error, harmless, refused, show, show_more, tell, terminal};
use wasmill_model::fault::Code;

mod bench;
mod build;
mod check;
mod checked;
mod cluster;
mod dev;
mod explain;
mod fixtures;
mod job_drawing;
mod new;
mod plugin;
mod plugins;
mod reference;
mod replay;
mod report;
mod roles;
mod run;
mod schema;
mod state;
mod status;
mod test;

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
    /// Begins a project: an operator with its tests and a job that runs it.
    New(new::Arguments),
    /// Builds a project to a component that a job can run, and checks it. Exit code 2 if there is none.
    Build(build::Arguments),
    /// Runs a job, and builds and runs it again whenever its file or the source of an operator changes, until Ctrl-C.
    Dev(dev::Arguments),
    /// Says whether a component can be an operator, and all that is wrong if not. Exit code 2 if not.
    Check(check::Arguments),
    /// Runs an operator on its fixtures. Exit code 1 if one fails, 2 if there is none or one cannot be read.
    Test(test::Arguments),
    /// Measures an operator on the rows of its fixtures.
    Bench(bench::Arguments),
    /// Says which columns a file has, as the `schema` of a source to paste into a job file.
    Schema(schema::Arguments),
    /// Makes a call again that failed in a job. Exit code 0 if it fails in the same way, 1 if not.
    Replay(replay::Arguments),
    /// Looks into snapshot files: what is in a part of a checkpoint.
    #[command(subcommand)]
    State(state::Verb),
    /// Explains an error by its code, as in `error[job-file-unknown-key]`; without a code, lists all.
    Explain(explain::Arguments),
    #[command(flatten)]
    Client(wasmill_cli::Verb),
    /// Plugins: those of a cluster, and components in files.
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Takes plugins and jobs over HTTP, and has TaskManagers run them.
    #[command(name = "jobmanager")]
    JobManager(roles::jobmanager::Arguments),
    /// Runs what a JobManager says.
    #[command(name = "taskmanager")]
    TaskManager(roles::taskmanager::Arguments),
    /// A JobManager and a TaskManager in one process.
    Standalone(roles::standalone::Arguments),
    /// Clusters as wholes.
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// Prints what a shell needs to complete command lines.
    Completions(completions::Arguments),
    /// Inspects, compiles and describes one plugin, told on standard input: started by the other roles only.
    #[command(name = plugins::WORKER_VERB, hide = true)]
    Worker,
    /// Prints the parts of the documentation that are made from the code.
    #[command(hide = true)]
    Reference(reference::Arguments),
}

fn main() -> ExitCode {
    match wasmill_durable::set_from_environment() {
        Ok(None) => {}
        Ok(Some(points)) => {
            tell(&format!("warning: fail points are set, this process may be made to fail: {points}\n"))
        }
        Err(error) => return refused(&error::Error::new(Code::CommandLine, error.to_string()), Output::Table),
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return error::command_line(&error),
    };
    match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::New(arguments) => new::run(&arguments),
        Verb::Dev(arguments) => dev::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::State(verb) => state::run(&verb),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Client(verb) => {
            let local = Local { job_text: &run::read, component: &build::component_at };
            wasmill_cli::run(&verb, &local)
        }
        Verb::Plugin(verb) => plugin::run(&verb),
        Verb::JobManager(arguments) => roles::jobmanager::run(&arguments),
        Verb::TaskManager(arguments) => roles::taskmanager::run(&arguments),
        Verb::Standalone(arguments) => roles::standalone::run(&arguments),
        Verb::Cluster(verb) => cluster::run(&verb),
        Verb::Completions(arguments) => completions::run(&arguments, &mut Arguments::command()),
        Verb::Worker => wasmill_plugin::worker::main(),
        Verb::Reference(arguments) => reference::run::<Arguments>(&arguments),
    }
}
