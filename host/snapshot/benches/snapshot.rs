//! What snapshot files cost: rows written and read a second, bytes of a file for a byte of its rows, and a restore from a full
//! file and ten deltas. One element is one row, or one key that is restored. Keys have 16 bytes, values 32 to 100.
//!
//! Files lie in the folder for temporary ones (`TMPDIR`), and are synced as always: on a disk, writing waits for it.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wasmill_model::ids::{CheckpointId, JobId};
use wasmill_snapshot::{
    file::{Kind, Meta, Reader, Row, StateSchema, Writer, Written},
    merge::{Merge, Tombstones},
    store::{Folder, Origin, Store},
};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const KEY_GROUPS: u32 = 1_024;
const DELTAS: u64 = 10;

type Rows = Vec<([u8; 16], Vec<u8>)>;

/// Evenly spread, and always the same.
fn mixed(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The rows of every `step`th key, in order; in another epoch with other values.
fn rows(step: u64, epoch: u64) -> Rows {
    let row = |number: u64| {
        let hash = mixed(number);
        let mut key = [0; 16];
        key[..2].copy_from_slice(&((hash % u64::from(KEY_GROUPS)) as u16).to_be_bytes());
        key[4..12].copy_from_slice(&mixed(hash).to_be_bytes());
        (key, vec![epoch as u8; 32 + (mixed(hash + epoch) % 69) as usize])
    };
    let mut rows: Rows = (0..KEYS).filter(|number| (number + epoch).is_multiple_of(step)).map(row).collect();
    rows.sort_unstable();
    rows
}

fn meta(kind: Kind) -> Meta {
    Meta {
        cluster: "cluster-1".to_owned(),
        job: JobId(7),
        operator: "count".to_owned(),
        subtask: 0,
        parallelism: 1,
        key_groups_all: KEY_GROUPS,
        key_groups: 0..KEY_GROUPS,
        checkpoint: CheckpointId(41),
        kind,
        engine: "0.1.0".to_owned(),
        time_ms: 0,
    }
}

fn begin(path: &Path, kind: Kind) -> Writer {
    let state = StateSchema {
        id: 0,
        name: "count".to_owned(),
        kind: "value".to_owned(),
        key: Vec::new(),
        columns: Vec::new(),
        cells: Vec::new(),
    };
    Writer::create(path, &meta(kind), &[state]).expect("there is room")
}

fn write(path: &Path, kind: Kind, rows: &Rows) -> Written {
    let mut writer = begin(path, kind);
    rows.iter().for_each(|(key, value)| writer.push(key, Some(value)).expect("they are in order"));
    writer.finish().expect("there is room")
}

fn writing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = criterion.benchmark_group("write");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, step) in [("10 k rows", 100), ("13 k rows, 1 MB", 77), ("100 k rows", 10), ("1 M rows", 1)] {
        let rows = rows(step, 0);
        let (mut files, mut ratio) = (0, 0.0);
        group.throughput(Throughput::Elements(rows.len() as u64));
        group.bench_function(name, |bencher| {
            let path = || {
                files += 1;
                folder.path().join(format!("{files}.redb"))
            };
            let write = |path: PathBuf| {
                let written = write(&path, Kind::Full, &rows);
                ratio = written.bytes as f64 / written.row_bytes as f64;
                std::fs::remove_file(path).expect("it is there");
            };
            bencher.iter_batched(path, write, BatchSize::PerIteration);
        });
        println!("{name}: {ratio:.3} bytes of file for a byte of keys and values");
    }
}

fn reading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("full.redb");
    let expected = write(&path, Kind::Full, &rows(1, 0)).expected();
    let mut group = criterion.benchmark_group("read");
    group.sample_size(20);
    for (name, key_groups) in [("1 M rows", 0..KEY_GROUPS), ("a third of them", 341..682)] {
        let part = (KEYS * u64::from(key_groups.end - key_groups.start)) / u64::from(KEY_GROUPS);
        group.throughput(Throughput::Elements(part));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let reader = Reader::open(&path, &expected).expect("it is whole");
                let mut rows = reader.rows(key_groups.clone()).expect("it is whole");
                let mut bytes = 0;
                while let Some(Row { key, value }) = rows.next().expect("it is whole") {
                    bytes += key.len() + value.map_or(0, <[u8]>::len);
                }
                black_box(bytes)
            });
        });
    }
}

/// All files are opened and verified, and merged row by row: as they lie there, as local copies do, or fetched from a checkpoint store
/// in a folder first.
fn restoring(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |epoch| folder.path().join(format!("{epoch}.redb"));
    let objects = Folder::create(&folder.path().join("store")).expect("there is room");
    let store = Store::new(Arc::new(objects), "cluster-1").expect("it is a name");
    let put = |epoch: u64, kind, rows: &Rows| {
        let written = write(&path(epoch), kind, rows);
        let of = Origin { job: JobId(7), checkpoint: CheckpointId(epoch), operator: "count", subtask: 0 };
        let name = store.put(&path(epoch), &written, &of).expect("there is room");
        (path(epoch), written.expected(), name)
    };
    let mut files = vec![put(0, Kind::Full, &rows(1, 0))];
    files.extend((1..=DELTAS).map(|epoch| put(epoch, Kind::Delta, &rows(100, epoch))));
    let fetch = || {
        for (path, expected, name) in &files {
            store.fetch(name, expected, path).expect("it is whole");
        }
    };
    let merge = || {
        let inputs = files.iter().map(|(path, expected, _)| {
            let reader = Reader::open(path, expected).expect("it is whole");
            reader.rows(0..KEY_GROUPS).expect("it is whole")
        });
        Merge::new(inputs.collect(), Tombstones::Drop).expect("all are whole")
    };
    let mut group = criterion.benchmark_group("restore");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(KEYS));
    group.bench_function("1 M keys, full and 10 deltas of 1 %", |bencher| {
        bencher.iter(|| {
            let (mut merge, mut keys) = (merge(), 0);
            while let Some(row) = merge.next().expect("all are whole") {
                black_box(row);
                keys += 1;
            }
            assert_eq!(keys, KEYS);
        });
    });
    group.bench_function("the same, fetched first", |bencher| {
        bencher.iter(|| {
            fetch();
            let mut merge = merge();
            while let Some(row) = merge.next().expect("all are whole") {
                black_box(row);
            }
        });
    });
    group.bench_function("the same into a new full file", |bencher| {
        bencher.iter(|| {
            let path = folder.path().join("merged.redb");
            let mut writer = begin(&path, Kind::Full);
            merge().write(&mut writer).expect("all are whole");
            writer.finish().expect("there is room");
            std::fs::remove_file(path).expect("it is there");
        });
    });
}

criterion_group!(benches, writing, reading, restoring);
criterion_main!(benches);
