//! The live keyed state of one operator instance: its cells and its timers, in memory.
//!
//! Pure data structures: no files, no clocks, no threads. A snapshot comes out of them as sorted rows, and goes into them as rows;
//! where those are kept is another crate's.
//!
//! * **cell**: a named value an operator keeps for every key. All value cells of a key stand in one *record*.
//! * **entry**: a value under a sub-key, of a list, map or broadcast cell. Each has a record of its own.
//! * **record**: header, fixed slots, key, text; in an *arena* of 1 MiB segments, found by an *index* over key hashes.
//! * **group**: the rows of one call that share a key. An operator sees its state one value a group.
//! * **timer**: a key and a time in one of two time domains.
//!
//! Everything that a batch needs is done for the whole batch, step by step over plain arrays, so that the cache misses
//! of different keys overlap: `docs/decisions/0004-state-record.md` has the figures.

mod arena;
mod clocks;
mod entries;
mod error;
mod grouping;
mod index;
mod keyed;
mod layout;
mod sealed;
mod timers;

pub use clocks::Clocks;
pub use entries::{Entries, Scanned, TooMuch};
pub use error::{Error, RowError};
pub use keyed::{KeyedState, Restore, Scan, StateLimits, Stored, StoredCell, StoredEntries};
pub use sealed::{ENTRIES, EVENT_TIME_TIMERS, PROCESSING_TIME_TIMERS, SealedState, VALUES};
pub use timers::{DueTimers, FIRED_MAX};
