//! From the bytes of a component to a plugin that can be started, compiling as rarely as can be.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wasmill_model::{
    descriptor::{Descriptor, Input},
    fault::{Code, Coded},
    manifest::Manifest,
};
use wasmtime::component::Component;

use crate::{
    cache::{self, Cache, Counters, Key},
    capsule::Recorder,
    digest::Digest,
    engine::{Engine, Tier},
    inspect::{self, Finding, Inspection, Refusal},
    limits::Limits,
    plugin::{self, Plugin},
    worker::{self, Question, Worker},
};

mod travel;

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
    #[error("{refusal} (found earlier)")]
    FailedBefore { refusal: Refusal },
}

impl Error {
    /// Why the component is refused, unless that is not what happened.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Worker(error) => error.refusal(),
            Self::Plugin(error) => {
                let place = inspect::Place::Whole;
                Some(Finding::new(error.code(), place, "an operator of the contract", error.to_string()).into())
            }
            Self::FailedBefore { refusal } => Some(refusal.clone()),
            Self::Cache(_) | Self::Lost { .. } => None,
        }
    }
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::Plugin(error) => error.code(),
            Self::Cache(_) | Self::Lost { .. } => Code::PluginCache,
            Self::FailedBefore { refusal } => refusal.code(),
        }
    }
}

/// Findings that the cache remembers of a component, at most, and the bytes of what each has found.
const REMEMBERED_MAX: usize = 8;
const REMEMBERED_BYTES_MAX: usize = 1 << 10;

/// What came of checking a component that can be an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub inspection: Inspection,
    /// With how much care its code was made.
    pub tier: Tier,
    /// How long that took, the inspection before it included; none: it was compiled earlier.
    pub compile_time: Option<Duration>,
}

/// A loaded plugin, and how its code was made.
#[derive(Debug, Clone)]
struct Loaded {
    plugin: Plugin,
    /// None: nobody has asked the component for it.
    manifest: Option<Option<Manifest>>,
    tier: Tier,
    key: Key,
    compile_time: Option<Duration>,
}

/// Code that the cache or the compiler has.
struct Found {
    component: Component,
    manifest: Option<Manifest>,
    tier: Tier,
    key: Key,
    compile_time: Option<Duration>,
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
    recorder: Option<Recorder>,
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
        Self { engine, cache, worker, recorder: None, places: Mutex::default(), described: Mutex::default() }
    }

    /// The same store, whose plugins have their failed calls saved. It keeps their components in memory.
    pub fn recorded_by(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// What stands in a component.
    pub fn inspect(&self, wasm: &[u8]) -> Result<Inspection, Error> {
        Ok(self.worker.inspect(wasm)?)
    }

    /// Inspects and compiles a component, as `load` does, and says what was found.
    pub fn check(&self, wasm: &[u8]) -> Result<Checked, Error> {
        let inspection = self.inspect(wasm)?;
        let Loaded { tier, compile_time, .. } = self.loaded(wasm)?;
        Ok(Checked { inspection, tier, compile_time })
    }

    /// The plugin of a component.
    pub fn load(&self, wasm: &[u8]) -> Result<Plugin, Error> {
        Ok(self.loaded(wasm)?.plugin)
    }

    /// What a component says of itself. It is compiled if it has not been: whoever asks is about to run it.
    pub fn manifest(&self, wasm: &[u8]) -> Result<Option<Manifest>, Error> {
        match self.loaded(wasm)?.manifest {
            Some(manifest) => Ok(manifest),
            None => self.find_manifest(&Digest::of(wasm), wasm),
        }
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
        let Found { component, manifest, tier, key, compile_time } = match self.find(&digest, wasm)? {
            Some(found) => found,
            None => self.find_or_compile(&digest, wasm)?,
        };
        let mut plugin = Plugin::from_component(&self.engine, &component, digest)?;
        if let Some(recorder) = &self.recorder {
            plugin = plugin.recorded_by(recorder.of_component(wasm));
        }
        Ok(loaded.insert(Loaded { plugin, manifest: Some(manifest), tier, key, compile_time }).clone())
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

    /// The code that the cache has, of the better tier it has.
    fn find_code(&self, digest: &Digest) -> Option<(Component, Tier, Key)> {
        [Tier::Optimized, Tier::Baseline].into_iter().find_map(|tier| {
            let key = Key::new(&self.engine, digest, tier);
            self.cache.get(&self.engine, &key).map(|component| (component, tier, key))
        })
    }

    /// What the cache has of either tier, or why there can be none.
    fn find(&self, digest: &Digest, wasm: &[u8]) -> Result<Option<Found>, Error> {
        if let Some((component, tier, key)) = self.find_code(digest) {
            let manifest = self.find_manifest(digest, wasm)?;
            return Ok(Some(Found { component, manifest, tier, key, compile_time: None }));
        }
        let failure = self.cache.failure(&Key::new(&self.engine, digest, Tier::Baseline));
        match failure.and_then(|reason| serde_json::from_slice(&reason).ok()) {
            Some(refusal) => Err(Error::FailedBefore { refusal }),
            None => Ok(None),
        }
    }

    /// The manifest from the cache, or, where its file has been evicted, from the component.
    fn find_manifest(&self, digest: &Digest, wasm: &[u8]) -> Result<Option<Manifest>, Error> {
        if let Some(manifest) = self.kept_manifest(digest) {
            return Ok(manifest);
        }
        let manifest = self.worker.inspect(wasm)?.manifest;
        self.keep_manifest(digest, manifest.as_ref())?;
        Ok(manifest)
    }

    /// The manifest, or that there is none, as the cache has it.
    fn kept_manifest(&self, digest: &Digest) -> Option<Option<Manifest>> {
        let bytes = self.cache.manifest(&self.manifest_key(digest))?;
        serde_json::from_slice(&bytes).ok()
    }

    fn keep_manifest(&self, digest: &Digest, manifest: Option<&Manifest>) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&manifest).expect("a manifest has text keys only");
        Ok(self.cache.put_manifest(&self.manifest_key(digest), &bytes)?)
    }

    /// The same whichever compiler made the code.
    fn manifest_key(&self, digest: &Digest) -> Key {
        Key::new(&self.engine, digest, Tier::Optimized)
    }

    /// Compiles what this process has not found, unless another one is just doing that.
    fn find_or_compile(&self, digest: &Digest, wasm: &[u8]) -> Result<Found, Error> {
        let _lock = self.cache.lock(&Key::new(&self.engine, digest, Tier::Optimized))?;
        match self.find(digest, wasm)? {
            Some(found) => Ok(found),
            None => self.compile(digest, wasm),
        }
    }

    fn compile(&self, digest: &Digest, wasm: &[u8]) -> Result<Found, Error> {
        let started = Instant::now();
        let compiled = match self.worker.compile(wasm) {
            Ok(compiled) => compiled,
            Err(error) => {
                self.remember_failure(digest, &error);
                return Err(error.into());
            }
        };
        let compile_time = started.elapsed();
        let key = Key::new(&self.engine, digest, compiled.tier);
        let manifest = compiled.inspection.manifest;
        self.keep_manifest(digest, manifest.as_ref())?;
        self.cache.put(&key, &compiled.code)?;
        // By way of the file, which is mapped instead of copied.
        let component = self.cache.get(&self.engine, &key).ok_or(Error::Lost { digest: *digest })?;
        Ok(Found { component, manifest, tier: compiled.tier, key, compile_time: Some(compile_time) })
    }

    /// So that the next attempt costs nothing. Where it cannot be remembered, it is found out again.
    fn remember_failure(&self, digest: &Digest, error: &worker::Error) {
        if !error.is_lasting() {
            return;
        }
        let Some(mut refusal) = error.refusal() else { return };
        refusal.findings.truncate(REMEMBERED_MAX);
        for finding in &mut refusal.findings {
            finding.found.truncate(finding.found.floor_char_boundary(REMEMBERED_BYTES_MAX));
        }
        if let Ok(reason) = serde_json::to_vec(&refusal) {
            let _ = self.cache.put_failure(&Key::new(&self.engine, digest, Tier::Baseline), &reason);
        }
    }
}

/// Nothing that is kept can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
