//! The format `json`: one object a line, its keys in any order.
//!
//! Objects of one file mostly have the same keys in the same order, so the decoder remembers the keys it met, in their
//! order, and first looks whether the next key is the one that followed last time.

use std::collections::HashMap;

use wasmill_model::{Batch, DataType, Field};

use crate::{
    Error,
    columns::{Column, ROWS_MAX},
    file_source::{
        Decoder,
        blocks::Block,
        json_text::{Cursor, Fault, shorten, unescape},
    },
    number::rfc3339_ms,
};

/// Keys to remember at most; others are looked up each time.
const LAYOUT_KEYS_MAX: usize = 64;

pub(super) struct JsonDecoder {
    /// Number of columns of the schema.
    width: usize,
    /// The columns that somebody reads.
    columns: Vec<Column>,
    /// Their places in the schema.
    places: Vec<usize>,
    by_name: HashMap<Box<[u8]>, usize>,
    layout: Vec<Key>,
    nesting: Vec<bool>,
    key_text: Vec<u8>,
    replace_surrogates: bool,
}

/// A key met before.
struct Key {
    /// As written, with the closing quote.
    text: Box<[u8]>,
    /// Its place in `columns`, if it is one that is read.
    column: Option<usize>,
}

impl JsonDecoder {
    /// `replace_surrogates`: whether `\ud800` without its other half becomes U+FFFD.
    pub(super) fn new(fields: &[Field], wanted: &[bool], replace_surrogates: bool) -> Self {
        let places: Vec<usize> = (0..fields.len()).filter(|&place| wanted[place]).collect();
        let name = |(i, &place): (usize, &usize)| (fields[place].name.as_bytes().into(), i);
        Self {
            width: fields.len(),
            columns: places.iter().map(|&place| Column::new(&fields[place])).collect(),
            by_name: places.iter().enumerate().map(name).collect(),
            places,
            layout: Vec::new(),
            nesting: Vec::new(),
            key_text: Vec::new(),
            replace_surrogates,
        }
    }

    /// Reads a line as row number `row`. False: there is none, the line is blank.
    fn read_row(&mut self, line: &[u8], offset: usize, row: usize) -> Result<bool, Fault> {
        let mut cursor = Cursor { line, at: 0 };
        cursor.skip_space();
        if !cursor.pass(b'{') {
            if cursor.peek() == b'\n' {
                return Ok(false);
            }
            return Err(Fault { column: None, reason: format!("expected an object, found {}", cursor.describe()) });
        }
        let mut filled = 0;
        let mut predicted = 0;
        cursor.skip_space();
        if !cursor.pass(b'}') {
            loop {
                cursor.skip_space();
                cursor.expect(b'"')?;
                let column = self.read_key(&mut cursor, &mut predicted)?;
                cursor.skip_space();
                cursor.expect(b':')?;
                cursor.skip_space();
                match column {
                    Some(column) => filled += self.read_value(&mut cursor, column, offset, row)?,
                    None => cursor.skip_value(&mut self.nesting)?,
                }
                cursor.skip_space();
                if !cursor.pass(b',') {
                    break;
                }
            }
            if !cursor.pass(b'}') {
                return Err(cursor.expected("`,` or `}`"));
            }
        }
        cursor.skip_space();
        if cursor.peek() != b'\n' {
            return Err(cursor.expected("the end of the line"));
        }
        if filled < self.columns.len() {
            self.fill_missing(row)?;
        }
        Ok(true)
    }

    /// Passes a key whose opening quote was passed; returns the column it names, if that is read.
    #[inline]
    fn read_key(&mut self, cursor: &mut Cursor, predicted: &mut usize) -> Result<Option<usize>, Fault> {
        if let Some(key) = self.layout.get(*predicted)
            && cursor.pass_word(&key.text)
        {
            *predicted += 1;
            return Ok(key.column);
        }
        self.find_key(cursor, predicted)
    }

    fn find_key(&mut self, cursor: &mut Cursor, predicted: &mut usize) -> Result<Option<usize>, Fault> {
        let start = cursor.at;
        let quoted = cursor.string()?;
        let text = &cursor.line[start..cursor.at];
        let after = (*predicted).min(self.layout.len());
        let found = self.layout[after..].iter().position(|key| *key.text == *text).map(|i| i + after);
        if let Some(place) = found.or_else(|| self.layout[..after].iter().position(|key| *key.text == *text)) {
            *predicted = place + 1;
            return Ok(self.layout[place].column);
        }
        self.key_text.clear();
        // A key with half a surrogate pair names no column.
        let named = unescape(&cursor.line[quoted.start..quoted.end], false, &mut self.key_text).is_ok();
        let column = self.by_name.get(self.key_text.as_slice()).copied().filter(|_| named);
        if self.layout.len() < LAYOUT_KEYS_MAX {
            self.layout.insert(after, Key { text: text.into(), column });
            *predicted = after + 1;
        }
        Ok(column)
    }

    /// Reads a value into a column. Returns 1 if it is the column's first in this row, else 0.
    #[inline]
    fn read_value(&mut self, cursor: &mut Cursor, place: usize, offset: usize, row: usize) -> Result<usize, Fault> {
        let column = &mut self.columns[place];
        let first = column.len() == row;
        if !first {
            column.truncate(row);
        }
        let replace = self.replace_surrogates;
        read_into(cursor, column, offset, replace).map_err(|fault| Fault { column: Some(place), ..fault })?;
        Ok(usize::from(first))
    }

    /// Gives the columns that the row did not mention a null.
    fn fill_missing(&mut self, row: usize) -> Result<(), Fault> {
        for (place, column) in self.columns.iter_mut().enumerate() {
            if column.len() > row {
                continue;
            }
            if !column.field.nullable {
                let reason = format!("expected {}, found no such key", column.field.data_type);
                return Err(Fault { column: Some(place), reason });
            }
            column.push_null();
        }
        Ok(())
    }
}

/// Reads the value that stands at the cursor, which must be one of the column's type.
#[inline]
fn read_into(cursor: &mut Cursor, column: &mut Column, offset: usize, replace: bool) -> Result<(), Fault> {
    let start = *cursor;
    match (column.field.data_type, cursor.peek()) {
        (DataType::Utf8, b'"') => {
            cursor.at += 1;
            let quoted = cursor.string()?;
            let raw = &cursor.line[quoted.start..quoted.end];
            if !quoted.escaped {
                column.push_text(raw, offset + quoted.start);
                return Ok(());
            }
            let pushed = column.push_unescaped(|out| unescape(raw, replace, out));
            pushed.map_err(|what| fault(format!("expected utf8, found {what}")))
        }
        (DataType::Int64 | DataType::Timestamp, b'-' | b'0'..=b'9') => {
            let number = cursor.number()?;
            let value = number.integer().map_err(|why| {
                fault(format!("expected {}, found {}, {why}", column.field.data_type, shorten(number.text)))
            })?;
            column.push_integer(value);
            Ok(())
        }
        (DataType::Float64, b'-' | b'0'..=b'9') => {
            let number = cursor.number()?;
            let value = number.float().ok_or_else(|| {
                fault(format!("expected float64, found {}, which is out of range", shorten(number.text)))
            })?;
            column.push_float(value);
            Ok(())
        }
        (DataType::Timestamp, b'"') => {
            cursor.at += 1;
            let quoted = cursor.string()?;
            let text = std::str::from_utf8(&cursor.line[quoted.start..quoted.end]).expect("blocks are UTF-8");
            let value = rfc3339_ms(text).filter(|_| !quoted.escaped).ok_or_else(|| {
                let found = start.describe();
                fault(format!("expected timestamp, as ms since the epoch or as in RFC 3339, found {found}"))
            })?;
            column.push_integer(value);
            Ok(())
        }
        (DataType::Boolean, b't') if cursor.pass_word(b"true") => {
            column.push_boolean(true);
            Ok(())
        }
        (DataType::Boolean, b'f') if cursor.pass_word(b"false") => {
            column.push_boolean(false);
            Ok(())
        }
        (_, b'n') if cursor.pass_word(b"null") && column.field.nullable => {
            column.push_null();
            Ok(())
        }
        (expected, _) => Err(fault(format!("expected {expected}, found {}", start.describe()))),
    }
}

fn fault(reason: String) -> Fault {
    Fault { column: None, reason }
}

impl Decoder for JsonDecoder {
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
            match self.read_row(&block.bytes[line.clone()], line.start, rows) {
                Ok(is_row) => rows += usize::from(is_row),
                Err(Fault { column, reason }) => {
                    let (file, line) = (block.file.to_string(), block.line - 1);
                    let column = column.map(|place| self.columns[place].field.name.clone());
                    result = Err(Error::BadRow { file, line, column, reason });
                    break;
                }
            }
        }
        let mut columns = vec![None; self.width];
        for (column, &place) in self.columns.iter_mut().zip(&self.places) {
            column.truncate(rows);
            columns[place] = Some(column.finish(&block.bytes));
        }
        (Batch { rows, event_times: None, columns, key_hashes: None }, result)
    }
}
