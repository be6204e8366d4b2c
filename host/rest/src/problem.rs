//! How a refusal is told: `application/problem+json` (RFC 9457), with Wasmill's own stable codes.

use serde::{Deserialize, Serialize};

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the error, as `wasmill explain CODE` takes it.
    pub code: String,
    /// What errors of this code have in common, a line.
    pub title: String,
    /// What was being done, on what, and why it failed; for people.
    pub detail: String,
    /// What to do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
