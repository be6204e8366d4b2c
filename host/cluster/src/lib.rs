//! The shells around the control cores: a thread owns each core, takes its events in, and does what its commands say.
//!
//! Decisions are made in `control`, never here. What listens on a port for people and programs is above, in `api`; what carries
//! rows between TaskManagers is below, in `runtime`.

mod catalogue;
mod checkpoints;
mod embedded;
pub mod jobmanager;
pub mod message;
mod payload;
mod registry;
mod scratch;
pub mod taskmanager;

pub use embedded::{Cluster, JobHandle};
