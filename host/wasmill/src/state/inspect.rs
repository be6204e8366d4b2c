//! `wasmill state inspect`: what a snapshot file is part of, how much is in it, and whether it is whole.

use std::{fs::File, path::PathBuf, process::ExitCode};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use wasmill_cli::numbers;
use wasmill_model::{
    Field,
    fault::{Code, Coded},
    reply::TimeDomain,
};
use wasmill_snapshot::{
    Hash,
    file::{Error as FileError, FORMAT, Keys, Kind, Reader, StateSchema, StoredAs, Verified},
};

use super::hex;
use crate::{Output, REFUSED, error::Error, harmless, refused, show, tell};

/// Characters of a name that are shown.
const NAME_MAX: usize = 200;
/// Characters of a line about a cell.
const LINE_MAX: usize = 2 * NAME_MAX;
/// Bytes of a key that are shown.
const KEY_MAX: usize = 24;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The snapshot file.
    file: PathBuf,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What is told of a file.
struct Inspection {
    file: String,
    reader: Reader,
    blake3: Hash,
    /// What is damaged, or what was found.
    checked: Result<Verified, FileError>,
}

/// Opens a file, reads all of it and prints what was found: 0 if it is whole, 2 if not.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let inspection = match inspect(arguments) {
        Ok(inspection) => inspection,
        Err(error) => return refused(&error, arguments.output),
    };
    let error = inspection.checked.as_ref().err().map(|error| Error::new(error.code(), error.to_string()));
    let shown = match arguments.output {
        Output::Table => inspection.table(),
        Output::Json => format!("{}\n", inspection.json(error.as_ref())),
    };
    let written = show(&shown);
    match error {
        Some(error) => {
            tell(&error.shown());
            ExitCode::from(REFUSED)
        }
        None => written,
    }
}

fn inspect(arguments: &Arguments) -> Result<Inspection, Error> {
    let file = arguments.file.display().to_string();
    let reader = Reader::open_unverified(&arguments.file)?;
    let hashed = File::open(&arguments.file).and_then(Hash::of_all);
    let unreadable = |error| Error::new(Code::SnapshotUnreadable, format!("could not read {file}: {error}"));
    let (blake3, _) = hashed.map_err(unreadable)?;
    let checked = reader.verify();
    Ok(Inspection { file, reader, blake3, checked })
}

impl Inspection {
    fn table(&self) -> String {
        let (meta, totals) = (self.reader.meta(), self.reader.totals());
        let name = |name: &str| harmless::line(name, NAME_MAX);
        let is = if self.checked.is_ok() { "a whole snapshot file" } else { "a damaged snapshot file" };
        let kind = match meta.kind {
            Kind::Full => "full",
            Kind::Delta => "delta",
        };
        let (count, groups) = (|count: u64| HumanCount(count).to_string(), &meta.key_groups);
        let of = format!("{}[{}] of {}, {}", name(&meta.operator), meta.subtask, meta.parallelism, meta.job);
        let all = HumanCount(u64::from(meta.key_groups_all));
        let mut text = format!("{} is {is}\n", self.file);
        let mut line = |name: &str, value: String| text += &format!("  {name:<11} {value}\n");
        line("operator", of);
        line("cluster", name(&meta.cluster));
        line("checkpoint", format!("{}, {kind}", meta.checkpoint.0));
        line("written", format!("{} by Wasmill {}", numbers::date(meta.time_ms), name(&meta.engine)));
        line("key groups", format!("{}..{} of {all}", groups.start, groups.end));
        line("size", format!("{} ({} bytes), format {FORMAT}", HumanBytes(self.reader.bytes()), self.reader.bytes()));
        line("blake3", self.blake3.to_string());
        line("blocks", count(u64::from(totals.blocks)));
        line("rows", format!("{}, {} of them tombstones", count(totals.rows), count(totals.tombstones)));
        line("row bytes", HumanBytes(totals.row_bytes).to_string());
        if let Ok(Verified { keys: Some(Keys { first, last }), .. }) = &self.checked {
            line("first key", shortened(first));
            line("last key", shortened(last));
        }
        text += if self.reader.schema().is_empty() { "states: none\n" } else { "states\n" };
        for (place, state) in self.reader.schema().iter().enumerate() {
            let rows = match self.checked.as_ref().map(|found| found.rows_of_states[place]) {
                Ok(1) => "1 row".to_owned(),
                Ok(rows) => format!("{} rows", count(rows)),
                Err(_) => "rows not known".to_owned(),
            };
            text += &described(state, &rows);
        }
        text
    }

    fn json(&self, error: Option<&Error>) -> Value {
        let found = self.checked.as_ref().ok();
        let key = |key: fn(&Keys) -> &[u8]| found.and_then(|f| f.keys.as_ref()).map(|keys| hex(key(keys)));
        let state = |(place, state): (usize, &StateSchema)| {
            let mut json = json!(state);
            json["rows"] = json!(found.map(|found| found.rows_of_states[place]));
            json
        };
        json!({
            "file": self.file,
            "ok": error.is_none(),
            "error": error.map(Error::json),
            "format": FORMAT,
            "bytes": self.reader.bytes(),
            "blake3": self.blake3,
            "about": self.reader.meta(),
            "totals": self.reader.totals(),
            "first_key": key(|keys| &keys.first),
            "last_key": key(|keys| &keys.last),
            "states": self.reader.schema().iter().enumerate().map(state).collect::<Vec<_>>(),
        })
    }
}

/// A state in a line, and what its keys and values are in two more.
fn described(state: &StateSchema, rows: &str) -> String {
    let StateSchema { id, name, kind, key, columns, cells } = state;
    let columns_of = |fields: &[Field]| {
        let all: Vec<String> = fields.iter().map(Field::to_string).collect();
        harmless::line(&if all.is_empty() { "not said".to_owned() } else { all.join(", ") }, NAME_MAX)
    };
    let (name, kind) = (harmless::line(name, NAME_MAX), harmless::line(kind, NAME_MAX));
    let mut text =
        format!("  {id} {name}: {kind}, {rows}\n    key    {}\n    value  {}\n", columns_of(key), columns_of(columns));
    // Of value cells one a column, of any other the one it is.
    let names = columns.iter().map(|column| column.name.as_str());
    let names = if cells.len() == columns.len() { names.collect() } else { vec![state.name.as_str()] };
    for (name, StoredAs { version, ttl_ms, ttl_domain, encoding }) in names.iter().zip(cells) {
        let clock = match ttl_domain {
            TimeDomain::EventTime => "event time",
            TimeDomain::ProcessingTime => "processing time",
        };
        let ttl = ttl_ms.map_or_else(String::new, |ttl| format!(", kept for {ttl} ms of {clock}"));
        let encoding = encoding.as_ref().map_or_else(String::new, |encoding| format!(", {encoding}"));
        text += &harmless::line(&format!("    {name}: version {version}{ttl}{encoding}"), LINE_MAX);
        text.push('\n');
    }
    text
}

/// A key, or the beginning of a long one.
fn shortened(key: &[u8]) -> String {
    match key.split_at_checked(KEY_MAX) {
        Some((begin, rest)) if !rest.is_empty() => format!("0x{}... ({} bytes)", hex(begin), key.len()),
        _ => format!("0x{}", hex(key)),
    }
}
