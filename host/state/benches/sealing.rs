//! Snapshots of a keyed count: what a barrier costs, what the batches after it cost while the snapshot is kept, how fast rows come
//! out, and how fast they go in. A tenth of the keys has changed.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "only what is measured takes its own time")]

use std::{
    convert::Infallible,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{Array, ArrayRef, Int64Array, cast::AsArray, types::Int64Type};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wasmill_model::{
    DataType, Field,
    descriptor::Cell,
    keys::{KeyEncoder, KeyGroups},
    reply::CellUpdate,
};
use wasmill_state::{KeyedState, Restore, SealedState, StateLimits, Stored};

const ROWS: usize = 4_096;
const KEYS: [i64; 3] = [100_000, 1_000_000, 5_000_000];

fn cells() -> [Cell; 1] {
    [Cell::value("count", DataType::Int64)]
}

fn state() -> KeyedState {
    let limits = StateLimits { bytes_max: 8 << 30, timers_max: 0 };
    KeyedState::new(&cells(), limits).expect("the cell is of a known kind")
}

/// Counts one row of each of these keys.
fn add(state: &mut KeyedState, encoder: &mut KeyEncoder, keys: &[i64]) {
    let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    encoder.encode(&[&column], keys.len()).expect("keys are short");
    state.group(encoder.keys(), &encoder.hash());
    let old = state.lookup();
    let old = old[0].as_primitive::<Int64Type>();
    let new: Vec<i64> = (0..old.len()).map(|i| if old.is_null(i) { 1 } else { old.value(i) + 1 }).collect();
    state.apply(&[CellUpdate::All(Arc::new(Int64Array::from(new)))], &[], &[]).expect("there is room");
}

/// All keys in state, and none of them changed.
fn filled(keys: i64, encoder: &mut KeyEncoder) -> KeyedState {
    let mut state = state();
    (0..keys).collect::<Vec<_>>().chunks(ROWS).for_each(|chunk| add(&mut state, encoder, chunk));
    state.track();
    state
}

/// Changes a tenth of the keys, spread over all.
fn change(state: &mut KeyedState, encoder: &mut KeyEncoder, keys: i64) {
    let tenth: Vec<i64> = (0..keys).step_by(10).map(|key| key.wrapping_mul(7_919) % keys).collect();
    tenth.chunks(ROWS).for_each(|chunk| add(state, encoder, chunk));
}

fn encoder() -> KeyEncoder {
    KeyEncoder::new(&[Field::new("key", DataType::Int64)]).expect("a key type")
}

fn rows(sealed: &SealedState) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let taken: Result<(), Infallible> = sealed.rows(KeyGroups::default(), |key, value| {
        rows.extend(value.map(|value| (key.to_vec(), value.to_vec())));
        Ok(())
    });
    taken.expect("nothing can fail");
    rows
}

/// Runs it so often, and takes the time that it says.
fn total(times: u64, mut run: impl FnMut() -> Duration) -> Duration {
    (0..times).map(|_| run()).sum()
}

fn sealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("sealing");
    group.sample_size(10);
    for keys in KEYS {
        let mut encoder = encoder();
        let mut state = filled(keys, &mut encoder);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("seal", keys), |b| {
            b.iter_custom(|times| {
                total(times, || {
                    change(&mut state, &mut encoder, keys);
                    let began = Instant::now();
                    let sealed = state.seal();
                    let took = began.elapsed();
                    drop(black_box(sealed));
                    took
                })
            });
        });
        group.throughput(Throughput::Elements(ROWS as u64));
        let next: Vec<i64> = (0..ROWS as i64).map(|i| i * 31 % keys).collect();
        for is_kept in [false, true] {
            let name = if is_kept { "batch after, snapshot kept" } else { "batch after" };
            group.bench_function(BenchmarkId::new(name, keys), |b| {
                b.iter_custom(|times| {
                    total(times, || {
                        change(&mut state, &mut encoder, keys);
                        let sealed = Some(state.seal()).filter(|_| is_kept);
                        let began = Instant::now();
                        add(&mut state, &mut encoder, &next);
                        let took = began.elapsed();
                        drop(sealed);
                        took
                    })
                });
            });
        }
        change(&mut state, &mut encoder, keys);
        let sealed = state.seal();
        group.throughput(Throughput::Elements(keys as u64 / 10));
        group.bench_function(BenchmarkId::new("rows", keys), |b| b.iter(|| black_box(rows(&sealed))));
    }
    group.finish();
}

fn restore(c: &mut Criterion) {
    let mut group = c.benchmark_group("restore");
    group.sample_size(10);
    for keys in KEYS {
        let mut encoder = encoder();
        let mut full = state();
        full.track();
        (0..keys).collect::<Vec<_>>().chunks(ROWS).for_each(|chunk| add(&mut full, &mut encoder, chunk));
        let rows = rows(&full.seal());
        let stored = Stored::same(&cells());
        group.throughput(Throughput::Elements(keys as u64));
        group.bench_function(BenchmarkId::from_parameter(keys), |b| {
            b.iter(|| {
                let mut again = state();
                let mut restore = Restore::new(&mut again, &stored);
                rows.iter().for_each(|(key, value)| restore.row(key, value).expect("it is a row"));
                black_box(again.keys())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sealing, restore);
criterion_main!(benches);
