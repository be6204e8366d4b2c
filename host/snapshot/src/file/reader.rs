//! Opening a snapshot file.
//!
//! Whatever the file holds, the answer is right or an error. redb's part of that is guarded: what it panics on is an error too.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use redb::{Builder, Database, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, ReadableTable, TableError};
use serde::de::DeserializeOwned;

use super::{
    BLOCKS, ENTRY_ABOUT, ENTRY_FORMAT, ENTRY_TOTALS, Error, FORMAT, Keys, META, Meta, Row, Rows, SCHEMA, StateSchema,
    Totals,
    backing::{Overlay, ReadOnly},
    block::Salt,
    error::named,
};
use crate::Hash;

/// Memory of the database while a file is read: every block is read once.
const CACHE_BYTES: usize = 1 << 20;
/// How a database begins.
const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// What a manifest says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub bytes: u64,
    pub blake3: Hash,
}

/// An open snapshot file. Reading leaves its bytes as they are.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    meta: Meta,
    schema: Vec<StateSchema>,
    totals: Totals,
    bytes: u64,
}

/// What a walk over all rows has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    pub rows: u64,
    pub tombstones: u64,
    /// Of each state, in the order of the schema.
    pub rows_of_states: Vec<u64>,
    /// None: there are no rows.
    pub keys: Option<Keys>,
}

/// What the rows of a file need as long as one of them is read.
pub(super) struct Shared {
    pub(super) file: String,
    pub(super) salt: Salt,
    pub(super) blocks_all: u32,
    pub(super) key_groups: Range<u32>,
    pub(super) blocks: Guarded<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    /// Behind the table, which reads through it.
    _opened: Guarded<Opened>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Keeps a database open.
enum Opened {
    Verified(ReadOnlyDatabase),
    /// Its pages were checked by the database itself, which needs to write.
    Checked(Database),
}

/// A part of the database. It may panic when it goes, as when it is used.
pub(super) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Some(inner))
    }

    pub(super) fn get(&self) -> &T {
        self.0.as_ref().expect("it is taken when it goes")
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is taken when it goes")
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(inner)));
    }
}

impl Reader {
    /// Opens a file that must be exactly the one that a manifest names. That is so before the database sees a byte of it.
    pub fn open(path: &Path, expected: &Expected) -> Result<Self, Error> {
        let (name, mut file) = (named(path), open(path)?);
        let failed = |source| Error::Read { action: "read", file: name.clone(), source };
        let damaged = |reason| Error::Damaged { file: name.clone(), place: "the whole".to_owned(), reason };
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes != expected.bytes {
            return Err(damaged(format!("it is {bytes} bytes long, and should be {}", expected.bytes)));
        }
        let (blake3, read) = Hash::of_all(&file).map_err(failed)?;
        if (blake3, read) != (expected.blake3, bytes) {
            return Err(damaged(format!("its blake3 is {blake3}, and should be {}", expected.blake3)));
        }
        file.rewind().map_err(failed)?;
        let opened = guarded(&name, "the database", || {
            let database = Builder::new().set_cache_size(CACHE_BYTES).open_read_only_with_backend(ReadOnly(file))?;
            Ok(Opened::Verified(database))
        })?;
        Self::new(name, bytes, opened)
    }

    /// Opens a file of which nothing is known, for tools. The database checks all its pages first.
    pub fn open_unverified(path: &Path) -> Result<Self, Error> {
        let (name, mut file) = (named(path), open(path)?);
        let failed = |source| Error::Read { action: "read", file: name.clone(), source };
        let bytes = file.metadata().map_err(failed)?.len();
        let mut head = [0; MAGIC.len()];
        let whole = file.read_exact(&mut head);
        if whole.is_err() || head != *MAGIC {
            return Err(Error::NoSnapshot { file: name, reason: "it does not begin as one".to_owned() });
        }
        let overlay = Overlay::new(file).map_err(failed)?;
        let opened = guarded(&name, "the database", || {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
            Ok(Opened::Checked(builder.create_with_backend(overlay)?))
        })?;
        Self::new(name, bytes, opened)
    }

    fn new(file: String, bytes: u64, opened: Opened) -> Result<Self, Error> {
        let opened = Guarded::new(opened);
        let entries = Entries::read(&file, opened.get())?;
        if entries.format.as_deref() != Some(FORMAT.to_string().as_bytes()) {
            return Err(match entries.format {
                None => Error::NoSnapshot { file, reason: "it has no format version".to_owned() },
                Some(found) => {
                    Error::Version { file, found: String::from_utf8_lossy(&found).escape_debug().to_string() }
                }
            });
        }
        let damaged =
            |place: &str, reason: String| Error::Damaged { file: file.clone(), place: place.to_owned(), reason };
        let (meta, salt) =
            unsealed::<Meta>(entries.about.as_deref()).map_err(|reason| damaged("what it is", reason))?;
        if let Some(reason) = meta.fault() {
            return Err(damaged("what it is", format!("it says {reason}")));
        }
        let (totals, _) =
            unsealed::<Totals>(entries.totals.as_deref()).map_err(|reason| damaged("its totals", reason))?;
        let mut schema: Vec<StateSchema> = Vec::new();
        for (id, bytes) in &entries.schema {
            let place = format!("the schema of state {id}");
            let (state, _) = unsealed::<StateSchema>(Some(bytes)).map_err(|reason| damaged(&place, reason))?;
            if state.id != *id {
                return Err(damaged(&place, format!("it is that of state {}", state.id)));
            }
            schema.push(state);
        }
        if schema.len() as u64 != u64::from(totals.states) {
            return Err(damaged("the schema", format!("{} states of {} are there", schema.len(), totals.states)));
        }
        let blocks = entries.blocks.ok_or_else(|| damaged("its blocks", "there are none".to_owned()))?;
        let (blocks_all, key_groups) = (totals.blocks, meta.key_groups.clone());
        let shared = Shared { file, salt, blocks_all, key_groups, blocks, _opened: opened };
        Ok(Self { shared: Arc::new(shared), meta, schema, totals, bytes })
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The states whose rows may be in it, by id.
    pub fn schema(&self) -> &[StateSchema] {
        &self.schema
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The file's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The rows of some key groups, in the order of their keys. Only blocks that have some of them are read.
    pub fn rows(&self, key_groups: Range<u32>) -> Result<Rows, Error> {
        Rows::new(&self.shared, key_groups)
    }

    /// Reads all rows and holds them against the totals and the schema.
    pub fn verify(&self) -> Result<Verified, Error> {
        let mut found = Verified { rows_of_states: vec![0; self.schema.len()], ..Verified::default() };
        let mut rows = self.rows(self.meta.key_groups.clone())?;
        let mut bytes = 0;
        while let Some(Row { key, value }) = rows.next()? {
            let state = super::state(key);
            let Ok(state) = self.schema.binary_search_by_key(&state, |schema| schema.id) else {
                return Err(self.wrong(format!("a row of state {state}, which has no schema")));
            };
            found.rows += 1;
            found.tombstones += u64::from(value.is_none());
            found.rows_of_states[state] += 1;
            bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
            match &mut found.keys {
                None => found.keys = Some(Keys { first: key.to_vec(), last: key.to_vec() }),
                Some(Keys { last, .. }) => {
                    last.clear();
                    last.extend_from_slice(key);
                }
            }
        }
        let Totals { rows, tombstones, row_bytes, .. } = self.totals;
        let (expect, all) = ((rows, tombstones, row_bytes), (found.rows, found.tombstones, bytes));
        if all != expect {
            return Err(self.wrong(format!("rows, tombstones and bytes are {all:?}, and should be {expect:?}")));
        }
        Ok(found)
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Damaged { file: self.shared.file.clone(), place: "the rows".to_owned(), reason }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Read { action: "open", file: named(path), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// All that stands beside the blocks, as it is stored.
struct Entries {
    format: Option<Vec<u8>>,
    about: Option<Vec<u8>>,
    totals: Option<Vec<u8>>,
    schema: Vec<(u16, Vec<u8>)>,
    blocks: Option<Guarded<ReadOnlyTable<&'static [u8], &'static [u8]>>>,
}

impl Entries {
    fn read(file: &str, opened: &Opened) -> Result<Self, Error> {
        guarded(file, "the database", || {
            let transaction = match opened {
                Opened::Verified(database) => database.begin_read()?,
                Opened::Checked(database) => database.begin_read()?,
            };
            let mut read = Self { format: None, about: None, totals: None, schema: Vec::new(), blocks: None };
            if let Some(meta) = there(transaction.open_table(META))? {
                let entry = |name: &str| Ok::<_, redb::Error>(meta.get(name)?.map(|bytes| bytes.value().to_vec()));
                (read.format, read.about, read.totals) =
                    (entry(ENTRY_FORMAT)?, entry(ENTRY_ABOUT)?, entry(ENTRY_TOTALS)?);
            }
            if let Some(schema) = there(transaction.open_table(SCHEMA))? {
                for state in schema.iter()? {
                    let (id, bytes) = state?;
                    read.schema.push((id.value(), bytes.value().to_vec()));
                }
            }
            read.blocks = there(transaction.open_table(BLOCKS))?.map(Guarded::new);
            Ok(read)
        })
    }
}

/// A table, unless the database is another's, which has none of this name.
fn there<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads JSON that has its checksum behind it. An error is the reason why not.
fn unsealed<T: DeserializeOwned>(bytes: Option<&[u8]>) -> Result<(T, Salt), String> {
    let bytes = bytes.ok_or("it is missing: the file was not finished")?;
    let (json, found) = bytes.split_last_chunk::<4>().ok_or("it has no checksum")?;
    let checksum = crc32c::crc32c(json);
    if checksum != u32::from_le_bytes(*found) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_slice(json).map(|value| (value, Salt(checksum))).map_err(|error| error.to_string())
}

/// Lets the database work. What it says or panics on is an error of the file, unless the disk is to blame.
pub(super) fn guarded<T>(file: &str, place: &str, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Error> {
    let damaged = |reason| Error::Damaged { file: file.to_owned(), place: place.to_owned(), reason };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        // Beyond the end is where a damaged file leads.
        Ok(Err(redb::Error::Io(source))) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Err(Error::Read { action: "read", file: file.to_owned(), source })
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            Err(damaged(format!("the database panicked: {words}")))
        }
    }
}
