//! A row that could not be read, and why. What becomes of it is for whoever polls the source to say.

use std::fmt;

use wasmill_model::fault::{Code, Coded};

/// Bytes of a bad row that are kept.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;

/// Bad rows that a poll brings at most, so that their texts have a bound.
pub(crate) const AT_ONCE_MAX: usize = 64;

/// A row that does not fit the schema, or is not in the format at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// What kind of bad row it is.
    pub code: Code,
    pub file: String,
    /// The line in which it begins; in a file without lines, its number. From 1.
    pub line: u64,
    /// The column at fault; none if the row as a whole is.
    pub column: Option<String>,
    pub reason: String,
    /// What to do about it, if that can be said.
    pub hint: Option<&'static str>,
    /// The row as it stands in the file, or what was read of it as JSON; cut at 64 KiB.
    pub text: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not read {}:{}: ", self.file, self.line)?;
        if let Some(column) = &self.column {
            write!(f, "column `{column}`: ")?;
        }
        f.write_str(&self.reason)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl std::error::Error for BadRow {}

impl Coded for BadRow {
    fn code(&self) -> Code {
        self.code
    }
}

/// The beginning of a row, to be kept.
pub(crate) fn kept_text(row: &[u8]) -> String {
    // A character that the cut goes through is not told from bytes that are no character.
    let row = &row[..row.len().min(TEXT_BYTES_MAX)];
    let text = String::from_utf8_lossy(row.trim_ascii_end());
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}
