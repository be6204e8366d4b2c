//! Snapshot files: sorted rows in a redb database, cut into blocks.
//!
//! A file is written once, from its first row to its last, and appears whole or not at all ([`Writer`]). Before it is opened, its
//! length and its blake3 are compared with what its manifest says ([`Reader::open`]): redb does not look at its checksums when it
//! reads. Beneath that, every block carries its number and a checksum of its own, so that a file of which nothing else is
//! known is read right or not at all ([`Reader::open_unverified`]).
//!
//! Words: a *block* is a piece of the rows, one value in the database; a *tombstone* is a row without a value: its key is gone.

use std::ops::Range;

use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use wasmill_model::{
    Field,
    ids::{CheckpointId, JobId},
    keys::KEY_GROUPS_MAX,
    reply::TimeDomain,
};

mod backing;
mod block;
mod cells;
mod error;
mod reader;
mod rows;
mod writer;

pub use cells::{CellShape, KeptCell};
pub use error::Error;
pub use reader::{Expected, Reader, Verified};
pub use rows::Rows;
pub use writer::{Keys, Writer, Written};

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;
/// Bytes of a key: a key of a job, 512 KiB at most, with what stands before and behind it.
pub const KEY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 256 << 20;
/// Bytes with which a key begins: key group and state, two each.
pub const KEY_HEAD_BYTES: usize = 4;

/// Name, in a `str`, to what is known of the file.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// State to its description, JSON.
const SCHEMA: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("schema");
/// First key to block.
const BLOCKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("blocks");

/// Entries of `META`: the format's version, what is in the file, and how much.
const ENTRY_FORMAT: &str = "format";
const ENTRY_ABOUT: &str = "about";
const ENTRY_TOTALS: &str = "totals";

/// What a file is part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    pub cluster: String,
    pub job: JobId,
    /// The operator, by its name in the job file.
    pub operator: String,
    pub subtask: u32,
    pub parallelism: u32,
    /// How many key groups the job has.
    pub key_groups_all: u32,
    /// Those that the rows are of.
    pub key_groups: Range<u32>,
    pub checkpoint: CheckpointId,
    pub kind: Kind,
    /// The version of Wasmill that wrote it.
    pub engine: String,
    /// When, in milliseconds since the epoch.
    pub time_ms: i64,
}

impl Meta {
    /// What is wrong with it, if anything is.
    fn fault(&self) -> Option<String> {
        let Self { subtask, parallelism, key_groups_all, key_groups, .. } = self;
        if !(1..=KEY_GROUPS_MAX).contains(key_groups_all) {
            return Some(format!("{key_groups_all} key groups; there are 1 to {KEY_GROUPS_MAX}"));
        }
        if key_groups.start >= key_groups.end || key_groups.end > *key_groups_all {
            return Some(format!("key groups {key_groups:?} of {key_groups_all}"));
        }
        (subtask >= parallelism).then(|| format!("subtask {subtask} of {parallelism}"))
    }
}

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All rows of its key groups.
    Full,
    /// Those that have changed, and tombstones.
    Delta,
}

/// A piece of state whose rows are in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSchema {
    /// The second two bytes of its keys.
    pub id: u16,
    /// The cell's name, or `timers`.
    pub name: String,
    /// `value`, `list`, `map`, `timer`, ...
    pub kind: String,
    /// The columns of the job's key.
    pub key: Vec<Field>,
    /// What its rows hold beside the key: of value cells a column each, of entries their sub-key and their value.
    pub columns: Vec<Field>,
    /// What the operator says of its cells: of value cells one a column, of other cells the one it is.
    pub cells: Vec<StoredAs>,
}

/// What an operator said of a cell beside its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAs {
    /// The version of what its values mean.
    pub version: u32,
    /// How long they live, ms. If there is one, they say when they were written.
    pub ttl_ms: Option<u64>,
    /// The clock of `ttl_ms`.
    pub ttl_domain: TimeDomain,
    /// What is in binary values.
    pub encoding: Option<String>,
}

/// How much is in a file: written last, so that a file without it is unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    pub rows: u64,
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub row_bytes: u64,
    pub blocks: u32,
    pub states: u32,
}

/// A key and what it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row<'a> {
    pub key: &'a [u8],
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
}

/// The key group of a key, which must have its head.
fn key_group(key: &[u8]) -> u32 {
    u32::from(u16::from_be_bytes([key[0], key[1]]))
}

/// The state of a key, which must have its head.
fn state(key: &[u8]) -> u16 {
    u16::from_be_bytes([key[2], key[3]])
}
