//! One file being written, under its temporary name.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempPath;
use wasmill_model::{Batch, Schema};

use super::{FileName, temporary};
use crate::{
    Error,
    encode::{Container, Encoder, EncoderConfig},
    file_name::Packing,
};

/// Bytes to gather before they are written.
const GATHER_BYTES: usize = 256 << 10;
/// Fast, as output is often read soon and seldom kept.
const GZIP: Compression = Compression::new(3);
const ZSTD_LEVEL: i32 = 3;

/// What a file is made with.
#[derive(Debug, Clone)]
pub(super) struct PartOptions {
    pub(super) name: FileName,
    pub(super) encoder: EncoderConfig,
    pub(super) schema: Schema,
}

/// A file being written. Dropping it removes it.
pub(super) struct Part {
    /// For messages.
    target: PathBuf,
    encoder: Encoder,
    gathered: Vec<u8>,
    output: Output,
    temporary: TempPath,
}

/// A file that is whole and durable, still under its temporary name. Dropping it removes it.
pub(super) struct Finished {
    pub(super) temporary: TempPath,
    /// Holds the lock until the file has its name.
    pub(super) file: File,
}

/// The way to the file, which counts what arrives.
enum Output {
    Plain(Counted),
    Gzip(GzEncoder<Counted>),
    Zstd(zstd::stream::write::Encoder<'static, Counted>),
}

struct Counted {
    file: File,
    bytes: u64,
}

impl Part {
    /// Makes missing folders and the temporary file. `target` is for messages.
    pub(super) fn create(options: &PartOptions, target: PathBuf) -> Result<Self, Error> {
        let folder = &options.name.folder;
        fs::create_dir_all(folder).map_err(|source| failed("create", folder, source))?;
        let made = temporary::create(folder, &options.name.whole());
        let (file, temporary) = made.map_err(|source| failed("create", &target, source))?;
        let file = Counted { file, bytes: 0 };
        let output = match options.name.packing {
            None => Output::Plain(file),
            Some(Packing::Gzip) => Output::Gzip(GzEncoder::new(file, GZIP)),
            Some(Packing::Zstd) => Output::Zstd(
                zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)
                    .map_err(|source| failed("create", &target, source))?,
            ),
        };
        let mut encoder = options.encoder.open(&options.schema, Container::File);
        let mut gathered = Vec::new();
        encoder.begin(&mut gathered);
        Ok(Self { target, encoder, gathered, output, temporary })
    }

    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let encoded = self.encoder.rows(batch, &mut self.gathered);
        encoded.map_err(|source| failed("write", &self.target, source))?;
        if self.gathered.len() >= GATHER_BYTES { self.write_gathered() } else { Ok(()) }
    }

    /// Bytes it would have if it ended now, roughly: what is gathered is not packed yet.
    pub(super) fn bytes(&self) -> u64 {
        let written = match &self.output {
            Output::Plain(file) => file.bytes,
            Output::Gzip(packed) => packed.get_ref().bytes,
            Output::Zstd(packed) => packed.get_ref().bytes,
        };
        written + (self.gathered.len() + self.encoder.held_bytes()) as u64
    }

    /// Writes what is left and makes it durable.
    pub(super) fn finish(mut self) -> Result<Finished, Error> {
        let target = self.target.clone();
        let encoded = self.encoder.end(&mut self.gathered);
        encoded.map_err(|source| failed("write", &target, source))?;
        self.write_gathered()?;
        let file = match self.output {
            Output::Plain(file) => Ok(file),
            Output::Gzip(packed) => packed.finish(),
            Output::Zstd(packed) => packed.finish(),
        };
        let Counted { file, .. } = file.map_err(|source| failed("write", &target, source))?;
        file.sync_all().map_err(|source| failed("sync", &target, source))?;
        Ok(Finished { temporary: self.temporary, file })
    }

    fn write_gathered(&mut self) -> Result<(), Error> {
        let result = match &mut self.output {
            Output::Plain(file) => file.write_all(&self.gathered),
            Output::Gzip(packed) => packed.write_all(&self.gathered),
            Output::Zstd(packed) => packed.write_all(&self.gathered),
        };
        self.gathered.clear();
        result.map_err(|source| failed("write", &self.target, source))
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes the names of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| failed("sync", folder, source))
}

pub(super) fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Write { doing, path: path.to_owned(), source }
}
