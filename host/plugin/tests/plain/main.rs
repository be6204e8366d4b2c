//! The host against an operator on bare bindings, `tests/guests/rust-plain`, mode by mode.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod capsules;
mod describe;
mod entries;
mod fixture;
mod hostile;
mod mistakes;
mod outcomes;
mod state;
mod wasi;
