//! Errors as the command line shows them: a code in brackets, a message, and where more can be read.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::error::ErrorKind;
use serde_json::{Value, json};
use wasmill_model::fault::{Code, Coded};

use crate::{
    harmless,
    output::{REFUSED, show, tell},
};

/// Characters of what a server says that are shown.
const TOLD_MAX: usize = 4_000;

/// An error on its way to the terminal. It is made of any error that has a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Name,
    message: String,
}

/// The name of an error. A newer server may have some that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Known(Code),
    Foreign(String),
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: Name::Known(code), message: message.into() }
    }

    /// What a server says, under a name and in words of its own.
    pub fn told(code: &str, message: &str) -> Self {
        let code = code.parse().map_or_else(|_| Name::Foreign(harmless::line(code, 64)), Name::Known);
        Self { code, message: harmless::text(message, TOLD_MAX) }
    }

    /// The name of its code.
    pub(crate) fn code(&self) -> &str {
        match &self.code {
            Name::Known(code) => code.as_str(),
            Name::Foreign(name) => name,
        }
    }

    /// Whether something was begun and has failed, in place of being refused before.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.code, Name::Known(Code::ReplaceFailed | Code::SavepointFailed))
    }

    /// For people.
    pub fn shown(&self) -> String {
        let Self { code, message } = self;
        let more = match code {
            Name::Known(code) => for_more(*code),
            Name::Foreign(_) => String::new(),
        };
        format!("error[{}]: {message}\n{more}", self.code())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "code": self.code(), "message": self.message })
    }
}

impl<E: Coded> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The line that says where more can be read. A run shows one, whatever it finds.
pub fn for_more(code: Code) -> String {
    format!("  for more: wasmill explain {code}\n")
}

/// Shows what clap has to say: an error with its code, or the help that was asked for.
pub fn command_line(error: &clap::Error) -> ExitCode {
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
