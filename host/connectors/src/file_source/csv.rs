//! The format `csv`: RFC 4180, with a header unless the table says otherwise.
//!
//! Fields are copied out of the block, without their quotes, into the batch's own text.
//! An empty field is a null for a column that may hold nulls, unless it is utf8: there it is empty text.

use std::mem;

use arrow_buffer::Buffer;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use wasmill_model::{Batch, DataType, fault::Code};

use crate::{
    BadRow, Error,
    bad_row::{TEXT_BYTES_MAX, kept_text},
    columns::{Column, ROWS_MAX},
    csv_options::CsvOptions,
    file_source::{
        blocks::{Block, INVALID_UTF8_HINT},
        json_text::shorten,
        text::{BadRows, Decoded, Decoder},
    },
    number::{Number, rfc3339_ms},
    source_columns::SourceColumn,
};

/// Bytes of text after which a batch ends.
const BATCH_TEXT_BYTES: usize = 1 << 20;
/// Fields that a header may have.
const HEADER_FIELDS_MAX: usize = 65_536;
/// Bytes to make room for when there is none left.
const TEXT_STEP_BYTES: usize = 64 << 10;

/// Fields beyond those of the first row are counted, and not kept.
const FIELDS_SPARE: usize = 1;

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
    /// The names of all fields of a row, once the header was read.
    header: Option<Vec<String>>,
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
    /// Fields that found no room in `ends`.
    fields_beyond: usize,
    /// The line it begins in.
    line: u64,
    begun: bool,
    /// Where it begins in the block, or where the block begins.
    raw_start: usize,
    /// What stands of it in earlier blocks.
    raw: Vec<u8>,
}

/// What is wrong with a row.
struct Wrong {
    column: Option<String>,
    reason: String,
    hint: Option<&'static str>,
}

impl CsvDecoder {
    pub(super) fn new(options: &CsvOptions, columns: &[SourceColumn], wanted: &[bool], line_bytes_max: usize) -> Self {
        let places: Vec<usize> = (0..columns.len()).filter(|&place| wanted[place]).collect();
        let names: Vec<String> = columns.iter().map(|column| column.field.name.clone()).collect();
        Self {
            core: ReaderBuilder::new().delimiter(options.delimiter).quote(options.quote).build(),
            has_header: options.header,
            line_bytes_max,
            names,
            columns: places.iter().map(|&place| Column::new(&columns[place])).collect(),
            fields: places.clone(),
            places,
            header: None,
            record: Record::default(),
        }
    }

    /// Reads on in the row begun. True: it is complete.
    fn read_record(&mut self, block: &mut Block) -> Result<bool, Error> {
        let record = &mut self.record;
        record.raw_start = block.at;
        loop {
            if !record.begun {
                while let Some(b'\r' | b'\n') = block.bytes.get(block.at) {
                    self.core.set_line(self.core.line() + u64::from(block.bytes[block.at] == b'\n'));
                    block.at += 1;
                }
                record.line = self.core.line();
                record.raw_start = block.at;
            }
            let input = &block.bytes[block.at..];
            if input.is_empty() {
                if record.begun {
                    let room = TEXT_BYTES_MAX.saturating_sub(record.raw.len());
                    let raw = &block.bytes[record.raw_start..];
                    record.raw.extend_from_slice(&raw[..raw.len().min(room)]);
                }
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
                return Err(Error::RowTooLong { file, line, max: self.line_bytes_max });
            }
            match result {
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                ReadRecordResult::OutputFull => record.text.resize(2 * record.text.len() + TEXT_STEP_BYTES, 0),
                ReadRecordResult::OutputEndsFull => {
                    let header = self.header.as_ref();
                    let most = header.map_or(HEADER_FIELDS_MAX, |header| header.len() + FIELDS_SPARE);
                    if record.ends.len() < most {
                        record.ends.resize((2 * record.ends.len()).clamp(16, most), 0);
                    } else {
                        record.fields -= FIELDS_SPARE;
                        record.fields_beyond += FIELDS_SPARE;
                    }
                }
            }
        }
    }

    /// Finds the columns in the header.
    fn read_header(&mut self, block: &Block) -> Result<(), Error> {
        if self.record.fields_beyond > 0 {
            let reason = format!("its header has more than {HEADER_FIELDS_MAX} columns");
            return Err(Error::Columns { file: block.file.to_string(), reason, hint: None });
        }
        let name = |field| String::from_utf8_lossy(self.record.field(field).1).into_owned();
        let found: Vec<String> = (0..self.record.fields).map(name).collect();
        for (place, name) in self.names.iter().enumerate() {
            let Some(field) = found.iter().position(|f| f == name) else {
                let found = found.iter().map(|name| format!("`{}`", shorten(name))).collect::<Vec<_>>().join(", ");
                return Err(Error::MissingColumn { file: block.file.to_string(), column: name.clone(), found });
            };
            if let Some(i) = self.places.iter().position(|p| *p == place) {
                self.fields[i] = field;
            }
        }
        self.header = Some(found);
        Ok(())
    }

    fn read_row(&mut self) -> Result<(), Wrong> {
        let names = self.header.as_ref().unwrap_or(&self.names);
        let record = &self.record;
        let found = record.fields + record.fields_beyond;
        if found != names.len() {
            let reason = format!("expected {} fields, found {found}", names.len());
            return Err(Wrong { column: names.get(found).cloned(), reason, hint: None });
        }
        let whole = std::str::from_utf8(&record.text[record.start..record.end]).ok();
        for (column, &field) in self.columns.iter_mut().zip(&self.fields) {
            let (offset, bytes) = record.field(field);
            // In the text of a whole row two halves of a character may meet that are none in their fields.
            let text = match whole.and_then(|whole| whole.get(offset - record.start..)?.get(..bytes.len())) {
                Some(text) => Ok(text),
                None => std::str::from_utf8(bytes),
            };
            let pushed = match text {
                Ok(text) => push(column, text, offset).map_err(|reason| (reason, None)),
                Err(error) => {
                    let reason = format!("byte {} of the field is not UTF-8", error.valid_up_to() + 1);
                    Err((reason, Some(INVALID_UTF8_HINT)))
                }
            };
            pushed.map_err(|(reason, hint)| Wrong { column: Some(column.field.name.clone()), reason, hint })?;
        }
        Ok(())
    }
}

impl Record {
    /// A field's text and where it starts in `text`.
    #[inline]
    fn field(&self, field: usize) -> (usize, &[u8]) {
        let start = self.start + if field == 0 { 0 } else { self.ends[field - 1] };
        (start, &self.text[start..self.start + self.ends[field]])
    }

    /// The row is done with; its text stays.
    fn finish(&mut self) {
        self.start = self.end;
        self.fields = 0;
        self.fields_beyond = 0;
        self.begun = false;
        self.raw.clear();
    }

    /// The row is done with, and not wanted.
    fn discard(&mut self) {
        self.end = self.start;
        self.finish();
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
    fn bad(&self, block: &Block, wrong: Wrong) -> BadRow {
        let Wrong { column, reason, hint } = wrong;
        let code = if hint.is_some() { Code::RowNotUtf8 } else { Code::BadRow };
        let text = kept_text(&[&self.raw, &block.bytes[self.raw_start..block.at]].concat());
        BadRow { code, file: block.file.to_string(), line: self.line, column, reason, hint, text }
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
            let value = match Number::scan(text.as_bytes()) {
                Some((number, length)) if length == text.len() => {
                    number.time_ms(column.unit).map_err(|why| wrong(&format!(", {why}")))?
                }
                _ => rfc3339_ms(text).ok_or_else(|| wrong(""))?,
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
        self.header = None;
        self.record = Record::default();
    }

    fn decode(&mut self, block: &mut Block, bad: &mut BadRows) -> Decoded {
        let mut rows = 0;
        let mut used_up = false;
        let mut failed = None;
        while rows < ROWS_MAX && self.record.start < BATCH_TEXT_BYTES && !bad.is_full() {
            let is_header = self.has_header && self.header.is_none();
            match self.read_record(block) {
                Ok(true) if is_header => {
                    failed = self.read_header(block).err();
                    self.record.discard();
                }
                Ok(true) => match self.read_row() {
                    Ok(()) => {
                        self.record.finish();
                        rows += 1;
                    }
                    Err(wrong) => {
                        self.columns.iter_mut().for_each(|column| column.truncate(rows));
                        bad.push(self.record.bad(block, wrong));
                        self.record.discard();
                    }
                },
                Ok(false) => used_up = true,
                Err(error) => failed = Some(error),
            }
            if used_up || failed.is_some() {
                break;
            }
        }
        let text = Buffer::from_vec(self.record.take_text());
        let mut columns = vec![None; self.names.len()];
        for (column, &place) in self.columns.iter_mut().zip(&self.places) {
            columns[place] = Some(column.finish(&text));
        }
        Decoded {
            batch: Batch { rows, event_times: None, columns, key_hashes: None, read_at_us: None },
            used_up,
            failed,
        }
    }

    fn end(&mut self, file: &str) -> Result<(), Error> {
        match self.record.begun {
            true => Err(Error::OpenQuote { file: file.to_owned(), line: self.record.line }),
            false => Ok(()),
        }
    }
}
