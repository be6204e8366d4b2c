//! Every outcome, with all types of columns.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt32Array,
};
use wasmill_model::{Batch, DataType, Field, Schema, descriptor::Input, reply::Outcome};
use wasmill_plugin::{CallError, Notice};

use crate::fixture::{AT, Setup, int64, outcome, rows};

#[test]
fn rows_are_passed_dropped_kept_and_taken() {
    let run = |mode| outcome(Setup::new(mode).start().unwrap().process(&[4, 5, 6, 7, 9, 8, 1, 1, 2]));
    assert!(matches!(run("pass"), Outcome::Unchanged));
    assert!(matches!(run("drop"), Outcome::DropAll));
    let Outcome::Keep(mask) = run("keep") else { panic!("not kept") };
    let expect = [true, false, true, false, false, true, false, false, true];
    assert_eq!(mask, BooleanArray::from(expect.to_vec()));
    let Outcome::Take(taken) = run("take") else { panic!("not taken") };
    assert_eq!(taken, UInt32Array::from(vec![8, 6, 4, 2, 0]));
}

#[test]
fn columns_are_added() {
    let Outcome::Extend { take: None, columns } = outcome(Setup::new("map").start().unwrap().process(&[4, -5])) else {
        panic!("not extended")
    };
    assert_eq!(columns, [int64(&[8, -10])]);
    let reply = Setup::new("map-take").start().unwrap().process(&[4, 5, 6]);
    let Outcome::Extend { take: Some(taken), columns } = outcome(reply) else { panic!("not extended") };
    assert_eq!(taken, UInt32Array::from(vec![2, 0]));
    assert_eq!(columns, [int64(&[12, 8])]);
}

/// One nullable column of each type, and one without nulls.
fn all_types() -> (Input, Vec<ArrayRef>) {
    let mut fields: Vec<Field> = DataType::ALL.map(|t| Field::nullable(t.name(), t)).to_vec();
    fields.push(Field::new("plain", DataType::Utf8));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(3)])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), None])),
        Arc::new(Int64Array::from(vec![None, None, Some(1)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(StringViewArray::from(vec![Some("short"), None, Some("é, longer than twelve bytes")])),
        Arc::new(BinaryViewArray::from(vec![None, Some(b"\xff\x00".as_slice()), Some(&[7; 40])])),
        Arc::new(StringViewArray::from(vec!["", "x", "yy"])),
    ];
    (Input { schema: Schema::new(fields).unwrap(), key: None, event_times: true }, columns)
}

/// rule 12, rule 13, rule 14
#[test]
fn all_types_go_there_and_back() {
    let (input, columns) = all_types();
    let mut batch = Batch::new(3, columns.clone());
    batch.event_times = Some(vec![10, -20, 30].into());
    let mut opened = Setup { inputs: vec![input], ..Setup::new("types") }.start().unwrap();
    for (offset, length) in [(0, 3), (1, 2), (2, 1)] {
        let sent = batch.slice(offset, length);
        let Outcome::Replace(back) = outcome(opened.instance.process(AT, 0, &sent, None, &[])) else {
            panic!("not replaced")
        };
        assert_eq!(back.rows, length);
        assert_eq!(back.event_times, sent.event_times);
        for (back, sent) in back.columns.iter().flatten().zip(sent.columns.iter().flatten()) {
            assert_eq!(back, sent);
            back.to_data().validate_full().unwrap();
        }
    }
}

#[test]
fn a_rewrite_makes_new_rows() {
    let mut opened = Setup { inputs: vec![Setup::new("").inputs.remove(0)], ..Setup::new("rewrite") }.start().unwrap();
    let Outcome::Replace(back) = outcome(opened.process(&[1, 2])) else { panic!("not replaced") };
    assert_eq!(back.column(0), &int64(&[1, 2]));
    assert_eq!(back.column(1), rows(&[1, 2]).column(1));
}

#[test]
fn a_failure_says_where_and_how_badly() {
    let check = |a: &[i64], expect| {
        let error = Setup::new("fail").start().unwrap().process(a).unwrap_err();
        assert_eq!(error, expect);
        assert!(!error.is_death());
    };
    let message = || "-3 is negative".to_owned();
    check(&[1, -3], CallError::Failure { function: "process", fatal: false, row: Some(1), message: message() });
    let message = || format!("{} is negative", i64::MIN);
    check(&[i64::MIN], CallError::Failure { function: "process", fatal: true, row: Some(0), message: message() });
    let mut opened = Setup::new("fail").start().unwrap();
    let error = opened.process(&[-1]).unwrap_err();
    assert_eq!(error.to_string(), "the operator failed in `process` at row 0: -1 is negative");
    assert!(matches!(outcome(opened.process(&[1])), Outcome::Unchanged), "it goes on after a failure");
}

#[test]
fn notices_are_told() {
    let mut opened = Setup::new("notice").start().unwrap();
    let mut told = |notice| {
        let Outcome::Replace(rows) = outcome(opened.instance.on_notice(AT, notice)) else { panic!("not replaced") };
        rows.column(0).clone()
    };
    let text = |text| -> ArrayRef { Arc::new(StringViewArray::from(vec![text])) };
    assert_eq!(&told(Notice::Watermark(-9)), &text("Notice::Watermark(-9)"));
    assert_eq!(&told(Notice::EndOfInput), &text("Notice::EndOfInput"));
}

/// rule 6
#[test]
fn the_context_is_told() {
    let opened = Setup::new("context").start().unwrap();
    let told = opened.messages().concat();
    for part in [
        r#"job: "job""#,
        "subtask: 1",
        "parallelism: 4",
        r#"data-type: "utf8""#,
        r#"key: Some(["k"])"#,
        r#"("x", "y")"#,
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

/// rule 10
#[test]
#[should_panic(expected = "an instance is opened once")]
fn an_instance_is_opened_once() {
    let _ = Setup::new("pass").start().unwrap().instance.open();
}
