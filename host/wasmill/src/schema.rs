//! `wasmill schema`: which columns a file has, as the `schema` of a source to be pasted into a job file.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use serde_json::json;
use wasmill_connectors::{InferOptions, Inferred, InferredColumn, infer, similar_file};
use wasmill_model::fault::Coded;

use crate::{Output, error::Error, refused, show};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file: JSON lines, CSV, Parquet or Arrow; text also packed by gzip or zstd. `-` is standard input.
    file: PathBuf,
    /// Its format [default: told by what is in it, and by its name].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What stands between the fields of CSV [default: told by the first line].
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Rows to look at, at most.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rows: u64,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Csv,
    Parquet,
    Arrow,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one character, for example ; or \\t".to_owned()),
    }
}

/// Looks at a file and prints its columns.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Arguments { file, format, delimiter, rows, output } = arguments;
    let format = format.map(Format::name);
    match infer(InferOptions { path: file, format, delimiter: *delimiter, rows_max: *rows }) {
        Err(error) => {
            let near = (!file.exists()).then(|| similar_file(file)).flatten();
            let hint = near.map_or_else(String::new, |near| format!("\n  hint: did you mean `{near}`?"));
            refused(&Error::new(error.code(), format!("{error}{hint}")), *output)
        }
        Ok(inferred) => match output {
            Output::Table => show(&toml(&inferred)),
            Output::Json => show(&format!("{}\n", json(&inferred))),
        },
    }
}

/// TOML to paste: what should be known as comments, then the schema.
fn toml(inferred: &Inferred) -> String {
    let Inferred { format, delimiter, rows, complete, columns, notes } = inferred;
    let delimiter = delimiter.filter(|byte| *byte != b',');
    let delimiter =
        delimiter.map_or_else(String::new, |byte| format!(", delimiter = {:?}", char::from(byte).to_string()));
    let (rows, plural) = (HumanCount(*rows), if *rows == 1 { "" } else { "s" });
    let looked = match complete {
        true => format!("{rows} row{plural}"),
        false => format!("the first {rows} row{plural}; --rows N looks at more"),
    };
    let mut text = format!("# format = \"{format}\"{delimiter}; {looked}\n");
    notes.iter().for_each(|note| text += &format!("# {}\n", one_line(note)));
    for InferredColumn { name, note, .. } in columns {
        if let Some(note) = note {
            text += &format!("# {}: {}\n", one_line(name), one_line(note));
        }
    }
    text + &inferred.schema_toml() + "\n"
}

/// A comment ends with its line, and may hold no control characters.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn json(inferred: &Inferred) -> serde_json::Value {
    let Inferred { format, delimiter, rows, complete, columns, notes } = inferred;
    let column = |column: &InferredColumn| {
        json!({
            "name": column.name,
            "type": column.data_type.name(),
            "nullable": column.nullable,
            "path": column.path,
            "json": column.json,
            "note": column.note,
        })
    };
    json!({
        "format": format,
        "delimiter": delimiter.map(|byte| char::from(byte).to_string()),
        "rows": rows,
        "complete": complete,
        "columns": columns.iter().map(column).collect::<Vec<_>>(),
        "notes": notes,
        "schema": inferred.schema_toml(),
    })
}
