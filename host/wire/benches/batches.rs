//! What it costs to send a batch of 2,048 rows, from columns to the pieces of its frames, and to take it in again: ns a batch.

use std::{hint::black_box, sync::Arc};

use arrow_array::{Int64Array, StringViewArray, UInt32Array};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wasmill_model::{Batch, DataType, Field};
use wasmill_wire::{Checksum, Decoder, Encoder, Frame, Layout, decode};

const ROWS: usize = 2_048;

struct Case {
    name: &'static str,
    layout: Arc<Layout>,
    batch: Batch,
}

fn cases() -> Vec<Case> {
    let numbers = |columns: usize| {
        let column = |_| Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as _;
        let mut batch = Batch::new(ROWS, (0..columns).map(column).collect());
        batch.event_times = Some((0..ROWS as i64).collect());
        batch.key_hashes = Some((0..ROWS as u64).collect());
        batch
    };
    let fields = |data_type: DataType, count: usize| -> Vec<Field> {
        (0..count).map(|n| Field::new(format!("c{n}"), data_type)).collect()
    };
    // Text of 40 bytes out of a block as a source reads it: all of it, and every eighth row of it.
    let block: StringViewArray =
        (0..8 * ROWS).map(|n| Some(format!("a text of forty bytes, more or less {n:>4}"))).collect();
    let text = Batch::new(8 * ROWS, vec![Arc::new(block)]);
    let every_eighth = UInt32Array::from_iter_values((0..ROWS as u32).map(|n| n * 8));
    let layout = |fields: &[Field], extra| Arc::new(Layout::new(fields, &vec![true; fields.len()], extra, extra));
    let dense: StringViewArray =
        (0..ROWS).map(|n| Some(format!("a text of forty bytes, more or less {n:>4}"))).collect();
    vec![
        Case { name: "one int64", layout: layout(&fields(DataType::Int64, 1), true), batch: numbers(1) },
        Case { name: "eight int64", layout: layout(&fields(DataType::Int64, 8), true), batch: numbers(8) },
        Case {
            name: "text, a whole block",
            layout: layout(&fields(DataType::Utf8, 1), false),
            batch: Batch::new(ROWS, vec![Arc::new(dense)]),
        },
        Case {
            name: "text, an eighth of a block",
            layout: layout(&fields(DataType::Utf8, 1), false),
            batch: text.take(&every_eighth),
        },
    ]
}

fn bytes(encoder: &mut Encoder, batch: &Batch, checksum: Checksum) -> Vec<u8> {
    let (pieces, _) = encoder.encode(batch).expect("it can be sent").frames(1, 0, checksum);
    pieces.iter().flat_map(|piece| piece.as_slice()).copied().collect()
}

fn batches(criterion: &mut Criterion) {
    for (checksum, suffix) in [(Checksum::Crc32c, "with checksum"), (Checksum::None, "without")] {
        let mut group = criterion.benchmark_group(suffix);
        group.throughput(Throughput::Elements(ROWS as u64));
        for Case { name, layout, batch } in cases() {
            let mut encoder = Encoder::new(layout.clone());
            group.bench_function(format!("encode {name}"), |b| {
                b.iter(|| black_box(encoder.encode(&batch).expect("it can be sent").frames(1, 0, checksum)));
            });
            let bytes = bytes(&mut encoder, &batch, checksum);
            group.bench_function(format!("decode {name}, {} bytes", bytes.len()), |b| {
                let whole = || {
                    let mut decoder = Decoder::new(checksum);
                    let frame = decoder.feed(&mut &bytes[..]).expect("it was just written");
                    let Some(Frame::Data { body, .. }) = frame else { panic!("found {frame:?}") };
                    decode(&layout, body).expect("it was just written")
                };
                b.iter_batched(|| (), |()| black_box(whole()), BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, batches);
criterion_main!(benches);
