//! Errors as the command line shows them: a code in brackets, a message, and where more can be read.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::error::ErrorKind;
use serde_json::{Value, json};
use wasmill_control::message::Cause;
use wasmill_model::fault::{Code, Coded};

use crate::{REFUSED, show, tell};

/// An error on its way to the terminal. It is made of any error that has a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    code: Code,
    message: String,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Why a job failed.
    pub(crate) fn of_job(cause: &Cause) -> Self {
        Self::new(cause.code, cause.message.as_str())
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let Self { code, message } = self;
        format!("error[{code}]: {message}\n{}", for_more(*code))
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }
}

impl<E: Coded> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The line that says where more can be read. A run shows one, whatever it finds.
pub(crate) fn for_more(code: Code) -> String {
    format!("  for more: wasmill explain {code}\n")
}

/// Shows what clap has to say: an error with its code, or the help that was asked for.
pub(crate) fn command_line(error: &clap::Error) -> ExitCode {
    let rendered = error.render();
    let text = |terminal: bool| {
        let coloured = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if coloured { rendered.ansi().to_string() } else { rendered.to_string() }
    };
    if !error.use_stderr() {
        return show(&text(io::stdout().is_terminal()));
    }
    let mut text = text(io::stderr().is_terminal());
    if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        text = text.replacen("error:", &format!("error[{}]:", Code::CommandLine), 1);
    }
    tell(&text);
    ExitCode::from(REFUSED)
}
