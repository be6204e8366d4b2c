//! Entries against a model of them: whatever is put, removed, sealed, restored and waited for.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, StringViewArray, cast::AsArray, types::Int64Type};
use proptest::{collection::vec, prelude::*};
use wasmill_model::{
    DataType, Field,
    descriptor::{Cell, CellKind},
    keys::{KeyEncoder, KeyGroups},
    reply::{EntryAction, EntryChanges, TimeDomain},
};

use super::Scanned;
use crate::{Clocks, Error, KeyedState, Restore, RowError, StateLimits, Stored};

const NO_LIMITS: StateLimits = StateLimits { bytes_max: usize::MAX / 2, timers_max: usize::MAX / 2 };
const TTL_MS: i64 = 100;
const BYTES_MAX: usize = 1 << 20;

/// A map from text to numbers that live for a while, a list of texts, a value, a broadcast map from numbers to texts.
fn cells() -> Vec<Cell> {
    let cell = |name: &str, kind, sub_key, data_type| Cell { kind, sub_key, ..Cell::value(name, data_type) };
    let mut map = cell("map", CellKind::Map, Some(DataType::Utf8), DataType::Int64);
    map.ttl_ms = Some(TTL_MS as u64);
    vec![
        map,
        cell("list", CellKind::List, None, DataType::Utf8),
        Cell::value("value", DataType::Int64),
        cell("all", CellKind::Broadcast, Some(DataType::Int64), DataType::Utf8),
    ]
}

const MAP: usize = 0;
const LIST: usize = 1;
const ALL: usize = 3;

fn state(limits: StateLimits) -> KeyedState {
    let mut state = KeyedState::new(&cells(), limits).expect("these cells are known");
    state.track();
    state
}

fn begin(state: &mut KeyedState, keys: &[i64], now_ms: i64) {
    state.set_now(Clocks { processing_time: now_ms, ..Clocks::default() });
    let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    let mut encoder = KeyEncoder::new(&[Field::new("k", DataType::Int64)]).expect("a key type");
    encoder.encode(&[&column], keys.len()).expect("short keys");
    state.group(encoder.keys(), &encoder.hash());
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn change(cell: usize, groups: &[u32], action: EntryAction) -> EntryChanges {
    EntryChanges { cell, action, groups: groups.to_vec().into() }
}

fn scan(state: &KeyedState, cell: usize, groups: &[u32]) -> Scanned {
    let entries = state.entries().expect("there are such cells");
    let entries = entries.lock().expect("nobody panics");
    entries.scan(cell, groups, (None, None), (false, u32::MAX), BYTES_MAX).expect("little is asked for")
}

fn strings(array: &ArrayRef) -> Vec<String> {
    match array.as_string_view_opt() {
        Some(texts) => texts.iter().map(|text| text.unwrap_or("-").to_owned()).collect(),
        None => {
            let ints = array.as_primitive::<Int64Type>();
            (0..ints.len()).map(|i| if ints.is_null(i) { "-".into() } else { ints.value(i).to_string() }).collect()
        }
    }
}

#[test]
fn entries_are_found_and_come_in_order() {
    let mut state = state(NO_LIMITS);
    begin(&mut state, &[1, 2], 0);
    let put = EntryAction::Put { sub_keys: texts(&["b", "a", "c", "a"]), values: ints(&[1, 2, 3, 4]) };
    let append = EntryAction::Append { values: texts(&["x", "y", "z"]) };
    let rules = EntryAction::Put { sub_keys: ints(&[7, -1]), values: texts(&["seven", "minus"]) };
    let changes = [change(MAP, &[0, 0, 0, 1], put), change(LIST, &[1, 0, 1], append), change(ALL, &[0, 0], rules)];
    state.apply(&[], &changes, &[]).expect("no limit");
    begin(&mut state, &[2, 3, 1], 0);
    let held = state.entries().expect("there are such cells");
    let held = held.lock().expect("nobody panics");
    let got = held.get(MAP, &[2, 2, 0, 1], &texts(&["a", "d", "a", "a"]), BYTES_MAX).expect("little");
    assert_eq!(strings(&got), ["2", "-", "4", "-"]);
    let scan = |groups: &[u32], bounds: (Option<&ArrayRef>, Option<&ArrayRef>), descending, limit| {
        let found = held.scan(MAP, groups, bounds, (descending, limit), BYTES_MAX).expect("little");
        (found.counts, strings(&found.sub_keys), strings(&found.values))
    };
    let expect = |counts: &[u32], sub_keys: &[&str], values: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        (counts.to_vec(), owned(sub_keys), owned(values))
    };
    assert_eq!(
        scan(&[2, 1, 0], (None, None), false, 9),
        expect(&[3, 0, 1], &["a", "b", "c", "a"], &["2", "1", "3", "4"])
    );
    assert_eq!(scan(&[2], (None, None), true, 2), expect(&[2], &["c", "b"], &["3", "1"]));
    let (start, end) = (texts(&["aa"]), texts(&["c"]));
    assert_eq!(scan(&[2], (Some(&start), Some(&end)), false, 9), expect(&[1], &["b"], &["1"]));
    assert_eq!(scan(&[2], (Some(&start), Some(&end)), true, 9), expect(&[1], &["b"], &["1"]));
    let list = held.scan(LIST, &[0], (None, None), (false, 9), BYTES_MAX).expect("little");
    assert_eq!(
        (strings(&list.sub_keys), strings(&list.values)),
        (vec!["0".into(), "1".into()], vec!["x".into(), "z".into()])
    );
    // Every group sees the same of a broadcast cell, and so does a call without any.
    let all = held.scan(ALL, &[0], (None, None), (false, 9), BYTES_MAX).expect("little");
    assert_eq!(
        (strings(&all.sub_keys), strings(&all.values)),
        (vec!["-1".into(), "7".into()], vec!["minus".into(), "seven".into()])
    );
    assert!(held.scan(MAP, &[2], (None, None), (false, 9), 20).is_err(), "an answer has a bound");
}

#[test]
fn entries_count_against_the_limit_and_a_call_over_it_changes_nothing() {
    let mut state = state(StateLimits { bytes_max: 100_000, timers_max: 10 });
    let mut put = 0_i64;
    let error = loop {
        begin(&mut state, &[put], 0);
        let action = EntryAction::Put { sub_keys: texts(&["k"]), values: ints(&[put]) };
        match state.apply(&[], &[change(MAP, &[0], action)], &[]) {
            Ok(()) => put += 1,
            Err(error) => break error,
        }
        assert!(state.bytes() <= 100_000 && put < 10_000);
    };
    assert!(matches!(error, Error::StateFull { bytes_max: 100_000, .. }), "{error}");
    assert!(put > 150, "{put} entries fit");
    begin(&mut state, &[put], 0);
    assert_eq!(scan(&state, MAP, &[0]).counts, [0]);
    let long = EntryAction::Append { values: texts(&[&"x".repeat(2 << 20)]) };
    let error = state.apply(&[], &[change(LIST, &[0], long)], &[]).expect_err("too long");
    assert!(matches!(error, Error::RecordTooLong { group: 0, .. }), "{error}");
}

/// Rows of snapshots, the newest of each key.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn add(rows: &mut Rows, state: &mut KeyedState) -> crate::SealedState {
    let sealed = state.seal();
    let mut last: Option<Vec<u8>> = None;
    let taken: Result<(), Infallible> = sealed.rows(KeyGroups::new(8).expect("a number"), |key, value| {
        assert!(last.as_deref().is_none_or(|last| last < key), "{key:?} comes after {last:?}");
        last = Some(key.to_vec());
        match value {
            Some(value) => rows.insert(key.to_vec(), value.to_vec()),
            None => rows.remove(key),
        };
        Ok(())
    });
    taken.expect("nothing can fail");
    sealed
}

fn restored(rows: &Rows, now_ms: i64) -> KeyedState {
    let mut state = KeyedState::new(&cells(), NO_LIMITS).expect("these cells are known");
    state.set_now(Clocks { processing_time: now_ms, ..Clocks::default() });
    let same = Stored::same(&cells());
    let mut restore = Restore::new(&mut state, &same);
    rows.iter().for_each(|(key, value)| restore.row(key, value).expect("it is a row of this state"));
    state.track();
    state
}

#[test]
fn rows_that_are_none_of_entries_are_refused() {
    let mut state = state(NO_LIMITS);
    begin(&mut state, &[1], 0);
    let put = EntryAction::Put { sub_keys: texts(&["b"]), values: ints(&[1]) };
    state.apply(&[], &[change(MAP, &[0], put)], &[]).expect("no limit");
    let mut rows = Rows::new();
    add(&mut rows, &mut state);
    let (key, value) = rows.pop_first().expect("there is an entry");
    let same = Stored::same(&cells());
    let mut check = |key: &[u8], value: &[u8], expect: RowError| {
        assert_eq!(Restore::new(&mut state, &same).row(key, value), Err(expect));
    };
    check(&key, &value[..15], RowError::Entry);
    check(&key, &value[..7], RowError::Entry);
    check(&key[..7], &value, RowError::Key);
    check(&key[..8], &value, RowError::Key);
    let mut other = key.clone();
    other[3] = 9;
    check(&other, &value, RowError::Part { part: 9 });
    other[3] = 4;
    check(&other, &value, RowError::Entry);
}

/// Broadcast cells are the same for all: one instance keeps them, and all are given them.
#[test]
fn broadcast_entries_are_kept_once() {
    let mut rows = Rows::new();
    for keeps in [false, true] {
        let mut state = state(NO_LIMITS);
        state.set_keeps_broadcast(keeps);
        state.begin_without_keys(None);
        let put = EntryAction::Put { sub_keys: ints(&[7]), values: texts(&["rule"]) };
        state.apply(&[], &[change(ALL, &[0], put)], &[]).expect("no limit");
        add(&mut rows, &mut state);
        assert_eq!(rows.len(), usize::from(keeps));
    }
    let same = Stored::same(&cells());
    assert!(rows.keys().all(|key| same.is_broadcast(key) && key[..2] == [0, 0]));
    let state = restored(&rows, 0);
    assert_eq!(strings(&scan(&state, ALL, &[0]).values), ["rule"]);
}

/// What is written before any watermark is known, from rows or without any, is there until its time is over.
#[test]
fn in_event_time_entries_live_since_the_latest_row_whether_they_have_keys_or_not() {
    let mut cells = cells();
    for place in [MAP, ALL] {
        (cells[place].ttl_ms, cells[place].ttl_domain) = (Some(TTL_MS as u64), TimeDomain::EventTime);
    }
    let rule = || EntryAction::Put { sub_keys: ints(&[7]), values: texts(&["rule"]) };
    let at = |watermark| Clocks { event_time: watermark, processing_time: 0 };
    let seen = |state: &mut KeyedState, watermark| {
        state.set_now(at(watermark));
        state.begin_without_keys(None);
        scan(state, ALL, &[0]).counts[0]
    };
    let mut state = KeyedState::new(&cells, NO_LIMITS).expect("these cells are known");
    state.begin_without_keys(Some(&[30, 50, 20]));
    state.apply(&[], &[change(ALL, &[0], rule())], &[]).expect("no limit");
    assert_eq!([i64::MIN, 50 + TTL_MS - 1, 50 + TTL_MS].map(|watermark| seen(&mut state, watermark)), [1, 1, 0]);

    // A timer of the host's clock says nothing about event time, and nobody knows it yet.
    let mut state = KeyedState::new(&cells, NO_LIMITS).expect("these cells are known");
    begin(&mut state, &[1], 0);
    let put = EntryAction::Put { sub_keys: texts(&["b"]), values: ints(&[1]) };
    state.apply(&[], &[change(MAP, &[0], put)], &[]).expect("no limit");
    state.set_now(at(1_000));
    let column: ArrayRef = ints(&[1]);
    let mut encoder = KeyEncoder::new(&[Field::new("k", DataType::Int64)]).expect("a key type");
    encoder.encode(&[&column], 1).expect("short keys");
    state.group(encoder.keys(), &encoder.hash());
    assert_eq!(scan(&state, MAP, &[0]).counts, [1]);
}

/// What a key has: numbers by text, and when they were written; texts of the list by number.
#[derive(Debug, Clone, Default)]
struct Model {
    map: BTreeMap<String, (i64, i64)>,
    list: BTreeMap<i64, String>,
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<(i64, u8, i64)>),
    Append(Vec<(i64, u8)>),
    Remove(usize, Vec<(i64, u8)>),
    Clear(usize, i64),
    Wait(i64),
    Restore,
    /// A snapshot is taken, and held while it goes on.
    Seal,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, sub_key) = (|| 0..5_i64, || 0..40_u8);
    prop_oneof![
        4 => vec((key(), sub_key(), any::<i64>()), 1..30).prop_map(Step::Put),
        2 => vec((key(), sub_key()), 1..30).prop_map(Step::Append),
        3 => (0..2_usize, vec((key(), sub_key()), 1..20)).prop_map(|(cell, which)| Step::Remove(cell, which)),
        1 => (0..2_usize, key()).prop_map(|(cell, key)| Step::Clear(cell, key)),
        2 => (1..80_i64).prop_map(Step::Wait),
        1 => Just(Step::Restore),
        2 => Just(Step::Seal),
    ]
}

fn name(sub_key: u8) -> String {
    "k".repeat(usize::from(sub_key) % 5) + &sub_key.to_string()
}

proptest! {
    #[test]
    fn whatever_happens_entries_are_those_of_the_model(steps in vec(step(), 1..60)) {
        let (mut state, mut now) = (state(NO_LIMITS), 1_000);
        let mut model: BTreeMap<i64, Model> = (0..5).map(|key| (key, Model::default())).collect();
        let (mut rows, mut held) = (Rows::new(), Vec::new());
        let every: Vec<i64> = (0..5).collect();
        for step in steps {
            begin(&mut state, &every, now);
            let mut apply = |change: EntryChanges| state.apply(&[], &[change], &[]).expect("no limit");
            match step {
                Step::Put(entries) => {
                    let groups: Vec<u32> = entries.iter().map(|(key, ..)| *key as u32).collect();
                    let names: Vec<String> = entries.iter().map(|(_, sub_key, _)| name(*sub_key)).collect();
                    let sub_keys = texts(&names.iter().map(String::as_str).collect::<Vec<_>>());
                    let values = ints(&entries.iter().map(|(_, _, value)| *value).collect::<Vec<_>>());
                    apply(change(MAP, &groups, EntryAction::Put { sub_keys, values }));
                    for ((key, _, value), name) in entries.iter().zip(names) {
                        model.entry(*key).or_default().map.insert(name, (*value, now));
                    }
                }
                Step::Append(entries) => {
                    let groups: Vec<u32> = entries.iter().map(|(key, _)| *key as u32).collect();
                    let names: Vec<String> = entries.iter().map(|(_, value)| name(*value)).collect();
                    let values = texts(&names.iter().map(String::as_str).collect::<Vec<_>>());
                    apply(change(LIST, &groups, EntryAction::Append { values }));
                    for ((key, _), name) in entries.iter().zip(names) {
                        let list = &mut model.entry(*key).or_default().list;
                        let number = list.last_key_value().map_or(0, |(last, _)| last + 1);
                        list.insert(number, name);
                    }
                }
                Step::Remove(cell, which) => {
                    let groups: Vec<u32> = which.iter().map(|(key, _)| *key as u32).collect();
                    let names: Vec<String> = which.iter().map(|(_, sub_key)| name(*sub_key)).collect();
                    let sub_keys = match cell {
                        MAP => texts(&names.iter().map(String::as_str).collect::<Vec<_>>()),
                        _ => ints(&which.iter().map(|(_, number)| i64::from(*number)).collect::<Vec<_>>()),
                    };
                    apply(change(cell, &groups, EntryAction::Remove { sub_keys }));
                    for ((key, number), name) in which.iter().zip(names) {
                        let model = model.entry(*key).or_default();
                        match cell {
                            MAP => drop(model.map.remove(&name)),
                            _ => drop(model.list.remove(&i64::from(*number))),
                        }
                    }
                }
                Step::Clear(cell, key) => {
                    apply(change(cell, &[key as u32], EntryAction::Clear));
                    let model = model.entry(key).or_default();
                    match cell {
                        MAP => model.map.clear(),
                        _ => model.list.clear(),
                    }
                }
                Step::Wait(ms) => now += ms,
                Step::Restore => {
                    add(&mut rows, &mut state);
                    held.clear();
                    state = restored(&rows, now);
                }
                Step::Seal => {
                    held.push(add(&mut rows, &mut state));
                    if held.len() > 2 {
                        held.remove(0);
                    }
                }
            }
            begin(&mut state, &every, now);
            let (map, list) = (scan(&state, MAP, &[0, 1, 2, 3, 4]), scan(&state, LIST, &[0, 1, 2, 3, 4]));
            let alive = |model: &Model| -> Vec<(String, i64)> {
                let alive = model.map.iter().filter(|(_, (_, written))| now - written < TTL_MS);
                alive.map(|(sub_key, (value, _))| (sub_key.clone(), *value)).collect()
            };
            let expected: Vec<(String, i64)> = model.values().flat_map(alive).collect();
            prop_assert_eq!(strings(&map.sub_keys), expected.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>());
            prop_assert_eq!(strings(&map.values), expected.iter().map(|(_, v)| v.to_string()).collect::<Vec<_>>());
            let expected: Vec<(i64, String)> = model.values().flat_map(|model| model.list.clone()).collect();
            prop_assert_eq!(strings(&list.sub_keys), expected.iter().map(|(k, _)| k.to_string()).collect::<Vec<_>>());
            prop_assert_eq!(strings(&list.values), expected.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>());
        }
    }
}
