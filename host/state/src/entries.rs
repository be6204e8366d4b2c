//! Entries: what list, map and broadcast cells hold.
//!
//! An entry is a value under a *sub-key*: in a map the operator's, in a list a number that rises. Each entry is a record in an arena
//! of its own, and each cell of a key has a list of the positions of its entries in the order of their sub-keys, found by an index
//! over key and cell:
//!
//! ```text
//! header (8) | when it was written (8) | cell u32 | length of the sub-key u32 | length of the value u32 | key | sub-key | value
//! ```
//!
//! Unlike value cells, entries do not cross into the operator with every call: it asks for them during its call, and sees them as they
//! were when it began.

use arrow_array::ArrayRef;
use wasmill_model::{
    DataType, Timestamp,
    descriptor::{Cell, CellKind},
    keys::EncodedKeys,
    reply::{EntryAction, EntryChanges},
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    arena::{Arena, BLOCK_BYTES_MAX, Position},
    clocks::{Clocks, Ttl},
    error::Error,
    index::Index,
    sealed::ENTRIES,
};

mod ordered;
mod read;
mod sealed;
mod values;

pub use read::{Scanned, TooMuch};
pub(crate) use sealed::SealedEntries;

use ordered::{Ordered, Place};

const STAMP_AT: usize = 8;
const CELL_AT: usize = 16;
const SUB_KEY_BYTES_AT: usize = 20;
const VALUE_BYTES_AT: usize = 24;
const KEY_AT: usize = 28;

/// Memory for the list of a key's entries in a cell, beside its places, in bytes.
const BYTES_PER_LIST: usize = 128;

/// Entries that each call looks at, at least, for those whose time is over.
const SWEPT_AT_LEAST: usize = 16;

/// The entries of one operator instance.
#[derive(Debug)]
pub struct Entries {
    /// By their places in the descriptor; none: a value cell.
    cells: Vec<Option<EntryCell>>,
    arena: Arena,
    /// From the hash of key and cell to the number of a list.
    index: Index,
    lists: Vec<List>,
    /// Numbers of lists that are not used.
    free_lists: Vec<u32>,
    entries: usize,
    /// The keys of the groups of the call, and the latest event time of each, if there are any.
    keys: EncodedKeys,
    latest: Vec<Timestamp>,
    now: Clocks,
    /// Row keys of entries of earlier epochs that are there no more.
    gone: EncodedKeys,
    /// The list and the chunk of it where the next look for entries whose time is over begins.
    swept: (usize, usize),
    /// Whether it is this instance that puts broadcast cells into snapshots.
    keeps_broadcast: bool,
}

/// A list, map or broadcast cell.
#[derive(Debug, Clone)]
struct EntryCell {
    kind: CellKind,
    sub_key: DataType,
    data_type: DataType,
    life: Option<Ttl>,
}

/// The entries of one key in one cell.
#[derive(Debug, Default)]
struct List {
    hash: u64,
    entries: Ordered,
}

/// An entry, as it stands in its record.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    cell: usize,
    stamp: Timestamp,
    key: &'a [u8],
    sub_key: &'a [u8],
    value: &'a [u8],
}

/// An entry that is about to be written.
struct New<'a> {
    key: &'a [u8],
    sub_key: &'a [u8],
    value: &'a [u8],
}

impl Entries {
    /// None for these cells. `None`: none of them has entries.
    pub(crate) fn new(cells: &[Cell]) -> Option<Self> {
        let cell = |cell: &Cell| {
            Some(EntryCell {
                kind: cell.kind,
                sub_key: cell.sub_key_type()?,
                data_type: cell.data_type,
                life: Ttl::of(cell),
            })
        };
        let cells: Vec<_> = cells.iter().map(cell).collect();
        cells.iter().any(Option::is_some).then(|| Self {
            cells,
            arena: Arena::new(),
            index: Index::new(),
            lists: Vec::new(),
            free_lists: Vec::new(),
            entries: 0,
            keys: EncodedKeys::default(),
            latest: Vec::new(),
            now: Clocks::default(),
            gone: EncodedKeys::default(),
            swept: (0, 0),
            keeps_broadcast: true,
        })
    }

    pub(crate) fn track(&mut self) {
        self.arena.track();
        self.gone = EncodedKeys::default();
    }

    pub(crate) fn set_now(&mut self, now: Clocks) {
        self.now = now;
    }

    pub(crate) fn set_keeps_broadcast(&mut self, keeps: bool) {
        self.keeps_broadcast = keeps;
    }

    /// Begins a call about these keys.
    pub(crate) fn begin(&mut self, keys: &EncodedKeys, rows: usize) {
        self.arena.take_back();
        self.sweep(SWEPT_AT_LEAST + 2 * rows);
        self.keys.clone_from(keys);
        self.latest.clear();
    }

    /// Says the latest event time of each group; of rows without keys, of all.
    pub(crate) fn set_latest(&mut self, latest: &[Timestamp]) {
        self.latest.clear();
        self.latest.extend_from_slice(latest);
    }

    /// Number of entries. Of those whose time is over some may still be counted.
    pub fn len(&self) -> usize {
        self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes of memory, as they are counted against the limit.
    pub(crate) fn bytes(&self) -> usize {
        let lists = self.lists.len() * BYTES_PER_LIST + self.entries * ordered::BYTES_PER_ENTRY;
        self.arena.bytes() + self.index.bytes_with(0) + lists
    }

    fn cell(&self, place: usize) -> &EntryCell {
        self.cells[place].as_ref().expect("changes of entries are of cells that have some")
    }

    /// Checks that changes can be applied, and says how many bytes there will be then, at most. What they free makes room for the next
    /// call only.
    pub(crate) fn check(&self, changes: &[EntryChanges]) -> Result<usize, Error> {
        let (mut bytes, mut entries) = (0, 0);
        for change in changes {
            let cell = self.cell(change.cell);
            let (sub_keys, values) = match &change.action {
                EntryAction::Put { sub_keys, values } => (Some(sub_keys), values),
                EntryAction::Append { values } => (None, values),
                EntryAction::Remove { .. } | EntryAction::Clear => continue,
            };
            assert!(values::is_full(values) && sub_keys.is_none_or(values::is_full), "entries have no nulls");
            let (mut sub_key, mut value) = (vec![0; 8], Vec::new());
            for (row, &group) in change.groups.iter().enumerate() {
                if let Some(sub_keys) = sub_keys {
                    sub_key.clear();
                    values::push_sub_key(sub_keys, cell.sub_key, row, &mut sub_key);
                }
                value.clear();
                values::push_value(values, cell.data_type, row, &mut value);
                let record = KEY_AT + self.key_of(cell, group).len() + sub_key.len() + value.len();
                if record > BLOCK_BYTES_MAX {
                    let (group, bytes_max) = (group as usize, BLOCK_BYTES_MAX);
                    return Err(Error::RecordTooLong { group, bytes: record, bytes_max });
                }
                // Size classes waste at most a quarter of a block.
                bytes += record * 5 / 4 + 8;
            }
            entries += change.groups.len();
        }
        // Each of them could be the first of its key.
        let lists = self.index.bytes_with(entries) - self.index.bytes_with(0)
            + entries * (BYTES_PER_LIST + ordered::BYTES_PER_ENTRY);
        Ok(self.bytes() + bytes + if entries == 0 { 0 } else { lists })
    }

    /// Applies changes in their order, for the groups of the call.
    ///
    /// # Panics
    /// If they are not of the types of their cells, or name groups that the call does not have.
    pub(crate) fn apply(&mut self, changes: &[EntryChanges]) {
        let keys = std::mem::take(&mut self.keys);
        let (mut sub_key, mut value) = (Vec::new(), Vec::new());
        for EntryChanges { cell: place, action, groups } in changes {
            let cell = self.cell(*place).clone();
            let key = |group: u32| if cell.kind.is_keyed() { keys.get(group as usize) } else { &[] };
            for (row, &group) in groups.iter().enumerate() {
                let key = key(group);
                let latest = self.latest.get(group as usize).copied();
                sub_key.clear();
                value.clear();
                match action {
                    EntryAction::Put { sub_keys, values } => {
                        values::push_sub_key(sub_keys, cell.sub_key, row, &mut sub_key);
                        values::push_value(values, cell.data_type, row, &mut value);
                        self.put(*place, New { key, sub_key: &sub_key, value: &value }, latest);
                    }
                    EntryAction::Append { values } => {
                        sub_key.extend_from_slice(&crate::sealed::ordered(self.next_number(*place, key)));
                        values::push_value(values, cell.data_type, row, &mut value);
                        self.put(*place, New { key, sub_key: &sub_key, value: &value }, latest);
                    }
                    EntryAction::Remove { sub_keys } => {
                        values::push_sub_key(sub_keys, cell.sub_key, row, &mut sub_key);
                        self.remove(*place, key, &sub_key);
                    }
                    EntryAction::Clear => self.clear(*place, key),
                }
            }
        }
        self.keys = keys;
    }

    fn key_of(&self, cell: &EntryCell, group: u32) -> &[u8] {
        if cell.kind.is_keyed() { self.keys.get(group as usize) } else { &[] }
    }

    fn entry(&self, position: Position) -> Entry<'_> {
        read_entry(self.arena.at(position), self.arena.header(position).key_bytes as usize)
    }

    fn is_alive(&self, entry: &Entry<'_>) -> bool {
        self.cells[entry.cell].as_ref().is_some_and(|cell| is_alive(cell, entry, self.now))
    }

    /// The number of the list of a key in a cell.
    fn list(&self, cell: usize, key: &[u8], hash: u64) -> Option<usize> {
        let same = |list: Position| {
            let list = &self.lists[list.0 as usize];
            let first = list.entries.first().map(|first| self.entry(first));
            first.is_some_and(|entry| entry.cell == cell && entry.key == key)
        };
        self.index.find(hash, same).map(|list| list.0 as usize)
    }

    fn find(&self, list: usize, sub_key: &[u8]) -> (Place, bool) {
        self.lists[list].entries.find(|position| self.entry(position).sub_key.cmp(sub_key))
    }

    /// The number of the next element of a list: one more than that of its last.
    fn next_number(&mut self, cell: usize, key: &[u8]) -> i64 {
        let hash = hash_of(cell, key);
        while let Some(list) = self.list(cell, key, hash) {
            let last = self.lists[list].entries.last().expect("no list is empty");
            let entry = self.entry(last);
            if self.is_alive(&entry) {
                let number = entry.sub_key.as_array().map_or(0, |word| crate::sealed::time_of(*word));
                return number.saturating_add(1);
            }
            // Nobody can see it any more, so that it must not count either.
            let (place, _) = self.find(list, entry.sub_key);
            self.remove_at(list, place);
        }
        0
    }

    fn put(&mut self, cell: usize, new: New<'_>, latest: Option<Timestamp>) {
        let hash = hash_of(cell, new.key);
        let list = self.list(cell, new.key, hash);
        let found = list.map(|list| (list, self.find(list, new.sub_key)));
        let before = found.filter(|(_, (_, is_there))| *is_there).and_then(|(list, (place, _))| {
            let entry = self.entry(self.lists[list].entries.get(place)?);
            self.is_alive(&entry).then_some(entry.stamp)
        });
        let stamp = self.cell(cell).life.map_or(0, |life| life.stamp(self.now, latest, before));
        self.write(cell, hash, found, &new, stamp);
    }

    /// Writes an entry at the place that was found for it.
    fn write(
        &mut self,
        cell: usize,
        hash: u64,
        found: Option<(usize, (Place, bool))>,
        new: &New<'_>,
        stamp: Timestamp,
    ) {
        let bytes = KEY_AT + new.key.len() + new.sub_key.len() + new.value.len();
        let position = match found {
            Some((list, (place, true))) => {
                let old = self.lists[list].entries.get(place).expect("it was just found");
                let fits = bytes <= self.arena.header(old).block_bytes() && !self.arena.is_block_sealed(old);
                if fits {
                    self.arena.note(old);
                    old
                } else {
                    let position = self.arena.allocate_instead(bytes, old);
                    self.lists[list].entries.set(place, position);
                    self.arena.free(old);
                    position
                }
            }
            found => {
                let position = self.arena.allocate(bytes, new.key.len());
                let list = found.map_or_else(|| self.add_list(hash), |(list, _)| list);
                let place = found.map_or_else(|| self.lists[list].entries.end(), |(_, (place, _))| place);
                self.lists[list].entries.insert(place, position);
                self.entries += 1;
                position
            }
        };
        let record = self.arena.at_mut(position);
        record[STAMP_AT..CELL_AT].copy_from_slice(&stamp.to_le_bytes());
        record[CELL_AT..SUB_KEY_BYTES_AT].copy_from_slice(&(cell as u32).to_le_bytes());
        record[SUB_KEY_BYTES_AT..VALUE_BYTES_AT].copy_from_slice(&(new.sub_key.len() as u32).to_le_bytes());
        record[VALUE_BYTES_AT..KEY_AT].copy_from_slice(&(new.value.len() as u32).to_le_bytes());
        let mut at = KEY_AT;
        for part in [new.key, new.sub_key, new.value] {
            record[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }

    /// A list for entries of a key and cell that have none.
    fn add_list(&mut self, hash: u64) -> usize {
        let list = List { hash, entries: Ordered::default() };
        let number = match self.free_lists.pop() {
            Some(number) => {
                self.lists[number as usize] = list;
                number
            }
            None => {
                self.lists.push(list);
                u32::try_from(self.lists.len() - 1).expect("entries are below 2^32")
            }
        };
        self.index.insert(hash, Position(number));
        number as usize
    }

    fn remove(&mut self, cell: usize, key: &[u8], sub_key: &[u8]) {
        let Some(list) = self.list(cell, key, hash_of(cell, key)) else { return };
        if let (place, true) = self.find(list, sub_key) {
            self.remove_at(list, place);
        }
    }

    fn clear(&mut self, cell: usize, key: &[u8]) {
        let Some(list) = self.list(cell, key, hash_of(cell, key)) else { return };
        let entries = std::mem::take(&mut self.lists[list].entries);
        entries.iter().for_each(|position| self.forget(position));
        self.free_list(list);
    }

    fn remove_at(&mut self, list: usize, place: Place) {
        let position = self.lists[list].entries.remove(place);
        self.forget(position);
        if self.lists[list].entries.first().is_none() {
            self.free_list(list);
        }
    }

    fn free_list(&mut self, list: usize) {
        self.index.remove(self.lists[list].hash, Position(list as u32));
        self.free_lists.push(list as u32);
    }

    /// An entry is gone, which those who have an earlier snapshot are to know.
    fn forget(&mut self, position: Position) {
        if self.arena.is_tracked() && self.arena.was_sealed(position) {
            let entry = self.entry(position);
            let mut key = Vec::new();
            sealed::push_row_key(&entry, &mut key);
            self.gone.push(&key);
        }
        self.arena.free(position);
        self.entries -= 1;
    }

    /// Looks at some entries whether their time is over, and removes those.
    fn sweep(&mut self, mut left: usize) {
        if self.entries == 0 || self.cells.iter().flatten().all(|cell| cell.life.is_none()) {
            return;
        }
        let mut lists_left = self.lists.len().min(left);
        while left > 0 && lists_left > 0 {
            let (list, chunk) = self.swept;
            let positions = self.lists.get(list).and_then(|list| list.entries.chunk(chunk));
            let Some(positions) = positions.map(<[Position]>::to_vec) else {
                self.swept = (if list + 1 < self.lists.len() { list + 1 } else { 0 }, 0);
                lists_left -= 1;
                continue;
            };
            left = left.saturating_sub(positions.len());
            for position in positions {
                let entry = self.entry(position);
                if !self.is_alive(&entry) {
                    let (place, _) = self.find(list, entry.sub_key);
                    self.remove_at(list, place);
                }
            }
            self.swept = (list, chunk + 1);
        }
    }

    /// Puts an entry back that was in a snapshot. Returns whether the bytes are a sub-key and a value of the cell.
    pub(crate) fn restore(&mut self, cell: usize, stamp: Option<Timestamp>, key: &[u8], parts: (&[u8], &[u8])) -> bool {
        let (sub_key, value) = parts;
        let of = self.cell(cell);
        let bytes = KEY_AT + key.len() + sub_key.len() + value.len();
        let sub_key_is = of.sub_key != DataType::Float64 && values::is_value(of.sub_key, sub_key);
        if !sub_key_is || !values::is_value(of.data_type, value) || bytes > BLOCK_BYTES_MAX {
            return false;
        }
        let stamp = of.life.map_or(0, |life| stamp.unwrap_or_else(|| life.unknown_stamp(self.now)));
        let hash = hash_of(cell, key);
        let found = self.list(cell, key, hash).map(|list| (list, self.find(list, sub_key)));
        self.write(cell, hash, found, &New { key, sub_key, value }, stamp);
        true
    }

    pub(crate) fn seal(&mut self) -> SealedEntries {
        SealedEntries {
            arena: self.arena.seal(),
            gone: std::mem::take(&mut self.gone),
            is_stamped: self.cells.iter().map(|cell| cell.as_ref().is_some_and(|cell| cell.life.is_some())).collect(),
            is_kept: self
                .cells
                .iter()
                .map(|cell| cell.as_ref().is_some_and(|cell| cell.kind.is_keyed() || self.keeps_broadcast))
                .collect(),
            is_keyed: self.cells.iter().map(|cell| cell.as_ref().is_some_and(|cell| cell.kind.is_keyed())).collect(),
        }
    }
}

/// The part of the state in which the entries of a cell are, as rows name it.
pub(crate) fn part_of(cell: usize) -> u16 {
    ENTRIES + cell as u16
}

fn hash_of(cell: usize, key: &[u8]) -> u64 {
    // Its high bits, by which the index goes, depend on all of both.
    (xxh3_64(key) ^ (cell as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

fn is_alive(cell: &EntryCell, entry: &Entry<'_>, now: Clocks) -> bool {
    cell.life.is_none_or(|life| life.is_on(entry.stamp, now))
}

fn read_entry(record: &[u8], key_bytes: usize) -> Entry<'_> {
    let number =
        |at: usize| u32::from_le_bytes(*record[at..].first_chunk().expect("a record has all its lengths")) as usize;
    let (sub_key_at, value_at) = (KEY_AT + key_bytes, KEY_AT + key_bytes + number(SUB_KEY_BYTES_AT));
    Entry {
        cell: number(CELL_AT),
        stamp: Timestamp::from_le_bytes(*record[STAMP_AT..].first_chunk().expect("a record has a stamp")),
        key: &record[KEY_AT..sub_key_at],
        sub_key: &record[sub_key_at..value_at],
        value: &record[value_at..value_at + number(VALUE_BYTES_AT)],
    }
}

#[cfg(test)]
mod tests;
