//! `wasmill test` and `wasmill bench`: operators on fixtures, and what is said of those that fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Running, cache, plugin, rows, target};

/// A folder of fixtures.
struct Fixtures {
    folder: TempDir,
}

impl Fixtures {
    /// One fixture, `f`, of these files.
    fn new(files: &[(&str, &str)]) -> Self {
        let fixtures = Self { folder: TempDir::new().expect("temporary folders can be made") };
        fixtures.add("f", files);
        fixtures
    }

    fn add(&self, name: &str, files: &[(&str, &str)]) {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).expect("the folder takes folders");
        for (file, text) in files {
            fs::write(folder.join(file), text).expect("the folder takes files");
        }
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join("f").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    fn has(&self, file: &str) -> bool {
        self.folder.path().join("f").join(file).exists()
    }

    /// `wasmill VERB` of an operator on these fixtures.
    #[track_caller]
    fn run(&self, verb: &str, operator: &str, more: &[&str]) -> Ended {
        run(verb, operator, self.folder.path(), more)
    }

    /// Fails, with each of these in what is printed.
    #[track_caller]
    fn fails(&self, operator: &str, parts: &[&str]) {
        let ended = self.run("test", operator, &["--seed", "5"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{}", ended.stdout);
        for part in parts {
            assert!(ended.stdout.contains(part), "it does not say `{part}`:\n{}", ended.stdout);
        }
    }

    /// Is refused, with this after the folder of the fixtures in the message.
    #[track_caller]
    fn refused(&self, operator: &str, part: &str) {
        let ended = self.run("test", operator, &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        let folder = format!("{}/", self.folder.path().display());
        let message = ended.stderr.replace(&folder, "");
        assert!(message.contains(part), "it does not say `{part}`:\n{message}");
    }

    #[track_caller]
    fn passes(&self, operator: &str) -> Ended {
        let ended = self.run("test", operator, &[]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
        ended
    }
}

fn run(verb: &str, operator: &str, fixtures: &Path, more: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.arg(verb).arg(plugin(operator)).arg("--fixtures").arg(fixtures).arg("--cache").arg(cache()).args(more);
    Running::start(command).end()
}

const WORDS: [(&str, &str); 2] = [
    ("fixture.toml", "schema = { word = \"utf8\" }\nkey_by = [\"word\"]\n"),
    ("input.jsonl", "{\"word\":\"to\"}\n{\"word\":\"be\"}\n{\"word\":\"to\"}\n"),
];

const NUMBERS: &str = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n";

fn plain(mode: &str) -> String {
    format!("schema = {{ a = \"int64\" }}\nconfig = {{ mode = \"{mode}\" }}\n")
}

/// The standard operators, and those of the examples, pass the fixtures that stand beside them.
#[test]
fn operators_pass_the_fixtures_beside_them() {
    let mut tested = 0;
    let folders = ["plugins", "examples"].map(|folder| fs::read_dir(target().join("..").join(folder)));
    for entry in folders.into_iter().flat_map(|folder| folder.expect("it is there")) {
        let fixtures: PathBuf = entry.expect("it can be listed").path().join("fixtures");
        if fixtures.is_dir() {
            let name =
                fixtures.parent().and_then(Path::file_name).expect("it has a name").to_string_lossy().into_owned();
            let ended = run("test", &name, &fixtures, &[]);
            assert_eq!(ended.code, Some(0), "{name}\n{}{}", ended.stdout, ended.stderr);
            tested += 1;
        }
    }
    assert!(tested >= 16, "{tested} operators have fixtures");
}

#[test]
fn what_comes_out_is_compared_with_what_is_expected() {
    let fixtures = Fixtures::new(&WORDS);
    fixtures.add("f", &[("expected.jsonl", "{\"count\":1,\"word\":\"be\"}\n\n{\"word\":\"to\",\"count\":2.0}\n")]);
    fixtures.passes("keyed-counter");
    fixtures.add("f", &[("expected.jsonl", "{\"word\":\"be\",\"count\":1}\n{\"word\":\"to\",\"count\":3}\n")]);
    fixtures.fails(
        "keyed-counter",
        &[
            "fixture f ... FAILED",
            "port `counts` differs from expected.jsonl (- expected, + found)",
            "    {\"word\":\"be\",\"count\":1}\n  - {\"word\":\"to\",\"count\":3}\n  + {\"word\":\"to\",\"count\":2}\n",
            "0 passed, 1 failed",
        ],
    );
    // The same as CSV, and in another order where that does not count.
    let fixtures = Fixtures::new(&WORDS);
    fixtures.add("f", &[("expected.counts.csv", "count,word\n2,to\n1,be\n")]);
    fixtures.fails("keyed-counter", &["differs from expected.counts.csv", "- {\"word\":\"be\",\"count\":1}"]);
    fixtures.add("f", &[("fixture.toml", &format!("{}order = \"any\"\n", WORDS[0].1))]);
    fixtures.passes("keyed-counter");
}

#[test]
fn blessing_writes_what_was_found_and_nothing_else() {
    let fixtures = Fixtures::new(&WORDS);
    fixtures.fails("keyed-counter", &["hint: there is no expected.jsonl; `--bless` writes what was found"]);
    let ended = fixtures.run("test", "keyed-counter", &["--bless"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("expected.jsonl: 0 lines less, 2 more"), "{}", ended.stdout);
    let blessed = fixtures.text("expected.jsonl");
    assert_eq!(blessed, "{\"word\":\"be\",\"count\":1}\n{\"word\":\"to\",\"count\":2}\n");
    assert!(!fixtures.has("rejected.jsonl"));
    let own = "{\"word\":\"be\",  \"count\":1}\n{\"word\":\"to\",\"count\":2}\n";
    fixtures.add("f", &[("expected.jsonl", own)]);
    let ended = fixtures.run("test", "keyed-counter", &["--bless"]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(fixtures.text("expected.jsonl"), own, "what is as expected stays as it was written");
}

#[test]
fn watermarks_fire_timers_where_the_fixture_says() {
    // `count-later` sets a timer 20 ms after the processing time of a key's first row.
    let config = "config = { mode = \"count-later\", lasting = true }\n";
    let fixtures = Fixtures::new(&[
        ("fixture.toml", &format!("schema = {{ a = \"int64\", k = \"utf8\" }}\nkey_by = [\"k\"]\n{config}")),
        (
            "input.jsonl",
            "{\"@processing_time\":\"2024-01-01T00:00:00Z\"}\n{\"a\":1,\"k\":\"x\"}\n{\"@processing_time\":1704067200019}\n\
             {\"a\":2,\"k\":\"x\"}\n{\"@processing_time\":1704067200020}\n{\"a\":3,\"k\":\"x\"}\n{\"a\":3,\"k\":\"y\"}\n",
        ),
        ("expected.jsonl", "{\"k\":\"x\",\"count\":2}\n{\"k\":\"x\",\"count\":1}\n{\"k\":\"y\",\"count\":1}\n"),
    ]);
    // The first timer fires between the second row and the third, not at the end.
    fixtures.passes("rust-plain");
}

#[test]
fn rejected_rows_are_expected_by_number_columns_and_reason() {
    let fixture = |how: &str| format!("schema = {{ value = \"int64\" }}\nconfig = {{ how = \"{how}\", every = 3 }}\n");
    let fixtures = Fixtures::new(&[
        ("fixture.toml", &fixture("error")),
        ("input.csv", "value\n1\n3\n5\n6\n"),
        ("expected.csv", "value,doubled\n1,2\n5,10\n"),
    ]);
    fixtures.fails(
        "rust-poison",
        &[
            "rejected rows differ from rejected.jsonl",
            "+ {\"row\":1,\"reason\":\"the value is poison\"}",
            "+ {\"row\":3,",
        ],
    );
    let expected = "{\"row\":{\"value\":6},\"reason\":\"poison\"}\n{\"row\":1}\n";
    fixtures.add("f", &[("rejected.jsonl", expected)]);
    fixtures.passes("rust-poison");
    fixtures.add("f", &[("rejected.jsonl", &format!("{expected}{{\"row\":0}}\n"))]);
    fixtures.fails("rust-poison", &["  - {\"row\":0}"]);

    // A trap says where the guest was, and what it said last.
    fixtures.add("f", &[("fixture.toml", &fixture("trap")), ("rejected.jsonl", "{\"row\":3,\"kind\":\"trap\"}\n")]);
    fixtures.fails(
        "rust-poison",
        &["+ {\"row\":1,", "the value 3 is poison", "    at wasmill:operator/guest@0.1.0#process"],
    );
    let ended = fixtures.run("test", "rust-poison", &["--bless"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    fixtures.passes("rust-poison");

    // Where a failure is to end the job, it ends the fixture.
    fixtures.add("f", &[("fixture.toml", &format!("{}on_error = \"fail\"\n", fixture("trap")))]);
    fixtures.fails("rust-poison", &["operator rust-poison[0] failed: the operator trapped in `process`"]);
    fixtures.add("f", &[("fixture.toml", &format!("{}on_error = \"fail\"\nfails = \"trapped\"\n", fixture("trap")))]);
    fixtures.passes("rust-poison");
    fixtures.add("f", &[("fixture.toml", &format!("{}on_error = \"fail\"\nfails = \"trapped\"\n", fixture("error")))]);
    fixtures.fails("rust-poison", &["(it was to fail with `trapped`)"]);
    fixtures.add("f", &[("fixture.toml", &format!("{}fails = \"trapped\"\n", fixture("trap")))]);
    fixtures.fails("rust-poison", &["it was to fail with `trapped`, and did not"]);
}

/// rule 4: what is kept in guest memory is lost when the instance is replaced.
#[test]
fn state_in_guest_memory_is_found() {
    let found = "{\"a\":1,\"seen\":0}\n{\"a\":2,\"seen\":1}\n{\"a\":3,\"seen\":2}\n{\"a\":4,\"seen\":3}\n";
    let fixtures = Fixtures::new(&[
        ("fixture.toml", &plain("breaks:memory")),
        ("input.jsonl", NUMBERS),
        ("expected.jsonl", found),
    ]);
    fixtures.fails(
        "rust-plain",
        &[
            "replace: the result is another one with a new instance for every call, row by row",
            "rule 4 of docs/reference/operator-contract.md",
            "- {\"a\":4,\"seen\":3}",
            "+ {\"a\":4,\"seen\":0}",
        ],
    );
    let ended = fixtures.run("test", "rust-plain", &[]);
    assert!(!ended.stdout.contains("differs from expected"), "the plain run is as expected:\n{}", ended.stdout);
}

/// rule 11: how rows are cut into batches says nothing.
#[test]
fn results_that_depend_on_the_cut_are_found() {
    let fixtures = Fixtures::new(&[
        ("fixture.toml", &plain("breaks:cut")),
        ("input.jsonl", NUMBERS),
        ("expected.jsonl", "{\"rows\":4}\n"),
    ]);
    fixtures.fails(
        "rust-plain",
        &[
            "cut: the result is another one with row by row",
            "rule 11 of docs/reference/operator-contract.md",
            "- {\"rows\":4}",
            "+ {\"rows\":1}",
            "the same cuts again: --seed 5",
        ],
    );
    // Too many rows to be handed over one by one are cut at random.
    let rows: String = (0..2_000).map(|a| format!("{{\"a\":{a}}}\n")).collect();
    fixtures.add("f", &[("input.jsonl", &rows), ("expected.jsonl", "{\"rows\":2000}\n")]);
    let first = fixtures.run("test", "rust-plain", &["--seed", "5"]);
    assert!(first.stdout.contains("the result is another one with rows cut into "), "{}", first.stdout);
    let again = fixtures.run("test", "rust-plain", &["--seed", "5"]);
    let cut = |ended: &Ended| ended.stdout.lines().find(|line| line.starts_with("cut: ")).map(str::to_owned);
    assert_eq!(cut(&first), cut(&again), "a seed says all");
}

#[test]
fn several_inputs_and_ports() {
    let fixtures = Fixtures::new(&[
        (
            "fixture.toml",
            "config = { mode = \"union\" }\n[[inputs]]\nschema = { a = \"int64\" }\nrows = \"left.jsonl\"\n\
             [[inputs]]\nschema = { a = \"int64\" }\nrows = \"right.csv\"\n",
        ),
        ("left.jsonl", "{\"a\":1}\n{\"@watermark\":5}\n{\"a\":3}\n"),
        ("right.csv", "a\n2\n@watermark,5\n4\n"),
        ("expected.jsonl", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n"),
    ]);
    fixtures.passes("rust-plain");
}

#[test]
fn limits_are_told_and_hold() {
    let fixtures = Fixtures::new(&[
        ("fixture.toml", &format!("{}limits = {{ memory = \"2MiB\", metric_names = 10 }}\n", plain("metrics"))),
        ("input.jsonl", NUMBERS),
        ("expected.jsonl", NUMBERS),
    ]);
    let ended = fixtures.run("test", "rust-plain", &["-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let report = rows(&ended.stdout).pop().expect("one object");
    let limit = |name: &str| {
        let limits = report["limits"].as_array().expect("a list");
        limits.iter().find(|limit| limit["name"] == name).cloned().expect("all limits are told")
    };
    assert_eq!((&limit("metric_names")["used"], &limit("metric_names")["limit"]), (&10.into(), &10.into()));
    assert_eq!(limit("memory")["limit"], Value::from(2 << 20));
    assert!(limit("memory")["used"].as_u64().is_some_and(|used| used > 0));
    assert!(limit("call_deadline")["used"].as_f64().is_some_and(|used| used > 0.0));
    assert_eq!(report["fixtures"][0]["ways"], 8);
    fixtures.add("talks", &[("fixture.toml", &plain("log")), ("input.jsonl", NUMBERS), ("expected.jsonl", NUMBERS)]);
    let ended = fixtures.run("test", "rust-plain", &["-o", "json", "--filter", "talks"]);
    let report = rows(&ended.stdout).pop().expect("one object");
    let used = |name: &str| {
        let limits = report["limits"].as_array().expect("a list");
        limits.iter().find(|limit| limit["name"] == name).and_then(|limit| limit["used"].as_u64())
    };
    // Row by row: one line by `log`, one on each of the two streams.
    assert_eq!(used("log_lines_per_second"), Some(12));
    assert!(used("handles").is_some_and(|handles| handles > 0), "{report}");
    assert!(used("table_elements").is_some_and(|elements| elements > 0), "{report}");
    let text = fixtures.passes("rust-plain").stdout;
    assert!(text.contains("numbers of metrics were refused"), "{text}");
    let narrow = format!("{}limits = {{ output_rows = 3 }}\non_error = \"fail\"\n", plain("types"));
    fixtures.add("f", &[("fixture.toml", &narrow)]);
    fixtures.fails("rust-plain", &["error[output-limit]: operator rust-plain[0] failed", "a call may make 3"]);
}

#[test]
fn a_keyed_operator_tells_its_state_and_timers() {
    let fixtures = Fixtures::new(&WORDS);
    let ended = fixtures.run("test", "keyed-counter", &["--bless", "-o", "json"]);
    let report = rows(&ended.stdout).pop().expect("one object");
    let used = |name: &str| {
        let limits = report["limits"].as_array().expect("a list");
        limits.iter().find(|limit| limit["name"] == name).and_then(|limit| limit["used"].as_u64())
    };
    assert_eq!(used("timers"), Some(2));
    assert!(used("state").is_some_and(|bytes| bytes > 0));
}

#[test]
fn fixtures_that_cannot_be_run_are_refused_with_their_line() {
    let check = |files: &[(&str, &str)], part: &str| {
        let fixtures = Fixtures::new(&WORDS);
        fixtures.add("f", files);
        fixtures.refused("keyed-counter", part);
    };
    check(
        &[("fixture.toml", "schema = { word = \"utf8\" }\n")],
        "error[operator-not-keyed]: f/fixture.toml:1: plugin ",
    );
    check(
        &[("fixture.toml", "schema = { word = \"text\" }\n")],
        "error[job-file-unknown-type]: f/fixture.toml:1: schema.word: expected a type",
    );
    check(
        &[("fixture.toml", &format!("{}cnfig = {{}}\n", WORDS[0].1))],
        "error[job-file-unknown-key]: f/fixture.toml:3: cnfig: unknown key `cnfig`",
    );
    check(
        &[("fixture.toml", &format!("{}config = {{ emit = 1 }}\n", WORDS[0].1))],
        "error[refused-by-operator]: f/fixture.toml:1: plugin ",
    );
    check(
        &[("input.jsonl", "{\"word\":\"a\"}\n{\"word\":1}\n")],
        "error[bad-row]: could not read f/input.jsonl:2: column `word`: expected utf8, found 1",
    );
    check(
        &[("input.csv", "word\n")],
        "error[fixture-files]: could not choose between f/input.jsonl and f/input.csv: keep one of them",
    );
    check(
        &[("expected.jsonl", "{\"word\":\"a\",\"cout\":1}\n")],
        "error[fixture-bad-line]: could not read f/expected.jsonl:1: there is no column `cout`\n  hint: did you mean `count`?",
    );
    check(
        &[("expected.jsonl", "{\"word\":\"a\",\"count\":true}\n")],
        "error[bad-row]: could not read f/expected.jsonl:1: column `count`: expected int64, found true",
    );
    check(
        &[("expected.out.jsonl", "")],
        "the operator has no such port\n  hint: its rows are expected in `expected.PORT.jsonl`; the ports are: counts",
    );
    check(
        &[("rejected.jsonl", "{\"rows\":1}\n")],
        "error[fixture-bad-line]: could not read f/rejected.jsonl:1: unknown key `rows`\n  hint: did you mean `row`?",
    );
    let empty = Fixtures { folder: TempDir::new().expect("temporary folders can be made") };
    empty.refused("keyed-counter", "error[fixture-not-found]: could not find a fixture in ");
    let ended = Fixtures::new(&WORDS).run("test", "keyed-counter", &["--filter", "g"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("could not find a fixture with `g` in its name\n  hint: there are: f"),
        "{}",
        ended.stderr
    );
}

#[test]
fn only_the_fixtures_that_are_asked_for_are_run() {
    let fixtures = Fixtures::new(&WORDS);
    fixtures.add("good", &WORDS);
    fixtures.add("good", &[("expected.jsonl", "{\"word\":\"be\",\"count\":1}\n{\"word\":\"to\",\"count\":2}\n")]);
    let ended = fixtures.run("test", "keyed-counter", &["--filter", "go"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("running 1 fixture of keyed-counter"), "{}", ended.stdout);
    let ended = fixtures.run("test", "keyed-counter", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("1 passed, 1 failed"), "{}", ended.stdout);
}

#[test]
fn an_operator_is_measured_on_its_fixtures() {
    let fixtures = Fixtures::new(&WORDS);
    fixtures.add("empty", &[WORDS[0], ("input.jsonl", "")]);
    let ended = fixtures.run("bench", "keyed-counter", &["--seconds", "0.05", "--rows-per-batch", "100", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("fixture empty has no rows"), "{}", ended.stderr);
    let report = rows(&ended.stdout).pop().expect("one object");
    let [figures] = report["fixtures"].as_array().expect("a list").as_slice() else { panic!("{report}") };
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{report}"));
    let ns = &figures["ns_per_row"];
    assert!(number(&ns["min"]) > 0.0 && number(&ns["min"]) <= number(&ns["median"]), "{report}");
    assert!(number(&ns["median"]) <= number(&ns["max"]), "{report}");
    assert!(number(&figures["rows_per_cpu_second"]) > 0.0 && number(&figures["rows"]) >= 500.0, "{report}");
    assert_eq!(number(&figures["rows"]) % 100.0, 0.0, "calls are of full batches");
    let text = fixtures.run("bench", "keyed-counter", &["--seconds", "0.05", "--filter", "f"]).stdout;
    assert!(text.contains("1024 rows a call; the median of 5 runs"), "{text}");
    fixtures.add("f", &[("rejected.jsonl", "")]);
    let ended = fixtures.run("bench", "keyed-counter", &["--filter", "f"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("could not find a fixture to measure"), "{}", ended.stderr);
    let ended = fixtures.run("bench", "keyed-counter", &["--rows-per-batch", "0"]);
    assert_eq!(ended.code, Some(2));
}
