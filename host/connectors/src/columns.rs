//! Columns while rows are being read into them.
//!
//! A row is written column by column. Writing to a column twice in one row replaces what was written first.

use std::{mem, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, builder::make_view};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, ScalarBuffer};
use arrow_data::MAX_INLINE_VIEW_LEN;
use wasmill_model::{DataType, Field};

use crate::source_columns::{SourceColumn, TimeUnit};

/// Rows in a batch at most.
pub(crate) const ROWS_MAX: usize = wasmill_model::batch::ROWS_TARGET;

/// One column of the rows read so far.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) field: Field,
    /// Whether it takes the JSON text of values.
    pub(crate) json: bool,
    /// What numbers count that become a timestamp.
    pub(crate) unit: TimeUnit,
    values: Values,
    /// Set bits for values that are not null; unused if the column may hold none.
    validity: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Booleans(BooleanBufferBuilder),
    Text {
        views: Vec<u128>,
        /// Text that does not stand in the block as it is, because it was written with escapes.
        unescaped: Vec<u8>,
    },
}

/// The buffers that text views point into.
const BLOCK: u32 = 0;
const UNESCAPED: u32 = 1;

impl Column {
    /// # Panics
    /// If the type is `binary`, which no text format can hold.
    pub(crate) fn new(column: &SourceColumn) -> Self {
        let SourceColumn { field, json, unit, .. } = column;
        let values = match field.data_type {
            DataType::Int64 | DataType::Timestamp => Values::Integers(Vec::new()),
            DataType::Float64 => Values::Floats(Vec::new()),
            DataType::Boolean => Values::Booleans(BooleanBufferBuilder::new(0)),
            DataType::Utf8 => Values::Text { views: Vec::new(), unescaped: Vec::new() },
            DataType::Binary => panic!("a text format has no column of type binary"),
        };
        Self { field: field.clone(), json: *json, unit: *unit, values, validity: NullBufferBuilder::new(ROWS_MAX) }
    }

    /// Number of rows that have a value.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Integers(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Booleans(values) => values.len(),
            Values::Text { views, .. } => views.len(),
        }
    }

    /// Forgets the values of row `rows` and all after it.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Integers(values) => values.truncate(rows),
            Values::Floats(values) => values.truncate(rows),
            Values::Booleans(values) => values.truncate(rows),
            Values::Text { views, .. } => views.truncate(rows),
        }
        if self.field.nullable {
            self.validity.truncate(rows);
        }
    }

    #[inline]
    fn mark_valid(&mut self) {
        if self.field.nullable {
            self.validity.append_non_null();
        }
    }

    /// # Panics
    /// If the column holds no integers; the same holds for the other types below.
    #[inline]
    pub(crate) fn push_integer(&mut self, value: i64) {
        let Values::Integers(values) = &mut self.values else { unreachable!("an integer for {}", self.field) };
        values.push(value);
        self.mark_valid();
    }

    #[inline]
    pub(crate) fn push_float(&mut self, value: f64) {
        let Values::Floats(values) = &mut self.values else { unreachable!("a float for {}", self.field) };
        values.push(value);
        self.mark_valid();
    }

    #[inline]
    pub(crate) fn push_boolean(&mut self, value: bool) {
        let Values::Booleans(values) = &mut self.values else { unreachable!("a boolean for {}", self.field) };
        values.append(value);
        self.mark_valid();
    }

    /// Text that stands in the block at `offset`.
    #[inline]
    pub(crate) fn push_text(&mut self, text: &[u8], offset: usize) {
        let Values::Text { views, .. } = &mut self.values else { unreachable!("text for {}", self.field) };
        views.push(make_view(text, BLOCK, offset as u32));
        self.mark_valid();
    }

    /// Text that `write` appends to the bytes it is given. Must be UTF-8. Nothing is pushed if it fails.
    pub(crate) fn push_unescaped<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let Values::Text { views, unescaped } = &mut self.values else { unreachable!("text for {}", self.field) };
        let offset = unescaped.len();
        write(unescaped)?;
        views.push(make_view(&unescaped[offset..], UNESCAPED, offset as u32));
        self.mark_valid();
        Ok(())
    }

    /// # Panics
    /// If the column may hold no nulls.
    pub(crate) fn push_null(&mut self) {
        assert!(self.field.nullable, "a null for {}", self.field);
        match &mut self.values {
            Values::Integers(values) => values.push(0),
            Values::Floats(values) => values.push(0.0),
            Values::Booleans(values) => values.append(false),
            Values::Text { views, .. } => views.push(0),
        }
        self.validity.append_null();
    }

    /// The column as an array, text pointing into `block`. The column is empty again.
    pub(crate) fn finish(&mut self, block: &Buffer) -> ArrayRef {
        let nulls = if self.field.nullable { self.validity.finish() } else { None };
        match &mut self.values {
            Values::Integers(values) => Arc::new(Int64Array::new(ScalarBuffer::from(tight(values)), nulls)),
            Values::Floats(values) => Arc::new(Float64Array::new(ScalarBuffer::from(tight(values)), nulls)),
            Values::Booleans(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Text { views, unescaped } => {
                let mut buffers = Vec::new();
                // Short text stands in its view: a column of nothing else must not keep the block alive.
                if views.iter().any(|view| *view as u32 > MAX_INLINE_VIEW_LEN) {
                    buffers.push(block.clone());
                    buffers.push(Buffer::from_vec(mem::take(unescaped)));
                }
                unescaped.clear();
                let array = StringViewArray::try_new(ScalarBuffer::from(tight(views)), buffers, nulls);
                Arc::new(array.expect("blocks and unescaped text are UTF-8, and views keep within them"))
            }
        }
    }
}

/// The values, without much more memory than they need.
fn tight<T>(values: &mut Vec<T>) -> Vec<T> {
    let mut values = mem::take(values);
    if values.capacity() > 2 * values.len() {
        values.shrink_to_fit();
    }
    values
}
