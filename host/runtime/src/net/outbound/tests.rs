//! What waits stays bounded, and what is said last is said.

use std::sync::Arc;

use arrow_array::Int64Array;
use wasmill_model::{Batch, DataType, Field};
use wasmill_wire::{Decoder, Encoder, Layout};

use super::*;

fn body(rows: i64) -> Body {
    let layout = Layout::new(&[Field::new("n", DataType::Int64)], &[true], false, false);
    let batch = Batch::new(rows as usize, vec![Arc::new(Int64Array::from_iter_values(0..rows))]);
    Encoder::new(Arc::new(layout)).encode(&batch).expect("it can be sent")
}

/// What would be written now, as frames.
fn written(out: &Outbound) -> Vec<Frame> {
    let (mut frames, mut decoder) = (Vec::new(), Decoder::new(out.checksum()));
    while let Some(taken) = out.take() {
        for piece in &taken.pieces {
            let mut bytes = piece.as_slice();
            while let Some(frame) = decoder.feed(&mut bytes).expect("it was just written") {
                frames.push(frame);
            }
        }
        out.wrote(&taken);
    }
    frames
}

#[test]
fn control_behind_the_same_data_says_only_the_last() {
    let (out, ended) = (Outbound::new(Checksum::Crc32c), Ended::default());
    let say = |channel: u32, watermark| out.control(channel, watermark, &ended).expect("nobody stops it");
    for time in 0..1_000 {
        say(1, Some(time));
        say(1, None);
        say(2, Some(time));
    }
    out.data(1, 0, body(1), &ended).expect("nobody stops it");
    say(1, None);
    say(1, Some(2_000));
    say(1, None);
    let frames = written(&out);
    let [w, i, other, data, behind @ ..] = &frames[..] else { panic!("found {frames:?}") };
    assert_eq!((w, i), (&Frame::Watermark { channel: 1, time: 999 }, &Frame::Idle { channel: 1 }));
    assert_eq!(other, &Frame::Watermark { channel: 2, time: 999 });
    assert!(matches!(data, Frame::Data { channel: 1, .. }));
    assert_eq!(behind, [Frame::Watermark { channel: 1, time: 2_000 }, Frame::Idle { channel: 1 }]);
    say(1, Some(3_000));
    assert_eq!(written(&out), [Frame::Watermark { channel: 1, time: 3_000 }]);
    assert!(out.lock().channels.values().all(|places| places.credit.is_none()));
}

#[test]
fn credit_that_waits_is_added_up() {
    let out = Outbound::new(Checksum::None);
    for _ in 0..1_000 {
        out.credit(7, Amount { batches: 2, bytes: 10 });
    }
    assert_eq!(written(&out), [Frame::Credit { channel: 7, batches: 2_000, bytes: 10_000 }]);
    assert!(out.lock().channels.is_empty(), "nothing is kept of a channel that says nothing");
}

#[test]
fn data_waits_for_room_and_is_woken_when_it_is_written() {
    let (out, ended) = (Arc::new(Outbound::new(Checksum::None)), Arc::new(Ended::default()));
    let rows = BYTES_MAX as i64 / 8 + 1;
    out.data(1, 0, body(60_000), &ended).expect("nobody stops it");
    let (to, flag) = (out.clone(), ended.clone());
    let writer = std::thread::spawn(move || (0..40).try_for_each(|n| to.data(1, n, body(60_000), &flag).map(drop)));
    let mut frames = 0;
    while !writer.is_finished() || out.queued_bytes() > 0 {
        assert!(out.queued_bytes() <= BYTES_MAX, "{rows} rows would be too many");
        frames += written(&out).len();
    }
    assert_eq!(writer.join().expect("it does not panic"), Ok(()));
    assert_eq!(frames, 41);
}

#[test]
fn who_was_stopped_does_not_wait_and_who_is_mute_says_nothing() {
    let (out, ended) = (Outbound::new(Checksum::None), Ended::default());
    ended.mute();
    out.data(1, 0, body(1), &ended).expect("it is let fall");
    out.control(1, None, &ended).expect("it is let fall");
    out.mark(Frame::End { channel: 1 }, &ended).expect("it is let fall");
    assert_eq!(written(&out), []);
    ended.stop();
    assert_eq!(out.data(1, 0, body(1), &ended), Err(Stopped));
    assert_eq!(out.control(1, Some(1), &ended), Err(Stopped));
    assert_eq!(out.mark(Frame::End { channel: 1 }, &ended), Err(Stopped));
    out.close();
    assert_eq!(out.data(1, 0, body(1), &Ended::default()), Err(Stopped));
}
