//! Where this process keeps compiled plugins, and which program compiles them.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;
use wasmill_plugin::{Engine, EngineOptions, PluginStore, cache::Cache, worker::Worker};

/// The hidden verb of the worker child.
pub(crate) const WORKER_VERB: &str = "plugin-worker";

/// The variable that names the cache folder.
const CACHE_VARIABLE: &str = "WASMILL_CACHE";

/// The store of this process: its engine, its cache of compiled code, itself as the worker child.
pub(crate) fn store(cache: Option<&Path>) -> anyhow::Result<PluginStore> {
    let folder = cache.map_or_else(default_cache, |folder| Ok(folder.to_owned()))?;
    // The worker child has another current folder.
    let folder = std::path::absolute(&folder).with_context(|| format!("could not find {}", folder.display()))?;
    let cache = Cache::open(&folder)
        .map_err(|e| anyhow::anyhow!("could not open the cache of compiled plugins in {}: {e}", folder.display()))?;
    let engine = Engine::new(&EngineOptions::default()).context("could not start the engine")?;
    let program = env::current_exe().context("could not find this program's own file")?;
    Ok(PluginStore::new(engine, cache, Worker::new(program, vec![WORKER_VERB.to_owned()])))
}

fn default_cache() -> anyhow::Result<PathBuf> {
    if let Some(folder) = env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let base = env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let base = base.with_context(|| format!("there is no home folder: name a cache folder in {CACHE_VARIABLE}"))?;
    Ok(base.join("wasmill"))
}
