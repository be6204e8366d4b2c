//! A call of an operator, as the rooms around it see it: groups go in, a checked reply comes out.
//! The meaning of every item is written in `wit/operator.wit`.

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};

use crate::{batch::Batch, time::Timestamp};

/// Which rows of a batch share a key; groups are numbered in the order of their first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    pub count: u32,
    /// The group of each row, below `count`.
    pub of_row: ScalarBuffer<u32>,
}

/// What becomes of the rows of a call on one port. Checked: row numbers are below the rows of the call, masks have
/// their length, columns have the types the port declares.
#[derive(Debug, Clone)]
pub enum Outcome {
    Unchanged,
    DropAll,
    Keep(BooleanArray),
    Take(UInt32Array),
    /// Columns in the order the port declares them, one value for each row that goes on.
    Extend {
        take: Option<UInt32Array>,
        columns: Vec<ArrayRef>,
    },
    Replace(Batch),
}

/// The rows that leave by one port.
#[derive(Debug, Clone)]
pub struct Emission {
    /// The port's place in the descriptor.
    pub port: usize,
    pub rows: Outcome,
}

/// What becomes of one value cell. A null clears.
#[derive(Debug, Clone)]
pub enum CellUpdate {
    Unchanged,
    /// One value a group.
    All(ArrayRef),
    /// One value for each group whose bit is set.
    Marked {
        groups: BooleanBuffer,
        values: ArrayRef,
    },
}

/// The clock a timer runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeDomain {
    EventTime,
    ProcessingTime,
}

/// Timers to set or to clear, pairwise a group and a time.
#[derive(Debug, Clone)]
pub struct TimerChanges {
    pub domain: TimeDomain,
    /// True: set; false: clear.
    pub set: bool,
    /// Below the number of groups of the call.
    pub groups: ScalarBuffer<u32>,
    pub times: ScalarBuffer<Timestamp>,
}

/// All that follows from one call.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// At most one a port.
    pub emissions: Vec<Emission>,
    /// One a declared cell, or none at all.
    pub cells: Vec<CellUpdate>,
    /// To be applied in order.
    pub timers: Vec<TimerChanges>,
}
