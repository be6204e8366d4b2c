//! What a verb prints, and the code it exits with. What a program reads goes to standard output, what a person reads while
//! waiting to standard error.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use wasmill_model::fault::Code;

use crate::error::Error;

/// The exit code of what was refused before anything was started.
pub const REFUSED: u8 = 2;

/// The exit code of what was ended by a signal.
pub const INTERRUPTED: u8 = 130;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Refused before anything was started. For programs the error is told on standard output as well.
pub fn refused(error: &Error, output: Output) -> ExitCode {
    tell_error(error, output);
    ExitCode::from(REFUSED)
}

/// Begun, and failed; told in the same way.
pub(crate) fn failed(error: &Error, output: Output) -> ExitCode {
    tell_error(error, output);
    ExitCode::FAILURE
}

fn tell_error(error: &Error, output: Output) {
    if output == Output::Json {
        // That nobody reads it does not make the refusal another one.
        let _ = show(&format!("{}\n", serde_json::json!({ "error": error.json() })));
    }
    tell(&error.shown());
}

/// Writes to standard error. Where that cannot be done there is nobody to be told so.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes to standard output. That nobody reads it any more is no failure.
pub fn show(text: &str) -> ExitCode {
    show_more(text).err().unwrap_or(ExitCode::SUCCESS)
}

/// The same where more may follow: an error is the exit code of a verb that has nobody left to show it to.
pub fn show_more(text: &str) -> Result<(), ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ExitCode::SUCCESS),
        Err(error) => {
            let message = format!("could not write to standard output: {error}");
            tell(&Error::new(Code::OutputUnwritable, message).shown());
            Err(ExitCode::FAILURE)
        }
    }
}
