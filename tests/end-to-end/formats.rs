//! Sources of every format through the real binary: standard input, bad rows, columnar files, `wasmill schema`.

use std::{
    fs::File,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::process::{Bench, Ended, Running};

const JOB: &str = r#"
[job]
name = "formats"
[source.in]
connector = "file"
path = "in.jsonl"
format = "json"
schema = { n = "int64", s = "utf8?" }
[sink.out]
input = "in.out"
parallelism = 1
connector = "file"
path = "out.jsonl"
format = "json"
"#;

/// Runs the job with this standard input.
fn run_with_input(bench: &Bench, sets: &[&str], input: Stdio) -> Ended {
    let mut command = bench.command();
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    let command = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::over(command.spawn().expect("the binary starts")).end()
}

#[test]
fn standard_input_is_read_by_one_subtask() {
    let bench = Bench::new(JOB);
    let rows: String = (0..20_000).map(|n| json!({"n": n, "s": "some text"}).to_string() + "\n").collect();
    bench.put("piped", rows);
    let input = || Stdio::from(File::open(bench.path("piped")).expect("it is there"));
    for parallelism in ["job.parallelism=1", "job.parallelism=3"] {
        let ended = run_with_input(&bench, &["source.in.path=-", parallelism], input());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mut numbers: Vec<i64> = bench.rows("out.jsonl").iter().filter_map(|row| row["n"].as_i64()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..20_000));
    }
}

#[test]
fn rows_come_out_while_standard_input_is_open() {
    let bench = Bench::new(JOB);
    let mut command = bench.command();
    for set in ["source.in.path=-", "sink.out.connector=stdout"] {
        command.args(["--set", set]);
    }
    let job = bench.text("job.toml").replace("path = \"out.jsonl\"\n", "");
    bench.put("job.toml", job);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("it was piped");
    let mut running = Running::over(child);
    for n in 0..3 {
        writeln!(input, "{{\"n\": {n}}}").expect("it reads");
        running.wait_for_stdout(&format!("{{\"n\":{n},\"s\":null}}"));
    }
    drop(input);
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn two_sources_cannot_both_read_standard_input() {
    let more = JOB.replace("[source.in]", "[source.other]").replace("[job]\nname = \"formats\"", "");
    let more = more.split("[sink.out]").next().expect("a source").to_owned();
    let bench = Bench::new(&format!("{JOB}{more}"));
    let message = bench.refused(&["source.in.path=-", "source.other.path=-"]);
    assert!(message.contains("`in` reads standard input too: it can be read only once"), "{message}");
}

/// A bad row in every `every`.
fn bad_bench(rows: usize, every: usize, more: &str) -> Bench {
    let bench = Bench::new(&JOB.replace("[sink.out]", &format!("{more}\n[sink.out]")));
    let row = |n: usize| if n % every == 7 { format!("{{\"n\": \"{n}\"}}\n") } else { format!("{{\"n\": {n}}}\n") };
    bench.put("in.jsonl", (0..rows).map(row).collect::<String>());
    bench
}

fn rejected(ended: &Ended) -> Value {
    let report: Value = serde_json::from_str(&ended.stdout).expect("a report");
    let vertices = report["vertices"].as_array().expect("vertices");
    vertices.iter().find(|vertex| vertex["name"] == "in").expect("the source")["rejected"].clone()
}

#[test]
fn bad_rows_fail_the_job_or_are_left_out_or_become_dead_letters() {
    let good: Vec<usize> = (0..30_000).filter(|n| n % 1_000 != 7).collect();
    let came_out = |bench: &Bench| {
        let mut numbers: Vec<usize> =
            bench.rows("out.jsonl").iter().map(|row| row["n"].as_u64().expect("a number") as usize).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, good);
    };
    let message = bad_bench(30_000, 1_000, "").fail(&[]);
    let expected = "in.jsonl:8: column `n`: expected int64, found the string \"7\"";
    assert!(message.contains(expected), "{message}");

    for parallelism in ["job.parallelism=1", "job.parallelism=2"] {
        let bench = bad_bench(30_000, 1_000, "on_error = \"skip\"");
        let mut command = bench.command();
        command.args(["-o", "json", "--set", parallelism]);
        let ended = Running::start(command).end();
        assert_eq!((ended.code, rejected(&ended)), (Some(0), json!(30)), "{}", ended.stderr);
        assert!(ended.stderr.contains("a row is left out: could not read"), "{}", ended.stderr);
        came_out(&bench);

        let bench = bad_bench(30_000, 1_000, "on_error = \"dead_letter\"");
        bench.succeed(&[parallelism]);
        came_out(&bench);
        let letters = bench.rows("formats.dead-letters.jsonl");
        assert_eq!(letters.len(), 30);
        let mut letter = letters[0].clone();
        assert!(
            letter["at"].take().is_i64() && letter["file"].take().as_str().is_some_and(|f| f.ends_with("in.jsonl"))
        );
        assert!(letter["subtask"].take().is_i64());
        let expected = json!({
            "at": null, "operator": null, "subtask": null, "call": "read", "input": null, "position": null,
            "event_time": null, "kind": "bad-row", "reason": "expected int64, found the string \"7\"",
            "backtrace": null, "log": null, "plugin": null, "row": "{\"n\": \"7\"}", "source": "in", "file": null,
            "line": 8, "column": "n",
        });
        assert_eq!(letter, expected);
    }
}

#[test]
fn too_many_bad_rows_fail_the_job_unless_they_are_expected() {
    let message = bad_bench(30_000, 50, "on_error = \"skip\"").fail(&[]);
    assert!(message.contains("more than 1 % of 10000 rows could not be read; the last: could not read"), "{message}");
    assert!(message.contains("raise `bad_rows_percent_max`"), "{message}");
    let bench = bad_bench(30_000, 50, "on_error = \"skip\"\nbad_rows_percent_max = 2.5");
    bench.succeed(&[]);
    assert_eq!(bench.rows("out.jsonl").len(), 30_000 - 600);
    bad_bench(3_000, 8, "on_error = \"skip\"\nbad_rows_percent_max = 100").succeed(&[]);
    let message = bad_bench(10, 8, "bad_rows_percent_max = 101").refused(&[]);
    assert!(message.contains("expected a number from 0 to 100, found 101"), "{message}");
}

#[test]
fn a_file_that_is_broken_fails_the_job_whatever_the_policy() {
    let bench = bad_bench(10, 100, "on_error = \"skip\"");
    let header = ["source.in.format=csv", "source.in.path=-"];
    bench.put("piped", "n,t\n1,2\n");
    let input = Stdio::from(File::open(bench.path("piped")).expect("it is there"));
    let ended = run_with_input(&bench, &header, input);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("could not read standard input: its header has no column `s`"), "{}", ended.stderr);
}

fn schema(arguments: &[&str], input: Stdio) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    let command = command.arg("schema").args(arguments).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::over(command.spawn().expect("the binary starts")).end()
}

#[test]
fn the_schema_of_a_file_can_be_pasted() {
    let bench = Bench::new(JOB);
    bench.put("in.jsonl", "{\"n\": 1, \"at\": 1517966773840}\n{\"n\": 2.5, \"s\": \"x\", \"at\": 1517966773840}\n");
    let file = bench.path("in.jsonl").display().to_string();
    let ended = schema(&[&file], Stdio::null());
    let expected = "# format = \"json\"; 2 rows\n# at: may be a time: at = \"timestamp\"\n\
                    schema = { n = \"float64\", at = \"int64\", s = \"utf8?\" }\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected), "{}", ended.stderr);
    let job = bench.text("job.toml");
    let pasted = job.replace("schema = { n = \"int64\", s = \"utf8?\" }\n", &ended.stdout);
    assert_ne!(pasted, job);
    bench.put("job.toml", pasted);
    bench.succeed(&[]);
    assert_eq!(bench.rows("out.jsonl").len(), 2);

    let input = Stdio::from(File::open(bench.path("in.jsonl")).expect("it is there"));
    let ended = schema(&["-", "--rows", "1", "-o", "json"], input);
    let found: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&found["rows"], &found["complete"]), (&json!(1), &json!(false)));
    assert_eq!(found["columns"][0]["type"], json!("int64"));
    let ended = schema(&["none.csv"], Stdio::null());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("could not read none.csv"), "{}", ended.stderr);
}
