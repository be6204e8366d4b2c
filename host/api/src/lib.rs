//! The JobManager over HTTP: the interface `/v1` for people, programs and TaskManagers.
//!
//! Handlers are thin: they check the form of what comes, ask the [`Backend`], and write down what it says. What protects the
//! server stands in front of them: who may connect and how many (`connections`), how slowly they may send (`body`) and take
//! (`stall`), by which names and from which pages (`hosts`), with which token (`tokens`) and how often (`rate`). All routes stand
//! in one table (`routes`), from which the router, the checks, the description for programs and the one for people are made.

mod asked;
pub mod backend;
mod body;
mod connections;
mod counters;
mod dashboard;
mod error;
mod guard;
mod hosts;
pub mod names;
mod openapi;
pub mod options;
mod pages;
mod problem;
mod rate;
mod routes;
mod serve;
mod shared;
mod stall;
mod stream;
mod tls;
mod tokens;
mod transfer;
mod upload;

pub use backend::Backend;
pub use error::Error;
pub use options::Options;
pub use serve::{Running, serve};
pub use tokens::Role;
