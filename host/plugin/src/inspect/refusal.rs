//! Why bytes are refused: what was found where, what was expected, and what would help.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmill_model::fault::{Code, Coded};

/// Where in a component something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The component as a whole.
    Whole,
    /// Bytes from its start.
    Byte(u64),
    /// An import, an export, or a function of one, such as `wasmill:operator/guest@0.1.0#open`.
    Item(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the component"),
            Self::Byte(offset) => write!(f, "byte {offset}"),
            Self::Item(item) => f.write_str(item),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub code: Code,
    pub place: Place,
    pub expected: String,
    pub found: String,
    pub hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(code: Code, place: Place, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { code, place, expected: expected.into(), found: found.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if self.place != Place::Whole {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n    hint: {hint}"))
    }
}

/// Why a component is refused: at least one finding, in the order of their codes. Its own code is that of the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub findings: Vec<Finding>,
}

impl Refusal {
    /// # Panics
    /// If there is no finding.
    pub(crate) fn new(mut findings: Vec<Finding>) -> Self {
        assert!(!findings.is_empty(), "a refusal without a reason");
        findings.sort_by_key(|finding| finding.code);
        Self { findings }
    }
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        Self::new(vec![finding])
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.findings.as_slice() {
            [finding] => finding.fmt(f),
            findings => {
                write!(f, "refused for {} reasons", findings.len())?;
                findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Coded for Refusal {
    fn code(&self) -> Code {
        self.findings.first().map_or(Code::Malformed, |finding| finding.code)
    }
}
