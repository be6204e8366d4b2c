//! The control plane as pure state machines: `handle(now, event) -> commands`.
//!
//! [`jobmanager::JobManager`] decides where a job's subtasks run and when its results become visible;
//! [`agent::Agent`] carries out the wishes of the JobManager on one TaskManager and reports. Neither knows sockets,
//! clocks or threads: the shells in `cluster` do what the commands say and feed back what happened.
//!
//! The rule of results: a sink prepares at the end of its input, and commits only when the JobManager says so, which it
//! does once every subtask of the very attempt has prepared. An attempt that fails or is cancelled before that leaves
//! nothing behind. The rule of checkpoints: what belongs to one becomes visible once its manifest is durable and never
//! before, and every later attempt begins from it, or from a newer one; while nobody knows whether a manifest is
//! durable, there is no next attempt. The rule of memory: nothing that follows from a durable write is done or told before the write has
//! been answered. The rule of time: `now` never goes back, on one host, and serves liveness only; the one exception is the
//! lease, by which an attempt that was told to commit is known to be over where nobody can be asked.

pub mod agent;
pub mod jobmanager;
pub mod message;

pub use agent::Agent;
pub use jobmanager::JobManager;
