//! What the finished components import, and what they answer through the real host.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, StringViewArray,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use plugins_conformance::{AT, component, input, start};
use wasmill_model::{
    Batch, DataType,
    reply::{CellUpdate, Groups, Outcome, TimeDomain},
};
use wasmill_plugin::inspect::inspect;

/// With the bytes of code each may have. A parser of SQL, and the tables of Unicode, have their price.
const ALL: [(&str, u64); 15] = [
    ("anomaly", 150_000),
    ("auction_filter", SMALL),
    ("currency_converter", SMALL),
    ("deduplicate", SMALL),
    ("delay_statistics", SMALL),
    ("filter", 2_000_000),
    ("json_extract", 300_000),
    ("keyed_counter", SMALL),
    ("map", 2_000_000),
    ("rate_limit", SMALL),
    ("regex_extract", 1_100_000),
    ("sample", SMALL),
    ("sessionize", SMALL),
    ("threshold_alert", SMALL),
    ("tokenizer", SMALL),
];

const SMALL: u64 = 131_072;

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from(values.to_vec()))
}

fn two_groups() -> Groups {
    Groups { count: 2, of_row: vec![0, 1, 0].into() }
}

#[test]
fn nothing_but_the_operator_contract_is_imported() {
    for (name, most) in ALL {
        let inspection = inspect(&component(name)).expect("it may be loaded");
        for import in &inspection.imports {
            assert!(import.name.starts_with("wasmill:operator/"), "{name} imports {}", import.name);
        }
        let code = inspection.size - inspection.custom_bytes;
        assert!(code <= most, "{name} has {code} bytes of code");
    }
}

#[test]
fn the_tokenizer_splits() {
    let (mut instance, _) = start("tokenizer", "{}", input(&[("line", DataType::Utf8)], None));
    let batch = Batch::new(3, vec![texts(&["to be", "", " or\u{a0}żółw "])]);
    let reply = instance.process(AT, 0, &batch, None, &[]).expect("no row fails");
    let [Outcome::Replace(words)] = [&reply.emissions[0].rows] else { panic!("{reply:?}") };
    let words: Vec<_> = words.column(0).as_string_view().iter().flatten().map(str::to_owned).collect();
    assert_eq!(words, ["to", "be", "or", "żółw"]);
}

#[test]
fn the_filter_keeps_multiples() {
    let (mut instance, _) = start("auction_filter", "{}", input(&[("auction", DataType::Int64)], None));
    let batch = Batch::new(3, vec![numbers(&[123, 124, 246])]);
    let reply = instance.process(AT, 0, &batch, None, &[]).expect("no row fails");
    let [Outcome::Keep(mask)] = [&reply.emissions[0].rows] else { panic!("{reply:?}") };
    assert_eq!(mask.values().iter().collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn the_converter_replaces_the_price() {
    let (mut instance, _) = start("currency_converter", "{}", input(&[("price", DataType::Int64)], None));
    let reply = instance.process(AT, 0, &Batch::new(2, vec![numbers(&[1_000, 0])]), None, &[]).expect("no row fails");
    let [Outcome::Extend { take: None, columns }] = [&reply.emissions[0].rows] else { panic!("{reply:?}") };
    assert_eq!(columns[0].as_primitive::<Float64Type>(), &Float64Array::from(vec![908.0, 0.0]));
}

#[test]
fn the_counter_counts_and_tells_at_the_end() {
    let wired = input(&[("word", DataType::Utf8)], Some("word"));
    let (mut instance, _) = start("keyed_counter", "{}", wired);
    let batch = Batch::new(3, vec![texts(&["a", "b", "a"])]);
    let before: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(4)]));
    let reply = instance.process(AT, 0, &batch, Some(&two_groups()), &[before]).expect("no row fails");
    let [CellUpdate::All(counts)] = reply.cells.as_slice() else { panic!("{reply:?}") };
    assert_eq!(counts.as_primitive::<Int64Type>(), &Int64Array::from(vec![2, 5]));
    let [timer] = reply.timers.as_slice() else { panic!("{reply:?}") };
    assert_eq!(
        (timer.domain, timer.groups.as_ref(), timer.times.as_ref()),
        (TimeDomain::EventTime, [0_u32].as_slice(), [i64::MAX].as_slice())
    );

    let mut due = Batch::new(2, vec![texts(&["a", "b"])]);
    due.event_times = Some(vec![i64::MAX, i64::MAX].into());
    let groups = Groups { count: 2, of_row: vec![0, 1].into() };
    let reply =
        instance.on_timers(AT, TimeDomain::EventTime, &due, &groups, &[numbers(&[2, 5])]).expect("no timer fails");
    let [Outcome::Extend { take: None, columns }] = [&reply.emissions[0].rows] else { panic!("{reply:?}") };
    assert_eq!(columns[0].as_primitive::<Int64Type>(), &Int64Array::from(vec![2, 5]));
}

#[test]
fn the_statistics_skip_nulls() {
    let columns = [("carrier", DataType::Utf8), ("delay", DataType::Int64)];
    let (mut instance, descriptor) = start("delay_statistics", "{}", input(&columns, Some("carrier")));
    let delays: ArrayRef = numbers(&[3, 8, 4]);
    let batch = Batch::new(3, vec![texts(&["AA", "UA", "AA"]), delays]);
    let empty: Vec<ArrayRef> = descriptor.cells.iter().map(|_| Arc::new(Int64Array::new_null(2)) as ArrayRef).collect();
    let reply = instance.process(AT, 0, &batch, Some(&two_groups()), &empty).expect("no row fails");
    let values = |update: &CellUpdate| match update {
        CellUpdate::All(values) => values.as_primitive::<Int64Type>().values().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reply.cells.iter().map(values).collect::<Vec<_>>(), [[2, 1], [2, 1], [7, 8], [4, 8]]);
}

#[test]
fn a_row_that_fails_is_named_and_the_instance_lives_on() {
    let columns = [("carrier", DataType::Utf8), ("delay", DataType::Int64)];
    let (mut instance, descriptor) = start("delay_statistics", "{}", input(&columns, Some("carrier")));
    let batch = Batch::new(3, vec![texts(&["AA", "UA", "AA"]), numbers(&[1, 2, i64::MAX])]);
    let empty: Vec<ArrayRef> = descriptor.cells.iter().map(|_| Arc::new(Int64Array::new_null(2)) as ArrayRef).collect();
    let error = instance.process(AT, 0, &batch, Some(&two_groups()), &empty).expect_err("the sum is too large");
    assert!(error.to_string().contains("the sum of delays is beyond 64 bits"), "{error}");
    assert!(!instance.is_dead());
}

#[test]
fn alerts_leave_with_their_row() {
    let columns = [("host", DataType::Int64), ("value", DataType::Float64)];
    let (mut instance, _) = start("threshold_alert", r#"{"threshold":5}"#, input(&columns, Some("host")));
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 8.0, 6.0]));
    let batch = Batch::new(3, vec![numbers(&[1, 2, 1]), values]);
    let empty: Vec<ArrayRef> = vec![Arc::new(Float64Array::new_null(2)), Arc::new(Int64Array::new_null(2))];
    let reply = instance.process(AT, 0, &batch, Some(&two_groups()), &empty).expect("no row fails");
    let [Outcome::Extend { take: Some(rows), columns }] = [&reply.emissions[0].rows] else { panic!("{reply:?}") };
    assert_eq!((rows.values().as_ref(), columns.len(), columns[0].len()), ([1_u32, 2].as_slice(), 2, 2));
}
