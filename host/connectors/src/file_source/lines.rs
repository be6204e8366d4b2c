//! The format `lines`: every line is a row of one column, `line`.
//!
//! A `\r` before the line's end is stripped, one only. An empty line is a row with empty text.

use wasmill_model::{Batch, DataType, Field};

use crate::{
    Error,
    columns::{Column, ROWS_MAX},
    file_source::{Decoder, blocks::Block},
};

pub(super) struct LinesDecoder {
    /// None if nobody reads it.
    column: Option<Column>,
}

impl LinesDecoder {
    pub(super) fn new(wanted: bool) -> Self {
        Self { column: wanted.then(|| Column::new(&Field::new("line", DataType::Utf8))) }
    }
}

impl Decoder for LinesDecoder {
    fn decode(&mut self, block: &mut Block) -> (Batch, Result<(), Error>) {
        let mut rows = 0;
        let mut result = Ok(());
        while rows < ROWS_MAX {
            let line = match block.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            if let Some(column) = &mut self.column {
                let text = &block.bytes[line.start..line.end - 1];
                column.push_text(text.strip_suffix(b"\r").unwrap_or(text), line.start);
            }
            rows += 1;
        }
        let columns = vec![self.column.as_mut().map(|column| column.finish(&block.bytes))];
        (Batch { rows, event_times: None, columns, key_hashes: None }, result)
    }
}
