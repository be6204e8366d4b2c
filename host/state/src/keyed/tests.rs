//! State against a model of it, and its limits one by one.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, BinaryViewArray, BooleanArray, Float64Array, Int64Array, StringViewArray, cast::AsArray, types::Int64Type,
};
use arrow_buffer::BooleanBuffer;
use proptest::{collection::vec, option, prelude::*};
use wasmill_model::{
    DataType, Field,
    keys::KeyEncoder,
    reply::{CellUpdate, TimerChanges},
};

use super::*;

mod lives;
mod sealing;

const NO_LIMITS: StateLimits = StateLimits { bytes_max: usize::MAX / 2, timers_max: usize::MAX / 2 };

fn cells(types: &[DataType]) -> Vec<Cell> {
    let cell = |(i, data_type): (usize, &DataType)| Cell::value(&format!("c{i}"), *data_type);
    types.iter().enumerate().map(cell).collect()
}

fn state(types: &[DataType], limits: StateLimits) -> KeyedState {
    KeyedState::new(&cells(types), limits).expect("these cells are known")
}

/// Begins a call with rows of these text keys, or int64 keys if all are numbers.
fn group(state: &mut KeyedState, keys: &[&str]) -> Vec<u32> {
    let numbers: Option<Vec<i64>> = keys.iter().map(|key| key.parse().ok()).collect();
    let (column, data_type): (ArrayRef, _) = match numbers {
        Some(numbers) => (Arc::new(Int64Array::from(numbers)), DataType::Int64),
        None => (Arc::new(StringViewArray::from_iter_values(keys)), DataType::Utf8),
    };
    let mut encoder = KeyEncoder::new(&[Field::new("k", data_type)]).expect("a key type");
    encoder.encode(&[&column], keys.len()).expect("short keys");
    state.group(encoder.keys(), &encoder.hash()).of_row.to_vec()
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter(values.iter().copied()))
}

fn all(values: &[Option<i64>]) -> [CellUpdate; 1] {
    [CellUpdate::All(ints(values))]
}

/// The values of the only, int64, cell.
fn look(state: &mut KeyedState) -> Vec<Option<i64>> {
    state.lookup()[0].as_primitive::<Int64Type>().iter().collect()
}

fn set_timers(domain: TimeDomain, timers: &[(u32, i64)]) -> TimerChanges {
    change_timers(domain, true, timers)
}

fn change_timers(domain: TimeDomain, set: bool, timers: &[(u32, i64)]) -> TimerChanges {
    let (groups, times): (Vec<u32>, Vec<i64>) = timers.iter().copied().unzip();
    TimerChanges { domain, set, groups: groups.into(), times: times.into() }
}

#[test]
fn values_are_found_again_cleared_and_counted() {
    let mut state = state(&[DataType::Int64], NO_LIMITS);
    assert_eq!(group(&mut state, &["7", "8", "7"]), [0, 1, 0]);
    assert_eq!(look(&mut state), [None, None]);
    state.apply(&all(&[Some(1), Some(-2)]), &[], &[]).expect("no limit");
    assert_eq!(state.keys(), 2);
    group(&mut state, &["9", "8", "7"]);
    assert_eq!(look(&mut state), [None, Some(-2), Some(1)]);

    // A marked update leaves the others alone; a null clears, and clears the record of a key without values.
    let groups = BooleanBuffer::from(vec![true, true, false]);
    state.apply(&[CellUpdate::Marked { groups, values: ints(&[None, None]) }], &[], &[]).expect("no limit");
    assert_eq!(state.keys(), 1);
    group(&mut state, &["7", "8"]);
    assert_eq!(look(&mut state), [Some(1), None]);
    assert_eq!(state.scan().keys.len(), 1);
}

#[test]
fn a_call_can_apply_twice_to_the_same_groups() {
    let mut state = state(&[DataType::Int64], NO_LIMITS);
    group(&mut state, &["1", "2"]);
    state.apply(&all(&[Some(1), None]), &[], &[]).expect("no limit");
    state.apply(&all(&[None, Some(2)]), &[], &[]).expect("no limit");
    assert_eq!(look(&mut state), [None, Some(2)]);
    assert_eq!(state.keys(), 1);
}

#[test]
fn more_cells_than_can_be_kept_are_refused() {
    let many = KeyedState::new(&cells(&[DataType::Boolean; 257]), NO_LIMITS);
    assert_eq!(many.expect_err("refused"), Error::TooManyCells { cells: 257, cells_max: 256 });
}

#[test]
fn a_call_over_the_limit_of_bytes_changes_nothing() {
    let mut state = state(&[DataType::Int64], StateLimits { bytes_max: 100_000, timers_max: 10_000 });
    let (mut applied, mut refused) = (0, None);
    while refused.is_none() && applied < 10_000 {
        let keys: Vec<String> = (applied..applied + 10).map(|i| i.to_string()).collect();
        group(&mut state, &keys.iter().map(String::as_str).collect::<Vec<_>>());
        let timer = set_timers(TimeDomain::EventTime, &[(0, 5)]);
        match state.apply(&all(&[Some(1); 10]), &[], &[timer]) {
            Ok(()) => applied += 10,
            Err(error) => refused = Some(error),
        }
        assert!(state.bytes() <= 100_000);
    }
    assert!(matches!(refused, Some(Error::StateFull { bytes: 100_001.., bytes_max: 100_000 })), "{refused:?}");
    assert!(applied > 500, "{applied} keys fill 100,000 bytes");
    assert_eq!((state.keys(), look(&mut state)), (applied, vec![None; 10]));

    // Keys that are there can still change, and what is cleared makes room.
    group(&mut state, &["0", "1"]);
    state.apply(&all(&[Some(2), None]), &[], &[]).expect("nothing new");
    group(&mut state, &["new"]);
    state.apply(&all(&[Some(3)]), &[], &[]).expect("there is room for one");
}

#[test]
fn a_call_over_the_limit_of_timers_changes_nothing() {
    let mut state = state(&[DataType::Int64], StateLimits { bytes_max: 1 << 30, timers_max: 3 });
    group(&mut state, &["1", "2"]);
    let set = |timers: &[(u32, i64)]| set_timers(TimeDomain::EventTime, timers);
    state.apply(&[], &[], &[set(&[(0, 1), (1, 1)])]).expect("two timers");
    let clock = set_timers(TimeDomain::ProcessingTime, &[(0, 1), (1, 9)]);
    let error = state.apply(&all(&[Some(1), Some(2)]), &[], &[clock]).expect_err("four timers");
    assert_eq!(error, Error::TimersFull { timers: 4, timers_max: 3 });
    assert_eq!((state.timers(), state.keys()), (2, 0));

    // Setting what is set takes no room.
    state.apply(&[], &[], &[set(&[(0, 1), (1, 1), (0, 7)])]).expect("one new timer");
    state.apply(&[], &[], &[set(&[(0, 7), (1, 1)])]).expect("no new timer");
    state.apply(&[], &[], &[change_timers(TimeDomain::EventTime, false, &[(0, 7)])]).expect("clearing");
    state.apply(&[], &[], &[set(&[(1, 7)])]).expect("there is room again");
}

#[test]
fn timers_count_against_the_limit_of_bytes() {
    let mut state = state(&[], StateLimits { bytes_max: 60_000, timers_max: 1_000_000 });
    group(&mut state, &["k"]);
    let times: Vec<(u32, i64)> = (0..1_000).map(|t| (0, t)).collect();
    let error = state.apply(&[], &[], &[set_timers(TimeDomain::EventTime, &times)]).expect_err("over 100 bytes each");
    assert!(matches!(error, Error::StateFull { .. }), "{error:?}");
    assert_eq!((state.timers(), state.bytes()), (0, 0));
    state.apply(&[], &[], &[set_timers(TimeDomain::EventTime, &times[..100])]).expect("these have room");
    assert!((1..=60_000).contains(&state.bytes()));
}

#[test]
fn a_record_longer_than_a_segment_is_refused() {
    let mut state = state(&[DataType::Utf8, DataType::Utf8], NO_LIMITS);
    let half = "x".repeat(600_000);
    group(&mut state, &["a", "b"]);
    let first = CellUpdate::All(texts(&[Some("kept"), Some(&half)]));
    state.apply(&[first, CellUpdate::Unchanged], &[], &[]).expect("600,000 bytes");
    let second = || CellUpdate::All(texts(&[None, Some(&half)]));
    let error = state.apply(&[CellUpdate::Unchanged, second()], &[], &[]).expect_err("1,200,000 bytes");
    assert!(matches!(error, Error::RecordTooLong { group: 1, bytes: 1_200_000.., .. }), "{error:?}");
    assert!(state.lookup()[1].is_null(1));
    state.apply(&[CellUpdate::All(texts(&[Some("kept"), None])), second()], &[], &[]).expect("one of both");
    let read = state.lookup();
    assert_eq!(read[0].as_string_view().iter().collect::<Vec<_>>(), [Some("kept"), None]);
    assert_eq!(read[1].as_string_view().value(1).len(), 600_000);
}

#[test]
fn growing_and_shrinking_texts_do_not_leak() {
    let mut state = state(&[DataType::Utf8], NO_LIMITS);
    let keys: Vec<String> = (0..100).map(|i| format!("key {i}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut high = 0;
    for round in 0..2_000_usize {
        group(&mut state, &keys);
        let text = "x".repeat(round * 37 % 1_000);
        state.apply(&[CellUpdate::All(texts(&vec![Some(text.as_str()); 100]))], &[], &[]).expect("no limit");
        if round == 1_000 {
            high = state.bytes();
        }
    }
    assert_eq!(state.bytes(), high);
    assert!(high < 100 * 1_000 * 8, "{high} bytes for 100 texts of up to 1,000");
}

#[test]
fn keys_that_come_and_go_do_not_leak() {
    let mut state = state(&[DataType::Int64], NO_LIMITS);
    let mut high = 0;
    for round in 0..500 {
        let keys: Vec<String> = (0..100).map(|i| (round * 100 + i).to_string()).collect();
        group(&mut state, &keys.iter().map(String::as_str).collect::<Vec<_>>());
        let timers: Vec<(u32, i64)> = (0..100).map(|g| (g, i64::from(g) * 7 + round)).collect();
        state.apply(&all(&[Some(1); 100]), &[], &[set_timers(TimeDomain::EventTime, &timers)]).expect("no limit");
        state.apply(&all(&[None; 100]), &[], &[]).expect("no limit");
        if round % 2 == 0 {
            state.apply(&[], &[], &[change_timers(TimeDomain::EventTime, false, &timers)]).expect("no limit");
        } else {
            while !state.take_due(TimeDomain::EventTime, i64::MAX, 30).is_empty() {}
        }
        assert_eq!((state.keys(), state.timers()), (0, 0));
        if round == 1 {
            high = state.bytes();
        }
    }
    assert_eq!(state.bytes(), high);
}

/// A value of any of the six types, as a model keeps it.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Word(i64),
    Float(u64),
    Boolean(bool),
    Text(String),
    Bytes(Vec<u8>),
}

fn value(data_type: DataType, seed: u16) -> Value {
    match data_type {
        DataType::Int64 | DataType::Timestamp => Value::Word(i64::from(seed) - 30_000),
        DataType::Float64 => Value::Float((f64::from(seed) / 7.0).to_bits()),
        DataType::Boolean => Value::Boolean(seed.is_multiple_of(2)),
        DataType::Utf8 => Value::Text("é".repeat(usize::from(seed % 97))),
        DataType::Binary => Value::Bytes(vec![seed as u8; usize::from(seed % 301)]),
    }
}

fn array(data_type: DataType, values: &[Option<Value>]) -> ArrayRef {
    macro_rules! collect {
        ($array:ty, $pattern:pat => $value:expr) => {
            Arc::new(<$array>::from_iter(values.iter().map(|v| match v {
                Some($pattern) => Some($value),
                _ => None,
            })))
        };
    }
    match data_type {
        DataType::Int64 | DataType::Timestamp => collect!(Int64Array, Value::Word(v) => *v),
        DataType::Float64 => collect!(Float64Array, Value::Float(v) => f64::from_bits(*v)),
        DataType::Boolean => collect!(BooleanArray, Value::Boolean(v) => *v),
        DataType::Utf8 => collect!(StringViewArray, Value::Text(v) => v.as_str()),
        DataType::Binary => collect!(BinaryViewArray, Value::Bytes(v) => v.as_slice()),
    }
}

#[derive(Debug, Clone)]
struct Update {
    marks: Option<Vec<bool>>,
    values: Vec<Option<u16>>,
}

#[derive(Debug, Clone)]
struct Step {
    rows: Vec<u8>,
    updates: Vec<Option<Update>>,
    timers: Vec<(bool, bool, u32, i64)>,
    fire: Option<(bool, i64, usize)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let update = (option::of(vec(any::<bool>(), 16)), vec(option::weighted(0.7, any::<u16>()), 16))
        .prop_map(|(marks, values)| Update { marks, values });
    let timer = (any::<bool>(), prop::bool::weighted(0.6), 0..16_u32, -3..6_i64);
    let fire = (any::<bool>(), -4..7_i64, 1..5_usize);
    let step = (vec(0..24_u8, 1..16), vec(option::of(update), 6), vec(timer, 0..12), option::of(fire));
    vec(step.prop_map(|(rows, updates, timers, fire)| Step { rows, updates, timers, fire }), 0..30)
}

type Model = BTreeMap<Vec<u8>, Vec<Option<Value>>>;

fn domain(event_time: bool) -> TimeDomain {
    if event_time { TimeDomain::EventTime } else { TimeDomain::ProcessingTime }
}

/// One call of state and model, with text keys or numbers as keys. Returns what the state read.
fn run_step(state: &mut KeyedState, model: &mut Model, step: &Step, numbers: bool) -> Vec<Vec<u8>> {
    let name = |row: &u8| if numbers { row.to_string() } else { "k".repeat(usize::from(*row)) };
    let names: Vec<String> = step.rows.iter().map(name).collect();
    group(state, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let keys: Vec<Vec<u8>> = state.group_keys().iter().map(<[u8]>::to_vec).collect();
    let read = state.lookup();
    for (cell, data_type) in DataType::ALL.into_iter().enumerate() {
        let values: Vec<_> = keys.iter().map(|k| model.get(k).and_then(|v| v[cell].clone())).collect();
        assert_eq!(read[cell].to_data(), array(data_type, &values).to_data(), "cell of {data_type}");
    }
    let mut updates = Vec::new();
    for (cell, (data_type, update)) in DataType::ALL.into_iter().zip(&step.updates).enumerate() {
        let Some(Update { marks, values }) = update else {
            updates.push(CellUpdate::Unchanged);
            continue;
        };
        let marked = |group: &usize| marks.as_ref().is_none_or(|marks| marks[*group]);
        let mut new = Vec::new();
        for group in (0..keys.len()).filter(marked) {
            let value = values[group].map(|seed| value(data_type, seed));
            let cells = model.entry(keys[group].clone()).or_insert_with(|| vec![None; 6]);
            cells[cell] = value.clone();
            new.push(value);
        }
        let values = array(data_type, &new);
        updates.push(match marks {
            None => CellUpdate::All(values),
            Some(marks) => CellUpdate::Marked { groups: marks[..keys.len()].to_vec().into(), values },
        });
    }
    model.retain(|_, cells| cells.iter().any(Option::is_some));
    state.apply(&updates, &[], &[]).expect("no limit");
    keys
}

proptest! {
    #[test]
    fn state_is_what_a_map_of_maps_is(steps in steps(), numbers in any::<bool>()) {
        let mut state = state(&DataType::ALL, NO_LIMITS);
        let mut model = Model::new();
        for step in &steps {
            run_step(&mut state, &mut model, step, numbers);
            prop_assert_eq!(state.keys(), model.len());
        }
        let scan = state.scan();
        prop_assert!(scan.keys.iter().eq(model.keys().map(Vec::as_slice)));
        for (cell, data_type) in DataType::ALL.into_iter().enumerate() {
            let values: Vec<_> = model.values().map(|v| v[cell].clone()).collect();
            prop_assert_eq!(scan.cells[cell].to_data(), array(data_type, &values).to_data());
        }
    }

    #[test]
    fn timers_are_what_a_sorted_set_is(steps in steps()) {
        let mut state = state(&[], NO_LIMITS);
        let mut model = std::collections::BTreeSet::<(bool, i64, Vec<u8>)>::new();
        for step in &steps {
            let names: Vec<String> = step.rows.iter().map(u8::to_string).collect();
            group(&mut state, &names.iter().map(String::as_str).collect::<Vec<_>>());
            let keys: Vec<Vec<u8>> = state.group_keys().iter().map(<[u8]>::to_vec).collect();
            let mut changes = Vec::new();
            for &(event_time, set, group, time) in &step.timers {
                let group = group % keys.len() as u32;
                let timer = (event_time, time, keys[group as usize].clone());
                if set { model.insert(timer); } else { model.remove(&timer); }
                changes.push(change_timers(domain(event_time), set, &[(group, time)]));
            }
            state.apply(&[], &[], &changes).expect("no limit");
            if let Some((event_time, up_to, max)) = step.fire {
                let due = state.take_due(domain(event_time), up_to, max);
                let expect: Vec<_> =
                    model.iter().filter(|(e, t, _)| *e == event_time && *t <= up_to).take(max).cloned().collect();
                expect.iter().for_each(|timer| { model.remove(timer); });
                prop_assert!(due.times.iter().copied().eq(expect.iter().map(|(_, t, _)| *t)));
                prop_assert!(due.keys.iter().eq(expect.iter().map(|(_, _, k)| k.as_slice())));
                if up_to % 2 == 0 {
                    state.restore(&due);
                    model.extend(expect);
                }
            }
            prop_assert_eq!(state.timers(), model.len());
            for event_time in [true, false] {
                let first = model.iter().find(|(e, _, _)| *e == event_time).map(|(_, t, _)| *t);
                prop_assert_eq!(state.next_time(domain(event_time)), first);
                let scan = state.scan_timers(domain(event_time));
                let all = || model.iter().filter(|(e, _, _)| *e == event_time);
                prop_assert!(scan.times.iter().copied().eq(all().map(|(_, t, _)| *t)));
                prop_assert!(scan.keys.iter().eq(all().map(|(_, _, k)| k.as_slice())));
            }
        }
    }
}
