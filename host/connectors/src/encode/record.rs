//! Rows as Arrow record batches, with the types that other programs expect: a timestamp says its unit and zone.

use std::{io, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryViewArray, RecordBatch, RecordBatchOptions, StringViewArray,
    builder::{BinaryBuilder, StringBuilder},
    cast::AsArray,
    types::{Int64Type, TimestampMillisecondType},
};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, SchemaRef, TimeUnit};
use wasmill_model::{Batch, DataType, Schema};

/// The zone of all timestamps.
const ZONE: &str = "UTC";

/// How text and bytes lie in a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// As in the host, nothing copied.
    Views,
    /// One buffer a column and 32-bit offsets: what every reader of Arrow knows.
    Offsets,
}

/// Makes record batches of batches of one schema.
#[derive(Debug)]
pub(super) struct Records {
    schema: Schema,
    arrow: SchemaRef,
    text: Text,
}

impl Records {
    pub(super) fn new(schema: &Schema, text: Text) -> Self {
        let field = |field: &wasmill_model::Field| {
            let data_type = match (field.data_type, text) {
                (DataType::Timestamp, _) => ArrowType::Timestamp(TimeUnit::Millisecond, Some(ZONE.into())),
                (DataType::Utf8, Text::Offsets) => ArrowType::Utf8,
                (DataType::Binary, Text::Offsets) => ArrowType::Binary,
                (other, _) => other.arrow(),
            };
            ArrowField::new(&field.name, data_type, field.nullable)
        };
        let fields: Vec<ArrowField> = schema.fields().iter().map(field).collect();
        Self { schema: schema.clone(), arrow: Arc::new(arrow_schema::Schema::new(fields)), text }
    }

    pub(super) fn arrow_schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The rows of a batch, all of whose columns are there. Several record batches only if one would be too large for
    /// 32-bit offsets.
    pub(super) fn of(&self, batch: &Batch) -> io::Result<Vec<RecordBatch>> {
        if self.text == Text::Offsets && (0..self.schema.len()).any(|place| text_bytes(batch, place) > i32::MAX as u64)
        {
            if batch.rows == 1 {
                return Err(io::Error::other("one value has more than 2 GiB, which the format cannot hold"));
            }
            let half = batch.rows / 2;
            let mut records = self.of(&batch.slice(0, half))?;
            records.extend(self.of(&batch.slice(half, batch.rows - half))?);
            return Ok(records);
        }
        let fields = self.schema.fields().iter().enumerate();
        let columns: Vec<ArrayRef> =
            fields.map(|(place, field)| self.column(batch.column(place), field.data_type)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows));
        let record = RecordBatch::try_new_with_options(self.arrow.clone(), columns, &options);
        record.map(|record| vec![record]).map_err(io::Error::other)
    }

    fn column(&self, column: &ArrayRef, data_type: DataType) -> ArrayRef {
        match (data_type, self.text) {
            (DataType::Timestamp, _) => {
                let times = column.as_primitive::<Int64Type>().reinterpret_cast::<TimestampMillisecondType>();
                Arc::new(times.with_timezone(ZONE))
            }
            (DataType::Utf8, Text::Offsets) => Arc::new(with_offsets(column.as_string_view())),
            (DataType::Binary, Text::Offsets) => Arc::new(bytes_with_offsets(column.as_binary_view())),
            _ => column.clone(),
        }
    }
}

/// Bytes of a column's text, nulls included.
fn text_bytes(batch: &Batch, place: usize) -> u64 {
    let column = batch.column(place);
    match column.data_type() {
        ArrowType::Utf8View => column.as_string_view().lengths().map(u64::from).sum(),
        ArrowType::BinaryView => column.as_binary_view().lengths().map(u64::from).sum(),
        _ => 0,
    }
}

fn with_offsets(views: &StringViewArray) -> arrow_array::StringArray {
    let bytes: u64 = views.lengths().map(u64::from).sum();
    let mut text = StringBuilder::with_capacity(views.iter().len(), bytes as usize);
    views.iter().for_each(|value| text.append_option(value));
    text.finish()
}

fn bytes_with_offsets(views: &BinaryViewArray) -> arrow_array::BinaryArray {
    let bytes: u64 = views.lengths().map(u64::from).sum();
    let mut values = BinaryBuilder::with_capacity(views.iter().len(), bytes as usize);
    views.iter().for_each(|value| values.append_option(value));
    values.finish()
}
