//! Everything that knows wasmtime: the engine, plugins, their instances, and what crosses between host and guest.
//!
//! No other crate names wasmtime. Not here: state, connectors, when an operator is called and what follows from its reply.

mod binding;
pub mod cache;
pub mod capsule;
pub mod digest;
pub mod engine;
pub mod entries;
mod guest;
pub mod inspect;
pub mod instance;
mod interrupt;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod plugin;
pub mod plugins;
mod wasi;
pub mod worker;

pub use capsule::{Capsule, Recorder};
pub use digest::Digest;
pub use engine::{Engine, EngineOptions, Mode, Tier};
pub use entries::EntryReader;
pub use guest::CallTime;
pub use instance::{CallError, DescribeError, Instance, InstanceOptions, Misfit, Notice, Usage, describe};
pub use interrupt::Interrupt;
pub use limits::Limits;
pub use log::{Level, LogLine, LogSink};
pub use metrics::{Metric, Metrics};
pub use plugin::Plugin;
pub use plugins::PluginStore;
pub use worker::Worker;
