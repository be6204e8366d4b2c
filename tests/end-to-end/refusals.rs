//! Job files that are refused before anything starts: exit code 2, and a message that says where, what and what instead.

use std::fs;

use crate::process::{Bench, Running, plugin};

/// A job file with every key there is, one a line. Values of `schema` and `config` are the user's own.
const ALL: &str = r#"[job]
name = "everything"
parallelism = 2
key_groups = 64
mode = "stream"

[source.flights]
connector = "file"
path = "flights.jsonl"
format = "json"
parallelism = 1
line_bytes_max = 65536
invalid_utf8 = "replace"

[source.flights.schema]
at = "timestamp"
origin = "utf8"
a = "int64?"

[source.flights.event_time]
column = "at"
out_of_order = "5s"
idle_after = "2s"

[source.table]
connector = "file"
path = "table.csv"
format = "csv"
header = true
delimiter = ";"
quote = "'"
schema = { id = "int64", note = "utf8?" }

[source.n]
connector = "nexmark"
events = 100
rate = 1000000
seed = 3
keys = 7
only_bids = false
first_event_time = 0
event_rate = 10

[source.machine]
connector = "host-metrics"
interval = "200ms"
count = 1

[operator.pass]
plugin = "PLUGINS/rust-plain.wasm"
input = "flights"
exchange = "rebalance"
on_error = "fail"
parallelism = 2

[operator.pass.config]
mode = "pass"

[operator.pass.limits]
memory = "64MiB"
call_deadline = "5s"
output = "16MiB"
output_rows = 1000
table_elements = 20000
handles = 10000
log_lines_per_second = 100
metric_names = 100

[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "n.bids"
key_by = ["bidder"]

[operator.count.limits]
state = "1MiB"
timers = 1000

[operator.both]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "notice" }

[[operator.both.inputs]]
from = "pass"

[[operator.both.inputs]]
from = "table"
exchange = "broadcast"

[sink.out]
input = "pass"
connector = "file"
path = "out.csv"
format = "csv"
header = false
delimiter = ","
quote = "'"

[sink.told]
input = "both"
connector = "file"
path = "told.txt"
format = "lines"
column = "told"

[sink.counts]
input = "count"
key_by = ["bidder"]
exchange = "hash"
connector = "stdout"
format = "json"

[sink.system]
input = "machine.system"
connector = "blackhole"
"#;

/// A key of [`ALL`]: its line, the table it is in, its value.
struct Entry {
    line: usize,
    table: &'static str,
    key: &'static str,
    value: &'static str,
}

impl Entry {
    /// Whether the key is the user's own.
    fn is_free(&self) -> bool {
        self.table.ends_with(".schema") || self.table.ends_with(".config")
    }

    /// The path that messages show.
    fn path(&self) -> String {
        let place = if self.line > 80 && ALL.lines().take(self.line).filter(|l| l.starts_with("[[")).count() == 2 {
            1
        } else {
            0
        };
        match self.table.strip_suffix(".inputs") {
            Some(table) => format!("{table}.inputs[{place}].{}", self.key),
            None => format!("{}.{}", self.table, self.key),
        }
    }
}

fn entries() -> Vec<Entry> {
    let mut table = "";
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(ALL.lines()) {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']);
        } else if let Some((key, value)) = line.split_once(" = ") {
            entries.push(Entry { line: number, table, key, value });
        }
    }
    entries
}

fn bench() -> Bench {
    let bench = Bench::new(ALL);
    bench.put("flights.jsonl", "{\"at\":1,\"origin\":\"A\",\"a\":3}\n");
    bench.put("table.csv", "id;note\n1;'x;y'\n");
    bench
}

/// The job file with one line replaced.
fn with_line(bench: &Bench, line: usize, text: &str) {
    let lines: Vec<&str> = (1..).zip(ALL.lines()).map(|(n, old)| if n == line { text } else { old }).collect();
    bench.put(
        "job.toml",
        lines
            .join("\n")
            .replace("PLUGINS/rust-plain.wasm", &plugin("rust-plain"))
            .replace("PLUGINS/keyed-counter.wasm", &plugin("keyed-counter")),
    );
}

#[test]
fn the_whole_file_is_accepted() {
    bench().succeed(&[]);
}

#[test]
fn every_misspelt_key_is_named_with_its_line_and_the_right_one() {
    let bench = bench();
    for entry in entries().iter().filter(|entry| !entry.is_free()) {
        let Entry { line, key, value, .. } = entry;
        // The last two letters change places.
        let (head, tail) = key.split_at(key.len() - 2);
        let misspelt: String = head.chars().chain(tail.chars().rev()).collect();
        with_line(&bench, *line, &format!("{misspelt} = {value}"));
        let message = bench.refused(&[]);
        let path = entry.path();
        let expect =
            format!("job.toml:{line}: {}{misspelt}: unknown key `{misspelt}`", &path[..path.len() - key.len()]);
        assert!(message.contains(&expect), "{expect}\n{message}");
        assert!(message.contains(&format!("did you mean `{key}`?")), "{message}");
    }
}

#[test]
fn every_value_of_a_wrong_type_is_named_with_what_was_expected() {
    let bench = bench();
    for entry in entries().iter().filter(|entry| !entry.table.ends_with(".config")) {
        let wrong = if matches!(entry.value, "true" | "false") { "7" } else { "true" };
        with_line(&bench, entry.line, &format!("{} = {wrong}", entry.key));
        let message = bench.refused(&[]);
        let found = if wrong == "7" { "found an integer" } else { "found a boolean" };
        let start = format!("job.toml:{}: {}: expected ", entry.line, entry.path());
        assert!(message.contains(&start) && message.contains(found), "{start}\n{message}");
    }
}

#[test]
fn every_choice_lists_the_others() {
    let bench = bench();
    let choices = ["connector", "format", "mode", "invalid_utf8", "exchange", "on_error"];
    for entry in entries().iter().filter(|entry| choices.contains(&entry.key) && !entry.is_free()) {
        with_line(&bench, entry.line, &format!("{} = \"zebra\"", entry.key));
        let message = bench.refused(&[]);
        let expect = format!("job.toml:{}: {}: expected one of \"", entry.line, entry.path());
        assert!(message.contains(&expect) && message.contains("found \"zebra\""), "{message}");
    }
}

#[test]
fn what_is_missing_is_named_with_its_table() {
    let bench = bench();
    let needed = ["name", "connector", "path", "format", "plugin", "from", "input"];
    for entry in entries().iter().filter(|entry| needed.contains(&entry.key)) {
        if entry.table == "sink.counts" && entry.key == "format" {
            continue;
        }
        with_line(&bench, entry.line, "");
        let message = bench.refused(&[]);
        assert!(message.contains(&format!("`{}` is missing", entry.key)), "{}: {message}", entry.line);
        let (table, _) =
            entry.path().rsplit_once('.').map(|(t, k)| (t.to_owned(), k.to_owned())).expect("it has a dot");
        assert!(message.contains(&format!("{table}: ")), "{message}");
    }
}

/// Changes by `--set` and what the message must hold.
#[test]
fn wiring_that_does_not_fit() {
    let bench = bench();
    for (set, expect) in [
        ("sink.out.input=pas", "there is no source or operator `pas`\n  hint: did you mean `pass`?"),
        ("sink.out.input=zebra", "hint: there are: flights, table, n, machine, pass, count, both"),
        ("sink.out.input=told", "`told` is a sink: nothing comes out of it"),
        ("sink.out.input=n.bid", "`n` has no port `bid`\n  hint: did you mean `bids`?"),
        ("sink.out.input=n.zebra", "hint: its ports are: bids, auctions, persons"),
        ("sink.out.input=n", "`n` has several ports\n  hint: write `n.PORT`; its ports are: bids, auctions, persons"),
        ("sink.out.input=", "there is no source or operator ``"),
        ("operator.pass.input=pass", "`pass` is part of a circle"),
        ("operator.count.key_by=[\"biddr\"]", "there is no column `biddr` to key by\n  hint: did you mean `bidder`?"),
        ("operator.count.key_by=[\"zebra\"]", "hint: the rows are { auction: int64, bidder: int64, "),
        ("operator.count.key_by=[\"bidder\", \"bidder\"]", "column `bidder` is named twice"),
        ("operator.count.key_by=[]", "`key_by` names no column"),
        ("operator.count.exchange=forward", "with `key_by` the exchange is always hash"),
        ("operator.pass.exchange=hash", "a hash exchange needs `key_by`"),
        ("operator.pass.exchange=forward", "a forward exchange needs equal parallelism: `flights` has 1, `pass` has 2"),
        ("operator.both.input=pass", "`input` and `inputs` are both written"),
        (
            "source.flights.event_time.column=origin",
            "an event time is a `timestamp` that is never null; the column is `origin: utf8`",
        ),
        ("source.flights.event_time.column=att", "there is no column `att`\n  hint: did you mean `at`?"),
        ("source.flights.schema.a=in64", "expected a type, one of \"int64\""),
        ("source.flights.schema.a=binary", "column `a` is of type binary, which a text format cannot hold"),
        ("source.flights.path=nothing-here.jsonl", "could not find a file that matches nothing-here.jsonl"),
        ("source.table.delimiter=\"'\"", "`delimiter` and `quote` are the same character"),
        ("job.parallelism=0", "expected a number from 1 to 32768, found 0"),
        ("job.parallelism=65", "parallelism 65 is more than the job's 64 key groups"),
        ("job.name=a b", "\"a b\" cannot name the job"),
        ("sink.a.b.input=pass", "sink.a: `input` is missing"),
        ("sink.a.input=pass", "sink.a: `connector` is missing"),
        ("sink.flights.input=pass", "the name `flights` is taken by [source.flights]"),
        ("sink.told.column=tol", "there is no column `tol` among { told: utf8 }"),
        ("operator.pass.plugin=rust-plain", "is not a path to a component"),
        ("operator.pass.plugin=./nowhere.wasm", "could not read plugin ./nowhere.wasm"),
        ("operator.pass.config.mode=zebra", "mode `zebra` is not known"),
        ("operator.pass.config={}", "mode is missing"),
        ("operator.pass.config.mode=hostile:describe-trap", "describe gave up"),
        ("operator.count.config={ emitt = 1 }", "unknown key `emitt`; known keys: emit"),
        ("operator.both.config.mode=union", "it reads column `a`, which is not in { id: int64, note: utf8? }"),
        ("operator.pass.config.mode=count-one", "key"),
        ("job", "expected key=value"),
        ("=3", "the key has an empty part"),
        ("job.name.x=3", "`name` is a string, not a table"),
        ("source=3", "source: expected a table, found an integer"),
        ("source.flights=[]", "source.flights: expected a table, found an array"),
        ("sorce.x=3", "unknown key `sorce`\n  hint: did you mean `source`?"),
    ] {
        let message = bench.refused(&[set]);
        assert!(message.contains(expect), "{set}: {expect}\n{message}");
    }
    assert_eq!(bench.files(), ["flights.jsonl", "job.toml", "table.csv"]);
}

/// Keys of floats differ in ways that nobody means.
#[test]
fn a_float_is_no_key() {
    let bench = bench();
    let message = bench.refused(&["operator.count.input=machine.cpus", "operator.count.key_by=[\"percent\"]"]);
    assert!(message.contains("operator.count.key_by=") && message.contains("percent"), "{message}");
}

#[test]
fn a_circle_is_shown_and_who_only_reads_from_it_is_not_blamed() {
    let bench = bench();
    let message = bench.refused(&["operator.pass.input=both", "operator.count.input=pass"]);
    assert!(message.contains("operator.pass: `pass` is part of a circle"), "{message}");
    assert!(message.contains("the circle: pass reads from both reads from pass"), "{message}");
}

#[test]
fn two_sinks_cannot_write_one_file() {
    let message = bench().refused(&["sink.told.path=out.csv", "sink.out.path=out.csv"]);
    assert!(message.contains("writes to this file too: one would replace the other"), "{message}");
}

/// Whole files that are no job files.
#[test]
fn files_that_are_no_job() {
    let bench = Bench::new("");
    for (text, expect) in [
        (&b""[..], "job.toml:1: `job` is missing"),
        (b"[job]\nname = \"a\n", "job.toml:2: "),
        (b"[job]\nname = \"a\"\nname = \"b\"\n", "job.toml:3: duplicate key"),
        (b"[job]\nname = \"a\"\n", "the job has no [source.NAME]: nothing would ever flow"),
        (b"[job]\nname = \"a\"\n[source.n]\nconnector = \"nexmark\"\n", "the job has no [sink.NAME]"),
        (b"[jbo]\nname = \"a\"\n", "job.toml:1: jbo: unknown key `jbo`\n  hint: did you mean `job`?"),
        (b"[job]\nname = \"a\"\n[source.\"a b\"]\n", "\"a b\" cannot name source"),
        (b"[job]\nname = \"a\"\nparallelism = 99999999999999999999\n", "job.toml:3: "),
        (b"[job]\r\nname = \"a\"\r\n[source.a]\r\nconector = \"nexmark\"\r\n[sink.x]\r\ninput = \"a\"\r\nconnector = \"blackhole\"\r\n", "job.toml:4: source.a.conector: unknown key `conector`"),
        (b"\xef\xbb\xbf[job]\nnam = \"a\"\n", "job.toml:2: job.nam: unknown key `nam`"),
        (b"[job]\nname = \"\xff\"\n", "UTF-8"),
        (b"\0\0\0\0", "job.toml:1: "),
    ] {
        bench.put("job.toml", text);
        let message = bench.refused(&[]);
        assert!(message.contains(expect), "{}: {message}", String::from_utf8_lossy(text));
    }
    fs::remove_file(bench.path("job.toml")).expect("it is there");
    assert!(bench.refused(&[]).contains("could not read job file"));
}

/// Files that are no operators.
#[test]
fn plugins_that_are_no_components() {
    let bench = bench();
    let whole = fs::read(plugin("rust-plain")).expect("it is there");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x55;
    flipped.truncate(whole.len() - 7);
    for (content, expect) in [
        (&b""[..], "expected a WebAssembly component, found nothing at all"),
        (b"plain text", "expected a WebAssembly component, found text"),
        (b"\0asm\x01\0\0\0", "component"),
        (&whole[..whole.len() / 2], "plugin"),
        (&flipped, "plugin"),
    ] {
        bench.put("broken.wasm", content);
        let message = bench.refused(&[
            "operator.pass.plugin=\"./broken.wasm\"",
            &format!("operator.pass.plugin={}", bench.path("broken.wasm").display()),
        ]);
        assert!(message.contains("operator.pass.plugin: plugin ") && message.contains(expect), "{expect}\n{message}");
    }
}

#[test]
fn a_command_line_that_is_wrong() {
    let bench = bench();
    for arguments in [&["--for", "soon"][..], &["--set"], &["-o", "xml"], &["--zebra"]] {
        let mut command = bench.command();
        command.args(arguments);
        let ended = Running::start(command).end();
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}
