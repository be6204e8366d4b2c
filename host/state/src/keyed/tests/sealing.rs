//! Snapshots: what a state is restored to is what it was when it was sealed, whatever happened to it since.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
};

use wasmill_model::keys::KeyGroups;

use super::*;
use crate::{RowError, SealedState, Stored, StoredCell};

/// The rows of all snapshots so far, the newest of each key.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Everything that can be seen of a state.
#[derive(Debug, PartialEq)]
struct Seen {
    keys: Vec<Vec<u8>>,
    cells: Vec<ArrayRef>,
    timers: [DueTimers; 2],
}

fn seen(state: &KeyedState) -> Seen {
    let Scan { keys, cells } = state.scan();
    Seen {
        keys: keys.iter().map(<[u8]>::to_vec).collect(),
        cells,
        timers: [TimeDomain::EventTime, TimeDomain::ProcessingTime].map(|domain| state.scan_timers(domain)),
    }
}

fn key_groups() -> KeyGroups {
    KeyGroups::new(8).expect("a number of key groups")
}

/// Adds the rows of a snapshot to those before it. Returns how many there are.
fn add(stored: &mut Rows, sealed: &SealedState) -> usize {
    let (mut count, mut last) = (0, None);
    let taken: Result<(), Infallible> = sealed.rows(key_groups(), |key, value| {
        assert!(last.as_deref().is_none_or(|last: &[u8]| last < key), "{key:?} comes after {last:?}");
        last = Some(key.to_vec());
        count += 1;
        match value {
            Some(value) => stored.insert(key.to_vec(), value.to_vec()),
            None => stored.remove(key),
        };
        Ok(())
    });
    taken.expect("nothing can fail");
    count
}

fn restored(stored: &Rows, types: &[DataType]) -> KeyedState {
    let (mut state, cells) = (state(types, NO_LIMITS), Stored::same(&cells(types)));
    let mut restore = Restore::new(&mut state, &cells);
    for (key, value) in stored {
        restore.row(key, value).expect("it is a row of this state");
    }
    state
}

fn tracked(types: &[DataType]) -> KeyedState {
    let mut state = state(types, NO_LIMITS);
    state.track();
    state
}

#[test]
fn a_snapshot_has_what_changed_and_nothing_else() {
    let mut state = tracked(&[DataType::Int64]);
    let mut stored = Rows::new();
    let keys: Vec<String> = (0..1_000).map(|i| i.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    group(&mut state, &keys);
    let timers: Vec<(u32, i64)> = (0..1_000).map(|i| (i, i64::from(i) - 500)).collect();
    state.apply(&all(&vec![Some(1); 1_000]), &[], &[set_timers(TimeDomain::EventTime, &timers)]).expect("no limit");
    assert_eq!(add(&mut stored, &state.seal()), 2_000);
    assert_eq!(add(&mut stored, &state.seal()), 0, "nothing has changed");

    group(&mut state, &["5", "6", "7", "new"].map(|key| if key == "new" { "1000" } else { key }));
    state.apply(&all(&[Some(2), None, Some(3), Some(4)]), &[], &[]).expect("no limit");
    assert_eq!(state.take_due(TimeDomain::EventTime, -498, 10).len(), 3);
    let sealed = state.seal();
    assert_eq!(add(&mut stored, &sealed), 4 + 3);
    assert_eq!(stored.len(), 1_000 + 997);
    drop(sealed);
    // What comes and goes between two snapshots is in none.
    for _ in 0..3 {
        group(&mut state, &["9999"]);
        let timer = |set| change_timers(TimeDomain::ProcessingTime, set, &[(0, 7)]);
        state.apply(&all(&[Some(1)]), &[], &[timer(true)]).expect("no limit");
        state.apply(&all(&[None]), &[], &[timer(false)]).expect("no limit");
    }
    assert_eq!(add(&mut stored, &state.seal()), 0);
    assert_eq!(seen(&restored(&stored, &[DataType::Int64])), seen(&state));
}

/// What a snapshot keeps does not count: nobody may be refused because of it.
#[test]
fn a_snapshot_takes_nothing_from_the_limit_of_bytes() {
    let mut state = state(&[DataType::Int64], StateLimits { bytes_max: 200_000, timers_max: 1 });
    state.track();
    let keys: Vec<String> = (0..3_000).map(|i| i.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut room = 3_000;
    while {
        group(&mut state, &keys[..room]);
        state.apply(&all(&vec![Some(0); room]), &[], &[]).is_err()
    } {
        room -= 1;
    }
    let (full, mut held) = (state.bytes(), Vec::new());
    for round in 1..5 {
        held.push(state.seal());
        group(&mut state, &keys[..room]);
        state.apply(&all(&vec![Some(round); room]), &[], &[]).expect("there was room for it");
        assert_eq!(state.bytes(), full);
    }
    held.clear();
    group(&mut state, &keys[..room]);
    assert_eq!((look(&mut state), state.bytes() <= full * 5), (vec![Some(4); room], true));
}

/// Memory that snapshots kept is used again.
#[test]
fn snapshots_do_not_leak() {
    let mut state = tracked(&[DataType::Utf8]);
    let keys: Vec<String> = (0..2_000).map(|i| i.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut high = 0;
    for round in 0..200_usize {
        let sealed = state.seal();
        group(&mut state, &keys);
        let text = "x".repeat(round * 37 % 300);
        state.apply(&[CellUpdate::All(texts(&vec![Some(text.as_str()); 2_000]))], &[], &[]).expect("no limit");
        drop(sealed);
        if round == 100 {
            high = state.arena.held_bytes();
        }
    }
    assert!(state.arena.held_bytes() <= high, "{} bytes, {high} before", state.arena.held_bytes());
}

#[test]
fn rows_that_are_none_are_refused() {
    let (mut state, cells) = (state(&[DataType::Utf8], NO_LIMITS), Stored::same(&cells(&[DataType::Utf8])));
    let mut restore = Restore::new(&mut state, &cells);
    let mut check = |key: &[u8], value: &[u8], expected: RowError| {
        assert_eq!(restore.row(key, value).expect_err("it is none"), expected, "{key:?} {value:?}");
    };
    check(b"", b"", RowError::Key);
    check(&[0, 0, 0], b"", RowError::Key);
    check(&[0, 0, 0, 9, 1], b"", RowError::Part { part: 9 });
    check(&[0, 0, 0, 1, 1, 2, 3], b"", RowError::Key);
    for value in [&[][..], &[1], &[1, 1, 0, 0, 0], &[1, 1, 0, 0, 0, b'a', b'b'], &[1, 1, 0, 0, 0, 0xff], &[0, 1]] {
        check(&[0, 0, 0, 0, 1], value, RowError::Values);
    }
    let mut long = vec![1];
    long.extend_from_slice(&(2_000_000_u32).to_le_bytes());
    long.resize(2_000_005, b'x');
    check(&[0, 0, 0, 0, 1], &long, RowError::TooLong { bytes: 2_000_014 });
    assert_eq!((state.keys(), state.timers()), (0, 0));
}

/// Cells that were added, dropped and put elsewhere since.
#[test]
fn cells_find_their_values_where_they_are_now() {
    let mut old = tracked(&[DataType::Int64, DataType::Utf8, DataType::Boolean]);
    group(&mut old, &["a", "b"]);
    let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
    let updates = [ints(&[Some(1), Some(2)]), texts(&[Some("x"), Some("y")]), booleans].map(CellUpdate::All);
    old.apply(&updates, &[], &[]).expect("no limit");
    let mut stored = Rows::new();
    add(&mut stored, &old.seal());

    let mut new = state(&[DataType::Boolean, DataType::Float64, DataType::Utf8], NO_LIMITS);
    let cell = |data_type, now| StoredCell { data_type, is_stamped: false, now };
    let moved = Stored {
        values: [cell(DataType::Int64, None), cell(DataType::Utf8, Some(2)), cell(DataType::Boolean, Some(0))].to_vec(),
        ..Stored::default()
    };
    let mut restore = Restore::new(&mut new, &moved);
    stored.iter().for_each(|(key, value)| restore.row(key, value).expect("it is a row of this state"));
    group(&mut new, &["a", "b"]);
    let read = new.lookup();
    assert_eq!(read[0].as_boolean().iter().collect::<Vec<_>>(), [Some(true), None]);
    assert_eq!(read[1].null_count(), 2);
    assert_eq!(read[2].as_string_view().iter().collect::<Vec<_>>(), [Some("x"), Some("y")]);

    // A key of which nothing is left is not there.
    let dropped = [DataType::Int64, DataType::Utf8, DataType::Boolean].map(|data_type| cell(data_type, None));
    let dropped = Stored { values: dropped.to_vec(), ..Stored::default() };
    let mut empty = state(&[DataType::Boolean], NO_LIMITS);
    let mut restore = Restore::new(&mut empty, &dropped);
    stored.iter().for_each(|(key, value)| restore.row(key, value).expect("it is a row of this state"));
    assert_eq!(empty.keys(), 0);
}

/// What becomes of a snapshot after a step.
#[derive(Debug, Clone, Copy)]
enum Take {
    None,
    /// Its rows are read at once.
    Now,
    /// Its rows are read after the next ones, in their order.
    Later,
}

fn take() -> impl Strategy<Value = Take> {
    prop_oneof![4 => Just(Take::None), 2 => Just(Take::Now), 3 => Just(Take::Later)]
}

fn change_all_timers(state: &mut KeyedState, step: &Step) {
    let groups = state.group_keys().len() as u32;
    let changes: Vec<TimerChanges> = step
        .timers
        .iter()
        .map(|&(event_time, set, group, time)| change_timers(domain(event_time), set, &[(group % groups, time)]))
        .collect();
    state.apply(&[], &[], &changes).expect("no limit");
    if let Some((event_time, up_to, max)) = step.fire {
        let due = state.take_due(domain(event_time), up_to, max);
        if up_to % 2 == 0 {
            state.restore(&due);
        }
    }
}

proptest! {
    #[test]
    fn what_is_restored_is_what_was_sealed(steps in steps(), takes in vec(take(), 30), numbers in any::<bool>()) {
        let mut state = tracked(&DataType::ALL);
        let (mut model, mut stored, mut waiting) = (Model::new(), Rows::new(), VecDeque::new());
        for (step, take) in steps.iter().zip(&takes) {
            run_step(&mut state, &mut model, step, numbers);
            change_all_timers(&mut state, step);
            if !matches!(take, Take::None) {
                let expected = seen(&state);
                waiting.push_back((state.seal(), expected));
            }
            if matches!(take, Take::Now) {
                for (sealed, expected) in waiting.drain(..) {
                    add(&mut stored, &sealed);
                    prop_assert_eq!(seen(&restored(&stored, &DataType::ALL)), expected);
                }
            }
        }
        waiting.push_back((state.seal(), seen(&state)));
        for (sealed, expected) in waiting {
            add(&mut stored, &sealed);
            prop_assert_eq!(seen(&restored(&stored, &DataType::ALL)), expected);
        }
        // A state that was restored goes on as the one that was sealed.
        let mut again = restored(&stored, &DataType::ALL);
        again.track();
        for (step, _) in steps.iter().zip(0..5) {
            run_step(&mut again, &mut model, step, numbers);
            change_all_timers(&mut again, step);
        }
        add(&mut stored, &again.seal());
        prop_assert_eq!(seen(&restored(&stored, &DataType::ALL)), seen(&again));
        let different: BTreeSet<&[u8]> = stored.keys().map(Vec::as_slice).collect();
        prop_assert_eq!(different.len(), again.keys() + again.timers());
    }
}
