//! Text and bytes on their way out: which of the memory that views point into is sent.
//!
//! A batch points into the blocks that its source has read, and after a filter or a partition only into parts of them. If more
//! than half of those blocks would be sent for nothing, what is pointed to is gathered instead.

use arrow_array::{Array, array::GenericByteViewArray, types::ByteViewType};
use arrow_buffer::Buffer;

/// More than this is only sent if all of it is used: a row of a large batch must not carry its neighbours.
const UNUSED_BYTES_MAX: usize = 4 << 20;

/// Values of up to so many bytes stand in the view itself.
const INLINE_BYTES: u32 = 12;

/// The views to send, and what they point into.
pub(crate) fn compact<T: ByteViewType>(array: &GenericByteViewArray<T>) -> (Buffer, Vec<Buffer>) {
    let views = array.views();
    let is_long = |row: &usize| views[*row] as u32 > INLINE_BYTES && array.is_valid(*row);
    let used: usize = (0..array.len()).filter(is_long).map(|row| views[row] as u32 as usize).sum();
    let held: usize = array.data_buffers().iter().map(Buffer::len).sum();
    let dense = used * 2 >= held && held.saturating_sub(used) <= UNUSED_BYTES_MAX;
    if dense && (used > 0 || array.null_count() == 0) {
        return (views.inner().clone(), array.data_buffers().to_vec());
    }
    let mut data: Vec<u8> = Vec::with_capacity(used);
    let moved = |row: usize| {
        if !array.is_valid(row) {
            return 0;
        }
        let view = views[row];
        if view as u32 <= INLINE_BYTES {
            return view;
        }
        let place = data.len() as u128;
        data.extend_from_slice(array.value(row).as_ref());
        // Length and first bytes stay; the buffer is the only one, the place a new one.
        (view & u128::from(u64::MAX)) | (place << 96)
    };
    let views: Vec<u128> = (0..array.len()).map(moved).collect();
    let data = if data.is_empty() { Vec::new() } else { vec![Buffer::from_vec(data)] };
    (Buffer::from_vec(views), data)
}
