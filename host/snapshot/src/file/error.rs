//! What can go wrong with snapshot files.

use std::{io, path::Path};

use wasmill_model::fault::{Code, Coded};

use super::{FORMAT, KEY_BYTES_MAX, KEY_HEAD_BYTES, VALUE_BYTES_MAX};

/// Bytes of a key that a message shows.
const SHOWN_MAX: usize = 32;

/// An error names the file, and the place in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {action} snapshot file {file}: {source}")]
    Write { action: &'static str, file: String, source: io::Error },
    #[error("could not {action} snapshot file {file}: {source}")]
    WriteDatabase { action: &'static str, file: String, source: Box<redb::Error> },
    #[error("could not write snapshot file {file}: there is one already")]
    Taken { file: String },
    #[error("could not {action} snapshot file {file}: {source}")]
    Read { action: &'static str, file: String, source: io::Error },
    #[error("could not read {file}: it is no snapshot file: {reason}")]
    NoSnapshot { file: String, reason: String },
    #[error(
        "could not read snapshot file {file}: its format is version {found}, and this program knows version {FORMAT}"
    )]
    Version { file: String, found: String },
    #[error("could not read {place} of snapshot file {file}: {reason}")]
    Damaged { file: String, place: String, reason: String },
    /// Of whoever calls: rows must come in the order of their keys, each once.
    #[error("could not write snapshot file {file}: key {key} came after {last}")]
    Order { file: String, key: String, last: String },
    #[error("could not write snapshot file {file}: a key is {bytes} bytes long, and the limit is {KEY_BYTES_MAX}")]
    KeyTooLong { file: String, bytes: usize },
    #[error(
        "could not write snapshot file {file}: key {key} is {bytes} bytes long; it begins with {KEY_HEAD_BYTES} that say whose it is"
    )]
    KeyTooShort { file: String, key: String, bytes: usize },
    #[error(
        "could not write snapshot file {file}: the value of key {key} is {bytes} bytes long, and the limit is \
         {VALUE_BYTES_MAX}"
    )]
    ValueTooLong { file: String, key: String, bytes: usize },
    /// Of whoever calls.
    #[error("could not write snapshot file {file}: key {key} {reason}")]
    ForeignKey { file: String, key: String, reason: String },
    /// Of whoever calls.
    #[error(
        "could not write snapshot file {file}: key {key} is gone, and a full snapshot says nothing of what is not there"
    )]
    Tombstone { file: String, key: String },
    /// Of whoever calls.
    #[error("could not write snapshot file {file}: it would be of {reason}")]
    Meta { file: String, reason: String },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Write { .. } | Self::WriteDatabase { .. } | Self::Taken { .. } => Code::SnapshotUnwritable,
            Self::Read { .. } | Self::NoSnapshot { .. } => Code::SnapshotUnreadable,
            Self::Version { .. } => Code::CheckpointVersion,
            Self::Damaged { .. } => Code::CheckpointDamaged,
            Self::KeyTooLong { .. } => Code::KeyTooLong,
            Self::ValueTooLong { .. } => Code::StateRecordTooLong,
            Self::Order { .. }
            | Self::KeyTooShort { .. }
            | Self::ForeignKey { .. }
            | Self::Tombstone { .. }
            | Self::Meta { .. } => Code::Internal,
        }
    }
}

/// A file, as messages name it.
pub(crate) fn named(path: &Path) -> String {
    path.display().to_string()
}

/// A key, as messages show it: in hexadecimal digits, the first of them.
pub(super) fn shown(key: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("0x");
    for byte in key.iter().take(SHOWN_MAX) {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
    }
    text + if key.len() > SHOWN_MAX { "..." } else { "" }
}
