//! Savepoints that come as one file: their snapshot files are put in place while they arrive, and the manifest last, so that a savepoint
//! is there whole or not at all.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use super::{Error, Name, Store, entry};
use crate::{
    archive::{self, Export},
    durable::random,
    manifest::{Manifest, SnapshotFile},
};

/// The folder of what was imported, beside those of jobs.
pub(super) const FOLDER: &str = "imported";

/// A savepoint whose files are there, and nobody sees. Dropped, they are gone.
#[derive(Debug)]
pub struct Import {
    store: Store,
    manifest: Manifest,
    files: Vec<Name>,
}

impl Import {
    /// Of which job, at what time, with what.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Makes it a savepoint of this name: it exists when this returns.
    pub fn finish(mut self, name: &str) -> Result<Name, Error> {
        self.manifest.savepoint = Some(name.to_owned());
        let bytes = self.manifest.to_bytes().map_err(|source| self.store.wrong(source))?;
        let file = format!("{}-{name}.json", self.manifest.checkpoint.0);
        let name = self.store.name(&[FOLDER, "manifests", &file])?;
        let put = self.store.put_new(name, &bytes);
        // Of a write that failed it is not known whether it is there: then its files stay until the next start.
        if !matches!(put, Err(Error::Taken { .. })) {
            self.files.clear();
        }
        put
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = self.store.delete(&self.files);
    }
}

impl Store {
    /// A savepoint, to be written as one file. All of its files are there when this returns, and can be read whoever removes it
    /// meanwhile.
    pub fn export(&self, name: &Name) -> Result<Export, archive::Error> {
        let manifest = self.manifest(name)?;
        Export::new(&manifest, |file| match self.objects.open(&file.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.missing("export", &file.name)),
            opened => opened.map_err(|source| self.failed("export", file.name.as_str(), source)),
        })
    }

    /// Reads a savepoint that was exported, to its end, and puts its files in place. `look` may refuse it before.
    pub fn import(
        &self,
        from: impl Read,
        look: impl FnOnce(&Manifest) -> Result<(), archive::Error>,
    ) -> Result<Import, archive::Error> {
        let folder = random().map_err(|source| self.failed("name", "a file", source))?;
        let mut from = Watched { from, failed: None };
        let mut put: Vec<Name> = Vec::new();
        let keep = |operator: &str, file: &SnapshotFile, from: &mut dyn Read| {
            let random = random().map_err(|source| self.failed("name", "a file", source))?;
            let name = self.name(&[FOLDER, "files", &folder, operator, &format!("0-{random}.redb")])?;
            let copied = self.objects.put_all(&name, from, &file.expected());
            match copied.map_err(|source| self.failed("put", name.as_str(), source))? {
                Some(reason) => return Err(archive::Error::Damaged { reason }),
                None => put.push(name.clone()),
            }
            Ok(name)
        };
        let read = archive::read(&mut from, look, keep);
        let read = match (read, from.failed) {
            (Err(_), Some(reason)) => Err(archive::Error::Damaged { reason }),
            (read, _) => read,
        };
        match read {
            Ok(manifest) => Ok(Import { store: self.clone(), manifest, files: put }),
            Err(error) => {
                let _ = self.delete(&put);
                Err(error)
            }
        }
    }

    /// Whether the savepoint of this manifest came as one file.
    pub fn is_imported(&self, name: &Name) -> bool {
        self.name(&[FOLDER, "manifests"]).is_ok_and(|folder| name.is_below(&folder))
    }

    /// Removes what imports have left that came to no end. None must be under way.
    pub fn sweep_imports(&self) -> Result<(), Error> {
        let listed = self.list(&self.name(&[FOLDER])?)?;
        let mut named = BTreeSet::new();
        for manifest in listed.iter().filter(|listed| entry(&listed.name).is_some()) {
            // One that cannot be read may name any of them.
            let Ok(manifest) = self.manifest(&manifest.name) else { return Ok(()) };
            named.extend(manifest.files().map(|file| file.name.clone()));
        }
        let is_left =
            |name: &&Name| entry(name).is_none() && !named.contains(name) && !name.last().ends_with(super::DAMAGED);
        self.delete(listed.iter().map(|listed| &listed.name).filter(is_left))
    }
}

/// Remembers why what is read through it could not be read.
struct Watched<R> {
    from: R,
    failed: Option<String>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed = Some(format!("it could not be read to its end: {error}"));
        }
        read
    }
}
