//! Credit, order, joining and stopping.

use std::{sync::Arc, thread};

use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};

use super::*;

fn batch(values: std::ops::Range<i64>) -> Element {
    let rows = (values.end - values.start) as usize;
    Element::Batch(Batch::new(rows, vec![Arc::new(Int64Array::from_iter_values(values))]))
}

fn values(received: Received) -> (usize, Vec<i64>) {
    let Received::Element { channel, element: Element::Batch(batch) } = received else {
        panic!("expected a batch, found {received:?}")
    };
    (channel, batch.column(0).as_primitive::<Int64Type>().values().to_vec())
}

#[test]
fn small_batches_of_a_channel_are_joined_and_control_keeps_its_place() {
    let (gate, senders) = gate(1);
    for element in [batch(0..2), batch(2..3), Element::Watermark(5), batch(3..4), Element::End] {
        senders[0].send(element).expect("has credit");
    }
    assert_eq!(values(gate.receive(None)), (0, vec![0, 1, 2]));
    assert!(matches!(gate.receive(None), Received::Element { element: Element::Watermark(5), .. }));
    assert_eq!(values(gate.receive(None)), (0, vec![3]));
    assert!(matches!(gate.receive(None), Received::Element { element: Element::End, .. }));
    assert!(matches!(gate.try_receive(), Received::Timeout));
}

#[test]
fn large_batches_are_not_copied_together() {
    let (gate, senders) = gate(1);
    senders[0].send(batch(0..1_024)).expect("has credit");
    senders[0].send(batch(0..1_024)).expect("has credit");
    assert_eq!(values(gate.receive(None)).1.len(), 1_024);
    assert_eq!(values(gate.receive(None)).1.len(), 1_024);
}

#[test]
fn channels_are_served_in_turn() {
    let (gate, senders) = gate(2);
    senders[0].send(batch(0..2_000)).expect("has credit");
    senders[0].send(batch(0..2_000)).expect("has credit");
    senders[1].send(batch(0..2_000)).expect("has credit");
    let served: Vec<usize> = (0..3).map(|_| values(gate.receive(None)).0).collect();
    assert_eq!(served, [0, 1, 0]);
}

#[test]
fn nothing_is_taken_from_a_held_channel_until_it_is_let_go() {
    let (gate, senders) = gate(2);
    let barrier = Barrier { checkpoint: CheckpointId(1), kind: CheckpointKind::Checkpoint };
    senders[0].send(Element::Barrier(barrier)).expect("control needs no credit");
    senders[0].send(batch(0..2_000)).expect("has credit");
    let first = gate.receive(None);
    assert!(matches!(first, Received::Element { channel: 0, element: Element::Barrier(found) } if found == barrier));
    gate.hold(|channel| channel == 0);
    assert!(matches!(gate.try_receive(), Received::Timeout));
    senders[1].send(batch(7..2_000)).expect("has credit");
    assert_eq!(values(gate.receive(None)).0, 1);
    senders[0].send(batch(2_000..4_000)).expect("has credit");
    assert!(matches!(gate.try_receive(), Received::Timeout));
    gate.hold(|_| false);
    assert_eq!(values(gate.receive(None)), (0, (0..2_000).collect()));
    assert_eq!(values(gate.receive(None)), (0, (2_000..4_000).collect()));
    gate.hold(|channel| channel == 1);
    senders[0].send(batch(0..3)).expect("has credit");
    assert_eq!(values(gate.receive(None)).0, 0, "it is held no more");
}

#[test]
fn a_barrier_keeps_its_place_between_rows_and_watermarks() {
    let (gate, senders) = gate(1);
    let barrier = Barrier { checkpoint: CheckpointId(1), kind: CheckpointKind::Savepoint };
    for element in [batch(0..2), Element::Watermark(5), Element::Barrier(barrier), Element::Watermark(6), batch(2..3)] {
        senders[0].send(element).expect("has credit");
    }
    assert_eq!(values(gate.receive(None)).1, [0, 1]);
    assert!(matches!(gate.receive(None), Received::Element { element: Element::Watermark(5), .. }));
    assert!(matches!(gate.receive(None), Received::Element { element: Element::Barrier(_), .. }));
    assert!(matches!(gate.receive(None), Received::Element { element: Element::Watermark(6), .. }));
    assert_eq!(values(gate.receive(None)).1, [2]);
}

#[test]
fn a_poke_wakes_the_reader_once() {
    let (gate, _senders) = gate(1);
    gate.stopper().poke();
    assert!(matches!(gate.receive(None), Received::Timeout));
    assert!(matches!(gate.receive(Some(Instant::now())), Received::Timeout));
}

#[test]
fn watermarks_that_wait_are_merged() {
    let (gate, senders) = gate(1);
    for time in 0..1_000 {
        senders[0].send(Element::Watermark(time)).expect("control needs no credit");
    }
    assert!(matches!(gate.receive(None), Received::Element { element: Element::Watermark(999), .. }));
    assert!(matches!(gate.try_receive(), Received::Timeout));
}

#[test]
fn a_sender_waits_for_credit_and_control_does_not() {
    let (gate, mut senders) = gate(1);
    let sender = senders.remove(0);
    for _ in 0..CREDIT_BATCHES {
        sender.send(batch(0..2_000)).expect("has credit");
    }
    sender.send(Element::Watermark(1)).expect("control needs no credit");
    let blocked = thread::spawn(move || sender.send(batch(7..8)).map(|()| sender));
    for _ in 0..CREDIT_BATCHES {
        assert_eq!(values(gate.receive(None)).1.len(), 2_000);
    }
    assert!(matches!(gate.receive(None), Received::Element { element: Element::Watermark(1), .. }));
    assert_eq!(values(gate.receive(None)).1, [7]);
    blocked.join().expect("the sender does not panic").expect("was not stopped");
}

#[test]
fn credit_is_in_bytes_too_and_a_batch_larger_than_all_of_it_passes_alone() {
    let (_gate, senders) = gate(1);
    let huge = CREDIT_BYTES as i64 / 8 + 1;
    senders[0].send(batch(0..huge)).expect("an empty channel takes anything");
    let inbox = senders[0].shared.lock();
    assert!(!inbox.channels[0].has_credit(1));
}

#[test]
fn stopping_wakes_both_sides() {
    let (gate, mut senders) = gate(1);
    let sender = senders.remove(0);
    let stopper = gate.stopper();
    let writer = thread::spawn(move || (0..).find_map(|_| sender.send(batch(0..2_000)).err()));
    stopper.stop();
    assert_eq!(writer.join().expect("the sender does not panic"), Some(Stopped));
    assert!(matches!(gate.receive(None), Received::Stopped));
}

#[test]
fn a_reader_gives_up_at_its_deadline() {
    let (gate, _senders) = gate(1);
    assert!(matches!(gate.receive(Some(Instant::now())), Received::Timeout));
}
