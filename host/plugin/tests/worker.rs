//! The worker child for real: what it answers, and what ends it.

use std::{path::Path, time::Duration};

use wasmill_model::fault::{Code, Coded};
use wasmill_plugin::{
    engine::Tier,
    worker::{Budget, Error, Worker},
};

const CHILD: &str = env!("CARGO_BIN_EXE_wasmill-plugin-worker");

fn worker() -> Worker {
    Worker::new(CHILD, Vec::new())
}

fn with(budget: impl FnOnce(&mut Budget)) -> Worker {
    let mut all = Budget::default();
    budget(&mut all);
    Worker::with_budget(CHILD, Vec::new(), all)
}

/// A shell command in place of the child.
fn shell(script: &str, budget: Budget) -> Worker {
    Worker::with_budget("/bin/sh", vec!["-c".into(), script.into()], budget)
}

/// An operator that besides has this core module.
fn component(module: &str) -> Vec<u8> {
    let exports = ["describe", "open", "process", "on-timers", "on-notice"]
        .map(|name| format!(r#"(export "{name}" (func ${name}))"#))
        .concat();
    let text = format!(
        r#"(component
            {}
            (instance $guest {exports})
            (export "wasmill:operator/guest@0.1.0" (instance $guest))
            (core module {module}))"#,
        include_str!("guest.wat")
    );
    wat::parse_str(text).expect("the test's component is well-formed")
}

/// A function of 4 KB that keeps the register allocator of the optimizing compiler busy for seconds: 250 loops, one in
/// another, and in the innermost 200 values that all change in every round.
fn bomb() -> Vec<u8> {
    let (loops, values) = (250, 200);
    let change = |i| format!("(local.set {i} (i32.add (local.get {}) (local.get {i})))", (i + 1) % values);
    let changes: String = (0..values).map(change).collect();
    let ends: String = (0..loops).map(|i| format!("(br_if 0 (local.get {})))", i * 11 % values)).collect();
    component(&format!("(func (param {}) {}{changes}{ends})", "i32 ".repeat(values), "(loop ".repeat(loops)))
}

#[test]
fn a_component_is_inspected() {
    let wasm = component("");
    let inspection = worker().inspect(&wasm).expect("it is sound");
    assert_eq!(inspection.size, wasm.len() as u64);
    assert_eq!(inspection.modules, 2);
    assert_eq!(inspection.exports[0].name, "wasmill:operator/guest@0.1.0");
    let refused = worker().inspect(b"PK\x03\x04").expect_err("it is an archive");
    let finding = &refused.refusal().expect("it is refused").findings[0];
    assert_eq!((finding.code, finding.found.as_str()), (Code::NotAComponent, "a zip archive"));
}

#[test]
fn a_component_is_compiled_with_care() {
    let compiled = worker().compile(&component("")).expect("it is sound");
    assert_eq!(compiled.tier, Tier::Optimized);
    assert!(compiled.code.starts_with(b"\x7fELF"));
    let refused = worker().compile(b"(component)").expect_err("it is text");
    assert_eq!(refused.code(), Code::NotAComponent);
}

#[test]
fn what_takes_the_compiler_too_long_is_compiled_without_optimizing() {
    let short = with(|budget| budget.cpu = Duration::from_secs(1));
    let compiled = short.compile(&bomb()).expect("the simple compiler takes milliseconds");
    assert_eq!(compiled.tier, Tier::Baseline);
    assert!(compiled.code.starts_with(b"\x7fELF"));
}

#[test]
fn what_needs_too_much_memory_is_given_up() {
    let wasm = component(&format!("(func (result i32) (i32.const 0) {})", "(i32.add (i32.const 1))".repeat(300_000)));
    let tight = with(|budget| budget.memory_bytes = 400 << 20);
    match tight.compile(&wasm) {
        Err(Error::CompileBudget { optimized, .. }) => assert!(optimized.contains("memory"), "{optimized}"),
        other => panic!("expected the budget to be missed, found {other:?}"),
    }
}

#[test]
fn a_component_has_a_largest_size() {
    let wasm = component("");
    let limit = wasm.len() - 1;
    let small = with(|budget| budget.component_bytes_max = limit);
    for error in
        [small.compile(&wasm).map(drop), small.inspect(&wasm).map(drop)].map(|r| r.expect_err("it is too large"))
    {
        let finding = &error.refusal().expect("it is refused").findings[0];
        assert_eq!((finding.code, &finding.expected), (Code::Size, &format!("at most {limit} bytes")));
    }
    with(|budget| budget.component_bytes_max = limit + 1).inspect(&wasm).expect("it has the size allowed");
}

#[test]
fn a_child_that_hangs_is_stopped_at_its_deadline() {
    let budget = Budget { deadline: Duration::from_millis(100), ..Budget::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let pids = folder.path().join("pids");
    let hangs = shell(&format!("echo $$ >> {}; while :; do :; done", pids.display()), budget);
    let error = hangs.compile(&component("")).expect_err("it never answers");
    assert_eq!(error, Error::CompileDeadline { deadline: Duration::from_millis(100) });
    assert!(!error.is_lasting());
    let pids = std::fs::read_to_string(pids).expect("both children have written theirs");
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        assert!(!Path::new("/proc").join(pid).exists(), "child {pid} is still there");
    }
}

#[test]
fn the_end_of_a_child_is_reported() {
    let end = |script: &str| shell(script, Budget::default()).compile(&component("")).expect_err("it never answers");
    let crash = |script: &str| match end(script) {
        Error::CompilerCrash { message } => message,
        other => panic!("expected a crash, found {other:?}"),
    };
    assert!(crash("echo boom >&2; kill -SEGV $$").contains("boom"));
    assert_eq!(end("kill -KILL $$"), Error::Failed { message: "it was killed from outside".into() });
    assert!(crash("exit 7").contains("7"));
    assert!(crash("exit 0").contains("fill whole buffer"));
    assert!(crash("echo this is no answer").contains("header has"));
    let out_of_time = Error::CompileBudget {
        optimized: "its processor time ran out".into(),
        baseline: "its processor time ran out".into(),
    };
    assert_eq!(end("kill -XCPU $$"), out_of_time);
    let endless = crash("head -c 1000000 /dev/zero >&2; exit 3");
    assert!(endless.len() < 20_000, "{} bytes are kept", endless.len());
    let missing = Worker::new("/nonexistent/program", Vec::new());
    assert!(matches!(missing.inspect(&component("")), Err(Error::Start { .. })));
}

#[test]
fn children_take_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = folder.path().join("running");
    // Says so if another one runs at the same time.
    let script = format!("mkdir {0} || echo together >&2; rmdir {0}; exit 1", running.display());
    let worker = shell(&script, Budget { concurrent: 1, ..Budget::default() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| match worker.inspect(&component("")) {
                Err(Error::InspectionEnded { message }) => assert!(!message.contains("together"), "{message}"),
                other => panic!("the child does not answer, but found {other:?}"),
            });
        }
    });
}
