//! Lists.

use alloc::{collections::VecDeque, vec, vec::Vec};
use core::{cell::RefCell, fmt};

use super::{
    CellDef, CellField, CellKind, CellType, Changes, Place, columns_of,
    entries::{self, Entries},
};
use crate::{
    build::numbers,
    columns::Columns,
    data::{EntryAction, EntryChanges},
};

/// Values a key, in the order in which they were added. A key may have any number of them: only what is asked for is read, once a
/// call, and adding one reads nothing. What the call has written is seen at once.
///
/// ```
/// # use wasmill_sdk::state::List;
/// # let mut recent = List::of([1_i64, 2, 3]);
/// recent.push(4);
/// assert_eq!(recent.pop_first(), Some(1));
/// assert_eq!(recent.iter().collect::<Vec<_>>(), [2, 3, 4]);
/// assert_eq!(recent.last(2).collect::<Vec<_>>(), [4, 3]);
/// ```
pub struct List<T> {
    cell: u32,
    group: u32,
    /// What the host keeps, by the numbers it gave.
    kept: RefCell<Entries<i64, T>>,
    /// What the call has added and not removed again.
    added: VecDeque<T>,
}

impl<T: CellType> List<T> {
    /// A list that the host keeps nothing else of: for tests.
    pub fn of(values: impl IntoIterator<Item = T>) -> Self {
        Self { cell: 0, group: 0, kept: RefCell::new(Entries::of((0..).zip(values))), added: VecDeque::new() }
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: T) {
        self.added.push_back(value);
    }

    /// Removes the first value and returns it. Reads one.
    pub fn pop_first(&mut self) -> Option<T> {
        let kept = self.kept.get_mut();
        match kept.first(1).pop() {
            Some((number, value)) => {
                kept.remove(&number);
                Some(value)
            }
            None => self.added.pop_front(),
        }
    }

    /// Removes all, without reading them.
    pub fn clear(&mut self) {
        self.kept.get_mut().clear();
        self.added.clear();
    }

    /// All of them in order. Reads them all: [`Self::first`] and [`Self::last`] read what they give.
    pub fn iter(&self) -> vec::IntoIter<T> {
        let kept = self.kept.borrow_mut().range(None, None);
        let values: Vec<T> = kept.into_iter().map(|(_, value)| value).chain(self.added.iter().cloned()).collect();
        values.into_iter()
    }

    /// The first ones, at most so many, in order.
    pub fn first(&self, count: usize) -> vec::IntoIter<T> {
        let kept = self.kept.borrow_mut().first(count);
        let values = kept.into_iter().map(|(_, value)| value).chain(self.added.iter().cloned());
        values.take(count).collect::<Vec<_>>().into_iter()
    }

    /// The last ones, at most so many, the last one first.
    pub fn last(&self, count: usize) -> vec::IntoIter<T> {
        let mut values: Vec<T> = self.added.iter().rev().take(count).cloned().collect();
        let kept = self.kept.borrow_mut().last(count - values.len());
        values.extend(kept.into_iter().map(|(_, value)| value));
        values.into_iter()
    }

    /// Whether there are none. Reads one at most.
    pub fn is_empty(&self) -> bool {
        self.first(1).len() == 0
    }

    /// How many there are. Reads them all: nobody counts them.
    pub fn count(&self) -> usize {
        self.iter().len()
    }

    /// Says that all will be asked for: for [`KeyedOperator::prefetch`](crate::KeyedOperator::prefetch).
    pub fn want_all(&self) {
        self.kept.borrow_mut().want_all();
    }

    /// Says that so many of the last ones will be asked for.
    pub fn want_last(&self, count: usize) {
        self.kept.borrow_mut().want_last(count);
    }
}

impl<T: CellType> CellField for List<T> {
    const CELL: CellDef = CellDef::of::<T>(CellKind::List, None);

    fn load(state: &Columns, place: Place) -> impl Iterator<Item = Self> {
        let cell = place.cell;
        let list = move |group| {
            let kept = RefCell::new(Entries::new(cell, group));
            Self { cell, group, kept, added: VecDeque::new() }
        };
        (0..state.count() as u32).map(list)
    }

    fn fetch<'c>(groups: impl Iterator<Item = &'c Self> + Clone) {
        entries::fetch(groups.map(|list| &list.kept));
    }

    fn fetch_all(&self) {
        self.kept.borrow_mut().range(None, None);
    }

    fn changes<'c>(groups: impl ExactSizeIterator<Item = &'c Self> + Clone, changes: &mut Changes) {
        entries::changes(groups.clone().map(|list| &list.kept), &mut changes.entries);
        let Some(cell) = groups.clone().next().map(|list| list.cell) else { return };
        let added = groups.flat_map(|list| list.added.iter().map(|value| (list.group, value)));
        let of: Vec<u32> = added.clone().map(|(group, _)| group).collect();
        if !of.is_empty() {
            let values = columns_of(added.map(|(_, value)| value.clone()));
            let (action, groups) = (EntryAction::Append, numbers(&of));
            changes.entries.push(EntryChanges { cell, action, groups, sub_keys: None, values: Some(values) });
        }
    }
}

impl<T: CellType + PartialEq> PartialEq for List<T> {
    /// Whether the same is in both now.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: CellType + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: CellType> Extend<T> for List<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        self.added.extend(values);
    }
}

impl<T: CellType> IntoIterator for &List<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
