//! How a refusal is told: `application/problem+json` (RFC 9457), with Wasmill's own stable codes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wasmill_model::fault::{Code, Coded};

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

impl Problem {
    #[must_use]
    pub fn new(status: u16, code: Code, detail: impl Into<String>) -> Self {
        let (title, detail) = (code.summary().to_owned(), detail.into());
        Self { status, code: code.as_str().to_owned(), title, detail, hint: None }
    }

    /// Of an error that has a code; what its message says behind the first line is the hint.
    #[must_use]
    pub fn of(status: u16, error: &impl Coded) -> Self {
        let message = error.to_string();
        match message.split_once('\n') {
            None => Self::new(status, error.code(), message),
            Some((detail, hint)) => {
                let hint = hint.trim();
                Self::new(status, error.code(), detail).with_hint(hint.strip_prefix("hint: ").unwrap_or(hint))
            }
        }
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read job.toml\n  hint: write it first")]
    struct Unreadable;

    impl Coded for Unreadable {
        fn code(&self) -> Code {
            Code::JobFileUnreadable
        }
    }

    #[test]
    fn a_coded_error_is_told_with_its_hint_apart() {
        let problem = Problem::of(422, &Unreadable);
        let json = serde_json::to_string(&problem).expect("it is plain data");
        let expect = r#"{"status":422,"code":"job-file-unreadable","title":"the job file cannot be read","detail":"could not read job.toml","hint":"write it first"}"#;
        assert_eq!(json, expect);
        assert_eq!(serde_json::from_str::<Problem>(&json).expect("it was just written"), problem);
    }
}
