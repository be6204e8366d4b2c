//! Calls that failed, saved and made again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, StringViewArray};
use wasmill_model::{Batch, DataType, Field, Schema, descriptor::Input, reply::TimeDomain};
use wasmill_plugin::{
    CallError, Capsule, Limits, Notice, Recorder,
    capsule::{self, CALLS_MAX, Call, Failure},
};

use crate::fixture::{AT, Opened, Setup, cells, groups, plugin, rows};

/// A folder of capsules, and the operator in it.
struct Bench {
    folder: tempfile::TempDir,
    recorder: Recorder,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(&folder.path().join("new")).unwrap();
        Self { folder, recorder }
    }

    fn start(&self, setup: &Setup) -> Result<Opened, CallError> {
        setup.start_of(&plugin().clone().recorded_by(self.recorder.clone()))
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.folder.path().join("new")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn capsule(&self) -> Capsule {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        capsule::read(&files[0]).unwrap()
    }
}

/// What comes of a capsule when its call is made again.
fn again(capsule: &Capsule) -> Result<(), CallError> {
    let (limits, context) = (capsule.limits.clone(), &capsule.context);
    let descriptor = wasmill_plugin::describe(plugin(), limits, &context.config, &context.inputs).unwrap();
    assert_eq!(descriptor, capsule.descriptor);
    capsule::replay(capsule, plugin(), descriptor, Arc::new(|_| {})).unwrap()
}

/// Has a call fail, and fails in the same way again.
fn check(setup: &Setup, kind: &str, call: impl FnOnce(&mut Opened) -> Result<(), CallError>) -> Capsule {
    let bench = Bench::new();
    let mut opened = bench.start(setup).unwrap();
    let error = call(&mut opened).expect_err(kind);
    let capsule = bench.capsule();
    assert_eq!(capsule.failure, Failure::of(&error));
    assert_eq!(capsule.failure.kind, kind, "{error}");
    let now = Failure::of(&again(&capsule).expect_err(kind));
    assert!(now.is_same(&capsule.failure), "{now} {}", capsule.failure);
    assert!(opened.messages().iter().any(|line| line.contains(".capsule")), "{:?}", opened.messages());
    capsule
}

#[test]
fn a_trap_happens_again() {
    let capsule = check(&Setup::new("hostile:panic"), "trap", |opened| opened.process(&[1, 2]).map(drop));
    assert_eq!(capsule.failure.trap.as_deref(), Some("unreachable"));
    assert_eq!((capsule.call.function(), capsule.at, capsule.seed), ("process", Some(AT), 1));
    let Call::Process { input: 0, arguments } = &capsule.call else { panic!("{:?}", capsule.call) };
    assert_eq!((arguments.rows, arguments.columns.len()), (2, 0));
}

#[test]
fn an_endless_call_is_endless_again() {
    let limits = Limits { call_deadline: Duration::from_millis(20), ..Limits::default() };
    check(&Setup::new("hostile:loop").limits(limits), "deadline", |opened| opened.process(&[1]).map(drop));
}

#[test]
fn a_bad_reply_is_bad_again_and_so_is_a_failure_with_its_row() {
    let capsule = check(&Setup::new("bad:cell-length"), "bad-reply", |opened| opened.process_keyed().map(drop));
    assert!(capsule.failure.reply.is_some());
    let capsule = check(&Setup::new("fail"), "failure", |opened| opened.process(&[3, -1, 2]).map(drop));
    assert!(capsule.failure.row.is_some() || capsule.failure.fatal, "{:?}", capsule.failure);
}

#[test]
fn keys_and_state_are_given_again() {
    // The guest reads the count of each group, of which there is one too few: with all of them nothing fails.
    let due = || {
        let mut due =
            Batch::new(2, vec![Arc::new(StringViewArray::from(vec!["x", "a key of more than twelve bytes"]))]);
        due.event_times = Some(vec![1, 2].into());
        due
    };
    let call = |opened: &mut Opened, counts: &[Option<i64>]| {
        let groups = groups(2, &[0, 1]);
        opened.instance.on_timers(AT, TimeDomain::ProcessingTime, &due(), &groups, &cells(counts)).map(drop)
    };
    let mut capsule = check(&Setup::new("count"), "trap", |opened| call(opened, &[Some(5)]));
    let Call::OnTimers { domain: TimeDomain::ProcessingTime, arguments } = &mut capsule.call else {
        panic!("{:?}", capsule.call)
    };
    assert_eq!(arguments.columns[0].values, b"xa key of more than twelve bytes");
    assert_eq!(arguments.groups, Some((2, vec![0, 0, 0, 0, 1, 0, 0, 0])));
    assert_eq!(arguments.state[0].values, 5i64.to_le_bytes());
    arguments.state[0].values = [5i64.to_le_bytes(), 6i64.to_le_bytes()].concat();
    again(&capsule).expect("no state is missing now");
}

#[test]
fn what_cannot_be_opened_is_saved_too() {
    let bench = Bench::new();
    let Err(error) = bench.start(&Setup::new("hostile:open-error")) else { panic!("opened") };
    let capsule = bench.capsule();
    assert_eq!((capsule.call.function(), capsule.at, capsule.calls_before), ("open", None, 0));
    assert_eq!(again(&capsule).unwrap_err(), error);
}

#[test]
fn the_first_calls_of_an_operator_are_saved_and_no_more() {
    let bench = Bench::new();
    let setup = Setup::new("fail");
    let (mut first, mut second) = (bench.start(&setup).unwrap(), bench.start(&setup).unwrap());
    for _ in 0..CALLS_MAX {
        first.process(&[-1]).unwrap_err();
        second.process(&[-1]).unwrap_err();
    }
    assert_eq!(bench.files().len(), CALLS_MAX as usize);
    // Those of an earlier run stay.
    let later = Bench { recorder: Recorder::new(&bench.folder.path().join("new")).unwrap(), ..bench };
    later.start(&setup).unwrap().process(&[-1]).unwrap_err();
    assert_eq!(later.files().len(), CALLS_MAX as usize + 1);
}

#[test]
fn a_capsule_reads_as_it_was_written_and_no_part_of_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let schema = |fields: Vec<Field>| Schema::new(fields).unwrap();
    let mut setup = Setup::new("types");
    let types = [DataType::Int64, DataType::Float64, DataType::Boolean, DataType::Utf8];
    let fields = types.iter().enumerate().map(|(i, t)| Field { nullable: true, ..Field::new(format!("c{i}"), *t) });
    setup.inputs = vec![Input { schema: schema(fields.collect()), key: None, event_times: false }];
    let bench = Bench::new();
    setup.limits.output_rows = 1;
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(Float64Array::from(vec![1.5, 2.5, 3.5])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(StringViewArray::from(vec![Some("short"), None, Some("rather longer than short")])),
    ];
    let mut opened = bench.start(&setup).unwrap();
    opened.instance.process(AT, 0, &Batch::new(3, columns), None, &[]).unwrap_err();
    let mut saved = bench.capsule();
    assert_eq!(saved.failure.kind, "output-rows");
    for call in
        [Call::Open, Call::OnNotice(Notice::EndOfInput), Call::OnNotice(Notice::Watermark(-3)), saved.call.clone()]
    {
        saved.call = call;
        saved.component = Some(vec![7; 1_000]);
        let path = folder.path().join(saved.call.function());
        std::fs::remove_file(&path).ok();
        capsule::write(&saved, &path).unwrap();
        assert_eq!(capsule::read(&path).unwrap(), saved);
        assert!(capsule::write(&saved, &path).is_err(), "a capsule is never written over");
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            capsule::read(&path).expect_err("it is cut off");
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        capsule::read(&path).expect_err("there is more");
    }
    // A component that does not fit is left out, and a call that does not fit is not saved.
    saved.component = Some(vec![7; capsule::SIZE_MAX]);
    let path = folder.path().join("large");
    capsule::write(&saved, &path).unwrap();
    assert_eq!(capsule::read(&path).unwrap().component, None);
    let Call::Process { arguments, .. } = &mut saved.call else { panic!("{:?}", saved.call) };
    arguments.columns[0].values = vec![0; capsule::SIZE_MAX];
    let error = capsule::write(&saved, &folder.path().join("larger")).unwrap_err();
    assert!(matches!(error, capsule::Error::TooLarge { .. }), "{error}");
}

#[test]
fn rows_are_saved_as_the_guest_was_given_them() {
    let capsule = check(&Setup::new("fail"), "failure", |opened| {
        opened.instance.process(AT, 0, &rows(&[-1, 5]), None, &[]).map(drop)
    });
    let Call::Process { arguments, .. } = capsule.call else { panic!("{:?}", capsule.call) };
    assert_eq!(arguments.columns.len(), 1, "the one column it reads");
    assert_eq!(arguments.columns[0].values, [(-1i64).to_le_bytes(), 5i64.to_le_bytes()].concat());
}
