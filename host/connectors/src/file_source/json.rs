//! The format `json`: one object a line, its keys in any order.
//!
//! Objects of one file mostly have the same keys in the same order, so the decoder remembers the keys it met, in their
//! order, and first looks whether the next key is the one that followed last time. A column may lie deeper, at a path: the
//! objects and arrays on the way are *nodes*, each with its own memory of keys.

use std::collections::HashMap;

use wasmill_model::{Batch, DataType};

use crate::{
    columns::{Column, ROWS_MAX},
    file_source::{
        blocks::Block,
        json_text::{Cursor, Fault, shorten, unescape},
        text::{BadRows, Decoded, Decoder},
    },
    number::rfc3339_ms,
    source_columns::{SourceColumn, Step},
};

/// Keys of an object to remember at most; others are looked up each time.
const LAYOUT_KEYS_MAX: usize = 64;

/// The row itself, among the nodes.
const ROW: usize = 0;

pub(super) struct JsonDecoder {
    /// Number of columns of the schema.
    width: usize,
    /// The columns that somebody reads.
    columns: Vec<Column>,
    /// Their places in the schema.
    places: Vec<usize>,
    /// The objects and arrays in which columns lie. The first is the row.
    nodes: Vec<Node>,
    several: Vec<Several>,
    /// Columns that have a value in the row being read.
    filled: usize,
    nesting: Vec<bool>,
    key_text: Vec<u8>,
    replace_surrogates: bool,
}

/// An object or an array.
#[derive(Default)]
struct Node {
    by_name: HashMap<Box<[u8]>, Target>,
    by_place: Vec<(usize, Target)>,
    /// The keys met so far, in their order.
    layout: Vec<Key>,
    /// All columns that lie in it.
    columns: Vec<usize>,
}

/// A key met before.
struct Key {
    /// As written, with the closing quote.
    text: Box<[u8]>,
    target: Target,
}

/// Who reads a value.
#[derive(Clone, Copy)]
enum Target {
    Nobody,
    /// The column of this place in `columns`.
    Column(usize),
    /// Its place in `several`.
    Several(usize),
}

/// Columns that read the same value, and the node it is to columns that lie inside.
#[derive(Default)]
struct Several {
    columns: Vec<usize>,
    inside: Option<usize>,
}

impl JsonDecoder {
    /// `replace_surrogates`: whether `\ud800` without its other half becomes U+FFFD.
    pub(super) fn new(columns: &[SourceColumn], wanted: &[bool], replace_surrogates: bool) -> Self {
        let places: Vec<usize> = (0..columns.len()).filter(|&place| wanted[place]).collect();
        let mut decoder = Self {
            width: columns.len(),
            columns: places.iter().map(|&place| Column::new(&columns[place])).collect(),
            nodes: vec![Node::default()],
            several: Vec::new(),
            filled: 0,
            nesting: Vec::new(),
            key_text: Vec::new(),
            replace_surrogates,
            places,
        };
        for place in 0..decoder.places.len() {
            let column = &columns[decoder.places[place]];
            let own_name = [Step::Key(column.field.name.clone())];
            decoder.plant(column.path.as_deref().unwrap_or(&own_name), place);
        }
        decoder
    }

    /// Finds a place in the nodes for a column.
    fn plant(&mut self, path: &[Step], column: usize) {
        let mut node = ROW;
        for (depth, step) in path.iter().enumerate() {
            self.nodes[node].columns.push(column);
            let is_last = depth + 1 == path.len();
            let several = match self.target(node, step) {
                Target::Several(several) => several,
                Target::Nobody if is_last => return self.aim(node, step, Target::Column(column)),
                other => {
                    let columns = if let Target::Column(column) = other { vec![column] } else { Vec::new() };
                    self.several.push(Several { columns, inside: None });
                    self.aim(node, step, Target::Several(self.several.len() - 1));
                    self.several.len() - 1
                }
            };
            if is_last {
                return self.several[several].columns.push(column);
            }
            let next = self.nodes.len();
            node = *self.several[several].inside.get_or_insert(next);
            if node == next {
                self.nodes.push(Node::default());
            }
        }
    }

    fn target(&self, node: usize, step: &Step) -> Target {
        let node = &self.nodes[node];
        let found = match step {
            Step::Key(name) => node.by_name.get(name.as_bytes()).copied(),
            Step::Item(place) => node.by_place.iter().find(|(p, _)| p == place).map(|(_, target)| *target),
        };
        found.unwrap_or(Target::Nobody)
    }

    fn aim(&mut self, node: usize, step: &Step, target: Target) {
        let node = &mut self.nodes[node];
        let name = match step {
            Step::Key(name) => name.clone(),
            Step::Item(place) => {
                node.by_place.retain(|(p, _)| p != place);
                node.by_place.push((*place, target));
                place.to_string()
            }
        };
        node.by_name.insert(name.into_bytes().into(), target);
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
        self.filled = 0;
        self.read_members(&mut cursor, ROW, Place { offset, row })?;
        cursor.skip_space();
        if cursor.peek() != b'\n' {
            return Err(cursor.expected("the end of the line"));
        }
        if self.filled < self.columns.len() {
            self.fill_missing(row)?;
        }
        Ok(true)
    }

    /// Passes an object whose opening brace was passed.
    fn read_members(&mut self, cursor: &mut Cursor, node: usize, place: Place) -> Result<(), Fault> {
        let mut predicted = 0;
        cursor.skip_space();
        if cursor.pass(b'}') {
            return Ok(());
        }
        loop {
            cursor.skip_space();
            cursor.expect(b'"')?;
            let target = self.read_key(cursor, node, &mut predicted)?;
            cursor.skip_space();
            cursor.expect(b':')?;
            cursor.skip_space();
            self.read_target(cursor, target, place)?;
            cursor.skip_space();
            if !cursor.pass(b',') {
                break;
            }
        }
        if cursor.pass(b'}') { Ok(()) } else { Err(cursor.expected("`,` or `}`")) }
    }

    /// Passes an array, at its bracket.
    fn read_elements(&mut self, cursor: &mut Cursor, node: usize, place: Place) -> Result<(), Fault> {
        cursor.at += 1;
        cursor.skip_space();
        if cursor.pass(b']') {
            return Ok(());
        }
        for element in 0.. {
            cursor.skip_space();
            let target = self.target(node, &Step::Item(element));
            self.read_target(cursor, target, place)?;
            cursor.skip_space();
            if !cursor.pass(b',') {
                break;
            }
        }
        if cursor.pass(b']') { Ok(()) } else { Err(cursor.expected("`,` or `]`")) }
    }

    #[inline]
    fn read_target(&mut self, cursor: &mut Cursor, target: Target, place: Place) -> Result<(), Fault> {
        match target {
            Target::Column(column) => self.read_value(cursor, column, place),
            Target::Nobody => cursor.skip_value(&mut self.nesting),
            Target::Several(several) => self.read_several(cursor, several, place),
        }
    }

    fn read_several(&mut self, cursor: &mut Cursor, several: usize, place: Place) -> Result<(), Fault> {
        let start = *cursor;
        for i in 0..self.several[several].columns.len() {
            *cursor = start;
            self.read_value(cursor, self.several[several].columns[i], place)?;
        }
        let Some(node) = self.several[several].inside else { return Ok(()) };
        *cursor = start;
        // Of several values at one path the last counts, and all that lies in it.
        for &column in &self.nodes[node].columns {
            if self.columns[column].len() > place.row {
                self.columns[column].truncate(place.row);
                self.filled -= 1;
            }
        }
        match cursor.peek() {
            b'{' => {
                cursor.at += 1;
                self.read_members(cursor, node, place)
            }
            b'[' if !self.nodes[node].by_place.is_empty() => self.read_elements(cursor, node, place),
            _ => cursor.skip_value(&mut self.nesting),
        }
    }

    /// Passes a key whose opening quote was passed; returns who reads its value.
    #[inline]
    fn read_key(&mut self, cursor: &mut Cursor, node: usize, predicted: &mut usize) -> Result<Target, Fault> {
        if let Some(key) = self.nodes[node].layout.get(*predicted)
            && cursor.pass_word(&key.text)
        {
            *predicted += 1;
            return Ok(key.target);
        }
        self.find_key(cursor, node, predicted)
    }

    fn find_key(&mut self, cursor: &mut Cursor, node: usize, predicted: &mut usize) -> Result<Target, Fault> {
        let start = cursor.at;
        let quoted = cursor.string()?;
        let text = &cursor.line[start..cursor.at];
        let Node { by_name, layout, .. } = &mut self.nodes[node];
        let after = (*predicted).min(layout.len());
        let found = layout[after..].iter().position(|key| *key.text == *text).map(|i| i + after);
        if let Some(place) = found.or_else(|| layout[..after].iter().position(|key| *key.text == *text)) {
            *predicted = place + 1;
            return Ok(layout[place].target);
        }
        self.key_text.clear();
        // A key with half a surrogate pair names no column.
        let named = unescape(&cursor.line[quoted.start..quoted.end], false, &mut self.key_text).is_ok();
        let target = by_name.get(self.key_text.as_slice()).copied().filter(|_| named).unwrap_or(Target::Nobody);
        if layout.len() < LAYOUT_KEYS_MAX {
            layout.insert(after, Key { text: text.into(), target });
            *predicted = after + 1;
        }
        Ok(target)
    }

    /// Reads a value into a column.
    #[inline]
    fn read_value(&mut self, cursor: &mut Cursor, column: usize, place: Place) -> Result<(), Fault> {
        let Self { columns, nesting, .. } = self;
        let values = &mut columns[column];
        let first = values.len() == place.row;
        if !first {
            values.truncate(place.row);
        }
        let read = match values.json {
            true => read_json_text(cursor, values, place.offset, nesting),
            false => read_into(cursor, values, place.offset, self.replace_surrogates),
        };
        read.map_err(|fault| Fault { column: Some(column), ..fault })?;
        if first {
            self.filled += 1;
        }
        Ok(())
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

/// Where a value goes, and comes from.
#[derive(Clone, Copy)]
struct Place {
    /// Of the line in its block.
    offset: usize,
    /// The number of the row in the batch.
    row: usize,
}

/// Takes the text of the value that stands at the cursor, whatever it is.
fn read_json_text(
    cursor: &mut Cursor,
    column: &mut Column,
    offset: usize,
    nesting: &mut Vec<bool>,
) -> Result<(), Fault> {
    let start = cursor.at;
    cursor.skip_value(nesting)?;
    match &cursor.line[start..cursor.at] {
        b"null" if column.field.nullable => column.push_null(),
        b"null" => return Err(fault("expected a value, found null".to_owned())),
        text => column.push_text(text, offset + start),
    }
    Ok(())
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
            let value = match column.field.data_type {
                DataType::Timestamp => number.time_ms(column.unit),
                _ => number.integer(),
            };
            let value = value.map_err(|why| {
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
                let unit = column.unit.name();
                fault(format!("expected timestamp, as {unit} since the epoch or as in RFC 3339, found {found}"))
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
            match self.read_row(&block.bytes[line.clone()], line.start, rows) {
                Ok(is_row) => rows += usize::from(is_row),
                Err(Fault { column, reason }) => {
                    self.columns.iter_mut().for_each(|column| column.truncate(rows));
                    let column = column.map(|place| self.columns[place].field.name.clone());
                    bad.push(block.bad_line(line, column, reason));
                }
            }
        }
        let mut columns = vec![None; self.width];
        for (column, &place) in self.columns.iter_mut().zip(&self.places) {
            columns[place] = Some(column.finish(&block.bytes));
        }
        Decoded {
            batch: Batch { rows, event_times: None, columns, key_hashes: None, read_at_us: None },
            used_up,
            failed: None,
        }
    }
}
