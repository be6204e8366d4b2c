//! Numbers and text in the contract's buffers.

use crate::wasmill::operator::data::{Column, Emission, Extension, NewColumn, Outcome, Reply};

pub(crate) fn i64s(bytes: &[u8]) -> impl ExactSizeIterator<Item = i64> + '_ {
    bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")))
}

pub(crate) fn u32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes")))
}

pub(crate) fn of_i64s(numbers: impl ExactSizeIterator<Item = i64>) -> Vec<u8> {
    let mut bytes = vec![0; 8 * numbers.len()];
    bytes.chunks_exact_mut(8).zip(numbers).for_each(|(place, n)| place.copy_from_slice(&n.to_le_bytes()));
    bytes
}

pub(crate) fn of_u32s(numbers: impl ExactSizeIterator<Item = u32>) -> Vec<u8> {
    let mut bytes = vec![0; 4 * numbers.len()];
    bytes.chunks_exact_mut(4).zip(numbers).for_each(|(place, n)| place.copy_from_slice(&n.to_le_bytes()));
    bytes
}

pub(crate) fn bit(bitmap: &[u8], place: usize) -> bool {
    bitmap[place / 8] >> (place % 8) & 1 == 1
}

pub(crate) fn bitmap(mut bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for byte in &mut bytes {
        *byte = (0..8).zip(&mut bits).fold(0, |byte, (place, bit)| byte | u8::from(bit) << place);
    }
    bytes
}

/// A column of int64, timestamp or float64, or of booleans.
pub(crate) fn fixed(values: Vec<u8>) -> Column {
    Column { validity: None, offsets: None, values }
}

/// A column of text made value by value.
pub(crate) struct Text {
    offsets: Vec<u32>,
    /// Zeroed beyond `end`.
    values: Vec<u8>,
    end: usize,
}

impl Text {
    /// Room for this many bytes, which may prove too few.
    pub(crate) fn new(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, values: vec![0; bytes], end: 0 }
    }

    pub(crate) fn push(&mut self, text: &str) {
        let end = self.end + text.len();
        if end > self.values.len() {
            self.values.resize(2 * end, 0);
        }
        copy(&mut self.values[self.end..end], text.as_bytes());
        self.end = end;
        self.offsets.push(end as u32);
    }

    pub(crate) fn column(mut self) -> Column {
        self.values.truncate(self.end);
        Column { validity: None, offsets: Some(of_u32s(self.offsets.into_iter())), values: self.values }
    }
}

/// Copies up to 64 bytes in registers, in words that overlap, without a loop: what the compiler takes for a copy of unknown
/// length it makes a call out of the sandbox, which costs more than a short text takes.
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        0..8 => to.iter_mut().zip(from).for_each(|(to, &from)| *to = std::hint::black_box(from)),
        8..=16 => copy_ends::<8>(to, from),
        17..=32 => copy_ends::<16>(to, from),
        33..=64 => copy_ends::<32>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// The first and the last `N` bytes of `N` to `2 * N`.
#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return };
    if let Some(to) = to.first_chunk_mut::<N>() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut::<N>() {
        *to = *last;
    }
}

/// The values of a text column.
pub(crate) fn texts(column: &Column) -> impl ExactSizeIterator<Item = &str> {
    let offsets = column.offsets.as_deref().expect("text has offsets");
    u32s(offsets).zip(u32s(&offsets[4..])).map(|(start, end)| {
        let value = &column.values[start as usize..end as usize];
        // SAFETY: the contract says that text is UTF-8, value by value; the host has checked it.
        unsafe { std::str::from_utf8_unchecked(value) }
    })
}

/// A reply that only emits rows on port 0.
pub(crate) fn emit(rows: Outcome) -> Reply {
    Reply { emissions: vec![Emission { port: 0, rows }], cells: vec![], timers: vec![], entries: vec![] }
}

pub(crate) fn extension(take: Option<Vec<u8>>, columns: Vec<Column>) -> Outcome {
    let columns = columns.into_iter().zip(0..).map(|(column, index)| NewColumn { index, column }).collect();
    Outcome::Extend(Extension { take, columns })
}
