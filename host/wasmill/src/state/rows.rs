//! `wasmill state scan` and `export`: the rows of a snapshot file, for people and for programs.

use std::{ops::Range, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};
use wasmill_snapshot::file::{KEY_HEAD_BYTES, Reader, Row, StateSchema};

use super::{decoded::decoded, hex};
use crate::{Output, error::Error, harmless, refused, show_more};

/// Characters of a key or a value that a table shows.
const SHOWN_MAX: usize = 60;
/// Characters of a row that a table shows.
const SAID_MAX: usize = 400;
/// Bytes that are written at a time.
const PIECE_BYTES: usize = 64 << 10;

#[derive(Debug, Args)]
pub(crate) struct ScanArguments {
    #[command(flatten)]
    of: Of,
    /// Rows to show, at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// How to print them: JSON is one line a row, as `export` writes it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    of: Of,
    /// Rows to write, at most [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Which rows of which file.
#[derive(Debug, Args)]
struct Of {
    /// The snapshot file.
    file: PathBuf,
    /// Rows of these key groups only; B is not among them [default: all].
    #[arg(long, value_name = "A..B", value_parser = key_groups)]
    key_groups: Option<Range<u32>>,
}

fn key_groups(text: &str) -> Result<Range<u32>, String> {
    let ends = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    ends.ok_or_else(|| "expected two numbers, for example 0..512".to_owned())
}

/// Shows rows.
pub(crate) fn scan(arguments: &ScanArguments) -> ExitCode {
    let ScanArguments { of, limit, output } = arguments;
    match output {
        Output::Table => print(of, *limit, *output, &|row, reader| line(row, reader)),
        Output::Json => print(of, *limit, *output, &json_line),
    }
}

/// Writes rows as lines of JSON.
pub(crate) fn export(arguments: &ExportArguments) -> ExitCode {
    print(&arguments.of, arguments.limit.unwrap_or(u64::MAX), Output::Json, &json_line)
}

/// Prints rows as they come. An error may come after some of them; those are right.
fn print(of: &Of, limit: u64, output: Output, shown: &dyn Fn(Row<'_>, &Reader) -> String) -> ExitCode {
    let mut text = String::new();
    let printed = each(of, limit, |row, reader| {
        text += &shown(row, reader);
        match text.len() {
            ..PIECE_BYTES => Ok(()),
            _ => show_more(&std::mem::take(&mut text)),
        }
    });
    match (printed, show_more(&text)) {
        (Ok(Err(ended)), _) | (Ok(Ok(())), Err(ended)) => ended,
        (Ok(Ok(())), Ok(())) => ExitCode::SUCCESS,
        (Err(error), _) => refused(&error, output),
    }
}

/// Lets something be done with each row until it ends the program.
fn each(
    of: &Of,
    limit: u64,
    mut work: impl FnMut(Row<'_>, &Reader) -> Result<(), ExitCode>,
) -> Result<Result<(), ExitCode>, Error> {
    let reader = Reader::open_unverified(&of.file)?;
    let mut rows = reader.rows(of.key_groups.clone().unwrap_or(0..u32::MAX))?;
    for _ in 0..limit {
        let Some(row) = rows.next()? else { break };
        if let Err(ended) = work(row, &reader) {
            return Ok(Err(ended));
        }
    }
    Ok(Ok(()))
}

/// What stands in front of a key, and the rest of it.
fn taken_apart<'a, 'r>(key: &'a [u8], reader: &'r Reader) -> (u16, u16, Option<&'r StateSchema>, &'a [u8]) {
    let (head, rest) = key.split_at(KEY_HEAD_BYTES);
    let (group, id) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
    (group, id, reader.schema().iter().find(|state| state.id == id), rest)
}

/// A row for people: key group, state, and what it says; if that cannot be told, key and value as they are.
fn line(row: Row<'_>, reader: &Reader) -> String {
    let (group, id, schema, rest) = taken_apart(row.key, reader);
    let name = schema.map_or_else(|| id.to_string(), |schema| schema.name.clone());
    let state = harmless::line(&name, SHOWN_MAX);
    let gone = if row.value.is_none() { "  gone" } else { "" };
    match schema.and_then(|schema| decoded(schema, rest, row.value)) {
        Some(said) => format!("{group:>5}  {state}  {}{gone}\n", harmless::line(&said.to_string(), SAID_MAX)),
        None => {
            let value = row.value.map_or_else(|| "gone".to_owned(), readable);
            format!("{group:>5}  {state}  {}  {value}\n", readable(rest))
        }
    }
}

/// A row for programs.
fn json_line(row: Row<'_>, reader: &Reader) -> String {
    let (group, id, schema, rest) = taken_apart(row.key, reader);
    let name = schema.map_or("", |schema| schema.name.as_str());
    let mut json = json!({
        "key_group": group,
        "state": id,
        "name": name,
        "key": hex(rest),
        "value": row.value.map(hex),
    });
    for (field, bytes) in [("key_text", Some(rest)), ("value_text", row.value)] {
        if let Some(text) = bytes.and_then(text) {
            json[field] = Value::from(text);
        }
    }
    if let Some(said) = schema.and_then(|schema| decoded(schema, rest, row.value)) {
        json["row"] = said;
    }
    format!("{json}\n")
}

/// Bytes as text if they are, in quotes, and otherwise in hexadecimal digits; of long ones the beginning.
fn readable(bytes: &[u8]) -> String {
    match text(bytes) {
        Some(text) => format!("\"{}\"", harmless::line(text, SHOWN_MAX)),
        None => {
            let digits = hex(&bytes[..bytes.len().min(SHOWN_MAX / 2)]);
            format!("0x{digits}{}", if bytes.len() > SHOWN_MAX / 2 { "..." } else { "" })
        }
    }
}

/// The text that bytes are, if all of it can be printed.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}
