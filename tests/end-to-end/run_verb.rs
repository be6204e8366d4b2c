//! `wasmill run` as a tool among others: other files than the job's, a few rows, pipes, terminals.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{Bench, Running, rows};

/// Bids through an operator, to nowhere.
const JOB: &str = r#"
[job]
name = "piped"
[source.n]
connector = "nexmark"
events = 1000
only_bids = true
[operator.pass]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "n.bids"
[sink.out]
input = "pass"
connector = "blackhole"
"#;

/// Numbered rows from a file.
const FROM_FILE: &str = r#"
[job]
name = "numbers"
parallelism = 2
[source.numbers]
connector = "file"
path = "missing.csv"
format = "csv"
schema = { n = "int64", text = "utf8?" }
[sink.out]
input = "numbers"
connector = "stdout"
"#;

#[track_caller]
fn run(bench: &Bench, arguments: &[&str]) -> (String, String) {
    let mut command = bench.command();
    command.current_dir(bench.folder.path()).args(arguments);
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{arguments:?}\n{}", ended.stderr);
    (ended.stdout, ended.stderr)
}

#[test]
fn rows_go_to_another_file_in_the_format_of_its_name() {
    let bench = Bench::new(JOB);
    run(&bench, &["--output", "out.jsonl"]);
    let expected = bench.rows("out.jsonl");
    assert_eq!(expected.len(), 1_000);
    // Every format is read back as the same rows.
    for name in ["b.csv", "b.jsonl.gz"] {
        run(&bench, &["--output", name]);
        let back = Bench::new(FROM_FILE);
        let schema = "source.numbers.schema={ auction = 'int64', bidder = 'int64', price = 'int64', channel = 'utf8', \
                      url = 'utf8', date_time = 'timestamp', extra = 'utf8' }";
        let path = bench.path(name);
        let path = path.to_str().expect("it is text");
        let (shown, _) = run(&back, &["--input", path, "--set", schema, "--set", "sink.out.parallelism=1"]);
        assert_eq!(rows(&shown), expected, "{name}");
    }
    run(&bench, &["--output", "rows.parquet"]);
    run(&bench, &["--output", "rows.arrow"]);
    let head = |name: &str| std::fs::read(bench.path(name)).expect("it was written")[..4].to_vec();
    assert_eq!((head("rows.parquet"), head("rows.arrow")), (b"PAR1".to_vec(), b"ARRO".to_vec()));
}

#[test]
fn one_file_is_one_file_whatever_the_parallelism() {
    let bench = Bench::new(JOB);
    run(&bench, &["--output", "out.jsonl", "--set", "job.parallelism=3"]);
    assert_eq!(bench.files(), ["job.toml", "out.jsonl"]);
    assert_eq!(bench.rows("out.jsonl").len(), 1_000);
}

#[test]
fn rows_alone_go_to_standard_output() {
    let bench = Bench::new(JOB);
    for arguments in [&["--output", "-"][..], &["--set", "sink.out.connector=stdout"]] {
        let (shown, told) = run(&bench, arguments);
        assert_eq!(rows(&shown).len(), 1_000);
        assert!(told.contains("job piped FINISHED"), "{told}");
    }
    let to_file = ["--set", "sink.out.connector=file", "--set", "sink.out.path=-", "--set", "sink.out.format=csv"];
    let (shown, _) = run(&bench, &to_file);
    assert_eq!((shown.lines().count(), bench.files()), (1_001, vec!["job.toml".to_owned()]));
    // A report for programs gives way.
    let (shown, told) = run(&bench, &["--output", "-", "-o", "json"]);
    assert_eq!(rows(&shown).len(), 1_000);
    let report: Value = serde_json::from_str(told.trim()).expect("one object");
    assert_eq!((report["state"].as_str(), &report["error"]), (Some("FINISHED"), &Value::Null));
}

#[test]
fn formats_that_are_no_lines_go_into_pipes_whole() {
    let bench = Bench::new(JOB);
    let bytes = |format: &str| {
        let mut command = bench.command();
        command.args(["--output", "-", "--set", &format!("sink.out.format={format}")]);
        command.stdin(Stdio::null()).output().expect("the binary starts").stdout
    };
    assert!(bytes("arrow").starts_with(&[0xff, 0xff, 0xff, 0xff]), "an Arrow stream");
    let parquet = bytes("parquet");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let arrow = ["sink.out.connector=stdout", "sink.out.format=arrow"];
    let message = bench.refused(&[arrow[0], arrow[1], "sink.out.parallelism=2"]);
    assert!(message.contains("several subtasks cannot write one stream of bytes"), "{message}");
    bench.put("job.toml", format!("{}[sink.more]\ninput = \"pass\"\nconnector = \"stdout\"\n", bench.text("job.toml")));
    let message = bench.refused(&arrow);
    assert!(message.contains("writes to standard output too, and one of them writes no lines"), "{message}");
}

#[test]
fn a_limit_ends_the_sources_after_so_many_rows_in_all() {
    let bench = Bench::new(JOB);
    for (limit, parallelism, expected) in [("0", "1", 0), ("1", "1", 1), ("700", "3", 700), ("5000", "2", 1_000)] {
        let set = format!("job.parallelism={parallelism}");
        let (shown, told) = run(&bench, &["--output", "-", "--limit", limit, "--set", &set]);
        assert_eq!(rows(&shown).len(), expected, "{limit} rows, parallelism {parallelism}");
        assert!(told.contains("FINISHED"), "{told}");
    }
    // A source that would never end, and whose other subtask would have the next row much later.
    let endless = "{ connector = 'nexmark', rate = 1, only_bids = true }";
    let (shown, _) = run(
        &bench,
        &["--output", "-", "--limit", "1", "--set", &format!("source.n={endless}"), "--set", "job.parallelism=2"],
    );
    assert_eq!(rows(&shown).len(), 1);
}

#[test]
fn the_first_rows_of_a_file() {
    let bench = Bench::new(FROM_FILE);
    let numbers: String = (0..20_000).map(|n| format!("{n},row {n}\n")).collect();
    bench.put("numbers.csv", format!("n,text\n{numbers}"));
    let (shown, _) = run(&bench, &["--input", "numbers.csv", "--limit", "5000", "--set", "job.parallelism=1"]);
    let read: Vec<i64> = rows(&shown).iter().map(|row| row["n"].as_i64().expect("a number")).collect();
    assert_eq!(read, (0..5_000).collect::<Vec<i64>>());
}

#[test]
fn what_cannot_be_redirected_is_said() {
    let bench = Bench::new(JOB);
    let refused = |arguments: &[&str]| {
        let mut command = bench.command();
        command.args(arguments);
        let ended = Running::start(command).end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}\n{}", ended.stderr);
        ended.stderr
    };
    let message = refused(&["--output", "rows.xyz"]);
    assert!(
        message.contains("error[redirect]: --output rows.xyz: the name says no format, and [sink.out] has none\n"),
        "{message}"
    );
    bench.put("rows.jsonl", "");
    let rows = bench.path("rows.jsonl").display().to_string();
    let message = refused(&["--input", &rows, "--set", "source.n.schema={ a = 'int64' }"]);
    assert!(message.contains("`n` has no port `bids`"), "{message}");
    bench.put("job.toml", format!("{}[sink.more]\ninput = \"pass\"\nconnector = \"stdout\"\n", bench.text("job.toml")));
    let message = refused(&["--output", "-"]);
    assert!(message.contains("this one has 2 sinks: out, more\n  hint: write --set sink.NAME.path=-"), "{message}");
}

/// No colours, no carriage returns, nothing but text and line ends.
#[test]
fn without_a_terminal_there_are_no_control_characters() {
    let bench = Bench::new(JOB);
    for arguments in [&[][..], &["--output", "-"], &["--explain"], &["-o", "json"]] {
        let (shown, told) = run(&bench, arguments);
        let controls = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!controls(&shown) && !controls(&told), "{arguments:?}: {told:?}");
    }
}

/// What a terminal of 60 columns gets.
fn on_terminal(bench: &Bench, environment: &str, arguments: &str) -> String {
    let binary = bench.command();
    let words: Vec<_> = std::iter::once(binary.get_program()).chain(binary.get_args()).collect();
    let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let line = format!("stty cols 60 rows 24; LANG=C.UTF-8 {environment} {} {arguments}", words.join(" "));
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output();
    let output = output.expect("`script` runs a command on a terminal");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Text as it stands on the screen, without what moves and colours.
fn visible(text: &str) -> String {
    let mut shown = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                let _ = chars.by_ref().find(|c| c.is_ascii_alphabetic());
            }
            '\r' => {}
            c => shown.push(c),
        }
    }
    shown
}

#[test]
fn a_terminal_of_60_columns_is_not_overrun() {
    let bench = Bench::new(JOB);
    let slow = "--set source.n.rate=3000";
    let screen = on_terminal(&bench, "TERM=xterm", slow);
    assert!(screen.contains("rows in 0s"), "a status line is drawn: {screen:?}");
    assert!(screen.contains('\u{1b}'));
    let table = visible(&screen);
    let (_, table) = table.rsplit_once("vertex").expect("a table at the end");
    assert!(table.lines().all(|line| line.chars().count() <= 60), "{table}");
    assert!(table.contains("job piped FINISHED"), "{table}");
    assert!(on_terminal(&bench, "TERM=xterm", "--explain").lines().all(|line| visible(line).chars().count() <= 60));
}

#[test]
fn colours_and_lines_that_change_only_where_they_are_welcome() {
    let bench = Bench::new(JOB);
    let drawing = |environment: &str, arguments: &str| on_terminal(&bench, environment, arguments);
    assert!(drawing("TERM=xterm", "--explain").contains("\u{1b}["));
    assert!(!drawing("TERM=xterm NO_COLOR=1", "--explain").contains('\u{1b}'));
    assert!(!drawing("TERM=xterm", "--explain --color never").contains('\u{1b}'));
    assert!(!drawing("TERM=dumb", "--explain").contains('\u{1b}'));
    let dumb = drawing("TERM=dumb", "--set source.n.rate=3000");
    assert!(!dumb.contains('\u{1b}') && dumb.contains("job piped FINISHED"), "{dumb:?}");
}
