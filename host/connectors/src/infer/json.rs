//! Columns of JSON lines: what stands at each path.

use wasmill_model::{DataType, Field};

use super::{Inferred, InferredColumn, Kinds, kinds::Found};
use crate::{
    Error, Split,
    file_source::{Block, Blocks, Cursor, Fault, Piece},
    number::rfc3339_ms,
    source_columns::{SourceColumn, Step},
};

/// How deep objects are looked into; what lies deeper is JSON text.
const DEPTH_MAX: usize = 8;

/// Keys of an object that are told apart; one with more is JSON text.
const KEYS_MAX: usize = 512;

/// What was seen at a path.
#[derive(Default)]
struct Seen {
    key: String,
    kinds: Kinds,
    /// How often a value stood here, and how often that was an object.
    present: u64,
    objects: u64,
    members: Vec<Seen>,
    /// Not to be looked into.
    opaque: bool,
}

pub(super) fn infer(split: &Split, mut blocks: Blocks, first: Option<Block>, rows_max: u64) -> Result<Inferred, Error> {
    let mut root = Seen::default();
    let (mut rows, mut bad, mut complete) = (0, Vec::new(), true);
    let mut nesting = Vec::new();
    let mut next = first;
    'blocks: while let Some(mut block) = next.take() {
        while let Ok(Some(line)) = block.next_line() {
            let text = &block.bytes[line];
            if text.trim_ascii().is_empty() {
                continue;
            }
            if rows == rows_max {
                complete = false;
                break 'blocks;
            }
            rows += 1;
            let mut cursor = Cursor { line: text, at: 0 };
            cursor.skip_space();
            let read = match cursor.peek() {
                b'{' => look(&mut cursor, &mut root, 0, &mut nesting),
                _ => Err(Fault { column: None, reason: format!("expected an object, found {}", cursor.describe()) }),
            };
            if let Err(fault) = read {
                bad.push((block.line - 1, fault.reason));
                bad.truncate(rows_max as usize);
            }
        }
        next = match blocks.next()? {
            Some(Piece::Lines(block)) => Some(block),
            _ => None,
        };
    }
    if let (Some((line, reason)), true) = (bad.first(), bad.len() as u64 == rows) {
        let hint = Some("JSON here means one object a line".to_owned());
        return Err(Error::Columns { file: split.to_string(), reason: format!("line {line}: {reason}"), hint });
    }
    let mut notes = Vec::new();
    if let Some((line, reason)) = bad.first() {
        notes.push(format!("{} of the rows cannot be read; the first is line {line}: {reason}", bad.len()));
    }
    let mut found = Vec::new();
    gather(&root, &mut Vec::new(), false, &mut found);
    let columns = name_columns(found);
    Ok(Inferred { format: "json", delimiter: None, rows, complete, columns, notes })
}

/// Passes a value and remembers its kind.
fn look(cursor: &mut Cursor, seen: &mut Seen, depth: usize, nesting: &mut Vec<bool>) -> Result<(), Fault> {
    match cursor.peek() {
        b'{' if depth < DEPTH_MAX && !seen.opaque => {
            seen.kinds.nested = true;
            seen.objects += 1;
            look_inside(cursor, seen, depth, nesting)
        }
        b'{' | b'[' => {
            seen.kinds.nested = true;
            seen.opaque = true;
            cursor.skip_value(nesting)
        }
        b'"' => {
            cursor.at += 1;
            let quoted = cursor.string()?;
            let text = std::str::from_utf8(&cursor.line[quoted.start..quoted.end]).unwrap_or_default();
            match rfc3339_ms(text).is_some() {
                true => seen.kinds.time = true,
                false => seen.kinds.text = true,
            }
            Ok(())
        }
        b'-' | b'0'..=b'9' => {
            let number = cursor.number()?;
            match number.integer() {
                Ok(value) if !number.text.contains(['.', 'e', 'E']) => seen.kinds.integer(value),
                _ => seen.kinds.float = true,
            }
            Ok(())
        }
        kind => {
            cursor.skip_value(nesting)?;
            match kind {
                b'n' => seen.kinds.null = true,
                _ => seen.kinds.boolean = true,
            }
            Ok(())
        }
    }
}

fn look_inside(cursor: &mut Cursor, seen: &mut Seen, depth: usize, nesting: &mut Vec<bool>) -> Result<(), Fault> {
    cursor.at += 1;
    cursor.skip_space();
    if cursor.pass(b'}') {
        return Ok(());
    }
    loop {
        cursor.skip_space();
        cursor.expect(b'"')?;
        let quoted = cursor.string()?;
        let key = unescaped(&cursor.line[quoted.start - 1..=quoted.end]);
        cursor.skip_space();
        cursor.expect(b':')?;
        cursor.skip_space();
        let place = seen.members.iter().position(|member| member.key == key);
        let place = place.unwrap_or_else(|| {
            seen.members.push(Seen { key, ..Seen::default() });
            seen.members.len() - 1
        });
        if seen.members.len() > KEYS_MAX && depth > 0 {
            seen.opaque = true;
        }
        seen.members[place].present += 1;
        look(cursor, &mut seen.members[place], depth + 1, nesting)?;
        cursor.skip_space();
        if !cursor.pass(b',') {
            break;
        }
    }
    cursor.expect(b'}')
}

/// A key without its escapes.
fn unescaped(quoted: &[u8]) -> String {
    serde_json::from_slice(quoted).unwrap_or_else(|_| String::from_utf8_lossy(quoted).into_owned())
}

type Column = (Vec<String>, SourceColumn, Option<String>);

/// The columns of everything inside an object.
fn gather(object: &Seen, path: &mut Vec<String>, nullable: bool, found: &mut Vec<Column>) {
    for seen in &object.members {
        path.push(seen.key.clone());
        let kinds = &seen.kinds;
        let nullable = nullable || kinds.null || seen.present < object.objects;
        let is_object = kinds.nested && !seen.opaque && !seen.members.is_empty();
        let others = kinds.boolean || kinds.integer || kinds.float || kinds.time || kinds.text;
        if is_object && !others {
            gather(seen, path, nullable, found);
            path.pop();
            continue;
        }
        let (data_type, json, note) = match kinds.found() {
            Found::One(data_type) => (data_type, false, None),
            Found::Mixed(kinds) => (DataType::Utf8, true, Some(format!("{kinds} were seen: read as JSON text"))),
            Found::Nothing => (DataType::Utf8, false, Some("only nulls were seen".to_owned())),
        };
        let json = json || kinds.nested;
        let note = if json && !others { None } else { note };
        let data_type = if json { DataType::Utf8 } else { data_type };
        let field = Field { name: seen.key.clone(), data_type, nullable };
        let mut column = SourceColumn { json, ..SourceColumn::plain(field) };
        let note = note.or_else(|| {
            let unit = kinds.time_unit(&seen.key)?;
            let mut time = column.clone();
            time.field.data_type = DataType::Timestamp;
            time.unit = unit;
            Some(format!("may be a time: {}", time.toml()))
        });
        if path.len() > 1 {
            column.path = Some(path.iter().cloned().map(Step::Key).collect());
        }
        found.push((path.clone(), column, note));
        path.pop();
    }
}

/// A column is named by its key; if others have the same one, by all keys on the way to it.
fn name_columns(found: Vec<Column>) -> Vec<InferredColumn> {
    let keys: Vec<String> = found.iter().map(|(_, column, _)| column.field.name.clone()).collect();
    let mut taken: Vec<String> = Vec::new();
    let columns = found.into_iter().map(|(path, mut column, note)| {
        let is_alone = keys.iter().filter(|key| **key == column.field.name).count() == 1;
        let mut name = if is_alone || path.len() == 1 { column.field.name.clone() } else { path.join("_") };
        while taken.contains(&name) {
            name.push('_');
        }
        taken.push(name.clone());
        column.field.name = name;
        InferredColumn::new(&column, note)
    });
    columns.collect()
}
