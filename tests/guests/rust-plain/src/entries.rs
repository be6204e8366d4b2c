//! The modes that keep lists, maps, and what all instances have, and those that ask for what there cannot be.

use std::collections::BTreeMap;

use crate::{
    bytes::{Text, bit, emit, extension, fixed, i64s, of_i64s, of_u32s, texts, u32s},
    exports::wasmill::operator::guest::{Groups, Reply, Rows},
    wasmill::operator::{
        data::{EntryAction, EntryChanges, Outcome},
        log, state,
    },
};

/// Asks too early.
pub(crate) fn open(mode: &str) {
    if mode == "broadcast:open" {
        ask(0, &[0]);
    }
}

pub(crate) fn process(mode: &str, rows: &Rows, groups: Option<&Groups>) -> Reply {
    match mode {
        "entries" => counted(rows, groups.expect("keyed")),
        "entries:cell" => ask(7, &[0]),
        "entries:value" => ask(1, &[0]),
        "entries:group" => ask(0, &[0, 9]),
        "entries:sub-keys" => {
            state::get(0, &of_u32s([0, 1].into_iter()), &fixed(vec![0; 8]));
            emit(Outcome::DropAll)
        }
        "entries:much" => {
            state::scan(2, &of_u32s([0].into_iter()), None, None, false, u32::MAX);
            emit(Outcome::DropAll)
        }
        "entries:panic" => {
            let found = state::scan(2, &of_u32s([0].into_iter()), None, None, true, 1);
            panic!("the last is {:?}", String::from_utf8_lossy(&found.values.values))
        }
        _ => Reply {
            entries: vec![EntryChanges {
                cell: 0,
                action: EntryAction::Put,
                groups: vec![0; 4 * rows.count as usize],
                sub_keys: Some(fixed(rows.columns[0].values.clone())),
                values: Some(fixed(rows.columns[0].values.clone())),
            }],
            ..emit(Outcome::Unchanged)
        },
    }
}

/// Counts how often each key has had each number, and keeps the numbers as text in a list: how many there are in both is told.
fn counted(rows: &Rows, groups: &Groups) -> Reply {
    let numbers = || i64s(&rows.columns[0].values);
    let of_row: Vec<u32> = u32s(&groups.of_row).collect();
    let before = state::get(0, &groups.of_row, &fixed(rows.columns[0].values.clone()));
    let mut seen: BTreeMap<(u32, i64), i64> = BTreeMap::new();
    for (row, (group, number)) in of_row.iter().zip(numbers()).enumerate() {
        let valid = before.validity.as_ref().is_none_or(|validity| bit(validity, row));
        let count = i64s(&before.values).nth(row).filter(|_| valid).unwrap_or(0);
        seen.entry((*group, number)).or_insert(count);
    }
    let told = of_row.iter().zip(numbers()).map(|(group, number)| {
        let count = seen.entry((*group, number)).or_default();
        *count += 1;
        *count
    });
    let told = fixed(of_i64s(told.collect::<Vec<_>>().into_iter()));
    let scanned = state::scan(2, &of_u32s(0..groups.count), None, None, true, 2);
    log::write(log::Level::Info, &format!("last {:?}", texts(&scanned.values).collect::<Vec<_>>()));
    let mut list = Text::new(rows.count as usize, 8);
    numbers().for_each(|number| list.push(&number.to_string()));
    let put = EntryChanges {
        cell: 0,
        action: EntryAction::Put,
        groups: of_u32s(seen.keys().map(|(group, _)| *group)),
        sub_keys: Some(fixed(of_i64s(seen.keys().map(|(_, number)| *number)))),
        values: Some(fixed(of_i64s(seen.values().copied()))),
    };
    let append = EntryChanges {
        cell: 2,
        action: EntryAction::Append,
        groups: groups.of_row.clone(),
        sub_keys: None,
        values: Some(list.column()),
    };
    Reply { entries: vec![put, append], ..emit(extension(None, vec![told])) }
}

/// Asks for entries that there cannot be.
fn ask(cell: u32, groups: &[u32]) -> Reply {
    state::get(cell, &of_u32s(groups.iter().copied()), &fixed(vec![0; 8 * groups.len()]));
    emit(Outcome::DropAll)
}
