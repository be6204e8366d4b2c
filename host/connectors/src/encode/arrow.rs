//! Arrow IPC: a file, which can be read from any place, or a stream, which can be read while it is written.

use std::io;

use arrow_array::RecordBatch;
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use arrow_select::concat::concat_batches;
use wasmill_model::{
    Batch, Schema,
    settings::{self, Settings},
};

use super::record::{Records, Text};

/// Rows of a record batch that is written.
const ROWS_MAX: usize = 65_536;
/// Bytes of a record batch that is written, unless one batch has more.
const BYTES_MAX: usize = 8 << 20;

/// What follows the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    File,
    Stream,
}

/// The keys of the format `arrow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArrowOptions {
    compression: Option<CompressionType>,
}

impl ArrowOptions {
    pub(crate) fn read(settings: &Settings) -> Result<Self, settings::Error> {
        let compression = settings.optional("compression", |s| s.choice(&["none", "lz4", "zstd"]))?;
        Ok(Self {
            compression: match compression {
                None | Some(0) => None,
                Some(1) => Some(CompressionType::LZ4_FRAME),
                Some(_) => Some(CompressionType::ZSTD),
            },
        })
    }
}

/// Gathers rows to record batches worth writing.
pub(crate) struct ArrowEncoder {
    records: Records,
    writer: Writer,
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    gathered_bytes: usize,
}

/// Both write to memory, from where the sink takes the bytes.
enum Writer {
    File(Box<FileWriter<Vec<u8>>>),
    Stream(Box<StreamWriter<Vec<u8>>>),
}

impl ArrowEncoder {
    pub(crate) fn new(options: ArrowOptions, schema: &Schema, container: Container) -> Self {
        let records = Records::new(schema, Text::Offsets);
        let write = IpcWriteOptions::default().try_with_compression(options.compression);
        let write = write.expect("the default is of a version that can be compressed");
        let schema = records.arrow_schema();
        let opened = match container {
            Container::File => {
                FileWriter::try_new_with_options(Vec::new(), schema, write).map(|writer| Writer::File(Box::new(writer)))
            }
            Container::Stream => StreamWriter::try_new_with_options(Vec::new(), schema, write)
                .map(|writer| Writer::Stream(Box::new(writer))),
        };
        let writer = opened.expect("memory takes the schema of six plain types");
        Self { records, writer, gathered: Vec::new(), gathered_rows: 0, gathered_bytes: 0 }
    }

    /// Hands over what stands before the first row.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(self.written());
    }

    pub(crate) fn rows(&mut self, batch: &Batch, out: &mut Vec<u8>) -> io::Result<()> {
        for record in self.records.of(batch)? {
            let bytes = record.get_array_memory_size();
            if self.gathered_bytes + bytes > BYTES_MAX {
                self.flush(out)?;
            }
            self.gathered_rows += record.num_rows();
            self.gathered_bytes += bytes;
            self.gathered.push(record);
            if self.gathered_rows >= ROWS_MAX {
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Bytes that are gathered and not handed over.
    pub(crate) fn held_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// Hands over all rows so far.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let joined = concat_batches(self.records.arrow_schema(), &self.gathered).map_err(io::Error::other)?;
        self.gathered.clear();
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        let written = match &mut self.writer {
            Writer::File(writer) => writer.write(&joined),
            Writer::Stream(writer) => writer.write(&joined),
        };
        written.map_err(io::Error::other)?;
        out.append(self.written());
        Ok(())
    }

    /// Hands over all that is left, and the end.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.flush(out)?;
        let finished = match &mut self.writer {
            Writer::File(writer) => writer.finish(),
            Writer::Stream(writer) => writer.finish(),
        };
        finished.map_err(io::Error::other)?;
        out.append(self.written());
        Ok(())
    }

    /// What the writer has put into memory. It counts by itself where in the file that is.
    fn written(&mut self) -> &mut Vec<u8> {
        match &mut self.writer {
            Writer::File(writer) => writer.get_mut(),
            Writer::Stream(writer) => writer.get_mut(),
        }
    }
}

impl std::fmt::Debug for ArrowEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrowEncoder").field("gathered_rows", &self.gathered_rows).finish_non_exhaustive()
    }
}
