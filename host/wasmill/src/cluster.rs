//! `wasmill cluster`: clusters as wholes.

use std::process::ExitCode;

use clap::Subcommand;

use crate::roles::certs;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows a cluster: its JobManager, its slots, how many jobs are in which state.
    Info(wasmill_cli::ClusterArguments),
    /// Makes an authority and certificates for the processes of a cluster, to begin with TLS.
    Certs(certs::Arguments),
}

/// Runs a verb of `wasmill cluster`.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    match verb {
        Verb::Info(arguments) => wasmill_cli::cluster(arguments),
        Verb::Certs(arguments) => certs::run(arguments),
    }
}
