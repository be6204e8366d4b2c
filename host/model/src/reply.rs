//! A call of an operator, as the rooms around it see it: groups go in, a checked reply comes out.
//! The meaning of every item is written in `wit/operator.wit`.

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use serde::{Deserialize, Serialize};

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

/// What becomes of entries. Checked: sub-keys and values are one a group, of the cell's types, without nulls.
#[derive(Debug, Clone)]
pub enum EntryAction {
    /// A value for each pair of group and sub-key.
    Put { sub_keys: ArrayRef, values: ArrayRef },
    /// A value at the end of each group's list.
    Append { values: ArrayRef },
    /// These go, if they are there.
    Remove { sub_keys: ArrayRef },
    /// All go.
    Clear,
}

/// Entries to write or to remove.
#[derive(Debug, Clone)]
pub struct EntryChanges {
    /// The cell's place in the descriptor.
    pub cell: usize,
    pub action: EntryAction,
    /// Below the number of groups of the call; 0 for a broadcast cell.
    pub groups: ScalarBuffer<u32>,
}

/// The clock a timer, or a time to live, runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// One a declared value cell, or none at all.
    pub cells: Vec<CellUpdate>,
    /// To be applied in order.
    pub entries: Vec<EntryChanges>,
    /// To be applied in order.
    pub timers: Vec<TimerChanges>,
}
