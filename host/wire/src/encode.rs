//! From a batch to bytes: a record batch message of Arrow's IPC format, whose columns are the event times, the key hashes, and
//! the columns that are present. No schema travels: the layout is known. Before it stands when the rows were read.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_ipc::{FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder};
use flatbuffers::FlatBufferBuilder;
use wasmill_model::{Batch, schema::DataType};

use crate::{BATCH_BYTES_MAX, Body, Error, Layout, ROWS_MAX, body::Pieces, layout::Column, views::compact};

/// Encodes the batches of one channel.
pub struct Encoder {
    layout: Arc<Layout>,
    builder: FlatBufferBuilder<'static>,
    parts: Parts,
}

/// What stands in a message's description.
#[derive(Debug, Default)]
struct Parts {
    nodes: Vec<FieldNode>,
    buffers: Vec<arrow_ipc::Buffer>,
    variadic: Vec<i64>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl Encoder {
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, builder: FlatBufferBuilder::new(), parts: Parts::default() }
    }

    /// Encodes a batch. Values are shared with it, not copied, but for small columns and sparse text.
    ///
    /// # Errors
    /// If it is too large to be sent, or has not what its layout says.
    pub fn encode(&mut self, batch: &Batch) -> Result<Body, Error> {
        if batch.rows > ROWS_MAX {
            return Err(Error::TooLarge { bytes: batch.memory_bytes() });
        }
        let parts = &mut self.parts;
        parts.clear();
        let mut pieces = Pieces::default();
        if self.layout.event_times {
            let times = batch.event_times.as_ref().ok_or_else(|| Error::batch("it has no event times"))?;
            parts.fixed(&mut pieces, batch.rows, None, times.inner().clone());
        }
        if self.layout.key_hashes {
            let hashes = batch.key_hashes.as_ref().ok_or_else(|| Error::batch("it has no key hashes"))?;
            parts.fixed(&mut pieces, batch.rows, None, hashes.inner().clone());
        }
        for (place, column) in self.layout.present() {
            let array = batch.columns.get(place).and_then(Option::as_ref);
            let array = array.ok_or_else(|| Error::batch(format_args!("column {place} is absent")))?;
            parts.column(&mut pieces, column, array)?;
        }
        let bytes = pieces.len();
        if bytes > BATCH_BYTES_MAX / 2 {
            // What is described takes less than what it is about.
            return Err(Error::TooLarge { bytes });
        }
        Ok(pieces.behind(batch.read_at_us, self.describe(batch.rows, bytes)))
    }

    fn describe(&mut self, rows: usize, bytes: usize) -> &[u8] {
        let Self { builder, parts, .. } = self;
        builder.reset();
        let nodes = builder.create_vector(&parts.nodes);
        let buffers = builder.create_vector(&parts.buffers);
        let variadic = (!parts.variadic.is_empty()).then(|| builder.create_vector(&parts.variadic));
        let mut batch = RecordBatchBuilder::new(builder);
        batch.add_length(rows as i64);
        batch.add_nodes(nodes);
        batch.add_buffers(buffers);
        if let Some(variadic) = variadic {
            batch.add_variadicBufferCounts(variadic);
        }
        let batch = batch.finish().as_union_value();
        let mut message = MessageBuilder::new(builder);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(MessageHeader::RecordBatch);
        message.add_header(batch);
        message.add_bodyLength(bytes as i64);
        let message = message.finish();
        builder.finish(message, None);
        builder.finished_data()
    }
}

impl Parts {
    fn clear(&mut self) {
        self.nodes.clear();
        self.buffers.clear();
        self.variadic.clear();
    }

    fn column(&mut self, pieces: &mut Pieces, column: Column, array: &ArrayRef) -> Result<(), Error> {
        if *array.data_type() != column.data_type.arrow() {
            return Err(Error::batch(format_args!("a column of {} is {}", column.data_type, array.data_type())));
        }
        if array.null_count() > 0 && !column.nullable {
            return Err(Error::batch("a column that has no nulls has one"));
        }
        let (rows, nulls) = (array.len(), array.nulls());
        match column.data_type {
            DataType::Int64 | DataType::Timestamp => {
                self.fixed(pieces, rows, nulls, array.as_primitive::<Int64Type>().values().inner().clone());
            }
            DataType::Float64 => {
                self.fixed(pieces, rows, nulls, array.as_primitive::<Float64Type>().values().inner().clone());
            }
            DataType::Boolean => self.fixed(pieces, rows, nulls, array.as_boolean().values().sliced()),
            DataType::Utf8 => self.views(pieces, rows, nulls, compact(array.as_string_view())),
            DataType::Binary => self.views(pieces, rows, nulls, compact(array.as_binary_view())),
        }
        Ok(())
    }

    fn fixed(&mut self, pieces: &mut Pieces, rows: usize, nulls: Option<&NullBuffer>, values: Buffer) {
        self.start(pieces, rows, nulls);
        self.part(pieces, values);
    }

    fn views(
        &mut self,
        pieces: &mut Pieces,
        rows: usize,
        nulls: Option<&NullBuffer>,
        (views, data): (Buffer, Vec<Buffer>),
    ) {
        self.start(pieces, rows, nulls);
        self.part(pieces, views);
        self.variadic.push(data.len() as i64);
        data.into_iter().for_each(|data| self.part(pieces, data));
    }

    /// A column's node and its validity, which is empty if there are no nulls.
    fn start(&mut self, pieces: &mut Pieces, rows: usize, nulls: Option<&NullBuffer>) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        self.nodes.push(FieldNode::new(rows as i64, nulls.map_or(0, NullBuffer::null_count) as i64));
        self.part(pieces, nulls.map_or_else(Buffer::default, |nulls| nulls.inner().sliced()));
    }

    fn part(&mut self, pieces: &mut Pieces, part: Buffer) {
        let length = part.len() as i64;
        self.buffers.push(arrow_ipc::Buffer::new(pieces.add(part) as i64, length));
    }
}
