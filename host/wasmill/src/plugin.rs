//! `wasmill plugin`: components in files, and the plugins of a cluster.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use wasmill_cli::{At, PluginVerb, Reference};

use crate::{
    Output,
    checked::{self, Detail},
    plugins, refused,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(flatten)]
    Client(PluginVerb),
    /// Says all there is to say of a component: its manifest, every function it imports and exports, how it compiles. Of a
    /// plugin of a cluster it says what the cluster knows.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The component's file; or a plugin of a cluster, as NAME@VERSION or by its digest, sha256:...
    #[arg(value_name = "FILE|REF")]
    plugin: String,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// Runs a verb of `wasmill plugin`.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    match verb {
        Verb::Client(verb) => wasmill_cli::run_plugin(verb),
        Verb::Inspect(arguments) => inspect(arguments),
    }
}

fn inspect(arguments: &Inspect) -> ExitCode {
    let Inspect { plugin, output, cache, at } = arguments;
    let file = Path::new(plugin);
    // A file is looked at here, whatever it is called.
    if let Some(reference) = Reference::parse(plugin).filter(|_| !file.exists()) {
        return wasmill_cli::inspect(&reference, at, *output);
    }
    match plugins::store(cache.as_deref()) {
        Ok(store) => checked::check_file(file, Detail::Functions, *output, &store),
        Err(error) => refused(&error, *output),
    }
}
