//! `wasmill completions`: what a shell needs to complete our command lines.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::show;

/// What `wasmill completions` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell, for example `bash`: `source <(wasmill completions bash)`.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of a program.
pub fn run(arguments: &Arguments, program: &mut Command) -> ExitCode {
    let mut text = Vec::new();
    let name = program.get_name().to_owned();
    clap_complete::generate(arguments.shell, program, name, &mut text);
    show(&String::from_utf8_lossy(&text))
}
