//! Reading entries for the operator: many at once.

use std::cmp::Ordering;

use super::{ArrayRef, Entries, Entry, hash_of, ordered::Place, values};
use values::Builder;

/// Entries of several groups.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// How many there are of each group that was asked for.
    pub counts: Vec<u32>,
    pub sub_keys: ArrayRef,
    pub values: ArrayRef,
}

/// An answer would have been longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer of more than {bytes_max} bytes")]
pub struct TooMuch {
    pub bytes_max: usize,
}

impl Entries {
    /// The value of each pair of group and sub-key, null where there is none.
    ///
    /// # Panics
    /// If the cell has no entries or other sub-keys, or a group is none of the call.
    pub fn get(&self, cell: usize, groups: &[u32], sub_keys: &ArrayRef, bytes_max: usize) -> Result<ArrayRef, TooMuch> {
        let of = self.cell(cell);
        let mut builder = Builder::new(of.data_type);
        let mut sub_key = Vec::new();
        // The list of the group before: groups mostly come one after another.
        let mut before: Option<(u32, Option<usize>)> = None;
        for (row, &group) in groups.iter().enumerate() {
            let list = match before {
                Some((same, list)) if same == group => list,
                _ => {
                    let key = self.key_of(of, group);
                    self.list(cell, key, hash_of(cell, key))
                }
            };
            before = Some((group, list));
            sub_key.clear();
            values::push_sub_key(sub_keys, of.sub_key, row, &mut sub_key);
            let entry = list.and_then(|list| {
                let (place, is_there) = self.find(list, &sub_key);
                let position = self.lists[list].entries.get(place).filter(|_| is_there)?;
                Some(self.entry(position)).filter(|entry| self.is_alive(entry))
            });
            builder.push(entry.map(|entry| entry.value));
            if builder.bytes() > bytes_max {
                return Err(TooMuch { bytes_max });
            }
        }
        Ok(builder.finish())
    }

    /// The first entries of each group, or the last, at most `limit` a group, between `start`, included, and `end`.
    ///
    /// # Panics
    /// As `get`.
    pub fn scan(
        &self,
        cell: usize,
        groups: &[u32],
        (start, end): (Option<&ArrayRef>, Option<&ArrayRef>),
        (descending, limit): (bool, u32),
        bytes_max: usize,
    ) -> Result<Scanned, TooMuch> {
        let of = self.cell(cell);
        let (mut sub_keys, mut found) = (Builder::new(of.sub_key), Builder::new(of.data_type));
        let mut counts = Vec::with_capacity(groups.len());
        let bound = |bound: Option<&ArrayRef>, row: usize| {
            bound.map(|bound| {
                let mut bytes = Vec::new();
                values::push_sub_key(bound, of.sub_key, row, &mut bytes);
                bytes
            })
        };
        for (row, &group) in groups.iter().enumerate() {
            let (start, end) = (bound(start, row), bound(end, row));
            let key = self.key_of(of, group);
            let mut count = 0;
            let mut take = |entry: Entry<'_>| {
                sub_keys.push_sub_key(entry.sub_key);
                found.push(Some(entry.value));
                count += 1;
                sub_keys.bytes() + found.bytes() <= bytes_max
            };
            if let Some(list) = self.list(cell, key, hash_of(cell, key))
                && !self.walk(list, (start.as_deref(), end.as_deref()), (descending, limit), &mut take)
            {
                return Err(TooMuch { bytes_max });
            }
            counts.push(count);
        }
        Ok(Scanned { counts, sub_keys: sub_keys.finish(), values: found.finish() })
    }

    /// Hands out entries of a list until `take` says no. Returns whether it never did.
    fn walk<'a>(
        &'a self,
        list: usize,
        (start, end): (Option<&[u8]>, Option<&[u8]>),
        (descending, limit): (bool, u32),
        take: &mut impl FnMut(Entry<'a>) -> bool,
    ) -> bool {
        let entries = &self.lists[list].entries;
        let place = |bound: Option<&[u8]>, none: Place| bound.map_or(none, |bound| self.find(list, bound).0);
        let (from, to) = (place(start, Place { chunk: 0, at: 0 }), place(end, entries.end()));
        let alive = |entry: &Entry<'_>| self.is_alive(entry);
        let read = |position| self.entry(position);
        if descending {
            let within = |entry: &Entry<'_>| start.is_none_or(|start| entry.sub_key.cmp(start) != Ordering::Less);
            let found = entries.before(to).map(read).take_while(within).filter(alive);
            found.take(limit as usize).all(take)
        } else {
            let within = |entry: &Entry<'_>| end.is_none_or(|end| entry.sub_key.cmp(end) == Ordering::Less);
            let found = entries.from(from).map(read).take_while(within).filter(alive);
            found.take(limit as usize).all(take)
        }
    }
}
