//! Rules of the operator contract, as they show in whole runs.

use serde_json::json;

use crate::process::{Bench, Running, counted, rows};

/// Three rows of two keys through one operator with one or two inputs.
const JOB: &str = r#"
[job]
name = "contract"
[source.s]
connector = "file"
path = "in.jsonl"
format = "json"
schema = { a = "int64", k = "utf8" }
[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass", lasting = true }
inputs = [{ from = "s" }]
[sink.out]
input = "o"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

const ROWS: &str = "{\"a\":1,\"k\":\"x\"}\n{\"a\":2,\"k\":\"x\"}\n{\"a\":3,\"k\":\"y\"}\n";
const KEYED: &str = r#"operator.o.inputs=[{ from = "s", key_by = ["k"] }]"#;
const KEYED_AND_PLAIN: &str =
    r#"operator.o.inputs=[{ from = "s", key_by = ["k"] }, { from = "s", exchange = "broadcast" }]"#;

fn bench() -> Bench {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", ROWS);
    bench
}

fn mode(name: &str) -> String {
    format!("operator.o.config.mode={name}")
}

#[test]
fn replies_of_each_shape() {
    let bench = bench();
    // rule 20, rule 22, rule 23, rule 24, rule 25, rule 28, rule 36
    for (name, inputs, expect) in [
        ("pass", "", ROWS),
        ("drop", "", ""),
        ("keep", "", "{\"a\":2,\"k\":\"x\"}\n"),
        ("take", "", "{\"a\":3,\"k\":\"y\"}\n{\"a\":1,\"k\":\"x\"}\n"),
        (
            "map",
            "",
            "{\"a\":1,\"k\":\"x\",\"twice\":2}\n{\"a\":2,\"k\":\"x\",\"twice\":4}\n{\"a\":3,\"k\":\"y\",\"twice\":6}\n",
        ),
        ("map-take", "", "{\"a\":3,\"k\":\"y\",\"twice\":6}\n{\"a\":1,\"k\":\"x\",\"twice\":2}\n"),
        ("types", "", ROWS),
        ("count", KEYED, "{\"k\":\"x\",\"count\":2}\n{\"k\":\"y\",\"count\":1}\n"),
        ("notice", "", "{\"told\":\"Notice::Watermark(9223372036854775807)\"}\n{\"told\":\"Notice::EndOfInput\"}\n"),
    ] {
        let mut sets = vec![mode(name)];
        sets.extend((!inputs.is_empty()).then(|| inputs.to_owned()));
        bench.succeed(&sets.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(bench.text("out.jsonl"), expect, "{name}");
    }
}

/// rule 16, rule 28: what a call leaves in a cell is there in the next, whatever the batches.
#[test]
fn state_lasts_from_batch_to_batch() {
    let bench = bench();
    let rows = 50_000;
    let lines: String = (0..rows).map(|a| format!("{{\"a\":{a},\"k\":\"k{}\"}}\n", a % 1_003)).collect();
    bench.put("in.jsonl", lines);
    for parallelism in [1, 3] {
        bench.succeed(&[
            &mode("count"),
            KEYED,
            &format!("operator.o.parallelism={parallelism}"),
            "sink.out.parallelism=1",
        ]);
        let counts = bench.rows("out.jsonl");
        assert_eq!(counts.len(), 1_003);
        for row in counts {
            let key: i64 = row["k"].as_str().and_then(|k| k[1..].parse().ok()).expect("keys are numbered");
            assert_eq!(row["count"], json!(rows / 1_003 + i64::from(key < rows % 1_003)), "{row}");
        }
    }
}

#[test]
fn bad_replies_fail_the_job_and_say_what_is_bad() {
    let bench = bench();
    for (what, expect) in [
        // rule 19
        ("port", "port 9"),
        ("port-twice", "port"),
        // rule 20
        ("pass-extend", "`pass`"),
        ("pass-replace", "`pass`"),
        ("extend-unchanged", "`extend`"),
        ("key-keep", "`key`"),
        ("new-take", "`new`"),
        // rule 21
        ("other-input", "`other`"),
        // rule 22
        ("keep-length", "bytes"),
        ("keep-spare", "`pass`"),
        ("take-length", "bytes"),
        ("take-row", "row 3"),
        // rule 23
        ("extend-missing", "`extend`"),
        ("extend-twice", "twice"),
        ("extend-index", "column"),
        // rule 25
        ("replace-columns", "column"),
        ("replace-times", "event times"),
        ("replace-no-times", "event times"),
        // rule 26
        ("values-length", "2 values for 3 rows"),
        ("offsets-fall", "offset"),
        ("utf8", "UTF-8"),
        ("utf8-split", "UTF-8"),
        ("null", "null"),
        // rule 28
        ("cells", "cell"),
        ("cell-length", "cell"),
        ("cell-type", "cell"),
        ("cell-marks", "cell"),
        // rule 29
        ("timer-group", "timer"),
        ("timer-times", "timer"),
    ] {
        let message = bench.fail(&[&mode(&format!("bad:{what}")), KEYED_AND_PLAIN, "sink.out.input=o.pass"]);
        assert!(message.contains("]: operator o[0] failed: "), "{what}: {message}");
        assert!(message.contains(expect), "{what}: {expect}\n{message}");
        assert_eq!(bench.files(), ["in.jsonl", "job.toml"], "rule 39: {what}");
    }
}

#[test]
fn failures_name_operator_subtask_function_and_row() {
    let bench = bench();
    bench.put("in.jsonl", format!("{ROWS}{{\"a\":-7,\"k\":\"z\"}}\n"));
    // rule 39, rule 42
    let message = bench.fail(&[&mode("fail")]);
    assert!(message.contains("]: operator o[0] failed: ") && message.contains("-7 is negative"), "{message}");
    assert!(message.contains("row 3"), "{message}");
    assert_eq!(bench.files(), ["in.jsonl", "job.toml"]);
}

#[test]
fn traps_are_failures_with_the_guests_own_stack() {
    let bench = bench();
    for (name, expect) in [
        // rule 42
        ("hostile:panic", &["gave up on 3 rows", "rust_plain::hostile::process"][..]),
        ("hostile:bounds", &["out of bounds", "rust_plain::hostile::process"]),
        ("hostile:stack", &["stack", "hostile::deep"]),
        // rule 43
        ("hostile:memory", &["limits.memory"]),
        // rule 44
        ("hostile:exit", &["exit"]),
        // rule 30
        ("hostile:rows", &["limits.output_rows"]),
        // rule 39
        ("hostile:loop", &["limits.call_deadline"]),
        // rule 40
        ("hostile:zebra", &["`zebra` is not known"]),
    ] {
        let message = bench.fail(&[&mode(name), "operator.o.limits.call_deadline=2s"]);
        assert!(message.contains("]: operator o[0] failed: "), "{name}: {message}");
        for expect in expect {
            assert!(message.contains(expect), "{name}: {expect}\n{message}");
        }
        assert_eq!(bench.files(), ["in.jsonl", "job.toml"], "{name}");
    }
}

/// rule 10, rule 40
#[test]
fn an_operator_that_does_not_open_fails_the_job() {
    let bench = bench();
    for (name, expect) in [("hostile:open-error", "the threshold is missing"), ("hostile:open-loop", "call_deadline")] {
        for parallelism in [1, 3] {
            let sets =
                [&mode(name), "operator.o.limits.call_deadline=1s", &format!("operator.o.parallelism={parallelism}")];
            let message = bench.fail(&sets);
            assert!(message.contains("]: could not start operator o[") && message.contains(expect), "{message}");
            assert_eq!(bench.files(), ["in.jsonl", "job.toml"], "{name}");
        }
    }
}

/// rule 5
#[test]
fn an_operator_that_does_not_describe_itself_is_refused() {
    let bench = bench();
    for (name, expect) in [
        ("hostile:describe-trap", "describe gave up"),
        ("hostile:describe-loop", "deadline"),
        ("describe:column", "it reads column `nowhere`, which is not in { a: int64, k: utf8 }"),
        // rule 7
        ("describe:keyed", "input 1"),
        // rule 9
        ("describe:no-port", "port"),
        ("describe:port-twice", "`pass`"),
        ("describe:cell-twice", "`count`"),
    ] {
        let message = bench.refused(&[&mode(name), KEYED_AND_PLAIN, "operator.o.limits.call_deadline=1s"]);
        assert!(message.contains("job.toml:") && message.contains(expect), "{name}: {expect}\n{message}");
    }
}

/// rule 32, rule 34: notices come when the watermark advances, and never for one that falls or stands.
#[test]
fn watermarks_follow_the_event_times_less_the_delay() {
    let bench = Bench::new(
        r#"
[job]
name = "watermarks"
[source.s]
connector = "file"
path = ["1.jsonl", "2.jsonl", "3.jsonl", "4.jsonl"]
format = "json"
schema = { at = "timestamp", a = "int64" }
event_time = { column = "at", out_of_order = "2s" }
[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "notice" }
input = "s"
[sink.out]
input = "o"
connector = "file"
path = "out.txt"
format = "lines"
"#,
    );
    for (file, at) in [("1.jsonl", 10_000), ("2.jsonl", 9_000), ("3.jsonl", 15_000), ("4.jsonl", 15_000)] {
        bench.put(file, format!("{{\"at\":{},\"a\":1}}\n{{\"at\":{at},\"a\":1}}\n", at - 500));
    }
    bench.succeed(&[]);
    // A file is a batch of its own.
    assert_eq!(
        bench.text("out.txt"),
        "Notice::Watermark(7999)\nNotice::Watermark(12999)\nNotice::Watermark(9223372036854775807)\nNotice::EndOfInput\n"
    );
}

/// rule 32: the watermark of several files is the smallest of them, if each has a subtask of its own; in one subtask they are one stream,
/// see above.
#[test]
fn files_of_several_subtasks_have_watermarks_of_their_own() {
    let bench = Bench::new(
        r#"
[job]
name = "files"
[source.s]
connector = "file"
path = ["1.jsonl", "2.jsonl"]
format = "json"
schema = { at = "timestamp", a = "int64" }
event_time = { column = "at" }
parallelism = 2
[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "notice" }
input = "s"
[sink.out]
input = "o"
connector = "file"
path = "out.txt"
format = "lines"
"#,
    );
    // Both cover the same time, and the first has far more of it than a batch.
    let rows =
        |step: i64| (1..=20_000 / step).map(|n| format!("{{\"at\":{},\"a\":1}}\n", n * step)).collect::<String>();
    bench.put("1.jsonl", rows(1));
    bench.put("2.jsonl", rows(10_000));
    let notices = |bench: &Bench| -> Vec<i64> {
        let text = bench.text("out.txt");
        text.lines().filter_map(|l| l.strip_prefix("Notice::Watermark(")?.strip_suffix(')')?.parse().ok()).collect()
    };
    bench.succeed(&[]);
    let told = notices(&bench);
    assert!(told.is_sorted_by(|a, b| a < b) && told.last() == Some(&i64::MAX), "{told:?}");
    // In step, neither runs ahead of the other by more than what it may and a batch, and both come to their end.
    bench.succeed(&["source.s.event_time.max_drift=1s"]);
    let told = notices(&bench);
    assert!(told.is_sorted_by(|a, b| a < b) && told.last() == Some(&i64::MAX), "{told:?}");
}

/// rule 32: the watermark of two inputs is the smaller one; an input without event times holds it back to the end.
#[test]
fn the_watermark_is_the_smallest_of_the_inputs() {
    let bench = Bench::new(
        r#"
[job]
name = "smallest"
[source.timed]
connector = "nexmark"
rate = 1000
event_time = { column = "date_time" }
[source.timeless]
connector = "nexmark"
rate = 1000
[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "notice" }
inputs = [{ from = "timed.bids" }, { from = "timeless.bids" }]
[sink.out]
input = "o"
connector = "file"
path = "out.txt"
format = "lines"
roll = false
[sink.rows]
input = "timed.bids"
connector = "stdout"
"#,
    );
    let last = "Notice::Watermark(9223372036854775807)\nNotice::EndOfInput\n";
    let run = |sets: &[&str]| {
        let mut command = bench.command();
        for set in sets {
            command.args(["--set", set]);
        }
        let mut running = Running::start(command);
        running.wait_for_stdout("auction");
        running.signal(rustix::process::Signal::INT);
        assert_eq!(running.end().code, Some(130));
        bench.text("out.txt")
    };
    // Which of the two ends first is chance; what the first one knows by then counts alone.
    let told = run(&[]);
    assert!(told.ends_with(last) && told.lines().count() <= 3, "{told}");
    let told = run(&["source.timeless.event_time={ column = \"date_time\" }"]);
    let notices: Vec<i64> =
        told.lines().filter_map(|l| l.strip_prefix("Notice::Watermark(")?.strip_suffix(')')?.parse().ok()).collect();
    assert!(told.ends_with(last) && notices.is_sorted_by(|a, b| a < b), "{told}");
}

/// Event times of rows that nobody reads are of no use, and of no harm.
#[test]
fn a_timed_source_that_nobody_reads() {
    let bench = bench();
    bench.put("times.jsonl", "{\"at\":5}\n");
    let source = "source.unread={ connector = \"file\", path = \"times.jsonl\", format = \"json\", \
                  schema = { at = \"timestamp\" }, event_time = { column = \"at\" } }";
    let path = format!("source.unread.path={}", bench.path("times.jsonl").display());
    let ended = bench.succeed(&[source, &path]);
    assert!(ended.stderr.contains("warning: nobody reads port `out` of `unread`"), "{}", ended.stderr);
    assert_eq!(bench.text("out.jsonl"), ROWS);
}

/// rule 35: timers of the host's clock fire while the source is silent, and once each.
#[test]
fn processing_time_timers_fire_without_new_rows() {
    let bench = Bench::new(
        r#"
[job]
name = "later"
[source.n]
connector = "nexmark"
rate = 1
only_bids = true
keys = 1
[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "count-later", lasting = true }
input = "n.bids"
key_by = ["bidder"]
[sink.out]
input = "o"
connector = "stdout"
"#,
    );
    for sets in [&[][..], &["--set", "operator.o.parallelism=2"]] {
        let mut command = bench.command();
        command.args(sets);
        let mut running = Running::start(command);
        // The first row comes after a second, the timer 20 ms later, the next row a second later.
        running.wait_for_stdout("{\"bidder\":1000,\"count\":1}");
        running.signal(rustix::process::Signal::INT);
        let ended = running.end();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        assert!(!counted(&rows(&ended.stdout)).is_empty());
    }
}

/// rule 37: timers of the host's clock that are still set at the end of all input fire then.
#[test]
fn processing_time_timers_fire_at_the_end() {
    let bench = bench();
    bench.succeed(&[&mode("count-later"), KEYED]);
    let total: i64 = bench.rows("out.jsonl").iter().filter_map(|row| row["count"].as_i64()).sum();
    assert_eq!(total, 3);
}

/// rule 44, rule 45: what an operator prints is a log, in which nothing can pose as something else.
#[test]
fn logs_are_escaped_cut_and_limited() {
    let bench = bench();
    let ended = bench.succeed(&[&mode("log")]);
    for line in ["WARN  o[0] a line\\nwith \\u{1b}[31mred", "o[0] to standard output", "o[0] to standard error"] {
        assert!(ended.stderr.contains(line), "{line}\n{}", ended.stderr);
    }
    let ended = bench.succeed(&[&mode("hostile:log-flood")]);
    let lines = ended.stderr.lines().filter(|line| line.contains("o[0] line ")).count();
    assert!((1..=300).contains(&lines), "{lines} of 10,000 lines were logged");
    let ended = bench.succeed(&[&mode("hostile:log-long")]);
    assert!(ended.stderr.lines().all(|line| line.len() < 8_000), "a line is cut");
    let ended = bench.succeed(&[&mode("wasi")]);
    assert!(ended.stderr.contains("args 0") || ended.stderr.contains("args 1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("vars 0"), "{}", ended.stderr);
}
