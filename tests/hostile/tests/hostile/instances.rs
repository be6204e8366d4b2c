//! Each guest by itself: what it is charged with, and that the next one in its place knows nothing of it.

use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Int64Array};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    descriptor::{Context, Descriptor, Input},
    reply::{Groups, Outcome, TimeDomain},
};
use wasmill_plugin::{
    CallError, CallTime, DescribeError, Instance, InstanceOptions, Interrupt, Limits, LogSink, Notice, Plugin, describe,
};

use crate::{
    cases::{CASES, WELL},
    hosts,
};

const AT: CallTime = CallTime { now_ms: 1_700_000_000_000, watermark: 100 };
const ROWS: usize = 10;

/// One input, keyed by its one column.
pub(crate) fn inputs() -> Vec<Input> {
    let schema = Schema::new(vec![Field::new("a", DataType::Int64)]).expect("one column");
    vec![Input { schema, key: Some(vec!["a".into()]), event_times: true }]
}

pub(crate) fn batch() -> Batch {
    let numbers: Vec<i64> = (0..ROWS as i64).collect();
    let mut batch = Batch::new(ROWS, vec![Arc::new(Int64Array::from(numbers.clone()))]);
    batch.event_times = Some(numbers.into());
    batch
}

/// What it is charged with, as the cases write it.
fn charge(error: &CallError) -> String {
    let (function, what) = match error {
        CallError::Trap { function, kind, .. } => (*function, kind.name()),
        CallError::Deadline { function, .. } => (*function, "deadline"),
        CallError::Memory { function, .. } => (*function, "memory"),
        CallError::OutputBytes { function, .. } => (*function, "output-bytes"),
        CallError::OutputRows { function, .. } => (*function, "output-rows"),
        CallError::BadReply { function, .. } => (*function, "bad-reply"),
        CallError::Failure { function, .. } => (*function, "failure"),
        CallError::Dead { function } => (*function, "dead"),
        CallError::Interrupted { function } => (*function, "interrupted"),
        CallError::Open { .. } => ("open", "refused"),
        CallError::Start { .. } => ("start", "refused"),
        CallError::NoRoom { .. } => ("start", "no-room"),
        CallError::InputBytes { .. } => ("process", "input-bytes"),
    };
    format!("{function}: {what}")
}

/// Makes and opens an instance.
pub(crate) fn start(plugin: &Plugin, limits: &Limits, log: LogSink) -> Result<(Instance, Descriptor), DescribeError> {
    let descriptor = describe(plugin, limits.clone(), "{}", &inputs())?;
    let context = Context {
        job: "job".into(),
        operator: "hostile".into(),
        subtask: 0,
        parallelism: 1,
        config: "{}".into(),
        inputs: inputs(),
        extra: Vec::new(),
    };
    let options = InstanceOptions {
        limits: limits.clone(),
        context,
        descriptor: descriptor.clone(),
        log,
        seed: 1,
        now_ms: 0,
        entries: None,
        interrupt: Interrupt::default(),
    };
    let mut instance = plugin.instantiate(options)?;
    instance.open()?;
    Ok((instance, descriptor))
}

/// Makes every call that the guest asks for, once.
fn calls(instance: &mut Instance, descriptor: &Descriptor) -> Result<(), CallError> {
    let groups = Groups { count: ROWS as u32, of_row: (0..ROWS as u32).collect() };
    let groups = descriptor.inputs[0].keyed.then_some(groups);
    let state: Vec<ArrayRef> =
        descriptor.cells.iter().map(|_| Arc::new(Int64Array::from(vec![None; ROWS])) as ArrayRef).collect();
    instance.process(AT, 0, &batch(), groups.as_ref(), &state)?;
    if let (true, Some(groups)) = (descriptor.timers, &groups) {
        instance.on_timers(AT, TimeDomain::EventTime, &batch(), groups, &state)?;
    }
    if descriptor.notice_end_of_input {
        instance.on_notice(AT, Notice::EndOfInput)?;
    }
    Ok(())
}

/// What becomes of a guest, and the error's words.
fn outcome(plugin: &Plugin, limits: &Limits, log: LogSink) -> (String, String) {
    let (mut instance, descriptor) = match start(plugin, limits, log) {
        Ok(started) => started,
        Err(DescribeError::Call(error)) => return (charge(&error), error.to_string()),
        Err(error @ DescribeError::Refused { .. }) => return ("describe: refused".into(), error.to_string()),
        Err(error @ DescribeError::Bad(_)) => return ("describe: bad".into(), error.to_string()),
    };
    let memory_max = limits.memory_bytes;
    let result = calls(&mut instance, &descriptor);
    assert!(instance.memory_bytes() <= memory_max);
    match result {
        Ok(()) => (WELL.into(), String::new()),
        Err(error) => {
            assert_eq!(error.is_death(), instance.is_dead(), "{error}");
            if error.is_death() {
                let again = instance.process(AT, 0, &batch(), None, &[]);
                assert!(matches!(again, Err(CallError::Dead { .. })), "{again:?}");
            }
            let report = error.report().map(|report| format!("{report:?}")).unwrap_or_default();
            (charge(&error), format!("{error}{report}"))
        }
    }
}

/// Text that may be shown on a terminal.
#[track_caller]
pub(crate) fn assert_harmless(text: &str) {
    let harmful = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.chars().any(harmful), "{text:?}");
    assert!(text.len() < 64 << 10, "{} bytes", text.len());
}

#[test]
fn each_guest_gets_its_answer_and_leaves_its_place() {
    // With room for one: who kept it would be noticed at once.
    let store = hosts::store(hosts::engine(1));
    let good = hosts::good(&store);
    let mut wrong = Vec::new();
    for case in CASES {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let plugin = hosts::load(&store, case.name);
        let (answer, words) = outcome(
            &plugin,
            &hosts::limits(case.answer),
            Arc::new(move |line| sink.lock().expect("no panic").push(line.message)),
        );
        assert_harmless(&words);
        let lines = lines.lock().expect("no panic");
        assert!(lines.len() <= 100, "{}: {} lines", case.name, lines.len());
        for line in &*lines {
            assert!(line.len() <= 1_024);
            assert_harmless(line);
        }
        if answer != case.answer {
            wrong.push(format!("{}: expected {}, found {answer}: {words}", case.name, case.answer));
        }
        let (mut next, _) = start(&good, &hosts::limits(WELL), Arc::new(|_| {})).expect("the place is free");
        let reply = next.process(AT, 0, &batch(), None, &[]).expect("it passes rows on");
        assert!(matches!(reply.emissions[0].rows, Outcome::Unchanged), "{reply:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_guest_that_stays_within_its_limits_is_cut_short_all_the_same() {
    let store = hosts::store(hosts::engine(1));
    let run = |name| {
        let plugin = hosts::load(&store, name);
        let (mut instance, descriptor) = start(&plugin, &hosts::limits(WELL), Arc::new(|_| {})).expect("it starts");
        calls(&mut instance, &descriptor).expect("it answers");
        instance
    };
    assert_eq!(run("call_log-flood").log_dropped(), 99_900);
    assert!(run("call_metric-flood").metrics().iter().count() <= 100);
    assert!(run("call_metric-name-huge").metrics().iter().all(|(name, _)| name.len() <= 1_024));
    let memory = run("call_memory-grow-quiet").memory_bytes();
    assert_eq!(memory, hosts::limits(WELL).memory_bytes);
}

/// An operator that traps again and again logs no more than one that does not.
#[test]
fn an_instance_in_place_of_another_has_what_was_left_of_its_log() {
    let store = hosts::store(hosts::engine(2));
    let plugin = hosts::load(&store, "call_log-flood");
    let lines = Arc::new(Mutex::new(0));
    let start = || {
        let count = Arc::clone(&lines);
        let sink: LogSink = Arc::new(move |_| *count.lock().expect("no panic") += 1);
        start(&plugin, &hosts::limits(WELL), sink).expect("it starts")
    };
    let (mut first, descriptor) = start();
    calls(&mut first, &descriptor).expect("it answers");
    let (mut second, _) = start();
    second.share_log(&first);
    calls(&mut second, &descriptor).expect("it answers");
    assert_eq!(*lines.lock().expect("no panic"), 100);
    assert_eq!(second.log_dropped(), 199_900);
}

#[test]
fn a_call_deadline_can_be_moved() {
    let store = hosts::store(hosts::engine(1));
    let plugin = hosts::load(&store, "call_process-loop");
    let (mut instance, _) = start(&plugin, &hosts::limits(WELL), Arc::new(|_| {})).expect("it starts");
    let soon = hosts::limits("deadline").call_deadline;
    instance.set_call_deadline(soon);
    let stopped = instance.process(AT, 0, &batch(), None, &[]);
    assert!(matches!(stopped, Err(CallError::Deadline { limit, .. }) if limit == soon), "{stopped:?}");
}

#[test]
fn an_error_names_the_limit_that_was_crossed() {
    let store = hosts::store(hosts::engine(1));
    for (name, part) in [
        ("call_handle-flood", "more than 10000 handles at one time (`limits.handles`)"),
        ("call_start-table", "50000 elements in its tables, of 20000 it may have (`limits.table_elements`)"),
        ("call_table-grow", "1000000001 elements in its tables, of 20000 it may have (`limits.table_elements`)"),
        ("call_memory-grow", "of 67108864 it may use (`limits.memory`)"),
    ] {
        let (_, words) = outcome(&hosts::load(&store, name), &hosts::limits(WELL), Arc::new(|_| {}));
        assert!(words.contains(part), "{name}: {words}");
    }
}
