//! What is read and written of the groups of a call together.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::{Entries, SCANNED_MAX, Slot, Wanted, for_each_group};
use crate::{
    build::{ColumnBuilder, numbers},
    data::{Column, EntryAction, EntryChanges},
    memory::broken_contract,
    state::{CellType, SubKey, columns_of, read_column, reads},
};

/// Reads what is wanted of all groups: one request for single entries, and one for each kind of scan.
pub(in crate::state) fn fetch<'e, K: SubKey, V: CellType>(
    groups: impl Iterator<Item = &'e RefCell<Entries<K, V>>> + Clone,
) {
    fetch_single(groups.clone());
    let with = |is_wanted: fn(&Entries<K, V>) -> bool| -> Vec<_> {
        groups.clone().filter(|entries| is_wanted(&entries.borrow())).collect()
    };
    let all = with(|entries| entries.wanted.all);
    scan_many(&all, None, false, SCANNED_MAX, |entries, is_whole, last| match last.as_ref().map(SubKey::successor) {
        Some(Some(head)) if !is_whole => entries.set_head(head),
        _ => entries.all = true,
    });
    let from = with(|entries| !entries.all && entries.wanted.from.is_some());
    let start = columns_of(from.iter().filter_map(|entries| entries.borrow().wanted.from.clone()));
    scan_many(&from, Some(&start), false, SCANNED_MAX, |entries, is_whole, _| {
        if let Some(from) = entries.wanted.from.clone().filter(|_| is_whole) {
            entries.set_tail(from);
        }
    });
    let last = with(|entries| !entries.all && entries.wanted.last > 0);
    let limit = last.iter().map(|entries| entries.borrow().wanted.last).max().unwrap_or(0);
    scan_many(&last, None, true, limit, |entries, is_whole, last| match last {
        Some(last) if !is_whole => entries.set_tail(last),
        _ => entries.all = true,
    });
    for entries in groups {
        entries.borrow_mut().wanted = Wanted { all: false, from: None, last: 0 };
    }
}

fn fetch_single<'e, K: SubKey, V: CellType>(groups: impl Iterator<Item = &'e RefCell<Entries<K, V>>> + Clone) {
    let (mut cell, mut of, mut sub_keys) = (0, Vec::new(), K::Builder::default());
    for entries in groups.clone() {
        let entries = entries.borrow();
        cell = entries.cell;
        for (key, _) in entries.slots.iter().filter(|(_, slot)| matches!(slot, Slot::Wanted)) {
            of.push(entries.group);
            key.clone().write(&mut sub_keys);
        }
    }
    if of.is_empty() {
        return;
    }
    let values = reads::get(cell, &of, &sub_keys.finish());
    let mut values = read_column::<Option<V>>(values, of.len()).into_iter();
    for entries in groups {
        let mut entries = entries.borrow_mut();
        for slot in entries.slots.values_mut().filter(|slot| matches!(slot, Slot::Wanted)) {
            *slot = Slot::Kept(values.next().flatten());
        }
    }
}

/// Scans these groups at once. `done` is told whether that was all there is of a group, and what came last.
fn scan_many<K: SubKey, V: CellType>(
    of: &[&RefCell<Entries<K, V>>],
    start: Option<&Column>,
    descending: bool,
    limit: u32,
    mut done: impl FnMut(&mut Entries<K, V>, bool, Option<K>),
) {
    let Some(first) = of.first() else { return };
    let groups: Vec<u32> = of.iter().map(|entries| entries.borrow().group).collect();
    let scan = reads::Scan { cell: first.borrow().cell, groups: &groups, start, end: None, descending, limit };
    for_each_group::<K, V>(&scan, |place, found| {
        let Some(entries) = of.get(place) else { broken_contract() };
        let mut entries = entries.borrow_mut();
        let (is_whole, last) = ((found.len() as u32) < limit, found.last().map(|(key, _)| key.clone()));
        found.into_iter().for_each(|(key, value)| entries.learn(key, Some(value)));
        done(&mut entries, is_whole, last);
    });
}

/// What has changed in a cell: what goes, then what comes.
pub(in crate::state) fn changes<'e, K: SubKey, V: CellType>(
    groups: impl Iterator<Item = &'e RefCell<Entries<K, V>>>,
    changes: &mut Vec<EntryChanges>,
) {
    let (mut cell, mut cleared) = (0, Vec::new());
    let (mut removed, mut removed_keys) = (Vec::new(), K::Builder::default());
    let (mut put, mut put_keys, mut put_values) = (Vec::new(), K::Builder::default(), V::Builder::default());
    for entries in groups {
        let entries = entries.borrow();
        cell = entries.cell;
        if entries.cleared {
            cleared.push(entries.group);
        }
        for (key, slot) in &entries.slots {
            let Slot::Written(value) = slot else { continue };
            let (groups, keys) =
                if value.is_some() { (&mut put, &mut put_keys) } else { (&mut removed, &mut removed_keys) };
            groups.push(entries.group);
            key.clone().write(keys);
            if let Some(value) = value {
                value.clone().write(&mut put_values);
            }
        }
    }
    let mut change = |action, groups: &[u32], sub_keys, values| {
        if !groups.is_empty() {
            changes.push(EntryChanges { cell, action, groups: numbers(groups), sub_keys, values });
        }
    };
    change(EntryAction::Clear, &cleared, None, None);
    change(EntryAction::Remove, &removed, Some(removed_keys.finish()), None);
    change(EntryAction::Put, &put, Some(put_keys.finish()), Some(put_values.finish()));
}
