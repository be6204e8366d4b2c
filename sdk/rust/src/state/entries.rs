//! The entries of one key in one cell, as an operator sees them during a call: what the host keeps, as far as it has been read, and
//! over it what the call has written.
//!
//! What has been read is remembered as single entries, and as whole ends of the order: all entries before `head` and all from `tail`
//! on are known, whether there are any or not.

use alloc::{borrow::ToOwned, collections::BTreeMap, vec::Vec};
use core::{borrow::Borrow, ops::Bound};

use super::{CellType, SubKey, column_of, read_column, reads};
use crate::memory::broken_contract;

mod packed;

pub(super) use packed::{changes, fetch};

/// Entries of a group that one request reads, at most: answers are bounded, cells are not.
const SCANNED_MAX: u32 = 1_024;

#[derive(Debug, Clone)]
pub(super) struct Entries<K, V> {
    cell: u32,
    group: u32,
    slots: BTreeMap<K, Slot<V>>,
    head: Option<K>,
    tail: Option<K>,
    /// All entries are known.
    all: bool,
    /// All that the host keeps will go.
    cleared: bool,
    wanted: Wanted<K>,
}

/// What is known of an entry.
#[derive(Debug, Clone)]
enum Slot<V> {
    /// Nothing; it is to be read with the next `fetch`.
    Wanted,
    /// What the host keeps.
    Kept(Option<V>),
    /// What the call has made of it; `None`: removed.
    Written(Option<V>),
}

/// What is to be read with the next `fetch`, beside single entries.
#[derive(Debug, Clone)]
struct Wanted<K> {
    all: bool,
    from: Option<K>,
    last: u32,
}

impl<V> Slot<V> {
    fn value(&self) -> Option<&V> {
        match self {
            Self::Wanted => None,
            Self::Kept(value) | Self::Written(value) => value.as_ref(),
        }
    }
}

impl<K: SubKey, V: CellType> Entries<K, V> {
    /// Those of a group of the call, none of which is known yet.
    pub(super) fn new(cell: u32, group: u32) -> Self {
        let wanted = Wanted { all: false, from: None, last: 0 };
        Self { cell, group, slots: BTreeMap::new(), head: None, tail: None, all: false, cleared: false, wanted }
    }

    /// These, and no others.
    pub(super) fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let slots = entries.into_iter().map(|(key, value)| (key, Slot::Kept(Some(value)))).collect();
        Self { slots, all: true, ..Self::new(0, 0) }
    }

    /// The value of a sub-key.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if !self.is_known(key) {
            let value = reads::get(self.cell, &[self.group], &column_of(key.to_owned()));
            self.slots.insert(key.to_owned(), Slot::Kept(read_column::<Option<V>>(value, 1).pop().flatten()));
        }
        self.slots.get(key)?.value()
    }

    fn is_known<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.all
            || matches!(self.slots.get(key), Some(Slot::Kept(_) | Slot::Written(_)))
            || self.tail.as_ref().is_some_and(|tail| tail.borrow() <= key)
            || self.head.as_ref().is_some_and(|head| key < head.borrow())
    }

    /// The value of a sub-key, to be changed in place; this one if there is none.
    pub(super) fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        self.get(&key);
        let slot = self.slots.entry(key).or_insert(Slot::Wanted);
        if let Slot::Kept(Some(kept)) = slot {
            *slot = Slot::Written(Some(kept.clone()));
        } else if slot.value().is_none() {
            *slot = Slot::Written(Some(value));
        }
        match slot {
            Slot::Written(Some(value)) => value,
            _ => broken_contract(),
        }
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        self.slots.insert(key, Slot::Written(Some(value)));
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if self.cleared {
            self.slots.remove(key);
            return;
        }
        let is_known = self.is_known(key);
        match self.slots.get_mut(key) {
            Some(Slot::Kept(None)) => {}
            Some(slot) => *slot = Slot::Written(None),
            None if is_known => {}
            None => _ = self.slots.insert(key.to_owned(), Slot::Written(None)),
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.all = true;
        self.cleared = true;
    }

    /// Entries between two sub-keys, the second of which does not belong to them, in order.
    pub(super) fn range(&mut self, start: Option<&K>, end: Option<&K>) -> Vec<(K, V)> {
        if start.zip(end).is_some_and(|(start, end)| start >= end) {
            return Vec::new();
        }
        self.know_range(start, end);
        let bounds = (start.map_or(Bound::Unbounded, Bound::Included), end.map_or(Bound::Unbounded, Bound::Excluded));
        let slots = self.slots.range::<K, _>(bounds);
        slots.filter_map(|(key, slot)| Some((key.clone(), slot.value()?.clone()))).collect()
    }

    fn know_range(&mut self, start: Option<&K>, end: Option<&K>) {
        let behind = self.tail.as_ref().zip(start).is_some_and(|(tail, start)| tail <= start);
        let before = self.head.as_ref().zip(end).is_some_and(|(head, end)| end <= head);
        if self.all || behind || before {
            return;
        }
        let mut from = start.cloned();
        while let (SCANNED_MAX, Some(last)) = self.read(from.as_ref(), end, false, SCANNED_MAX) {
            from = last.successor();
            if from.is_none() {
                break;
            }
        }
        match (start, end) {
            (None, None) => self.all = true,
            (Some(start), None) => self.set_tail(start.clone()),
            (None, Some(end)) => self.set_head(end.clone()),
            (Some(_), Some(_)) => {}
        }
    }

    /// The first entries.
    pub(super) fn first(&mut self, count: usize) -> Vec<(K, V)> {
        loop {
            let known = self.slots.iter().take_while(|(key, _)| self.all || self.head.as_ref() > Some(*key));
            let found: Vec<_> = values(known).take(count).collect();
            if found.len() == count || self.all {
                return found.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            }
            let limit = limit(count - found.len());
            let (head, tail) = (self.head.clone(), self.tail.clone());
            match self.read(head.as_ref(), tail.as_ref(), false, limit) {
                (found, Some(last)) if found == limit => match last.successor() {
                    Some(head) => self.set_head(head),
                    None => self.all = true,
                },
                _ => self.all = true,
            }
        }
    }

    /// The last entries, the last one first.
    pub(super) fn last(&mut self, count: usize) -> Vec<(K, V)> {
        loop {
            let is_known = |key: &K| self.all || self.tail.as_ref().is_some_and(|tail| tail <= key);
            let known = self.slots.iter().rev().take_while(|(key, _)| is_known(key));
            let found: Vec<_> = values(known).take(count).collect();
            if found.len() == count || self.all {
                return found.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            }
            let limit = limit(count - found.len());
            let (head, tail) = (self.head.clone(), self.tail.clone());
            match self.read(head.as_ref(), tail.as_ref(), true, limit) {
                (found, Some(last)) if found == limit => self.set_tail(last),
                _ => self.all = true,
            }
        }
    }

    fn set_head(&mut self, head: K) {
        self.all |= self.tail.as_ref().is_some_and(|tail| *tail <= head);
        self.head = self.head.take().max(Some(head));
    }

    fn set_tail(&mut self, tail: K) {
        self.all |= self.head.as_ref().is_some_and(|head| tail <= *head);
        self.tail = Some(self.tail.take().map_or(tail.clone(), |known| known.min(tail)));
    }

    /// What the host keeps of an entry. What the call has written goes before that.
    fn learn(&mut self, key: K, value: Option<V>) {
        let slot = self.slots.entry(key).or_insert(Slot::Wanted);
        if !matches!(slot, Slot::Written(_)) {
            *slot = Slot::Kept(value);
        }
    }

    /// Reads some entries of this group. Returns how many there were, and the last of them.
    fn read(&mut self, start: Option<&K>, end: Option<&K>, descending: bool, limit: u32) -> (u32, Option<K>) {
        let (start, end) = (start.cloned().map(column_of), end.cloned().map(column_of));
        let scan = reads::Scan {
            cell: self.cell,
            groups: &[self.group],
            start: start.as_ref(),
            end: end.as_ref(),
            descending,
            limit,
        };
        let mut got = (0, None);
        for_each_group::<K, V>(&scan, |_, entries| {
            got = (entries.len() as u32, entries.last().map(|(key, _)| key.clone()));
            entries.into_iter().for_each(|(key, value)| self.learn(key, Some(value)));
        });
        got
    }

    /// An entry is to be read with the next `fetch`.
    pub(super) fn want<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if !self.is_known(key) {
            self.slots.insert(key.to_owned(), Slot::Wanted);
        }
    }

    pub(super) fn want_all(&mut self) {
        self.wanted.all = !self.all;
    }

    pub(super) fn want_from(&mut self, start: K) {
        let from = self.wanted.from.take();
        self.wanted.from = Some(from.map_or(start.clone(), |from| from.min(start)));
    }

    pub(super) fn want_last(&mut self, count: usize) {
        self.wanted.last = self.wanted.last.max(limit(count));
    }
}

/// Slots that have a value.
fn values<'s, K: 's, V: 's>(slots: impl Iterator<Item = (&'s K, &'s Slot<V>)>) -> impl Iterator<Item = (&'s K, &'s V)> {
    slots.filter_map(|(key, slot)| Some((key, slot.value()?)))
}

fn limit(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(SCANNED_MAX).min(SCANNED_MAX)
}

/// Scans, and hands over the entries of each group.
fn for_each_group<K: SubKey, V: CellType>(scan: &reads::Scan<'_>, mut take: impl FnMut(usize, Vec<(K, V)>)) {
    let found = reads::scan(scan);
    let counts: Vec<usize> =
        found.counts.as_chunks().0.iter().map(|count| u32::from_le_bytes(*count) as usize).collect();
    let count = counts.iter().sum();
    let sub_keys = read_column::<K>(found.sub_keys, count);
    let mut entries = sub_keys.into_iter().zip(read_column::<V>(found.values, count));
    for (place, count) in counts.into_iter().enumerate() {
        take(place, entries.by_ref().take(count).collect());
    }
}
