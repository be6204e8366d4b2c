//! A savepoint as one file: a plain tar archive of its manifest and, in the order in which the manifest names them, its snapshot
//! files.
//!
//! ```text
//! manifest.json
//! files/0-OPERATOR.redb
//! files/1-OPERATOR.redb
//! ```
//! It is written and read as a stream, in little memory. What is read is held against the manifest while it comes: nothing else may be
//! in it, in no other order, of no other size. Names in it are compared and never used.

use std::io::{self, Read, Write};

use tar::{Archive, Builder, EntryType, Header};
use wasmill_model::fault::{Code, Coded};

use crate::{
    Hash,
    file::Expected,
    manifest::{self, Manifest, SnapshotFile},
    store,
};

/// Bytes of the manifest of a savepoint that travels.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 20;

const MANIFEST: &str = "manifest.json";
/// Archives consist of blocks of this size.
const BLOCK: u64 = 512;
/// Blocks of zeros at the end.
const END_BLOCKS: u64 = 2;

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "could not read the savepoint: {reason}\n  hint: export it again, or copy it again from where it is whole; the file must be \
         as `wasmill savepoint export` wrote it"
    )]
    Damaged { reason: String },
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("could not write the savepoint: {0}")]
    Write(io::Error),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Damaged { .. } => Code::SavepointFileDamaged,
            Self::Manifest(manifest::Error::Version { .. }) => Code::CheckpointVersion,
            Self::Manifest(_) => Code::SavepointFileDamaged,
            Self::Store(error) => error.code(),
            Self::Write(_) => Code::CheckpointStore,
        }
    }
}

fn damaged(reason: impl Into<String>) -> Error {
    Error::Damaged { reason: reason.into() }
}

/// A savepoint on its way out.
pub struct Export {
    manifest: Vec<u8>,
    time_ms: i64,
    files: Vec<(String, Box<dyn Read + Send>, Expected)>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Export {
    /// Of a savepoint's manifest; `open` opens each of its files. What its sinks have not finished stays where they write, and so
    /// does not come along.
    pub fn new(
        manifest: &Manifest,
        mut open: impl FnMut(&SnapshotFile) -> Result<Box<dyn Read + Send>, store::Error>,
    ) -> Result<Self, Error> {
        let mut travels = manifest.clone();
        for subtask in travels.vertices.iter_mut().flat_map(|vertex| &mut vertex.subtasks) {
            subtask.transaction = None;
            subtask.left_behind |= subtask.unfinished.take().is_some();
        }
        let mut files = Vec::new();
        for (name, file) in named(&travels) {
            files.push((name, open(file)?, file.expected()));
        }
        Ok(Self { manifest: travels.to_bytes()?, time_ms: travels.time_ms, files })
    }

    /// How long the archive is.
    pub fn bytes(&self) -> u64 {
        let parts = self.files.iter().map(|(_, _, expected)| expected.bytes).chain([self.manifest.len() as u64]);
        parts.map(|bytes| BLOCK + bytes.next_multiple_of(BLOCK)).sum::<u64>() + END_BLOCKS * BLOCK
    }

    /// Writes the archive. Of the same savepoint it is the same each time. If a file is not what the manifest says, the error comes
    /// before the archive is whole.
    pub fn write(self, to: &mut dyn Write) -> Result<(), Error> {
        let Self { manifest, time_ms, files } = self;
        let mut archive = Builder::new(to);
        let time = u64::try_from(time_ms / 1_000).unwrap_or(0);
        append(&mut archive, MANIFEST, manifest.len() as u64, time, &mut &manifest[..])?;
        for (name, from, expected) in files {
            // What is too long would be seen as the next file.
            let mut from = Hashed::new(from.take(expected.bytes));
            append(&mut archive, &name, expected.bytes, time, &mut from)?;
            from.check(&expected).map_err(|reason| damaged(format!("{name}: {reason}")))?;
        }
        let to = archive.into_inner().map_err(Error::Write)?;
        to.flush().map_err(Error::Write)
    }
}

fn append(
    archive: &mut Builder<&mut dyn Write>,
    name: &str,
    bytes: u64,
    time: u64,
    from: &mut dyn Read,
) -> Result<(), Error> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(Error::Write)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(time);
    header.set_size(bytes);
    header.set_cksum();
    archive.append(&header, from).map_err(Error::Write)
}

/// The files of a manifest, and what they are called in an archive.
fn named(manifest: &Manifest) -> impl Iterator<Item = (String, &SnapshotFile)> {
    let of_vertices =
        manifest.vertices.iter().flat_map(|vertex| vertex.files.iter().map(move |file| (&vertex.name, file)));
    of_vertices.enumerate().map(|(number, (operator, file))| (format!("files/{number}-{operator}.redb"), file))
}

/// Reads an archive to its end without keeping anything of it.
pub fn check(from: impl Read) -> Result<Manifest, Error> {
    let keep = |_: &str, file: &SnapshotFile, from: &mut dyn Read| {
        let mut from = Hashed::new(from);
        io::copy(&mut from, &mut io::sink()).map_err(|e| damaged(e.to_string()))?;
        from.check(&file.expected()).map_err(damaged)?;
        Ok(file.name.clone())
    };
    read(from, |_| Ok(()), keep)
}

/// Reads an archive to its end. `look` is shown the manifest before anything is kept; `keep` is given the operator, what the manifest says
/// of a file, and the file, must read all of it and refuse what is not as it should be, and returns the name that the file has from then
/// on. Returned is the manifest with these names.
pub(crate) fn read(
    from: impl Read,
    look: impl FnOnce(&Manifest) -> Result<(), Error>,
    mut keep: impl FnMut(&str, &SnapshotFile, &mut dyn Read) -> Result<store::Name, Error>,
) -> Result<Manifest, Error> {
    let mut archive = Archive::new(from);
    let mut entries = archive.entries().map_err(|e| damaged(e.to_string()))?.raw(true);
    let mut next = |name: &str, bytes: Option<u64>| {
        let entry = entries.next().ok_or_else(|| damaged(format!("it ends before {name}")))?;
        let entry = entry.map_err(|e| damaged(format!("what stands in place of {name} cannot be read: {e}")))?;
        let is_file = entry.header().entry_type() == EntryType::Regular;
        if !is_file || *entry.path_bytes() != *name.as_bytes() {
            let found = String::from_utf8_lossy(&entry.path_bytes()).chars().take(100).collect::<String>();
            return Err(damaged(format!("it has `{}` in place of {name}", found.escape_debug())));
        }
        match bytes.filter(|bytes| *bytes != entry.size()) {
            Some(bytes) => Err(damaged(format!("{name} is {} bytes long, and should be {bytes}", entry.size()))),
            None => Ok(entry),
        }
    };
    let mut manifest = manifest(&mut next(MANIFEST, None)?)?;
    look(&manifest)?;
    let mut names = Vec::new();
    let mut operators = manifest.vertices.iter().flat_map(|vertex| vertex.files.iter().map(|_| vertex.name.as_str()));
    for (name, file) in named(&manifest) {
        let operator = operators.next().expect("there are as many");
        let mut entry = next(&name, Some(file.bytes))?;
        let kept = keep(operator, file, &mut entry);
        names.push(kept.map_err(|error| match error {
            Error::Damaged { reason } => damaged(format!("{name}: {reason}")),
            other => other,
        })?);
    }
    if entries.next().is_some() {
        return Err(damaged("it has more than its manifest names"));
    }
    nothing_behind(archive.into_inner())?;
    for (file, name) in manifest.vertices.iter_mut().flat_map(|vertex| &mut vertex.files).zip(names) {
        file.name = name;
    }
    Ok(manifest)
}

/// Reads the manifest, which must be one of a savepoint that travels.
fn manifest(entry: &mut tar::Entry<'_, impl Read>) -> Result<Manifest, Error> {
    if entry.size() > MANIFEST_BYTES_MAX {
        let max = MANIFEST_BYTES_MAX >> 20;
        return Err(damaged(format!("its manifest has {} bytes, and may have {max} MiB", entry.size())));
    }
    let (size, mut bytes) = (entry.size(), Vec::new());
    entry.read_to_end(&mut bytes).map_err(|e| damaged(format!("{MANIFEST}: {e}")))?;
    if bytes.len() as u64 != size {
        return Err(damaged(format!("it ends within {MANIFEST}")));
    }
    let manifest = Manifest::from_bytes(MANIFEST, &bytes)?;
    if manifest.savepoint.is_none() {
        return Err(damaged("it is of a checkpoint, not of a savepoint"));
    }
    // Names of operators become parts of names in the store.
    let unnameable = manifest.vertices.iter().find(|vertex| store::Name::part(&vertex.name).is_err());
    if let Some(vertex) = unnameable {
        return Err(damaged(format!("`{}` cannot name an operator", vertex.name.escape_debug())));
    }
    let mut subtasks = manifest.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    match subtasks.any(|subtask| subtask.transaction.is_some() || subtask.unfinished.is_some()) {
        true => Err(damaged("it has what a sink of another cluster has prepared")),
        false => Ok(manifest),
    }
}

/// Whoever packs archives anew may fill them up with zeros.
fn nothing_behind(mut from: impl Read) -> Result<(), Error> {
    let mut piece = [0; 8 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) if piece[..read].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err(damaged("something stands behind its end")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(format!("it could not be read to its end: {error}"))),
        }
    }
}

/// Hashes what is read through it.
struct Hashed<R> {
    from: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Hashed<R> {
    fn new(from: R) -> Self {
        Self { from, hasher: blake3::Hasher::new() }
    }

    /// Whether what was read is as expected. The error says how it differs.
    fn check(&self, expected: &Expected) -> Result<(), String> {
        let (bytes, blake3) = (self.hasher.count(), Hash::from(self.hasher.finalize()));
        if bytes != expected.bytes {
            return Err(format!("it is {bytes} bytes long, and should be {}", expected.bytes));
        }
        match blake3 == expected.blake3 {
            true => Ok(()),
            false => Err(format!("its blake3 is {blake3}, and should be {}", expected.blake3)),
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
