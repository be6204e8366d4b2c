//! The `file` source: one split a file.
//!
//! A text file, packed or not, is read in *blocks* of whole lines; a decoder makes batches of a block's rows, text pointing
//! into the block. A columnar file is read a record batch at a time, of the columns that somebody reads.

use std::path::Path;

use wasmill_model::{
    DataType, Field,
    fault::{Code, Coded},
    settings::{self, Setting, Settings},
};

use crate::{
    Error, Source, SourcePort, Split,
    csv_options::CsvOptions,
    file_source::{
        csv::CsvDecoder,
        json::JsonDecoder,
        lines::LinesDecoder,
        paths::Paths,
        text::{Decoder, TextSource},
    },
    source_columns::{Extras, SourceColumn},
};

pub(crate) use blocks::{Block, BlockOptions, Blocks, Piece};
pub(crate) use columnar::{Columnar, Opened, column_of, guarded};
pub(crate) use json_text::{Cursor, Fault};
pub(crate) use paths::resolve;
pub(crate) use position::Files;

mod arrow;
mod blocks;
mod columnar;
mod convert;
mod csv;
mod json;
mod json_text;
mod lines;
mod nested_json;
mod parquet;
mod paths;
mod portions;
mod position;
mod standard_input;
mod text;
mod text_reader;

pub use text_reader::{TextFormat, TextReader};

/// Bytes of the longest line that a source reads if its table does not say.
const LINE_BYTES_MAX_DEFAULT: usize = 16 << 20;
/// Bytes of the longest line that a table may allow: text is addressed with 32 bits.
const LINE_BYTES_MAX_MAX: usize = 1 << 30;

/// The keys of a `file` source.
#[derive(Debug, Clone)]
pub(crate) struct FileConfig {
    paths: Paths,
    format: Format,
    columns: Vec<SourceColumn>,
    port: SourcePort,
}

#[derive(Debug, Clone)]
enum Format {
    Json(BlockOptions),
    Lines(BlockOptions),
    Csv(CsvOptions, BlockOptions),
    Columnar(Columnar),
}

impl FileConfig {
    pub(crate) fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let paths = Paths::read(settings.require("path")?, base)?;
        let format = match settings.require("format")?.choice(&["json", "lines", "csv", "parquet", "arrow"])? {
            0 => Format::Json(read_blocks(settings, true)?),
            1 => Format::Lines(read_blocks(settings, true)?),
            2 => Format::Csv(CsvOptions::read(settings)?, read_blocks(settings, false)?),
            3 => Format::Columnar(Columnar::Parquet),
            _ => Format::Columnar(Columnar::Arrow),
        };
        let columns = match format {
            Format::Lines(_) => lines_columns(settings)?,
            Format::Json(_) => {
                let extras = Extras { paths: true, json: true, binary: false };
                SourceColumn::read_all(settings.require("schema")?, extras)?
            }
            Format::Csv(..) => {
                let extras = Extras { paths: false, json: false, binary: false };
                SourceColumn::read_all(settings.require("schema")?, extras)?
            }
            Format::Columnar(format) => read_columnar(settings, format, &paths)?,
        };
        let schema = SourceColumn::schema(&columns).expect("checked where the columns were read");
        Ok(Self { paths, format, columns, port: SourcePort { name: "out".into(), schema } })
    }

    pub(crate) fn ports(&self) -> &[SourcePort] {
        std::slice::from_ref(&self.port)
    }

    /// Standard input, then the files that match, sorted, each once. Of files that say what columns they have, the first
    /// is held against the schema.
    pub(crate) fn splits(&self) -> Result<Vec<Split>, Error> {
        let splits = self.paths.splits()?;
        if let Format::Columnar(format) = self.format
            && let Some(first) = splits.iter().find(|split| !split.is_standard_input())
        {
            format.places(first, &format.open(first)?.schema(), &self.columns)?;
        }
        Ok(splits)
    }

    pub(crate) fn open(&self, files: Files, wanted: Option<&[bool]>) -> Box<dyn Source> {
        let columns = &self.columns;
        let wanted = wanted.map_or_else(|| vec![false; columns.len()], <[bool]>::to_vec);
        let (blocks, decoder): (_, Box<dyn Decoder>) = match &self.format {
            Format::Json(blocks) => (blocks, Box::new(JsonDecoder::new(columns, &wanted, blocks.replace_invalid_utf8))),
            Format::Lines(blocks) => (blocks, Box::new(LinesDecoder::new(wanted[0]))),
            Format::Csv(options, blocks) => {
                (blocks, Box::new(CsvDecoder::new(options, columns, &wanted, blocks.line_bytes_max)))
            }
            Format::Columnar(format) => return Box::new(format.source(files, columns, &wanted)),
        };
        Box::new(TextSource::new(files, *blocks, decoder))
    }
}

fn read_blocks(settings: &Settings, rows_are_lines: bool) -> Result<BlockOptions, settings::Error> {
    let line_bytes_max = settings.optional("line_bytes_max", read_line_bytes_max)?;
    let replace = settings.optional("invalid_utf8", |s| s.choice(&["fail", "replace"]))? == Some(1);
    Ok(BlockOptions {
        line_bytes_max: line_bytes_max.unwrap_or(LINE_BYTES_MAX_DEFAULT),
        replace_invalid_utf8: replace,
        rows_are_lines,
    })
}

fn read_line_bytes_max(setting: &Setting) -> Result<usize, settings::Error> {
    let bytes = setting.bytes()?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| (1..=LINE_BYTES_MAX_MAX).contains(bytes))
        .ok_or_else(|| setting.out_of_range(format!("expected 1 B to 1 GiB, found {bytes} B")))
}

fn lines_columns(settings: &Settings) -> Result<Vec<SourceColumn>, settings::Error> {
    if let Some(setting) = settings.get("schema") {
        let hint = "leave `schema` out: the one column of this format is `line`, utf8";
        let error = setting.error_with_hint("the format `lines` has no schema", hint);
        return Err(error.coded(Code::JobFileConflict));
    }
    Ok(vec![SourceColumn::plain(Field::new("line", DataType::Utf8))])
}

/// The columns of a format whose files say what they have: those of the schema, or all of the first file.
fn read_columnar(settings: &Settings, format: Columnar, paths: &Paths) -> Result<Vec<SourceColumn>, settings::Error> {
    let path = settings.require("path")?;
    if paths.has_standard_input() && format == Columnar::Parquet {
        let hint = "keep it in a file first, or send Arrow's stream format";
        let message = "a Parquet file is read from its end, which standard input does not have";
        return Err(path.error_with_hint(message, hint).coded(Code::JobFileConflict));
    }
    if let Some(setting) = settings.get("schema") {
        let columns = SourceColumn::read_all(setting, Extras { paths: false, json: true, binary: true })?;
        return Ok(columns);
    }
    let splits = paths.splits().map_err(|e| path.error(e.to_string()).coded(e.code()))?;
    let Some(first) = splits.iter().find(|split| !split.is_standard_input()) else {
        let hint = "what comes by standard input is not known before the job runs";
        return Err(settings.require("schema").err().map_or_else(
            || path.error("`schema` is missing").coded(Code::JobFileMissingKey),
            |error| settings::Error { hint: Some(hint.into()), ..error },
        ));
    };
    format.columns_of(first).map_err(|e| path.error(e.to_string()).coded(e.code()))
}

#[cfg(test)]
mod tests;
