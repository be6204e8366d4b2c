//! `KeyedState`: the cells and timers of one operator instance.
//!
//! A call goes `group`, `lookup`, then the operator, then `apply`. Each of them works on the groups of the last `group`.

use std::{
    hint::black_box,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow_array::ArrayRef;
use wasmill_model::{
    Timestamp,
    descriptor::Cell,
    keys::{EncodedKeys, INT_KEY_BYTES},
    reply::{Groups, TimeDomain},
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    arena::{Arena, Header, Position},
    clocks::Clocks,
    entries::Entries,
    error::Error,
    grouping::Call,
    index::Index,
    layout::Layout,
    sealed::SealedState,
    timers::{DueTimers, Timer, Timers},
};

mod apply;
mod read;
mod restore;

pub use restore::{Restore, Stored, StoredCell, StoredEntries};

/// Records that each call looks at, at least, for values whose time is over.
const SWEPT_AT_LEAST: usize = 16;

/// How much state an operator instance may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Bytes of memory for cells, timers and what finds them. Memory is taken in pieces, so up to 3 MiB more may be held.
    pub bytes_max: usize,
    /// Timers of both domains together.
    pub timers_max: usize,
}

impl Default for StateLimits {
    /// 1 GiB and 4 million timers.
    fn default() -> Self {
        Self { bytes_max: 1 << 30, timers_max: 4 << 20 }
    }
}

/// All keys and their values, in the order of the encoded keys.
#[derive(Debug, Clone)]
pub struct Scan {
    pub keys: EncodedKeys,
    /// One column a cell, one value a key.
    pub cells: Vec<ArrayRef>,
}

/// The live keyed state of one operator instance.
#[derive(Debug)]
pub struct KeyedState {
    layout: Layout,
    limits: StateLimits,
    wants_event_times: bool,
    arena: Arena,
    index: Index,
    timers: Timers,
    call: Call,
    plan: apply::Plan,
    /// Keys of earlier epochs that have no value any more.
    gone: EncodedKeys,
    /// `None`: no cell has any. Whoever answers the operator's questions during a call has it, too.
    entries: Option<Arc<Mutex<Entries>>>,
    /// The clocks of the call.
    now: Clocks,
    /// Where the next look for values whose time is over begins.
    swept: usize,
}

impl KeyedState {
    /// Empty state for these cells.
    pub fn new(cells: &[Cell], limits: StateLimits) -> Result<Self, Error> {
        Ok(Self {
            layout: Layout::new(cells)?,
            limits,
            wants_event_times: cells
                .iter()
                .any(|cell| cell.ttl_ms.is_some() && cell.ttl_domain == TimeDomain::EventTime),
            arena: Arena::new(),
            index: Index::new(),
            timers: Timers::new(),
            call: Call::default(),
            plan: apply::Plan::default(),
            gone: EncodedKeys::default(),
            entries: Entries::new(cells).map(|entries| Arc::new(Mutex::new(entries))),
            now: Clocks::default(),
            swept: 0,
        })
    }

    /// Sets the clocks by which values are gone after their time.
    pub fn set_now(&mut self, now: Clocks) {
        self.now = now;
        if let Some(mut entries) = self.lock_entries() {
            entries.set_now(now);
        }
    }

    /// Whether it is this instance, of all of the operator, that puts broadcast cells into snapshots. It is unless it is told.
    pub fn set_keeps_broadcast(&mut self, keeps: bool) {
        if let Some(mut entries) = self.lock_entries() {
            entries.set_keeps_broadcast(keeps);
        }
    }

    /// What list, map and broadcast cells hold, for who answers the operator's questions during a call. `None`: there are none.
    pub fn entries(&self) -> Option<Arc<Mutex<Entries>>> {
        self.entries.clone()
    }

    fn lock_entries(&self) -> Option<MutexGuard<'_, Entries>> {
        // A panic in between would have ended the attempt.
        self.entries.as_ref().map(|entries| entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes from now on what changes, for snapshots of the changes. What is there counts as known.
    pub fn track(&mut self) {
        self.arena.track();
        self.timers.track();
        self.gone = EncodedKeys::default();
        if let Some(mut entries) = self.lock_entries() {
            entries.track();
        }
    }

    /// Takes a snapshot of what has changed since the one before, or since `track`. Copies nothing, and takes no longer if more has
    /// changed. While the snapshot is kept, what is changed is copied first, so that up to as much memory again is used.
    pub fn seal(&mut self) -> SealedState {
        SealedState {
            layout: self.layout.clone(),
            arena: self.arena.seal(),
            gone: std::mem::take(&mut self.gone),
            event_time: self.timers.domain_mut(TimeDomain::EventTime).seal(),
            processing_time: self.timers.domain_mut(TimeDomain::ProcessingTime).seal(),
            entries: self.lock_entries().map(|mut entries| entries.seal()),
        }
    }

    /// Begins a call: numbers the different keys of its rows in the order of their first row. `hashes` are the xxh3-64 of
    /// the keys.
    pub fn group(&mut self, keys: &EncodedKeys, hashes: &[u64]) -> Groups {
        self.arena.take_back();
        self.timers.take_back();
        self.sweep(keys.len());
        let groups = self.call.group(keys, hashes);
        if let Some(mut entries) = self.lock_entries() {
            entries.begin(&self.call.keys, keys.len());
        }
        groups
    }

    /// Whether it must be told of the event times of rows: some values live in event time.
    pub fn wants_event_times(&self) -> bool {
        self.wants_event_times
    }

    /// Says the event times of the rows of the call, by which values that are written now will be gone.
    pub fn set_event_times(&mut self, groups: &Groups, event_times: &[Timestamp]) {
        let latest = &mut self.call.latest;
        latest.resize(groups.count as usize, Timestamp::MIN);
        for (&group, &time) in groups.of_row.iter().zip(event_times) {
            latest[group as usize] = latest[group as usize].max(time);
        }
        if let Some(mut entries) = self.lock_entries() {
            entries.set_latest(&self.call.latest);
        }
    }

    /// Begins a call whose rows have no keys, but perhaps event times: only broadcast cells can be read and changed.
    pub fn begin_without_keys(&mut self, event_times: Option<&[Timestamp]>) {
        self.call.group(&EncodedKeys::default(), &[]);
        if let Some(mut entries) = self.lock_entries() {
            entries.begin(&EncodedKeys::default(), 0);
            let latest = event_times.and_then(|times| times.iter().max().copied());
            entries.set_latest(latest.as_slice());
        }
    }

    /// The keys of the groups of the call.
    pub fn group_keys(&self) -> &EncodedKeys {
        &self.call.keys
    }

    /// The values of the groups of the call: a column for each cell; null where a key has none.
    pub fn lookup(&mut self) -> Vec<ArrayRef> {
        self.locate();
        self.read(&self.call.positions)
    }

    /// Takes out the first timers of a domain up to a time, at most `max`. They are not set any more, so that the call
    /// they cause can set them again; `restore` undoes it.
    pub fn take_due(&mut self, domain: TimeDomain, up_to: Timestamp, max: usize) -> DueTimers {
        let (times, keys) = self.timers.domain_mut(domain).take_due(up_to, max, xxh3_64);
        DueTimers { domain, times: times.into(), keys }
    }

    /// Sets timers again that were taken and have not fired. Limits are not checked: there was room for them.
    pub fn restore(&mut self, due: &DueTimers) {
        let domain = self.timers.domain_mut(due.domain);
        for (&time, key) in due.times.iter().zip(due.keys.iter()) {
            domain.restore(Timer { time, key, key_hash: xxh3_64(key) });
        }
    }

    /// Ignores from now on what sets timers of a domain: at the end of input they would never fire.
    pub fn close_timers(&mut self, domain: TimeDomain) {
        self.timers.domain_mut(domain).close();
    }

    /// The time of the first timer of a domain.
    pub fn next_time(&self, domain: TimeDomain) -> Option<Timestamp> {
        self.timers.domain(domain).next_time()
    }

    /// Bytes of memory, as they are counted against the limit.
    pub fn bytes(&self) -> usize {
        self.arena.bytes() + self.index.bytes_with(0) + self.timers.bytes() + self.entry_bytes()
    }

    fn entry_bytes(&self) -> usize {
        self.lock_entries().map_or(0, |entries| entries.bytes())
    }

    /// Number of keys that have a value. Of values whose time is over some may still be counted.
    pub fn keys(&self) -> usize {
        self.index.len()
    }

    /// Number of timers that are set.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// A copy of all keys and values.
    pub fn scan(&self) -> Scan {
        let mut positions: Vec<Position> = self.index.positions().collect();
        positions.sort_unstable_by_key(|&position| self.key(position));
        let mut keys = EncodedKeys::default();
        positions.iter().for_each(|&position| keys.push(self.key(position)));
        Scan { keys, cells: self.read(&positions) }
    }

    /// A copy of all timers of a domain, in the order of time and key.
    pub fn scan_timers(&self, domain: TimeDomain) -> DueTimers {
        let (times, keys) = self.timers.domain(domain).scan();
        DueTimers { domain, times: times.into(), keys }
    }

    /// Looks at some records whether all their values are gone, and removes those. For each row of a call two more records are
    /// looked at, so that there are never many more of them than of living ones.
    fn sweep(&mut self, rows: usize) {
        if !self.layout.has_lives() || self.index.len() == 0 {
            return;
        }
        let Self { layout, arena, index, gone, now, swept, .. } = self;
        let (found, next) = index.some(*swept, SWEPT_AT_LEAST + 2 * rows);
        *swept = next;
        for position in found {
            let record = arena.at(position);
            if !layout.is_empty(record, *now) {
                continue;
            }
            let key = layout.key(record, arena.header(position));
            let hash = xxh3_64(key);
            if arena.is_tracked() && arena.was_sealed(position) {
                gone.push(key);
            }
            index.remove(hash, position);
            arena.free(position);
        }
    }

    fn key(&self, position: Position) -> &[u8] {
        self.layout.key(self.arena.at(position), self.arena.header(position))
    }

    /// Looks up the records of all groups, unless that has been done. Each step does one thing for all groups, so that
    /// the cache misses of different groups overlap.
    fn locate(&mut self) {
        let Call { keys, hashes, positions, words, .. } = &mut self.call;
        if positions.len() == hashes.len() {
            return;
        }
        let (arena, index, layout) = (&self.arena, &self.index, &self.layout);
        black_box(hashes.iter().fold(0, |all, &hash| all ^ index.touch(hash)));
        positions.extend(hashes.iter().map(|&hash| index.find(hash, |_| true).unwrap_or(Position::NOWHERE)));
        words.clear();
        words.extend(positions.iter().map(|&p| if p == Position::NOWHERE { 0 } else { arena.word(p) }));

        // A candidate looks like the hash; its key says whether it is the one.
        let confirm = |position: &mut Position, word: u64, hash: u64, key: &[u8]| {
            let header = Header::from_word(word);
            let same = |p: Position, header| layout.key(arena.at(p), header) == key;
            if *position != Position::NOWHERE && !same(*position, header) {
                let found = index.find(hash, |p| same(p, arena.header(p)));
                *position = found.unwrap_or(Position::NOWHERE);
            }
        };
        let candidates = positions.iter_mut().zip(words.iter()).zip(hashes.iter());
        match keys.fixed::<INT_KEY_BYTES>() {
            Some(keys) => candidates.zip(keys).for_each(|(((position, &word), &hash), key)| {
                let header = Header::from_word(word);
                let at = layout.key_at;
                let same = |record: &[u8]| record[at..].first_chunk::<INT_KEY_BYTES>() == Some(key);
                let as_long = header.key_bytes as usize == INT_KEY_BYTES;
                if *position != Position::NOWHERE && !(as_long && same(arena.at(*position))) {
                    confirm(position, word, hash, key);
                }
            }),
            None => candidates.zip(keys.iter()).for_each(|(((p, &word), &hash), key)| confirm(p, word, hash, key)),
        }
    }
}

#[cfg(test)]
mod tests;
