//! Every row arrives, once, where its key or its turn says.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{Int64Array, StringViewArray, cast::AsArray, types::Int64Type};
use wasmill_model::DataType;

use super::*;
use crate::exchange::{Gate, LocalSender, Received, gate};

const KEY_GROUPS: u32 = 128;

fn fields() -> Vec<Field> {
    vec![Field::new("n", DataType::Int64), Field::nullable("k", DataType::Utf8)]
}

/// A partitioner, and the gates of so many readers.
fn partitioner(exchange: &Exchange, readers: usize) -> (Partitioner, Vec<Gate>) {
    let (gates, senders): (Vec<Gate>, Vec<Vec<LocalSender>>) = (0..readers).map(|_| gate(1)).unzip();
    let senders = senders.into_iter().flatten().map(Sender::Local).collect();
    let key_groups = KeyGroups::new(KEY_GROUPS).expect("a good number");
    (
        Partitioner::new(0, exchange, &fields(), key_groups, senders, To { vertex: "to".into(), edge: 0 })
            .expect("the types are keys"),
        gates,
    )
}

/// Rows numbered from `start`, with event times; every fifth key is null.
fn batch(start: i64, rows: usize) -> Batch {
    let numbers = Int64Array::from_iter_values(start..start + rows as i64);
    let keys: StringViewArray =
        (start..start + rows as i64).map(|n| (n % 5 > 0).then(|| format!("key {}", n % 41))).collect();
    let mut batch = Batch::new(rows, vec![Arc::new(numbers), Arc::new(keys)]);
    batch.event_times = Some((start..start + rows as i64).map(|n| n * 10).collect());
    batch
}

/// The row numbers that wait at each gate, their event times and hashes checked for length and place.
fn received(gates: &[Gate]) -> Vec<Vec<i64>> {
    let of_gate = |gate: &Gate| {
        let mut numbers = Vec::new();
        while let Received::Element { element: Element::Batch(batch), .. } = gate.try_receive() {
            let times = batch.event_times.as_ref().expect("they were sent");
            let rows = batch.column(0).as_primitive::<Int64Type>().values();
            assert!(rows.iter().zip(times).all(|(n, time)| n * 10 == *time), "event times stay with their rows");
            numbers.extend(rows);
        }
        numbers
    };
    gates.iter().map(of_gate).collect()
}

#[test]
fn a_key_always_comes_to_the_same_reader_and_rows_keep_their_order() {
    for readers in [1, 2, 7, 128] {
        let (mut partitioner, gates) = partitioner(&Exchange::Hash { key: vec![1] }, readers);
        let mut reader_of_key = BTreeMap::new();
        let mut all = Vec::new();
        for start in [0, 300, 301] {
            partitioner.send(&batch(start, if start == 300 { 1 } else { 300 })).expect("nobody stops it");
            for (reader, rows) in received(&gates).into_iter().enumerate() {
                assert!(rows.is_sorted());
                for row in rows {
                    let key = if row % 5 > 0 { row % 41 } else { -1 };
                    assert_eq!(*reader_of_key.entry(key).or_insert(reader), reader, "key {key}, {readers} readers");
                    all.push(row);
                }
            }
        }
        all.sort_unstable();
        assert_eq!(all, (0..601).collect::<Vec<_>>());
    }
}

/// The hashes that travel with the rows are those of their keys: the reader does not work them out again.
#[test]
fn hashes_travel_with_their_rows() {
    for readers in [1, 3] {
        let (mut partitioner, gates) = partitioner(&Exchange::Hash { key: vec![1, 0] }, readers);
        partitioner.send(&batch(0, 100)).expect("nobody stops it");
        let key_groups = KeyGroups::new(KEY_GROUPS).expect("a good number");
        let fields = fields();
        let mut encoder = KeyEncoder::new(&[fields[1].clone(), fields[0].clone()]).expect("the types are keys");
        for (reader, gate) in gates.iter().enumerate() {
            while let Received::Element { element: Element::Batch(batch), .. } = gate.try_receive() {
                encoder.encode(&[batch.column(1), batch.column(0)], batch.rows).expect("the types are keys");
                let hashes = batch.key_hashes.clone().expect("they were sent");
                assert_eq!(hashes, encoder.hash());
                let subtask = |hash: &u64| key_groups.subtask(key_groups.key_group(*hash), readers as u32) as usize;
                assert!(hashes.iter().all(|hash| subtask(hash) == reader));
            }
        }
    }
}

#[test]
fn batches_go_round_or_to_everybody() {
    let numbers = |starts: &[i64]| starts.iter().flat_map(|&start| start..start + 10).collect::<Vec<i64>>();
    let batches = [0, 10, 20, 30];
    for (exchange, readers, expect) in [
        (Exchange::Forward, 1, vec![numbers(&batches)]),
        (Exchange::Rebalance, 3, vec![numbers(&[0, 30]), numbers(&[10]), numbers(&[20])]),
        (Exchange::Rebalance, 1, vec![numbers(&batches)]),
        (Exchange::Broadcast, 2, vec![numbers(&batches), numbers(&batches)]),
    ] {
        let (mut partitioner, gates) = partitioner(&exchange, readers);
        batches.iter().for_each(|&start| partitioner.send(&batch(start, 10)).expect("nobody stops it"));
        assert_eq!(received(&gates), expect, "{exchange:?} {readers}");
    }
}

#[test]
fn control_goes_to_everybody_behind_the_rows() {
    for exchange in [Exchange::Rebalance, Exchange::Broadcast, Exchange::Hash { key: vec![0] }] {
        let (mut partitioner, gates) = partitioner(&exchange, 3);
        partitioner.send(&batch(0, 50)).expect("nobody stops it");
        partitioner.send_control(&Element::Watermark(7)).expect("nobody stops it");
        partitioner.send_control(&Element::End).expect("nobody stops it");
        for gate in &gates {
            let mut control = Vec::new();
            while let Received::Element { element, .. } = gate.try_receive() {
                match element {
                    Element::Batch(_) => assert!(control.is_empty(), "rows overtake nothing"),
                    other => control.push(format!("{other:?}")),
                }
            }
            assert_eq!(control, ["Watermark(7)", "End"]);
        }
    }
}

#[test]
fn who_sends_learns_that_the_attempt_was_stopped() {
    for exchange in [Exchange::Forward, Exchange::Rebalance, Exchange::Broadcast, Exchange::Hash { key: vec![0] }] {
        let (mut partitioner, gates) = partitioner(&exchange, 1);
        gates[0].stopper().stop();
        assert!(matches!(partitioner.send(&batch(0, 1)), Err(Error::Stopped)), "{exchange:?}");
        assert!(matches!(partitioner.send_control(&Element::End), Err(Error::Stopped)), "{exchange:?}");
    }
}
