//! Frames come out as they went in, however the bytes are cut; nothing else comes out, and nothing panics.

use proptest::prelude::*;
use wasmill_model::ids::{Attempt, CheckpointId, Incarnation, JobId, TaskManagerId};

use super::*;
use crate::{FRAME_BYTES_MAX, Hello, Identity, Open, Reason};

fn identity() -> impl Strategy<Value = Identity> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(a, b)| Identity { taskmanager: TaskManagerId(a), incarnation: Incarnation(b) })
}

fn frame() -> impl Strategy<Value = Frame> {
    let channel = 1_u32..;
    let hello = (any::<(u16, u16)>(), "[a-z]{0,255}", identity(), identity()).prop_map(
        |((version_min, version_max), cluster, from, to)| Hello { version_min, version_max, cluster, from, to },
    );
    let open = any::<(u64, u64, u32, u32, u32, u64)>().prop_map(|(job, attempt, edge, writer, reader, layout)| Open {
        job: JobId(job),
        attempt: Attempt(attempt),
        edge,
        writer,
        reader,
        layout,
    });
    let body = prop::collection::vec(any::<u8>(), 1..3_000);
    let reason = prop::sample::select(vec![Reason::Finished, Reason::Stale, Reason::Leaving]);
    prop_oneof![
        hello.prop_map(Frame::Hello),
        (channel.clone(), open).prop_map(|(channel, open)| Frame::Open { channel, open }),
        (channel.clone(), any::<u64>(), any::<bool>(), body).prop_map(|(channel, sequence, more, body)| Frame::Data {
            channel,
            sequence,
            more,
            body
        }),
        (channel.clone(), any::<i64>()).prop_map(|(channel, time)| Frame::Watermark { channel, time }),
        channel.clone().prop_map(|channel| Frame::Idle { channel }),
        (channel.clone(), any::<u64>(), any::<bool>()).prop_map(|(channel, id, savepoint)| {
            Frame::Barrier { channel, checkpoint: CheckpointId(id), savepoint }
        }),
        channel.clone().prop_map(|channel| Frame::End { channel }),
        (channel, any::<u32>(), any::<u64>()).prop_map(|(channel, batches, bytes)| Frame::Credit {
            channel,
            batches,
            bytes
        }),
        (any::<u32>(), reason, "[ -~]{0,200}").prop_map(|(channel, reason, words)| Frame::Close {
            channel,
            reason,
            words
        }),
        Just(Frame::Ping),
    ]
}

/// Feeds pieces of these lengths, in turn.
fn feed(decoder: &mut Decoder, bytes: &[u8], cuts: &[usize]) -> Result<Vec<Frame>, Error> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let (mut piece, left) = rest.split_at(cuts.next().unwrap_or(rest.len()).min(rest.len()));
        rest = left;
        loop {
            match decoder.feed(&mut piece)? {
                Some(frame) => frames.push(frame),
                None if piece.is_empty() => break,
                None => {}
            }
        }
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn frames_come_back_however_they_are_cut(
        frames in prop::collection::vec(frame(), 1..10),
        cuts in prop::collection::vec(1_usize..100, 1..10),
        plain in any::<bool>(),
    ) {
        let checksum = if plain { Checksum::Crc32c } else { Checksum::None };
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.write(checksum, &mut bytes));
        let mut decoder = Decoder::new(checksum);
        prop_assert_eq!(feed(&mut decoder, &bytes, &cuts), Ok(frames));
    }

    #[test]
    fn a_changed_byte_never_passes(frame in frame(), at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut bytes = Vec::new();
        frame.write(Checksum::Crc32c, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let frames = feed(&mut Decoder::new(Checksum::Crc32c), &bytes, &[64]);
        // A length that grew waits for the rest.
        prop_assert!(frames.as_ref().map_or(true, |frames| frames.is_empty()), "{frames:?}");
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = feed(&mut Decoder::new(Checksum::None), &bytes, &[7]);
    }
}

#[test]
fn a_length_is_refused_before_memory_is_taken_for_it() {
    for (kind, length) in [(3_u8, FRAME_BYTES_MAX as u32 + 1), (3, u32::MAX), (3, 0), (5, 1), (1, 4_000)] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&length.to_le_bytes());
        (header[4], header[8]) = (kind, u8::from(kind != 1));
        let mut decoder = Decoder::new(Checksum::None);
        let error = Error::Length { kind, bytes: length };
        assert_eq!(decoder.feed(&mut &header[..]), Err(error.clone()));
        assert_eq!(decoder.feed(&mut &[][..]), Err(error), "an error stays");
    }
}

#[test]
fn headers_that_mean_nothing_are_refused() {
    let header = |kind: u8, flags: u8, spare: u8, channel: u8, sequence: u8| {
        let mut header = [0; HEADER_BYTES];
        (header[4], header[5], header[6], header[8], header[16]) = (kind, flags, spare, channel, sequence);
        Decoder::new(Checksum::None).feed(&mut &header[..])
    };
    assert_eq!(header(0, 0, 0, 0, 0), Err(Error::Kind(0)));
    assert_eq!(header(11, 0, 0, 0, 0), Err(Error::Kind(11)));
    assert!(matches!(header(5, 1, 0, 1, 0), Err(Error::Header(_))), "IDLE has no flag");
    assert!(matches!(header(9, 2, 0, 0, 0), Err(Error::Header(_))), "PING has none");
    assert!(matches!(header(5, 0, 1, 1, 0), Err(Error::Header(_))), "what is spare is 0");
    assert!(matches!(header(5, 0, 0, 0, 0), Err(Error::Header(_))), "IDLE is of a channel");
    assert!(matches!(header(9, 0, 0, 1, 0), Err(Error::Header(_))), "PING is of none");
    assert!(matches!(header(9, 0, 0, 0, 1), Err(Error::Header(_))), "PING is not numbered");
    assert_eq!(header(5, 0, 0, 1, 0), Ok(Some(Frame::Idle { channel: 1 })));
}

#[test]
fn the_rest_of_a_body_can_be_put_in_place() {
    let frame = Frame::Data { channel: 3, sequence: 4, more: true, body: vec![7; 100] };
    let mut bytes = Vec::new();
    frame.write(Checksum::Crc32c, &mut bytes);
    let mut decoder = Decoder::new(Checksum::Crc32c);
    assert!(decoder.body().is_none());
    let (first, rest) = bytes.split_at(HEADER_BYTES + 10);
    assert_eq!(decoder.feed(&mut &first[..]), Ok(None));
    let (body, missing) = decoder.body().expect("a body is coming");
    assert_eq!(missing, 90);
    body.extend_from_slice(rest);
    assert_eq!(decoder.feed(&mut &[][..]), Ok(Some(frame)));
}

#[test]
fn words_are_cut_where_a_letter_ends() {
    let frame = Frame::Close { channel: 0, reason: Reason::Protocol, words: "ä".repeat(200) };
    let mut bytes = Vec::new();
    frame.write(Checksum::Crc32c, &mut bytes);
    let read = Decoder::new(Checksum::Crc32c).feed(&mut &bytes[..]);
    assert_eq!(read, Ok(Some(Frame::Close { channel: 0, reason: Reason::Protocol, words: "ä".repeat(127) })));
}
