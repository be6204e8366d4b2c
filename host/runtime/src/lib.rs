//! Runs a job's subtasks on one TaskManager: chains on threads of their own, exchanges between them, operators with
//! their state and timers.
//!
//! Subtasks of one job on several TaskManagers exchange rows through `net`, the data plane.
//!
//! Not here: when a job starts, commits or ends (`control` decides).

pub mod activity;
mod attempt;
mod bad_rows;
mod chain;
mod channels;
pub mod checkpoint;
mod clock;
pub mod counters;
mod error;
mod exchange;
mod folders;
mod job;
pub mod latency;
mod letters;
mod life;
pub mod net;
mod operator;
mod output;
mod partition;
mod placement;
mod row_limit;
mod signal;
mod source;
mod subtask;
pub mod taps;
pub mod tls;
pub mod trial;

pub use attempt::{Attempt, OnProgress, OperatorLog, Queued};
pub use error::Error;
pub use exchange::Barrier;
pub use folders::{Folders, NoFolder};
pub use wasmill_connectors::Guarantee;

pub use job::{Bounds, FindPlugin, Found, FoundOperator, Job, LoadPlugin};
pub use net::Network;
pub use operator::OperatorUsage;
pub use placement::{Place, Placement};
pub use signal::{Checkpoints, Wish};
pub use subtask::Progress;
pub use tls::Tls;
pub use wasmill_connectors::CheckpointKind;
