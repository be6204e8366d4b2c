//! Snapshots: what has changed of an operator instance's state in an epoch, as rows in the order of their keys.
//!
//! A row's key is `key group u16 | part u16 | rest`, numbers big-endian, so that a range of key groups is one run:
//!
//! | part | rest | value |
//! |---|---|---|
//! | 0: value cells | the encoded key | the values of all value cells, see below |
//! | 1: event-time timers | time (i64, sign bit flipped), the encoded key | empty |
//! | 2: processing-time timers | the same | empty |
//! | 3 and more: entries of a list, map or broadcast cell, by the cell's place | length of the encoded key u32, it, the sub-key | the value |
//!
//! The values of a key's cells: a bit for each cell that says whether it has a value, the first cell in the lowest bit of the
//! first byte; then the values of those that have one, little-endian: 8 bytes, for boolean 1, for text its length (u32) and it.
//! Before the value of a cell with a time to live stands when it was written (i64, ms since the epoch). So it does before that of an
//! entry, whose value is not marked and ends with its row. The rows of broadcast cells, which have no key, are in key group 0.

use wasmill_model::keys::{EncodedKeys, KeyGroups};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    arena::{Position, Sealed},
    entries::SealedEntries,
    layout::{Layout, Slot},
    timers::{SealedTimers, read_timer},
};

/// The parts of the state of an operator instance, as rows name them.
pub const VALUES: u16 = 0;
pub const EVENT_TIME_TIMERS: u16 = 1;
pub const PROCESSING_TIME_TIMERS: u16 = 2;
/// The part of the entries of the first cell; those of the others follow in their order, value cells leave a gap.
pub const ENTRIES: u16 = 3;

/// Bytes of a row's key before the rest.
pub(crate) const PREFIX_BYTES: usize = 4;

/// Changes of a state since the snapshot before, or since it was first tracked. The state goes on while somebody else reads it.
#[derive(Debug)]
pub struct SealedState {
    pub(crate) layout: Layout,
    pub(crate) arena: Sealed,
    /// Keys that have no value any more.
    pub(crate) gone: EncodedKeys,
    pub(crate) event_time: SealedTimers,
    pub(crate) processing_time: SealedTimers,
    /// `None`: no cell has any.
    pub(crate) entries: Option<SealedEntries>,
}

/// Where a row comes from. What is there goes before what is gone: it may have come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    There(Position),
    /// The place in its list.
    Gone(usize),
}

/// A row before it is written out.
#[derive(Debug, Clone, Copy)]
struct Entry {
    part: u16,
    source: Source,
    /// The first bytes of the row's key, which mostly say in which order rows are.
    prefix: u128,
}

/// What follows the part in a row's key: for timers the time, and the encoded key.
type Rest<'a> = (Option<[u8; 8]>, &'a [u8]);

impl SealedState {
    /// Hands out the changed rows in the order of their keys, each key once: with its value, or with `None` if it is not there any
    /// more. Some of the latter may never have been in a snapshot.
    ///
    /// # Errors
    /// The first that `row` gives.
    pub fn rows<E>(
        &self,
        key_groups: KeyGroups,
        mut row: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut key, mut before, mut value) = (Vec::new(), Vec::new(), Vec::new());
        let mut entries = self.entries.as_ref().map(|entries| entries.rows(key_groups));
        let (mut entry_key, mut entry_value) = (Vec::new(), Vec::new());
        let mut next_entry = |up_to: Option<&[u8]>, key: &mut Vec<u8>, value: &mut Vec<u8>| {
            entries.as_mut().and_then(|entries| entries.next_before(up_to, key, value))
        };
        for entry in self.sorted(key_groups) {
            self.write_key(key_groups, entry, &mut key);
            if key == before {
                continue;
            }
            while let Some(is_there) = next_entry(Some(&key), &mut entry_key, &mut entry_value) {
                row(&entry_key, is_there.then_some(&entry_value))?;
            }
            match entry.source {
                Source::Gone(_) => row(&key, None)?,
                Source::There(position) => {
                    value.clear();
                    if entry.part == VALUES {
                        self.write_values(position, &mut value);
                    }
                    row(&key, Some(&value))?;
                }
            }
            std::mem::swap(&mut before, &mut key);
        }
        while let Some(is_there) = next_entry(None, &mut entry_key, &mut entry_value) {
            row(&entry_key, is_there.then_some(&entry_value))?;
        }
        Ok(())
    }

    fn sorted(&self, key_groups: KeyGroups) -> Vec<Entry> {
        let there = |part, arena: &Sealed| arena.written().into_iter().map(move |p| (part, Source::There(p)));
        let gone = |part, keys: &EncodedKeys| (0..keys.len()).map(move |place| (part, Source::Gone(place)));
        let timers = [(EVENT_TIME_TIMERS, &self.event_time), (PROCESSING_TIME_TIMERS, &self.processing_time)];
        let timers = timers.into_iter().flat_map(|(part, t)| there(part, &t.arena).chain(gone(part, &t.gone.keys)));
        let all = there(VALUES, &self.arena).chain(gone(VALUES, &self.gone)).chain(timers);
        let mut entries: Vec<Entry> = all
            .map(|(part, source)| {
                let rest = self.rest(part, source);
                Entry { part, source, prefix: prefix(key_group(key_groups, rest.1), part, rest) }
            })
            .collect();
        entries.sort_unstable_by(|a, b| {
            let rests = || self.rest(a.part, a.source).cmp(&self.rest(b.part, b.source));
            a.prefix.cmp(&b.prefix).then_with(rests).then_with(|| a.source.cmp(&b.source))
        });
        entries
    }

    fn rest(&self, part: u16, source: Source) -> Rest<'_> {
        let timers = match part {
            EVENT_TIME_TIMERS => &self.event_time,
            PROCESSING_TIME_TIMERS => &self.processing_time,
            _ => {
                return match source {
                    Source::There(p) => (None, self.layout.key(self.arena.at(p), self.arena.header(p))),
                    Source::Gone(place) => (None, self.gone.get(place)),
                };
            }
        };
        let (time, key) = match source {
            Source::There(position) => read_timer(timers.arena.at(position), timers.arena.header(position)),
            Source::Gone(place) => (timers.gone.times[place], timers.gone.keys.get(place)),
        };
        (Some(ordered(time)), key)
    }

    fn write_key(&self, key_groups: KeyGroups, Entry { part, source, .. }: Entry, out: &mut Vec<u8>) {
        let (time, key) = self.rest(part, source);
        out.clear();
        out.extend_from_slice(&key_group(key_groups, key).to_be_bytes());
        out.extend_from_slice(&part.to_be_bytes());
        out.extend(time.iter().flatten());
        out.extend_from_slice(key);
    }

    fn write_values(&self, position: Position, out: &mut Vec<u8>) {
        let Self { layout, arena, .. } = self;
        let (record, header) = (arena.at(position), arena.header(position));
        out.extend_from_slice(layout.presence(record));
        let cells = layout.cells.iter().enumerate().filter(|(cell, _)| layout.is_present(record, *cell));
        for (cell, &(_, slot)) in cells {
            if let Some(life) = layout.lives[cell] {
                out.extend_from_slice(&life.stamp(record).to_le_bytes());
            }
            match slot {
                Slot::Word(at) => out.extend_from_slice(&record[at..at + 8]),
                Slot::Boolean(at) => out.push(record[at]),
                Slot::Text(text) => crate::layout::push_text(layout.text(record, header, text), out),
            }
        }
    }
}

fn key_group(key_groups: KeyGroups, key: &[u8]) -> u16 {
    key_groups.key_group(xxh3_64(key)) as u16
}

/// A time whose bytes are in the order of times.
pub(crate) fn ordered(time: i64) -> [u8; 8] {
    (time as u64 ^ (1 << 63)).to_be_bytes()
}

/// The opposite of `ordered`.
pub(crate) fn time_of(ordered: [u8; 8]) -> i64 {
    (u64::from_be_bytes(ordered) ^ (1 << 63)) as i64
}

fn prefix(key_group: u16, part: u16, (time, key): Rest<'_>) -> u128 {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&key_group.to_be_bytes());
    bytes[2..PREFIX_BYTES].copy_from_slice(&part.to_be_bytes());
    let from = if let Some(time) = time {
        bytes[PREFIX_BYTES..][..8].copy_from_slice(&time);
        PREFIX_BYTES + 8
    } else {
        PREFIX_BYTES
    };
    let length = key.len().min(16 - from);
    bytes[from..][..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}
