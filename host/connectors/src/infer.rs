//! Which columns a file has, and of which types: from what it says of itself, or from its first rows.

use std::{fs::File, io::Read, path::Path};

use arrow_array::Array;
use wasmill_model::DataType;

use crate::{
    Error, Split,
    file_source::{BlockOptions, Blocks, Columnar, Opened, Piece, column_of, guarded},
    infer::kinds::Kinds,
    meter::Meter,
    source_columns::{SourceColumn, Step},
};

mod csv;
mod json;
mod kinds;

/// Bytes of the longest line that is looked at.
const LINE_BYTES_MAX: usize = 16 << 20;

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct InferOptions<'a> {
    /// The file; `-` is standard input.
    pub path: &'a Path,
    /// `json`, `csv`, `parquet` or `arrow`; told by the file if not given.
    pub format: Option<&'a str>,
    /// Between the fields of CSV; told by the first line if not given.
    pub delimiter: Option<u8>,
    /// Rows to look at, at most.
    pub rows_max: u64,
}

/// The columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    pub format: &'static str,
    /// Of CSV.
    pub delimiter: Option<u8>,
    /// Rows that were looked at; of Parquet, those it has.
    pub rows: u64,
    /// Whether those are all.
    pub complete: bool,
    pub columns: Vec<InferredColumn>,
    /// What is odd about the file, a sentence each.
    pub notes: Vec<String>,
}

/// A column and what it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferredColumn {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// The keys to go through, if it lies inside of others.
    pub path: Option<Vec<String>>,
    /// Whether it is read as JSON text.
    pub json: bool,
    /// The entry of a `schema`, in TOML.
    pub toml: String,
    /// What should be known about it.
    pub note: Option<String>,
}

impl InferredColumn {
    fn new(column: &SourceColumn, note: Option<String>) -> Self {
        let step = |step: &Step| match step {
            Step::Key(key) => key.clone(),
            Step::Item(place) => place.to_string(),
        };
        Self {
            name: column.field.name.clone(),
            data_type: column.field.data_type,
            nullable: column.field.nullable,
            path: column.path.as_ref().map(|path| path.iter().map(step).collect()),
            json: column.json,
            toml: column.toml(),
            note,
        }
    }
}

impl Inferred {
    /// The columns as the key `schema` of a source, in TOML.
    pub fn schema_toml(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.toml.as_str()).collect();
        match columns.is_empty() {
            true => "schema = {}".to_owned(),
            false => format!("schema = {{ {} }}", columns.join(", ")),
        }
    }
}

/// Looks at a file.
///
/// # Errors
/// [`Error::Read`], [`Error::Damaged`], and [`Error::Columns`] if the format cannot be told or has no columns.
pub fn infer(options: InferOptions<'_>) -> Result<Inferred, Error> {
    let split = Split::of_file(options.path.to_owned());
    let format = match options.format {
        Some(format) => Some(format),
        None => told_by_first_bytes(&split)?,
    };
    match format {
        Some("parquet") if split.is_standard_input() => Err(Error::Columns {
            file: split.to_string(),
            reason: "a Parquet file is read from its end, which standard input does not have".into(),
            hint: None,
        }),
        Some("parquet") => columnar(Columnar::Parquet, &split, options.rows_max),
        Some("arrow") => columnar(Columnar::Arrow, &split, options.rows_max),
        format => text(&split, format, options),
    }
}

fn told_by_first_bytes(split: &Split) -> Result<Option<&'static str>, Error> {
    if split.is_standard_input() {
        return Ok(None);
    }
    if split.path.is_dir() {
        return Err(Error::Folder { path: split.path.clone() });
    }
    let mut head = Vec::new();
    let read = File::open(&split.path).and_then(|file| file.take(6).read_to_end(&mut head));
    read.map_err(|source| Error::Read { doing: "read", path: split.path.clone(), source })?;
    let is_stream = split.path.extension().is_some_and(|extension| extension == "arrows");
    Ok(match head.as_slice() {
        [b'P', b'A', b'R', b'1', ..] => Some("parquet"),
        b"ARROW1" => Some("arrow"),
        // What stands before the length of the first message of a stream.
        [0xff, 0xff, 0xff, 0xff, ..] => Some("arrow"),
        _ if is_stream => Some("arrow"),
        _ => None,
    })
}

/// Of files that say what columns they have: what they say, and whether nulls are there.
fn columnar(format: Columnar, split: &Split, rows_max: u64) -> Result<Inferred, Error> {
    let opened = format.open(split)?;
    let schema = opened.schema();
    let mut notes = Vec::new();
    for found in schema.fields().iter().filter(|found| column_of(found).is_none()) {
        notes.push(format!("column `{}` is left out: no type can hold {}", found.name(), found.data_type()));
    }
    let readable: Vec<usize> = (0..schema.fields().len()).filter(|&i| column_of(schema.field(i)).is_some()).collect();
    let mut no_nulls: Vec<bool> = Vec::new();
    let (mut rows, mut complete) = (0, true);
    match opened {
        Opened::Parquet(file) => {
            rows = file.rows();
            no_nulls.extend(readable.iter().map(|&place| file.has_no_nulls(place)));
        }
        opened @ Opened::Arrow(_) => {
            let damaged = |reason| Error::Damaged { file: split.to_string(), format: format.name(), reason };
            no_nulls.resize(readable.len(), true);
            let mut batches = guarded(|| opened.read(readable.clone())).map_err(damaged)?;
            while let Some(batch) =
                guarded(|| batches.next().transpose().map_err(|e| e.to_string())).map_err(damaged)?
            {
                if rows >= rows_max {
                    complete = false;
                    break;
                }
                rows += batch.num_rows() as u64;
                for (no_nulls, column) in no_nulls.iter_mut().zip(batch.columns()) {
                    *no_nulls &= column.logical_null_count() == 0;
                }
            }
            no_nulls.iter_mut().for_each(|no_nulls| *no_nulls &= complete && rows > 0);
        }
    }
    let columns = readable.iter().zip(no_nulls).filter_map(|(&place, no_nulls)| {
        let mut column = column_of(schema.field(place))?;
        column.field.nullable &= !no_nulls;
        Some(InferredColumn::new(&column, None))
    });
    let columns = columns.collect();
    let format = match format {
        Columnar::Parquet => "parquet",
        Columnar::Arrow => "arrow",
    };
    Ok(Inferred { format, delimiter: None, rows, complete, columns, notes })
}

fn text(split: &Split, format: Option<&str>, options: InferOptions<'_>) -> Result<Inferred, Error> {
    let block_options =
        BlockOptions { line_bytes_max: LINE_BYTES_MAX, replace_invalid_utf8: true, rows_are_lines: false };
    let mut blocks = match split.is_standard_input() {
        true => Blocks::of_standard_input(block_options)?,
        false => Blocks::open(split, block_options, &Meter::default())?,
    };
    let first = match blocks.next()? {
        Some(Piece::Lines(block)) => Some(block),
        _ => None,
    };
    let refuse = |reason: &str, hint: &str| Error::Columns {
        file: split.to_string(),
        reason: reason.to_owned(),
        hint: Some(hint.to_owned()),
    };
    let head = first.as_ref().map_or(&[][..], |block| block.bytes[block.at..].trim_ascii_start());
    let named = |names: &[&str]| {
        let name = split.path.to_string_lossy();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        names.iter().any(|extension| name.ends_with(extension))
    };
    let format = match format {
        Some("json") => "json",
        Some("csv") => "csv",
        Some(other) => {
            return Err(refuse(&format!("`{other}` has no columns to find out"), "its one column is `line`"));
        }
        None if head.is_empty() && !named(&[".csv", ".tsv"]) => {
            return Err(refuse("it is empty: nothing says which columns it has", "look at a file that has rows"));
        }
        None if head.first() == Some(&b'{') => "json",
        None if head.first() == Some(&b'[') && !named(&[".csv", ".tsv"]) => {
            let hint = "put each object on a line of its own: `jq -c '.[]'` does that";
            return Err(refuse("it is one JSON array, not an object a line", hint));
        }
        None if named(&[".csv", ".tsv"]) || csv::delimiter_of(head).is_some() => "csv",
        None => return Err(refuse("its format cannot be told", "name it: --format json, csv, parquet or arrow")),
    };
    match format {
        "json" => json::infer(split, blocks, first, options.rows_max),
        _ => csv::infer(split, blocks, first, options),
    }
}

#[cfg(test)]
mod tests;
