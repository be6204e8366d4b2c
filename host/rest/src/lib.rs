//! The shapes of the REST interface under `/v1`: what `api` serves, `cli` reads and `cluster` fills in.
//!
//! JSON throughout. Times are milliseconds since the epoch, UTC, and end in `_ms`; sizes are bytes; ids are text. A field that a
//! reader does not know is to be passed over: fields may be added within `/v1`.

mod cluster;
mod history;
mod job;
mod operation;
mod plugin;
mod problem;
mod savepoint;
mod stall;

pub use cluster::{Cluster, JobCounts, Worker, WorkerState};
pub use history::{Event, Exception, LogLine, Page, TapRow};
pub use job::{
    Accepted, Cause, Choice, Decision, EdgeDetail, JobDetail, JobSummary, LatencyDetail, Plan, Resolve, SinkGuarantee,
    Submission, SubtaskDetail, VertexDetail, VertexKind, VertexMetrics,
};
pub use operation::{Operation, OperationKind, OperationState};
pub use plugin::{PluginDetail, PluginVersion, Stored};
pub use problem::Problem;
pub use savepoint::{Beginning, CheckpointState, Replaced, Savepoint, SavepointRequest, Scale, StateChange, StateFate};
pub use stall::{CheckpointHeld, Hop, Stall, VertexTime, WatermarkHeld};
