//! The arena: blocks of bytes in segments of 1 MiB, named by position.
//!
//! A block is as long as its size class says, and begins with one word for its owner: its length, the length of the key in
//! it, and the *epoch* in which it was last written. Freed blocks are used again for blocks of the same class. When the last
//! block is freed, all segments but one go.
//!
//! **Sealing** ends an epoch. It gives whoever takes a snapshot the segments in which it has written, as they are, without copying:
//! until the snapshot is dropped they are not written any more, so that what is to be changed in them moves to another
//! block first. Blocks that are free in them are used again once it is gone. Which blocks an epoch has written is noted if
//! somebody wants to know.

use std::{collections::BTreeSet, sync::Arc};

/// Length of a segment.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;

/// The longest block: a whole segment.
pub(crate) const BLOCK_BYTES_MAX: usize = SEGMENT_BYTES;

/// Positions count units of this many bytes, so that 32 bits reach 32 GiB.
const UNIT: usize = 8;
const UNITS_PER_SEGMENT: u32 = (SEGMENT_BYTES / UNIT) as u32;
/// A position must be below `u32::MAX`, which stands for "nowhere".
const SEGMENTS_MAX: usize = (u32::MAX / UNITS_PER_SEGMENT) as usize;
/// Lengths up to this many units have a class of their own; above, there are four classes a doubling.
const EXACT_UNITS: u32 = 16;
const CLASSES: usize = class_of(UNITS_PER_SEGMENT) + 1;

/// Notes of written blocks below which looking for ones that are not needed any more is not worth it.
const NOTES_AT_LEAST: usize = 4_096;

/// The place of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) u32);

impl Position {
    /// No block is there.
    pub(crate) const NOWHERE: Position = Position(u32::MAX);

    #[inline]
    fn segment(self) -> usize {
        (self.0 / UNITS_PER_SEGMENT) as usize
    }

    #[inline]
    fn offset(self) -> usize {
        (self.0 % UNITS_PER_SEGMENT) as usize * UNIT
    }
}

/// The first word of a block: from the lowest bit on 18 bits for its length, 20 for that of its key, one that says whether it is
/// *fresh*, and 25 for the epoch. The word of a block that was freed is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the block in units.
    units: u32,
    pub(crate) key_bytes: u32,
    /// Whether what it is about came into being in the epoch: no snapshot has it.
    fresh: bool,
    /// In which it was last written. Epochs count from 1.
    epoch: u32,
}

const UNITS_BITS: u32 = 18;
const KEY_BITS: u32 = 20;
const FRESH_AT: u32 = UNITS_BITS + KEY_BITS;
const EPOCH_AT: u32 = FRESH_AT + 1;
const EPOCH_MAX: u32 = (1 << (u64::BITS - EPOCH_AT)) - 1;
/// The longest key that a block may have.
pub(crate) const KEY_BYTES_MAX: usize = (1 << KEY_BITS) - 1;

impl Header {
    #[inline]
    pub(crate) fn from_word(word: u64) -> Self {
        Self {
            units: word as u32 & ((1 << UNITS_BITS) - 1),
            key_bytes: (word >> UNITS_BITS) as u32 & ((1 << KEY_BITS) - 1),
            fresh: word >> FRESH_AT & 1 == 1,
            epoch: (word >> EPOCH_AT) as u32,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.epoch) << EPOCH_AT
            | u64::from(self.fresh) << FRESH_AT
            | u64::from(self.key_bytes) << UNITS_BITS
            | u64::from(self.units)
    }

    #[inline]
    pub(crate) fn block_bytes(self) -> usize {
        self.units as usize * UNIT
    }
}

/// The class of the shortest blocks that hold so many units.
const fn class_of(units: u32) -> usize {
    if units <= EXACT_UNITS {
        return units.saturating_sub(1) as usize;
    }
    // With 2^e < units <= 2^(e + 1), the classes between are 1.25, 1.5, 1.75 and 2 times 2^e.
    let e = (units - 1).ilog2();
    let quarter = (units - 1 - (1 << e)) >> (e - 2);
    (EXACT_UNITS + (e - EXACT_UNITS.ilog2()) * 4 + quarter) as usize
}

/// Length of the blocks of a class, in units.
const fn class_units(class: usize) -> u32 {
    let class = class as u32;
    if class < EXACT_UNITS {
        return class + 1;
    }
    let (doubling, quarter) = ((class - EXACT_UNITS) / 4, (class - EXACT_UNITS) % 4);
    (1 << (doubling + EXACT_UNITS.ilog2() - 2)) * (5 + quarter)
}

type Bytes = Box<[u8; SEGMENT_BYTES]>;

/// A piece of the arena's memory.
#[derive(Debug)]
enum Segment {
    Own(Bytes),
    /// A snapshot reads it.
    Sealed(Arc<Bytes>),
}

impl Segment {
    #[inline]
    fn bytes(&self) -> &[u8; SEGMENT_BYTES] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Sealed(bytes) => bytes,
        }
    }

    /// For a snapshot, which needs it to stay as it is.
    fn seal(self) -> Arc<Bytes> {
        match self {
            Self::Own(bytes) => Arc::new(bytes),
            Self::Sealed(bytes) => bytes,
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8; SEGMENT_BYTES] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Sealed(_) => panic!("a sealed segment is written"),
        }
    }
}

/// Free blocks by class.
#[derive(Debug)]
struct Free([Vec<Position>; CLASSES]);

impl Default for Free {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Vec::new()))
    }
}

/// What a snapshot keeps of an arena.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Those in which something was written.
    segments: Vec<Option<Arc<Bytes>>>,
    /// Blocks that were written in the epoch, some of them twice. Some have been freed since.
    notes: Vec<Position>,
    epoch: u32,
    /// Dropped last: the arena then takes its segments back.
    _hold: Arc<()>,
}

impl Sealed {
    /// The blocks that were written in the epoch and are in use, each once.
    pub(crate) fn written(&self) -> Vec<Position> {
        let in_use = self.notes.iter().copied().filter(|&position| self.header(position).epoch == self.epoch);
        let mut written: Vec<Position> = in_use.collect();
        written.sort_unstable();
        written.dedup();
        written
    }

    pub(crate) fn at(&self, position: Position) -> &[u8] {
        let segment = self.segments[position.segment()].as_ref().expect("something was written there");
        &segment[position.offset()..]
    }

    pub(crate) fn header(&self, position: Position) -> Header {
        let word = self.at(position).first_chunk().expect("a unit is 8 bytes");
        Header::from_word(u64::from_le_bytes(*word))
    }
}

#[derive(Debug)]
pub(crate) struct Arena {
    segments: Vec<Segment>,
    /// Whether a block of each was written in this epoch.
    is_written: Vec<bool>,
    epoch: u32,
    /// Blocks that were written in this epoch, some of them twice; none: nobody wants to know.
    notes: Option<Vec<Position>>,
    /// The segment that blocks are taken of, and the units that are taken.
    open: (usize, u32),
    /// Segments that were sealed before they were full, and the units taken of them.
    rests: Vec<(usize, u32)>,
    /// In segments that are not sealed.
    free: Free,
    /// In sealed ones.
    sealed_free: Free,
    sealed_free_bytes: usize,
    /// Free bytes that are there because snapshots made blocks move.
    spare_bytes: usize,
    in_use_bytes: usize,
    /// Sealed blocks that were forgotten.
    forgotten: BTreeSet<Position>,
    /// Every snapshot has a copy.
    hold: Arc<()>,
    is_sealed: bool,
    blocks: usize,
    bytes: usize,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            segments: Vec::new(),
            is_written: Vec::new(),
            epoch: 1,
            notes: None,
            open: (0, UNITS_PER_SEGMENT),
            rests: Vec::new(),
            free: Free::default(),
            sealed_free: Free::default(),
            sealed_free_bytes: 0,
            spare_bytes: 0,
            in_use_bytes: 0,
            forgotten: BTreeSet::new(),
            hold: Arc::default(),
            is_sealed: false,
            blocks: 0,
            bytes: 0,
        }
    }

    /// Notes from now on which blocks are written. What has been written so far does not count.
    pub(crate) fn track(&mut self) {
        self.notes = Some(Vec::new());
        self.next_epoch();
    }

    /// Bytes of all blocks, free ones included, as far as they do not owe to snapshots: those that one keeps from being used
    /// again are left out, and of those that some have left behind as many as are in use. Up to one segment more is held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes - self.sealed_free_bytes - self.spare_bytes.min(self.in_use_bytes)
    }

    /// The same once blocks have been allocated, and sealed ones of so many bytes been left, save for what is left over at the end of
    /// a segment.
    pub(crate) fn bytes_with(&self, demand: &Demand, left_bytes: usize) -> usize {
        let (new, again) = demand.bytes(self);
        let spare = self.spare_bytes.saturating_sub(again);
        let in_use = self.in_use_bytes + new + again - left_bytes;
        self.bytes + new - (self.sealed_free_bytes + left_bytes) - spare.min(in_use)
    }

    /// Bytes of all segments.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.segments.len() * SEGMENT_BYTES
    }

    /// The first word of a block. Where its cache miss happens.
    #[inline]
    pub(crate) fn word(&self, position: Position) -> u64 {
        let offset = position.offset();
        let bytes = &self.segments[position.segment()].bytes()[offset..offset + UNIT];
        u64::from_le_bytes(*bytes.as_array().expect("a unit is 8 bytes"))
    }

    /// All from the start of a block to the end of its segment.
    #[inline]
    pub(crate) fn at(&self, position: Position) -> &[u8] {
        &self.segments[position.segment()].bytes()[position.offset()..]
    }

    /// As `at`, to change the block. Its segment must not be sealed, and if it was there before, `note` must have been called.
    #[inline]
    pub(crate) fn at_mut(&mut self, position: Position) -> &mut [u8] {
        &mut self.segments[position.segment()].bytes_mut()[position.offset()..]
    }

    /// The header of a block in use.
    #[inline]
    pub(crate) fn header(&self, position: Position) -> Header {
        Header::from_word(self.word(position))
    }

    /// Whether any snapshot keeps blocks from being written.
    #[inline]
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Whether a snapshot keeps this block from being written.
    #[inline]
    pub(crate) fn is_block_sealed(&self, position: Position) -> bool {
        self.is_segment_sealed(position.segment())
    }

    #[inline]
    fn is_segment_sealed(&self, segment: usize) -> bool {
        self.is_sealed && matches!(self.segments[segment], Segment::Sealed(_))
    }

    /// Whether it is noted which blocks are written.
    #[inline]
    pub(crate) fn is_tracked(&self) -> bool {
        self.notes.is_some()
    }

    /// Says that a block, which is not sealed, is going to be changed in place.
    #[inline]
    pub(crate) fn note(&mut self, position: Position) {
        if self.notes.is_some() && self.header(position).epoch != self.epoch {
            let header = Header { epoch: self.epoch, fresh: false, ..self.header(position) };
            self.write_word(position, header.word());
            self.add_note(position);
        }
    }

    fn add_note(&mut self, position: Position) {
        self.is_written[position.segment()] = true;
        let (blocks, epoch, segments) = (self.blocks, self.epoch, &self.segments);
        let Some(notes) = &mut self.notes else { return };
        notes.push(position);
        if notes.len() >= NOTES_AT_LEAST.max(2 * blocks) && notes.len() == notes.capacity() {
            // Blocks that come and go leave notes behind.
            notes.retain(|&position| header_in(segments, position).epoch == epoch);
            notes.sort_unstable();
            notes.dedup();
        }
    }

    /// A block of at least so many bytes, its header written, its other bytes undefined. What it is about is fresh.
    ///
    /// # Panics
    /// If it is longer than `BLOCK_BYTES_MAX`, or 32 GiB are in use.
    pub(crate) fn allocate(&mut self, bytes: usize, key_bytes: usize) -> Position {
        self.allocate_as(bytes, key_bytes, true)
    }

    /// A block for what another one is about, which stays as it is.
    pub(crate) fn allocate_instead(&mut self, bytes: usize, old: Position) -> Position {
        let Header { key_bytes, fresh, epoch, .. } = self.header(old);
        self.allocate_as(bytes, key_bytes as usize, fresh && epoch == self.epoch)
    }

    fn allocate_as(&mut self, bytes: usize, key_bytes: usize, fresh: bool) -> Position {
        debug_assert!(key_bytes <= KEY_BYTES_MAX, "a key of {key_bytes} bytes");
        let class = Self::class(bytes);
        let units = class_units(class);
        let bytes = units as usize * UNIT;
        let position = match self.pop_free(class, bytes) {
            Some(position) => {
                self.spare_bytes = self.spare_bytes.saturating_sub(bytes);
                position
            }
            None => self.append(units),
        };
        self.blocks += 1;
        self.in_use_bytes += bytes;
        let header = Header { units, key_bytes: key_bytes as u32, fresh, epoch: self.epoch };
        self.write_word(position, header.word());
        self.add_note(position);
        position
    }

    /// A free block that is not sealed. Sealed ones that are in the way are put aside.
    fn pop_free(&mut self, class: usize, bytes: usize) -> Option<Position> {
        loop {
            let position = self.free.0[class].pop()?;
            if !self.is_block_sealed(position) {
                return Some(position);
            }
            self.sealed_free.0[class].push(position);
            self.sealed_free_bytes += bytes;
        }
    }

    /// Whether a snapshot of an earlier epoch may have what a block is about.
    #[inline]
    pub(crate) fn was_sealed(&self, position: Position) -> bool {
        let Header { fresh, epoch, .. } = self.header(position);
        !(fresh && epoch == self.epoch)
    }

    /// What a block is about is gone; the block itself is still to be freed.
    pub(crate) fn forget(&mut self, position: Position) {
        if self.is_block_sealed(position) {
            self.forgotten.insert(position);
        } else {
            let header = Header { epoch: 0, ..self.header(position) };
            self.write_word(position, header.word());
        }
    }

    /// Whether `forget` was called of a block.
    #[inline]
    pub(crate) fn is_forgotten(&self, position: Position) -> bool {
        self.header(position).epoch == 0 || self.forgotten.contains(&position)
    }

    /// Gives a block back.
    pub(crate) fn free(&mut self, position: Position) {
        let units = self.header(position).units;
        self.forgotten.remove(&position);
        self.blocks -= 1;
        self.in_use_bytes -= units as usize * UNIT;
        if self.blocks == 0 {
            self.clear();
        } else {
            self.add_free(position, units);
        }
    }

    /// Starts again; one segment stays, so that a state of one key that comes and goes costs no memory management.
    fn clear(&mut self) {
        self.segments.retain(|segment| matches!(segment, Segment::Own(_)));
        self.segments.truncate(1);
        self.is_written = vec![false; self.segments.len()];
        self.open = (0, if self.segments.is_empty() { UNITS_PER_SEGMENT } else { 0 });
        self.rests.clear();
        self.is_sealed = false;
        self.spare_bytes = 0;
        (self.free, self.sealed_free, self.sealed_free_bytes) = (Free::default(), Free::default(), 0);
        self.forgotten.clear();
        self.bytes = 0;
        if let Some(notes) = &mut self.notes {
            notes.clear();
        }
    }

    /// Ends the epoch: the segments it has written in, as they are, and which blocks it has written.
    pub(crate) fn seal(&mut self) -> Sealed {
        self.take_back();
        let notes = self.notes.as_mut().map_or_else(Vec::new, std::mem::take);
        let segments = std::mem::take(&mut self.segments).into_iter().zip(&mut self.is_written);
        let (segments, sealed): (_, Vec<_>) = segments
            .map(|(segment, is_written)| {
                if !std::mem::take(is_written) {
                    return (segment, None);
                }
                let bytes = segment.seal();
                (Segment::Sealed(bytes.clone()), Some(bytes))
            })
            .unzip();
        self.segments = segments;
        self.is_sealed |= sealed.iter().any(Option::is_some);
        if self.open.1 < UNITS_PER_SEGMENT && self.is_segment_sealed(self.open.0) {
            self.rests.push(self.open);
            self.open.1 = UNITS_PER_SEGMENT;
        }
        let epoch = self.epoch;
        self.next_epoch();
        Sealed { segments: sealed, notes, epoch, _hold: self.hold.clone() }
    }

    fn next_epoch(&mut self) {
        assert!(self.epoch < EPOCH_MAX, "33 million snapshots in one life of an arena");
        self.epoch += 1;
    }

    /// Takes its segments back if no snapshot is left. Costs nothing if there has been none.
    #[inline]
    pub(crate) fn take_back(&mut self) {
        if self.is_sealed && Arc::strong_count(&self.hold) == 1 {
            self.own_all();
        }
    }

    fn own_all(&mut self) {
        let own = |segment| match segment {
            Segment::Own(bytes) => Segment::Own(bytes),
            // Whoever drops the last snapshot at this very moment is a little later here.
            Segment::Sealed(bytes) => Arc::try_unwrap(bytes).map_or_else(Segment::Sealed, Segment::Own),
        };
        self.segments = std::mem::take(&mut self.segments).into_iter().map(own).collect();
        if self.segments.iter().any(|segment| matches!(segment, Segment::Sealed(_))) {
            return;
        }
        self.is_sealed = false;
        self.spare_bytes += std::mem::take(&mut self.sealed_free_bytes);
        for (free, sealed) in self.free.0.iter_mut().zip(&mut self.sealed_free.0) {
            free.append(sealed);
        }
    }

    fn class(bytes: usize) -> usize {
        assert!(bytes <= BLOCK_BYTES_MAX, "a block of {bytes} bytes does not fit a segment");
        class_of(bytes.div_ceil(UNIT).max(1) as u32)
    }

    fn write_word(&mut self, position: Position, word: u64) {
        let offset = position.offset();
        self.segments[position.segment()].bytes_mut()[offset..offset + UNIT].copy_from_slice(&word.to_le_bytes());
    }

    fn add_free(&mut self, position: Position, units: u32) {
        let class = class_of(units);
        if self.is_block_sealed(position) {
            self.sealed_free_bytes += units as usize * UNIT;
            self.sealed_free.0[class].push(position);
        } else {
            self.write_word(position, 0);
            self.free.0[class].push(position);
        }
    }

    fn append(&mut self, units: u32) -> Position {
        while units > UNITS_PER_SEGMENT - self.open.1 {
            self.free_rest();
            match self.rests.iter().rposition(|(segment, _)| !self.is_segment_sealed(*segment)) {
                Some(place) => self.open = self.rests.swap_remove(place),
                None => self.begin_segment(),
            }
        }
        self.take_end(units)
    }

    /// Takes the first units of the open segment that were not handed out.
    fn take_end(&mut self, units: u32) -> Position {
        let (segment, used) = self.open;
        self.open.1 += units;
        self.bytes += units as usize * UNIT;
        Position(segment as u32 * UNITS_PER_SEGMENT + used)
    }

    fn begin_segment(&mut self) {
        assert!(self.segments.len() < SEGMENTS_MAX, "32 GiB of state in one arena");
        let segment = vec![0; SEGMENT_BYTES].into_boxed_slice().try_into();
        self.open = (self.segments.len(), 0);
        self.segments.push(Segment::Own(segment.expect("it has that length")));
        self.is_written.push(false);
    }

    /// Makes free blocks of what is left of the open segment.
    fn free_rest(&mut self) {
        while self.open.1 < UNITS_PER_SEGMENT {
            let rest = UNITS_PER_SEGMENT - self.open.1;
            let class = class_of(rest);
            let units = if class_units(class) > rest { class_units(class - 1) } else { rest };
            let position = self.take_end(units);
            self.add_free(position, units);
        }
    }
}

fn header_in(segments: &[Segment], position: Position) -> Header {
    let bytes = &segments[position.segment()].bytes()[position.offset()..];
    Header::from_word(u64::from_le_bytes(*bytes.first_chunk().expect("a unit is 8 bytes")))
}

/// Blocks that are about to be allocated, to know beforehand how much the arena will grow.
#[derive(Debug)]
pub(crate) struct Demand {
    count: [u32; CLASSES],
}

impl Default for Demand {
    fn default() -> Self {
        Self { count: [0; CLASSES] }
    }
}

impl Demand {
    /// One more block of so many bytes.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.count[Arena::class(bytes)] += 1;
    }

    /// Bytes of new blocks, and of those that are used again.
    fn bytes(&self, arena: &Arena) -> (usize, usize) {
        let classes = self.count.iter().zip(&arena.free.0).enumerate();
        classes.fold((0, 0), |(new, again), (class, (&need, free))| {
            let (size, free) = (class_units(class) as usize * UNIT, free.len().min(need as usize));
            (new + (need as usize - free) * size, again + free * size)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_belongs_to_it_and_wastes_at_most_a_quarter() {
        for units in 1..=UNITS_PER_SEGMENT {
            let size = class_units(class_of(units));
            assert!(size >= units && size * 4 <= units * 5, "{units} units in blocks of {size}");
            assert_eq!(class_of(size), class_of(units), "the length of a block of {units} units names another class");
        }
    }

    #[test]
    fn freed_blocks_are_used_again() {
        let mut arena = Arena::new();
        let keep = arena.allocate(40, 1);
        let first = arena.allocate(100, 2);
        let bytes = arena.bytes();
        arena.free(first);
        assert_eq!(arena.allocate(100, 3), first);
        assert_eq!(arena.bytes(), bytes);
        assert_eq!(arena.header(first).key_bytes, 3);
        assert_eq!(arena.header(keep).key_bytes, 1);
    }

    #[test]
    fn blocks_never_overlap_and_the_ends_of_segments_are_used() {
        let mut arena = Arena::new();
        let sizes = [SEGMENT_BYTES, 300_000, 900_000, 700_000, 8, 130, 100_000, 500_000, 24];
        let blocks: Vec<Position> = sizes.iter().map(|&s| arena.allocate(s, 0)).collect();
        let mut spans: Vec<(usize, usize)> =
            blocks.iter().map(|&p| (p.segment() * SEGMENT_BYTES + p.offset(), arena.header(p).block_bytes())).collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} overlap");
        }
        assert_eq!(arena.bytes() % SEGMENT_BYTES, arena.open.1 as usize * UNIT % SEGMENT_BYTES);
    }

    #[test]
    fn the_last_block_takes_all_segments_but_one_with_it() {
        let mut arena = Arena::new();
        let blocks: Vec<Position> = (0..10).map(|_| arena.allocate(300_000, 0)).collect();
        for block in blocks {
            arena.free(block);
        }
        assert_eq!((arena.bytes(), arena.segments.len()), (0, 1));
        assert_eq!(arena.allocate(8, 0), Position(0));
    }

    #[test]
    fn growth_is_known_beforehand() {
        let mut arena = Arena::new();
        let (a, _keep) = (arena.allocate(100, 0), arena.allocate(8, 0));
        arena.free(a);
        let mut demand = Demand::default();
        for bytes in [100, 100, 20] {
            demand.add(bytes);
        }
        let (before, after) = (arena.bytes(), arena.bytes_with(&demand, 0));
        for bytes in [100, 100, 20] {
            arena.allocate(bytes, 0);
        }
        assert_eq!((arena.bytes() - before, arena.bytes()), (104 + 24, after));
    }
}
