//! Text and bytes from a guest, as views over the buffer they came in.

#![allow(unsafe_code)]

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, StringViewArray};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};

/// Bytes that fit into a view.
const INLINE: usize = 12;

/// Where the values of a column lie: `offsets` start at 0, never fall, and end at the length of `values`.
pub(super) struct Located<'a> {
    offsets: &'a [u32],
    values: Vec<u8>,
    nulls: Option<NullBuffer>,
}

impl<'a> Located<'a> {
    /// Checks the offsets of a column of `rows` values.
    pub(super) fn new(
        rows: usize,
        offsets: &'a [u32],
        values: Vec<u8>,
        nulls: Option<NullBuffer>,
    ) -> Result<Self, String> {
        if offsets.len() != rows + 1 {
            return Err(format!(
                "{} offsets for {rows} values, which need one more than there are values",
                offsets.len()
            ));
        }
        if offsets[0] != 0 {
            return Err(format!("the first offset is {}, not 0", offsets[0]));
        }
        // Without a branch a row, so that it can be done for many at a time.
        if offsets.windows(2).fold(false, |fell, pair| fell | (pair[0] > pair[1])) {
            let place = offsets.windows(2).position(|pair| pair[0] > pair[1]).expect("was just seen");
            return Err(format!(
                "offset {} is {}, below the {} before it",
                place + 1,
                offsets[place + 1],
                offsets[place]
            ));
        }
        if offsets[rows] as usize != values.len() {
            return Err(format!("the offsets end at {}, the values at {}", offsets[rows], values.len()));
        }
        Ok(Self { offsets, values, nulls })
    }

    /// As text, if all that is not null is UTF-8.
    pub(super) fn into_text(self) -> Result<ArrayRef, String> {
        self.check_text()?;
        let (views, buffers, nulls) = self.into_parts();
        // SAFETY: `into_parts` makes a view for each pair of offsets, which `new` found to lie within the one buffer and
        // in order, inline with zeros behind the value if it has at most 12 bytes and with its first four bytes if not.
        // `check_text` found the bytes between each pair of offsets to be UTF-8, or its view to be that of an empty value.
        Ok(Arc::new(unsafe { StringViewArray::new_unchecked(views, buffers, nulls) }))
    }

    /// As bytes.
    pub(super) fn into_bytes(self) -> ArrayRef {
        let (views, buffers, nulls) = self.into_parts();
        // SAFETY: as in `into_text`, without the condition on what the bytes are.
        Arc::new(unsafe { BinaryViewArray::new_unchecked(views, buffers, nulls) })
    }

    /// Bytes behind a null are nobody's business, so that they may be anything.
    fn check_text(&self) -> Result<(), String> {
        if self.values.is_ascii() {
            return Ok(());
        }
        if let Ok(text) = str::from_utf8(&self.values)
            && self.offsets.iter().all(|&offset| text.is_char_boundary(offset as usize))
        {
            return Ok(());
        }
        for (row, pair) in self.offsets.windows(2).enumerate() {
            let value = &self.values[pair[0] as usize..pair[1] as usize];
            if self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) && str::from_utf8(value).is_err() {
                return Err(format!("value {row} is not UTF-8"));
            }
        }
        Ok(())
    }

    fn into_parts(self) -> (ScalarBuffer<u128>, Arc<[Buffer]>, Option<NullBuffer>) {
        let Self { offsets, values, nulls } = self;
        // Apart from the views, so that it can be done for many at a time.
        let longest = offsets.windows(2).fold(0, |longest, pair| longest.max(pair[1] - pair[0]));
        let outside = longest as usize > INLINE;
        let bytes = values.as_slice();
        let mut views: Vec<u128> =
            offsets.windows(2).map(|pair| view(bytes, pair[0] as usize, pair[1] as usize)).collect();
        if let Some(nulls) = &nulls {
            views.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row)).for_each(|(_, view)| *view = 0);
        }
        // If all values are in their views, the buffer need not be kept alive.
        let buffers = if outside { Arc::new([Buffer::from_vec(values)]) as Arc<[Buffer]> } else { Arc::new([]) };
        (views.into(), buffers, nulls)
    }
}

/// What is kept of the first twelve bytes behind the start of a value: of a short one its own, of a long one four. The place
/// is the length of the value, 13 for all that are longer than twelve.
const KEPT: [(u32, u64); INLINE + 2] = {
    let mut kept = [(u32::MAX, 0); INLINE + 2];
    let mut length = 0;
    while length <= INLINE {
        let all: u128 = (1 << (8 * length)) - 1;
        kept[length] = (all as u32, (all >> 32) as u64);
        length += 1;
    }
    kept
};

/// The view of `values[start..end]`: length, then the value itself, or its first four bytes, buffer 0 and `start`.
#[inline]
fn view(values: &[u8], start: usize, end: usize) -> u128 {
    let length = end - start;
    let window = match values.get(start..start + 16) {
        Some(window) => u128::from_le_bytes(window.try_into().expect("16 bytes")),
        None => {
            let mut window = [0; 16];
            let rest = &values[start..];
            window[..rest.len()].copy_from_slice(rest);
            u128::from_le_bytes(window)
        }
    };
    let (first, second) = KEPT[length.min(INLINE + 1)];
    let low = length as u64 | u64::from(window as u32 & first) << 32;
    let place = if length > INLINE { (start as u64) << 32 } else { 0 };
    let high = (window >> 32) as u64 & second | place;
    u128::from(low) | u128::from(high) << 64
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, cast::AsArray};

    use super::*;

    fn located<'a>(offsets: &'a [u32], values: &[u8], nulls: Option<Vec<bool>>) -> Result<Located<'a>, String> {
        Located::new(offsets.len() - 1, offsets, values.to_vec(), nulls.map(NullBuffer::from))
    }

    #[test]
    fn views_are_what_arrow_would_make_of_the_values() {
        let texts = ["", "a", "twelve bytes", "thirteen byte", "é", "a much longer text, outside of its view", "end"];
        let values = texts.concat();
        let mut offsets = vec![0];
        texts.iter().for_each(|text| offsets.push(offsets[offsets.len() - 1] + text.len() as u32));
        let array = located(&offsets, values.as_bytes(), None).and_then(Located::into_text).expect("good");
        array.as_string_view().to_data().validate_full().expect("arrow agrees");
        assert_eq!(array.as_string_view().iter().flatten().collect::<Vec<_>>(), texts);
        let bytes = located(&offsets, values.as_bytes(), None).expect("good").into_bytes();
        bytes.as_binary_view().to_data().validate_full().expect("arrow agrees");
    }

    #[test]
    fn the_buffer_is_kept_only_if_a_view_needs_it() {
        let short = located(&[0, 3], b"abc", None).and_then(Located::into_text).expect("good");
        assert!(short.as_string_view().data_buffers().is_empty());
    }

    #[test]
    fn bad_places_and_bad_text_are_refused() {
        let check = |offsets: &[u32], values: &[u8], nulls, expect: Result<usize, &str>| {
            let result = located(offsets, values, nulls).and_then(Located::into_text);
            assert_eq!(result.map(|array| array.null_count()), expect.map_err(str::to_owned), "{offsets:?}");
        };
        check(&[1, 1], b"a", None, Err("the first offset is 1, not 0"));
        check(&[0, 2, 1, 3], b"abc", None, Err("offset 2 is 1, below the 2 before it"));
        check(&[0, 2], b"a", None, Err("the offsets end at 2, the values at 1"));
        check(&[0, 1], b"ab", None, Err("the offsets end at 1, the values at 2"));
        check(&[0, 1, 2], b"a\xff", None, Err("value 1 is not UTF-8"));
        check(&[0, 1, 2], "é".as_bytes(), None, Err("value 0 is not UTF-8"));
        check(&[0, 1, 2], "é".as_bytes(), Some(vec![false, true]), Err("value 1 is not UTF-8"));
        check(&[0, 1, 2], b"a\xff", Some(vec![true, false]), Ok(1));
        check(&[0, 1, 14], b"\xffthirteen byte", Some(vec![false, true]), Ok(1));
        check(&[0], b"", None, Ok(0));
    }
}
