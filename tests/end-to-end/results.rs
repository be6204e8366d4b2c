//! What comes out of whole jobs, against what a few lines of Rust make of the same input.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
};

use serde_json::{Value, json};

use crate::process::{Bench, Running, counted, run_of, target};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Runs a job of the examples folder.
#[track_caller]
fn example(name: &str, sets: &[String]) {
    let mut command = run_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name));
    for set in sets {
        command.args(["--set", set]);
    }
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{sets:?}\n{}", ended.stderr);
}

fn text(numbers: &mut Numbers, lines: usize) -> String {
    const SPACES: [&str; 9] = [" ", " ", "  ", "\t", "\u{a0}", "\u{2003}", "\u{3000}", "\u{2028}", "\u{85}"];
    const ENDS: [&str; 4] = ["\n", "\r\n", "\n\n", " \n"];
    let mut text = String::new();
    for _ in 0..lines {
        for _ in 0..numbers.below(9) {
            match numbers.below(40) {
                0 => text.push_str("żółw"),
                1 => text.push_str("漢字"),
                2 => text.push_str("zero\u{200b}width"),
                n => text.push_str(&format!("w{}", n * numbers.below(50))),
            }
            text.push_str(SPACES[numbers.below(9) as usize]);
        }
        text.push_str(ENDS[numbers.below(4) as usize]);
    }
    text
}

fn words(texts: &[&str]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for word in texts.iter().flat_map(|text| text.split_whitespace()) {
        *counts.entry(word.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// The counts of a result; no key may come twice.
#[track_caller]
fn counts(rows: &[Value], key: &str) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let name = row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
        let count = row["count"].as_i64().expect("a count is a number");
        assert_eq!(counts.insert(name, count), None, "{row} comes twice");
    }
    counts
}

#[test]
fn wordcount_counts_every_word_at_any_parallelism() {
    let bench = Bench::new("");
    let mut numbers = Numbers(7);
    let texts: Vec<String> = [3_000, 1, 200, 5_000].iter().map(|&lines| text(&mut numbers, lines)).collect();
    bench.put("a.txt", &texts[0]);
    bench.put("b.txt", texts[1].trim_end());
    bench.put("c.txt", "");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(texts[2].as_bytes()).expect("memory takes everything");
    bench.put("d.txt.gz", gzip.finish().expect("memory takes everything"));
    bench.put("other.log", format!("{}last", texts[3]));
    let expect = words(&[&texts[0], &texts[1], &texts[2], &texts[3], "last"]);
    let paths = ["*.txt", "*.txt.gz", "other.log", "a.txt"].map(|name| format!("{:?}", bench.path(name)));
    for parallelism in [1, 2, 7, 16] {
        let out = bench.path(&format!("counts-{parallelism}.jsonl"));
        example(
            "wordcount/job.toml",
            &[
                format!("job.parallelism={parallelism}"),
                format!("source.text.path=[{}]", paths.join(",")),
                format!("sink.counts.path={}", out.display()),
            ],
        );
        assert_eq!(counts(&bench.rows(&format!("counts-{parallelism}.jsonl")), "word"), expect, "{parallelism}");
    }
}

#[test]
fn one_line_may_be_a_whole_book() {
    let bench = Bench::new("");
    let mut book = String::with_capacity(21 << 20);
    for i in 0.. {
        if book.len() > 20 << 20 {
            break;
        }
        book.push_str(&format!("word{} ", i % 5_003));
    }
    bench.put("book.txt", &book);
    for parallelism in [1, 2] {
        example(
            "wordcount/job.toml",
            &[
                format!("job.parallelism={parallelism}"),
                format!("source.text.path={}", bench.path("book.txt").display()),
                format!("sink.counts.path={}", bench.path("counts.jsonl").display()),
            ],
        );
        assert_eq!(counts(&bench.rows("counts.jsonl"), "word"), words(&[&book]));
    }
}

#[test]
fn empty_input_makes_an_empty_file() {
    let bench = Bench::new("");
    bench.put("empty.txt", "");
    for parallelism in [1, 3] {
        example(
            "wordcount/job.toml",
            &[
                format!("job.parallelism={parallelism}"),
                format!("source.text.path={}", bench.path("empty.txt").display()),
                format!("sink.counts.path={}", bench.path("counts.jsonl").display()),
            ],
        );
        assert_eq!(bench.text("counts.jsonl"), "");
    }
}

/// Number, mean and maximum of the delays of each origin.
fn delays(rows: &[Value]) -> BTreeMap<String, (i64, Option<f64>, Option<i64>)> {
    let mut all: BTreeMap<String, (i64, Vec<i64>)> = BTreeMap::new();
    for row in rows {
        let of = all.entry(row["origin"].as_str().expect("an origin is text").to_owned()).or_default();
        of.0 += 1;
        of.1.extend(row["delay"].as_i64());
    }
    let statistics = all.into_iter().map(|(origin, (flights, known))| {
        let mean = (!known.is_empty()).then(|| known.iter().sum::<i64>() as f64 / known.len() as f64);
        (origin, (flights, mean, known.iter().max().copied()))
    });
    statistics.collect()
}

#[track_caller]
fn check_flights(path: &Path, input: &[Value]) {
    let bench = Bench::new("");
    let expect = delays(input);
    for parallelism in [1, 3] {
        example(
            "flights/job.toml",
            &[
                format!("job.parallelism={parallelism}"),
                format!("source.flights.path={}", path.display()),
                format!("sink.delays.path={}", bench.path("delays.jsonl").display()),
            ],
        );
        let rows = bench.rows("delays.jsonl");
        assert_eq!(rows.len(), expect.len());
        for row in rows {
            let (flights, mean, max) = expect[row["origin"].as_str().expect("an origin is text")];
            assert_eq!((row["flights"].as_i64(), row["max_delay"].as_i64()), (Some(flights), max), "{row}");
            let near = match (row["mean_delay"].as_f64(), mean) {
                (Some(found), Some(mean)) => (found - mean).abs() <= 1e-9 * mean.abs().max(1.0),
                (found, mean) => found == mean,
            };
            assert!(near, "{row}: the mean is {mean:?}");
        }
    }
}

#[test]
fn flights_have_mean_and_maximum_of_known_delays() {
    let bench = Bench::new("");
    let mut numbers = Numbers(3);
    let mut input = Vec::new();
    for at in 0..20_000 {
        let origin = format!("A{:02}", numbers.below(60));
        let delay = match numbers.below(5) {
            _ if origin == "A07" => Value::Null,
            0 => Value::Null,
            _ => json!(numbers.below(300) as i64 - if origin == "A08" { 1_000 } else { 60 }),
        };
        input.push(json!({"at": at, "origin": origin, "destination": "X", "distance": 1, "delay": delay}));
    }
    let lines: String = input.iter().map(|row| format!("{row}\n")).collect();
    bench.put("flights.jsonl", lines);
    check_flights(&bench.path("flights.jsonl"), &input);
}

#[test]
fn published_flights() {
    let path = target().join("../../shared/data/flights-20k.jsonl");
    match std::fs::read_to_string(&path) {
        Ok(text) => check_flights(&path, &crate::process::rows(&text)),
        Err(_) => println!("skipped: no ../shared/data"),
    }
}

const NEXMARK: &str = r#"
[job]
name = "nexmark"

[source.n]
connector = "nexmark"
events = 5000

[operator.euro]
plugin = "PLUGINS/currency-converter.wasm"
input = "n.bids"

[operator.some]
plugin = "PLUGINS/auction-filter.wasm"
input = "n.bids"

[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "n.bids"
key_by = ["bidder"]

[sink.bids]
input = "n.bids"
connector = "file"
path = "bids.jsonl"
format = "json"

[sink.euro_out]
input = "euro"
connector = "file"
path = "euro.jsonl"
format = "json"

[sink.some_out]
input = "some"
connector = "file"
path = "some.jsonl"
format = "json"

[sink.count_out]
input = "count"
connector = "file"
path = "count.jsonl"
format = "json"

[sink.persons]
input = "n.persons"
connector = "file"
path = "persons.jsonl"
format = "json"

[sink.auctions]
input = "n.auctions"
connector = "file"
path = "auctions.jsonl"
format = "json"
"#;

/// One port is read by four consumers, each of which must see every row.
#[test]
fn nexmark_queries_agree_with_the_bids_they_are_about() {
    let bench = Bench::new(NEXMARK);
    let mut first = None;
    for parallelism in [1, 2, 5] {
        bench.succeed(&[&format!("job.parallelism={parallelism}")]);
        let of = |name: &str| bench.rows_of_all(name, parallelism);
        let bids = of("bids");
        assert_eq!(bids.len(), 5_000 / 50 * 46);
        let in_euro = |bid: &Value| {
            let mut bid = bid.clone();
            bid["price"] = json!(bid["price"].as_i64().expect("a price is a number") as f64 * 0.908);
            bid
        };
        let euro: Vec<Value> = bids.iter().map(in_euro).collect();
        assert_eq!(prices(&of("euro")), prices(&euro));
        let some: Vec<Value> =
            bids.iter().filter(|bid| bid["auction"].as_i64().is_some_and(|n| n % 123 == 0)).cloned().collect();
        assert!(!some.is_empty());
        assert_eq!(counted(&of("some")), counted(&some));
        let mut expect = BTreeMap::new();
        bids.iter().for_each(|bid| *expect.entry(bid["bidder"].to_string()).or_insert(0) += 1);
        assert_eq!(counts(&of("count"), "bidder"), expect);
        let ids = |name: &str| of(name).iter().filter_map(|row| row["id"].as_i64()).collect::<BTreeSet<i64>>();
        assert_eq!(ids("persons"), (1_000..1_100).collect());
        assert_eq!(ids("auctions"), (1_000..1_300).collect());
        assert_eq!(*first.get_or_insert(counted(&bids)), counted(&bids), "events depend on the parallelism");
    }
}

/// Rows by all but the price, with the prices apart: how a float is read back may differ in its last bit.
fn prices(rows: &[Value]) -> Vec<(String, i64)> {
    let mut prices: Vec<(String, i64)> = rows
        .iter()
        .map(|row| {
            let price = row["price"].as_f64().expect("a price is a number");
            let rest = format!("{} {} {} {}", row["auction"], row["bidder"], row["date_time"], row["url"]);
            (rest, (price * 1e3).round() as i64)
        })
        .collect();
    prices.sort();
    prices
}

/// Bids to a sink over an operator, with an exchange and parallelisms to set.
const EXCHANGE: &str = r#"
[job]
name = "exchange"

[source.n]
connector = "nexmark"
events = 20000
only_bids = true

[operator.pass]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "n.bids"

[sink.out]
input = "pass"
connector = "file"
path = "out.jsonl"
format = "json"

[sink.direct]
input = "n.bids"
parallelism = 1
connector = "file"
path = "direct.jsonl"
format = "json"
"#;

#[test]
fn exchanges_lose_and_add_no_row() {
    let bench = Bench::new(EXCHANGE);
    for (exchange, source, operator, sink, times) in [
        ("rebalance", 1, 3, 3, 1),
        ("rebalance", 3, 3, 2, 1),
        ("rebalance", 4, 1, 1, 1),
        ("broadcast", 1, 3, 3, 3),
        ("broadcast", 2, 2, 1, 2),
        ("forward", 2, 2, 2, 1),
    ] {
        bench.succeed(&[
            &format!("operator.pass.exchange={exchange}"),
            &format!("source.n.parallelism={source}"),
            &format!("operator.pass.parallelism={operator}"),
            &format!("sink.out.parallelism={sink}"),
        ]);
        let mut expect = counted(&bench.rows("direct.jsonl"));
        assert_eq!(expect.values().sum::<usize>(), 20_000);
        expect.values_mut().for_each(|count| *count *= times);
        assert_eq!(counted(&bench.rows_of_all("out", sink)), expect, "{exchange} {source} {operator} {sink}");
    }
}

/// rule 17
#[test]
fn forward_keeps_the_order_of_rows() {
    let bench = Bench::new(EXCHANGE);
    bench.succeed(&[]);
    assert_eq!(bench.text("out.jsonl"), bench.text("direct.jsonl"));
}

/// Tokens, doubled numbers and counts in one long chain, every vertex with a parallelism of its own.
#[test]
fn chains_of_operators_of_any_parallelism() {
    let bench = Bench::new(
        r#"
[job]
name = "chain"
[source.text]
connector = "file"
path = "text.txt"
format = "lines"
[operator.words]
plugin = "PLUGINS/tokenizer.wasm"
input = "text"
[operator.same]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "words"
[operator.by_word]
plugin = "PLUGINS/keyed-counter.wasm"
input = "same"
key_by = ["word"]
[operator.again]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "pass" }
input = "by_word"
[sink.out]
input = "again"
parallelism = 1
connector = "file"
path = "counts.jsonl"
format = "json"
"#,
    );
    let text = text(&mut Numbers(11), 4_000);
    bench.put("text.txt", &text);
    for [source, words, same, by_word] in [[1, 1, 1, 1], [1, 3, 2, 4], [2, 2, 2, 2], [3, 1, 5, 2]] {
        bench.succeed(&[
            &format!("source.text.parallelism={source}"),
            &format!("operator.words.parallelism={words}"),
            &format!("operator.same.parallelism={same}"),
            &format!("operator.by_word.parallelism={by_word}"),
        ]);
        assert_eq!(counts(&bench.rows("counts.jsonl"), "word"), self::words(&[&text]));
    }
}

/// Two inputs into one operator, rows of both: `union` makes one stream of them, `count-both` counts over both.
#[test]
fn operators_with_two_inputs() {
    let bench = Bench::new(
        r#"
[job]
name = "two"
[source.left]
connector = "file"
path = "left.jsonl"
format = "json"
schema = { a = "int64", k = "utf8" }
[source.right]
connector = "file"
path = "right.jsonl"
format = "json"
schema = { other = "float64?", a = "int64", name = "utf8" }
[operator.union]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "union" }
[[operator.union.inputs]]
from = "left"
[[operator.union.inputs]]
from = "right"
[operator.count]
plugin = "PLUGINS/rust-plain.wasm"
config = { mode = "count-both", lasting = true }
inputs = [{ from = "left", key_by = ["k"] }, { from = "right", key_by = ["name"] }]
[sink.all]
input = "union"
parallelism = 1
connector = "file"
path = "all.jsonl"
format = "json"
[sink.counts]
input = "count"
parallelism = 1
connector = "file"
path = "counts.jsonl"
format = "json"
"#,
    );
    let row = |n: usize| ["x", "y", "z", "", "ż"][n % 5];
    let left: Vec<Value> = (0..3_000).map(|n| json!({ "a": n, "k": row(n) })).collect();
    let right: Vec<Value> = (0..999).map(|n| json!({ "a": -n, "name": row(7 * n as usize), "other": null })).collect();
    let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    bench.put("left.jsonl", lines(&left));
    bench.put("right.jsonl", lines(&right));
    let expect: Vec<Value> = left.iter().chain(&right).map(|row| json!({ "a": row["a"] })).collect();
    let mut counts_expect = BTreeMap::new();
    for name in left.iter().map(|row| &row["k"]).chain(right.iter().map(|row| &row["name"])) {
        *counts_expect.entry(name.as_str().expect("text").to_owned()).or_insert(0) += 1;
    }
    for parallelism in [1, 2, 4] {
        bench.succeed(&[&format!("job.parallelism={parallelism}"), "source.right.parallelism=1"]);
        assert_eq!(counted(&bench.rows("all.jsonl")), counted(&expect));
        assert_eq!(counts(&bench.rows("counts.jsonl"), "k"), counts_expect);
    }
}

/// A column that nobody reads is neither read nor checked; one that somebody reads is.
/// rule 12
#[test]
fn columns_that_nobody_reads_do_not_matter() {
    let job = r#"
[job]
name = "unread"
[source.s]
connector = "file"
path = "in.jsonl"
format = "json"
schema = { k = "utf8", bad = "int64" }
[operator.count]
plugin = "PLUGINS/keyed-counter.wasm"
input = "s"
key_by = ["k"]
[sink.out]
input = "count"
connector = "file"
path = "out.jsonl"
format = "json"
"#;
    let bench = Bench::new(job);
    bench.put(
        "in.jsonl",
        "{\"k\":\"a\",\"bad\":1}\n{\"k\":\"a\",\"bad\":\"oops\"}\n{\"k\":\"b\",\"bad\":null}\n{\"k\":\"b\"}\n",
    );
    bench.succeed(&[]);
    assert_eq!(bench.text("out.jsonl"), "{\"k\":\"a\",\"count\":2}\n{\"k\":\"b\",\"count\":2}\n");
    let message = bench.fail(&["sink.out.input=s"]);
    assert!(message.contains("in.jsonl:2: column `bad`: "), "{message}");
}
