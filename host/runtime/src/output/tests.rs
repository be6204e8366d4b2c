//! Which rows and columns leave by a port of each shape.

use std::path::Path;

use arrow_array::{BooleanArray, Int64Array, UInt32Array, cast::AsArray, types::Int64Type};
use wasmill_model::{
    DataType, Field, Schema,
    descriptor::{Port, Reads},
    graph::{PortSchema, Role},
    settings::Settings,
    spec::{BadRowPolicy, RoleSpec, VertexSpec},
};

use super::*;

/// The input's columns are `a`, `b` and `c`; it is keyed by `c`, then `a`.
fn input() -> Input {
    let fields = ["a", "b", "c"].map(|name| Field::new(name, DataType::Int64));
    let schema = Schema::new(fields.to_vec()).expect("the names differ");
    Input { schema, key: Some(vec!["c".into(), "a".into()]), event_times: true }
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Three rows: a 1, 2, 3; b 10, 20, 30; c 100, 200, 300; event times 7, 8, 9.
fn batch() -> Batch {
    let mut batch = Batch::new(3, vec![numbers(&[1, 2, 3]), numbers(&[10, 20, 30]), numbers(&[100, 200, 300])]);
    batch.event_times = Some(vec![7, 8, 9].into());
    batch.key_hashes = Some(vec![1, 2, 3].into());
    batch
}

fn columns(names: &[&str]) -> Vec<Field> {
    names.iter().map(|name| Field::new(*name, DataType::Int64)).collect()
}

fn output(shape: Shape, wanted: &[bool], event_times: bool) -> PortOutput {
    let inputs = vec![input()];
    let descriptor = Descriptor {
        inputs: vec![Reads { columns: Vec::new(), keyed: true, event_times: false }],
        ports: vec![Port { name: "out".into(), shape, event_times }],
        cells: Vec::new(),
        timers: true,
        notice_watermark: false,
        notice_end_of_input: false,
        extra: Vec::new(),
    };
    let settings = Settings::parse(Path::new("job.toml"), "").expect("it is TOML");
    let role = RoleSpec::Source { event_time: None, bad_rows: BadRowPolicy::default() };
    let vertex = Vertex {
        name: "o".into(),
        parallelism: 1,
        role: Role::Sink,
        ports: vec![PortSchema { name: "out".into(), schema: descriptor.port_schema(0, &inputs), event_times }],
        spec: Arc::new(VertexSpec { name: "o".into(), parallelism: 1, role, settings }),
    };
    PortOutput::new(&Arc::new(descriptor), &inputs, &vertex, 0, wanted.to_vec())
}

fn all_but_times(batch: Option<Batch>) -> Option<Vec<Option<Vec<i64>>>> {
    let values = |column: &ArrayRef| column.as_primitive::<Int64Type>().values().to_vec();
    batch.map(|batch| {
        assert!(batch.key_hashes.is_none(), "the hashes of one edge say nothing on another");
        batch.columns.iter().map(|column| column.as_ref().map(values)).collect()
    })
}

fn some(values: &[i64]) -> Option<Vec<i64>> {
    Some(values.to_vec())
}

#[test]
fn rows_that_pass_keep_the_columns_that_are_wanted() {
    let batch = batch();
    let call = CallRows::Input { input: 0, batch: &batch };
    let output = output(Shape::Pass { input: 0 }, &[true, false, true], true);
    for (outcome, expect, times) in [
        (Outcome::Unchanged, Some([some(&[1, 2, 3]), None, some(&[100, 200, 300])]), &[7, 8, 9][..]),
        (
            Outcome::Keep(BooleanArray::from(vec![false, true, true])),
            Some([some(&[2, 3]), None, some(&[200, 300])]),
            &[8, 9],
        ),
        (
            Outcome::Take(UInt32Array::from(vec![2, 0, 2])),
            Some([some(&[3, 1, 3]), None, some(&[300, 100, 300])]),
            &[9, 7, 9],
        ),
        (Outcome::Keep(BooleanArray::from(vec![false; 3])), None, &[]),
        (Outcome::Take(UInt32Array::from(Vec::<u32>::new())), None, &[]),
        (Outcome::DropAll, None, &[]),
    ] {
        let rows = output.rows(call, outcome);
        // rule 27
        assert_eq!(rows.as_ref().and_then(|r| r.event_times.as_deref()).unwrap_or_default(), times);
        assert_eq!(all_but_times(rows), expect.map(Vec::from));
    }
}

#[test]
fn rows_go_on_even_if_nobody_reads_a_column_of_them() {
    let batch = batch();
    let call = CallRows::Input { input: 0, batch: &batch };
    let rows =
        output(Shape::Pass { input: 0 }, &[false; 3], false).rows(call, Outcome::Unchanged).expect("it has rows");
    assert_eq!((rows.rows, rows.columns.len(), rows.event_times), (3, 3, None));
}

/// rule 23: a column of the input's name takes its place, the others come at the end.
#[test]
fn columns_are_added_and_replaced() {
    let batch = batch();
    let call = CallRows::Input { input: 0, batch: &batch };
    let shape = || Shape::Extend { input: 0, columns: columns(&["new", "b"]) };
    let reply = |take: Option<Vec<u32>>, new: &[i64], b: &[i64]| Outcome::Extend {
        take: take.map(UInt32Array::from),
        columns: vec![numbers(new), numbers(b)],
    };
    let all = output(shape(), &[true; 4], true);
    let rows = all.rows(call, reply(None, &[4, 5, 6], &[-1, -2, -3]));
    let expect = [some(&[1, 2, 3]), some(&[-1, -2, -3]), some(&[100, 200, 300]), some(&[4, 5, 6])];
    assert_eq!(all_but_times(rows), Some(expect.into()));
    let rows = all.rows(call, reply(Some(vec![2, 2]), &[4, 5], &[-1, -2]));
    assert_eq!(rows.as_ref().and_then(|r| r.event_times.as_deref()), Some(&[9, 9][..]));
    assert_eq!(all_but_times(rows), Some(vec![some(&[3, 3]), some(&[-1, -2]), some(&[300, 300]), some(&[4, 5])]));
    let some_wanted = output(shape(), &[false, false, true, true], true);
    let rows = some_wanted.rows(call, reply(None, &[4, 5, 6], &[-1, -2, -3]));
    assert_eq!(all_but_times(rows), Some(vec![None, None, some(&[100, 200, 300]), some(&[4, 5, 6])]));
    assert!(all.rows(call, reply(Some(vec![]), &[], &[])).is_none());
}

/// rule 24: the key columns in the order of `key_by`, then those the operator gives.
#[test]
fn rows_of_keys() {
    let batch = batch();
    let call = CallRows::Input { input: 0, batch: &batch };
    let reply = || Outcome::Extend { take: Some(UInt32Array::from(vec![2, 0])), columns: vec![numbers(&[5, 6])] };
    let rows = output(Shape::Key { columns: columns(&["n"]) }, &[true; 3], true).rows(call, reply());
    assert_eq!(rows.as_ref().and_then(|r| r.event_times.as_deref()), Some(&[9, 7][..]));
    assert_eq!(all_but_times(rows), Some(vec![some(&[300, 100]), some(&[3, 1]), some(&[5, 6])]));
    let rows = output(Shape::Key { columns: columns(&["n"]) }, &[false, true, false], true).rows(call, reply());
    assert_eq!(all_but_times(rows), Some(vec![None, some(&[3, 1]), None]));
}

/// rule 27: timers of event time give their own time, those of processing time the watermark.
#[test]
fn rows_of_timers() {
    let mut due = Batch::new(2, vec![numbers(&[100, 200]), numbers(&[1, 2])]);
    due.event_times = Some(vec![50, 60].into());
    let output = output(Shape::Key { columns: columns(&["n"]) }, &[true; 3], true);
    for (event_time, expect) in [(None, [50, 60]), (Some(44), [44, 44])] {
        let reply = Outcome::Extend { take: None, columns: vec![numbers(&[5, 6])] };
        let rows = output.rows(CallRows::Timers { due: &due, event_time }, reply);
        assert_eq!(rows.as_ref().and_then(|r| r.event_times.as_deref()), Some(&expect[..]));
        assert_eq!(all_but_times(rows), Some(vec![some(&[100, 200]), some(&[1, 2]), some(&[5, 6])]));
    }
}

#[test]
fn rows_of_the_operators_own() {
    let schema = Schema::new(columns(&["x", "y"])).expect("the names differ");
    let output = output(Shape::New { schema }, &[false, true], true);
    let mut own = Batch::new(1, vec![numbers(&[5]), numbers(&[6])]);
    own.event_times = Some(vec![3].into());
    let rows = output.rows(CallRows::Notice, Outcome::Replace(own));
    assert_eq!(rows.as_ref().and_then(|r| r.event_times.as_deref()), Some(&[3][..]));
    assert_eq!(all_but_times(rows), Some(vec![None, some(&[6])]));
    assert!(output.rows(CallRows::Notice, Outcome::Replace(Batch::new(0, vec![numbers(&[]), numbers(&[])]))).is_none());
}
