//! Jobs that fail while they run: exit code 1, a message that says where, and no output, not even a part.

use std::fs;

use crate::process::Bench;

const JOB: &str = r#"
[job]
name = "fails"
[source.s]
connector = "file"
path = "in.jsonl"
format = "json"
schema = { a = "int64", k = "utf8?" }
[operator.o]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "s"
[sink.out]
input = "o"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

const GOOD: &str = "{\"a\":1,\"k\":\"x\"}\n{\"a\":2,\"k\":null}\n";

#[test]
fn bad_rows_are_named_by_file_line_and_column() {
    let bench = Bench::new(JOB);
    for (rows, expect) in [
        ("{\"a\":1.5,\"k\":null}\n", "in.jsonl:3: column `a`: "),
        ("{\"a\":\"1\",\"k\":null}\n", "in.jsonl:3: column `a`: "),
        ("{\"a\":null,\"k\":null}\n", "in.jsonl:3: column `a`: "),
        ("{\"k\":null}\n", "in.jsonl:3: column `a`: "),
        ("{\"a\":9223372036854775808,\"k\":null}\n", "in.jsonl:3: column `a`: "),
        ("{\"a\":1,\"k\":2}\n", "in.jsonl:3: column `k`: "),
        ("{\"a\":1,\"k\":null\n", "in.jsonl:3: "),
        ("[1]\n", "in.jsonl:3: "),
        ("\n\n  \n{\"a\":1,\"k\":null} x\n", "in.jsonl:6: "),
        ("{\"a\":1,\"k\":\"\\ud800\"}\n", "in.jsonl:3: column `k`: "),
    ] {
        bench.put("in.jsonl", format!("{GOOD}{rows}"));
        for sets in [&["job.parallelism=1"][..], &["job.parallelism=3", "operator.o.exchange=rebalance"]] {
            let message = bench.fail(sets);
            assert!(message.contains("error[bad-row]: source s[0] failed: could not read "), "{message}");
            assert!(message.contains(expect), "{rows}: {expect}\n{message}");
            assert_eq!(bench.files(), ["in.jsonl", "job.toml"], "{rows}");
        }
    }
    bench.put("in.jsonl", b"{\"a\":1,\"k\":\"x\"}\n{\"a\":1,\"k\":\"\xff\"}\n");
    assert!(bench.fail(&[]).contains("in.jsonl:2: byte 13 of the line is not UTF-8"));
}

/// Broken from one file among several, after much has been handled.
#[test]
fn nothing_is_visible_of_a_job_that_fails_late() {
    let bench = Bench::new(JOB);
    bench.put("a.jsonl", GOOD.repeat(20_000));
    bench.put("b.jsonl", format!("{}x\n", GOOD.repeat(40_000)));
    bench.put("c.jsonl", GOOD.repeat(20_000));
    let path = format!("source.s.path={}", bench.path("*.jsonl").display());
    for parallelism in [1, 2, 3] {
        let message = bench.fail(&[&path, &format!("job.parallelism={parallelism}")]);
        assert!(message.contains("b.jsonl:80001: "), "{message}");
        assert_eq!(bench.files(), ["a.jsonl", "b.jsonl", "c.jsonl", "job.toml"]);
    }
}

#[test]
fn output_of_an_earlier_run_is_kept_on_failure_and_replaced_on_success() {
    let bench = Bench::new(JOB);
    bench.put("out.jsonl", "earlier\n");
    bench.put("in.jsonl", format!("{GOOD}x\n"));
    bench.fail(&[]);
    assert_eq!(bench.text("out.jsonl"), "earlier\n");
    bench.put("in.jsonl", GOOD);
    bench.succeed(&[]);
    assert_eq!(bench.text("out.jsonl"), GOOD);
    assert_eq!(bench.files(), ["in.jsonl", "job.toml", "out.jsonl"]);
}

#[test]
fn an_output_that_cannot_be_written_fails_the_job() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", GOOD);
    fs::create_dir(bench.path("folder")).expect("folders can be made");
    let out = |path: &str| format!("sink.out.path={}", bench.path(path).display());
    let message = bench.fail(&[&out("folder")]);
    assert!(message.contains("sink out[0] failed: could not create "), "{message}");
    let message = bench.fail(&[&out("in.jsonl/x")]);
    assert!(message.contains("sink out[0] failed: could not create "), "{message}");
    bench.succeed(&[&out("new/folders/out.jsonl")]);
    assert_eq!(bench.text("new/folders/out.jsonl"), GOOD);
}

/// Its own input may be replaced: it has been read to its end by then.
#[test]
fn a_job_may_replace_its_input() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", GOOD.repeat(3_000));
    bench.succeed(&["operator.o.config.mode=keep", &format!("sink.out.path={}", bench.path("in.jsonl").display())]);
    assert_eq!(bench.text("in.jsonl"), "{\"a\":2,\"k\":null}\n".repeat(3_000));
}

#[test]
fn limits_of_state_timers_rows_and_memory_bite() {
    let bench = Bench::new(&JOB.replace(
        "config = { mode = \"pass\" }\ninput = \"s\"",
        "config = { mode = \"count\", lasting = true }\ninput = \"s\"\nkey_by = [\"a\"]",
    ));
    let rows: String = (0..5_000).map(|a| format!("{{\"a\":{a},\"k\":null}}\n")).collect();
    bench.put("in.jsonl", rows);
    for (limit, expect) in [
        ("state=\"10KiB\"", "operator o[0] could not keep its state"),
        ("timers=4999", "there would be 5000 timers, and the limit is 4999"),
        ("output=\"1KiB\"", "(`limits.output`)"),
        ("memory=\"1200KiB\"", "(`limits.memory`)"),
    ] {
        let message = bench.fail(&[&format!("operator.o.limits.{limit}")]);
        assert!(message.contains(expect), "{limit}: {message}");
    }
    bench.succeed(&["operator.o.limits.timers=5000"]);
    assert_eq!(bench.rows("out.jsonl").len(), 5_000);
}

#[test]
fn limits_of_handles_and_of_the_log_bite() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", GOOD);
    let handles = ["operator.o.config.mode=hostile:handles", "operator.o.limits.handles=50"];
    let message = bench.fail(&handles);
    assert!(message.contains("more than 50 handles at one time (`limits.handles`)"), "{message}");
    for (lines, told) in [(1, false), (100, true)] {
        let lines = format!("operator.o.limits.log_lines_per_second={lines}");
        let ended = bench.succeed(&["operator.o.config.mode=log", &lines]);
        assert_eq!(ended.stderr.contains("to standard output"), told, "{lines}: {}", ended.stderr);
    }
}

#[test]
fn what_cannot_start_within_its_limits_is_refused() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", GOOD);
    for (limit, expect) in [
        ("memory=\"3GiB\"", "operator.o.limits.memory: expected more than 0 and at most \"2GiB\", found \"3GiB\""),
        ("table_elements=100001", "table_elements: expected a number from 1 to 100000, found 100001"),
        ("table_elements=1", "of 1 it may have (`limits.table_elements`)"),
        ("handles=100001", "expected a number from 1 to 100000, found 100001"),
    ] {
        let message = bench.refused(&[&format!("operator.o.limits.{limit}")]);
        assert!(message.contains(expect), "{limit}: {message}");
    }
}
