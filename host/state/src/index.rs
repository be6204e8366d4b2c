//! The index: from the hash of a key to the position of its record.
//!
//! 256 shards, which grow one at a time, so that no single batch pays for a large table. A shard is a table of *lines* of 8
//! entries, a cache line each. An entry stands in its home line, or in the first line behind it that had room; it holds
//! the position and the 32 hash bits that follow those of the shard. The first of these choose the line, so that a shard
//! grows, and closes the gap behind a removed entry, without looking at records. Whether a record is the one looked
//! for is for the caller to say. A line is searched without a branch that depends on where in it the entry stands.
//!
//! Shard and line are taken from the *high* bits of the hash: the low ones choose the key group, and of those a
//! subtask sees a few only.

use crate::arena::Position;

const SHARD_BITS: u32 = 8;
const SHARDS: usize = 1 << SHARD_BITS;
const LINE: usize = 8;
const EMPTY: u64 = 0;

/// Memory of the index for each key it has ever held at once, in bytes: shards double when they are three quarters full,
/// so an entry of 8 bytes has at most 8 / 0.375 to itself.
const BYTES_PER_KEY: usize = 22;

/// Memory of an index that holds anything: the shards, and a line in each.
const BYTES_AT_LEAST: usize = SHARDS * (size_of::<Shard>() + size_of::<Line>());

#[derive(Debug)]
pub(crate) struct Index {
    /// None until the first key comes.
    shards: Box<[Shard]>,
    len: usize,
    len_max: usize,
}

/// `lines.len()` is 0 or a power of two; at least a quarter of the entries is empty.
#[derive(Debug, Clone)]
struct Shard {
    lines: Box<[Line]>,
    /// `32 - log2(lines.len())`.
    shift: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([u64; LINE]);

/// An entry is the tag in the high half and position + 1 in the low half.
fn entry(tag: u32, position: Position) -> u64 {
    (u64::from(tag) << 32) | u64::from(position.0 + 1)
}

#[inline]
fn entry_tag(entry: u64) -> u32 {
    (entry >> 32) as u32
}

#[inline]
fn entry_position(entry: u64) -> Position {
    Position((entry as u32).wrapping_sub(1))
}

#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
}

#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash >> (32 - SHARD_BITS)) as u32
}

impl Line {
    /// A bit for each entry with this tag. An empty entry looks like tag 0.
    #[inline]
    fn matches(&self, tag: u32) -> u32 {
        self.0.iter().enumerate().fold(0, |all, (i, &e)| all | (u32::from(entry_tag(e) == tag) << i))
    }

    /// Entries fill a line from the front.
    #[inline]
    fn is_full(&self) -> bool {
        self.0[LINE - 1] != EMPTY
    }

    fn len(&self) -> usize {
        self.0.iter().position(|&e| e == EMPTY).unwrap_or(LINE)
    }
}

impl Shard {
    #[inline]
    fn home(&self, tag: u32) -> usize {
        (u64::from(tag) >> self.shift) as usize
    }

    #[inline]
    fn next(&self, line: usize) -> usize {
        (line + 1) & (self.lines.len() - 1)
    }

    fn grow(&mut self) {
        let lines = (self.lines.len() * 2).max(1);
        let old = std::mem::replace(&mut self.lines, vec![Line([EMPTY; LINE]); lines].into_boxed_slice());
        self.shift = 32 - lines.trailing_zeros();
        for &entry in old.iter().flat_map(|line| &line.0).filter(|&&e| e != EMPTY) {
            self.place(entry);
        }
    }

    fn place(&mut self, entry: u64) {
        let mut line = self.home(entry_tag(entry));
        while self.lines[line].is_full() {
            line = self.next(line);
        }
        let place = self.lines[line].len();
        self.lines[line].0[place] = entry;
    }

    fn insert(&mut self, entry: u64) {
        if (self.len as usize + 1) * 4 > self.lines.len() * LINE * 3 {
            self.grow();
        }
        self.place(entry);
        self.len += 1;
    }

    #[inline]
    fn find(&self, tag: u32, mut same: impl FnMut(Position) -> bool) -> Option<Position> {
        if self.lines.is_empty() {
            return None;
        }
        let mut number = self.home(tag);
        loop {
            let line = &self.lines[number];
            let mut matches = line.matches(tag);
            while matches != 0 {
                let entry = line.0[matches.trailing_zeros() as usize];
                if entry != EMPTY && same(entry_position(entry)) {
                    return Some(entry_position(entry));
                }
                matches &= matches - 1;
            }
            if !line.is_full() {
                return None;
            }
            number = self.next(number);
        }
    }

    /// Line and place of an entry that is there.
    fn locate(&self, entry: u64) -> (usize, usize) {
        let mut line = self.home(entry_tag(entry));
        loop {
            if let Some(place) = self.lines[line].0.iter().position(|&e| e == entry) {
                return (line, place);
            }
            assert!(self.lines[line].is_full(), "the index has no entry for {:?}", entry_position(entry));
            line = self.next(line);
        }
    }

    /// Removes an entry, and moves one that had no room in the line before into the gap, and so on.
    fn remove(&mut self, entry: u64) {
        let (mut gap, place) = self.locate(entry);
        let mask = self.lines.len() - 1;
        let mut full = self.lines[gap].is_full();
        self.remove_from_line(gap, place);
        let mut line = gap;
        while full {
            line = self.next(line);
            if line == gap {
                break;
            }
            full = self.lines[line].is_full();
            // An entry may move up to the gap unless its home lies behind the gap.
            let (shard, distance) = (&*self, line.wrapping_sub(gap) & mask);
            let fits = |&e: &u64| e != EMPTY && (line.wrapping_sub(shard.home(entry_tag(e))) & mask) >= distance;
            if let Some(place) = self.lines[line].0.iter().position(fits) {
                let free = self.lines[gap].len();
                self.lines[gap].0[free] = self.lines[line].0[place];
                self.remove_from_line(line, place);
                gap = line;
            }
        }
        self.len -= 1;
    }

    fn remove_from_line(&mut self, line: usize, place: usize) {
        let line = &mut self.lines[line];
        let last = line.len() - 1;
        line.0[place] = line.0[last];
        line.0[last] = EMPTY;
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: Box::new([]), len: 0, len_max: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The most entries there have ever been, if so many more are added now.
    pub(crate) fn len_max_with(&self, more: usize) -> usize {
        self.len_max.max(self.len + more)
    }

    /// Memory it takes with so many more entries, in bytes.
    pub(crate) fn bytes_with(&self, more: usize) -> usize {
        match self.len_max_with(more) {
            0 => 0,
            keys => BYTES_AT_LEAST + keys * BYTES_PER_KEY,
        }
    }

    /// The first entry of the line where a look-up of this hash begins: where its cache miss happens.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) -> u64 {
        match self.shards.get(shard_of(hash)) {
            Some(shard) if !shard.lines.is_empty() => shard.lines[shard.home(tag_of(hash))].0[0],
            _ => EMPTY,
        }
    }

    /// The position with this hash that the caller recognises.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(Position) -> bool) -> Option<Position> {
        self.shards.get(shard_of(hash))?.find(tag_of(hash), same)
    }

    /// Adds an entry for a key that has none.
    pub(crate) fn insert(&mut self, hash: u64, position: Position) {
        if self.shards.is_empty() {
            self.shards = vec![Shard { lines: Box::new([]), shift: 32, len: 0 }; SHARDS].into_boxed_slice();
        }
        self.shards[shard_of(hash)].insert(entry(tag_of(hash), position));
        self.len += 1;
        self.len_max = self.len_max.max(self.len);
    }

    /// Says that a record has moved.
    pub(crate) fn replace(&mut self, hash: u64, old: Position, new: Position) {
        let shard = &mut self.shards[shard_of(hash)];
        let (line, place) = shard.locate(entry(tag_of(hash), old));
        shard.lines[line].0[place] = entry(tag_of(hash), new);
    }

    pub(crate) fn remove(&mut self, hash: u64, position: Position) {
        self.shards[shard_of(hash)].remove(entry(tag_of(hash), position));
        self.len -= 1;
    }

    /// The positions of some entries, from a place on, and the place behind them; at the end it begins again. At least so many slots
    /// are looked at, which are not all taken.
    pub(crate) fn some(&self, from: usize, slots: usize) -> (Vec<Position>, usize) {
        let lines: usize = self.shards.iter().map(|shard| shard.lines.len()).sum();
        let (mut place, mut left) =
            (if from < lines { from } else { 0 }, slots.div_ceil(size_of::<Line>() / size_of::<u64>()).min(lines));
        let mut found = Vec::new();
        let mut before = 0;
        for shard in &self.shards {
            let here = shard.lines.len();
            while left > 0 && place < before + here && place >= before {
                let entries = shard.lines[place - before].0.into_iter();
                found.extend(entries.filter(|&entry| entry != EMPTY).map(entry_position));
                (place, left) = (place + 1, left - 1);
            }
            before += here;
        }
        (found, place)
    }

    /// All positions, in no order that means anything.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> {
        let entries = self.shards.iter().flat_map(|s| s.lines.iter()).flat_map(|line| line.0);
        entries.filter(|&e| e != EMPTY).map(entry_position)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Hashes of few different values, so that shards, homes and whole tags collide.
    fn hash(n: u32) -> u64 {
        u64::from(n % 3) << 62 | u64::from(n % 7) << 52 | u64::from(n % 11) << 24
    }

    #[test]
    fn finds_what_was_inserted_and_nothing_else_through_collisions_and_removals() {
        let (mut index, mut model) = (Index::new(), BTreeMap::new());
        let mut state = 1_u32;
        for step in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 16) % 300;
            match model.remove(&key) {
                Some(position) => index.remove(hash(key), position),
                None => {
                    model.insert(key, Position(key));
                    index.insert(hash(key), Position(key));
                }
            }
            if step % 500 == 0 {
                for key in 0..300 {
                    let found = index.find(hash(key), |p| p == Position(key));
                    assert_eq!(found, model.get(&key).copied(), "key {key} at step {step}");
                }
                assert_eq!(index.len(), model.len());
                assert_eq!(index.positions().count(), model.len());
            }
        }
    }

    #[test]
    fn memory_is_never_more_than_is_counted() {
        let mut index = Index::new();
        for n in 0..100_000_u32 {
            index.insert(u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15), Position(n));
        }
        let lines: usize = index.shards.iter().map(|s| s.lines.len()).sum();
        let bytes = lines * size_of::<Line>() + index.shards.len() * size_of::<Shard>();
        assert!(bytes <= index.bytes_with(0), "{bytes} bytes, {} counted", index.bytes_with(0));
    }
}
