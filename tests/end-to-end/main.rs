//! Whole runs of the binary: what comes out, what is refused, how a run ends.
//!
//! The plugins must have been built by `cargo xtask plugins`.

mod book;
mod capsules;
mod cluster;
mod contract;
mod errors;
mod fail_points;
mod fails;
mod fixtures;
mod formats;
mod fraud;
mod host_metrics;
mod job_drawing;
mod life;
mod manifests;
mod places;
mod poison;
mod process;
mod projects;
mod random_jobs;
mod refusals;
mod results;
mod rolling;
mod run_verb;
mod standard;
mod state_files;
