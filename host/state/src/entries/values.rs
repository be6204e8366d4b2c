//! Values and sub-keys as bytes, and columns of them.
//!
//! A value is what a record holds: numbers little-endian, a boolean one byte, text as it is. A sub-key is bytes whose order is that of
//! the sub-keys: numbers big-endian with the sign bit flipped, a boolean one byte, text as it is.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array,
    builder::BinaryViewBuilder,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use wasmill_model::DataType;

use crate::sealed::{ordered, time_of};

/// Appends the value of a row, which is not null.
pub(super) fn push_value(array: &ArrayRef, data_type: DataType, row: usize, out: &mut Vec<u8>) {
    match data_type {
        DataType::Int64 | DataType::Timestamp => {
            out.extend_from_slice(&array.as_primitive::<Int64Type>().value(row).to_le_bytes());
        }
        DataType::Float64 => out.extend_from_slice(&array.as_primitive::<Float64Type>().value(row).to_le_bytes()),
        DataType::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        DataType::Utf8 => out.extend_from_slice(array.as_string_view().value(row).as_bytes()),
        DataType::Binary => out.extend_from_slice(array.as_binary_view().value(row)),
    }
}

/// Appends the sub-key of a row, which is not null.
pub(super) fn push_sub_key(array: &ArrayRef, data_type: DataType, row: usize, out: &mut Vec<u8>) {
    match data_type {
        DataType::Int64 | DataType::Timestamp => {
            out.extend_from_slice(&ordered(array.as_primitive::<Int64Type>().value(row)));
        }
        _ => push_value(array, data_type, row, out),
    }
}

/// Length of a value of a type; none: any.
fn value_bytes(data_type: DataType) -> Option<usize> {
    match data_type {
        DataType::Int64 | DataType::Timestamp | DataType::Float64 => Some(8),
        DataType::Boolean => Some(1),
        DataType::Utf8 | DataType::Binary => None,
    }
}

/// Whether bytes are a value, or a sub-key, of this type.
pub(super) fn is_value(data_type: DataType, bytes: &[u8]) -> bool {
    value_bytes(data_type).is_none_or(|length| length == bytes.len())
        && (data_type != DataType::Utf8 || std::str::from_utf8(bytes).is_ok())
}

/// A column that is being made.
#[derive(Debug)]
pub(super) struct Builder {
    data_type: DataType,
    values: Values,
    valid: Vec<bool>,
    bytes: usize,
}

#[derive(Debug)]
enum Values {
    Words(Vec<[u8; 8]>),
    Booleans(Vec<bool>),
    Bytes(BinaryViewBuilder),
}

impl Builder {
    pub(super) fn new(data_type: DataType) -> Self {
        let values = match data_type {
            DataType::Int64 | DataType::Timestamp | DataType::Float64 => Values::Words(Vec::new()),
            DataType::Boolean => Values::Booleans(Vec::new()),
            DataType::Utf8 | DataType::Binary => Values::Bytes(BinaryViewBuilder::new()),
        };
        Self { data_type, values, valid: Vec::new(), bytes: 0 }
    }

    /// Bytes it holds, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A value, or a null.
    pub(super) fn push(&mut self, value: Option<&[u8]>) {
        self.bytes += 8 + value.map_or(0, <[u8]>::len);
        self.valid.push(value.is_some());
        match &mut self.values {
            Values::Words(words) => words.push(value.and_then(|v| v.first_chunk()).copied().unwrap_or_default()),
            Values::Booleans(booleans) => booleans.push(value.is_some_and(|v| v.first() == Some(&1))),
            Values::Bytes(bytes) => bytes.append_option(value),
        }
    }

    /// A sub-key.
    pub(super) fn push_sub_key(&mut self, sub_key: &[u8]) {
        match sub_key.as_array() {
            Some(word) if self.data_type != DataType::Utf8 && self.data_type != DataType::Binary => {
                self.push(Some(&time_of(*word).to_le_bytes()));
            }
            _ => self.push(Some(sub_key)),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        let nulls = NullBuffer::from(self.valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        match (self.values, self.data_type) {
            (Values::Words(words), DataType::Float64) => {
                let values: Vec<f64> = words.into_iter().map(f64::from_le_bytes).collect();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            (Values::Words(words), _) => {
                let values: Vec<i64> = words.into_iter().map(i64::from_le_bytes).collect();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            (Values::Booleans(values), _) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
            (Values::Bytes(mut values), DataType::Utf8) => {
                Arc::new(values.finish().to_string_view().expect("a text cell is given text only"))
            }
            (Values::Bytes(mut values), _) => Arc::new(values.finish()),
        }
    }
}

/// Whether a column has no null.
pub(super) fn is_full(array: &ArrayRef) -> bool {
    array.null_count() == 0
}
