//! The format `lines`: every line is a row of one column, `line`.
//!
//! A `\r` before the line's end is stripped, one only. An empty line is a row with empty text.

use wasmill_model::{Batch, DataType, Field};

use crate::{
    columns::{Column, ROWS_MAX},
    file_source::{
        blocks::Block,
        text::{BadRows, Decoded, Decoder},
    },
    source_columns::SourceColumn,
};

pub(super) struct LinesDecoder {
    /// None if nobody reads it.
    column: Option<Column>,
}

impl LinesDecoder {
    pub(super) fn new(wanted: bool) -> Self {
        let column = SourceColumn::plain(Field::new("line", DataType::Utf8));
        Self { column: wanted.then(|| Column::new(&column)) }
    }
}

impl Decoder for LinesDecoder {
    fn decode(&mut self, block: &mut Block, bad: &mut BadRows) -> Decoded {
        let mut rows = 0;
        let mut used_up = false;
        while rows < ROWS_MAX && !bad.is_full() {
            let line = match block.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    used_up = true;
                    break;
                }
                Err(row) => {
                    bad.push(*row);
                    continue;
                }
            };
            if let Some(column) = &mut self.column {
                let text = &block.bytes[line.start..line.end - 1];
                column.push_text(text.strip_suffix(b"\r").unwrap_or(text), line.start);
            }
            rows += 1;
        }
        let columns = vec![self.column.as_mut().map(|column| column.finish(&block.bytes))];
        Decoded {
            batch: Batch { rows, event_times: None, columns, key_hashes: None, read_at_us: None },
            used_up,
            failed: None,
        }
    }
}
