//! What can go wrong at the edge of a job.

use std::{io, path::PathBuf};

use wasmill_model::fault::{Code, Coded};

use crate::BadRow;

/// Why a source or sink could not go on.
///
/// Shown in one line, with a hint, if there is one, on a line of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system does not let a source read, or the data is no valid gzip or zstd.
    #[error("could not {doing} {}: {source}", path.display())]
    Read { doing: &'static str, path: PathBuf, source: io::Error },

    /// The operating system does not let a sink write.
    #[error("could not {doing} {}: {source}", path.display())]
    Write { doing: &'static str, path: PathBuf, source: io::Error },

    /// A file that was prepared is gone before it was made visible.
    #[error(
        "could not make {} visible: it was prepared as {}, which is gone\n  hint: has somebody moved or removed it? Put it back",
        target.display(), temporary.display()
    )]
    Unpublished { target: PathBuf, temporary: PathBuf },

    /// A file that was being written at a checkpoint, and is to be written on, does not have what it had then.
    #[error(
        "could not go on with {}, which the checkpoint needs: {reason}\n  hint: has somebody moved, removed or changed it? Put it back; \
         or give the sink another name in the job file: it then begins anew, and what it wrote before is left behind",
        path.display()
    )]
    Lost { path: PathBuf, reason: String },

    /// A source cannot go on from where it was at a checkpoint.
    #[error("could not go on reading {of} from where it was at the checkpoint: {reason}")]
    Position { of: String, reason: String },

    /// No file has a name that the source's `path` asks for.
    #[error("could not find a file that matches {pattern}\n  hint: {hint}")]
    NoFile { pattern: String, hint: String },

    /// The path of a file source is a folder.
    #[error("could not read {}: it is a folder\n  hint: name its files, as in `{}/*`", path.display(), path.display())]
    Folder { path: PathBuf },

    /// A row that does not fit the schema, or is not in the format at all: other rows may be good.
    #[error("{0}")]
    BadRow(Box<BadRow>),

    /// A CSV row is longer than the source's `line_bytes_max`: where the next one begins cannot be told.
    #[error(
        "could not read {file}:{line}: the row is longer than {max} bytes\n  \
         hint: raise `line_bytes_max` if such rows are meant to be; else a quote is not closed"
    )]
    RowTooLong { file: String, line: u64, max: usize },

    /// A CSV file that ends inside of a quoted field that begins in this line.
    #[error("could not read {file}:{line}: not CSV: a quoted field is not closed before the end of the file")]
    OpenQuote { file: String, line: u64 },

    /// A file that is not in the format it is read in, or is damaged.
    #[error("could not read {file}: it is no {format} file, or damaged: {reason}")]
    Damaged { file: String, format: &'static str, reason: String },

    /// A file whose columns are not those of the schema, or of types that no column can have.
    #[error("could not read {file}: {reason}{}", hint.as_ref().map_or(String::new(), |hint| format!("\n  hint: {hint}")))]
    Columns { file: String, reason: String, hint: Option<String> },

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
            Self::Unpublished { .. } | Self::Lost { .. } => Code::TransactionLost,
            Self::Position { .. } => Code::SourceUnreadable,
            Self::NoFile { .. } => Code::SourceFileNotFound,
            Self::Folder { .. } => Code::SourceFileIsFolder,
            Self::BadRow(row) => row.code,
            Self::RowTooLong { .. } => Code::RowTooLong,
            Self::OpenQuote { .. } | Self::Damaged { .. } => Code::SourceFileDamaged,
            Self::Columns { .. } => Code::SourceColumns,
            Self::MissingColumn { .. } => Code::CsvHeader,
            Self::OutputClosed => Code::OutputClosed,
        }
    }
}
