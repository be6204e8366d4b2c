//! The plugins of a cluster: components by name and version, their bytes by digest.
//!
//! A version's bytes never change. Bytes lie under their digest in `plugins/`, complete and durable before a version names
//! them; those that no version names any more are removed with the last one, and at the next start.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use wasmill_durable::{Point, step};
use wasmill_model::{
    fault::{Code, Coded},
    settings::{self, Setting, did_you_mean},
};
use wasmill_plugin::{Digest, PluginStore, plugins::Checked};
use wasmill_rest::{PluginDetail, PluginVersion, Problem, Stored};

use crate::catalogue::Catalogue;

/// A version of a plugin, as the catalogue keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PluginRecord {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    size: u64,
    description: Option<String>,
    languages: Vec<String>,
    uploaded_ms: i64,
}

/// All plugins of a cluster. Calls wait for the disk and for the compiler.
#[derive(Debug)]
pub(crate) struct Registry {
    catalogue: Arc<Catalogue>,
    folder: PathBuf,
    store: Arc<PluginStore>,
    /// By `name@version`.
    versions: Mutex<BTreeMap<String, PluginRecord>>,
    /// Who puts or removes: one at a time. Checking goes on beside it.
    changing: Mutex<()>,
    /// Who checks a component, so that few children compile at once.
    checking: Mutex<()>,
}

impl Registry {
    /// The registry of a data folder; `records` are those of the catalogue.
    pub(crate) fn open(
        folder: &Path,
        catalogue: Arc<Catalogue>,
        store: Arc<PluginStore>,
        records: Vec<PluginRecord>,
    ) -> io::Result<Self> {
        let folder = folder.join("plugins");
        let uploads = folder.join("uploads");
        if uploads.exists() {
            // What a killed process was receiving.
            fs::remove_dir_all(&uploads)?;
        }
        fs::create_dir_all(&uploads)?;
        let versions = records.into_iter().map(|record| (reference(&record.name, &record.version), record)).collect();
        let (versions, changing) = (Mutex::new(versions), Mutex::default());
        let registry = Self { catalogue, folder, store, versions, changing, checking: Mutex::default() };
        registry.sweep()?;
        Ok(registry)
    }

    /// Where uploads are written before they are put.
    pub(crate) fn upload_folder(&self) -> PathBuf {
        self.folder.join("uploads")
    }

    pub(crate) fn store(&self) -> &Arc<PluginStore> {
        &self.store
    }

    /// Checks and keeps a component. With `dry_run` nothing is kept.
    pub(crate) fn put(
        &self,
        name: &str,
        version: &str,
        file: NamedTempFile,
        dry_run: bool,
        now_ms: i64,
    ) -> Result<(PluginRecord, Stored), Problem> {
        let failed = |e: io::Error| {
            Problem::new(500, Code::CatalogueUnusable, format!("could not keep plugin {name}@{version}: {e}"))
        };
        let wasm = fs::read(file.path()).map_err(failed)?;
        let digest = Digest::of(&wasm);
        let reference = reference(name, version);
        let taken = |known: &PluginRecord| {
            let detail = format!(
                "could not upload plugin {reference}: the cluster has this version with other bytes, {}",
                known.digest
            );
            Problem::new(409, Code::PluginVersionTaken, detail).with_hint("give these bytes a version of their own")
        };
        if let Some(known) = self.version(&reference) {
            return if known.digest == digest { Ok((known, Stored::Same)) } else { Err(taken(&known)) };
        }
        let record = self.check(name, version, digest, &wasm, now_ms)?;
        if dry_run {
            return Ok((record, Stored::New));
        }
        let _changing = lock(&self.changing);
        if let Some(known) = self.version(&reference) {
            return if known.digest == digest { Ok((known, Stored::Same)) } else { Err(taken(&known)) };
        }
        let path = self.file(&digest);
        if !path.exists() {
            self.keep(file, &path).map_err(failed)?;
        }
        self.catalogue.put_plugin(&reference, &record).map_err(|e| Problem::of(500, &e))?;
        lock(&self.versions).insert(reference, record.clone());
        Ok((record, Stored::New))
    }

    /// Gives bytes that came their name, durably.
    fn keep(&self, file: NamedTempFile, path: &Path) -> io::Result<()> {
        step(Point::RegistrySync)?;
        file.as_file().sync_all()?;
        step(Point::RegistryName)?;
        file.persist(path).map_err(|e| e.error)?;
        let named = step(Point::RegistryNamed).and_then(|()| File::open(&self.folder)?.sync_all());
        if named.is_err() {
            // The next one who brings them would find them there, and take for durable what may not be.
            let _ = fs::remove_file(path);
        }
        named
    }

    fn check(
        &self,
        name: &str,
        version: &str,
        digest: Digest,
        wasm: &[u8],
        now_ms: i64,
    ) -> Result<PluginRecord, Problem> {
        let known = lock(&self.versions).values().find(|record| record.digest == digest).cloned();
        let (description, languages) = match known {
            Some(known) => (known.description, known.languages),
            None => {
                let _checking = lock(&self.checking);
                let Checked { inspection, .. } = self.store.check(wasm).map_err(|e| {
                    // Without a refusal it is this host that cannot, not the component that is wrong.
                    let status = if e.refusal().is_some() { 422 } else { 500 };
                    Problem::new(status, e.code(), format!("could not take plugin {name}@{version}: {e}"))
                })?;
                let description = inspection.manifest.and_then(|manifest| manifest.description);
                (description, inspection.languages)
            }
        };
        let (name, version) = (name.to_owned(), version.to_owned());
        Ok(PluginRecord { name, version, digest, size: wasm.len() as u64, description, languages, uploaded_ms: now_ms })
    }

    fn version(&self, reference: &str) -> Option<PluginRecord> {
        lock(&self.versions).get(reference).cloned()
    }

    /// All versions, sorted by name.
    pub(crate) fn all(&self) -> Vec<PluginRecord> {
        lock(&self.versions).values().cloned().collect()
    }

    /// A version by `name@version` or digest.
    pub(crate) fn find(&self, reference: &str) -> Result<PluginRecord, Problem> {
        let found = match reference.parse::<Digest>() {
            Ok(digest) => lock(&self.versions).values().find(|record| record.digest == digest).cloned(),
            Err(_) => self.version(reference),
        };
        found.ok_or_else(|| {
            let names: Vec<String> = lock(&self.versions).keys().cloned().collect();
            let hint = did_you_mean(reference, &names).unwrap_or_else(|| "`wasmill plugin ls` lists all".to_owned());
            Problem::new(404, Code::NotFound, format!("there is no plugin {reference}")).with_hint(hint)
        })
    }

    /// All that can be said of a version.
    pub(crate) fn detail(&self, reference: &str, used_by: Vec<String>) -> Result<PluginDetail, Problem> {
        let record = self.find(reference)?;
        let wasm = fs::read(self.file(&record.digest)).map_err(|e| {
            Problem::new(500, Code::CatalogueUnusable, format!("could not read plugin {reference}: {e}"))
        })?;
        let inspection = self.store.inspect(&wasm).map_err(|e| Problem::of(500, &e))?;
        Ok(PluginDetail { version: record.shown(used_by), inspection: inspection_json(&inspection) })
    }

    /// Forgets a version. The caller has made sure that no job runs it.
    pub(crate) fn remove(&self, name: &str, version: &str) -> Result<(), Problem> {
        let reference = reference(name, version);
        let _changing = lock(&self.changing);
        self.find(&reference)?;
        self.catalogue.remove_plugin(&reference).map_err(|e| Problem::of(500, &e))?;
        lock(&self.versions).remove(&reference);
        // What cannot be removed now is removed at the next start.
        let _ = self.sweep();
        Ok(())
    }

    /// Removes the bytes that no version names.
    fn sweep(&self) -> io::Result<()> {
        let named: Vec<PathBuf> = lock(&self.versions).values().map(|record| self.file(&record.digest)).collect();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") && !named.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The file of a component's bytes.
    pub(crate) fn file(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string().replace(':', "-")).with_extension("wasm")
    }

    /// The file of the component that a submitted job names.
    pub(crate) fn find_for_job(&self, plugin: &Setting) -> Result<PathBuf, settings::Error> {
        let text = plugin.string()?;
        if text.contains('/') {
            let hint = "push it with `wasmill plugin push`, and name it by name@version or digest; `wasmill deploy` does so by itself";
            let message = format!("\"{text}\" is a path, and a cluster reads no plugins from its own disks");
            return Err(plugin.error_with_hint(message, hint).coded(Code::NotFound));
        }
        let record = self.find(text).map_err(|problem| {
            let error = plugin.error(problem.detail).coded(Code::NotFound);
            settings::Error { hint: problem.hint, ..error }
        })?;
        Ok(self.file(&record.digest))
    }
}

impl PluginRecord {
    /// As people and programs see it.
    pub(crate) fn shown(&self, used_by: Vec<String>) -> PluginVersion {
        PluginVersion {
            name: self.name.clone(),
            version: self.version.clone(),
            digest: self.digest.to_string(),
            size: self.size,
            description: self.description.clone(),
            languages: self.languages.clone(),
            uploaded_ms: self.uploaded_ms,
            used_by,
        }
    }
}

fn inspection_json(inspection: &wasmill_plugin::inspect::Inspection) -> serde_json::Value {
    serde_json::to_value(inspection).unwrap_or_default()
}

fn reference(name: &str, version: &str) -> String {
    format!("{name}@{version}")
}

/// Nothing that is kept can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
