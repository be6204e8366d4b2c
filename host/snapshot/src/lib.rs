//! Keyed state on disk: the files that hold it, their merge, the manifest that names them, and the store they lie in.
//!
//! It does not know what a row means or how the live state works: a row is a key and a value, both bytes, and keys begin with
//! their key group. No tokio, no wasmtime, no clock: whoever calls waits for the disk, and says what time it is.
//!
//! * **snapshot file**: the rows of one subtask at one checkpoint, sorted ([`file`]). A *full* one holds all rows, a *delta* those
//!   that changed since the one before, and *tombstones* for those that went.
//! * **merge**: several snapshot files read as one ([`merge`]).
//! * **manifest**: what a checkpoint consists of ([`manifest`]).
//! * **archive**: a savepoint as one file ([`archive`]).
//! * **local copy**: a file that a TaskManager keeps of what it wrote or fetched ([`copies`]).
//! * **store**: the directory where files and manifests lie, which all hosts of a cluster see ([`store`]).
//!
//! Every byte is drawn in `docs/reference/state-format.md`.

pub mod archive;
pub mod copies;
mod durable;
pub mod file;
mod hash;
pub mod manifest;
pub mod merge;
pub mod store;

pub use hash::{Hash, NoHash};
