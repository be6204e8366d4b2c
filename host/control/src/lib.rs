//! The control plane as pure state machines: `handle(now, event) -> commands`.
//!
//! [`jobmanager::JobManager`] decides where a job's subtasks run and when its results become visible;
//! [`agent::Agent`] carries out the wishes of the JobManager on one TaskManager and reports. Neither knows sockets,
//! clocks or threads: the shells in `cluster` do what the commands say and feed back what happened.
//!
//! The rule of results: a sink prepares at the end of its input, and commits only when the JobManager says so, which it
//! does once every subtask of the job has prepared. A job that fails or is cancelled before that leaves nothing behind.

pub mod agent;
pub mod jobmanager;
pub mod message;

pub use agent::Agent;
pub use jobmanager::JobManager;
