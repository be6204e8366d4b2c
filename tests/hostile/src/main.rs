//! The child in which the tests of this crate have components inspected, compiled and described.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasmill_plugin::worker::main()
}
