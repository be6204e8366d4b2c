//! What comes from another TaskManager: bytes of frames, and batches in them.
//!
//! An input says in its first two bytes whether there are checksums and which layout the batches have; the rest is what came.
//!
//! Rules: no panic; the same frames however the bytes are cut; frames that are written again are the bytes that came; a
//! batch that is accepted has valid arrays of its layout, and comes back when it is sent again; what was written well is
//! taken.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, StringViewArray};
use wasmill_model::{
    Batch, DataType, Field, Timestamp,
    ids::{Attempt, Incarnation, JobId, TaskManagerId},
};
use wasmill_wire::{Assembly, Checksum, Decoder, Encoder, Error, Frame, Hello, Identity, Layout, Open, Reason, decode};

use crate::{Handled, Random, Target, mutate};

/// Bytes that say how the rest is read.
const HEAD: usize = 2;

/// In the second of them: the rest was written well.
const GOOD: u8 = 0x80;

pub(super) struct Frames {
    layouts: Vec<Arc<Layout>>,
    /// A reader with a mistake: it takes nulls where there are none.
    lenient: bool,
}

impl Frames {
    pub(super) fn new(lenient: bool) -> Self {
        let layout = |types: &[DataType], nullable: bool, times: bool, hashes: bool| {
            let field = |data_type: &DataType| Field { name: data_type.to_string(), data_type: *data_type, nullable };
            let fields: Vec<Field> = types.iter().chain([&DataType::Utf8]).map(field).collect();
            let wanted: Vec<bool> = (0..fields.len()).map(|place| place < types.len()).collect();
            Arc::new(Layout::new(&fields, &wanted, times, hashes))
        };
        let layouts = vec![
            layout(&DataType::ALL, true, true, true),
            layout(&DataType::ALL, false, false, true),
            layout(&DataType::ALL, true, false, true),
            layout(&[DataType::Utf8], false, true, false),
            layout(&[], false, false, false),
        ];
        Self { layouts, lenient }
    }

    fn layout(&self, head: u8) -> &Arc<Layout> {
        &self.layouts[usize::from(head & !GOOD) % self.layouts.len()]
    }

    fn batch(&self, layout: &Arc<Layout>, bytes: Vec<u8>) -> Result<Handled, String> {
        let mut read_as = Layout::clone(layout);
        if self.lenient {
            read_as.columns.iter_mut().flatten().for_each(|column| column.nullable = true);
        }
        let Ok(batch) = decode(&read_as, bytes) else { return Ok(Handled::Refused) };
        valid(layout, &batch)?;
        let again = Encoder::new(layout.clone()).encode(&batch).map_err(|e| format!("it cannot be sent again: {e}"))?;
        let (pieces, _) = again.frames(1, 0, Checksum::None);
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_slice()).copied().collect();
        let mut decoder = Decoder::new(Checksum::None);
        let Ok(Some(Frame::Data { body, .. })) = decoder.feed(&mut &bytes[..]) else {
            return Err("what was sent again is no frame".to_owned());
        };
        let back = decode(layout, body).map_err(|e| format!("it is refused when it is sent again: {e}"))?;
        // Numbers that are none are not like themselves.
        if format!("{:?}", batch.columns) == format!("{:?}", back.columns) {
            Ok(Handled::Accepted)
        } else {
            Err("it comes back as another".to_owned())
        }
    }
}

fn valid(layout: &Layout, batch: &Batch) -> Result<(), String> {
    let lengths = [batch.event_times.as_ref().map(|t| t.len()), batch.key_hashes.as_ref().map(|h| h.len())];
    if lengths != [layout.event_times.then_some(batch.rows), layout.key_hashes.then_some(batch.rows)] {
        return Err("event times or key hashes are missing, or too many".to_owned());
    }
    for (column, array) in layout.columns.iter().zip(&batch.columns) {
        match (column, array) {
            (None, None) => {}
            (Some(column), Some(array)) => {
                array.to_data().validate_full().map_err(|e| format!("an array is not valid: {e}"))?;
                let fits = array.len() == batch.rows && *array.data_type() == column.data_type.arrow();
                if !fits || (array.null_count() > 0 && !column.nullable) {
                    return Err(format!("a column of {} is {array:?}", column.data_type));
                }
            }
            _ => return Err("a column is absent, or is not".to_owned()),
        }
    }
    Ok(())
}

/// Reads frames out of pieces of this length.
fn frames(checksum: Checksum, bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<Error>) {
    let (mut decoder, mut frames) = (Decoder::new(checksum), Vec::new());
    for mut bytes in bytes.chunks(piece) {
        loop {
            match decoder.feed(&mut bytes) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) if bytes.is_empty() => break,
                Ok(None) => {}
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

impl Target for Frames {
    fn make(&self, random: &mut Random) -> Vec<u8> {
        let mut head = [random.draw() as u8, random.draw() as u8 & !GOOD];
        let (layout, checksum) = (self.layout(head[1]).clone(), checksum(head[0]));
        // Some are written by whoever has another plan.
        let written_as = if random.once_in(4) { random.pick(&self.layouts).clone() } else { layout.clone() };
        let mut good = written_as == layout;
        let mut stream = Vec::new();
        for _ in 0..1 + random.below(3) {
            if random.once_in(2) {
                frame(random).write(checksum, &mut stream);
            }
            let mut message = message(&written_as, random);
            if random.once_in(3) {
                let other = message.clone();
                mutate::bytes(&mut message, &other, random);
                good = false;
            }
            data(message, checksum, random, &mut stream);
        }
        if random.once_in(4) {
            let other = stream.clone();
            mutate::bytes(&mut stream, &other, random);
            good = false;
        }
        if good {
            head[1] |= GOOD;
        }
        head.into_iter().chain(stream).collect()
    }

    fn run(&mut self, input: &[u8]) -> Result<Handled, String> {
        let Some((head, stream)) = input.split_first_chunk::<HEAD>() else { return Ok(Handled::Refused) };
        let checksum = checksum(head[0]);
        let (whole, failed) = frames(checksum, stream, stream.len().max(1));
        if (&whole, &failed) != (&frames(checksum, stream, 7).0, &frames(checksum, stream, 7).1) {
            return Err("other frames come out when the bytes are cut".to_owned());
        }
        let mut again = Vec::new();
        whole.iter().for_each(|frame| frame.write(checksum, &mut again));
        if !stream.starts_with(&again) {
            return Err("frames that are written again are other bytes".to_owned());
        }
        let layout = self.layout(head[1]).clone();
        let (mut assembly, mut refused) = (Assembly::default(), failed.is_some());
        for frame in whole {
            if let Frame::Data { body, more, .. } = frame {
                match assembly.add(body, more) {
                    Ok(Some(message)) => refused |= self.batch(&layout, message)? == Handled::Refused,
                    Ok(None) => {}
                    Err(_) => refused = true,
                }
            }
        }
        match (refused, head[1] & GOOD != 0) {
            (true, true) => Err(format!("what was written well is refused: {failed:?}")),
            (true, false) => Ok(Handled::Refused),
            (false, _) => Ok(Handled::Accepted),
        }
    }
}

fn checksum(head: u8) -> Checksum {
    if head & 1 == 0 { Checksum::Crc32c } else { Checksum::None }
}

/// A message in frames of any size.
fn data(message: Vec<u8>, checksum: Checksum, random: &mut Random, to: &mut Vec<u8>) {
    let mut rest = &message[..];
    let mut sequence = 0;
    while !rest.is_empty() {
        let length = if random.once_in(3) { 1 + random.below(rest.len()) } else { rest.len() };
        let (body, left) = rest.split_at(length);
        rest = left;
        Frame::Data { channel: 1, sequence, more: !rest.is_empty(), body: body.to_vec() }.write(checksum, to);
        sequence += 1;
    }
}

fn frame(random: &mut Random) -> Frame {
    let mut identity =
        || Identity { taskmanager: TaskManagerId(random.odd_number()), incarnation: Incarnation(random.odd_number()) };
    let (from, to) = (identity(), identity());
    let channel = 1 + random.below(9) as u32;
    match random.below(8) {
        0 => Frame::Hello(Hello { version_min: 1, version_max: 1, cluster: "cluster".to_owned(), from, to }),
        1 => Frame::Open {
            channel,
            open: Open {
                job: JobId(random.odd_number()),
                attempt: Attempt(random.odd_number()),
                edge: random.draw() as u32,
                writer: random.draw() as u32,
                reader: random.draw() as u32,
                layout: random.draw(),
            },
        },
        2 => Frame::Watermark { channel, time: random.odd_number() as Timestamp },
        3 => Frame::Idle { channel },
        4 => Frame::End { channel },
        5 => Frame::Credit { channel, batches: random.draw() as u32, bytes: random.odd_number() },
        6 => Frame::Close { channel: 0, reason: Reason::Stale, words: "words".to_owned() },
        _ => Frame::Ping,
    }
}

/// A batch as it is written.
fn message(layout: &Arc<Layout>, random: &mut Random) -> Vec<u8> {
    let rows = random.below(60);
    let mut value = |nullable: bool| -> Option<u64> { (!(nullable && random.once_in(3))).then(|| random.odd_number()) };
    let columns = layout.columns.iter().map(|column| {
        let column = (*column)?;
        let values: Vec<Option<u64>> = (0..rows).map(|_| value(column.nullable)).collect();
        let text = |n: u64| "words and more words, and more"[..(n % 30) as usize].to_owned();
        let array: ArrayRef = match column.data_type {
            DataType::Int64 | DataType::Timestamp => {
                Arc::new(values.iter().map(|v| v.map(|n| n as i64)).collect::<Int64Array>())
            }
            DataType::Float64 => Arc::new(values.iter().map(|v| v.map(f64::from_bits)).collect::<Float64Array>()),
            DataType::Boolean => Arc::new(values.iter().map(|v| v.map(|n| n % 2 == 0)).collect::<BooleanArray>()),
            DataType::Utf8 => Arc::new(values.iter().map(|v| v.map(text)).collect::<StringViewArray>()),
            DataType::Binary => Arc::new(values.iter().map(|v| v.map(text)).collect::<BinaryViewArray>()),
        };
        Some(array)
    });
    let columns = columns.collect();
    let batch = Batch {
        rows,
        event_times: layout.event_times.then(|| (0..rows as i64).collect()),
        columns,
        key_hashes: layout.key_hashes.then(|| (0..rows as u64).collect()),
        read_at_us: value(true).map(|us| us as i64),
    };
    let body = Encoder::new(layout.clone()).encode(&batch).expect("it is small, and of its layout");
    let (pieces, _) = body.frames(1, 0, Checksum::None);
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_slice()).copied().collect();
    bytes[wasmill_wire::HEADER_BYTES..].to_vec()
}
