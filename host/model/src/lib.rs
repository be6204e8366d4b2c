//! The words all rooms share: ids, schemas, batches, keys, time, the job file and the job graph.
//!
//! Not here: anything that acts. No tokio, no wasmtime, no redb, no clock.

pub mod batch;
pub mod descriptor;
pub mod reply;
pub mod schema;

pub mod time;

pub use batch::Batch;
pub use schema::{DataType, Field, Schema};
pub use time::Timestamp;
