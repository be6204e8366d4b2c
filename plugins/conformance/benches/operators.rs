//! What the standard operators cost through the real host, 4,096 rows a call. Throughput counts rows, for the
//! tokenizer words. Measured is the processor time of the thread, so that neighbours on the machine are not.

use std::{hint::black_box, sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array, StringViewArray, new_null_array};
use criterion::{
    Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use plugins_conformance::{AT, input, start};
use rustix::time::{ClockId, clock_gettime};
use wasmill_model::{
    Batch, DataType,
    descriptor::Cell,
    reply::{CellUpdate, Groups},
};

const ROWS: usize = 4_096;
const WORDS_A_LINE: usize = 12;

/// As in the product: glibc's takes large vectors from the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processor time of the calling thread.
struct ThreadTime(WallTime);

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().expect("below a second"))
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

/// The next of a sequence of numbers without a pattern.
fn mix(seed: usize) -> u64 {
    (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// English-like text: words of 1 to 9 letters, 4.5 on average.
fn line(row: usize) -> String {
    let word = |place| "incredibly".get(..1 + (mix(row * WORDS_A_LINE + place) % 8) as usize).expect("it is that long");
    (0..WORDS_A_LINE).map(word).collect::<Vec<_>>().join(" ")
}

fn numbers() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| (mix(row) % 1_000_000) as i64)))
}

/// Groups of rows whose keys are drawn from so many.
fn groups(keys: u64) -> Groups {
    let mut seen = std::collections::HashMap::new();
    let mut group = |key| {
        let next = seen.len() as u32;
        *seen.entry(key).or_insert(next)
    };
    let of_row: Vec<u32> = (0..ROWS).map(|row| group(mix(row) % keys)).collect();
    Groups { count: seen.len() as u32, of_row: of_row.into() }
}

fn operators(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("operators");
    let mut stateless = |name: &str, column: (&str, DataType), values: ArrayRef, elements: usize| {
        let (mut instance, _) = start(name, "{}", input(&[column], None));
        let batch = Batch::new(ROWS, vec![values]);
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(instance.process(AT, 0, &batch, None, &[]).expect("no row fails")));
        });
    };
    let lines: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..ROWS).map(line)));
    stateless("tokenizer", ("line", DataType::Utf8), lines, ROWS * WORDS_A_LINE);
    stateless("auction_filter", ("auction", DataType::Int64), numbers(), ROWS);
    stateless("currency_converter", ("price", DataType::Int64), numbers(), ROWS);

    let columns = [("key", DataType::Int64), ("delay", DataType::Int64)];
    for name in ["keyed_counter", "delay_statistics"] {
        for keys in [100, 10_000, 1_000_000] {
            let (mut instance, descriptor) = start(name, "{}", input(&columns, Some("key")));
            let batch = Batch::new(ROWS, vec![numbers(), numbers()]);
            let groups = groups(keys);
            let cell = || -> ArrayRef { Arc::new(Int64Array::from(vec![1; groups.count as usize])) };
            let state: Vec<ArrayRef> = descriptor.cells.iter().map(|_| cell()).collect();
            group.throughput(Throughput::Elements(ROWS as u64));
            group.bench_function(format!("{name}/{keys} keys"), |bencher| {
                bencher
                    .iter(|| black_box(instance.process(AT, 0, &batch, Some(&groups), &state).expect("no row fails")));
            });
        }
    }
    group.finish();
}

/// One of the everyday operators on rows that have all it may want.
struct Everyday {
    name: &'static str,
    /// What is measured.
    label: &'static str,
    config: &'static str,
    is_keyed: bool,
}

const EVERYDAY: [Everyday; 13] = [
    everyday("filter", "compare numbers", r#"{"where":"number > 500000 and number % 3 = 1"}"#, false),
    everyday("filter", "compare text", r#"{"where":"log like '%GET /images/%'"}"#, false),
    everyday("map", "one product", r#"{"columns":{"total":"number * 0.9"}}"#, false),
    everyday(
        "map",
        "a case and a text",
        r#"{"columns":{"a":"case when number > 500000 then 'x' else upper(text) end"}}"#,
        false,
    ),
    everyday(
        "json_extract",
        "three of seven fields",
        r#"{"column":"json","fields":{"user":{"path":"user.id","type":"int64"},"ok":{"type":"boolean"},"name":{"path":"user.name","type":"utf8"}}}"#,
        false,
    ),
    everyday(
        "regex_extract",
        "four groups",
        r#"{"column":"log","pattern":"^(?<host>\\S+) .* \"(?<method>[A-Z]+) (?<path>\\S+)[^\"]*\" (?<status>\\d{3})"}"#,
        false,
    ),
    everyday("sample", "by a hash of text", r#"{"fraction":0.1,"columns":["text"]}"#, false),
    everyday("sample", "every tenth", r#"{"every":10}"#, true),
    everyday("deduplicate", "a span", r#"{"span":"1m"}"#, true),
    everyday("rate_limit", "five a minute", r#"{"rows":5,"span":"1m"}"#, true),
    everyday("anomaly", "alerts", r#"{"column":"number","warm_up":1}"#, true),
    everyday("anomaly", "all", r#"{"column":"number","emit":"all"}"#, true),
    everyday("sessionize", "with a sum", r#"{"gap":"1m","sum":"number"}"#, true),
];

const fn everyday(name: &'static str, label: &'static str, config: &'static str, is_keyed: bool) -> Everyday {
    Everyday { name, label, config, is_keyed }
}

/// Rows of 10,000 keys, 1 ms apart, each key with the state that the same rows have left.
fn standard(criterion: &mut Criterion<ThreadTime>) {
    let texts =
        |text: fn(usize) -> String| -> ArrayRef { Arc::new(StringViewArray::from_iter_values((0..ROWS).map(text))) };
    let mut batch = Batch::new(
        ROWS,
        vec![
            numbers(),
            numbers(),
            texts(|row| format!("user{}", mix(row) % 10_000)),
            texts(|row| {
                let (id, ip) = (mix(row) % 10_000, mix(row + 1) % 256);
                format!(
                    r#"{{"at":{row},"user":{{"id":{id},"name":"user {id}"}},"ok":true,"ip":"10.0.0.{ip}","tags":["a","b"],"ms":{ip}.5}}"#
                )
            }),
            texts(|row| {
                let kind = ["images", "api"][row % 2];
                format!(
                    "10.0.0.{} - - [22/Nov/2026:10:00:00 +0000] \"GET /{kind}/{row} HTTP/1.1\" 200 {row}",
                    mix(row) % 256
                )
            }),
        ],
    );
    batch.event_times = Some((0..ROWS as i64).collect());
    let columns = [
        ("key", DataType::Int64),
        ("number", DataType::Int64),
        ("text", DataType::Utf8),
        ("json", DataType::Utf8),
        ("log", DataType::Utf8),
    ];
    let groups = groups(10_000);
    let mut group = criterion.benchmark_group("standard");
    group.throughput(Throughput::Elements(ROWS as u64));
    for Everyday { name, label, config, is_keyed } in EVERYDAY {
        let mut input = input(&columns, is_keyed.then_some("key"));
        input.event_times = true;
        let (mut instance, descriptor) = start(name, config, input);
        let groups = is_keyed.then_some(&groups);
        let empty =
            |cell: &Cell| new_null_array(&cell.data_type.arrow(), groups.map_or(0, |groups| groups.count as usize));
        let mut state: Vec<ArrayRef> = descriptor.cells.iter().map(empty).collect();
        let first = instance.process(AT, 0, &batch, groups, &state).expect("no row fails");
        for (cell, update) in state.iter_mut().zip(first.cells) {
            if let CellUpdate::All(values) = update {
                *cell = values;
            }
        }
        group.bench_function(format!("{name}/{label}"), |bencher| {
            bencher.iter(|| black_box(instance.process(AT, 0, &batch, groups, &state).expect("no row fails")));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime(WallTime));
    targets = operators, standard
}
criterion_main!(benches);
