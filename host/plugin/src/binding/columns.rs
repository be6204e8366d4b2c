//! Columns from a guest: checked, then Arrow's, without a copy where the memory they came in is aligned.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use wasmill_model::{DataType, schema::Field};
use wasmtime::component::{ComponentType, Lift};

use super::views::Located;

/// `column` of the contract.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Column {
    validity: Option<Vec<u8>>,
    offsets: Option<Vec<u8>>,
    values: Vec<u8>,
}

impl Column {
    /// Bytes of its buffers.
    pub(crate) fn bytes(&self) -> usize {
        let length = |buffer: &Option<Vec<u8>>| buffer.as_ref().map_or(0, Vec::len);
        length(&self.validity) + length(&self.offsets) + self.values.len()
    }

    /// The array of `rows` values, or what is wrong with it.
    pub(crate) fn into_array(self, rows: usize, data_type: DataType, nullable: bool) -> Result<ArrayRef, String> {
        let Self { validity, offsets, values } = self;
        let nulls = match validity {
            None => None,
            Some(bytes) => Some(NullBuffer::new(bitmap(bytes, rows).map_err(|what| format!("validity: {what}"))?)),
        };
        // A bitmap without a null says nothing.
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = &nulls
            && !nullable
        {
            return Err(format!("{} nulls, in a column that has none", nulls.null_count()));
        }
        if !data_type.is_variable() && offsets.is_some() {
            return Err(format!("offsets, which {data_type} has none of"));
        }
        Ok(match data_type {
            DataType::Int64 | DataType::Timestamp => Arc::new(Int64Array::new(numbers(values, rows)?, nulls)),
            DataType::Float64 => Arc::new(Float64Array::new(numbers(values, rows)?, nulls)),
            DataType::Boolean => Arc::new(BooleanArray::new(bitmap(values, rows)?, nulls)),
            DataType::Utf8 | DataType::Binary => {
                let offsets = offsets.ok_or_else(|| format!("no offsets, which {data_type} needs"))?;
                let offsets: ScalarBuffer<u32> = all_numbers(offsets).map_err(|what| format!("offsets: {what}"))?;
                let located = Located::new(rows, &offsets, values, nulls)?;
                if data_type == DataType::Utf8 { located.into_text()? } else { located.into_bytes() }
            }
        })
    }

    /// As `into_array`, for a field of a schema; what is wrong names it.
    pub(crate) fn into_field(self, rows: usize, field: &Field) -> Result<ArrayRef, String> {
        let named = |what| format!("column `{}` ({}): {what}", field.name, field.data_type);
        self.into_array(rows, field.data_type, field.nullable).map_err(named)
    }
}

/// A bitmap of this many bits.
pub(crate) fn bitmap(bytes: Vec<u8>, bits: usize) -> Result<BooleanBuffer, String> {
    if bytes.len() != bits.div_ceil(8) {
        return Err(format!("a bitmap of {} bytes for {bits} bits", bytes.len()));
    }
    if let (Some(last), used @ 1..) = (bytes.last(), bits % 8)
        && last >> used != 0
    {
        return Err(format!("a bitmap with bits set beyond its {bits}"));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bytes), 0, bits))
}

/// Exactly this many numbers.
pub(crate) fn numbers<T: ArrowNativeType>(bytes: Vec<u8>, count: usize) -> Result<ScalarBuffer<T>, String> {
    let numbers = all_numbers(bytes)?;
    if numbers.len() != count {
        return Err(format!("{} values for {count} rows", numbers.len()));
    }
    Ok(numbers)
}

/// As many numbers as there are.
pub(crate) fn all_numbers<T: ArrowNativeType>(bytes: Vec<u8>) -> Result<ScalarBuffer<T>, String> {
    let size = size_of::<T>();
    if !bytes.len().is_multiple_of(size) {
        return Err(format!("{} bytes, which are no whole number of {size}-byte values", bytes.len()));
    }
    let buffer = Buffer::from_vec(bytes);
    let aligned = buffer.as_ptr().align_offset(align_of::<T>()) == 0;
    Ok(if aligned { buffer.into() } else { Buffer::from(buffer.as_slice()).into() })
}

/// Row numbers, all below `rows`.
pub(crate) fn row_numbers(bytes: Vec<u8>, rows: usize) -> Result<ScalarBuffer<u32>, String> {
    let numbers: ScalarBuffer<u32> = all_numbers(bytes)?;
    below(&numbers, rows).map_err(|number| format!("row {number} of {rows}"))?;
    Ok(numbers)
}

/// The first number that is not below `limit`, if there is one.
pub(crate) fn below(numbers: &[u32], limit: usize) -> Result<(), u32> {
    // Without a branch a number, so that it can be done for many at a time.
    let largest = numbers.iter().fold(0, |largest, &number| largest.max(number));
    if numbers.is_empty() || (largest as usize) < limit { Ok(()) } else { Err(largest) }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;

    use super::*;

    #[test]
    fn aligned_numbers_are_not_copied() {
        let bytes: Vec<u8> = [1i64, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
        let (at, aligned) = (bytes.as_ptr(), bytes.as_ptr().align_offset(8) == 0);
        let numbers: ScalarBuffer<i64> = all_numbers(bytes).expect("16 bytes");
        assert_eq!(numbers.as_ref(), [1, 2]);
        assert_eq!(numbers.inner().as_ptr() == at, aligned);
        let none: ScalarBuffer<i64> = all_numbers(Vec::new()).expect("no bytes");
        assert!(none.is_empty());
    }

    #[test]
    fn a_bitmap_without_nulls_is_taken_anywhere() {
        let column = || Column { validity: Some(vec![0b11]), offsets: None, values: vec![0; 16] };
        let array = column().into_array(2, DataType::Int64, false).expect("no nulls");
        assert!(array.nulls().is_none());
    }

    #[test]
    fn numbers_beyond_a_limit_are_found() {
        assert_eq!(below(&[], 0), Ok(()));
        assert_eq!(below(&[0, 2, 1], 3), Ok(()));
        assert_eq!(below(&[0, 3, 1], 3), Err(3));
        assert_eq!(below(&[0], 0), Err(0));
    }
}
