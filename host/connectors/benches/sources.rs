//! What a row costs at the edge of a job: generated, read from text, written as text.
//!
//! `nexmark/native` makes the same columns in plain loops with nothing of this crate: the floor for `nexmark/bids`.

use std::{fmt::Write as _, fs, hint::black_box, path::Path, sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::writer::FileWriter;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use wasmill_connectors::{Polled, SinkConfig, SinkPlace, SourceConfig};
use wasmill_model::{Batch, settings::Settings};

/// As in the product: glibc gives large blocks back to the system and asks for them again, batch by batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 1_000_000;
const ROWS: usize = 200_000;

fn source(text: &str, base: &Path) -> SourceConfig {
    let settings = Settings::parse(Path::new("bench.toml"), text).expect("valid TOML");
    SourceConfig::read(&settings, base).expect("valid settings")
}

/// Reads a source to its end; `unread` names columns that nobody wants.
fn drain(config: &SourceConfig, unread: &[&str], mut each: impl FnMut(Batch)) -> usize {
    let ports = config.ports().iter().enumerate();
    let wanted = |name: &str| !unread.contains(&name);
    let wanted: Vec<_> =
        ports.map(|(i, port)| (i == 0).then(|| port.schema.names().map(wanted).collect::<Vec<_>>())).collect();
    let splits = config.splits().expect("the file is there");
    let mut source = config.open(0, 1, &splits, &wanted, None).expect("it opens");
    let mut rows = 0;
    loop {
        match source.poll(0).expect("good rows") {
            Polled::Batch { batch, .. } => {
                rows += batch.rows;
                each(batch);
            }
            Polled::Bad(rows) => panic!("{}", rows[0]),
            Polled::Pending { .. } => unreachable!("a bounded source never waits"),
            Polled::End => return rows,
        }
    }
}

fn nexmark(c: &mut Criterion) {
    let mut group = c.benchmark_group("nexmark");
    group.throughput(Throughput::Elements(EVENTS)).measurement_time(Duration::from_secs(3)).sample_size(10);
    let config = source(&format!("connector = \"nexmark\"\nevents = {EVENTS}\nonly_bids = true"), Path::new("."));
    let text = ["channel", "url", "extra"];
    group.bench_function("bids", |b| b.iter(|| drain(&config, &[], |batch| drop(black_box(batch)))));
    group.bench_function("bids_without_text", |b| b.iter(|| drain(&config, &text, |batch| drop(black_box(batch)))));
    let mixed = source(&format!("connector = \"nexmark\"\nevents = {EVENTS}"), Path::new("."));
    group.bench_function("bids_of_all_kinds", |b| b.iter(|| drain(&mixed, &[], |batch| drop(black_box(batch)))));
    let tables = native::Tables::new();
    group.bench_function("native", |b| {
        b.iter(|| (0..EVENTS).step_by(4_096).for_each(|first| drop(black_box(tables.bids(first, 4_096)))))
    });
    group.finish();
}

/// The same columns, made by hand.
mod native {
    use std::hint::black_box;

    pub(super) struct Tables {
        channels: Vec<u128>,
        urls: Vec<u128>,
        extras: Vec<u128>,
        keys: u64,
    }

    type Columns = ([Vec<i64>; 4], [Vec<u128>; 3]);

    impl Tables {
        pub(super) fn new() -> Self {
            let table = |rows: u128| (0..rows).map(|i| i << 96 | i).collect();
            Self { channels: table(10_004), urls: table(10_000), extras: table(1_024), keys: black_box(10_000) }
        }

        pub(super) fn bids(&self, first: u64, rows: u64) -> Columns {
            let hashes: Vec<u64> = (first..first + rows).map(mix).collect();
            let column = |value: &dyn Fn(u64) -> u128| hashes.iter().map(|r| value(*r)).collect::<Vec<u128>>();
            let auctions = hashes.iter().zip(first..).map(|(r, n)| {
                let last = n * 3 / 46;
                let id = if r & 1 == 0 { last / 100 * 100 } else { last.saturating_sub(((r >> 1) & 0x7f) % 100) };
                1_000 + id as i64
            });
            let integers = [
                auctions.collect(),
                hashes.iter().map(|r| (1_000 + (r >> 8) % self.keys) as i64).collect(),
                hashes.iter().map(|r| (100 + (r >> 24) % 1_000_000) as i64).collect(),
                (first..first + rows).map(|n| (1_700_000_000_000 + n / 10) as i64).collect(),
            ];
            let channel = |r: u64| {
                let i = if (r >> 32) & 1 == 0 { (r >> 33) & 3 } else { 4 + (r >> 40) % 10_000 };
                self.channels[i as usize]
            };
            let views = [
                column(&channel),
                hashes.iter().map(|r| self.urls[((r >> 40) % 10_000) as usize]).collect(),
                hashes.iter().map(|r| self.extras[((r >> 50) & 1_023) as usize]).collect(),
            ];
            (integers, views)
        }
    }

    fn mix(n: u64) -> u64 {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x0123_4567);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const SCHEMA: &str = "schema = { auction = \"int64\", bidder = \"int64\", price = \"float64\", channel = \"utf8\", \
    url = \"utf8\", date_time = \"timestamp\", note = \"utf8?\" }";

fn text(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut json, mut csv) = (String::new(), String::from("auction,bidder,price,channel,url,date_time,note\n"));
    for i in 0..ROWS {
        let (bidder, price, at) = (1_000 + i * 7 % 10_000, i as f64 / 100.0, 1_700_000_000_000_u64 + i as u64);
        let url = format!("https://www.nexmark.com/{}/item.htm?q=1", i % 10_000);
        writeln!(
            json,
            "{{\"auction\": {i}, \"bidder\": {bidder}, \"price\": {price}, \"channel\": \"channel-{}\", \
             \"url\": \"{url}\", \"date_time\": {at}, \"note\": null}}",
            i % 100
        )
        .expect("a string");
        writeln!(csv, "{i},{bidder},{price},channel-{},{url},{at},", i % 100).expect("a string");
    }
    fs::write(folder.path().join("bids.jsonl"), json).expect("room on disk");
    fs::write(folder.path().join("bids.csv"), csv).expect("room on disk");

    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(ROWS as u64)).measurement_time(Duration::from_secs(3)).sample_size(10);
    let file = |path: &str, format: &str, schema: &str| {
        let text = format!("connector = \"file\"\npath = \"{path}\"\nformat = \"{format}\"\n{schema}");
        source(&text, folder.path())
    };
    let configs = [
        ("json", file("bids.jsonl", "json", SCHEMA)),
        ("csv", file("bids.csv", "csv", SCHEMA)),
        ("lines", file("bids.jsonl", "lines", "")),
    ];
    for (name, config) in &configs {
        group
            .bench_function(*name, |b| b.iter(|| assert_eq!(drain(config, &[], |batch| drop(black_box(batch))), ROWS)));
    }
    let unread = ["auction", "price", "channel", "url", "note"];
    group.bench_function("json_two_columns", |b| {
        b.iter(|| drain(&configs[0].1, &unread, |batch| drop(black_box(batch))))
    });
    group.finish();

    let mut batches = Vec::new();
    drain(&configs[0].1, &[], |batch| batches.push(batch));
    let schema = &configs[0].1.ports()[0].schema;
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(ROWS as u64)).measurement_time(Duration::from_secs(3)).sample_size(10);
    for format in ["json", "csv", "parquet", "arrow"] {
        let text = format!("connector = \"file\"\npath = \"out\"\nformat = \"{format}\"");
        let settings = Settings::parse(Path::new("bench.toml"), &text).expect("valid TOML");
        let config = SinkConfig::read(&settings, folder.path()).expect("valid settings");
        group.bench_function(format, |b| {
            b.iter(|| {
                let mut sink = config.open(schema, SinkPlace::only(true), None).expect("it opens");
                batches.iter().for_each(|batch| sink.write(batch).expect("room on disk"));
            })
        });
    }
    group.finish();
}

/// Rows of a columnar file, and rows of one of its groups.
const COLUMNAR_ROWS: usize = 1_000_000;
const GROUP_ROWS: usize = 100_000;

/// Flights: two times, two numbers, three short texts of few values.
fn flights(from: usize, rows: usize) -> RecordBatch {
    let rows = from..from + rows;
    let times = |every: i64| {
        Arc::new(
            rows.clone().map(|i| Some(1_700_000_000_000_000 + i as i64 * every)).collect::<TimestampMicrosecondArray>(),
        )
    };
    let text = |values: usize, prefix: &str| {
        let text = rows.clone().map(|i| Some(format!("{prefix}{}", i * 7_919 % values)));
        Arc::new(text.collect::<StringArray>())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("departure", times(60_000_000)),
        ("arrival", times(61_000_000)),
        ("delay", Arc::new(rows.clone().map(|i| Some((i * 31 % 500) as i64 - 60)).collect::<Int64Array>())),
        ("distance", Arc::new(rows.clone().map(|i| Some((i * 17 % 40_000) as f64 / 8.0)).collect::<Float64Array>())),
        ("carrier", text(20, "C")),
        ("origin", text(300, "O")),
        ("destination", text(300, "D")),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}

fn columnar(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| fs::File::create(folder.path().join(name)).expect("room on disk");
    let groups = || (0..COLUMNAR_ROWS).step_by(GROUP_ROWS).map(|from| flights(from, GROUP_ROWS));
    for (name, compression) in [("plain", Compression::UNCOMPRESSED), ("snappy", Compression::SNAPPY)] {
        let properties = WriterProperties::builder().set_compression(compression);
        let properties = properties.set_max_row_group_row_count(Some(GROUP_ROWS)).build();
        let schema = flights(0, 1).schema();
        let mut writer = ArrowWriter::try_new(file(name), schema, Some(properties)).expect("a writer");
        groups().for_each(|batch| writer.write(&batch).expect("room on disk"));
        writer.close().expect("room on disk");
    }
    let mut writer = FileWriter::try_new(file("arrow"), &flights(0, 1).schema()).expect("a writer");
    groups().for_each(|batch| writer.write(&batch).expect("room on disk"));
    writer.finish().expect("room on disk");

    let mut group = c.benchmark_group("columnar");
    let rows = COLUMNAR_ROWS as u64;
    group.throughput(Throughput::Elements(rows)).measurement_time(Duration::from_secs(3)).sample_size(10);
    for (name, format) in [("plain", "parquet"), ("snappy", "parquet"), ("arrow", "arrow")] {
        let text = format!("connector = \"file\"\npath = \"{name}\"\nformat = \"{format}\"");
        let config = source(&text, folder.path());
        let read = |unread: &[&str]| assert_eq!(drain(&config, unread, |batch| drop(black_box(batch))), COLUMNAR_ROWS);
        group.bench_function(format!("{format}_{name}"), |b| b.iter(|| read(&[])));
        let unread = ["departure", "arrival", "distance", "origin", "destination"];
        group.bench_function(format!("{format}_{name}_two_columns"), |b| b.iter(|| read(&unread)));
    }
    group.finish();
}

criterion_group!(benches, nexmark, text, columnar);
criterion_main!(benches);
