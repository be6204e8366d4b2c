//! Runs a job's subtasks on one TaskManager: chains on threads of their own, exchanges between them, operators with
//! their state and timers.
//!
//! Not here: when a job starts, commits or ends (`control` decides), and anything that listens on a port.

mod attempt;
mod bad_rows;
mod chain;
mod clock;
pub mod counters;
mod error;
mod exchange;
mod job;
mod letters;
mod operator;
mod output;
mod partition;
mod row_limit;
mod signal;
mod source;
mod subtask;
pub mod trial;

pub use attempt::{Attempt, OnProgress, OperatorLog};
pub use error::Error;
pub use job::{Bounds, Job};
pub use operator::OperatorUsage;
pub use signal::Wish;
pub use subtask::Progress;
