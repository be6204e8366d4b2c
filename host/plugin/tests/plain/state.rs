//! Cells and timers.

use arrow_array::{Array, Int64Array, StringViewArray, cast::AsArray, types::Int64Type};
use wasmill_model::{
    Batch,
    reply::{CellUpdate, Outcome, TimeDomain},
    time,
};

use crate::fixture::{AT, Setup, cells, groups, int64, rows};

#[test]
fn counts_are_updated_and_timers_set() {
    let mut opened = Setup::new("count").start().unwrap();
    let call = rows(&[1, 1, 2, 3]);
    let state = cells(&[Some(10), None, Some(0)]);
    let reply = opened.instance.process(AT, 0, &call, Some(&groups(3, &[0, 0, 1, 2])), &state).unwrap();
    assert!(reply.emissions.is_empty());
    let [CellUpdate::All(counts), CellUpdate::Unchanged] = reply.cells.as_slice() else { panic!("{:?}", reply.cells) };
    assert_eq!(counts, &int64(&[12, 1, 1]));
    let [timers] = reply.timers.as_slice() else { panic!("{:?}", reply.timers) };
    assert_eq!((timers.domain, timers.set), (TimeDomain::EventTime, true));
    assert_eq!((timers.groups.as_ref(), timers.times.as_ref()), ([1].as_slice(), [time::MAX].as_slice()));
}

#[test]
fn marked_groups_alone_are_updated() {
    let mut opened = Setup::new("count-marked").start().unwrap();
    let state = cells(&[Some(10), Some(20), Some(30)]);
    let reply = opened.instance.process(AT, 0, &rows(&[1, 2, 3]), Some(&groups(3, &[0, 1, 2])), &state).unwrap();
    let [CellUpdate::Marked { groups: numbers, values }, CellUpdate::Marked { groups: first, values: cleared }] =
        reply.cells.as_slice()
    else {
        panic!("{:?}", reply.cells)
    };
    assert_eq!(numbers.set_indices().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(values, &int64(&[11, 31]));
    assert_eq!(first.set_indices().collect::<Vec<_>>(), [0]);
    assert_eq!(cleared.as_string_view(), &StringViewArray::from(vec![None::<&str>]));
    let Outcome::Extend { take: None, columns } = &reply.emissions[0].rows else { panic!("{:?}", reply.emissions) };
    assert_eq!(columns, &[int64(&[11, 21, 31])]);
    assert!(!reply.timers[0].set);
    assert_eq!((reply.timers[0].domain, reply.timers[0].times[0]), (TimeDomain::ProcessingTime, -5));
}

#[test]
fn due_timers_emit_their_keys() {
    let mut opened = Setup::new("count").start().unwrap();
    let keys = StringViewArray::from(vec!["x", "a key of more than twelve bytes", "x"]);
    let mut due = Batch::new(3, vec![std::sync::Arc::new(keys)]);
    due.event_times = Some(vec![1, 2, 3].into());
    let state = cells(&[Some(5), Some(6)]);
    let groups = groups(2, &[0, 1, 0]);
    let reply = opened.instance.on_timers(AT, TimeDomain::ProcessingTime, &due, &groups, &state).unwrap();
    assert_eq!(opened.messages(), ["TimeDomain::ProcessingTime [1, 2, 3] 1 columns"]);
    let Outcome::Extend { take: None, columns } = &reply.emissions[0].rows else { panic!("{:?}", reply.emissions) };
    assert_eq!(columns[0].as_primitive::<Int64Type>(), &Int64Array::from(vec![5, 6, 5]));
    let CellUpdate::All(cleared) = &reply.cells[0] else { panic!("{:?}", reply.cells) };
    assert_eq!((cleared.len(), cleared.null_count()), (2, 2));
}
