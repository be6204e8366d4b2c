//! Files for tests, and what is in them.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wasmill_model::{
    DataType, Field,
    ids::{CheckpointId, JobId},
    reply::TimeDomain,
};
use wasmill_snapshot::file::{Error, Expected, Kind, Meta, Reader, Row, Rows, StateSchema, StoredAs, Writer, Written};

/// Rows, as a test keeps them.
pub(crate) type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Key groups of the job that the files are of.
pub(crate) const KEY_GROUPS: u32 = 16;
/// States that rows can be of.
pub(crate) const STATES: [u16; 3] = [0, 1, 65_535];

pub(crate) fn meta(kind: Kind) -> Meta {
    Meta {
        cluster: "cluster-1".to_owned(),
        job: JobId(7),
        operator: "count".to_owned(),
        subtask: 1,
        parallelism: 2,
        key_groups_all: KEY_GROUPS,
        key_groups: 0..KEY_GROUPS,
        checkpoint: CheckpointId(u64::MAX),
        kind,
        engine: "0.1.0".to_owned(),
        time_ms: 1_700_000_000_000,
    }
}

pub(crate) fn schema() -> Vec<StateSchema> {
    let state = |id| StateSchema {
        id,
        name: format!("cell {id}"),
        kind: "value".to_owned(),
        key: vec![Field::new("user", DataType::Utf8)],
        columns: vec![Field::nullable("count", DataType::Int64)],
        cells: vec![StoredAs {
            version: 3,
            ttl_ms: Some(60_000),
            ttl_domain: TimeDomain::ProcessingTime,
            encoding: None,
        }],
    };
    STATES.map(state).to_vec()
}

pub(crate) fn key(group: u16, state: u16, rest: &[u8]) -> Vec<u8> {
    [&group.to_be_bytes()[..], &state.to_be_bytes(), rest].concat()
}

/// So many rows over all key groups, with values of so many bytes; every seventh is a tombstone.
pub(crate) fn some_rows(count: u32, value_bytes: usize) -> Model {
    let row = |n: u32| {
        let value = (!n.is_multiple_of(7)).then(|| vec![n as u8; value_bytes]);
        (key((n % KEY_GROUPS) as u16, STATES[n as usize % 3], &n.to_be_bytes()), value)
    };
    (0..count).map(row).collect()
}

/// A folder with a file of rows.
pub(crate) struct Made {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) written: Written,
}

impl Made {
    pub(crate) fn new(rows: &Model) -> Self {
        Self::with(&meta(Kind::Delta), rows)
    }

    pub(crate) fn with(meta: &Meta, rows: &Model) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("snapshot.redb");
        let written = write(&path, meta, rows).expect("there is room, and rows of a map are in order");
        Self { folder, path, written }
    }

    pub(crate) fn expected(&self) -> Expected {
        self.written.expected()
    }

    pub(crate) fn open(&self) -> Result<Reader, Error> {
        Reader::open(&self.path, &self.expected())
    }

    /// The file's content.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("it is there")
    }
}

pub(crate) fn write(path: &Path, meta: &Meta, rows: &Model) -> Result<Written, Error> {
    let mut writer = Writer::create(path, meta, &schema())?;
    for (key, value) in rows {
        writer.push(key, value.as_deref())?;
    }
    writer.finish()
}

/// All rows that come, which must come in order.
pub(crate) fn collected(mut rows: Rows) -> Result<Model, Error> {
    let mut model = Model::new();
    while let Some(Row { key, value }) = rows.next()? {
        assert!(model.last_key_value().is_none_or(|(last, _)| **last < *key), "order is never broken");
        model.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }
    Ok(model)
}

pub(crate) fn clipped(rows: &Model, key_groups: &Range<u32>) -> Model {
    let within = |key: &[u8]| key_groups.contains(&u32::from(u16::from_be_bytes([key[0], key[1]])));
    rows.iter().filter(|(key, _)| within(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("it can be listed").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}
