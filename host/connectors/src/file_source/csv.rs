//! The format `csv`: RFC 4180, with a header unless the table says otherwise.
//!
//! Fields are copied out of the block, without their quotes, into the batch's own text.
//! An empty field is a null for a column that may hold nulls, unless it is utf8: there it is empty text.

use std::mem;

use arrow_buffer::Buffer;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use wasmill_model::{Batch, DataType, Field};

use crate::{
    Error,
    columns::{Column, ROWS_MAX},
    csv_options::CsvOptions,
    file_source::{Decoder, blocks::Block, json_text::shorten},
    number::{Number, rfc3339_ms},
};

/// Bytes of text after which a batch ends.
const BATCH_TEXT_BYTES: usize = 1 << 20;
/// Fields that a header may have.
const HEADER_FIELDS_MAX: usize = 65_536;
/// Bytes to make room for when there is none left.
const TEXT_STEP_BYTES: usize = 64 << 10;

pub(super) struct CsvDecoder {
    core: Reader,
    has_header: bool,
    line_bytes_max: usize,
    /// The names of all columns of the schema.
    names: Vec<String>,
    /// The columns that somebody reads.
    columns: Vec<Column>,
    /// Their places in the schema.
    places: Vec<usize>,
    /// The field of each, once that is known.
    fields: Vec<usize>,
    /// How many fields each row has; none before the header was read.
    width: Option<usize>,
    record: Record,
}

/// The row being read, behind the text of the batch's finished rows.
#[derive(Default)]
struct Record {
    text: Vec<u8>,
    /// Where the row's text starts in `text`, and how far it goes so far.
    start: usize,
    end: usize,
    /// Where its fields end, counted from `start`.
    ends: Vec<usize>,
    fields: usize,
    /// The line it begins in.
    line: u64,
    begun: bool,
}

impl CsvDecoder {
    pub(super) fn new(options: &CsvOptions, fields: &[Field], wanted: &[bool], line_bytes_max: usize) -> Self {
        let places: Vec<usize> = (0..fields.len()).filter(|&place| wanted[place]).collect();
        Self {
            core: ReaderBuilder::new().delimiter(options.delimiter).quote(options.quote).build(),
            has_header: options.header,
            line_bytes_max,
            names: fields.iter().map(|field| field.name.clone()).collect(),
            columns: places.iter().map(|&place| Column::new(&fields[place])).collect(),
            fields: places.clone(),
            places,
            width: None,
            record: Record::default(),
        }
    }

    /// Reads on in the row begun. True: it is complete.
    fn read_record(&mut self, block: &mut Block) -> Result<bool, Error> {
        let record = &mut self.record;
        loop {
            if !record.begun {
                while let Some(b'\r' | b'\n') = block.bytes.get(block.at) {
                    self.core.set_line(self.core.line() + u64::from(block.bytes[block.at] == b'\n'));
                    block.at += 1;
                }
                record.line = self.core.line();
            }
            let input = &block.bytes[block.at..];
            if input.is_empty() {
                return Ok(false);
            }
            record.begun = true;
            let (text, ends) = (&mut record.text[record.end..], &mut record.ends[record.fields..]);
            let (result, read, written, fields) = self.core.read_record(input, text, ends);
            block.at += read;
            record.end += written;
            record.fields += fields;
            if record.end - record.start > self.line_bytes_max {
                let (file, line) = (block.file.to_string(), record.line);
                return Err(Error::LineTooLong { file, line, max: self.line_bytes_max });
            }
            match result {
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(false),
                ReadRecordResult::OutputFull => record.text.resize(2 * record.text.len() + TEXT_STEP_BYTES, 0),
                ReadRecordResult::OutputEndsFull => {
                    let most = self.width.map_or(HEADER_FIELDS_MAX, |width| width + 1);
                    if record.ends.len() >= most {
                        let reason = format!("expected at most {} fields, found more", most - 1);
                        return Err(record.bad(block, None, reason));
                    }
                    record.ends.resize((2 * record.ends.len()).clamp(16, most), 0);
                }
            }
        }
    }

    /// Finds the columns in the header.
    fn read_header(&mut self, block: &Block) -> Result<(), Error> {
        let found: Vec<String> = (0..self.record.fields).map(|field| self.record.field(field).1.to_owned()).collect();
        for (place, name) in self.names.iter().enumerate() {
            let Some(field) = found.iter().position(|f| f == name) else {
                let found = found.iter().map(|name| format!("`{}`", shorten(name))).collect::<Vec<_>>().join(", ");
                return Err(Error::MissingColumn { file: block.file.to_string(), column: name.clone(), found });
            };
            if let Some(i) = self.places.iter().position(|p| *p == place) {
                self.fields[i] = field;
            }
        }
        self.width = Some(found.len());
        Ok(())
    }

    fn read_row(&mut self, block: &Block) -> Result<(), Error> {
        let width = self.width.unwrap_or(self.names.len());
        let record = &self.record;
        if record.fields != width {
            let reason = format!("expected {width} fields, found {}", record.fields);
            return Err(record.bad(block, None, reason));
        }
        for (column, &field) in self.columns.iter_mut().zip(&self.fields) {
            let (offset, text) = record.field(field);
            push(column, text, offset).map_err(|reason| {
                let name = column.field.name.clone();
                record.bad(block, Some(name), reason)
            })?;
        }
        Ok(())
    }

    fn next_row(&mut self, block: &mut Block) -> Result<bool, Error> {
        loop {
            if !self.read_record(block)? {
                return Ok(false);
            }
            let is_header = self.has_header && self.width.is_none();
            if is_header {
                self.read_header(block)?;
            } else {
                self.read_row(block)?;
            }
            self.record.finish();
            if !is_header {
                return Ok(true);
            }
        }
    }
}

impl Record {
    /// A field's text and where it starts in `text`.
    #[inline]
    fn field(&self, field: usize) -> (usize, &str) {
        let start = self.start + if field == 0 { 0 } else { self.ends[field - 1] };
        let bytes = &self.text[start..self.start + self.ends[field]];
        (start, std::str::from_utf8(bytes).expect("blocks are UTF-8, and fields end at ASCII characters"))
    }

    /// The row is done with; its text stays.
    fn finish(&mut self) {
        self.start = self.end;
        self.fields = 0;
        self.begun = false;
    }

    /// Takes the text of all finished rows.
    fn take_text(&mut self) -> Vec<u8> {
        let begun = self.text[self.start..self.end].to_vec();
        let mut text = mem::replace(&mut self.text, begun);
        text.truncate(self.start);
        self.end -= self.start;
        self.start = 0;
        text
    }

    #[cold]
    fn bad(&self, block: &Block, column: Option<String>, reason: String) -> Error {
        Error::BadRow { file: block.file.to_string(), line: self.line, column, reason }
    }
}

/// Reads a field into its column. The error is the reason.
fn push(column: &mut Column, text: &str, offset: usize) -> Result<(), String> {
    let expected = column.field.data_type;
    let wrong = |more: &str| format!("expected {expected}, found \"{}\"{more}", shorten(text));
    if text.is_empty() && column.field.nullable && expected != DataType::Utf8 {
        column.push_null();
        return Ok(());
    }
    match expected {
        DataType::Utf8 => column.push_text(text.as_bytes(), offset),
        DataType::Int64 => column.push_integer(read_integer(text).map_err(|more| wrong(&more))?),
        DataType::Timestamp => {
            let value = match read_integer(text) {
                Ok(value) => value,
                Err(_) => rfc3339_ms(text).ok_or_else(|| wrong(""))?,
            };
            column.push_integer(value);
        }
        DataType::Float64 => column.push_float(text.parse().map_err(|_| wrong(""))?),
        DataType::Boolean => match text {
            "true" => column.push_boolean(true),
            "false" => column.push_boolean(false),
            _ => return Err(wrong("")),
        },
        DataType::Binary => unreachable!("refused when the table was read"),
    }
    Ok(())
}

/// A whole number, leading zeros allowed. The error goes behind the number.
fn read_integer(text: &str) -> Result<i64, String> {
    text.parse().or_else(|_| match Number::scan(text.as_bytes()) {
        Some((number, length)) if length == text.len() => number.integer().map_err(|why| format!(", {why}")),
        _ => Err(String::new()),
    })
}

impl Decoder for CsvDecoder {
    fn begin(&mut self) {
        self.core.reset();
        self.width = None;
        self.record = Record::default();
    }

    fn decode(&mut self, block: &mut Block) -> (Batch, Result<(), Error>) {
        let mut rows = 0;
        let mut result = Ok(());
        while rows < ROWS_MAX && self.record.start < BATCH_TEXT_BYTES {
            match self.next_row(block) {
                Ok(true) => rows += 1,
                Ok(false) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let text = Buffer::from_vec(self.record.take_text());
        let mut columns = vec![None; self.names.len()];
        for (column, &place) in self.columns.iter_mut().zip(&self.places) {
            column.truncate(rows);
            columns[place] = Some(column.finish(&text));
        }
        (Batch { rows, event_times: None, columns, key_hashes: None }, result)
    }

    fn end(&mut self, file: &str) -> Result<(), Error> {
        if self.record.begun {
            let reason = "not CSV: a quoted field is not closed before the end of the file".to_owned();
            return Err(Error::BadRow { file: file.to_owned(), line: self.record.line, column: None, reason });
        }
        Ok(())
    }
}
