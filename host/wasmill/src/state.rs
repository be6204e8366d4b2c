//! `wasmill state`: what is in a snapshot file. Of a file that is damaged it tells the damage, and nothing that is wrong.

use std::process::ExitCode;

use clap::Subcommand;

mod decoded;
mod inspect;
mod rows;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Says what a snapshot file is part of and how much is in it, and checks all of it. Exit code 2 if it is damaged.
    Inspect(inspect::Arguments),
    /// Shows rows of a snapshot file, as text where they are text.
    Scan(rows::ScanArguments),
    /// Writes the rows of a snapshot file to standard output, each as a line of JSON.
    Export(rows::ExportArguments),
}

/// Runs a verb of `wasmill state`.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    match verb {
        Verb::Inspect(arguments) => inspect::run(arguments),
        Verb::Scan(arguments) => rows::scan(arguments),
        Verb::Export(arguments) => rows::export(arguments),
    }
}

/// Bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}
