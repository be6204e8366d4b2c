//! One file being written, under its temporary name.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde::{Deserialize, Serialize};
use tempfile::TempPath;
use wasmill_durable::{Point, step};
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
    /// Bytes before the first row.
    header: u64,
    /// Whether anything was written since what is there was made durable.
    dirty: bool,
}

/// What is needed in order to write on in a file, elsewhere or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) temporary: PathBuf,
    /// What is durable; what stands behind it is not of the checkpoint.
    bytes: u64,
    /// Bytes before the first row.
    header: u64,
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
        let made = step(Point::SinkCreate).and_then(|()| temporary::create(folder, &options.name.whole()));
        let (file, temporary) = made.map_err(|source| failed("create", &target, source))?;
        let file = Counted { file, bytes: 0 };
        let output = Output::new(options.name.packing, file).map_err(|source| failed("create", &target, source))?;
        let mut encoder = options.encoder.open(&options.schema, Container::File);
        let mut gathered = Vec::new();
        encoder.begin(&mut gathered);
        let dirty = !gathered.is_empty();
        Ok(Self { target, encoder, gathered, output, temporary, header: 0, dirty })
    }

    /// Begins a file with what a checkpoint kept of another one, so as to write on behind it.
    pub(super) fn resume(options: &PartOptions, target: PathBuf, kept: &Kept) -> Result<Self, Error> {
        let folder = &options.name.folder;
        let made = step(Point::SinkResume).and_then(|()| temporary::create(folder, &options.name.whole()));
        let (file, temporary) = made.map_err(|source| failed("create", &target, source))?;
        let mut file = Counted { file, bytes: 0 };
        kept.copy(0, &mut file)?;
        let output = Output::new(options.name.packing, file).map_err(|source| failed("create", &target, source))?;
        let encoder = options.encoder.open(&options.schema, Container::File);
        Ok(Self { target, encoder, gathered: Vec::new(), output, temporary, header: kept.header, dirty: false })
    }

    /// Adds the rows of another file that a checkpoint kept.
    pub(super) fn append(&mut self, kept: &Kept) -> Result<(), Error> {
        self.settle()?;
        kept.copy(kept.header, self.output.counted())
    }

    /// Makes all that was written durable, so that whoever has the first bytes of the file can write on behind them. From now on
    /// the file stays when this is dropped: a checkpoint may name it.
    pub(super) fn keep(&mut self) -> Result<Kept, Error> {
        self.settle()?;
        self.temporary.disable_cleanup(true);
        let bytes = self.output.counted().bytes;
        Ok(Kept { temporary: self.temporary.to_path_buf(), bytes, header: self.header })
    }

    /// Begins a file that may be written on later, and of which it can be told where its first row begins, also if it is packed.
    pub(super) fn create_to_keep(options: &PartOptions, target: PathBuf) -> Result<Self, Error> {
        let mut part = Self::create(options, target)?;
        if options.encoder.is_text() && !part.gathered.is_empty() {
            part.write_gathered()?;
            part.output.cut().map_err(|source| failed("write", &part.target, source))?;
            part.header = part.output.counted().bytes;
        }
        Ok(part)
    }

    /// Writes all, and makes it durable; what is packed begins anew behind it.
    fn settle(&mut self) -> Result<(), Error> {
        self.dirty |= !self.gathered.is_empty();
        self.write_gathered()?;
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        let settled = self.output.cut().and_then(|()| synced(|| self.output.counted().file.sync_data()));
        settled.map_err(|source| failed("sync", &self.target, source))
    }

    /// Completes the file, which stays when what is returned is dropped.
    pub(super) fn close(self) -> Result<(Kept, File), Error> {
        let header = self.header;
        let Finished { mut temporary, file } = self.finish()?;
        temporary.disable_cleanup(true);
        let bytes = file.metadata().map_err(|source| failed("look at", &temporary, source))?.len();
        Ok((Kept { temporary: temporary.to_path_buf(), bytes, header }, file))
    }

    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.dirty = true;
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
        synced(|| file.sync_all()).map_err(|source| failed("sync", &target, source))?;
        Ok(Finished { temporary: self.temporary, file })
    }

    fn write_gathered(&mut self) -> Result<(), Error> {
        let result = step(Point::SinkWrite).and_then(|()| match &mut self.output {
            Output::Plain(file) => file.write_all(&self.gathered),
            Output::Gzip(packed) => packed.write_all(&self.gathered),
            Output::Zstd(packed) => packed.write_all(&self.gathered),
        });
        self.gathered.clear();
        result.map_err(|source| failed("write", &self.target, source))
    }
}

impl Output {
    fn new(packing: Option<Packing>, file: Counted) -> io::Result<Self> {
        Ok(match packing {
            None => Self::Plain(file),
            Some(Packing::Gzip) => Self::Gzip(GzEncoder::new(file, GZIP)),
            Some(Packing::Zstd) => Self::Zstd(zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?),
        })
    }

    fn counted(&mut self) -> &mut Counted {
        match self {
            Self::Plain(file) => file,
            Self::Gzip(packed) => packed.get_mut(),
            Self::Zstd(packed) => packed.get_mut(),
        }
    }

    /// Ends what is packed, and begins again behind it: packed files may be joined.
    fn cut(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => {}
            Self::Gzip(packed) => {
                packed.try_finish()?;
                let file = packed.get_ref().again()?;
                *packed = GzEncoder::new(file, GZIP);
            }
            Self::Zstd(packed) => {
                packed.do_finish()?;
                let file = packed.get_ref().again()?;
                *packed = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?;
            }
        }
        Ok(())
    }
}

impl Counted {
    /// The same file, at the same place.
    fn again(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, bytes: self.bytes })
    }
}

impl Kept {
    /// Fails if the file does not have what it had.
    pub(super) fn check(&self) -> Result<(), Error> {
        let path = &self.temporary;
        let lost = |reason: String| Error::Lost { path: path.clone(), reason };
        match fs::metadata(path) {
            Ok(found) if found.len() >= self.bytes => Ok(()),
            Ok(found) => Err(lost(format!("it has {} bytes, and had {} at the checkpoint", found.len(), self.bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(lost("it is gone".to_owned())),
            Err(error) => Err(failed("go on with", path, error)),
        }
    }

    /// Copies what it has from a place on. It was checked before.
    fn copy(&self, from: u64, to: &mut Counted) -> Result<(), Error> {
        let path = &self.temporary;
        let mut file = File::open(path).map_err(|source| failed("go on with", path, source))?;
        file.seek(SeekFrom::Start(from)).map_err(|source| failed("go on with", path, source))?;
        let wanted = self.bytes.saturating_sub(from);
        let copied = io::copy(&mut file.take(wanted), to).map_err(|source| failed("go on with", path, source))?;
        if copied < wanted {
            let message = format!("it has {} bytes, and had {} at the checkpoint", from + copied, self.bytes);
            return Err(failed("go on with", path, io::Error::other(message)));
        }
        synced(|| to.file.sync_data()).map_err(|source| failed("sync", path, source))
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

/// Makes a file durable, between the two fail points of that.
fn synced(sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    step(Point::SinkSync)?;
    sync()?;
    step(Point::SinkSynced)
}

/// Makes the names of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = step(Point::SinkFolder).and_then(|()| File::open(folder)).and_then(|folder| folder.sync_all());
    synced.map_err(|source| failed("sync", folder, source))
}

pub(super) fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Write { doing, path: path.to_owned(), source }
}
