//! What a failure is called, and whose fault it is.
//!
//! The code is decided by what would help, the domain by where the error comes from: the same code may be the user's fault in
//! one place and the cluster's in another.

use std::fmt;

use serde::{Deserialize, Serialize};

mod code;

pub use code::{Code, Unknown};

/// An error that has a name. Its message is for people: what was being done, on what, and on a line of its own what to do.
pub trait Coded: std::error::Error {
    /// What kind of error it is.
    fn code(&self) -> Code;
}

/// Whose fault a failure is; it decides about restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// The user's code, data or job file.
    User,
    /// Whoever runs the cluster: disks, permissions, limits.
    Operator,
    /// Wasmill itself.
    Internal,
    /// Something outside: a broker, a network.
    External,
    /// Nobody's: whoever read the results has gone, which is a reason to stop.
    Nobody,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Internal => "internal",
            Self::External => "external",
            Self::Nobody => "nobody",
        })
    }
}
