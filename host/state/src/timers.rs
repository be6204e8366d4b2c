//! Timers: keys and the times at which their operator wants to be called again.
//!
//! Each time domain has an arena of timers, an index over (key, time), so that setting a timer twice is setting it once, and a
//! *bucket* for each different time. A bucket is sorted by key only when it is due, and once: what is set afterwards at
//! the same time becomes a sorted run beside the others.
//!
//! A timer in the arena: `header (8) | time (8) | key`. A cleared timer leaves the index at once, is *forgotten* by the arena, and
//! leaves its bucket when half of the bucket is cleared.

use std::collections::BTreeMap;

use arrow_buffer::ScalarBuffer;
use wasmill_model::{Timestamp, keys::EncodedKeys, reply::TimeDomain};

use crate::{
    arena::{Arena, Demand, Header, Position, Sealed},
    index::Index,
    timers::bucket::Bucket,
};

mod bucket;

/// Timers that one call of an operator should be given at most.
pub const FIRED_MAX: usize = 4_096;

/// Memory for each timer beside its place in arena and index, in bytes: 16 to 48 in the map of buckets, up to 16 in its
/// bucket, 16 for a moment while the bucket is sorted.
const BUCKET_BYTES_PER_TIMER: usize = 64;

const TIME_AT: usize = 8;
const KEY_AT: usize = 16;

/// Timers that are due, in the order of time and key. They are no longer set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTimers {
    pub domain: TimeDomain,
    /// The time of each timer.
    pub times: ScalarBuffer<Timestamp>,
    /// The encoded key of each timer.
    pub keys: EncodedKeys,
}

impl DueTimers {
    /// Number of timers.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// The timers of both domains.
#[derive(Debug)]
pub(crate) struct Timers {
    event_time: Domain,
    processing_time: Domain,
}

/// What setting timers will take.
#[derive(Debug, Default)]
pub(crate) struct TimerDemand {
    event_time: DomainDemand,
    processing_time: DomainDemand,
}

#[derive(Debug, Default)]
struct DomainDemand {
    timers: usize,
    blocks: Demand,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { event_time: Domain::new(), processing_time: Domain::new() }
    }

    /// Notes from now on what changes.
    pub(crate) fn track(&mut self) {
        self.event_time.arena.track();
        self.processing_time.arena.track();
    }

    /// Lets memory be used again that snapshots kept, if they are gone.
    pub(crate) fn take_back(&mut self) {
        self.event_time.arena.take_back();
        self.processing_time.arena.take_back();
    }

    /// Number of timers that are set.
    pub(crate) fn len(&self) -> usize {
        self.event_time.index.len() + self.processing_time.index.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.event_time.bytes_with(0) + self.processing_time.bytes_with(0)
    }

    pub(crate) fn domain(&self, domain: TimeDomain) -> &Domain {
        match domain {
            TimeDomain::EventTime => &self.event_time,
            TimeDomain::ProcessingTime => &self.processing_time,
        }
    }

    pub(crate) fn domain_mut(&mut self, domain: TimeDomain) -> &mut Domain {
        match domain {
            TimeDomain::EventTime => &mut self.event_time,
            TimeDomain::ProcessingTime => &mut self.processing_time,
        }
    }

    /// Bytes of all timers with so many more, whose keys are together so long, or less.
    pub(crate) fn bytes_at_most(&self, more: usize, key_bytes: usize) -> usize {
        // Size classes waste at most a quarter of a block.
        let blocks = (KEY_AT * more + key_bytes) * 5 / 4 + 8 * more;
        self.event_time.bytes_with(more) + self.processing_time.bytes_with(more) + blocks
    }

    /// Counts a timer that is about to be set, unless it is set already.
    pub(crate) fn add_demand(&self, demand: &mut TimerDemand, domain: TimeDomain, timer: Timer<'_>) {
        if !self.domain(domain).closed && self.domain(domain).find(timer).is_none() {
            let demand = match domain {
                TimeDomain::EventTime => &mut demand.event_time,
                TimeDomain::ProcessingTime => &mut demand.processing_time,
            };
            demand.timers += 1;
            demand.blocks.add(KEY_AT + timer.key.len());
        }
    }

    /// Number of timers, and bytes for all of them, when the demand has been met.
    pub(crate) fn with_demand(&self, demand: &TimerDemand) -> (usize, usize) {
        let parts = [(&self.event_time, &demand.event_time), (&self.processing_time, &demand.processing_time)];
        let timers = parts.iter().map(|(domain, demand)| domain.index.len() + demand.timers).sum();
        let bytes = |(domain, demand): &(&Domain, &DomainDemand)| {
            domain.arena.bytes_with(&demand.blocks, 0) + domain.lists_with(demand.timers)
        };
        (timers, parts.iter().map(bytes).sum())
    }
}

/// A timer of one domain, as callers name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer<'a> {
    pub(crate) time: Timestamp,
    pub(crate) key: &'a [u8],
    /// xxh3-64 of the key.
    pub(crate) key_hash: u64,
}

impl Timer<'_> {
    /// A hash whose high bits depend on all bits of key hash and time.
    #[inline]
    fn hash(self) -> u64 {
        (self.key_hash ^ (self.time as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }
}

/// The timers of one time domain.
#[derive(Debug)]
pub(crate) struct Domain {
    arena: Arena,
    index: Index,
    /// No bucket is empty or all cleared.
    buckets: BTreeMap<Timestamp, Bucket>,
    closed: bool,
    gone: Gone,
}

/// Timers of earlier epochs that are not set any more.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) keys: EncodedKeys,
}

/// What a snapshot keeps of the timers of a domain.
#[derive(Debug)]
pub(crate) struct SealedTimers {
    pub(crate) arena: Sealed,
    pub(crate) gone: Gone,
}

impl Domain {
    fn new() -> Self {
        Self {
            arena: Arena::new(),
            index: Index::new(),
            buckets: BTreeMap::new(),
            closed: false,
            gone: Gone::default(),
        }
    }

    fn bytes_with(&self, more: usize) -> usize {
        self.arena.bytes() + self.lists_with(more)
    }

    /// Bytes of index and buckets with so many more timers.
    fn lists_with(&self, more: usize) -> usize {
        self.index.bytes_with(more) + self.index.len_max_with(more) * BUCKET_BYTES_PER_TIMER
    }

    /// The time of the first timer.
    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        self.buckets.first_key_value().map(|(&time, _)| time)
    }

    /// Reads what `set` will need of the index, so that the cache misses of many timers overlap.
    #[inline]
    pub(crate) fn touch(&self, timer: Timer<'_>) -> u64 {
        self.index.touch(timer.hash())
    }

    #[inline]
    fn find(&self, timer: Timer<'_>) -> Option<Position> {
        self.index.find(timer.hash(), |position| {
            time_of(&self.arena, position) == timer.time && key_of(&self.arena, position) == timer.key
        })
    }

    /// Ends the epoch.
    pub(crate) fn seal(&mut self) -> SealedTimers {
        SealedTimers { arena: self.arena.seal(), gone: std::mem::take(&mut self.gone) }
    }

    /// A timer is not set any more, which those who have an earlier snapshot are to know.
    fn note_gone(&mut self, position: Position) {
        if self.arena.is_tracked() && self.arena.was_sealed(position) {
            self.gone.times.push(time_of(&self.arena, position));
            self.gone.keys.push(key_of(&self.arena, position));
        }
    }

    /// Ignores from now on what sets timers.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Sets a timer, if it is not set.
    pub(crate) fn set(&mut self, timer: Timer<'_>) {
        if !self.closed {
            self.restore(timer);
        }
    }

    /// As `set`, also after `close`.
    pub(crate) fn restore(&mut self, timer: Timer<'_>) {
        if self.find(timer).is_some() {
            return;
        }
        let position = self.arena.allocate(KEY_AT + timer.key.len(), timer.key.len());
        let bytes = self.arena.at_mut(position);
        bytes[TIME_AT..KEY_AT].copy_from_slice(&timer.time.to_le_bytes());
        bytes[KEY_AT..][..timer.key.len()].copy_from_slice(timer.key);
        self.index.insert(timer.hash(), position);
        match self.buckets.get_mut(&timer.time) {
            Some(bucket) => bucket.push(position),
            None => {
                self.buckets.insert(timer.time, Bucket::One(position));
            }
        }
    }

    /// Clears a timer, if it is set.
    pub(crate) fn clear(&mut self, timer: Timer<'_>) {
        let Some(position) = self.find(timer) else { return };
        self.index.remove(timer.hash(), position);
        self.note_gone(position);
        self.arena.forget(position);
        let bucket = self.buckets.get_mut(&timer.time).expect("a timer that is set has a bucket");
        if bucket.note_cleared(&mut self.arena) {
            self.buckets.remove(&timer.time);
        }
    }

    /// Takes out the first timers up to a time, at most `max`.
    pub(crate) fn take_due(
        &mut self,
        up_to: Timestamp,
        max: usize,
        hash: impl Fn(&[u8]) -> u64,
    ) -> (Vec<i64>, EncodedKeys) {
        let (mut times, mut keys) = (Vec::new(), EncodedKeys::default());
        while times.len() < max {
            let Some(mut first) = self.buckets.first_entry().filter(|first| *first.key() <= up_to) else { break };
            let time = *first.key();
            let taken = first.get_mut().take_first(&mut self.arena, max - times.len());
            if first.get().is_empty() {
                first.remove();
            }
            for position in taken {
                let key = key_of(&self.arena, position);
                keys.push(key);
                times.push(time);
                let hash = Timer { time, key, key_hash: hash(key) }.hash();
                self.index.remove(hash, position);
                self.note_gone(position);
                self.arena.free(position);
            }
        }
        (times, keys)
    }

    /// All timers in the order of time and key.
    pub(crate) fn scan(&self) -> (Vec<i64>, EncodedKeys) {
        let mut all: Vec<_> =
            self.index.positions().map(|p| (time_of(&self.arena, p), key_of(&self.arena, p))).collect();
        all.sort_unstable();
        let mut keys = EncodedKeys::default();
        all.iter().for_each(|(_, key)| keys.push(key));
        (all.iter().map(|(time, _)| *time).collect(), keys)
    }
}

/// When a timer is due, and its key.
#[inline]
pub(crate) fn read_timer(block: &[u8], header: Header) -> (Timestamp, &[u8]) {
    let time = block[TIME_AT..].first_chunk().expect("a timer has a time");
    (Timestamp::from_le_bytes(*time), &block[KEY_AT..][..header.key_bytes as usize])
}

#[inline]
fn time_of(arena: &Arena, position: Position) -> Timestamp {
    Timestamp::from_le_bytes(*arena.at(position)[TIME_AT..KEY_AT].as_array().expect("8 bytes"))
}

#[inline]
fn key_of(arena: &Arena, position: Position) -> &[u8] {
    &arena.at(position)[KEY_AT..][..arena.header(position).key_bytes as usize]
}

#[cfg(test)]
mod tests;
