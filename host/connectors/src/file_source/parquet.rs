//! Parquet files: only the columns that are read are decoded, page by page.

use std::{fs::File, sync::Arc};

use arrow_schema::{DataType as ArrowType, Schema as ArrowSchema, SchemaRef, TimeUnit};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    file::statistics::Statistics,
};

use crate::{columns::ROWS_MAX, file_source::columnar::Batches};

/// A Parquet file whose footer was read.
pub(crate) struct ParquetFile {
    file: File,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    pub(super) fn open(file: File) -> Result<Self, String> {
        let options = ArrowReaderOptions::new;
        // What the writer says of Arrow tells more than Parquet can: a unit of seconds. If it is damaged, the rest may do.
        let found = ArrowReaderMetadata::load(&file, options());
        let found = found.or_else(|_| ArrowReaderMetadata::load(&file, options().with_skip_arrow_metadata(true)));
        let found = found.map_err(|e| e.to_string())?;
        let is_int96 = |place: usize| {
            let root = &found.parquet_schema().root_schema().get_fields()[place];
            root.is_primitive() && root.get_physical_type() == parquet::basic::Type::INT96
        };
        let fields = found.schema().fields().iter().enumerate().map(|(place, field)| {
            let form = match field.data_type() {
                // Nanoseconds would not reach beyond the year 2262, as the twelve bytes do.
                ArrowType::Timestamp(_, zone) if is_int96(place) => {
                    ArrowType::Timestamp(TimeUnit::Millisecond, zone.clone())
                }
                other => form(other),
            };
            (**field).clone().with_data_type(form)
        });
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        let metadata = ArrowReaderMetadata::try_new(found.metadata().clone(), options().with_schema(schema));
        Ok(Self { file, metadata: metadata.map_err(|e| e.to_string())? })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.metadata.schema().clone()
    }

    /// The number of rows, as the footer says.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Whether the statistics say that a column at the top holds no null.
    pub(crate) fn has_no_nulls(&self, place: usize) -> bool {
        let schema = self.metadata.parquet_schema();
        let Some(leaf) = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == place) else {
            return false;
        };
        let groups = self.metadata.metadata().row_groups();
        groups.iter().all(|group| group.column(leaf).statistics().and_then(Statistics::null_count_opt) == Some(0))
    }

    /// The rows, of these columns only, which must be in ascending order.
    pub(super) fn read(self, columns: &[usize]) -> Result<Batches, String> {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file, self.metadata);
        let reader = builder.with_projection(mask).with_batch_size(ROWS_MAX).build().map_err(|e| e.to_string())?;
        Ok(Box::new(reader))
    }
}

/// The type to decode a column to: text and bytes into views, which point into the pages.
fn form(found: &ArrowType) -> ArrowType {
    match found {
        ArrowType::Utf8 | ArrowType::LargeUtf8 => ArrowType::Utf8View,
        ArrowType::Binary | ArrowType::LargeBinary => ArrowType::BinaryView,
        ArrowType::Dictionary(_, values) => form(values),
        other => other.clone(),
    }
}
