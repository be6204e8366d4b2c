//! The shells around the control cores: one thread owns each core, takes its events in, and does what its commands say.
//!
//! Here both roles live in one process and talk by channels. Decisions are made in `control`, never here.

mod embedded;
mod jobmanager;
mod taskmanager;

pub use embedded::{Cluster, JobHandle};
