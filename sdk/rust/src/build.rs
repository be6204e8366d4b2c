//! Columns in the making. What they finish as is ready to be handed to the host: no second copy.

use alloc::vec::Vec;

use crate::{data::Column, memory};

/// A column that grows value by value.
pub trait ColumnBuilder: Default + 'static {
    /// Appends a value that stands behind a null.
    fn push_default(&mut self);

    /// Makes room for this many more values.
    fn reserve(&mut self, rows: usize);

    /// The column.
    fn finish(self) -> Column;
}

/// Set bits, one after the other.
#[derive(Debug, Default, Clone)]
pub struct BitsBuilder {
    bytes: Vec<u8>,
    /// The bits of the last, incomplete byte.
    open: u8,
    len: usize,
    set: usize,
}

impl BitsBuilder {
    /// None yet, with room for this many.
    pub fn with_capacity(bits: usize) -> Self {
        Self { bytes: Vec::with_capacity(bits.div_ceil(8)), ..Self::default() }
    }

    /// Appends a bit.
    #[inline]
    pub fn push(&mut self, bit: bool) {
        self.open |= u8::from(bit) << (self.len % 8);
        self.set += usize::from(bit);
        self.len += 1;
        if self.len.is_multiple_of(8) {
            self.bytes.push(self.open);
            self.open = 0;
        }
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no bit.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of set bits.
    pub fn count_set(&self) -> usize {
        self.set
    }

    /// The bitmap, spare bits zero.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.len.is_multiple_of(8) {
            self.bytes.push(self.open);
        }
        self.bytes
    }
}

fn fixed(values: Vec<u8>) -> Column {
    Column { validity: None, offsets: None, values }
}

/// A column of `int64` or `timestamp` values.
#[derive(Debug, Default, Clone)]
pub struct I64Builder(Vec<u8>);

impl I64Builder {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// A column of `float64` values.
#[derive(Debug, Default, Clone)]
pub struct F64Builder(Vec<u8>);

impl F64Builder {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// A column of `boolean` values.
#[derive(Debug, Default, Clone)]
pub struct BoolBuilder(BitsBuilder);

impl BoolBuilder {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        self.0.push(value);
    }
}

/// A column of `utf8` or `binary` values.
#[derive(Debug, Clone)]
pub struct BytesBuilder {
    offsets: Vec<u8>,
    values: Vec<u8>,
}

impl Default for BytesBuilder {
    fn default() -> Self {
        Self { offsets: 0_u32.to_le_bytes().to_vec(), values: Vec::new() }
    }
}

impl BytesBuilder {
    /// Appends a value. Values of one column may have 4 GiB together, which no call's output limit allows.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.values.extend_from_slice(value);
        self.offsets.extend_from_slice(&(self.values.len() as u32).to_le_bytes());
    }

    /// Makes room for this many bytes of values.
    pub fn reserve_bytes(&mut self, bytes: usize) {
        self.values.reserve(bytes);
    }
}

/// A column that may hold nulls.
#[derive(Debug, Default, Clone)]
pub struct NullableBuilder<B> {
    validity: BitsBuilder,
    values: B,
}

impl<B: ColumnBuilder> NullableBuilder<B> {
    /// Appends a null.
    pub fn push_null(&mut self) {
        self.validity.push(false);
        self.values.push_default();
    }

    /// Where to append a value that is not null: exactly one.
    #[inline]
    pub fn push_valid(&mut self) -> &mut B {
        self.validity.push(true);
        &mut self.values
    }
}

impl ColumnBuilder for I64Builder {
    fn push_default(&mut self) {
        self.push(0);
    }

    fn reserve(&mut self, rows: usize) {
        self.0.reserve(8 * rows);
    }

    fn finish(self) -> Column {
        fixed(self.0)
    }
}

impl ColumnBuilder for F64Builder {
    fn push_default(&mut self) {
        self.push(0.0);
    }

    fn reserve(&mut self, rows: usize) {
        self.0.reserve(8 * rows);
    }

    fn finish(self) -> Column {
        fixed(self.0)
    }
}

impl ColumnBuilder for BoolBuilder {
    fn push_default(&mut self) {
        self.push(false);
    }

    fn reserve(&mut self, rows: usize) {
        self.0.bytes.reserve(rows.div_ceil(8));
    }

    fn finish(self) -> Column {
        fixed(self.0.finish())
    }
}

impl ColumnBuilder for BytesBuilder {
    fn push_default(&mut self) {
        self.push(&[]);
    }

    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(4 * rows);
    }

    fn finish(self) -> Column {
        Column { validity: None, offsets: Some(self.offsets), values: self.values }
    }
}

impl<B: ColumnBuilder> ColumnBuilder for NullableBuilder<B> {
    fn push_default(&mut self) {
        self.push_null();
    }

    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn finish(self) -> Column {
        let has_nulls = self.validity.count_set() < self.validity.len();
        Column { validity: has_nulls.then(|| self.validity.finish()), ..self.values.finish() }
    }
}

/// Whole columns at once, for operators that work on slices.
impl Column {
    /// An `int64` or `timestamp` column without nulls.
    pub fn of_i64s(values: &[i64]) -> Self {
        fixed(memory::i64_bytes(values).to_vec())
    }

    /// A `float64` column without nulls.
    pub fn of_f64s(values: &[f64]) -> Self {
        fixed(memory::f64_bytes(values).to_vec())
    }

    /// An `int64` column of as many values as the iterator gives.
    pub fn from_i64s(values: impl IntoIterator<Item = i64>) -> Self {
        fixed(values.into_iter().flat_map(i64::to_le_bytes).collect())
    }

    /// A `utf8` or `binary` column out of its parts: where each value starts and, last, where the last one ends.
    pub fn of_parts(offsets: &[u32], values: Vec<u8>) -> Self {
        Self { validity: None, offsets: Some(memory::u32_bytes(offsets).to_vec()), values }
    }

    /// This column with nulls where a bit is not set.
    pub fn with_validity(self, validity: BitsBuilder) -> Self {
        Self { validity: Some(validity.finish()), ..self }
    }
}

/// Row or group numbers as the contract has them.
pub(crate) fn numbers(numbers: &[u32]) -> Vec<u8> {
    memory::u32_bytes(numbers).to_vec()
}
