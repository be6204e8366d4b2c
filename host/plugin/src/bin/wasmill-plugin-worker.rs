//! The worker child as a program of its own, for this crate's tests. The product has it as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasmill_plugin::worker::main()
}
