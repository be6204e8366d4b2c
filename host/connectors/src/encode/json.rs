//! One JSON object a line, keys in schema order, nothing left out: a null is written as `null`.
//!
//! A timestamp is a whole number of milliseconds; a float64 has as many digits as it takes to read the same value back,
//! and one that JSON cannot hold (NaN, infinities) is `null`.

use wasmill_model::{Batch, Schema};

use crate::encode::Cells;

#[derive(Debug)]
pub(crate) struct JsonEncoder {
    schema: Schema,
    /// What stands before the value of each column: `{"name":` or `,"name":`.
    leads: Vec<Vec<u8>>,
}

impl JsonEncoder {
    pub(crate) fn new(schema: &Schema) -> Self {
        let lead = |(place, name): (usize, &str)| {
            let mut lead = vec![if place == 0 { b'{' } else { b',' }];
            push_string(name, &mut lead);
            lead.push(b':');
            lead
        };
        Self { schema: schema.clone(), leads: schema.names().enumerate().map(lead).collect() }
    }

    pub(crate) fn rows(&self, batch: &Batch, out: &mut Vec<u8>) {
        let columns = Cells::of(batch, &self.schema);
        let close: &[u8] = if columns.is_empty() { b"{}\n" } else { b"}\n" };
        let (mut integers, mut floats) = (itoa::Buffer::new(), ryu::Buffer::new());
        for row in 0..batch.rows {
            for (lead, cells) in self.leads.iter().zip(&columns) {
                out.extend_from_slice(lead);
                match cells {
                    cells if cells.is_null(row) => out.extend_from_slice(b"null"),
                    Cells::Integers(array) => out.extend_from_slice(integers.format(array.value(row)).as_bytes()),
                    Cells::Floats(array) if array.value(row).is_finite() => {
                        out.extend_from_slice(floats.format_finite(array.value(row)).as_bytes());
                    }
                    Cells::Floats(_) => out.extend_from_slice(b"null"),
                    Cells::Booleans(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
                    Cells::Text(array) => push_string(array.value(row), out),
                }
            }
            out.extend_from_slice(close);
        }
    }
}

/// What to write for a byte inside a string: 0 itself, `u` as `\u00XX`, else the letter behind the backslash.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x0c] = b'f';
    escapes[b'\n' as usize] = b'n';
    escapes[b'\r' as usize] = b'r';
    escapes[b'\t' as usize] = b't';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

fn push_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(plain) = rest.iter().position(|byte| ESCAPES[*byte as usize] != 0) {
        out.extend_from_slice(&rest[..plain]);
        let byte = rest[plain];
        match ESCAPES[byte as usize] {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = &rest[plain + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
