//! The server over real sockets, in front of a JobManager that keeps everything in memory.
//!
//! Nothing sleeps, and nothing is said about how long something takes: what waits, waits for a condition, and gives up after
//! [`client::DEADLINE`].

mod access;
mod client;
mod connections;
mod garbage;
mod jobs;
mod memory;
mod plugins;
mod refusals;
mod savepoints;
mod secure;
mod streams;
mod taskmanagers;
