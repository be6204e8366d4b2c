//! What can go wrong at the edge of a job.

use std::{io, path::PathBuf};

use wasmill_model::fault::{Code, Coded};

/// Why a source or sink could not go on.
///
/// Shown in one line, with a hint, if there is one, on a line of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system does not let a source read, or the data is no valid gzip.
    #[error("could not {doing} {}: {source}", path.display())]
    Read { doing: &'static str, path: PathBuf, source: io::Error },

    /// The operating system does not let a sink write.
    #[error("could not {doing} {}: {source}", path.display())]
    Write { doing: &'static str, path: PathBuf, source: io::Error },

    /// No file has a name that the source's `path` asks for.
    #[error("could not find a file that matches {pattern}\n  hint: a relative path is looked up beside the job file")]
    NoFile { pattern: String },

    /// The path of a file source is a folder.
    #[error("could not read {}: it is a folder\n  hint: name its files, as in `{}/*`", path.display(), path.display())]
    Folder { path: PathBuf },

    /// Text that is not UTF-8. `line` and `byte` count from 1.
    #[error(
        "could not read {file}:{line}: byte {byte} of the line is not UTF-8\n  \
         hint: `invalid_utf8 = \"replace\"` reads such bytes as U+FFFD"
    )]
    NotUtf8 { file: String, line: u64, byte: usize },

    /// A line (in CSV: a row) is longer than the source's `line_bytes_max`.
    #[error(
        "could not read {file}:{line}: the line is longer than {max} bytes\n  \
         hint: raise `line_bytes_max` if such lines are meant to be"
    )]
    LineTooLong { file: String, line: u64, max: usize },

    /// A row that does not fit the schema, or is not in the format at all.
    #[error("could not read {file}:{line}: {}{reason}", column_prefix(column))]
    BadRow {
        file: String,
        line: u64,
        /// The column at fault; none if the row as a whole is.
        column: Option<String>,
        reason: String,
    },

    /// A CSV file whose header lacks a column of the schema.
    #[error("could not read {file}: its header has no column `{column}`\n  hint: it has {found}")]
    MissingColumn { file: String, column: String, found: String },

    /// Whoever read the standard output has closed it: a reason to stop, not a failure.
    #[error("could not write to standard output: nobody reads it any more")]
    OutputClosed,
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Read { .. } => Code::SourceUnreadable,
            Self::Write { .. } => Code::SinkUnwritable,
            Self::NoFile { .. } => Code::SourceFileNotFound,
            Self::Folder { .. } => Code::SourceFileIsFolder,
            Self::NotUtf8 { .. } => Code::RowNotUtf8,
            Self::LineTooLong { .. } => Code::RowTooLong,
            Self::BadRow { .. } => Code::BadRow,
            Self::MissingColumn { .. } => Code::CsvHeader,
            Self::OutputClosed => Code::OutputClosed,
        }
    }
}

fn column_prefix(column: &Option<String>) -> String {
    column.as_ref().map_or(String::new(), |name| format!("column `{name}`: "))
}
