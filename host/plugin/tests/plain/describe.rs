//! What an operator says it is.

use wasmill_model::{
    DataType, Field,
    descriptor::{Cell, Descriptor, Port, Reads, Shape},
};
use wasmill_plugin::{DescribeError, Limits};

use crate::fixture::Setup;

#[test]
fn a_descriptor_is_read_in_full() {
    let said = Setup::new("count").describe().unwrap();
    let cell = |name: &str, data_type| Cell { ttl_ms: Some(60_000), version: 2, ..Cell::value(name, data_type) };
    let reads = |keyed| Reads { columns: vec![], keyed, event_times: false };
    let shape = Shape::Key { columns: vec![Field::new("count", DataType::Int64)] };
    let expect = Descriptor {
        inputs: vec![reads(true), reads(false)],
        ports: vec![Port { name: "out".into(), shape, event_times: false }],
        cells: vec![cell("count", DataType::Int64), cell("note", DataType::Utf8)],
        timers: true,
        notice_watermark: false,
        notice_end_of_input: false,
        extra: vec![],
    };
    // Only input 0 is keyed.
    let mut said = said;
    said.inputs[1].keyed = false;
    assert_eq!(said, expect);
    let told = Setup::new("notice").describe().unwrap();
    assert!(told.notice_watermark && told.notice_end_of_input);
}

const REFUSED: &[(&str, &str)] = &[
    ("inputs", "it reads 3 inputs, of 2 that the job file gives it"),
    ("column", "input 0: it reads column `nowhere`, which is not in { a: int64, k: utf8 }"),
    ("column-twice", "input 0: it reads column `a` twice"),
    ("keyed", "input 1: it needs the rows grouped by key, and the job file names no `key_by`"),
    ("event-times", "input 1: it reads event times, which the rows do not have"),
    ("no-port", "it has 0 ports, of 1 to 64 that it may have"),
    ("ports", "it has 65 ports, of 1 to 64 that it may have"),
    ("port-name", "port `Out`: a name is 1 to 128 lower case letters, digits and `_`"),
    ("port-twice", "port `pass` is named twice"),
    ("port-input", "port `pass`: it emits the rows of input 7, of 2"),
    (
        "data-type",
        "port `pass`: column `n`: `int32` is no data type; there are int64, float64, timestamp, boolean, utf8, binary",
    ),
    ("field-twice", "port `pass`: column `n` is named twice"),
    ("no-fields", "port `pass`: its rows have no columns"),
    ("key-replaced", "port `key`: column `k` is a key column already"),
    ("key-unkeyed", "port `key`: it emits keys, and no input is keyed"),
    ("cell-kind", "cell `count`: there are no cells of kind `heap`; there are value, list, map, broadcast"),
    ("cell-name", "cell ``: a name is 1 to 128 bytes without control characters"),
    ("cell-twice", "cell `count` is named twice"),
    ("cell-type", "cell `note`: `decimal` is no data type; there are int64, float64, timestamp, boolean, utf8, binary"),
    ("cell-sub-key", "cell `count`: it says a type of sub-keys, which a value has none of"),
    ("map-no-sub-key", "cell `count`: it says no type of its sub-keys"),
    ("map-float", "cell `count`: its sub-keys are float64, which have no one order"),
    ("cell-encoding", "cell `count`: its encoding is cbor, which is for binary, and its type is int64"),
    ("cell-encoding-unknown", "cell `count`: its encoding is `xml`; only `cbor` is known"),
    ("cell-renamed", "a cell is renamed from `note`, which is a cell, too"),
    ("ttl", "cell `note`: a value that lives for 0 ms is never seen"),
    ("port-times", "port `pass`: only rows of a `new` port can be given event times; others keep theirs"),
];

#[test]
fn what_cannot_be_is_refused() {
    assert!(Setup::new("describe").describe().is_ok(), "without a mistake it is taken");
    for (mode, expect) in REFUSED {
        match Setup::new(&format!("describe:{mode}")).describe() {
            Err(DescribeError::Bad(misfit)) => assert_eq!(misfit.what, *expect, "{mode}"),
            other => panic!("{mode}: {other:?}"),
        }
    }
}

/// rule 8
#[test]
fn keys_of_other_types_are_refused() {
    let mut setup = Setup::new("describe:keyed");
    setup.inputs[1].key = Some(vec!["n".into()]);
    let error = setup.describe().unwrap_err().to_string();
    assert!(error.ends_with("input 1: its key has other types than that of input 0"), "{error}");
}

#[test]
fn an_operator_can_refuse_its_configuration() {
    let error = Setup::new("unheard-of").describe().unwrap_err();
    assert_eq!(error.to_string(), "the operator refuses its configuration: mode `unheard-of` is not known");
}

#[test]
fn describe_is_limited_as_any_call() {
    let trap = Setup::new("hostile:describe-trap").describe().unwrap_err().to_string();
    assert!(trap.contains("trapped in `describe`: unreachable") && trap.contains("describe gave up"), "{trap}");
    let limits = Limits { call_deadline: std::time::Duration::from_millis(10), ..Limits::default() };
    let error = Setup::new("hostile:describe-loop").limits(limits).describe().unwrap_err();
    assert!(error.to_string().contains("was stopped in `describe`"), "{error}");
}
