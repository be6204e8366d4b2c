//! Parquet: row groups bounded by rows and bytes, each column chunk compressed.

use std::io;

use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, GzipLevel, ZstdLevel},
    file::properties::WriterProperties,
};
use wasmill_model::{
    Batch, Schema,
    settings::{self, Settings},
};

use super::record::{Records, Text};

/// Rows of a row group.
const ROWS_MAX: usize = 1 << 20;
/// Bytes of a row group, as they will be in the file. This much is held in memory.
const BYTES_MAX: usize = 64 << 20;

/// The keys of the format `parquet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParquetOptions {
    compression: Compression,
}

impl ParquetOptions {
    pub(crate) fn read(settings: &Settings) -> Result<Self, settings::Error> {
        let names = ["zstd", "snappy", "lz4", "gzip", "none"];
        let compression = settings.optional("compression", |s| s.choice(&names))?;
        Ok(Self {
            compression: match compression {
                None | Some(0) => Compression::ZSTD(ZstdLevel::default()),
                Some(1) => Compression::SNAPPY,
                Some(2) => Compression::LZ4_RAW,
                Some(3) => Compression::GZIP(GzipLevel::default()),
                Some(_) => Compression::UNCOMPRESSED,
            },
        })
    }
}

/// Writes to memory, from where the sink takes the bytes row group by row group.
pub(crate) struct ParquetEncoder {
    records: Records,
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetEncoder {
    pub(crate) fn new(options: ParquetOptions, schema: &Schema) -> Self {
        let records = Records::new(schema, Text::Views);
        let properties = WriterProperties::builder()
            .set_compression(options.compression)
            .set_max_row_group_row_count(Some(ROWS_MAX))
            .set_max_row_group_bytes(Some(BYTES_MAX))
            .set_created_by(concat!("wasmill ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        // Parquet's own types say all there is to say; Arrow's would tie readers to the forms of this host.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), records.arrow_schema().clone(), options);
        let writer = writer.expect("Parquet has the six types, and the schema was found to have columns");
        Self { records, writer }
    }

    pub(crate) fn rows(&mut self, batch: &Batch, out: &mut Vec<u8>) -> io::Result<()> {
        for record in self.records.of(batch)? {
            self.writer.write(&record).map_err(io::Error::other)?;
        }
        out.append(self.writer.inner_mut());
        Ok(())
    }

    /// Bytes of the row group that is not handed over yet, as they will be written.
    pub(crate) fn held_bytes(&self) -> usize {
        self.writer.in_progress_size()
    }

    /// Hands over all that is left, and the footer.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.writer.finish().map_err(io::Error::other)?;
        out.append(self.writer.inner_mut());
        Ok(())
    }
}

impl std::fmt::Debug for ParquetEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetEncoder").field("row_groups", &self.writer.flushed_row_groups().len()).finish()
    }
}
