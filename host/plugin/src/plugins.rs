//! From the bytes of a component to a plugin that can be started, compiling as rarely as can be.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use wasmill_model::descriptor::{Descriptor, Input};
use wasmtime::component::Component;

use crate::{
    cache::{self, Cache, Counters, Key},
    digest::Digest,
    engine::{Engine, Tier},
    inspect::Inspection,
    limits::Limits,
    plugin::{self, Plugin},
    worker::{self, Question, Worker},
};

/// Plugins kept loaded, at most. One that is in use stays loaded beyond that, by who uses it.
const LOADED_MAX: usize = 64;

/// Descriptors kept, at most.
const DESCRIBED_MAX: usize = 256;

/// Why a component gives no plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Worker(#[from] worker::Error),
    #[error(transparent)]
    Plugin(#[from] plugin::Error),
    #[error("could not keep compiled code: {0}")]
    Cache(#[from] cache::Error),
    /// The cache gave back other bytes than it was given, or its folder is used against it.
    #[error("compiled code of {digest} was gone from the cache right after it was written")]
    Lost { digest: Digest },
    /// An earlier attempt, perhaps of another process, failed in a way that lasts.
    #[error("{message} (found earlier)")]
    FailedBefore { code: String, message: String },
}

impl Error {
    /// A stable name, for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Worker(error) => error.code(),
            Self::Plugin(_) => "interface",
            Self::Cache(_) | Self::Lost { .. } => "cache",
            Self::FailedBefore { code, .. } => code,
        }
    }
}

/// What the cache remembers of a component that cannot be compiled.
#[derive(Serialize, Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// A loaded plugin, and how its code was made.
#[derive(Debug, Clone)]
struct Loaded {
    plugin: Plugin,
    tier: Tier,
    key: Key,
}

/// The place of one component: whoever holds its lock is the one who loads it.
#[derive(Debug)]
struct Place {
    digest: Digest,
    loaded: Mutex<Option<Loaded>>,
}

/// What was asked of an operator, and its answer.
#[derive(Debug)]
struct Described {
    digest: Digest,
    config: String,
    inputs: Vec<Input>,
    descriptor: Descriptor,
}

/// Loads plugins by way of a cache and a worker. Requests for one component at the same time compile it once.
pub struct PluginStore {
    engine: Engine,
    cache: Cache,
    worker: Worker,
    /// Least recently used first.
    places: Mutex<VecDeque<Arc<Place>>>,
    /// Oldest first.
    described: Mutex<VecDeque<Described>>,
}

impl fmt::Debug for PluginStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginStore").field("cache", &self.cache).field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl PluginStore {
    /// A store whose plugins run on this engine.
    pub fn new(engine: Engine, cache: Cache, worker: Worker) -> Self {
        Self { engine, cache, worker, places: Mutex::default(), described: Mutex::default() }
    }

    /// What stands in a component.
    pub fn inspect(&self, wasm: &[u8]) -> Result<Inspection, Error> {
        Ok(self.worker.inspect(wasm)?)
    }

    /// The plugin of a component.
    pub fn load(&self, wasm: &[u8]) -> Result<Plugin, Error> {
        Ok(self.loaded(wasm)?.plugin)
    }

    /// The plugin of a component, and with how much care its code was made.
    pub fn load_with_tier(&self, wasm: &[u8]) -> Result<(Plugin, Tier), Error> {
        let loaded = self.loaded(wasm)?;
        Ok((loaded.plugin, loaded.tier))
    }

    /// What an operator says it is, under this configuration (JSON) and on these inputs. It is asked in the worker.
    pub fn describe(&self, wasm: &[u8], limits: &Limits, config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let digest = Digest::of(wasm);
        let is_same = |d: &&Described| d.digest == digest && d.config == config && d.inputs == inputs;
        if let Some(known) = lock(&self.described).iter().find(is_same) {
            return Ok(known.descriptor.clone());
        }
        let ask = |loaded: &Loaded| {
            self.worker.describe(Question {
                cache: self.cache.folder().to_owned(),
                key: loaded.key.as_str().to_owned(),
                digest,
                limits: limits.clone(),
                config: config.to_owned(),
                inputs: inputs.to_vec(),
            })
        };
        let descriptor = match ask(&self.loaded(wasm)?) {
            // Its file has been evicted, or was found harmed, since it was loaded.
            Err(worker::Error::NotCached) => {
                self.unload(&digest);
                ask(&self.loaded(wasm)?)?
            }
            other => other?,
        };
        let mut described = lock(&self.described);
        if described.len() == DESCRIBED_MAX {
            described.pop_front();
        }
        let (config, inputs) = (config.to_owned(), inputs.to_vec());
        described.push_back(Described { digest, config, inputs, descriptor: descriptor.clone() });
        Ok(descriptor)
    }

    /// How the cache on disk has done.
    pub fn cache_counters(&self) -> Counters {
        self.cache.counters()
    }

    fn loaded(&self, wasm: &[u8]) -> Result<Loaded, Error> {
        let digest = Digest::of(wasm);
        let place = self.place(digest);
        let mut loaded = lock(&place.loaded);
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let (component, tier, key) = match self.find(&digest)? {
            Some(found) => found,
            None => self.find_or_compile(&digest, wasm)?,
        };
        let plugin = Plugin::from_component(&self.engine, &component, digest)?;
        Ok(loaded.insert(Loaded { plugin, tier, key }).clone())
    }

    fn place(&self, digest: Digest) -> Arc<Place> {
        let mut places = lock(&self.places);
        let known = places.iter().position(|place| place.digest == digest).and_then(|at| places.remove(at));
        let place = known.unwrap_or_else(|| Arc::new(Place { digest, loaded: Mutex::default() }));
        places.push_back(Arc::clone(&place));
        if places.len() > LOADED_MAX {
            places.pop_front();
        }
        place
    }

    fn unload(&self, digest: &Digest) {
        lock(&self.places).retain(|place| place.digest != *digest);
    }

    /// What the cache has of either tier, or why there can be none.
    fn find(&self, digest: &Digest) -> Result<Option<(Component, Tier, Key)>, Error> {
        for tier in [Tier::Optimized, Tier::Baseline] {
            let key = Key::new(&self.engine, digest, tier);
            if let Some(component) = self.cache.get(&self.engine, &key) {
                return Ok(Some((component, tier, key)));
            }
        }
        let failure = self.cache.failure(&Key::new(&self.engine, digest, Tier::Baseline));
        match failure.and_then(|reason| serde_json::from_slice(&reason).ok()) {
            Some(Failure { code, message }) => Err(Error::FailedBefore { code, message }),
            None => Ok(None),
        }
    }

    /// Compiles what this process has not found, unless another one is just doing that.
    fn find_or_compile(&self, digest: &Digest, wasm: &[u8]) -> Result<(Component, Tier, Key), Error> {
        let _lock = self.cache.lock(&Key::new(&self.engine, digest, Tier::Optimized))?;
        match self.find(digest)? {
            Some(found) => Ok(found),
            None => self.compile(digest, wasm),
        }
    }

    fn compile(&self, digest: &Digest, wasm: &[u8]) -> Result<(Component, Tier, Key), Error> {
        let compiled = match self.worker.compile(wasm) {
            Ok(compiled) => compiled,
            Err(error) => {
                self.remember_failure(digest, &error);
                return Err(error.into());
            }
        };
        let key = Key::new(&self.engine, digest, compiled.tier);
        self.cache.put(&key, &compiled.code)?;
        // By way of the file, which is mapped instead of copied.
        let component = self.cache.get(&self.engine, &key).ok_or(Error::Lost { digest: *digest })?;
        Ok((component, compiled.tier, key))
    }

    /// So that the next attempt costs nothing. Where it cannot be remembered, it is found out again.
    fn remember_failure(&self, digest: &Digest, error: &worker::Error) {
        if !error.is_lasting() {
            return;
        }
        let mut message = error.to_string();
        message.truncate(message.floor_char_boundary(4 << 10));
        let failure = Failure { code: error.code().to_owned(), message };
        if let Ok(reason) = serde_json::to_vec(&failure) {
            let _ = self.cache.put_failure(&Key::new(&self.engine, digest, Tier::Baseline), &reason);
        }
    }
}

/// Nothing that is kept can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
