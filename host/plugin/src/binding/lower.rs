//! Arrow arrays as the contract's columns.
//!
//! Numbers are lent as they lie. Text and bytes, which are views in the host, are gathered; bitmaps are moved to a byte's
//! first bit; values behind nulls are made zero. What has to be made is made in a scratch that lives as long as its instance.

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ToByteSlice};
use arrow_schema::DataType;

use super::arguments::Column;

/// Bytes that one made column may leave allocated for the next call.
const KEEP_BYTES: usize = 1 << 20;

/// What was made for the columns of one call, one place a column.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    columns: Vec<Made>,
}

#[derive(Debug, Default)]
struct Made {
    validity: Vec<u8>,
    offsets: Vec<u32>,
    /// Numbers and bitmaps.
    values: Vec<u8>,
    /// Text and bytes, of which the first `text_bytes` count. It only grows, so that it is not zeroed in each call.
    text: Vec<u8>,
    text_bytes: usize,
}

/// Text whose bytes together are more than offsets of 32 bits can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Scratch {
    /// Makes what these arrays need made. To be followed by `column` for each.
    pub(crate) fn fill<'a>(&mut self, arrays: impl Iterator<Item = &'a ArrayRef>) -> Result<(), TooLong> {
        for (place, array) in arrays.enumerate() {
            if place == self.columns.len() {
                self.columns.push(Made::default());
            }
            self.columns[place].fill(array)?;
        }
        Ok(())
    }

    /// The column of the array that stood at this place in `fill`.
    pub(crate) fn column<'a>(&'a self, place: usize, array: &'a ArrayRef) -> Column<'a> {
        self.columns[place].column(array)
    }

    /// Gives back what an unusually large call has left.
    pub(crate) fn shrink(&mut self) {
        for made in &mut self.columns {
            if made.text.capacity() > KEEP_BYTES || made.values.capacity() > KEEP_BYTES {
                *made = Made::default();
            }
        }
    }
}

impl Made {
    fn fill(&mut self, array: &ArrayRef) -> Result<(), TooLong> {
        self.validity.clear();
        self.offsets.clear();
        self.values.clear();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = nulls {
            bitmap(nulls.inner(), &mut self.validity);
        }
        match array.data_type() {
            DataType::Int64 | DataType::Float64 => {
                if let Some(nulls) = nulls {
                    zero_nulls(numbers(array), nulls, &mut self.values);
                }
            }
            DataType::Boolean => {
                bitmap(array.as_boolean().values(), &mut self.values);
                if nulls.is_some() {
                    self.values.iter_mut().zip(&self.validity).for_each(|(value, valid)| *value &= valid);
                }
            }
            DataType::Utf8View => {
                let array = array.as_string_view();
                gather(array.views(), array.data_buffers(), nulls, self)?;
            }
            DataType::BinaryView => {
                let array = array.as_binary_view();
                gather(array.views(), array.data_buffers(), nulls, self)?;
            }
            other => panic!("{other} is no column's type"),
        }
        Ok(())
    }

    fn column<'a>(&'a self, array: &'a ArrayRef) -> Column<'a> {
        let validity = (!self.validity.is_empty()).then_some(self.validity.as_slice());
        match array.data_type() {
            DataType::Int64 | DataType::Float64 if validity.is_none() => {
                Column { validity, offsets: None, values: numbers(array) }
            }
            DataType::Utf8View | DataType::BinaryView => {
                Column { validity, offsets: Some(self.offsets.to_byte_slice()), values: &self.text[..self.text_bytes] }
            }
            _ => Column { validity, offsets: None, values: &self.values },
        }
    }
}

/// The bytes of an array of 8-byte numbers.
fn numbers(array: &ArrayRef) -> &[u8] {
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().values().to_byte_slice(),
        _ => array.as_primitive::<Float64Type>().values().to_byte_slice(),
    }
}

fn zero_nulls(values: &[u8], nulls: &NullBuffer, to: &mut Vec<u8>) {
    to.extend_from_slice(values);
    for (place, value) in to.chunks_exact_mut(8).enumerate() {
        if nulls.is_null(place) {
            value.fill(0);
        }
    }
}

/// The bits from the first bit of a byte on, spare bits zero.
fn bitmap(bits: &BooleanBuffer, to: &mut Vec<u8>) {
    let bytes = bits.len().div_ceil(8);
    if bits.offset().is_multiple_of(8) {
        let start = bits.offset() / 8;
        to.extend_from_slice(&bits.inner().as_slice()[start..start + bytes]);
    } else {
        to.extend_from_slice(&bits.sliced().as_slice()[..bytes]);
    }
    if let (Some(last), used @ 1..) = (to.last_mut(), bits.len() % 8) {
        *last &= (1 << used) - 1;
    }
}

/// Copies the values of views one behind the other.
fn gather(views: &[u128], buffers: &[Buffer], nulls: Option<&NullBuffer>, to: &mut Made) -> Result<(), TooLong> {
    const INLINE: usize = 12;
    let length = |view: u128| view as u32 as usize;
    let total: usize = views.iter().map(|&view| length(view)).sum();
    if u32::try_from(total).is_err() {
        return Err(TooLong);
    }
    let Made { offsets, text, .. } = to;
    // Values are copied in whole steps, beyond their end; the next one writes over it.
    if text.len() < total + STEP {
        text.resize(total + STEP, 0);
    }
    let mut end = 0;
    offsets.push(0);
    offsets.extend(views.iter().enumerate().map(|(place, &view)| {
        if nulls.is_none_or(|nulls| nulls.is_valid(place)) {
            let length = length(view);
            if length <= INLINE {
                text[end..end + 16].copy_from_slice(&(view >> 32).to_le_bytes());
            } else {
                let (buffer, start) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
                copy(&buffers[buffer], start, length, &mut text[end..]);
            }
            end += length;
        }
        end as u32
    }));
    to.text_bytes = end;
    Ok(())
}

/// Bytes that are copied at once: most values are not longer, and a copy of a length that is known needs no call.
const STEP: usize = 64;

/// Copies `length` bytes from `start` on, and perhaps some of what follows.
#[inline]
fn copy(from: &[u8], start: usize, length: usize, to: &mut [u8]) {
    match (from.get(start..start + STEP), to.first_chunk_mut::<STEP>()) {
        (Some(from), Some(to)) if length <= STEP => to.copy_from_slice(from),
        _ => to[..length].copy_from_slice(&from[start..start + length]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BinaryViewArray, BooleanArray, Float64Array, Int64Array, StringViewArray};

    use super::*;

    fn check(array: ArrayRef, validity: Option<&[u8]>, offsets: Option<&[u32]>, values: &[u8]) {
        let mut scratch = Scratch::default();
        // Twice, to see that nothing is left over.
        for _ in 0..2 {
            scratch.fill([&array].into_iter()).expect("it is short");
            let column = scratch.column(0, &array);
            assert_eq!(column.validity, validity, "{array:?}");
            assert_eq!(column.offsets, offsets.map(ToByteSlice::to_byte_slice), "{array:?}");
            assert_eq!(column.values, values, "{array:?}");
        }
    }

    #[test]
    fn numbers_are_lent() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1, -1, 7]));
        let mut scratch = Scratch::default();
        scratch.fill([&array].into_iter()).expect("no text");
        assert_eq!(scratch.column(0, &array).values.as_ptr(), numbers(&array).as_ptr());
        check(array.slice(1, 1), None, None, &[0xff; 8]);
        check(Arc::new(Float64Array::from(vec![1.0])), None, None, &1f64.to_le_bytes());
    }

    #[test]
    fn numbers_behind_nulls_are_zero() {
        let nulls = NullBuffer::from(vec![true, false, true]);
        let array = Int64Array::new(vec![1, 99, 3].into(), Some(nulls));
        check(Arc::new(array), Some(&[0b101]), None, [1i64, 0, 3].to_byte_slice());
        let all_valid = Int64Array::new(vec![1].into(), Some(NullBuffer::new_valid(1)));
        check(Arc::new(all_valid), None, None, &1i64.to_le_bytes());
    }

    #[test]
    fn bitmaps_begin_at_a_byte_and_end_in_zeros() {
        let bits: Vec<bool> = (0..20).map(|i| i % 3 == 0).collect();
        let array: ArrayRef = Arc::new(BooleanArray::from(bits));
        check(array.clone(), None, None, &[0b0100_1001, 0b1001_0010, 0b0100]);
        check(array.slice(8, 3), None, None, &[0b010]);
        check(array.slice(3, 9), None, None, &[0b0100_1001, 0]);
        let some = BooleanArray::new(BooleanBuffer::new_set(3), Some(NullBuffer::from(vec![true, false, true])));
        check(Arc::new(some), Some(&[0b101]), None, &[0b101]);
    }

    #[test]
    fn text_is_gathered() {
        let long = "longer than twelve bytes";
        let array: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("ab"), None, Some(""), Some(long), Some("twelve bytes")]));
        let all = format!("ab{long}twelve bytes");
        check(array.clone(), Some(&[0b11101]), Some(&[0, 2, 2, 2, 26, 38]), all.as_bytes());
        check(array.slice(3, 1), None, Some(&[0, 24]), long.as_bytes());
        check(array.slice(0, 0), None, Some(&[0]), b"");
        check(Arc::new(BinaryViewArray::from(vec![b"\xff".as_slice()])), None, Some(&[0, 1]), b"\xff");
    }

    /// Steps of a copy end within both the source and what it is copied to.
    #[test]
    fn values_of_every_length_are_gathered() {
        for longest in [STEP - 1, STEP, STEP + 1, 3 * STEP] {
            let texts: Vec<String> =
                (0..=longest).map(|length| char::from(b'a' + (length % 26) as u8).to_string().repeat(length)).collect();
            let array: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
            let offsets: Vec<u32> = (0..=longest + 1).map(|n| (n * n.saturating_sub(1) / 2) as u32).collect();
            check(array, None, Some(&offsets), texts.concat().as_bytes());
        }
    }

    #[test]
    fn a_large_call_leaves_no_large_scratch() {
        let array: ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(2 << 20)]));
        let mut scratch = Scratch::default();
        scratch.fill([&array].into_iter()).expect("it is short");
        scratch.shrink();
        assert_eq!(scratch.columns[0].text.capacity(), 0);
    }
}
