//! Rows are visible once: when a checkpoint has them that is complete; whatever happens in between.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array};
use flate2::read::MultiGzDecoder;
use proptest::{collection::vec, prelude::*};
use wasmill_model::{
    Batch, DataType, Field, Schema,
    fault::{Code, Coded},
    ids::CheckpointId,
};

use crate::{CheckpointKind, Error, Sink, SinkConfig, SinkPart, SinkParts, SinkPlace, testing};

fn config(folder: &Path, name: &str, format: &str, more: &str) -> SinkConfig {
    let text = format!("connector = \"file\"\npath = \"{name}\"\nformat = \"{format}\"\n{more}");
    testing::sink(&text, folder).expect("valid settings")
}

fn numbers(from: i64, to: i64) -> Batch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    Batch::new((to - from) as usize, vec![column])
}

fn open(
    config: &SinkConfig,
    subtask: u32,
    parallelism: u32,
    restored: Option<&[SinkPart]>,
) -> Result<Box<dyn Sink>, Error> {
    open_parts(config, subtask, parallelism, restored.map(parts_of).as_ref())
}

/// Of which nothing else is known.
fn parts_of(parts: &[SinkPart]) -> SinkParts {
    SinkParts {
        transactions: parts.iter().filter_map(|part| part.transaction.clone()).collect(),
        unfinished: parts.iter().filter_map(|part| part.unfinished.clone()).collect(),
        ..SinkParts::default()
    }
}

fn open_parts(
    config: &SinkConfig,
    subtask: u32,
    parallelism: u32,
    parts: Option<&SinkParts>,
) -> Result<Box<dyn Sink>, Error> {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).expect("one name");
    config.open(&schema, SinkPlace { subtask, parallelism, bounded: true, checkpoints: true }, parts)
}

/// What a savepoint has of what a subtask kept.
fn of_savepoint(parts: Vec<SinkPart>) -> SinkParts {
    let unfinished = parts.into_iter().filter_map(|part| part.unfinished).collect();
    SinkParts { unfinished, is_shared: true, ..SinkParts::default() }
}

/// The numbers in all visible files, and how often each is there. Every file is whole.
fn visible(folder: &Path) -> BTreeMap<i64, usize> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let bytes = fs::read(&path).expect("readable");
        let text = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => {
                let mut text = String::new();
                MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("it is gzip");
                text
            }
            Some("zst") => String::from_utf8(zstd::decode_all(&bytes[..]).expect("it is zstd")).expect("text"),
            _ => String::from_utf8(bytes).expect("text"),
        };
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends within a row");
        let rows = match name.contains("csv") {
            true => text.strip_prefix("n\n").unwrap_or_else(|| panic!("{name} has no header: {text:?}")),
            false => &text,
        };
        for row in rows.lines() {
            let number = row.strip_prefix("{\"n\":").map_or(row, |row| row.trim_end_matches('}'));
            *found.entry(number.parse().unwrap_or_else(|_| panic!("{row:?} in {name}"))).or_default() += 1;
        }
    }
    found
}

fn once(numbers: std::ops::Range<i64>) -> BTreeMap<i64, usize> {
    numbers.map(|number| (number, 1)).collect()
}

#[test]
fn nothing_is_visible_before_a_checkpoint_that_has_it_is_complete() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1ms\" }");
    let mut sink = open(&config, 0, 1, None).expect("it opens");
    sink.write(&numbers(0, 10)).expect("room on disk");
    std::thread::sleep(std::time::Duration::from_millis(2));
    sink.flush().expect("nothing to do");
    let kept = sink.checkpoint(CheckpointId(1), CheckpointKind::Checkpoint).expect("room on disk");
    assert!(kept.transaction.is_some() && kept.unfinished.is_none());
    sink.write(&numbers(10, 20)).expect("room on disk");
    assert_eq!(visible(folder.path()), BTreeMap::new());
    sink.completed(CheckpointId(1)).expect("room on disk");
    sink.completed(CheckpointId(1)).expect("a second call does nothing");
    assert_eq!(visible(folder.path()), once(0..10));
    let kept = sink.checkpoint(CheckpointId(2), CheckpointKind::Savepoint).expect("room on disk");
    drop(sink);
    assert_eq!(visible(folder.path()), once(0..10), "nobody has said that it is complete");
    for _ in 0..2 {
        drop(open(&config, 0, 1, Some(std::slice::from_ref(&kept))).expect("it opens"));
        assert_eq!(visible(folder.path()), once(0..20), "what it goes on from is complete");
    }
}

#[test]
fn nothing_is_left_of_files_that_an_earlier_attempt_had_open() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1h\" }");
    let mut sink = open(&config, 0, 1, None).expect("it opens");
    sink.write(&numbers(0, 10)).expect("room on disk");
    let kept = sink.checkpoint(CheckpointId(1), CheckpointKind::Checkpoint).expect("room on disk");
    drop(sink);
    let mut sink = open(&config, 0, 1, Some(std::slice::from_ref(&kept))).expect("it goes on");
    sink.write(&numbers(10, 20)).expect("room on disk");
    sink.prepare().expect("room on disk");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 2, "the job may still go back");
    sink.commit().expect("room on disk");
    assert_eq!(visible(folder.path()), once(0..20));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
}

#[test]
fn a_whole_file_appears_at_the_end_and_is_never_replaced_by_less() {
    for name in ["o.jsonl", "o.csv", "o.csv.gz", "o.csv.zst"] {
        let folder = tempfile::tempdir().expect("room for a folder");
        let format = if name.contains("csv") { "csv" } else { "json" };
        let config = config(folder.path(), name, format, "");
        let mut sink = open(&config, 0, 1, None).expect("it opens");
        sink.write(&numbers(0, 10)).expect("room on disk");
        let kept = sink.checkpoint(CheckpointId(1), CheckpointKind::Savepoint).expect("room on disk");
        sink.completed(CheckpointId(1)).expect("nothing to do");
        sink.write(&numbers(10, 90)).expect("room on disk");
        std::mem::forget(sink);
        let mut sink = open(&config, 0, 1, Some(&[kept])).expect("it goes on");
        sink.write(&numbers(10, 20)).expect("room on disk");
        let end = sink.prepare().expect("room on disk");
        assert!(end.unfinished.is_some(), "the file is to come");
        assert_eq!(visible(folder.path()), BTreeMap::new(), "{name}");
        drop(sink);
        for _ in 0..2 {
            let mut sink = open(&config, 0, 1, Some(std::slice::from_ref(&end))).expect("it was prepared");
            assert_eq!(visible(folder.path()), once(0..20), "{name}");
            sink.prepare().expect("nothing to do");
            sink.commit().expect("nothing to do");
            assert_eq!(visible(folder.path()), once(0..20), "{name}");
        }
    }
}

#[test]
fn a_prepared_file_that_is_gone_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1h\" }");
    let mut sink = open(&config, 0, 1, None).expect("it opens");
    sink.write(&numbers(0, 10)).expect("room on disk");
    let kept = sink.checkpoint(CheckpointId(1), CheckpointKind::Savepoint).expect("room on disk");
    let open_part =
        open(&config, 0, 1, None).expect("it opens").checkpoint(CheckpointId(1), CheckpointKind::Checkpoint);
    assert_eq!(open_part.expect("nothing was written"), SinkPart::default());
    drop(sink);
    for entry in fs::read_dir(folder.path()).expect("it is there") {
        fs::remove_file(entry.expect("readable").path()).expect("it is ours");
    }
    let lost = |kept: &SinkPart, visible, given_up| {
        let parts = SinkParts { visible, given_up, ..parts_of(std::slice::from_ref(kept)) };
        open_parts(&config, 0, 1, Some(&parts)).err().map(|error| error.to_string())
    };
    let error = lost(&kept, false, false).expect("nobody knows that it was visible");
    assert!(error.contains("could not make") && error.contains("which is gone"), "{error}");
    assert_eq!(lost(&kept, true, false), None, "somebody has taken away what was visible");
    assert_eq!(lost(&kept, false, true), None);
    let mut elsewhere = kept;
    elsewhere.transaction.as_mut().expect("a file was prepared")["folder"] = 1.into();
    assert!(lost(&elsewhere, true, false).is_some(), "what was visible there is not here");
    assert_eq!(lost(&elsewhere, false, true), None);
}

#[test]
fn a_file_that_was_still_written_and_does_not_have_what_it_had_is_an_error_that_names_it() {
    for shorter in [false, true] {
        let folder = tempfile::tempdir().expect("room for a folder");
        let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1h\" }");
        let mut sink = open(&config, 0, 1, None).expect("it opens");
        sink.write(&numbers(0, 10)).expect("room on disk");
        let kept = sink.checkpoint(CheckpointId(1), CheckpointKind::Checkpoint).expect("room on disk");
        drop(sink);
        let transaction = kept.transaction.as_ref().expect("a file is open");
        let path = transaction["open"]["temporary"].as_str().expect("a path").to_owned();
        match shorter {
            true => fs::write(&path, "{\"n\":0}\n").expect("it is ours"),
            false => fs::remove_file(&path).expect("it is ours"),
        }
        let open = |visible, given_up| {
            let parts = SinkParts { visible, given_up, ..parts_of(std::slice::from_ref(&kept)) };
            open_parts(&config, 0, 1, Some(&parts))
        };
        for visible in [false, true] {
            let error = open(visible, false).err().expect("rows are lost");
            assert_eq!(error.code(), Code::TransactionLost);
            assert!(error.to_string().contains(&path), "{error}");
        }
        let mut sink = open(false, true).expect("it is given up");
        sink.write(&numbers(10, 12)).expect("room on disk");
        sink.prepare().and_then(|_| sink.commit()).expect("room on disk");
        assert_eq!(visible(folder.path()), once(10..12));
    }
}

#[test]
fn who_goes_back_past_a_checkpoint_loses_nothing_that_it_has_made_visible() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1h\" }");
    let mut sink = open(&config, 0, 1, None).expect("it opens");
    sink.write(&numbers(0, 10)).expect("room on disk");
    let first = sink.checkpoint(CheckpointId(1), CheckpointKind::Checkpoint).expect("room on disk");
    sink.completed(CheckpointId(1)).expect("nothing to do");
    sink.write(&numbers(10, 20)).expect("room on disk");
    let second = sink.checkpoint(CheckpointId(2), CheckpointKind::Savepoint).expect("room on disk");
    sink.completed(CheckpointId(2)).expect("room on disk");
    drop(sink);
    assert_eq!(visible(folder.path()), once(0..20));
    let back = |later| SinkParts { later, ..parts_of(std::slice::from_ref(&first)) };
    let error = open_parts(&config, 0, 1, Some(&back(Vec::new()))).err().expect("nobody knows what became of it");
    assert_eq!(error.code(), Code::TransactionLost);
    let second = second.transaction.expect("a file was closed");
    let mut sink =
        open_parts(&config, 0, 1, Some(&back(vec![(vec![second], false)]))).expect("the second has made it visible");
    sink.write(&numbers(10, 30)).expect("room on disk");
    sink.prepare().and_then(|_| sink.commit()).expect("room on disk");
    let expected: BTreeMap<i64, usize> = (0..30).map(|n| (n, if (10..20).contains(&n) { 2 } else { 1 })).collect();
    assert_eq!(visible(folder.path()), expected);
}

/// A subtask may end while others go on for days: what it wrote does not wait for them.
#[test]
fn what_was_prepared_at_the_end_of_the_input_is_visible_with_the_next_checkpoint_that_is_complete() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1h\" }");
    let mut sink = open(&config, 0, 1, None).expect("it opens");
    sink.write(&numbers(0, 10)).expect("room on disk");
    sink.checkpoint(CheckpointId(7), CheckpointKind::Checkpoint).expect("room on disk");
    sink.write(&numbers(10, 20)).expect("room on disk");
    sink.prepare().expect("room on disk");
    sink.completed(CheckpointId(7)).expect("room on disk");
    assert_eq!(visible(folder.path()), BTreeMap::new(), "checkpoint 7 was taken before the end");
    sink.completed(CheckpointId(9)).expect("room on disk");
    assert_eq!(visible(folder.path()), once(0..20));
    assert_eq!(sink.prepare().expect("nothing is left"), SinkPart::default());
}

#[test]
fn files_that_roll_are_no_business_of_another_job_that_begins_from_a_savepoint() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let config = config(folder.path(), "o.jsonl", "json", "roll = { every = \"1h\" }");
    let mut sink = open(&config, 0, 1, None).expect("it opens");
    sink.write(&numbers(0, 10)).expect("room on disk");
    let kept = sink.checkpoint(CheckpointId(1), CheckpointKind::Savepoint).expect("room on disk");
    let parts = of_savepoint(vec![kept]);
    assert_eq!(parts, SinkParts { is_shared: true, ..SinkParts::default() });
    sink.completed(CheckpointId(1)).expect("room on disk");
    sink.write(&numbers(10, 20)).expect("room on disk");
    sink.checkpoint(CheckpointId(2), CheckpointKind::Savepoint).expect("room on disk");
    // Whoever reads the files has taken them away, and the other job writes to the same place.
    fs::remove_file(folder.path().join("o.0.000001.jsonl")).expect("it is there");
    let mut other = open_parts(&config, 0, 1, Some(&parts)).expect("it begins");
    assert_eq!(visible(folder.path()), BTreeMap::new(), "the second file is not complete");
    other.write(&numbers(50, 60)).expect("room on disk");
    other.prepare().and_then(|_| other.commit()).expect("room on disk");
    sink.completed(CheckpointId(2)).expect("the other job has left it alone");
    let both: BTreeMap<i64, usize> = once(10..20).into_iter().chain(once(50..60)).collect();
    assert_eq!(visible(folder.path()), both);
}

#[test]
fn a_whole_file_is_copied_by_whoever_begins_from_a_savepoint_and_stays_with_its_job() {
    for ends_before in [false, true] {
        let (folder, elsewhere) =
            (tempfile::tempdir().expect("room for a folder"), tempfile::tempdir().expect("room for a folder"));
        let of = |folder: &Path| config(folder, "o.csv", "csv", "");
        let mut sink = open(&of(folder.path()), 0, 1, None).expect("it opens");
        sink.write(&numbers(0, 10)).expect("room on disk");
        let kept = match ends_before {
            true => sink.prepare().expect("room on disk"),
            false => sink.checkpoint(CheckpointId(1), CheckpointKind::Savepoint).expect("room on disk"),
        };
        let parts = of_savepoint(vec![kept]);
        for _ in 0..2 {
            let mut other = open_parts(&of(elsewhere.path()), 0, 1, Some(&parts)).expect("it goes on with a copy");
            if !ends_before {
                other.write(&numbers(10, 15)).expect("room on disk");
            }
            other.prepare().and_then(|_| other.commit()).expect("room on disk");
            assert_eq!(visible(elsewhere.path()), once(0..if ends_before { 10 } else { 15 }));
            assert_eq!(visible(folder.path()), BTreeMap::new(), "the other job has not come to its end");
        }
        if !ends_before {
            sink.write(&numbers(10, 30)).expect("room on disk");
        }
        sink.prepare().and_then(|_| sink.commit()).expect("room on disk");
        assert_eq!(visible(folder.path()), once(0..if ends_before { 10 } else { 30 }));
        // It has its name now, and the savepoint names what it was before.
        let error = open_parts(&of(elsewhere.path()), 0, 1, Some(&parts)).err().expect("it is gone").to_string();
        assert!(error.contains("which the checkpoint needs"), "{error}");
        assert!(error.contains("give the sink another name"), "{error}");
    }
}

#[test]
fn whole_files_of_columns_take_no_part() {
    let folder = tempfile::tempdir().expect("room for a folder");
    for format in ["parquet", "arrow"] {
        let whole = config(folder.path(), "o", format, "roll = false");
        assert!(whole.check_checkpoints(true).is_err());
        assert!(config(folder.path(), "o", format, "roll = {}").check_checkpoints(true).is_ok());
        assert!(config(folder.path(), "o", format, "").check_checkpoints(false).is_ok());
    }
    assert!(config(folder.path(), "o", "json", "").check_checkpoints(true).is_ok());
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, i64),
    /// Taken, and perhaps complete.
    Checkpoint {
        savepoint: bool,
        completes: bool,
    },
    /// All processes are gone; another number of subtasks goes on from the last complete checkpoint. Whether the old ones still
    /// live, and hold what they had.
    Crash {
        parallelism: usize,
        zombies: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3_usize, 1..40_i64).prop_map(|(subtask, rows)| Step::Write(subtask, rows)),
        3 => any::<(bool, bool)>().prop_map(|(savepoint, completes)| Step::Checkpoint { savepoint, completes }),
        2 => (1..4_usize, any::<bool>()).prop_map(|(parallelism, zombies)| Step::Crash { parallelism, zombies }),
    ]
}

/// A run of the sink's subtasks, in which each number is written once as far as anybody can know.
struct Run {
    config: SinkConfig,
    sinks: Vec<Box<dyn Sink>>,
    zombies: Vec<Box<dyn Sink>>,
    next: i64,
    checkpoint: u64,
    /// What the last complete checkpoint keeps, and the number that came next then.
    complete: (Option<Vec<SinkPart>>, i64),
}

impl Run {
    fn open(&mut self, parallelism: usize) {
        let restored = self.complete.0.clone();
        self.sinks = (0..parallelism as u32)
            .map(|subtask| open(&self.config, subtask, parallelism as u32, restored.as_deref()).expect("it goes on"))
            .collect();
        self.next = self.complete.1;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(subtask, rows) => {
                let subtask = subtask % self.sinks.len();
                self.sinks[subtask].write(&numbers(self.next, self.next + rows)).expect("room on disk");
                self.next += rows;
            }
            Step::Checkpoint { savepoint, completes } => {
                self.checkpoint += 1;
                let kind = if savepoint { CheckpointKind::Savepoint } else { CheckpointKind::Checkpoint };
                let id = CheckpointId(self.checkpoint);
                let kept = self.sinks.iter_mut().map(|sink| sink.checkpoint(id, kind).expect("room on disk"));
                let kept: Vec<SinkPart> = kept.collect();
                if completes {
                    self.complete = (Some(kept), self.next);
                    self.sinks.iter_mut().for_each(|sink| sink.completed(id).expect("room on disk"));
                }
            }
            Step::Crash { parallelism, zombies } => {
                let old = std::mem::take(&mut self.sinks);
                self.zombies = if zombies { old } else { Vec::new() };
                self.open(parallelism);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_row_is_visible_once_in_the_end(
        steps in vec(step(), 1..40),
        (format, packing, rolls) in (0..2_usize, 0..3_usize, any::<bool>()),
    ) {
        let folder = tempfile::tempdir().expect("room for a folder");
        let name = format!("o.{}{}", ["jsonl", "csv"][format], ["", ".gz", ".zst"][packing]);
        let roll = if rolls { "roll = { every = \"1h\", size = \"300B\" }" } else { "roll = false" };
        let config = config(folder.path(), &name, ["json", "csv"][format], roll);
        let (sinks, zombies) = (Vec::new(), Vec::new());
        let mut run = Run { config, sinks, zombies, next: 0, checkpoint: 0, complete: (None, 0) };
        run.open(2);
        for step in steps {
            run.step(step);
            let seen = visible(folder.path());
            prop_assert!(seen.values().all(|times| *times == 1), "twice: {:?}", seen);
            prop_assert!(seen.keys().all(|number| *number < run.complete.1), "{:?} of {}", seen, run.complete.1);
        }
        let end: Vec<SinkPart> = run.sinks.iter_mut().map(|sink| sink.prepare().expect("room on disk")).collect();
        let parallelism = run.sinks.len();
        run.complete = (Some(end), run.next);
        run.sinks.iter_mut().take(1).for_each(|sink| sink.commit().expect("room on disk"));
        run.open(parallelism);
        for sink in &mut run.sinks {
            sink.prepare().and_then(|_| sink.commit()).expect("nothing is left to do");
        }
        prop_assert_eq!(visible(folder.path()), once(0..run.next));
    }
}
