//! The client of a cluster: verbs of `wasmill` that ask a JobManager over its REST interface, and what all verbs print with.
//!
//! A client changes nothing by itself and keeps nothing but the names of clusters. It builds no project and runs no
//! plugin: what it needs of that is handed to it ([`Local`]). Whatever a server says is looked at before it is believed, and
//! made harmless before it is shown.
//!
//! Words: a *context* is a cluster with a name; a *problem* is a server's refusal.

use std::process::ExitCode;

use clap::Subcommand;

mod client;
pub mod completions;
mod component;
mod config;
mod connection;
mod contexts;
mod credentials;
mod deploy;
mod ending;
pub mod error;
mod explain_stall;
pub mod harmless;
mod history;
mod interrupt;
mod jobs;
pub mod numbers;
mod output;
mod plan;
mod plugins;
mod progress;
mod push;
mod replace;
mod request;
mod resolve;
mod savepoints;
mod status;
mod stream;
mod submission;
pub mod table;
pub mod terminal;
mod transport;
mod travel;
mod wait;
mod workers;

pub use output::{INTERRUPTED, Output, REFUSED, refused, show, show_more, tell};
pub use plugins::Reference;
pub use submission::Local;
pub use workers::ClusterArguments;

use connection::{Common, Connection};
use error::Error;
use interrupt::Interrupt;

/// Verbs that speak to a cluster.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Shows what a job would be on a cluster, and does not run it. Plugins that it names by path are built and uploaded.
    Plan(deploy::PlanArguments),
    /// Runs a job on a cluster, and waits until it runs; or lets one that runs go on in another form. Plugins that it names
    /// by path are built and uploaded first, if the cluster does not have them. Exit code 1 if the job fails.
    Deploy(deploy::DeployArguments),
    /// Lists the jobs of a cluster.
    List(jobs::ListArguments),
    /// Shows a job of a cluster: what each vertex does, what holds it back, where it runs.
    Status(status::Arguments),
    /// Explains why a job stands still: who holds its watermark back, who holds up a checkpoint, and what that subtask is doing.
    ExplainStall(explain_stall::Arguments),
    /// Shows what the operators of a job have logged.
    Logs(history::LogsArguments),
    /// Shows what has happened to a job.
    Events(history::EventsArguments),
    /// Shows rows of a job as they pass an edge, until Ctrl-C.
    Tap(history::TapArguments),
    /// Ends a job with a savepoint, from which `wasmill deploy --from` goes on, and makes visible what came before it. Exit
    /// code 1 if the job fails.
    Stop(ending::StopArguments),
    /// Ends a job at once. Results that are not visible yet are thrown away.
    Cancel(ending::EndArguments),
    /// Lets running jobs go on with more or fewer subtasks, and waits until they do. Exit code 1 if a job went back to what
    /// it was.
    Scale(replace::ScaleArguments),
    /// Shows what somebody has to decide about a job that is NEEDS_DECISION, or decides it and waits until the job runs. Exit code 1
    /// if it does not.
    Resolve(resolve::Arguments),
    /// Savepoints: what jobs have kept at one moment, under a name.
    #[command(subcommand)]
    Savepoint(savepoints::Verb),
    /// Lists the TaskManagers of a cluster, or says which may get subtasks.
    Workers(workers::Arguments),
    /// Gives clusters names.
    #[command(subcommand)]
    Config(config::Verb),
}

/// Verbs about the plugins of a cluster.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Uploads a component to a cluster, unless the cluster has it.
    Push(push::Arguments),
    /// Lists the plugins of a cluster.
    Ls(plugins::ListArguments),
    /// Removes a plugin from a cluster; refused as long as a job runs it.
    Rm(plugins::RemoveArguments),
}

/// Where a plugin is looked at that is no file.
#[derive(Debug, Clone, clap::Args)]
pub struct At {
    #[command(flatten)]
    connection: Connection,
}

/// Runs a verb.
pub fn run(verb: &Verb, local: &Local<'_>) -> ExitCode {
    let done = Interrupt::watch().and_then(|interrupt| match verb {
        Verb::Plan(arguments) => deploy::plan(arguments, local),
        Verb::Deploy(arguments) => deploy::deploy(arguments, local, &interrupt),
        Verb::List(arguments) => jobs::list(arguments),
        Verb::Status(arguments) => status::run(arguments),
        Verb::ExplainStall(arguments) => explain_stall::run(arguments),
        Verb::Logs(arguments) => history::logs(arguments),
        Verb::Events(arguments) => history::events(arguments),
        Verb::Tap(arguments) => history::tap(arguments),
        Verb::Stop(arguments) => ending::stop(arguments, &interrupt),
        Verb::Cancel(arguments) => ending::cancel(arguments, &interrupt),
        Verb::Scale(arguments) => replace::scale(arguments, &interrupt),
        Verb::Resolve(arguments) => resolve::run(arguments, &interrupt),
        Verb::Savepoint(verb) => savepoints::run(verb, &interrupt),
        Verb::Workers(arguments) => workers::run(arguments),
        Verb::Config(verb) => config::run(verb),
    });
    ended(done, verb.output())
}

/// Runs a verb about plugins.
pub fn run_plugin(verb: &PluginVerb) -> ExitCode {
    let common = match verb {
        PluginVerb::Push(arguments) => &arguments.common,
        PluginVerb::Ls(arguments) => &arguments.common,
        PluginVerb::Rm(arguments) => &arguments.common,
    };
    let done = watched(|| match verb {
        PluginVerb::Push(arguments) => push::run(arguments),
        PluginVerb::Ls(arguments) => plugins::list(arguments),
        PluginVerb::Rm(arguments) => plugins::remove(arguments),
    });
    ended(done, common.output)
}

/// Says what a cluster knows of a plugin.
pub fn inspect(reference: &Reference, at: &At, output: Output) -> ExitCode {
    ended(watched(|| plugins::inspect(reference, &at.connection, output)), output)
}

/// Shows the cluster as a whole.
pub fn cluster(arguments: &ClusterArguments) -> ExitCode {
    ended(watched(|| workers::cluster(arguments)), arguments.common().output)
}

/// Does something that a signal may end.
fn watched(work: impl FnOnce() -> Result<ExitCode, Error>) -> Result<ExitCode, Error> {
    Interrupt::watch().and_then(|_| work())
}

fn ended(done: Result<ExitCode, Error>, output: Output) -> ExitCode {
    done.unwrap_or_else(|error| match error.is_failure() {
        true => output::failed(&error, output),
        false => refused(&error, output),
    })
}

impl Verb {
    fn output(&self) -> Output {
        let common: &Common = match self {
            Self::Plan(arguments) => &arguments.common,
            Self::Deploy(arguments) => &arguments.common,
            Self::List(arguments) => &arguments.common,
            Self::Status(arguments) => &arguments.common,
            Self::ExplainStall(arguments) => &arguments.common,
            Self::Logs(arguments) => &arguments.common,
            Self::Events(arguments) => &arguments.common,
            Self::Tap(arguments) => &arguments.common,
            Self::Stop(arguments) => &arguments.end.common,
            Self::Cancel(arguments) => &arguments.common,
            Self::Scale(arguments) => &arguments.common,
            Self::Resolve(arguments) => &arguments.common,
            Self::Savepoint(verb) => return verb.output(),
            Self::Workers(arguments) => arguments.common(),
            Self::Config(verb) => return verb.output(),
        };
        common.output
    }
}

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
