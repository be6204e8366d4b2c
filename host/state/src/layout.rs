//! The layout of a record, the same for all keys of an operator:
//!
//! ```text
//! header (8) | one word per int64, float64, timestamp cell | one word per cell with a time to live: when it was written
//!   | one byte per boolean cell | presence bits | key
//!   | for each utf8, binary cell: length u32, bytes
//! ```
//!
//! Numbers are little-endian. The slot of an absent cell is zero, its text empty. The block a record stands in may be
//! longer than the record.

use wasmill_model::{
    DataType, Timestamp,
    descriptor::{Cell, CellKind},
};

use crate::{
    arena::Header,
    clocks::{Clocks, Ttl},
    error::Error,
};

/// The most cells of an operator.
const CELLS_MAX: usize = 256;

pub(crate) const HEADER_BYTES: usize = 8;

/// Where the value of a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// 8 bytes at this offset of the record.
    Word(usize),
    /// 1 byte at this offset.
    Boolean(usize),
    /// The text of this number behind the key.
    Text(usize),
}

/// How long the values of a cell live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) ttl: Ttl,
    /// Where in the record it stands when the value was written, ms.
    pub(crate) stamp_at: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Type and place of each cell.
    pub(crate) cells: Vec<(DataType, Slot)>,
    /// Of each cell; none: its values stay until they are cleared.
    pub(crate) lives: Vec<Option<Life>>,
    /// Number of text cells.
    pub(crate) texts: usize,
    presence_at: usize,
    /// Where the key begins.
    pub(crate) key_at: usize,
}

impl Life {
    /// When the value was written.
    #[inline]
    pub(crate) fn stamp(self, record: &[u8]) -> Timestamp {
        i64::from_le_bytes(*record[self.stamp_at..].first_chunk().expect("a record has all its slots"))
    }
}

impl Layout {
    pub(crate) fn new(cells: &[Cell]) -> Result<Self, Error> {
        if cells.len() > CELLS_MAX {
            return Err(Error::TooManyCells { cells: cells.len(), cells_max: CELLS_MAX });
        }
        let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.kind == CellKind::Value).collect();
        let count = |f: fn(DataType) -> bool| cells.iter().filter(|c| f(c.data_type)).count();
        let mut word_at = HEADER_BYTES;
        let stamps_at = word_at + 8 * count(|t| !t.is_variable() && t != DataType::Boolean);
        let mut stamp_at = stamps_at;
        let mut life = |cell: &Cell| Some(Life { ttl: Ttl::of(cell)?, stamp_at: advance(&mut stamp_at, 8) });
        let lives: Vec<Option<Life>> = cells.iter().map(|cell| life(cell)).collect();
        let mut boolean_at = stamp_at;
        let presence_at = boolean_at + count(|t| t == DataType::Boolean);
        let mut texts = 0;
        let mut slot = |data_type| match data_type {
            DataType::Int64 | DataType::Timestamp | DataType::Float64 => Slot::Word(advance(&mut word_at, 8)),
            DataType::Boolean => Slot::Boolean(advance(&mut boolean_at, 1)),
            DataType::Utf8 | DataType::Binary => Slot::Text(advance(&mut texts, 1)),
        };
        let cells: Vec<_> = cells.iter().map(|c| (c.data_type, slot(c.data_type))).collect();
        let key_at = presence_at + cells.len().div_ceil(8);
        Ok(Self { cells, lives, texts, presence_at, key_at })
    }

    /// Length of a record with a key and texts of these lengths.
    pub(crate) fn record_bytes(&self, key_bytes: usize, text_bytes: usize) -> usize {
        self.key_at + key_bytes + 4 * self.texts + text_bytes
    }

    #[inline]
    pub(crate) fn key<'a>(&self, record: &'a [u8], header: Header) -> &'a [u8] {
        &record[self.key_at..][..header.key_bytes as usize]
    }

    /// Fills in a record without values.
    pub(crate) fn write_empty(&self, record: &mut [u8], key: &[u8]) {
        record[HEADER_BYTES..self.key_at].fill(0);
        record[self.key_at..][..key.len()].copy_from_slice(key);
        record[self.key_at + key.len()..][..4 * self.texts].fill(0);
    }

    #[inline]
    pub(crate) fn is_present(&self, record: &[u8], cell: usize) -> bool {
        record[self.presence_at + cell / 8] >> (cell % 8) & 1 == 1
    }

    #[inline]
    pub(crate) fn set_present(&self, record: &mut [u8], cell: usize, present: bool) {
        let byte = &mut record[self.presence_at + cell / 8];
        *byte = *byte & !(1 << (cell % 8)) | u8::from(present) << (cell % 8);
    }

    /// A bit for each cell, the first in the lowest bit of the first byte.
    pub(crate) fn presence<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        &record[self.presence_at..self.key_at]
    }

    /// Whether a cell has a value whose time is not over.
    #[inline]
    pub(crate) fn is_alive(&self, record: &[u8], cell: usize, now: Clocks) -> bool {
        self.is_present(record, cell) && self.lives[cell].is_none_or(|life| life.ttl.is_on(life.stamp(record), now))
    }

    /// Whether values of some cell are gone after a time.
    pub(crate) fn has_lives(&self) -> bool {
        self.lives.iter().any(Option::is_some)
    }

    /// Whether no cell has a value, or none whose time is not over.
    pub(crate) fn is_empty(&self, record: &[u8], now: Clocks) -> bool {
        self.presence(record).iter().all(|&b| b == 0)
            || self.has_lives() && (0..self.cells.len()).all(|cell| !self.is_alive(record, cell, now))
    }

    /// The bytes of a text cell, empty if it is absent.
    pub(crate) fn text<'a>(&self, record: &'a [u8], header: Header, text: usize) -> &'a [u8] {
        let mut rest = self.texts_of(record, header);
        for _ in 0..text {
            rest = take_text(rest).1;
        }
        take_text(rest).0
    }

    /// Length of all texts of a record together.
    pub(crate) fn text_bytes(&self, record: &[u8], header: Header) -> usize {
        (0..self.texts).map(|text| self.text(record, header, text).len()).sum()
    }

    /// All from the first text on.
    #[inline]
    pub(crate) fn texts_of<'a>(&self, record: &'a [u8], header: Header) -> &'a [u8] {
        &record[self.key_at + header.key_bytes as usize..]
    }
}

/// The first text, and what follows it.
#[inline]
pub(crate) fn take_text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<4>().expect("a record holds all its texts");
    rest.split_at(u32::from_le_bytes(*length) as usize)
}

/// Appends a text as a record holds it.
pub(crate) fn push_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn advance(at: &mut usize, by: usize) -> usize {
    *at += by;
    *at - by
}
