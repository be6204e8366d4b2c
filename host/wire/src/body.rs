//! A batch on its way out: pieces of memory that are written one after another, without being copied together.

use arrow_buffer::Buffer;

use crate::{Checksum, FRAME_BYTES_MAX, HEADER_BYTES, frame::data_header};

/// Where the parts of a body begin: at multiples of this from its start. Views need it.
pub(crate) const ALIGNMENT: usize = 16;

/// Bytes before the description of a batch: when its rows were read, a marker, and the description's length.
pub(crate) const PREFIX_BYTES: usize = 16;

/// Stands for the time of rows that come of none that were read.
pub(crate) const NOT_READ: i64 = i64::MIN;

/// What Arrow's messages begin with.
pub(crate) const MARKER: [u8; 4] = [0xff; 4];

/// Pieces smaller than this are copied together: a piece of its own costs more than that.
const COPY_BELOW_BYTES: usize = 2_048;

const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];

/// An encoded batch.
#[derive(Debug)]
pub struct Body {
    /// Room for a frame's header, then the description of the batch.
    head: Vec<u8>,
    pieces: Vec<Buffer>,
    bytes: usize,
}

/// Collects the pieces of a body.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    list: Vec<Buffer>,
    /// Small pieces since the last large one.
    small: Vec<u8>,
    bytes: usize,
}

impl Pieces {
    /// Adds a part, and fills up behind it. Returns where it begins.
    pub(crate) fn add(&mut self, part: Buffer) -> usize {
        let start = self.bytes;
        let length = part.len();
        if length < COPY_BELOW_BYTES {
            self.small.extend_from_slice(&part);
        } else {
            self.flush();
            self.list.push(part);
        }
        let fill = length.next_multiple_of(ALIGNMENT) - length;
        self.small.extend_from_slice(&ZEROS[..fill]);
        self.bytes += length + fill;
        start
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.list.push(Buffer::from_vec(std::mem::take(&mut self.small)));
        }
    }

    /// All of them behind when their rows were read, and the description of what they are.
    pub(crate) fn behind(mut self, read_at_us: Option<i64>, description: &[u8]) -> Body {
        self.flush();
        let length = PREFIX_BYTES + description.len().next_multiple_of(ALIGNMENT);
        let mut head = Vec::with_capacity(HEADER_BYTES + length);
        head.extend_from_slice(&[0; HEADER_BYTES]);
        head.extend_from_slice(&read_at_us.unwrap_or(NOT_READ).to_le_bytes());
        head.extend_from_slice(&MARKER);
        head.extend_from_slice(&((length - PREFIX_BYTES) as u32).to_le_bytes());
        head.extend_from_slice(description);
        head.resize(HEADER_BYTES + length, 0);
        Body { head, pieces: self.list, bytes: length + self.bytes }
    }
}

impl Body {
    /// How many bytes there are, frame headers apart.
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The pieces of the DATA frames, and how many frames they are. Frames are numbered from `sequence` on.
    pub fn frames(mut self, channel: u32, sequence: u64, checksum: Checksum) -> (Vec<Buffer>, u64) {
        if self.bytes <= FRAME_BYTES_MAX {
            let header = data_header((channel, sequence, false), checksum, &self.head[HEADER_BYTES..], &self.pieces);
            self.head[..HEADER_BYTES].copy_from_slice(&header);
            let mut all = Vec::with_capacity(1 + self.pieces.len());
            all.push(Buffer::from_vec(self.head));
            all.append(&mut self.pieces);
            return (all, 1);
        }
        let head = Buffer::from_vec(self.head).slice(HEADER_BYTES);
        let mut all = Vec::new();
        let mut frame: Vec<Buffer> = Vec::new();
        let (mut in_frame, mut left, mut count) = (0, self.bytes, 0);
        for mut piece in std::iter::once(head).chain(self.pieces) {
            while !piece.is_empty() {
                let taken = piece.len().min(FRAME_BYTES_MAX - in_frame);
                frame.push(piece.slice_with_length(0, taken));
                piece = piece.slice(taken);
                (in_frame, left) = (in_frame + taken, left - taken);
                if in_frame == FRAME_BYTES_MAX || left == 0 {
                    let header = data_header((channel, sequence + count, left > 0), checksum, &[], &frame);
                    all.push(Buffer::from_vec(header.to_vec()));
                    all.append(&mut frame);
                    (in_frame, count) = (0, count + 1);
                }
            }
        }
        (all, count)
    }
}
