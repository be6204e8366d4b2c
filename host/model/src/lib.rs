//! The words all rooms share: ids, schemas, batches, keys, time, the job file and the job graph.
//!
//! Not here: anything that acts. No tokio, no wasmtime, no redb, no clock.

pub mod batch;
pub mod configuration;
pub mod dead_letters;
pub mod descriptor;
pub mod fault;
pub mod graph;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod plan;
pub mod portions;
pub mod reply;
pub mod schema;
pub mod settings;
pub mod spec;
pub mod time;

pub use batch::Batch;
pub use graph::JobGraph;
pub use plan::Plan;
pub use schema::{DataType, Field, Schema};
pub use time::Timestamp;
