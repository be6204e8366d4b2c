//! Values that are gone after a time.

use std::convert::Infallible;

use wasmill_model::keys::KeyGroups;

use super::*;
use crate::{Restore, Stored};

const TTL_MS: i64 = 100;

/// A number and a text that live for a while, and a number that stays.
fn mortal() -> Vec<Cell> {
    let mut cells = cells(&[DataType::Int64, DataType::Utf8, DataType::Int64]);
    cells[0].ttl_ms = Some(TTL_MS as u64);
    cells[1].ttl_ms = Some(3 * TTL_MS as u64);
    cells
}

fn at(now_ms: i64) -> Clocks {
    Clocks { processing_time: now_ms, ..Clocks::default() }
}

fn mortal_state(cells: &[Cell]) -> KeyedState {
    let mut state = KeyedState::new(cells, NO_LIMITS).expect("these cells are known");
    state.track();
    state
}

#[test]
fn a_value_is_gone_after_its_time_unless_it_is_written_again() {
    let mut cells = cells(&[DataType::Int64]);
    cells[0].ttl_ms = Some(TTL_MS as u64);
    let mut state = mortal_state(&cells);
    state.set_now(at(1_000));
    group(&mut state, &["1", "2"]);
    state.apply(&all(&[Some(1), Some(2)]), &[], &[]).expect("no limit");
    state.set_now(at(1_000 + TTL_MS - 1));
    group(&mut state, &["2", "1"]);
    assert_eq!(look(&mut state), [Some(2), Some(1)]);
    let update = CellUpdate::Marked { groups: BooleanBuffer::from(vec![true, false]), values: ints(&[Some(3)]) };
    state.apply(&[update], &[], &[]).expect("no limit");
    state.set_now(at(1_000 + TTL_MS));
    group(&mut state, &["1", "2"]);
    assert_eq!(look(&mut state), [None, Some(3)], "1 was not written again");
    let values = state.lookup()[0].as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(values, [0, 3], "what is gone is not below the null either");
    state.set_now(at(i64::MAX));
    for _ in 0..3 {
        group(&mut state, &["3"]);
    }
    assert_eq!(state.keys(), 0, "what is gone takes no room");
}

#[test]
fn in_event_time_a_value_lives_since_the_latest_row_of_its_key() {
    let mut cells = cells(&[DataType::Int64]);
    (cells[0].ttl_ms, cells[0].ttl_domain) = (Some(TTL_MS as u64), TimeDomain::EventTime);
    // However the rows are cut into calls.
    for calls in [&[&[(1, 50), (1, 20), (2, 30)][..]][..], &[&[(1, 50)], &[(1, 20)], &[(2, 30)]]] {
        let mut state = mortal_state(&cells);
        assert!(state.wants_event_times());
        for rows in calls {
            let keys: Vec<String> = rows.iter().map(|(key, _)| key.to_string()).collect();
            let of_row = group(&mut state, &keys.iter().map(String::as_str).collect::<Vec<_>>());
            let count = of_row.iter().max().expect("there are rows") + 1;
            let times: Vec<i64> = rows.iter().map(|(_, time)| *time).collect();
            state.set_event_times(&Groups { count, of_row: of_row.into() }, &times);
            state.apply(&all(&vec![Some(7); count as usize]), &[], &[]).expect("no limit");
        }
        let mut check = |watermark, expect: &[Option<i64>]| {
            state.set_now(Clocks { event_time: watermark, processing_time: i64::MAX });
            group(&mut state, &["1", "2"]);
            assert_eq!(look(&mut state), expect, "at watermark {watermark}");
        };
        check(i64::MIN, &[Some(7), Some(7)]);
        check(TTL_MS + 29, &[Some(7), Some(7)]);
        check(TTL_MS + 30, &[Some(7), None]);
        check(TTL_MS + 49, &[Some(7), None]);
        check(TTL_MS + 50, &[None, None]);
    }
}

/// What each key has: the value of each cell and when it was written.
type Model = BTreeMap<i64, [Option<(String, i64)>; 3]>;

fn alive(model: &Model, cells: &[Cell], key: i64, cell: usize, now: i64) -> Option<String> {
    let (value, written) = model.get(&key)?[cell].clone()?;
    cells[cell].ttl_ms.is_none_or(|ttl| now - written < ttl as i64).then_some(value)
}

fn found(state: &mut KeyedState, cell: usize) -> Vec<Option<String>> {
    let column = state.lookup().swap_remove(cell);
    match column.as_string_view_opt() {
        Some(texts) => texts.iter().map(|text| text.map(str::to_owned)).collect(),
        None => column.as_primitive::<Int64Type>().iter().map(|n| n.map(|n| n.to_string())).collect(),
    }
}

/// The same state, made of snapshots.
fn through(stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, state: &mut KeyedState, cells: &[Cell], now: i64) -> KeyedState {
    let key_groups = KeyGroups::new(8).expect("a number of key groups");
    let taken: Result<(), Infallible> = state.seal().rows(key_groups, |key, value| {
        match value {
            Some(value) => stored.insert(key.to_vec(), value.to_vec()),
            None => stored.remove(key),
        };
        Ok(())
    });
    taken.expect("nothing can fail");
    let mut restored = KeyedState::new(cells, NO_LIMITS).expect("these cells are known");
    restored.set_now(at(now));
    let same = Stored::same(cells);
    let mut restore = Restore::new(&mut restored, &same);
    for (key, value) in stored.iter() {
        restore.row(key, value).expect("it is a row of this state");
    }
    restored.track();
    restored
}

/// What happens between two looks.
#[derive(Debug, Clone)]
enum Step {
    /// Some keys get a value in a cell; none: it is cleared.
    Write {
        cell: usize,
        keys: Vec<(i64, Option<u8>)>,
    },
    Wait(i64),
    /// It goes through a snapshot and back.
    Restore,
    /// A snapshot is taken, and held while it goes on.
    Seal,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = proptest::collection::btree_map(0..12_i64, option::of(0..9_u8), 1..6);
    prop_oneof![
        4 => (0..3_usize, keys).prop_map(|(cell, keys)| Step::Write { cell, keys: keys.into_iter().collect() }),
        2 => (1..150_i64).prop_map(Step::Wait),
        1 => Just(Step::Restore),
        1 => Just(Step::Seal),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_only_living_values_are_seen(steps in vec(step(), 1..60)) {
        let cells = mortal();
        let mut state = mortal_state(&cells);
        let (mut model, mut now) = (Model::new(), 1_000);
        let (mut stored, mut held) = (BTreeMap::new(), None);
        for step in steps {
            match step {
                Step::Write { cell, keys } => {
                    let names: Vec<String> = keys.iter().map(|(key, _)| key.to_string()).collect();
                    state.set_now(at(now));
                    group(&mut state, &names.iter().map(String::as_str).collect::<Vec<_>>());
                    let values: Vec<Option<String>> = keys.iter().map(|(_, v)| v.map(|v| v.to_string())).collect();
                    let column = match cell {
                        1 => texts(&values.iter().map(Option::as_deref).collect::<Vec<_>>()),
                        _ => ints(&keys.iter().map(|(_, v)| v.map(i64::from)).collect::<Vec<_>>()),
                    };
                    let updates: Vec<CellUpdate> = (0..3)
                        .map(|at| if at == cell { CellUpdate::All(column.clone()) } else { CellUpdate::Unchanged })
                        .collect();
                    state.apply(&updates, &[], &[]).expect("no limit");
                    for ((key, _), value) in keys.iter().zip(values) {
                        model.entry(*key).or_default()[cell] = value.map(|value| (value, now));
                    }
                }
                Step::Wait(ms) => now += ms,
                Step::Restore => {
                    held = None;
                    state = through(&mut stored, &mut state, &cells, now);
                }
                Step::Seal => {
                    let key_groups = KeyGroups::new(8).expect("a number of key groups");
                    let sealed = state.seal();
                    let taken: Result<(), Infallible> = sealed.rows(key_groups, |key, value| {
                        match value {
                            Some(value) => stored.insert(key.to_vec(), value.to_vec()),
                            None => stored.remove(key),
                        };
                        Ok(())
                    });
                    taken.expect("nothing can fail");
                    held = Some(sealed);
                }
            }
            let names: Vec<String> = (0..12).map(|key| key.to_string()).collect();
            state.set_now(at(now));
            group(&mut state, &names.iter().map(String::as_str).collect::<Vec<_>>());
            for cell in 0..3 {
                let expected: Vec<Option<String>> =
                    (0..12).map(|key| alive(&model, &cells, key, cell, now)).collect();
                prop_assert_eq!(found(&mut state, cell), expected, "cell {} at {}", cell, now);
            }
        }
        drop(held);
    }
}
