//! What has changed of entries, as rows of snapshots.

use wasmill_model::keys::{EncodedKeys, KeyGroups};
use xxhash_rust::xxh3::xxh3_64;

use super::{Entry, part_of, read_entry};
use crate::arena::{Position, Sealed};

/// What a snapshot keeps of entries.
#[derive(Debug)]
pub(crate) struct SealedEntries {
    pub(super) arena: Sealed,
    /// Row keys, without their key groups, of entries that are there no more.
    pub(super) gone: EncodedKeys,
    /// For each cell: whether its rows say when they were written, whether it is put into snapshots, whether it has keys.
    pub(super) is_stamped: Vec<bool>,
    pub(super) is_kept: Vec<bool>,
    pub(super) is_keyed: Vec<bool>,
}

/// A row's key without the key group: part, length of the key, key, sub-key.
pub(super) fn push_row_key(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&part_of(entry.cell).to_be_bytes());
    out.extend_from_slice(&(entry.key.len() as u32).to_be_bytes());
    out.extend_from_slice(entry.key);
    out.extend_from_slice(entry.sub_key);
}

/// The rows of a snapshot, in the order of their keys.
#[derive(Debug)]
pub(crate) struct EntryRows<'a> {
    entries: &'a SealedEntries,
    /// All keys.
    keys: EncodedKeys,
    /// The number of a key, and where its value is; none: it is gone. What is there goes before what is gone: it may have come again.
    rows: Vec<(u32, Option<Position>)>,
    next: usize,
}

impl SealedEntries {
    fn entry(&self, position: Position) -> Entry<'_> {
        read_entry(self.arena.at(position), self.arena.header(position).key_bytes as usize)
    }

    /// The key group of a row, by what stands behind the key group in its key.
    fn key_group(&self, key_groups: KeyGroups, row_key: &[u8]) -> u16 {
        let (part, rest) = row_key.split_first_chunk().expect("a row's key begins with its part");
        let (length, rest) = rest.split_first_chunk().expect("then comes the length of the key");
        let is_keyed = self.is_keyed[usize::from(u16::from_be_bytes(*part) - crate::sealed::ENTRIES)];
        let key = &rest[..u32::from_be_bytes(*length) as usize];
        if is_keyed { key_groups.key_group(xxh3_64(key)) as u16 } else { 0 }
    }

    fn is_kept(&self, row_key: &[u8]) -> bool {
        let part = u16::from_be_bytes(*row_key.first_chunk().expect("a row's key begins with its part"));
        self.is_kept[usize::from(part - crate::sealed::ENTRIES)]
    }

    pub(crate) fn rows(&self, key_groups: KeyGroups) -> EntryRows<'_> {
        let (mut keys, mut rows, mut row_key) = (EncodedKeys::default(), Vec::new(), Vec::new());
        let mut whole = Vec::new();
        let mut push = |row_key: &[u8], position: Option<Position>| {
            if self.is_kept(row_key) {
                whole.clear();
                whole.extend_from_slice(&self.key_group(key_groups, row_key).to_be_bytes());
                whole.extend_from_slice(row_key);
                rows.push((keys.len() as u32, position));
                keys.push(&whole);
            }
        };
        for position in self.arena.written() {
            row_key.clear();
            push_row_key(&self.entry(position), &mut row_key);
            push(&row_key, Some(position));
        }
        self.gone.iter().for_each(|row_key| push(row_key, None));
        rows.sort_unstable_by(|a, b| {
            let keys = keys.get(a.0 as usize).cmp(keys.get(b.0 as usize));
            keys.then_with(|| a.1.is_none().cmp(&b.1.is_none()))
        });
        rows.dedup_by(|b, a| keys.get(a.0 as usize) == keys.get(b.0 as usize));
        EntryRows { entries: self, keys, rows, next: 0 }
    }
}

impl EntryRows<'_> {
    /// The next row, if its key is below another one: its key and value, and whether it is there or gone.
    pub(crate) fn next_before(&mut self, up_to: Option<&[u8]>, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Option<bool> {
        let &(number, position) = self.rows.get(self.next)?;
        let row_key = self.keys.get(number as usize);
        if up_to.is_some_and(|up_to| row_key >= up_to) {
            return None;
        }
        self.next += 1;
        key.clear();
        key.extend_from_slice(row_key);
        value.clear();
        let Some(position) = position else { return Some(false) };
        let entry = self.entries.entry(position);
        if self.entries.is_stamped[entry.cell] {
            value.extend_from_slice(&entry.stamp.to_le_bytes());
        }
        value.extend_from_slice(entry.value);
        Some(true)
    }
}
