//! What the host answers to hostile plugins, and that nobody else is harmed.
//!
//! The well-behaved plugins must have been built by `cargo xtask plugins`, and `wasmill` itself.

mod capsules;
mod cases;
mod hosts;
mod instances;
mod jobs;
mod matrix;
mod memory;
mod uploads;
