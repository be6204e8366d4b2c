//! Arrow IPC: the file format, known by its first bytes, and the stream format.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
};

use arrow_ipc::reader::{FileReaderBuilder, StreamReader};
use arrow_schema::SchemaRef;

use crate::file_source::columnar::Batches;

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

const FILE_MAGIC: &[u8] = b"ARROW1";

/// An Arrow file whose schema was read.
pub(crate) struct ArrowFile {
    input: Input,
    schema: SchemaRef,
}

enum Input {
    /// In the file format, whose record batches are listed at its end.
    File(File),
    /// In the stream format.
    Stream(File),
    /// A stream that cannot be begun once more.
    Live(StreamReader<BufReader<io::Stdin>>),
}

impl ArrowFile {
    pub(super) fn open(mut file: File) -> Result<Self, String> {
        let mut head = Vec::new();
        file.by_ref().take(FILE_MAGIC.len() as u64).read_to_end(&mut head).map_err(|e| e.to_string())?;
        file.rewind().map_err(|e| e.to_string())?;
        let schema = match head == FILE_MAGIC {
            true => FileReaderBuilder::new().build(&file).map(|reader| reader.schema()),
            false => StreamReader::try_new(BufReader::new(&file), None).map(|reader| reader.schema()),
        };
        let schema = schema.map_err(|e| e.to_string())?;
        file.rewind().map_err(|e| e.to_string())?;
        Ok(Self { input: if head == FILE_MAGIC { Input::File(file) } else { Input::Stream(file) }, schema })
    }

    /// Standard input, which must be in the stream format.
    pub(super) fn open_standard_input() -> Result<Self, String> {
        let input = BufReader::with_capacity(READ_BYTES, io::stdin());
        let reader = StreamReader::try_new(input, None).map_err(|e| e.to_string())?;
        Ok(Self { schema: reader.schema(), input: Input::Live(reader) })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The rows, of these columns only, a record batch of the file at a time.
    pub(super) fn read(self, columns: Vec<usize>) -> Result<Batches, String> {
        let buffered = |file| BufReader::with_capacity(READ_BYTES, file);
        Ok(match self.input {
            Input::File(file) => {
                let reader = FileReaderBuilder::new().with_projection(columns).build(buffered(file));
                Box::new(reader.map_err(|e| e.to_string())?)
            }
            Input::Stream(file) => {
                Box::new(StreamReader::try_new(buffered(file), Some(columns)).map_err(|e| e.to_string())?)
            }
            Input::Live(reader) => Box::new(reader.map(move |batch| batch.and_then(|batch| batch.project(&columns)))),
        })
    }
}
