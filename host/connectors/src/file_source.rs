//! The `file` source: text files, plain or gzip, one split a file.
//!
//! A file is read in *blocks* of whole lines; a decoder makes batches of a block's rows, text pointing into the block.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};

use wasmill_model::{
    Batch, DataType, Field, Schema,
    fault::Code,
    settings::{self, Origin, Setting, Settings},
};

use crate::{
    Error, Polled, Source, SourcePort, Split,
    csv_options::CsvOptions,
    file_source::{
        blocks::{Block, BlockOptions, Blocks},
        csv::CsvDecoder,
        json::JsonDecoder,
        lines::LinesDecoder,
    },
};

mod blocks;
mod csv;
mod json;
mod json_text;
mod lines;

/// Bytes of the longest line that a source reads if its table does not say.
const LINE_BYTES_MAX_DEFAULT: usize = 16 << 20;
/// Bytes of the longest line that a table may allow: text is addressed with 32 bits.
const LINE_BYTES_MAX_MAX: usize = 1 << 30;

/// The keys of a `file` source.
#[derive(Debug, Clone)]
pub(crate) struct FileConfig {
    /// As written, made absolute or relative to the current directory.
    patterns: Vec<Pattern>,
    format: Format,
    blocks: BlockOptions,
    port: SourcePort,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// The path or glob, for looking up literally and for messages.
    path: PathBuf,
    /// The same with the job file's folder escaped.
    glob: glob::Pattern,
}

#[derive(Debug, Clone)]
enum Format {
    Json,
    Lines,
    Csv(CsvOptions),
}

impl FileConfig {
    pub(crate) fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let patterns = read_patterns(settings.require("path")?, base)?;
        let format = match settings.require("format")?.choice(&["json", "lines", "csv"])? {
            0 => Format::Json,
            1 => Format::Lines,
            _ => Format::Csv(CsvOptions::read(settings)?),
        };
        let schema = match format {
            Format::Lines => lines_schema(settings)?,
            Format::Json | Format::Csv(_) => {
                let setting = settings.require("schema")?;
                let schema = setting.schema()?;
                refuse_binary(setting, &schema)?;
                schema
            }
        };
        let line_bytes_max = settings.optional("line_bytes_max", read_line_bytes_max)?;
        let replace = settings.optional("invalid_utf8", |s| s.choice(&["fail", "replace"]))? == Some(1);
        let blocks = BlockOptions {
            line_bytes_max: line_bytes_max.unwrap_or(LINE_BYTES_MAX_DEFAULT),
            replace_invalid_utf8: replace,
        };
        Ok(Self { patterns, format, blocks, port: SourcePort { name: "out".into(), schema } })
    }

    pub(crate) fn ports(&self) -> &[SourcePort] {
        std::slice::from_ref(&self.port)
    }

    /// The files that match, sorted, each once.
    pub(crate) fn splits(&self) -> Result<Vec<Split>, Error> {
        let mut paths = Vec::new();
        for pattern in &self.patterns {
            let found = pattern.files()?;
            if found.is_empty() {
                return Err(Error::NoFile { pattern: pattern.path.display().to_string() });
            }
            paths.extend(found);
        }
        paths.sort_unstable();
        paths.dedup();
        Ok(paths.into_iter().map(|path| Split { path }).collect())
    }

    pub(crate) fn open(&self, splits: &[Split], wanted: Option<&[bool]>) -> FileSource {
        let fields = self.port.schema.fields();
        let wanted = wanted.map_or_else(|| vec![false; fields.len()], <[bool]>::to_vec);
        let decoder: Box<dyn Decoder> = match &self.format {
            Format::Json => Box::new(JsonDecoder::new(fields, &wanted, self.blocks.replace_invalid_utf8)),
            Format::Lines => Box::new(LinesDecoder::new(wanted[0])),
            Format::Csv(options) => Box::new(CsvDecoder::new(options, fields, &wanted, self.blocks.line_bytes_max)),
        };
        FileSource {
            files: splits.iter().map(|split| split.path.clone()).collect(),
            options: self.blocks,
            decoder,
            open: None,
            failed: None,
        }
    }
}

fn read_patterns(setting: &Setting, base: &Path) -> Result<Vec<Pattern>, settings::Error> {
    let items = setting.items().unwrap_or(std::slice::from_ref(setting));
    if items.is_empty() {
        return Err(setting.error("expected at least one path, found none"));
    }
    items.iter().map(|item| Pattern::read(item, base)).collect()
}

fn read_line_bytes_max(setting: &Setting) -> Result<usize, settings::Error> {
    let bytes = setting.bytes()?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| (1..=LINE_BYTES_MAX_MAX).contains(bytes))
        .ok_or_else(|| setting.out_of_range(format!("expected 1 B to 1 GiB, found {bytes} B")))
}

fn lines_schema(settings: &Settings) -> Result<Schema, settings::Error> {
    if let Some(setting) = settings.get("schema") {
        let hint = "leave `schema` out: the one column of this format is `line`, utf8";
        let error = setting.error_with_hint("the format `lines` has no schema", hint);
        return Err(error.coded(Code::JobFileConflict));
    }
    Ok(Schema::new(vec![Field::new("line", DataType::Utf8)]).expect("one column"))
}

fn refuse_binary(setting: &Setting, schema: &Schema) -> Result<(), settings::Error> {
    match schema.fields().iter().find(|field| field.data_type == DataType::Binary) {
        Some(field) => {
            let message = format!("column `{}` is of type binary, which a text format cannot hold", field.name);
            Err(setting.error_with_hint(message, "read it as utf8").coded(Code::FormatColumnType))
        }
        None => Ok(()),
    }
}

impl Pattern {
    fn read(setting: &Setting, base: &Path) -> Result<Self, settings::Error> {
        let text = setting.string()?;
        if text.is_empty() {
            return Err(setting.error("expected a path, found an empty string"));
        }
        let path = resolve(setting, text, base);
        let escaped = match path.strip_prefix(base) {
            Ok(rest) if path != Path::new(text) => {
                Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(rest).to_string_lossy().into_owned()
            }
            _ => text.to_owned(),
        };
        let glob = glob::Pattern::new(&escaped)
            .map_err(|e| setting.error(format!("expected a path or glob, found \"{text}\": {}", e.msg)))?;
        Ok(Self { path, glob })
    }

    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        // A file whose own name has a bracket or star is meant as it stands.
        if let Ok(metadata) = fs::metadata(&self.path) {
            return match metadata.is_dir() {
                true => Err(Error::Folder { path: self.path.clone() }),
                false => Ok(vec![self.path.clone()]),
            };
        }
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let found = glob::glob_with(self.glob.as_str(), options).expect("the pattern was parsed before");
        let mut files = Vec::new();
        for entry in found {
            let path = entry.map_err(|e| Error::Read { doing: "list", path: e.path().to_owned(), source: e.into() })?;
            if !path.is_dir() {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// The path a setting means: one in a job file is relative to its folder, one of `--set` to the current directory.
pub(crate) fn resolve(setting: &Setting, text: &str, base: &Path) -> PathBuf {
    match setting.origin {
        Origin::File { .. } => base.join(text),
        Origin::Set(_) => PathBuf::from(text),
    }
}

/// Makes batches of the rows of a block. One for each format.
trait Decoder: Send {
    /// Forgets everything about the file before.
    fn begin(&mut self) {}

    /// Reads rows on from where the block is read up to, as many as make a batch.
    ///
    /// A batch without rows means that the block is used up. On an error, the rows before it come with it.
    fn decode(&mut self, block: &mut Block) -> (Batch, Result<(), Error>);

    /// The file has ended.
    fn end(&mut self, file: &str) -> Result<(), Error> {
        let _ = file;
        Ok(())
    }
}

/// Reads its files one after another.
pub(crate) struct FileSource {
    files: VecDeque<PathBuf>,
    options: BlockOptions,
    decoder: Box<dyn Decoder>,
    open: Option<OpenFile>,
    /// What stands behind the last rows that were handed out.
    failed: Option<Error>,
}

struct OpenFile {
    blocks: Blocks,
    block: Option<Block>,
}

impl Source for FileSource {
    fn poll(&mut self, _now_ms: i64) -> Result<Polled, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.files.pop_front() else { return Ok(Polled::End) };
                self.decoder.begin();
                self.open = Some(OpenFile { blocks: Blocks::open(&path, self.options)?, block: None });
                continue;
            };
            let Some(block) = &mut open.block else {
                open.block = open.blocks.next()?;
                if open.block.is_none() {
                    self.decoder.end(open.blocks.file())?;
                    self.open = None;
                }
                continue;
            };
            let (batch, mut result) = self.decoder.decode(block);
            if batch.rows == 0 && result.is_ok() {
                result = block.failed.take().map_or(Ok(()), Err);
                open.block = None;
            }
            match result {
                Err(error) if batch.rows == 0 => return Err(error),
                result => self.failed = result.err(),
            }
            if batch.rows > 0 {
                return Ok(Polled::Batch { port: 0, batch });
            }
        }
    }
}

#[cfg(test)]
mod tests;
