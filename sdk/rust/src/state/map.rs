//! Maps.

use alloc::{borrow::ToOwned, vec, vec::Vec};
use core::{
    borrow::Borrow,
    cell::RefCell,
    fmt,
    ops::{Bound, RangeBounds},
};

use super::{
    CellDef, CellField, CellKind, CellType, Changes, Place, SharedField, SubKey,
    entries::{self, Entries},
};
use crate::columns::Columns;

/// A value for each sub-key of a key, in the order of the sub-keys: `i64`, `bool`, [`Timestamp`](crate::Timestamp), `String` or
/// `Vec<u8>`. A key may have any number of them: only what is asked for is read, once a call, and only what was changed is written.
/// What the call has written is seen at once.
///
/// In a struct that derives [`Shared`](super::Shared) it is one map for all keys.
///
/// ```
/// # use wasmill_sdk::state::Map;
/// # let mut stock = Map::of([("apple".to_owned(), 3_i64), ("pear".to_owned(), 5), ("plum".to_owned(), 1)]);
/// *stock.get_or_insert("apple".to_owned(), 0) += 1;
/// stock.remove("pear");
/// assert_eq!(stock.get("apple"), Some(4));
/// assert_eq!(stock.range("b".to_owned()..).collect::<Vec<_>>(), [("plum".to_owned(), 1)]);
/// assert_eq!(stock.last(1).map(|(fruit, _)| fruit).collect::<Vec<_>>(), ["plum"]);
/// ```
pub struct Map<K, V>(RefCell<Entries<K, V>>);

impl<K: SubKey, V: CellType> Map<K, V> {
    /// A map that the host keeps nothing else of: for tests.
    pub fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(RefCell::new(Entries::of(entries)))
    }

    /// The value of a sub-key.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.0.borrow_mut().get(key).cloned()
    }

    /// Whether there is a value of a sub-key.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.0.borrow_mut().get(key).is_some()
    }

    /// The value of a sub-key, to be changed in place; this one if there is none yet.
    pub fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        self.0.get_mut().get_or_insert(key, value)
    }

    /// Sets the value of a sub-key, without reading the old one.
    pub fn insert(&mut self, key: K, value: V) {
        self.0.get_mut().put(key, value);
    }

    /// Removes the value of a sub-key, without reading it.
    pub fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.0.get_mut().remove(key);
    }

    /// Removes the value of a sub-key and returns it.
    pub fn take<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let entries = self.0.get_mut();
        let value = entries.get(key).cloned()?;
        entries.remove(key);
        Some(value)
    }

    /// Removes all, without reading them.
    pub fn clear(&mut self) {
        self.0.get_mut().clear();
    }

    /// All of them in order. Reads them all: [`Self::first`], [`Self::last`] and [`Self::range`] read what they give.
    pub fn iter(&self) -> vec::IntoIter<(K, V)> {
        self.range(..)
    }

    /// Those whose sub-keys are in a range, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> vec::IntoIter<(K, V)> {
        // A sub-key that has no successor is the last one there can be.
        let nothing = || Vec::new().into_iter();
        let start = match range.start_bound() {
            Bound::Unbounded => None,
            Bound::Included(start) => Some(start.clone()),
            Bound::Excluded(start) => match start.successor() {
                None => return nothing(),
                behind => behind,
            },
        };
        let end = match range.end_bound() {
            Bound::Unbounded => None,
            Bound::Excluded(end) => Some(end.clone()),
            Bound::Included(end) => end.successor(),
        };
        self.0.borrow_mut().range(start.as_ref(), end.as_ref()).into_iter()
    }

    /// The first ones, at most so many, in order.
    pub fn first(&self, count: usize) -> vec::IntoIter<(K, V)> {
        self.0.borrow_mut().first(count).into_iter()
    }

    /// The last ones, at most so many, the last one first.
    pub fn last(&self, count: usize) -> vec::IntoIter<(K, V)> {
        self.0.borrow_mut().last(count).into_iter()
    }

    /// Whether there are none. Reads one at most.
    pub fn is_empty(&self) -> bool {
        self.first(1).len() == 0
    }

    /// How many there are. Reads them all: nobody counts them.
    pub fn count(&self) -> usize {
        self.iter().len()
    }

    /// Says that [`Self::get`] will be asked for a sub-key: for [`KeyedOperator::prefetch`](crate::KeyedOperator::prefetch).
    pub fn want<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.0.borrow_mut().want(key);
    }

    /// Says that all will be asked for.
    pub fn want_all(&self) {
        self.0.borrow_mut().want_all();
    }

    /// Says that those from a sub-key on will be asked for.
    pub fn want_from(&self, start: K) {
        self.0.borrow_mut().want_from(start);
    }

    /// Says that so many of the last ones will be asked for.
    pub fn want_last(&self, count: usize) {
        self.0.borrow_mut().want_last(count);
    }
}

impl<K: SubKey, V: CellType> CellField for Map<K, V> {
    const CELL: CellDef = CellDef::of::<V>(CellKind::Map, Some(K::DATA_TYPE));

    fn load(state: &Columns, place: Place) -> impl Iterator<Item = Self> {
        (0..state.count() as u32).map(move |group| Self(RefCell::new(Entries::new(place.cell, group))))
    }

    fn fetch<'c>(groups: impl Iterator<Item = &'c Self> + Clone) {
        entries::fetch(groups.map(|map| &map.0));
    }

    fn fetch_all(&self) {
        self.0.borrow_mut().range(None, None);
    }

    fn changes<'c>(groups: impl ExactSizeIterator<Item = &'c Self> + Clone, changes: &mut Changes) {
        entries::changes(groups.map(|map| &map.0), &mut changes.entries);
    }
}

impl<K: SubKey, V: CellType> SharedField for Map<K, V> {
    fn load_shared(cell: u32) -> Self {
        Self(RefCell::new(Entries::new(cell, 0)))
    }
}

impl<K: SubKey, V: CellType + PartialEq> PartialEq for Map<K, V> {
    /// Whether the same is in both now.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: SubKey + fmt::Debug, V: CellType + fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: SubKey, V: CellType> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| self.insert(key, value));
    }
}

impl<K: SubKey, V: CellType> IntoIterator for &Map<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
