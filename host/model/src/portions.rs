//! Sharing out the input of a source while it is read: what its subtasks ask for, and what they are given.
//!
//! What a source has to read is divided into *portions*, which all its subtasks number alike: each knows the same files, and the same
//! checkpoint that they go on from. Who shares them out needs to know how many there are, and no more.

use serde::{Deserialize, Serialize};

/// A subtask of a source will soon have read what it has. Said again until it is answered; of two, the one that has more counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// Portions that the subtasks of the source share out, whoever of them says it.
    pub of: u32,
    /// How many it has been given.
    pub has: u32,
}

/// All that a subtask has been given since its attempt began, each time.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The numbers of its portions, ascending.
    pub portions: Vec<u32>,
    /// There is nothing left to give, to anybody.
    pub is_all: bool,
}
