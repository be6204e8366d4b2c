//! What can go wrong with keyed state.

use wasmill_model::fault::{Code, Coded};

/// An error changes nothing: the call that met it has not been applied in any part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Of the operator.
    #[error("could not open the state of an operator: it has {cells} cells, and the limit is {cells_max}")]
    TooManyCells { cells: usize, cells_max: usize },
    /// Of the operator: its state has reached its limit.
    #[error(
        "could not apply a call to keyed state: it would take {bytes} bytes, and the limit is {bytes_max} (`limits.state`)"
    )]
    StateFull { bytes: usize, bytes_max: usize },
    /// Of the operator: it has as many timers as it may.
    #[error(
        "could not apply a call to keyed state: there would be {timers} timers, and the limit is {timers_max} (`limits.timers`)"
    )]
    TimersFull { timers: usize, timers_max: usize },
    /// Of the operator or its rows: all cells of one key are kept together, in one piece.
    #[error(
        "could not apply a call to keyed state: the values of group {group} take {bytes} bytes, and the limit is {bytes_max}"
    )]
    RecordTooLong { group: usize, bytes: usize, bytes_max: usize },
}

/// A row of a snapshot is not one of this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("its key is too short")]
    Key,
    #[error("it is of a part that is not known, {part}")]
    Part { part: u16 },
    #[error("its values are not those of the operator's cells")]
    Values,
    #[error("it is not an entry of a list or map cell of the operator")]
    Entry,
    #[error("its record takes {bytes} bytes, more than one may")]
    TooLong { bytes: usize },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::TooManyCells { .. } => Code::BadDescriptor,
            Self::StateFull { .. } => Code::StateLimit,
            Self::TimersFull { .. } => Code::TimerLimit,
            Self::RecordTooLong { .. } => Code::StateRecordTooLong,
        }
    }
}
