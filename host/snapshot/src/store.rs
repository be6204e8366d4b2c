//! The checkpoint store: where snapshot files and manifests lie, for all hosts of a cluster the same.
//!
//! ```text
//! CLUSTER/nonce
//! CLUSTER/job-7/manifests/41.json               a checkpoint
//! CLUSTER/job-7/manifests/43-before-v2.json     a savepoint
//! CLUSTER/job-7/files/41/OPERATOR/0-RANDOM.redb a snapshot file
//! CLUSTER/imported/manifests/41-of-tests.json   a savepoint that came as one file
//! CLUSTER/imported/files/RANDOM/OPERATOR/0-RANDOM.redb
//! ```
//! A file is written once, under a name that nothing had before, and a manifest at most once: whoever comes second is refused.
//! What does not have the bytes that a manifest names is never handed out.

use std::{collections::BTreeSet, fs::File, io, path::Path, sync::Arc, time::SystemTime};

use wasmill_model::{
    fault::{Code, Coded},
    ids::{CheckpointId, JobId},
};

use crate::{
    durable::random,
    file::{Expected, Written},
    manifest::{self, Manifest},
};

mod folder;
mod imports;
mod name;
mod objects;

pub use folder::Folder;
pub use imports::Import;
pub use name::{Name, NoName};
pub use objects::{Listed, Objects};

/// Bytes of a manifest.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a nonce.
const NONCE_BYTES_MAX: u64 = 1 << 10;
/// How often a file is read before it counts as damaged: what a network or a memory has damaged is good the second time.
const FETCHES: usize = 2;
/// Parts of the name of a folder in which all files of a job are, or all that was imported.
const FILES_DEPTH: usize = 3;
/// What is behind the name of a file that was found damaged.
const DAMAGED: &str = ".damaged";

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {action} {name} of the checkpoint store {store}: {source}")]
    Access { action: &'static str, store: String, name: String, source: io::Error },
    #[error("could not {action} {name} of the checkpoint store {store}: it is not there")]
    Missing { action: &'static str, store: String, name: Name },
    #[error(
        "could not fetch {name} of the checkpoint store {store}: it is not what was written: {reason}\n  hint: it was set \
         aside as {name}{DAMAGED}"
    )]
    Damaged { store: String, name: Name, reason: String },
    #[error("could not put {file} into the checkpoint store {store}: it is not what was written: {reason}")]
    DamagedBefore { store: String, file: String, reason: String },
    #[error("could not put {name} into the checkpoint store {store}: there is one already")]
    Taken { store: String, name: Name },
    #[error("could not use the checkpoint store {store}: {source}")]
    Name { store: String, source: NoName },
    #[error("{source}\n  in the checkpoint store {store}")]
    Manifest { store: String, source: manifest::Error },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Access { .. } | Self::Missing { .. } | Self::Taken { .. } => Code::CheckpointStore,
            Self::Damaged { .. } | Self::DamagedBefore { .. } => Code::CheckpointDamaged,
            Self::Manifest { source, .. } => source.code(),
            Self::Name { .. } => Code::Internal,
        }
    }
}

/// The part of a checkpoint store that is a cluster's. Calls wait for the disk; what they have done is durable.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn Objects>,
    cluster: Name,
}

/// A manifest that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: Name,
    pub checkpoint: CheckpointId,
    /// The name of a savepoint.
    pub savepoint: Option<String>,
}

impl Store {
    /// The part of a cluster in a store. The cluster's id is a part of names.
    pub fn new(objects: Arc<dyn Objects>, cluster: &str) -> Result<Self, Error> {
        let named = Name::part(cluster);
        let cluster = named.map_err(|source| Error::Name { store: objects.place(), source })?;
        Ok(Self { objects, cluster })
    }

    /// Copies a snapshot file into the store, under a name that nothing had before, unless it is not what was written.
    pub fn put(&self, from: &Path, written: &Written, of: &Origin<'_>) -> Result<Name, Error> {
        let random = random().map_err(|source| self.failed("name", "a file", source))?;
        let folder = format!("files/{}", of.checkpoint.0);
        let file = format!("{}-{random}.redb", of.subtask);
        let operator = Name::part(of.operator).map_err(|source| Error::Name { store: self.place(), source })?;
        let name = self.job(of.job, &[&folder, operator.as_str(), &file])?;
        let copied = File::open(from).and_then(|mut from| self.objects.put_all(&name, &mut from, &written.expected()));
        match copied.map_err(|source| self.failed("put", name.as_str(), source))? {
            None => Ok(name),
            Some(reason) => Err(Error::DamagedBefore { store: self.place(), file: from.display().to_string(), reason }),
        }
    }

    /// Copies a file from the store to a path, in place of what is there. Only what has this length and hash is handed out;
    /// what has not is set aside.
    pub fn fetch(&self, name: &Name, expected: &Expected, to: &Path) -> Result<(), Error> {
        let failed = |source| self.failed("fetch", name.as_str(), source);
        let aside = name.with_suffix(DAMAGED).map_err(|source| Error::Name { store: self.place(), source })?;
        let mut reason = String::new();
        for _ in 0..FETCHES {
            match self.objects.get_file(name, to, expected) {
                Ok(None) => return Ok(()),
                Ok(Some(differs)) => reason = differs,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Err(_) if !self.objects.has(&aside).map_err(failed)? => return Err(self.missing("fetch", name)),
                Err(_) => {
                    let reason = "it was found damaged before".to_owned();
                    return Err(Error::Damaged { store: self.place(), name: name.clone(), reason });
                }
            }
        }
        self.objects.rename(name, &aside).map_err(|source| self.failed("set aside", name.as_str(), source))?;
        Err(Error::Damaged { store: self.place(), name: name.clone(), reason })
    }

    /// Makes a checkpoint or savepoint: it exists when this returns. Refused if there is one of its id and name.
    pub fn put_manifest(&self, manifest: &Manifest) -> Result<Name, Error> {
        let bytes = manifest.to_bytes().map_err(|source| self.wrong(source))?;
        let file = match &manifest.savepoint {
            None => format!("{}.json", manifest.checkpoint.0),
            Some(savepoint) => format!("{}-{savepoint}.json", manifest.checkpoint.0),
        };
        let name = self.job(manifest.job, &["manifests", &file])?;
        self.put_new(name, &bytes)
    }

    fn put_new(&self, name: Name, bytes: &[u8]) -> Result<Name, Error> {
        match self.objects.put_new(&name, bytes) {
            Ok(true) => Ok(name),
            Ok(false) => Err(Error::Taken { store: self.place(), name }),
            Err(source) => Err(self.failed("put", name.as_str(), source)),
        }
    }

    /// Reads a manifest, which must be the one that its name says.
    pub fn manifest(&self, name: &Name) -> Result<Manifest, Error> {
        let bytes = match self.objects.read(name, MANIFEST_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.missing("read", name)),
            read => read.map_err(|source| self.failed("read", name.as_str(), source))?,
        };
        let manifest = Manifest::from_bytes(name.as_str(), &bytes).map_err(|source| self.wrong(source))?;
        let Manifest { job, checkpoint, savepoint, .. } = &manifest;
        let says = Entry { name: name.clone(), checkpoint: *checkpoint, savepoint: savepoint.clone() };
        let is_imported = savepoint.is_some() && self.is_imported(name);
        if entry(name) != Some(says) || !(is_imported || name.is_below(&self.job(*job, &["manifests"])?)) {
            let reason = format!("it is that of {checkpoint} of {job}");
            return Err(self.wrong(manifest::Error::Wrong { name: name.to_string(), reason }));
        }
        Ok(manifest)
    }

    /// The checkpoints and savepoints of a job, the newest first.
    pub fn manifests(&self, job: JobId) -> Result<Vec<Entry>, Error> {
        let folder = self.job(job, &["manifests"])?;
        let mut entries: Vec<Entry> = self.list(&folder)?.iter().filter_map(|listed| entry(&listed.name)).collect();
        entries.sort_by(|a, b| (b.checkpoint, &b.savepoint).cmp(&(a.checkpoint, &a.savepoint)));
        Ok(entries)
    }

    /// Makes durable which checkpoints and savepoints of a job there are, before anything follows from them: one that appeared in a
    /// life that ended at that moment could be gone after a loss of power.
    pub fn settle_manifests(&self, job: JobId) -> Result<(), Error> {
        let folder = self.job(job, &["manifests"])?;
        self.objects.settle(&folder).map_err(|source| self.failed("sync", folder.as_str(), source))
    }

    /// The savepoints of all jobs, the newest of a job first.
    pub fn savepoints(&self) -> Result<Vec<Entry>, Error> {
        let listed = self.list(&self.cluster)?;
        let is_manifest = |name: &Name| name.parts().nth_back(1) == Some("manifests");
        let names = listed.iter().map(|listed| &listed.name).filter(|name| is_manifest(name));
        let mut entries: Vec<Entry> = names.filter_map(entry).filter(|entry| entry.savepoint.is_some()).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.checkpoint));
        Ok(entries)
    }

    /// All that lies where these files do: in the folders of their jobs, or of what was imported.
    pub fn beside<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Result<Vec<Listed>, Error> {
        let folder = |name: &Name| name.parts().take(FILES_DEPTH).collect::<Vec<_>>().join("/");
        let folders: BTreeSet<String> = names.map(folder).collect();
        let mut all = Vec::new();
        for folder in folders {
            let folder = folder.parse().map_err(|source| Error::Name { store: self.place(), source })?;
            all.extend(self.list(&folder)?);
        }
        Ok(all)
    }

    /// Removes files and manifests. What is not there any more is no error.
    pub fn delete<'a>(&self, names: impl IntoIterator<Item = &'a Name>) -> Result<(), Error> {
        let delete = |name: &Name| match self.objects.delete(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted.map_err(|source| self.failed("delete", name.as_str(), source)),
        };
        names.into_iter().try_for_each(delete)
    }

    /// The files of a job that were last written before a time: what no manifest names of them can go. Among them are copies and
    /// manifests that were never completed, and what was set aside.
    pub fn files_before(&self, job: JobId, time: SystemTime) -> Result<Vec<Listed>, Error> {
        let mut files = self.list(&self.job(job, &["files"])?)?;
        let beside_manifests = self.list(&self.job(job, &["manifests"])?)?;
        files.extend(beside_manifests.into_iter().filter(|listed| entry(&listed.name).is_none()));
        files.retain(|file| file.modified < time);
        Ok(files)
    }

    /// Writes what whoever else uses the store must find there.
    pub fn write_nonce(&self, nonce: &str) -> Result<(), Error> {
        let name = self.name(&["nonce"])?;
        self.objects.put(&name, nonce.as_bytes()).map_err(|source| self.failed("write", name.as_str(), source))
    }

    /// What was written there, if anything was.
    pub fn read_nonce(&self) -> Result<Option<String>, Error> {
        let name = self.name(&["nonce"])?;
        match self.objects.read(&name, NONCE_BYTES_MAX) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed("read", name.as_str(), source)),
        }
    }

    fn list(&self, folder: &Name) -> Result<Vec<Listed>, Error> {
        self.objects.list(folder).map_err(|source| self.failed("list", folder.as_str(), source))
    }

    fn job(&self, job: JobId, parts: &[&str]) -> Result<Name, Error> {
        self.name(&[&[job.to_string().as_str()], parts].concat())
    }

    fn name(&self, parts: &[&str]) -> Result<Name, Error> {
        let text = [&[self.cluster.as_str()], parts].concat().join("/");
        text.parse().map_err(|source| Error::Name { store: self.place(), source })
    }

    fn place(&self) -> String {
        self.objects.place()
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> Error {
        Error::Access { action, store: self.place(), name: name.to_owned(), source }
    }

    fn missing(&self, action: &'static str, name: &Name) -> Error {
        Error::Missing { action, store: self.place(), name: name.clone() }
    }

    fn wrong(&self, source: manifest::Error) -> Error {
        Error::Manifest { store: self.place(), source }
    }
}

/// Whose file it is.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub job: JobId,
    pub checkpoint: CheckpointId,
    pub operator: &'a str,
    pub subtask: u32,
}

/// What the name of a manifest says. None: it is no name of a manifest.
fn entry(name: &Name) -> Option<Entry> {
    let stem = name.last().strip_suffix(".json")?;
    let (number, savepoint) = match stem.split_once('-') {
        Some((number, savepoint)) if manifest::is_savepoint_name(savepoint) => (number, Some(savepoint.to_owned())),
        Some(_) => return None,
        None => (stem, None),
    };
    let checkpoint = number.parse().ok().filter(|id: &u64| id.to_string() == number)?;
    Some(Entry { name: name.clone(), checkpoint: CheckpointId(checkpoint), savepoint })
}

#[cfg(test)]
mod tests;
