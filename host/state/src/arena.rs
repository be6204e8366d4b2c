//! The arena: blocks of bytes in segments of 1 MiB, named by position.
//!
//! A block is as long as its size class says, and begins with one word for its owner: while the block is in use, its length
//! and the length of the key in it; while it is free, the next free block of its class. Freed blocks are used again for
//! blocks of the same class. When the last block is freed, all segments but one go.

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

/// The first word of a block in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the block in units.
    units: u32,
    pub(crate) key_bytes: u32,
}

impl Header {
    #[inline]
    pub(crate) fn from_word(word: u64) -> Self {
        Self { units: (word >> 32) as u32, key_bytes: word as u32 }
    }

    fn word(self) -> u64 {
        (u64::from(self.units) << 32) | u64::from(self.key_bytes)
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

const NO_BLOCK: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Arena {
    segments: Vec<Box<[u8; SEGMENT_BYTES]>>,
    /// The epoch in which each segment was begun: blocks of an older one than the current must not be changed in place.
    /// There is one epoch as long as nothing takes snapshots.
    epochs: Vec<u64>,
    epoch: u64,
    /// Units handed out of the last segment.
    used_units: u32,
    /// First free block and number of free blocks of each class.
    free: [(u32, u32); CLASSES],
    blocks: usize,
    bytes: usize,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            segments: Vec::new(),
            epochs: Vec::new(),
            epoch: 0,
            used_units: UNITS_PER_SEGMENT,
            free: [(NO_BLOCK, 0); CLASSES],
            blocks: 0,
            bytes: 0,
        }
    }

    /// Bytes of all blocks, free ones included. Up to one segment more is held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first word of a block. Where its cache miss happens.
    #[inline]
    pub(crate) fn word(&self, position: Position) -> u64 {
        let offset = position.offset();
        let bytes = &self.segments[position.segment()][offset..offset + UNIT];
        u64::from_le_bytes(*bytes.as_array().expect("a unit is 8 bytes"))
    }

    /// All from the start of a block to the end of its segment.
    #[inline]
    pub(crate) fn at(&self, position: Position) -> &[u8] {
        &self.segments[position.segment()][position.offset()..]
    }

    /// As `at`, to change the block, which must be of the current epoch.
    #[inline]
    pub(crate) fn at_mut(&mut self, position: Position) -> &mut [u8] {
        debug_assert_eq!(self.epochs[position.segment()], self.epoch, "a sealed segment is written");
        &mut self.segments[position.segment()][position.offset()..]
    }

    /// The header of a block in use.
    #[inline]
    pub(crate) fn header(&self, position: Position) -> Header {
        Header::from_word(self.word(position))
    }

    /// A block of at least so many bytes, its header written, its other bytes undefined.
    ///
    /// # Panics
    /// If it is longer than `BLOCK_BYTES_MAX`, or 32 GiB are in use.
    pub(crate) fn allocate(&mut self, bytes: usize, key_bytes: usize) -> Position {
        let class = Self::class(bytes);
        let units = class_units(class);
        let (head, count) = self.free[class];
        let position = if head == NO_BLOCK {
            self.append(units)
        } else {
            self.free[class] = (self.word(Position(head)) as u32, count - 1);
            Position(head)
        };
        self.blocks += 1;
        self.write_word(position, Header { units, key_bytes: key_bytes as u32 }.word());
        position
    }

    /// Gives a block back.
    pub(crate) fn free(&mut self, position: Position) {
        let units = self.header(position).units;
        self.blocks -= 1;
        if self.blocks == 0 {
            self.clear();
        } else {
            self.add_free(position, units);
        }
    }

    /// Starts again; one segment stays, so that a state of one key that comes and goes costs no memory management.
    fn clear(&mut self) {
        self.segments.truncate(1);
        self.epochs.truncate(1);
        self.used_units = 0;
        self.free = [(NO_BLOCK, 0); CLASSES];
        self.bytes = 0;
    }

    fn class(bytes: usize) -> usize {
        assert!(bytes <= BLOCK_BYTES_MAX, "a block of {bytes} bytes does not fit a segment");
        class_of(bytes.div_ceil(UNIT).max(1) as u32)
    }

    fn write_word(&mut self, position: Position, word: u64) {
        let offset = position.offset();
        self.segments[position.segment()][offset..offset + UNIT].copy_from_slice(&word.to_le_bytes());
    }

    fn add_free(&mut self, position: Position, units: u32) {
        let class = class_of(units);
        let (head, count) = self.free[class];
        self.write_word(position, u64::from(head));
        self.free[class] = (position.0, count + 1);
    }

    fn append(&mut self, units: u32) -> Position {
        if units > UNITS_PER_SEGMENT - self.used_units {
            self.free_rest();
            self.begin_segment();
        }
        let position = self.end();
        self.used_units += units;
        self.bytes += units as usize * UNIT;
        position
    }

    /// The first unit of the last segment that was not handed out.
    fn end(&self) -> Position {
        Position((self.segments.len() as u32 - 1) * UNITS_PER_SEGMENT + self.used_units)
    }

    fn begin_segment(&mut self) {
        assert!(self.segments.len() < SEGMENTS_MAX, "32 GiB of state in one arena");
        let segment = vec![0; SEGMENT_BYTES].into_boxed_slice().try_into();
        self.segments.push(segment.expect("it has that length"));
        self.epochs.push(self.epoch);
        self.used_units = 0;
    }

    /// Makes free blocks of what is left of the last segment.
    fn free_rest(&mut self) {
        while self.used_units < UNITS_PER_SEGMENT {
            let rest = UNITS_PER_SEGMENT - self.used_units;
            let class = class_of(rest);
            let units = if class_units(class) > rest { class_units(class - 1) } else { rest };
            let position = self.end();
            self.add_free(position, units);
            self.used_units += units;
            self.bytes += units as usize * UNIT;
        }
    }
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

    /// Bytes that `Arena::bytes` will grow by, save for what is left over at the end of a segment.
    pub(crate) fn growth(&self, arena: &Arena) -> usize {
        let missing = self.count.iter().zip(&arena.free).map(|(need, (_, free))| need.saturating_sub(*free));
        missing.enumerate().map(|(class, n)| n as usize * class_units(class) as usize * UNIT).sum()
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
        assert_eq!(arena.bytes() % SEGMENT_BYTES, arena.used_units as usize * UNIT % SEGMENT_BYTES);
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
        let (before, growth) = (arena.bytes(), demand.growth(&arena));
        for bytes in [100, 100, 20] {
            arena.allocate(bytes, 0);
        }
        assert_eq!((arena.bytes() - before, growth), (104 + 24, 104 + 24));
    }
}
