//! Compiled code on disk, so that a component is compiled once a machine.
//!
//! Wasmtime runs whatever it is told to load: a file with one flipped bit loads without a complaint. So a file is only
//! loaded if it ends with a code (keyed BLAKE3) that a secret of this cache makes for its name and content. A file is
//! written once, under another name, and renamed; several processes may use one folder at the same time.
//!
//! | in the folder | what |
//! |---|---|
//! | `secret` | 32 random bytes, readable by the owner only |
//! | `<key>.code` | compiled code, then 32 bytes of authentication code |
//! | `<key>.failure` | why the component cannot be compiled, sealed in the same way |
//! | `<key>.manifest` | what the component says of itself, sealed in the same way |
//! | `<key>.lock` | empty; locked by the process that compiles |
//!
//! A key is BLAKE3 over all that decides what is compiled: the component's digest, the exact version of wasmtime, target
//! and processor features, the engine's configuration, the tier, and the contract. Files of other versions are never asked for again
//! and fall to the size limit.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    hash::{Hash as _, Hasher},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use wasmill_model::fault::{Code, Coded};
use wasmtime::component::Component;

use crate::{
    digest::Digest,
    engine::{Engine, Tier},
    inspect::FUNCTIONS,
};

/// Bytes of all files, unless set otherwise.
const BYTES_MAX: u64 = 2 << 30;

/// The kind of file that holds compiled code.
const CODE: &str = "code";

/// Bytes of the authentication code at the end of a file.
const SEAL: u64 = 32;

/// Bytes of a reason why a component cannot be compiled, at most.
const FAILURE_MAX: u64 = 16 << 10;

/// Bytes of a manifest as it is kept, at most: several times what it has in a component, as it is kept in another form.
const MANIFEST_MAX: u64 = 1 << 20;

/// An unfinished file or a lock of this age was left behind by a process that is no more.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

/// What went wrong with the folder itself. A file that cannot be used is no error: it is compiled anew.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}: {source}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Coded for Error {
    fn code(&self) -> Code {
        Code::PluginCache
    }
}

/// What makes the authentication codes of a cache. It never appears in any output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// What authenticates a file: its name is part of it, so that no file can stand in for another.
    fn seal(&self, key: &Key, kind: &str) -> blake3::Hasher {
        let mut seal = blake3::Hasher::new_keyed(&self.0);
        seal.update(key.0.as_bytes()).update(kind.as_bytes()).update(b"\0");
        seal
    }
}

/// The name of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    /// The key under which this engine's process finds the code of a component.
    ///
    /// Processes that exchange code must compute it on engines of the same options: the child is told the key instead.
    pub(crate) fn new(engine: &Engine, digest: &Digest, tier: Tier) -> Self {
        Self::under(FUNCTIONS, engine, digest, tier)
    }

    fn under(contract: &str, engine: &Engine, digest: &Digest, tier: Tier) -> Self {
        let mut hasher = KeyHasher(blake3::Hasher::new());
        hasher.write(digest.as_bytes());
        // Holds wasmtime's full version, target, processor features and every option that decides what is compiled.
        engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
        hasher.write_u8(u8::from(tier == Tier::Baseline));
        // What is refused of a component, and can be called of its code, follows from it.
        hasher.write(contract.as_bytes());
        Self(hasher.0.finalize().to_hex().to_string())
    }

    /// A key that another process has computed.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let is_key = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets `std`'s hashing feed BLAKE3: its own hashers give 64 bits, too few for a name.
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the BLAKE3 hash is asked for")
    }
}

/// How a cache has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Entries found.
    pub hits: u64,
    /// Entries not found.
    pub misses: u64,
    /// Files that were harmed, cut off or not ours, and so removed.
    pub rejected: u64,
    /// Entries removed to stay within the size.
    pub evicted: u64,
}

/// Compiled code in a folder.
pub struct Cache {
    folder: PathBuf,
    secret: Secret,
    bytes_max: u64,
    hits: AtomicU64,
    misses: AtomicU64,
    rejected: AtomicU64,
    evicted: AtomicU64,
    /// Tells apart the unfinished files of this process's threads.
    unfinished: AtomicU64,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secret.
        f.debug_struct("Cache").field("folder", &self.folder).field("counters", &self.counters()).finish()
    }
}

impl Cache {
    /// The cache in this folder, made if it is not there, with up to 2 GiB of files.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_with_bytes_max(folder, BYTES_MAX)
    }

    /// The same with another limit. The newest entry stays whatever its size.
    pub fn open_with_bytes_max(folder: impl Into<PathBuf>, bytes_max: u64) -> Result<Self, Error> {
        let folder = folder.into();
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error { action, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed("make the folder", &folder))?;
        // It may have stood there before, open to others.
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(failed("close to others", &folder))?;
        let path = folder.join("secret");
        let secret = read_or_make_secret(&path).map_err(failed("read or make the secret", &path))?;
        let counter = AtomicU64::default;
        Ok(Self {
            folder,
            secret,
            bytes_max,
            hits: counter(),
            misses: counter(),
            rejected: counter(),
            evicted: counter(),
            unfinished: counter(),
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            hits: read(&self.hits),
            misses: read(&self.misses),
            rejected: read(&self.rejected),
            evicted: read(&self.evicted),
        }
    }

    /// The code of an entry, loaded. `None` if there is none that can be trusted.
    pub(crate) fn get(&self, engine: &Engine, key: &Key) -> Option<Component> {
        let file = self.open_sealed(key, CODE)?;
        // The name by which the kernel knows the very file that was verified, whatever stands under its path by now.
        let verified = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the file's content is code that this program had compiled: only a process that knows the secret, which
        // none but this user can read, can have sealed it, and the seal was found right on this open file. It is mapped,
        // so it must not change while the component lives: entries are written once, before they get their name, and
        // removing or replacing one leaves the mapped file as it is.
        #[expect(unsafe_code)]
        let loaded = unsafe { Component::deserialize_file(engine.wasmtime(), verified) };
        match loaded {
            Ok(component) => {
                // The time of last use, for eviction. A file that cannot be marked is merely evicted earlier.
                let _ = file.set_modified(SystemTime::now());
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(component)
            }
            Err(_) => {
                self.reject(key, CODE);
                None
            }
        }
    }

    /// Keeps code, then makes room. The code must come from a worker of this program.
    pub(crate) fn put(&self, key: &Key, code: &[u8]) -> Result<(), Error> {
        self.write_sealed(key, CODE, code)
    }

    /// Why a component cannot be compiled, if that is known.
    pub(crate) fn failure(&self, key: &Key) -> Option<Vec<u8>> {
        self.small(key, "failure", FAILURE_MAX)
    }

    /// Remembers why a component cannot be compiled.
    pub(crate) fn put_failure(&self, key: &Key, reason: &[u8]) -> Result<(), Error> {
        self.write_sealed(key, "failure", &reason[..reason.len().min(FAILURE_MAX as usize)])
    }

    /// The manifest of a component, as it was put there.
    pub(crate) fn manifest(&self, key: &Key) -> Option<Vec<u8>> {
        self.small(key, "manifest", MANIFEST_MAX)
    }

    /// Keeps the manifest of a component. It must come from a worker of this program.
    pub(crate) fn put_manifest(&self, key: &Key, manifest: &[u8]) -> Result<(), Error> {
        self.write_sealed(key, "manifest", manifest)
    }

    /// The content of a small file.
    fn small(&self, key: &Key, kind: &str, bytes_max: u64) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let file = self.open_sealed(key, kind)?;
        file.take(bytes_max + SEAL).read_to_end(&mut content).ok()?;
        content.truncate(content.len().checked_sub(SEAL as usize)?);
        Some(content)
    }

    /// Waits until no other process compiles what this key is for, and keeps others waiting until the file is dropped.
    /// It saves work and is needed for nothing else.
    pub(crate) fn lock(&self, key: &Key) -> Result<File, Error> {
        let path = self.path(key, "lock");
        let lock = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| Error { action: "lock", path: path.clone(), source })
    }

    fn path(&self, key: &Key, kind: &str) -> PathBuf {
        self.folder.join(&key.0).with_extension(kind)
    }

    /// The code of an entry as it lies on disk, with its authentication code, for a store that knows the secret.
    pub(crate) fn sealed(&self, key: &Key) -> Option<File> {
        self.open_sealed(key, CODE)
    }

    /// Keeps what [`Cache::sealed`] of another cache gave. `false` if that cache's secret did not make its authentication
    /// code for this key: then it is not what it seems, and nothing is kept.
    pub(crate) fn put_sealed(&self, key: &Key, sealed: &[u8], secret: &Secret) -> Result<bool, Error> {
        let Some((code, found)) = sealed.split_last_chunk::<{ SEAL as usize }>() else { return Ok(false) };
        // In constant time.
        let genuine = secret.seal(key, CODE).update(code).finalize() == blake3::Hash::from_bytes(*found);
        if genuine {
            self.write_sealed(key, CODE, code)?;
        }
        Ok(genuine)
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The file of an entry, read to its end and found whole; its place is the start.
    fn open_sealed(&self, key: &Key, kind: &str) -> Option<File> {
        let missed = || {
            self.misses.fetch_add(u64::from(kind == CODE), Ordering::Relaxed);
            None
        };
        let Ok(file) = File::open(self.path(key, kind)) else { return missed() };
        let verified = || -> io::Result<bool> {
            let Some(length) = file.metadata()?.len().checked_sub(SEAL) else { return Ok(false) };
            let mut seal = self.secret.seal(key, kind);
            seal.update_reader((&file).take(length))?;
            let mut found = [0; SEAL as usize];
            (&file).read_exact(&mut found)?;
            io::Seek::rewind(&mut &file)?;
            // In constant time.
            Ok(seal.finalize() == blake3::Hash::from_bytes(found))
        };
        if verified().unwrap_or(false) {
            return Some(file);
        }
        self.reject(key, kind);
        missed()
    }

    /// Removes a file that cannot be used.
    fn reject(&self, key: &Key, kind: &str) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        // Another process may have been faster.
        let _ = fs::remove_file(self.path(key, kind));
    }

    fn write_sealed(&self, key: &Key, kind: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.path(key, kind);
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(format!("{}.{kind}.{}.{number}.unfinished", key.0, process::id()));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(content)?;
            file.write_all(self.secret.seal(key, kind).update(content).finalize().as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        if let Err(source) = write() {
            let _ = fs::remove_file(&unfinished);
            return Err(Error { action: "write", path, source });
        }
        self.make_room(&path);
        Ok(())
    }

    /// Removes the entries that were not used for longest until the rest is small enough. What cannot be listed or
    /// removed now is tried again with the next entry.
    fn make_room(&self, newest: &Path) {
        let Ok(listing) = fs::read_dir(&self.folder) else { return };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for path in listing.flatten().map(|entry| entry.path()) {
            let Ok(metadata) = path.metadata() else { continue };
            let Ok(used) = metadata.modified() else { continue };
            match path.extension().and_then(|e| e.to_str()) {
                Some("code" | "failure" | "manifest") => entries.push((used, metadata.len(), path)),
                Some("unfinished" | "lock") if used.elapsed().is_ok_and(|age| age > ABANDONED_AFTER) => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in entries {
            if bytes <= self.bytes_max {
                break;
            }
            if path != newest && fs::remove_file(&path).is_ok() {
                bytes -= size;
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The secret; of several processes that start at once, one makes it and all read it.
fn read_or_make_secret(path: &Path) -> io::Result<Secret> {
    if !path.exists() {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}.{number}.unfinished", process::id()));
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(&secret)?;
        file.sync_all()?;
        // Unlike a rename, fails if the name is taken.
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others than its owner can read it"));
    }
    let mut secret = [0; 32];
    file.read_exact(&mut secret)?;
    Ok(Secret(secret))
}

#[cfg(test)]
mod tests;
