//! `wasmill plugin`: looks at components.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use crate::{
    Output,
    checked::{self, Detail},
    plugins, refused,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Says all there is to say of a component: its manifest, every function it imports and exports, how it compiles.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The component's file.
    file: PathBuf,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Runs a verb of `wasmill plugin`.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let Verb::Inspect(arguments) = verb;
    match plugins::store(arguments.cache.as_deref()) {
        Ok(store) => checked::check_file(&arguments.file, Detail::Functions, arguments.output, &store),
        Err(error) => refused(&error, arguments.output),
    }
}
