//! CSV as in RFC 4180, but that lines end in `\n`: one header line unless it is switched off.
//!
//! A field is quoted if it has a delimiter, a quote or a line end in it. A null is an empty field. A timestamp is a
//! whole number of milliseconds; a float64 is written so that reading it gives the same value, also NaN and infinities.

use wasmill_model::{Batch, Schema};

use crate::{csv_options::CsvOptions, encode::Cells};

#[derive(Debug)]
pub(crate) struct CsvEncoder {
    options: CsvOptions,
    schema: Schema,
}

impl CsvEncoder {
    pub(crate) fn new(options: CsvOptions, schema: &Schema) -> Self {
        Self { options, schema: schema.clone() }
    }

    pub(crate) fn header(&self, out: &mut Vec<u8>) {
        if !self.options.header {
            return;
        }
        for (place, name) in self.schema.names().enumerate() {
            if place > 0 {
                out.push(self.options.delimiter);
            }
            self.push_text(name, out);
        }
        out.push(b'\n');
    }

    pub(crate) fn rows(&self, batch: &Batch, out: &mut Vec<u8>) {
        let columns = Cells::of(batch, &self.schema);
        let (mut integers, mut floats) = (itoa::Buffer::new(), ryu::Buffer::new());
        for row in 0..batch.rows {
            let start = out.len();
            for (place, cells) in columns.iter().enumerate() {
                if place > 0 {
                    out.push(self.options.delimiter);
                }
                match cells {
                    cells if cells.is_null(row) => {}
                    Cells::Integers(array) => out.extend_from_slice(integers.format(array.value(row)).as_bytes()),
                    Cells::Floats(array) => out.extend_from_slice(floats.format(array.value(row)).as_bytes()),
                    Cells::Booleans(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
                    Cells::Text(array) => self.push_text(array.value(row), out),
                }
            }
            if out.len() == start {
                // A line with nothing on it would be no row to whoever reads it.
                out.extend_from_slice(&[self.options.quote; 2]);
            }
            out.push(b'\n');
        }
    }

    fn push_text(&self, text: &str, out: &mut Vec<u8>) {
        let CsvOptions { delimiter, quote, .. } = self.options;
        let needs_quotes = |byte: &u8| *byte == delimiter || *byte == quote || matches!(byte, b'\r' | b'\n');
        if !text.as_bytes().iter().any(needs_quotes) {
            return out.extend_from_slice(text.as_bytes());
        }
        out.push(quote);
        for byte in text.bytes() {
            if byte == quote {
                out.push(quote);
            }
            out.push(byte);
        }
        out.push(quote);
    }
}
