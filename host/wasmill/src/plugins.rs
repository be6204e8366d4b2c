//! Where this process keeps compiled plugins, and which program compiles them.

use std::{
    env,
    path::{Path, PathBuf},
};

use wasmill_connectors::similar_file;
use wasmill_model::fault::{Code, Coded};
use wasmill_plugin::{Engine, EngineOptions, PluginStore, cache::Cache, worker::Worker};

use crate::error::Error;

/// The hidden verb of the worker child.
pub(crate) const WORKER_VERB: &str = "plugin-worker";

/// The variable that names the cache folder.
const CACHE_VARIABLE: &str = "WASMILL_CACHE";

/// The store of this process: its engine, its cache of compiled code, itself as the worker child.
pub(crate) fn store(cache: Option<&Path>) -> Result<PluginStore, Error> {
    let folder = cache.map_or_else(default_cache, |folder| Ok(folder.to_owned()))?;
    // The worker child has another current folder.
    let folder = std::path::absolute(&folder).map_err(|e| unusable(&folder, &e))?;
    let cache = Cache::open(&folder).map_err(|e| unusable(&folder, &e))?;
    let engine = Engine::new(&EngineOptions::default())
        .map_err(|e| Error::new(e.code(), format!("could not start the engine: {e}")))?;
    let program = env::current_exe().map_err(|e| {
        Error::new(Code::PluginWorker, format!("could not find this program's own file, to compile plugins with: {e}"))
    })?;
    Ok(PluginStore::new(engine, cache, Worker::new(program, vec![WORKER_VERB.to_owned()])))
}

/// The bytes of a file named on the command line.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|e| {
        let hint = similar_file(file).map_or_else(String::new, |near| format!("\n  hint: did you mean `{near}`?"));
        Error::new(Code::FileUnreadable, format!("could not read {}: {e}{hint}", file.display()))
    })
}

fn unusable(folder: &Path, reason: &dyn std::fmt::Display) -> Error {
    let message = format!("could not open the cache of compiled plugins in {}: {reason}", folder.display());
    Error::new(Code::PluginCache, message)
}

fn default_cache() -> Result<PathBuf, Error> {
    if let Some(folder) = env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let base = env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let base = base.ok_or_else(|| {
        let message = "could not choose a folder for compiled plugins: there is no home folder";
        Error::new(Code::PluginCache, format!("{message}\n  hint: name a folder by --cache or in {CACHE_VARIABLE}"))
    })?;
    Ok(base.join("wasmill"))
}
