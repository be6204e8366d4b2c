//! From bytes to a batch. They are a stranger's: nothing of them is believed.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array,
    array::GenericByteViewArray,
    types::{BinaryViewType, ByteViewType, StringViewType},
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow_ipc::{FieldNode, Message, RecordBatch};
use flatbuffers::{Vector, VerifierOptions};
use wasmill_model::{Batch, schema::DataType};

use crate::{
    Error, Layout, ROWS_MAX,
    body::{ALIGNMENT, MARKER, NOT_READ, PREFIX_BYTES},
    layout::Column,
};

/// Makes a batch of what [`crate::Encoder`] made of one. The arrays share the bytes.
///
/// # Errors
/// If the bytes are not a batch of this layout.
pub fn decode(layout: &Layout, bytes: Vec<u8>) -> Result<Batch, Error> {
    let bytes = Buffer::from_vec(bytes);
    // Allocators give memory that is aligned so; where one does not, a copy is.
    let bytes = if bytes.as_ptr().align_offset(ALIGNMENT) == 0 { bytes } else { Buffer::from_slice_ref(&bytes) };
    let (read_at_us, description, body) = split(&bytes)?;
    let options = VerifierOptions { max_depth: 8, max_tables: 64, ..VerifierOptions::default() };
    let message = flatbuffers::root_with_opts::<Message<'_>>(&options, description).map_err(Error::batch)?;
    let batch = message.header_as_record_batch().ok_or_else(|| Error::batch("it is another message"))?;
    if batch.compression().is_some() {
        return Err(Error::batch("it is compressed"));
    }
    if usize::try_from(message.bodyLength()) != Ok(body.len()) {
        return Err(Error::batch("its body is not as long as it says"));
    }
    let rows = usize::try_from(batch.length()).ok().filter(|rows| *rows <= ROWS_MAX);
    let rows = rows.ok_or_else(|| Error::batch("it has too many rows"))?;
    let mut parts = Parts::new(rows, &batch, body);
    let event_times = layout.event_times.then(|| parts.numbers()).transpose()?;
    let key_hashes = layout.key_hashes.then(|| parts.numbers()).transpose()?;
    let columns = layout.columns.iter().map(|column| column.map(|column| parts.column(column)).transpose());
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    parts.finish()?;
    Ok(Batch { rows, event_times, columns, key_hashes, read_at_us })
}

/// When the rows were read, the description, and what it describes.
fn split(bytes: &Buffer) -> Result<(Option<i64>, &[u8], Buffer), Error> {
    let short = || Error::batch("it ends in its description");
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>().ok_or_else(short)?;
    let (read_at, rest_of_prefix) = prefix.split_first_chunk().ok_or_else(short)?;
    let (marker, length) = rest_of_prefix.split_first_chunk().ok_or_else(short)?;
    if *marker != MARKER {
        return Err(Error::batch("it does not begin as one"));
    }
    let read_at_us = Some(i64::from_le_bytes(*read_at)).filter(|us| *us != NOT_READ);
    let length = length.try_into().map_err(|_| short())?;
    let length = u32::from_le_bytes(length) as usize;
    let description = rest.get(..length).ok_or_else(short)?;
    if !(PREFIX_BYTES + length).is_multiple_of(ALIGNMENT) {
        return Err(Error::batch("its description has an odd length"));
    }
    Ok((read_at_us, description, bytes.slice(PREFIX_BYTES + length)))
}

/// The parts of a record batch, taken in their order.
struct Parts<'a> {
    rows: usize,
    body: Buffer,
    nodes: Option<Vector<'a, FieldNode>>,
    buffers: Option<Vector<'a, arrow_ipc::Buffer>>,
    variadic: Option<Vector<'a, i64>>,
    next_node: usize,
    next_buffer: usize,
    next_variadic: usize,
}

impl<'a> Parts<'a> {
    fn new(rows: usize, batch: &RecordBatch<'a>, body: Buffer) -> Self {
        let (nodes, buffers, variadic) = (batch.nodes(), batch.buffers(), batch.variadicBufferCounts());
        Self { rows, body, nodes, buffers, variadic, next_node: 0, next_buffer: 0, next_variadic: 0 }
    }

    fn column(&mut self, column: Column) -> Result<ArrayRef, Error> {
        let nulls = self.nulls()?;
        if nulls.is_some() && !column.nullable {
            return Err(Error::batch("a column that has no nulls has some"));
        }
        Ok(match column.data_type {
            DataType::Int64 | DataType::Timestamp => Arc::new(Int64Array::new(self.values()?, nulls)),
            DataType::Float64 => Arc::new(Float64Array::new(self.values()?, nulls)),
            DataType::Boolean => Arc::new(BooleanArray::new(self.bits()?, nulls)),
            DataType::Utf8 => Arc::new(self.views::<StringViewType>(nulls)?),
            DataType::Binary => Arc::new(self.views::<BinaryViewType>(nulls)?),
        })
    }

    /// A column without nulls.
    fn numbers<T: ArrowNativeType>(&mut self) -> Result<ScalarBuffer<T>, Error> {
        match self.nulls()? {
            None => self.values(),
            Some(_) => Err(Error::batch("an event time or a key hash is null")),
        }
    }

    /// The start of a column: `None` if it has no nulls.
    fn nulls(&mut self) -> Result<Option<NullBuffer>, Error> {
        let node = self.nodes.filter(|nodes| self.next_node < nodes.len()).map(|nodes| *nodes.get(self.next_node));
        let node = node.ok_or_else(|| Error::batch("a column is missing"))?;
        self.next_node += 1;
        if usize::try_from(node.length()) != Ok(self.rows) {
            return Err(Error::batch("a column has another length"));
        }
        let validity = self.buffer()?;
        if node.null_count() == 0 {
            return Ok(None);
        }
        let nulls = NullBuffer::new(bits(validity, self.rows)?);
        if usize::try_from(node.null_count()) != Ok(nulls.null_count()) {
            return Err(Error::batch("a column has not as many nulls as it says"));
        }
        Ok(Some(nulls))
    }

    fn values<T: ArrowNativeType>(&mut self) -> Result<ScalarBuffer<T>, Error> {
        let buffer = self.buffer()?;
        let bytes = self.rows * size_of::<T>();
        if buffer.len() < bytes || buffer.as_ptr().align_offset(align_of::<T>()) != 0 {
            return Err(Error::batch("a column's values are too short, or at an odd place"));
        }
        Ok(ScalarBuffer::new(buffer, 0, self.rows))
    }

    fn bits(&mut self) -> Result<BooleanBuffer, Error> {
        let buffer = self.buffer()?;
        bits(buffer, self.rows)
    }

    fn views<T: ByteViewType>(&mut self, nulls: Option<NullBuffer>) -> Result<GenericByteViewArray<T>, Error> {
        let views = self.values()?;
        let count = self.variadic.filter(|all| self.next_variadic < all.len()).map(|all| all.get(self.next_variadic));
        let count = count.ok_or_else(|| Error::batch("it is not said how many buffers text has"))?;
        self.next_variadic += 1;
        let left = self.buffers.map_or(0, |buffers| buffers.len() - self.next_buffer);
        let count = usize::try_from(count).ok().filter(|count| *count <= left);
        let count = count.ok_or_else(|| Error::batch("text has more buffers than there are"))?;
        let data: Vec<Buffer> = (0..count).map(|_| self.buffer()).collect::<Result<_, _>>()?;
        // This looks at every view, and at all text.
        GenericByteViewArray::try_new(views, data, nulls).map_err(Error::batch)
    }

    fn buffer(&mut self) -> Result<Buffer, Error> {
        let missing = || Error::batch("a buffer is missing");
        let buffers = self.buffers.filter(|buffers| self.next_buffer < buffers.len()).ok_or_else(missing)?;
        let place = *buffers.get(self.next_buffer);
        self.next_buffer += 1;
        let start = usize::try_from(place.offset()).ok();
        let length = usize::try_from(place.length()).ok();
        let (Some(start), Some(length)) = (start, length) else { return Err(missing()) };
        match start.checked_add(length) {
            Some(end) if end <= self.body.len() => Ok(self.body.slice_with_length(start, length)),
            _ => Err(Error::batch("a buffer lies outside of the body")),
        }
    }

    /// Nothing may be left over.
    fn finish(self) -> Result<(), Error> {
        let (nodes, buffers) = (self.nodes.map_or(0, |n| n.len()), self.buffers.map_or(0, |b| b.len()));
        let variadic = self.variadic.map_or(0, |v| v.len());
        if (nodes, buffers, variadic) == (self.next_node, self.next_buffer, self.next_variadic) {
            Ok(())
        } else {
            Err(Error::batch("it has more than its layout says"))
        }
    }
}

fn bits(buffer: Buffer, rows: usize) -> Result<BooleanBuffer, Error> {
    if buffer.len() < rows.div_ceil(8) {
        return Err(Error::batch("a bitmap is too short"));
    }
    Ok(BooleanBuffer::new(buffer, 0, rows))
}

#[cfg(test)]
mod tests;
