//! List, map and broadcast cells: what a guest reads of them in a call, and what it says is to become of them.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, StringViewArray, cast::AsArray, types::Int64Type};
use wasmill_model::reply::{EntryAction, Outcome, Reply};
use wasmill_plugin::{
    CallError, EntryReader, Limits, Recorder,
    capsule::{self, Failure},
    entries::{Scan, Scanned},
};

use crate::fixture::{AT, Opened, Setup, groups, int64, plugin, rows};

/// What is kept: of each number 10 times as much as it is, unless it is odd; a list of two texts for each group.
#[derive(Debug)]
struct Kept;

impl EntryReader for Kept {
    fn get(&self, cell: usize, groups: &[u32], sub_keys: &ArrayRef, bytes_max: usize) -> Result<ArrayRef, String> {
        assert_eq!((cell, groups.len(), bytes_max), (0, sub_keys.len(), Limits::default().output_bytes));
        let numbers = sub_keys.as_primitive::<Int64Type>().values().iter();
        Ok(Arc::new(Int64Array::from_iter(numbers.map(|n| (n % 2 == 0).then_some(n * 10)))))
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Scanned, String> {
        if scan.limit > 2 {
            return Err(format!("more than {} bytes of state", scan.bytes_max));
        }
        assert!(scan.cell == 2 && scan.start.is_none() && scan.end.is_none() && scan.descending);
        let count = scan.groups.len() * 2;
        let texts = scan.groups.iter().flat_map(|group| [format!("b{group}"), format!("a{group}")]);
        Ok(Scanned {
            counts: vec![2; scan.groups.len()],
            sub_keys: int64(&vec![0; count]),
            values: Arc::new(StringViewArray::from_iter_values(texts)),
        })
    }
}

fn setup(mode: &str) -> Setup {
    Setup { entries: Some(Arc::new(Kept)), ..Setup::new(mode) }
}

fn call(opened: &mut Opened) -> Result<Reply, CallError> {
    let count: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
    opened.instance.process(AT, 0, &rows(&[4, 3, 4]), Some(&groups(2, &[0, 1, 0])), &[count])
}

/// Only value cells are handed over; the others are asked for, many at once.
#[test]
fn entries_are_read_and_changed() {
    let mut opened = setup("entries").start().unwrap();
    let reply = call(&mut opened).unwrap();
    assert_eq!(opened.messages(), [r#"last ["b0", "a0", "b1", "a1"]"#]);
    let Outcome::Extend { take: None, columns } = &reply.emissions[0].rows else { panic!("{:?}", reply.emissions) };
    assert_eq!(columns, &[int64(&[41, 1, 42])]);
    let [put, append] = reply.entries.as_slice() else { panic!("{:?}", reply.entries) };
    let EntryAction::Put { sub_keys, values } = &put.action else { panic!("{put:?}") };
    assert_eq!((put.cell, put.groups.as_ref()), (0, [0, 1].as_slice()));
    assert_eq!((sub_keys, values), (&int64(&[4, 3]), &int64(&[42, 1])));
    let EntryAction::Append { values } = &append.action else { panic!("{append:?}") };
    assert_eq!((append.cell, append.groups.as_ref()), (2, [0, 1, 0].as_slice()));
    assert_eq!(values.as_string_view(), &StringViewArray::from(vec!["4", "3", "4"]));
}

#[test]
fn what_there_cannot_be_is_not_answered() {
    for (mode, expect) in [
        ("cell", "it asked for cell 7, of 3 that it declared"),
        ("value", "it asked for entries of cell `count`, which has a value only"),
        ("group", "it asked for group 9 of 2"),
        ("sub-keys", "it asked for sub-keys of cell `seen`: 1 values for 2 rows"),
        ("much", "it asked for more than 16777216 bytes of state"),
    ] {
        let mut opened = setup(&format!("entries:{mode}")).start().unwrap();
        let error = call(&mut opened).expect_err(mode).to_string();
        assert!(error.contains(expect) && error.contains("trapped in `process`"), "{error}");
        assert!(opened.instance.is_dead());
    }
}

#[test]
fn broadcast_cells_are_changed_by_rows_without_keys() {
    let mut setup = setup("broadcast");
    setup.inputs.truncate(1);
    let reply = setup.start().unwrap().process(&[5, 6]).unwrap();
    let [put] = reply.entries.as_slice() else { panic!("{:?}", reply.entries) };
    assert_eq!(put.groups.as_ref(), [0, 0]);
}

/// An instance may be opened before its state is there.
#[test]
fn nothing_can_be_read_in_open() {
    let mut setup = setup("broadcast:open");
    setup.inputs.truncate(1);
    let error = setup.start().err().expect("it asks too early").to_string();
    assert!(error.contains("trapped in `open`") && error.contains("state, which this call cannot see"), "{error}");
}

/// A capsule has what the guest read, so that its call goes as it went.
#[test]
fn what_was_read_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(folder.path()).unwrap();
    let setup = setup("entries:panic");
    let mut opened = setup.start_of(&plugin().clone().recorded_by(recorder)).unwrap();
    let error = call(&mut opened).expect_err("it panics");
    let saved = std::fs::read_dir(folder.path()).unwrap().next().expect("it was saved").unwrap();
    let capsule = capsule::read(&saved.path()).unwrap();
    assert_eq!(capsule.reads.len(), 1);
    let again = |capsule: &capsule::Capsule| {
        let descriptor = setup.describe().unwrap();
        capsule::replay(capsule, plugin(), descriptor, Arc::new(|_| {})).unwrap().expect_err("it panics")
    };
    let now = again(&capsule);
    assert!(Failure::of(&now).is_same(&Failure::of(&error)));
    assert!(now.to_string().contains("b0a0"), "{now}");
    // Without it, there is no answer.
    let mut other = capsule.clone();
    other.reads.clear();
    assert!(again(&other).to_string().contains("it asked for more state than it read when the call was saved"));
}
