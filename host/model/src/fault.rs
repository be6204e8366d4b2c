//! Whose fault a failure is.

use serde::{Deserialize, Serialize};

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
