//! The `file` sink: one file a subtask, which appears whole or not at all.
//!
//! Rows go to a temporary file beside the target. `commit` renames it, which replaces what was there.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempPath;
use wasmill_model::{
    Batch, Schema,
    settings::{self, Settings},
};

use crate::{
    Error, Sink,
    encode::{Encoder, EncoderConfig},
    file_source::resolve,
};

/// Bytes to gather before they are written.
const GATHER_BYTES: usize = 256 << 10;
/// Fast, as output is often read soon and seldom kept.
const COMPRESSION: Compression = Compression::new(3);

/// The keys of a `file` sink.
#[derive(Debug, Clone)]
pub(crate) struct FileSinkConfig {
    path: PathBuf,
    gzip: bool,
    encoder: EncoderConfig,
}

impl FileSinkConfig {
    pub(crate) fn read(settings: &Settings, base: &Path) -> Result<Self, settings::Error> {
        let setting = settings.require("path")?;
        let text = setting.string()?;
        let path = resolve(setting, text, base);
        if path.file_name().is_none() || text.ends_with('/') {
            return Err(setting.error(format!("expected the path of a file, found \"{text}\"")));
        }
        settings.require("format")?;
        let gzip = path.extension().is_some_and(|extension| extension == "gz");
        Ok(Self { path, gzip, encoder: EncoderConfig::read(settings)? })
    }

    pub(crate) fn encoder(&self) -> &EncoderConfig {
        &self.encoder
    }

    pub(crate) fn open(&self, schema: &Schema, subtask: u32, parallelism: u32) -> Result<FileSink, Error> {
        let target = if parallelism == 1 { self.path.clone() } else { self.path_of(subtask) };
        FileSink::create(target, self.gzip, self.encoder.open(schema))
    }

    /// `counts.jsonl.gz` of subtask 3 is `counts.3.jsonl.gz`: its number goes before the extension, `.gz` not counted.
    fn path_of(&self, subtask: u32) -> PathBuf {
        let name = self.path.file_name().expect("checked when the table was read").to_string_lossy();
        let (name, gz) = if self.gzip { (name.trim_end_matches(".gz"), ".gz") } else { (&*name, "") };
        let name = match name.rfind('.').filter(|dot| *dot > 0) {
            Some(dot) => format!("{}.{subtask}{}{gz}", &name[..dot], &name[dot..]),
            None => format!("{name}.{subtask}{gz}"),
        };
        self.path.with_file_name(name)
    }
}

/// A file being written.
pub(crate) struct FileSink {
    target: PathBuf,
    encoder: Encoder,
    gathered: Vec<u8>,
    state: State,
}

enum State {
    /// Dropping the path removes the file.
    Writing {
        output: Output,
        temporary: TempPath,
    },
    Prepared {
        temporary: TempPath,
    },
    Committed,
    /// A step failed; nothing is left.
    Failed,
}

enum Output {
    Plain(File),
    Gzip(GzEncoder<File>),
}

impl FileSink {
    fn create(target: PathBuf, gzip: bool, encoder: Encoder) -> Result<Self, Error> {
        let failed = |path: &Path, source| Error::Write { doing: "create", path: path.to_owned(), source };
        if target.is_dir() {
            return Err(failed(&target, io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let folder = folder_of(&target);
        fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        let name = target.file_name().expect("checked when the table was read").to_string_lossy();
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".tmp")
            // As any new file: the umask takes away from it.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|source| failed(&target, source))?;
        let (file, temporary) = file.into_parts();
        let output = if gzip { Output::Gzip(GzEncoder::new(file, COMPRESSION)) } else { Output::Plain(file) };
        let mut gathered = Vec::new();
        encoder.begin(&mut gathered);
        Ok(Self { target, encoder, gathered, state: State::Writing { output, temporary } })
    }

    fn write_gathered(&mut self) -> Result<(), Error> {
        let State::Writing { output, .. } = &mut self.state else { panic!("rows after the end of input") };
        let result = match output {
            Output::Plain(file) => file.write_all(&self.gathered),
            Output::Gzip(encoder) => encoder.write_all(&self.gathered),
        };
        self.gathered.clear();
        result.map_err(|source| self.failed("write", source))
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        Error::Write { doing, path: self.target.clone(), source }
    }
}

impl Sink for FileSink {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.encoder.rows(batch, &mut self.gathered);
        if self.gathered.len() >= GATHER_BYTES { self.write_gathered() } else { Ok(()) }
    }

    /// Does nothing: the file appears whole.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), Error> {
        if !matches!(self.state, State::Writing { .. }) {
            return Ok(());
        }
        self.write_gathered()?;
        let state = std::mem::replace(&mut self.state, State::Failed);
        let State::Writing { output, temporary } = state else { unreachable!("looked at above") };
        let file = match output {
            Output::Plain(file) => file,
            Output::Gzip(encoder) => encoder.finish().map_err(|source| self.failed("write", source))?,
        };
        file.sync_all().map_err(|source| self.failed("sync", source))?;
        self.state = State::Prepared { temporary };
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Prepared { temporary } => match temporary.persist(&self.target) {
                Ok(()) => State::Committed,
                Err(refused) => {
                    self.state = State::Prepared { temporary: refused.path };
                    return Err(self.failed("replace", refused.error));
                }
            },
            State::Committed => State::Committed,
            State::Writing { .. } => panic!("commit of {} without prepare", self.target.display()),
            State::Failed => panic!("commit of {} after a failure", self.target.display()),
        };
        let folder = folder_of(&self.target);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| Error::Write { doing: "sync", path: folder.to_owned(), source })
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
