//! Writing a snapshot file.

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use redb::{Builder, Database, Durability, WriteTransaction};

use super::{
    BLOCKS, ENTRY_ABOUT, ENTRY_FORMAT, ENTRY_TOTALS, Error, Expected, FORMAT, KEY_BYTES_MAX, KEY_HEAD_BYTES, Kind,
    META, Meta, SCHEMA, StateSchema, Totals, VALUE_BYTES_MAX,
    backing::Unsynced,
    block::{self, Salt},
    error::{named, shown},
    key_group, state,
};
use crate::{
    Hash,
    durable::{SNAPSHOT, Unfinished},
};

/// Memory of the database while a file is written; half of it for what is not committed.
const CACHE_BYTES: usize = 16 << 20;
/// Blocks that are committed at a time: as many as wait in memory until then, so that each is written once.
const COMMIT_BLOCKS: u32 = 64;

/// Writes a snapshot file. Dropped before `finish`, it leaves nothing.
pub struct Writer {
    path: PathBuf,
    file: File,
    database: Database,
    transaction: Option<WriteTransaction>,
    /// Behind the database, so that it is closed before the file goes.
    unfinished: Unfinished,
    meta: Meta,
    states: Vec<u16>,
    block: block::Builder,
    totals: Totals,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// A snapshot file that lies on disk, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file's length.
    pub bytes: u64,
    pub blake3: Hash,
    pub rows: u64,
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub row_bytes: u64,
    /// None: there are no rows.
    pub keys: Option<Keys>,
}

impl Written {
    /// What must be found of the file, wherever it is by then.
    pub fn expected(&self) -> Expected {
        Expected { bytes: self.bytes, blake3: self.blake3 }
    }
}

/// The first and the last key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub first: Vec<u8>,
    pub last: Vec<u8>,
}

impl Writer {
    /// Begins a file that is to have this path, which nothing may have yet.
    pub fn create(path: &Path, meta: &Meta, schema: &[StateSchema]) -> Result<Self, Error> {
        let file = || named(path);
        if let Some(reason) = meta.fault().or_else(|| twice(schema)) {
            return Err(Error::Meta { file: file(), reason });
        }
        if path.exists() {
            return Err(Error::Taken { file: file() });
        }
        let failed = |source| Error::Write { action: "create", file: file(), source };
        let (unfinished, handle) = Unfinished::create(path, Some(SNAPSHOT)).map_err(failed)?;
        let about = sealed(meta);
        let begun = || -> Result<_, redb::Error> {
            let backing = Unsynced(handle.try_clone()?);
            let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backing)?;
            let transaction = begin(&database)?;
            {
                let mut entries = transaction.open_table(META)?;
                entries.insert(ENTRY_FORMAT, FORMAT.to_string().as_bytes())?;
                entries.insert(ENTRY_ABOUT, about.bytes.as_slice())?;
                let mut states = transaction.open_table(SCHEMA)?;
                for state in schema {
                    states.insert(state.id, sealed(state).bytes.as_slice())?;
                }
                transaction.open_table(BLOCKS)?;
            }
            Ok((database, transaction))
        };
        let failed = |source| Error::WriteDatabase { action: "create", file: file(), source: Box::new(source) };
        let (database, transaction) = begun().map_err(failed)?;
        let states: Vec<u16> = schema.iter().map(|state| state.id).collect();
        Ok(Self {
            path: path.to_owned(),
            file: handle,
            database,
            transaction: Some(transaction),
            unfinished,
            meta: meta.clone(),
            block: block::Builder::new(about.salt),
            totals: Totals { rows: 0, tombstones: 0, row_bytes: 0, blocks: 0, states: states.len() as u32 },
            states,
            first: Vec::new(),
            last: Vec::new(),
        })
    }

    /// Adds a row; none as its value is a tombstone. Keys must rise.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        self.check(key, value)?;
        if !self.block.has_room(key, value) {
            self.put_block()?;
        }
        self.block.push(&self.last, key, value);
        if self.totals.rows == 0 {
            self.first.extend_from_slice(key);
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.totals.rows += 1;
        self.totals.tombstones += u64::from(value.is_none());
        self.totals.row_bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        Ok(())
    }

    /// Completes the file: it is durable and has its name when this returns.
    pub fn finish(mut self) -> Result<Written, Error> {
        if !self.block.is_empty() {
            self.put_block()?;
        }
        self.totals.blocks = self.block.number();
        let totals = sealed(&self.totals).bytes;
        self.database(|_, transaction| {
            transaction.open_table(META)?.insert(ENTRY_TOTALS, totals.as_slice())?;
            Ok(())
        })?;
        let Self { path, file, mut database, transaction, unfinished, totals, first, last, .. } = self;
        let close = || -> Result<(), redb::Error> {
            if let Some(transaction) = transaction {
                transaction.commit()?;
            }
            // What it returns says nothing of whether the file became shorter.
            database.compact()?;
            Ok(database.close()?)
        };
        let failed = |source| Error::WriteDatabase { action: "complete", file: named(&path), source: Box::new(source) };
        close().map_err(failed)?;
        let name = || -> io::Result<(Hash, u64)> {
            unfinished.sync(&file)?;
            io::Seek::rewind(&mut &file)?;
            let hash = Hash::of_all(&file)?;
            unfinished.finish()?;
            Ok(hash)
        };
        let (blake3, bytes) =
            name().map_err(|source| Error::Write { action: "complete", file: named(&path), source })?;
        let Totals { rows, tombstones, row_bytes, .. } = totals;
        let keys = (rows > 0).then_some(Keys { first, last });
        Ok(Written { bytes, blake3, rows, tombstones, row_bytes, keys })
    }

    /// Whether a row may come next.
    fn check(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let (bytes, value_bytes) = (key.len(), value.map_or(0, <[u8]>::len));
        let file = || named(&self.path);
        if bytes < KEY_HEAD_BYTES {
            return Err(Error::KeyTooShort { file: file(), key: shown(key), bytes });
        }
        if bytes > KEY_BYTES_MAX {
            return Err(Error::KeyTooLong { file: file(), bytes });
        }
        if value_bytes > VALUE_BYTES_MAX {
            return Err(Error::ValueTooLong { file: file(), key: shown(key), bytes: value_bytes });
        }
        if key <= self.last.as_slice() {
            return Err(Error::Order { file: file(), key: shown(key), last: shown(&self.last) });
        }
        if value.is_none() && self.meta.kind == Kind::Full {
            return Err(Error::Tombstone { file: file(), key: shown(key) });
        }
        let groups = &self.meta.key_groups;
        if !groups.contains(&key_group(key)) {
            let reason = format!("is of key group {}, and the file is of {groups:?}", key_group(key));
            return Err(Error::ForeignKey { file: file(), key: shown(key), reason });
        }
        // Nearly always there are very few.
        if !self.states.contains(&state(key)) {
            let reason = format!("is of state {}, which has no schema", state(key));
            return Err(Error::ForeignKey { file: file(), key: shown(key), reason });
        }
        Ok(())
    }

    fn put_block(&mut self) -> Result<(), Error> {
        let committed = (self.block.number() + 1).is_multiple_of(COMMIT_BLOCKS);
        self.database(|block, transaction| {
            let (first, bytes) = block.finish();
            transaction.open_table(BLOCKS)?.insert(first, bytes)?;
            block.next();
            Ok(())
        })?;
        if committed { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), Error> {
        let failed =
            |source| Error::WriteDatabase { action: "write", file: named(&self.path), source: Box::new(source) };
        let transaction = self.transaction.take().ok_or(redb::Error::DatabaseClosed);
        let committed = || -> Result<WriteTransaction, redb::Error> {
            transaction?.commit()?;
            begin(&self.database)
        };
        self.transaction = Some(committed().map_err(failed)?);
        Ok(())
    }

    /// Lets a step use the transaction.
    fn database<T>(
        &mut self,
        work: impl FnOnce(&mut block::Builder, &WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let failed =
            |source| Error::WriteDatabase { action: "write", file: named(&self.path), source: Box::new(source) };
        // It is gone after an error: what was half done must not be committed.
        let transaction = self.transaction.take().ok_or(redb::Error::DatabaseClosed).map_err(failed)?;
        let done = work(&mut self.block, &transaction).map_err(failed)?;
        self.transaction = Some(transaction);
        Ok(done)
    }
}

/// A transaction whose commit costs no sync, because the backing has none.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// Something in JSON with its checksum.
struct Sealed {
    bytes: Vec<u8>,
    salt: Salt,
}

fn sealed(value: &impl serde::Serialize) -> Sealed {
    let mut bytes = serde_json::to_vec(value).expect("its keys are text");
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Sealed { bytes, salt: Salt(checksum) }
}

/// The first state that is described twice.
fn twice(schema: &[StateSchema]) -> Option<String> {
    let twice = schema.iter().enumerate().find(|(i, state)| schema[..*i].iter().any(|other| other.id == state.id));
    twice.map(|(_, state)| format!("two states {}", state.id))
}
