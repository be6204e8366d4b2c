//! The `file` sink: files that appear whole or not at all.
//!
//! A subtask writes one file, which replaces what was there when the job commits; or, *rolling*, one file after another,
//! each of which appears when it is full or old enough, and none of which ever replaces another.

use std::path::{Path, PathBuf};

use wasmill_model::{
    Schema,
    fault::Code,
    settings::{self, Settings},
};

use crate::{
    Error, Sink, SinkParts, SinkPlace,
    encode::EncoderConfig,
    file_name::Packing,
    file_sink::{
        part::PartOptions,
        rolling::{Roll, RollingSink},
        transactional::TransactionalSink,
        whole::WholeSink,
    },
    file_source::resolve,
};

mod accounts;
mod part;
mod publish;
mod rolling;
mod temporary;
mod transactional;
mod whole;

/// The keys of a `file` sink.
#[derive(Debug, Clone)]
pub(crate) struct FileSinkConfig {
    name: FileName,
    encoder: EncoderConfig,
    /// As the table says; `None`: it says nothing.
    roll: Option<Rolls>,
}

/// Whether files roll.
#[derive(Debug, Clone, Copy)]
enum Rolls {
    Never,
    When(Roll),
}

/// The name of a file in parts, so that numbers can be put before its extension.
#[derive(Debug, Clone)]
struct FileName {
    folder: PathBuf,
    /// `counts` of `counts.jsonl.gz`.
    stem: String,
    /// `.jsonl`, or empty.
    extension: String,
    packing: Option<Packing>,
}

impl FileSinkConfig {
    pub(crate) fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let setting = settings.require("path")?;
        let text = setting.string()?;
        let path = resolve(setting, text, base);
        let name = FileName::of(&path).filter(|_| !text.ends_with('/'));
        let name = name.ok_or_else(|| setting.error(format!("expected the path of a file, found \"{text}\"")))?;
        settings.require("format")?;
        let encoder = EncoderConfig::read(settings)?;
        if name.packing.is_some() && !encoder.is_text() {
            let hint = "let the name end in the format's own extension; `compression` says how the columns are packed";
            let error = setting.error_with_hint("a file of this format is packed inside, not as a whole", hint);
            return Err(error.coded(Code::JobFileConflict));
        }
        let roll = settings.optional("roll", |setting| {
            Ok(match setting.value {
                settings::Value::Boolean(false) => Rolls::Never,
                _ => Rolls::When(Roll::read(setting.table()?)?),
            })
        })?;
        Ok(Self { name, encoder, roll })
    }

    pub(crate) fn encoder(&self) -> &EncoderConfig {
        &self.encoder
    }

    pub(crate) fn open(
        &self,
        schema: &Schema,
        place: SinkPlace,
        restored: Option<&SinkParts>,
    ) -> Result<Box<dyn Sink>, Error> {
        let options = PartOptions { name: self.name.clone(), encoder: self.encoder.clone(), schema: schema.clone() };
        if place.checkpoints {
            let target = if place.parallelism == 1 { self.name.path() } else { self.name.path_of(place.subtask) };
            let (roll, new) = (self.roll(place.bounded), SinkParts::default());
            return Ok(Box::new(TransactionalSink::open(options, roll, target, place, restored.unwrap_or(&new))?));
        }
        temporary::sweep(&self.name.folder, &self.name.whole());
        Ok(match self.roll(place.bounded) {
            Some(roll) => Box::new(RollingSink::open(options, roll, place.subtask)?),
            None if place.parallelism == 1 => Box::new(WholeSink::open(options, self.name.path())?),
            None => Box::new(WholeSink::open(options, self.name.path_of(place.subtask))?),
        })
    }

    /// Whether it can take part in checkpoints. The error says why not.
    pub(crate) fn check_checkpoints(&self, bounded: bool) -> Result<(), String> {
        if self.encoder.is_text() || self.roll(bounded).is_some() {
            return Ok(());
        }
        Err("it writes one file of a format in which nobody can write on\n  hint: let it `roll`, or write text"
            .to_owned())
    }

    /// Whether it writes one file after another.
    pub(crate) fn rolls(&self, bounded: bool) -> bool {
        self.roll(bounded).is_some()
    }

    /// When a file ends and the next one begins, if ever.
    fn roll(&self, bounded: bool) -> Option<Roll> {
        match self.roll {
            Some(Rolls::When(roll)) => Some(roll),
            Some(Rolls::Never) => None,
            None => (!bounded).then(Roll::default),
        }
    }

    pub(crate) fn leftovers(&self, parallelism: u32, bounded: bool) -> Vec<PathBuf> {
        if self.roll(bounded).is_some() {
            return Vec::new();
        }
        let (whole, first_part) = match parallelism {
            1 => (None, 0),
            several => (Some(self.name.path()), several),
        };
        let parts = (first_part..).map(|subtask| self.name.path_of(subtask)).take_while(|path| path.is_file());
        whole.into_iter().filter(|path| path.is_file()).chain(parts).collect()
    }
}

impl FileName {
    /// None if the path does not end in a name.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let (name, packing) = Packing::of(&name);
        let dot = name.rfind('.').filter(|dot| *dot > 0).unwrap_or(name.len());
        let (stem, extension) = name.split_at(dot);
        Some(Self { folder, stem: stem.to_owned(), extension: extension.to_owned(), packing })
    }

    /// The name as the job file has it.
    fn whole(&self) -> String {
        format!("{}{}", self.stem, self.ending())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(self.whole())
    }

    /// `counts.3.jsonl.gz`.
    fn path_of(&self, subtask: u32) -> PathBuf {
        self.folder.join(format!("{}.{subtask}{}", self.stem, self.ending()))
    }

    /// `.jsonl.gz`.
    fn ending(&self) -> String {
        format!("{}{}", self.extension, self.packing.map_or("", Packing::ending))
    }
}

#[cfg(test)]
mod tests;
