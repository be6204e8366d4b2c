//! What an operator answers when a call cannot be done.

use alloc::string::{String, ToString};
use core::{any::Any, fmt};

use crate::data::Failure;

/// A message for people, and whether the operator can go on.
///
/// `?` turns any error of the standard library into one; [`Error::new`] takes anything that can be shown.
/// The SDK adds the row of the call, so that the host knows which one is to blame.
///
/// ```
/// use wasmill_sdk::Error;
/// fn parse(text: &str) -> Result<i64, Error> {
///     if text.is_empty() {
///         return Err(Error::new("the amount is empty"));
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(parse("").unwrap_err().to_string(), "the amount is empty");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    fatal: bool,
}

impl Error {
    /// A row that cannot be handled. What becomes of it, the job file's `on_error` says.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), fatal: false }
    }

    /// The operator cannot go on at all: the job fails whatever its `on_error` says.
    pub fn fatal(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), fatal: true }
    }

    /// The failure of a call, with the row to blame.
    pub fn at_row(self, row: u32) -> Failure {
        Failure { fatal: self.fatal, row: Some(row), message: self.message }
    }

    /// What a row function returned: an `Error` as it is, anything else by its text.
    #[doc(hidden)]
    pub fn from_returned<E: fmt::Display + 'static>(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref::<Self>() {
            Some(error) => error.clone(),
            None => Self::new(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: core::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { fatal: error.fatal, row: None, message: error.message }
    }
}
