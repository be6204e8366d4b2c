//! The columns of a call, as slices. Nothing is copied: a column's bytes stay where the host put them.

use alloc::{vec, vec::Vec};

use crate::{
    Timestamp,
    data::{self, Context},
    memory::{self, broken_contract},
};

/// Bytes that start at a multiple of 8, so that they can be seen as numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where the content starts: 0 if the allocation was aligned by itself.
    start: usize,
}

impl From<Vec<u8>> for Buffer {
    /// Copies only if the allocator aligned to less than 8, which none of those in use does.
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.as_ptr().align_offset(8) == 0 || bytes.is_empty() {
            return Self { bytes, start: 0 };
        }
        let mut moved = vec![0; bytes.len() + 7];
        let start = moved.as_ptr().align_offset(8);
        match moved.get_mut(start..start + bytes.len()) {
            Some(place) => place.copy_from_slice(&bytes),
            None => broken_contract(),
        }
        moved.truncate(start + bytes.len());
        Self { bytes: moved, start }
    }
}

impl Buffer {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or(&[])
    }
}

/// A set of row or group numbers as a bitmap: bit `i` is bit `i % 8` of byte `i / 8`.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a>(pub(crate) &'a [u8]);

impl Bits<'_> {
    /// Whether bit `i` is set; false beyond the end.
    #[inline]
    pub fn get(self, i: usize) -> bool {
        self.0.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1)
    }

    /// The bytes of the bitmap.
    pub fn bytes(&self) -> &[u8] {
        self.0
    }
}

/// One column of a call.
#[derive(Debug, Clone)]
pub struct Column {
    rows: usize,
    validity: Option<Vec<u8>>,
    offsets: Option<Buffer>,
    values: Buffer,
}

impl Column {
    pub(crate) fn new(column: data::Column, rows: usize) -> Self {
        Self {
            rows,
            validity: column.validity,
            offsets: column.offsets.map(Buffer::from),
            values: Buffer::from(column.values),
        }
    }

    /// Which values are not null; `None`: all.
    pub fn validity(&self) -> Option<Bits<'_>> {
        self.validity.as_deref().map(Bits)
    }

    /// The values of an `int64` or `timestamp` column; a null is 0.
    pub fn i64s(&self) -> &[i64] {
        exactly(memory::i64s(self.values.bytes()), self.rows)
    }

    /// The values of a `float64` column; a null is 0.
    pub fn f64s(&self) -> &[f64] {
        exactly(memory::f64s(self.values.bytes()), self.rows)
    }

    /// The values of a `boolean` column.
    pub fn booleans(&self) -> Bits<'_> {
        Bits(exactly(self.values.bytes(), self.rows.div_ceil(8)))
    }

    /// The values of a `utf8` column; a null is empty.
    #[inline]
    pub fn strs(&self) -> Strs<'_> {
        Strs { offsets: self.offsets(), text: memory::text(self.values.bytes()) }
    }

    /// The values of a `utf8` or `binary` column as bytes; a null is empty.
    #[inline]
    pub fn binaries(&self) -> Binaries<'_> {
        Binaries { offsets: self.offsets(), bytes: self.values.bytes() }
    }

    fn offsets(&self) -> &[u32] {
        match &self.offsets {
            Some(offsets) => exactly(memory::u32s(offsets.bytes()), self.rows + 1),
            None => broken_contract(),
        }
    }
}

/// A slice that must have at least this length, cut to it: the compiler then drops bound checks in loops over `0..length`.
#[inline]
fn exactly<T>(slice: &[T], length: usize) -> &[T] {
    slice.get(..length).unwrap_or_else(|| broken_contract())
}

/// The values of a `utf8` column: one text, and where each value starts in it.
#[derive(Debug, Clone, Copy)]
pub struct Strs<'a> {
    offsets: &'a [u32],
    text: &'a str,
}

impl<'a> Strs<'a> {
    /// Where each value starts, and, last, where the last one ends.
    pub fn offsets(self) -> &'a [u32] {
        self.offsets
    }

    /// All values, one behind the other.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// The value of a row.
    #[inline]
    pub fn get(self, row: usize) -> Option<&'a str> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        self.text.get(start as usize..end as usize)
    }

    /// The values in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.offsets
            .array_windows()
            .map(move |&[start, end]| self.text.get(start as usize..end as usize).unwrap_or_else(|| broken_contract()))
    }
}

/// The values of a `binary` column: all bytes, and where each value starts in them.
#[derive(Debug, Clone, Copy)]
pub struct Binaries<'a> {
    offsets: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> Binaries<'a> {
    /// Where each value starts, and, last, where the last one ends.
    pub fn offsets(self) -> &'a [u32] {
        self.offsets
    }

    /// All values, one behind the other.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The value of a row.
    #[inline]
    pub fn get(self, row: usize) -> Option<&'a [u8]> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        self.bytes.get(start as usize..end as usize)
    }

    /// The values in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.offsets
            .array_windows()
            .map(move |&[start, end]| self.bytes.get(start as usize..end as usize).unwrap_or_else(|| broken_contract()))
    }
}

/// The rows of a call: the columns that the operator reads, in its order.
#[derive(Debug, Clone)]
pub struct Columns {
    count: usize,
    event_times: Option<Buffer>,
    columns: Vec<Column>,
}

impl Columns {
    pub(crate) fn new(rows: data::Rows) -> Self {
        let mut columns = Self::of(rows.columns, rows.count as usize);
        columns.event_times = rows.event_times.map(Buffer::from);
        columns
    }

    pub(crate) fn of(columns: Vec<data::Column>, count: usize) -> Self {
        let columns = columns.into_iter().map(|column| Column::new(column, count)).collect();
        Self { count, event_times: None, columns }
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The columns in the order the operator reads them.
    pub fn all(&self) -> &[Column] {
        &self.columns
    }

    /// A column by its place among those the operator reads. A place it did not ask for ends the call.
    pub fn column(&self, place: usize) -> &Column {
        self.columns.get(place).unwrap_or_else(|| broken_contract())
    }

    /// The values of an `int64` or `timestamp` column.
    pub fn i64s(&self, place: usize) -> &[i64] {
        self.column(place).i64s()
    }

    /// The values of a `float64` column.
    pub fn f64s(&self, place: usize) -> &[f64] {
        self.column(place).f64s()
    }

    /// The values of a `utf8` column.
    pub fn strs(&self, place: usize) -> Strs<'_> {
        self.column(place).strs()
    }

    /// Event time of each row, ms since the epoch, if the operator asked for them and its input has them.
    pub fn event_times(&self) -> Option<&[i64]> {
        self.event_times.as_ref().map(|times| exactly(memory::i64s(times.bytes()), self.count))
    }
}

/// The event time of a row; [`Timestamp::MIN`] if rows have none.
#[inline]
pub(crate) fn time_at(times: Option<&[i64]>, row: usize) -> Timestamp {
    times.and_then(|times| times.get(row)).map_or(Timestamp::MIN, |&ms| Timestamp(ms))
}

/// Which rows of a call share a key. Groups are numbered in the order of their first row.
#[derive(Debug, Clone)]
pub struct Groups {
    count: usize,
    of_row: Buffer,
    rows: usize,
}

impl Groups {
    pub(crate) fn new(groups: data::Groups, rows: usize) -> Self {
        Self { count: groups.count as usize, of_row: Buffer::from(groups.of_row), rows }
    }

    /// Number of different keys.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The group of each row.
    pub fn of_rows(&self) -> &[u32] {
        exactly(memory::u32s(self.of_row.bytes()), self.rows)
    }
}

/// What the host hands over in one call.
#[derive(Debug)]
pub struct Call<'c> {
    /// The input the rows came by; 0 for timers.
    pub input: u32,
    /// The rows, or, for timers, the key columns and time of each.
    pub rows: Columns,
    /// Which rows share a key; only if the input is keyed.
    pub groups: Option<Groups>,
    /// A column for each state cell, in declared order, with a value for each group; null: the cell is empty.
    pub state: Columns,
    /// Where this instance runs.
    pub context: &'c Context,
}

impl<'c> Call<'c> {
    pub(crate) fn new(
        input: u32,
        rows: data::Rows,
        groups: Option<data::Groups>,
        state: Vec<data::Column>,
        context: &'c Context,
    ) -> Self {
        let rows = Columns::new(rows);
        let groups = groups.map(|groups| Groups::new(groups, rows.count));
        let state = Columns::of(state, groups.as_ref().map_or(0, Groups::count));
        Self { input, rows, groups, state, context }
    }

    /// The groups of a keyed input. A call without them ends here.
    pub fn keys(&self) -> &Groups {
        self.groups.as_ref().unwrap_or_else(|| broken_contract())
    }
}
