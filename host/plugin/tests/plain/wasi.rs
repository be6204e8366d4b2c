//! What the outside looks like to a guest: log, metrics, clocks, and WASI without an outside.

use wasmill_model::{Batch, reply::Outcome};
use wasmill_plugin::{CallTime, Engine, EngineOptions, Level, LogLine, Metric, Mode, Plugin};

use crate::fixture::{AT, Setup, int64, outcome, rows};

#[test]
fn what_is_written_is_logged() {
    let mut opened = Setup::new("log").start().unwrap();
    opened.process(&[1]).unwrap();
    let line = |level, message: &str| LogLine { level, message: message.into() };
    let expect = [
        line(Level::Warn, r"a line\nwith \u{1b}[31mred"),
        line(Level::Info, "to standard output"),
        line(Level::Warn, "to standard error"),
    ];
    assert_eq!(*opened.log.lock().unwrap(), expect);
}

/// rule 46
#[test]
fn metrics_are_kept() {
    let mut opened = Setup::new("metrics").start().unwrap();
    for _ in 0..2 {
        opened.process(&[1, 2, 3]).unwrap();
    }
    let metrics = opened.instance.metrics();
    let find = |name| metrics.iter().find(|(n, _)| *n == name).map(|(_, metric)| metric);
    assert_eq!(find("rows"), Some(Metric::Counter(6)));
    assert_eq!(find("last_rows"), Some(Metric::Gauge(3.0)));
    assert_eq!((metrics.iter().count(), metrics.refused()), (100, 2 + 2 * 902));
}

/// rule 31
#[test]
fn all_clocks_show_the_time_of_the_call() {
    let mut opened = Setup::new("clock").start().unwrap();
    for at in [AT, CallTime { now_ms: AT.now_ms + 1, watermark: i64::MAX }] {
        let Outcome::Replace(times) = outcome(opened.instance.process(at, 0, &rows(&[1]), None, &[])) else {
            panic!("not replaced")
        };
        let expect = [at.now_ms, at.watermark, at.now_ms].map(|time| int64(&[time]));
        let expect = Batch::new(1, expect.to_vec());
        assert_eq!(format!("{times:?}"), format!("{expect:?}"));
    }
}

/// rule 44
#[test]
fn there_is_no_outside() {
    let seen = |seed| {
        let mut opened = Setup { seed, ..Setup::new("wasi") }.start().unwrap();
        opened.process(&[1]).unwrap();
        opened.messages().concat()
    };
    let first = seen(1);
    assert!(first.starts_with("args 0 vars 0 stdin Ok(0) file Err("), "{first}");
    assert!(first.contains("slept 0ns"), "{first}");
    assert_eq!(first, seen(1), "the same seed gives the same numbers");
    assert_ne!(first, seen(2), "another seed gives others");
}

fn compile(text: &str) -> Result<Plugin, String> {
    let engine = Engine::new(&EngineOptions { mode: Mode::OnDemand, ..EngineOptions::default() }).unwrap();
    Plugin::compile(&engine, &wat::parse_str(text).unwrap()).map_err(|error| error.to_string())
}

/// rule 1
#[test]
fn what_may_not_be_imported_is_listed() {
    let error = compile(
        r#"(component
            (import "wasi:sockets/network@0.2.6" (instance (export "n" (type (sub resource)))))
            (import "wasi:http/types@0.2.6" (instance))
            (import "wasi:io/poll@0.3.0" (instance))
            (import "wasi:io/poll@0.2.0" (instance))
            (import "wasmill:operator/log@0.1.9" (instance (export "burn" (func))))
            (import "run" (func)))"#,
    );
    let error = error.unwrap_err();
    let expect = "it imports `wasi:sockets/network@0.2.6`, `wasi:http/types@0.2.6`, `wasi:io/poll@0.3.0`, \
                  `wasmill:operator/log@0.1.9#burn`, `run`, which an operator cannot have";
    assert!(error.ends_with(expect), "{error}");
}

/// rule 1
#[test]
fn a_missing_or_different_export_is_named() {
    let check = |body: &str, expect: &str| {
        let error = compile(&format!("(component {body})")).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    check("", "does not export `wasmill:operator/guest@0.1.0`");
    let function = r#"
        (core module $m (func (export "f") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))"#;
    let export = |name: &str| {
        format!(
            r#"{function} (instance $g (export "{name}" (func $f))) (export "wasmill:operator/guest@0.1.0" (instance $g))"#
        )
    };
    check(&export("other"), "has no function `describe`");
    check(&export("describe"), "its function `describe` is not the contract's: ");
}

/// Every function of WASI 0.2.12 that has an answer, with the type it has there.
#[test]
fn all_of_wasi_links_in_its_newest_version() {
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plain/wasi-0.2.12.wat");
    let error = compile(&std::fs::read_to_string(wit).unwrap()).unwrap_err();
    assert!(error.contains("does not export"), "all imports are offered, but: {error}");
}
