//! Operators that misbehave: every limit bites, and nothing but the instance is harmed.

use std::{
    thread,
    time::{Duration, Instant},
};

use wasmill_plugin::{CallError, Limits, instance::TrapKind};

use crate::fixture::{Setup, outcome};

fn process(mode: &str, limits: Limits) -> CallError {
    let mut opened = Setup::new(&format!("hostile:{mode}")).limits(limits).start().unwrap();
    let error = opened.process(&[1, 2]).unwrap_err();
    assert_eq!(error.is_death(), opened.instance.is_dead(), "{error}");
    if error.is_death() {
        assert_eq!(opened.process(&[1]).unwrap_err(), CallError::Dead { function: "process" });
    }
    error
}

#[test]
fn a_panic_is_reported_with_its_words_and_its_place() {
    let error = process("panic", Limits::default());
    let CallError::Trap { function: "process", kind: TrapKind::Unreachable, report, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(report.log.iter().any(|line| line == "about to give up"), "{report:?}");
    assert!(report.log.iter().any(|line| line.contains("gave up on 2 rows")), "{report:?}");
    assert!(report.backtrace.iter().any(|frame| frame.contains("rust_plain::hostile::process")), "{report:?}");
}

/// rule 41: and an instance that trapped is not called again
#[test]
fn traps_are_told_apart() {
    let kind = |mode| match process(mode, Limits::default()) {
        CallError::Trap { kind, .. } => kind,
        other => panic!("{mode}: {other:?}"),
    };
    assert_eq!(kind("stack"), TrapKind::StackOverflow);
    assert_eq!(kind("bounds"), TrapKind::MemoryOutOfBounds);
    assert_eq!(kind("exit"), TrapKind::Exit);
}

#[test]
fn an_endless_call_is_stopped() {
    let limits = Limits { call_deadline: Duration::from_millis(20), ..Limits::default() };
    let CallError::Deadline { used, limit, .. } = process("loop", limits.clone()) else { panic!("not stopped") };
    assert!(used >= limit, "{used:?}");
    let Err(error) = Setup::new("hostile:open-loop").limits(limits).start() else { panic!("not stopped") };
    assert!(matches!(error, CallError::Deadline { function: "open", .. }), "{error:?}");
}

#[test]
fn a_call_is_interrupted_whatever_its_deadline_and_none_follows() {
    let limits = Limits { call_deadline: Duration::from_secs(3_600), ..Limits::default() };
    // What is compiled once is started at once.
    Setup::new("pass").start().unwrap();
    for (mode, function) in [("loop", "process"), ("open-loop", "open")] {
        let setup = Setup::new(&format!("hostile:{mode}")).limits(limits.clone());
        let began = Instant::now();
        let started = thread::scope(|scope| {
            let raise = || {
                thread::sleep(Duration::from_millis(500));
                setup.interrupt.raise();
            };
            let mut started = if function == "open" { None } else { Some(setup.start().unwrap()) };
            scope.spawn(raise);
            let error = match &mut started {
                Some(opened) => opened.process(&[1, 2]).unwrap_err(),
                None => setup.start().err().unwrap(),
            };
            assert_eq!(error, CallError::Interrupted { function });
            started
        });
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        if let Some(mut opened) = started {
            assert_eq!(opened.process(&[1]).unwrap_err(), CallError::Dead { function });
        }
        assert!(matches!(setup.start(), Err(CallError::Interrupted { .. })));
    }
}

#[test]
fn memory_is_limited() {
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let CallError::Memory { wanted, limit, .. } = process("memory", limits.clone()) else { panic!("not refused") };
    assert!(wanted > limit && limit == 8 << 20, "{wanted} {limit}");
    let mut opened = Setup::new("hostile:grow").limits(limits).start().unwrap();
    opened.process(&[1]).unwrap();
    assert_eq!(opened.messages(), ["memory.grow answered -1"]);
    assert!((1..=8 << 20).contains(&opened.instance.memory_bytes()));
    let Err(error) = Setup::new("pass").limits(Limits { memory_bytes: 64 << 10, ..Limits::default() }).describe()
    else {
        panic!("started in one page")
    };
    assert!(error.to_string().contains("for want of memory"), "{error}");
}

#[test]
fn handles_are_limited() {
    let CallError::Trap { kind: TrapKind::Abi, message, .. } = process("handles", Limits::default()) else {
        panic!("20,000 handles of 10,000")
    };
    assert!(message.contains("handle"), "{message}");
    let mut opened =
        Setup::new("hostile:handles").limits(Limits { handles: 30_000, ..Limits::default() }).start().unwrap();
    assert!(opened.process(&[1]).is_ok());
}

#[test]
fn answers_are_limited_in_bytes_and_rows() {
    let error = process("output", Limits::default());
    assert_eq!(error, CallError::OutputBytes { function: "process", limit: 16 << 20 });
    let error = process("log-huge", Limits::default());
    assert_eq!(error, CallError::OutputBytes { function: "process", limit: 16 << 20 });
    let error = process("rows", Limits::default());
    assert_eq!(error, CallError::OutputRows { function: "process", rows: 1_500_000, limit: 1 << 20 });
}

/// rule 45
#[test]
fn the_log_is_limited() {
    let mut opened = Setup::new("hostile:log-flood").start().unwrap();
    opened.process(&[1]).unwrap();
    assert_eq!((opened.messages().len(), opened.instance.log_dropped()), (100, 9_900));
    let mut opened = Setup::new("hostile:log-long").start().unwrap();
    opened.process(&[1]).unwrap();
    let message = opened.messages().concat();
    assert!((1_000..=1_024).contains(&message.len()) && message.starts_with(r"\u{1b}é"), "{message}");
}

#[test]
fn an_operator_can_refuse_to_open() {
    let Err(error) = Setup::new("hostile:open-error").start() else { panic!("opened") };
    assert_eq!(error.to_string(), "the operator could not be opened: the threshold is missing");
}

/// rule 3
#[test]
fn others_go_on_after_a_trap() {
    let mut neighbour = Setup::new("pass").start().unwrap();
    for _ in 0..200 {
        process("bounds", Limits::default());
    }
    outcome(neighbour.process(&[1]));
}
