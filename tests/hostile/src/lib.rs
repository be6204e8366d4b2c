//! Hostile plugins: what makes components of the texts in `tests/guests/hostile`, and those that no one would write by
//! hand. The tests beside it say what the host answers to each.

pub mod bombs;
pub mod template;
