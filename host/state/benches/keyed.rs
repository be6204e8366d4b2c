//! A keyed count, batch by batch: encode and hash the keys, group, look up, add, apply; and beside it the same with plain
//! loops over plain arrays that know the key to be an int64 and the state to be one int64. One element is one row.

use std::{hint::black_box, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, cast::AsArray, types::Int64Type};
use arrow_buffer::ScalarBuffer;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wasmill_model::{
    DataType, Field,
    descriptor::Cell,
    keys::{EncodedKeys, KeyEncoder},
    reply::{CellUpdate, TimeDomain, TimerChanges},
};
use wasmill_state::{FIRED_MAX, KeyedState, StateLimits};
use xxhash_rust::xxh3::xxh3_64;

const BATCHES: usize = 256;

fn cell() -> Cell {
    Cell::value("count", DataType::Int64)
}

fn limits() -> StateLimits {
    StateLimits { bytes_max: 4 << 30, timers_max: 1 << 24 }
}

/// A fixed sequence of numbers below `below`, evenly spread.
fn numbers(count: usize, below: u64) -> impl Iterator<Item = i64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((u128::from(state) * u128::from(below)) >> 64) as i64
    })
}

fn batches(keys: u64, rows: usize) -> Vec<ArrayRef> {
    let values: Vec<i64> = numbers(BATCHES * rows, keys).collect();
    values.chunks(rows).map(|c| Arc::new(Int64Array::from(c.to_vec())) as ArrayRef).collect()
}

/// Adds the number of rows of each group to its count.
fn count(groups: &[u32], old: &Int64Array) -> ArrayRef {
    let mut counts: Vec<i64> =
        if old.null_count() == 0 { old.values().to_vec() } else { old.iter().map(|v| v.unwrap_or(0)).collect() };
    groups.iter().for_each(|&group| counts[group as usize] += 1);
    Arc::new(Int64Array::new(counts.into(), None))
}

fn step(state: &mut KeyedState, keys: &EncodedKeys, hashes: &[u64]) {
    let groups = state.group(keys, hashes);
    let old = state.lookup();
    let new = |old: &ArrayRef| CellUpdate::All(count(&groups.of_row, old.as_primitive::<Int64Type>()));
    let updates: Vec<CellUpdate> = old.iter().map(new).collect();
    state.apply(&updates, &[], &[]).expect("there is room");
}

/// Every key in state, so that batches only change it.
fn filled(keys: i64, encoder: &mut KeyEncoder) -> KeyedState {
    let mut state = KeyedState::new(&[cell()], limits()).expect("the cell is of a known kind");
    let all: Vec<i64> = (0..keys).collect();
    for chunk in all.chunks(4_096) {
        let column: ArrayRef = Arc::new(Int64Array::from(chunk.to_vec()));
        encoder.encode(&[&column], chunk.len()).expect("keys are short");
        step(&mut state, encoder.keys(), &encoder.hash());
    }
    state
}

/// The same by hand. Records of key and count; a table of their numbers; a table for the groups of a batch.
struct Native {
    records: Vec<(i64, i64)>,
    index: Vec<u64>,
    table: Vec<u32>,
    groups: Vec<(i64, u64)>,
    of_row: Vec<u32>,
    found: Vec<u32>,
}

impl Native {
    fn new(keys: usize) -> Self {
        let index = vec![0; (keys * 2).next_power_of_two()];
        let (table, groups, of_row, found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { records: Vec::with_capacity(keys), index, table, groups, of_row, found }
    }

    fn group(&mut self, keys: &[i64]) {
        let slots = (keys.len() * 2).next_power_of_two();
        self.table.clear();
        self.table.resize(slots, 0);
        self.groups.clear();
        self.of_row.clear();
        for &key in keys {
            let mut bytes = [1; 9];
            bytes[1..].copy_from_slice(&(key ^ i64::MIN).to_be_bytes());
            let hash = xxh3_64(&bytes);
            let mut slot = (hash >> 32) as usize & (slots - 1);
            let group = loop {
                match self.table[slot] {
                    0 => {
                        self.groups.push((key, hash));
                        self.table[slot] = self.groups.len() as u32;
                        break self.groups.len() as u32 - 1;
                    }
                    entry if self.groups[entry as usize - 1].0 == key => break entry - 1,
                    _ => slot = (slot + 1) & (slots - 1),
                }
            };
            self.of_row.push(group);
        }
    }

    fn step(&mut self, keys: &[i64]) {
        self.group(keys);
        let mask = self.index.len() - 1;
        self.found.clear();
        for &(key, hash) in &self.groups {
            let mut slot = (hash >> 8) as usize & mask;
            let found = loop {
                let entry = self.index[slot];
                if entry == 0 {
                    self.records.push((key, 0));
                    self.index[slot] = (hash << 32) | self.records.len() as u64;
                    break self.records.len() as u32 - 1;
                }
                let record = entry as u32 - 1;
                if entry >> 32 == hash & 0xFFFF_FFFF && self.records[record as usize].0 == key {
                    break record;
                }
                slot = (slot + 1) & mask;
            };
            self.found.push(found);
        }
        let mut counts: Vec<i64> = self.found.iter().map(|&r| self.records[r as usize].1).collect();
        self.of_row.iter().for_each(|&group| counts[group as usize] += 1);
        self.found.iter().zip(counts).for_each(|(&r, count)| self.records[r as usize].1 = count);
    }
}

fn keyed_count(c: &mut Criterion) {
    let mut group = c.benchmark_group("keyed_count");
    for (keys, rows) in [(10_000, 1_024), (10_000, 4_096), (1_000_000, 1_024), (1_000_000, 4_096)] {
        let batches = batches(keys, rows);
        let mut encoder = KeyEncoder::new(&[Field::new("k", DataType::Int64)]).expect("int64 is a key type");
        let encoded: Vec<(EncodedKeys, ScalarBuffer<u64>)> = batches
            .iter()
            .map(|b| (encoder.encode(&[b], rows).expect("keys are short").clone(), encoder.hash()))
            .collect();
        let mut state = filled(keys as i64, &mut encoder);
        let mut native = Native::new(keys as usize);
        (0..keys as i64).collect::<Vec<_>>().chunks(4_096).for_each(|c| native.step(c));
        let name = format!("{keys} keys, batches of {rows}");
        group.throughput(Throughput::Elements(rows as u64));
        let mut next = (0..BATCHES).cycle();
        group.bench_function(BenchmarkId::new("state", &name), |b| {
            b.iter(|| {
                let (keys, hashes) = &encoded[next.next().expect("endless")];
                step(&mut state, black_box(keys), hashes);
            })
        });
        group.bench_function(BenchmarkId::new("encode, hash, state", &name), |b| {
            b.iter(|| {
                let batch = &batches[next.next().expect("endless")];
                encoder.encode(&[black_box(batch)], rows).expect("keys are short");
                step(&mut state, encoder.keys(), &encoder.hash());
            })
        });
        group.bench_function(BenchmarkId::new("native", &name), |b| {
            b.iter(|| {
                let batch = &batches[next.next().expect("endless")];
                native.step(black_box(batch.as_primitive::<Int64Type>().values()));
            })
        });
    }
    group.finish();
}

/// Three counts a key: in one record, or in three states of their own, which has to find three records a key; and
/// what grouping alone takes, which the latter does three times.
fn three_cells(c: &mut Criterion) {
    const ROWS: usize = 4_096;
    let mut group = c.benchmark_group("three_cells");
    for keys in [10_000, 1_000_000] {
        let mut encoder = KeyEncoder::new(&[Field::new("k", DataType::Int64)]).expect("int64 is a key type");
        let mut encode = |values: &ArrayRef| {
            let keys = encoder.encode(&[values], values.len()).expect("keys are short").clone();
            (keys, encoder.hash())
        };
        let all: Vec<i64> = (0..keys as i64).collect();
        let all: Vec<_> =
            all.chunks(ROWS).map(|c| encode(&(Arc::new(Int64Array::from(c.to_vec())) as ArrayRef))).collect();
        let encoded: Vec<_> = batches(keys, ROWS).iter().map(&mut encode).collect();
        let new =
            |cells: usize| KeyedState::new(&vec![cell(); cells], limits()).expect("the cells are of a known kind");
        let (mut one, mut three) = (new(3), [new(1), new(1), new(1)]);
        for (keys, hashes) in &all {
            step(&mut one, keys, hashes);
            three.iter_mut().for_each(|state| step(state, keys, hashes));
        }
        group.throughput(Throughput::Elements(ROWS as u64));
        let mut next = encoded.iter().cycle();
        let mut run = |name: &str, call: &mut dyn FnMut(&EncodedKeys, &[u64])| {
            group.bench_function(BenchmarkId::new(name, keys), |b| {
                b.iter(|| {
                    let (keys, hashes) = next.next().expect("endless");
                    call(keys, hashes);
                })
            });
        };
        run("one record", &mut |keys, hashes| step(&mut one, keys, hashes));
        run("three states", &mut |keys, hashes| three.iter_mut().for_each(|state| step(state, keys, hashes)));
        run("grouping alone", &mut |keys, hashes| {
            black_box(one.group(keys, hashes));
        });
    }
    group.finish();
}

/// A million timers at one time: set in batches, then fired in batches in the order of their keys.
fn timers_at_one_time(c: &mut Criterion) {
    const TIMERS: usize = 1 << 20;
    let mut group = c.benchmark_group("timers_at_one_time");
    group.sample_size(10).throughput(Throughput::Elements(TIMERS as u64));
    let mut encoder = KeyEncoder::new(&[Field::new("k", DataType::Int64)]).expect("int64 is a key type");
    let batches: Vec<(EncodedKeys, ScalarBuffer<u64>)> = (0..TIMERS as i64)
        .map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64))
        .collect::<Vec<_>>()
        .chunks(FIRED_MAX)
        .map(|chunk| {
            let column: ArrayRef = Arc::new(Int64Array::from(chunk.to_vec()));
            (encoder.encode(&[&column], chunk.len()).expect("keys are short").clone(), encoder.hash())
        })
        .collect();
    let set = || {
        let mut state = KeyedState::new(&[], limits()).expect("no cell, no error");
        for (keys, hashes) in &batches {
            let groups = state.group(keys, hashes);
            let times = vec![i64::MAX; groups.count as usize];
            let groups = (0..groups.count).collect();
            let change = TimerChanges { domain: TimeDomain::EventTime, set: true, groups, times: times.into() };
            state.apply(&[], &[], &[change]).expect("there is room");
        }
        state
    };
    group.bench_function("set", |b| b.iter_with_large_drop(set));
    group.bench_function("fire", |b| {
        b.iter_batched(
            set,
            |mut state| {
                let mut fired = 0;
                while fired < TIMERS {
                    fired += state.take_due(TimeDomain::EventTime, i64::MAX, FIRED_MAX).len();
                }
                state
            },
            criterion::BatchSize::PerIteration,
        )
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(std::time::Duration::from_secs(3)).without_plots();
    targets = keyed_count, three_cells, timers_at_one_time
}
criterion_main!(benches);
