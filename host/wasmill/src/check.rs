//! `wasmill check`: whether a component can be an operator, and all that is wrong if not.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    Output,
    checked::{self, Detail},
    plugins, refused,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The component's file.
    file: PathBuf,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Checks a component: inspects and compiles it as `wasmill run` would.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match plugins::store(arguments.cache.as_deref()) {
        Ok(store) => checked::check_file(&arguments.file, Detail::Names, arguments.output, &store),
        Err(error) => refused(&error, arguments.output),
    }
}
