//! What the tests run guests on.

use std::{path::PathBuf, time::Duration};

use wasmill_hostile::template;
use wasmill_plugin::{Engine, EngineOptions, Limits, Plugin, PluginStore, Worker, cache::Cache, worker::Budget};

/// The program of the worker child.
const WORKER: &str = env!("CARGO_BIN_EXE_wasmill-hostile");

/// How long a call may take that never ends.
const DEADLINE: Duration = Duration::from_millis(100);

/// The folder of the programs.
pub(crate) fn programs() -> PathBuf {
    let program = std::env::current_exe().expect("a test knows where it is");
    program.ancestors().nth(2).expect("tests stand in a folder below the programs").to_owned()
}

/// The folder of everything that is built.
pub(crate) fn target() -> PathBuf {
    programs().parent().expect("programs stand in a folder of it").to_owned()
}

/// One folder of compiled guests for all tests.
pub(crate) fn cache() -> PathBuf {
    target().join("hostile-cache")
}

/// A store over that folder.
pub(crate) fn store(engine: Engine) -> PluginStore {
    PluginStore::new(engine, Cache::open(cache()).expect("the folder can be made"), Worker::new(WORKER, Vec::new()))
}

/// A store that knows nothing yet and gives up on a compilation soon. The folder goes with the guard.
pub(crate) fn impatient_store() -> (PluginStore, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().expect("temporary folders can be made");
    let (cpu, cpu_per_mib) = (Duration::from_secs(2), Duration::from_secs(1));
    // Longer than the test may take: how busy the machine is must not matter.
    let budget = Budget { cpu, cpu_per_mib, deadline: Duration::from_secs(600), ..Budget::default() };
    let worker = Worker::with_budget(WORKER, Vec::new(), budget);
    (PluginStore::new(engine(4), Cache::open(folder.path()).expect("the folder is there"), worker), folder)
}

/// An engine with room for this many instances.
pub(crate) fn engine(pool_instances: u32) -> Engine {
    Engine::new(&EngineOptions { pool_instances, ..EngineOptions::default() }).expect("the engine starts")
}

/// The limits of a guest of which this is expected.
pub(crate) fn limits(answer: &str) -> Limits {
    if answer.ends_with("deadline") {
        Limits { call_deadline: DEADLINE, ..Limits::default() }
    } else {
        Limits::default()
    }
}

/// The plugin of the guest of this name.
#[track_caller]
pub(crate) fn load(store: &PluginStore, name: &str) -> Plugin {
    let wasm = template::guest(name).unwrap_or_else(|e| panic!("{e:#}"));
    store.load(&wasm).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A guest that passes all rows on: what the template makes of nothing.
pub(crate) fn good(store: &PluginStore) -> Plugin {
    store.load(&template::component("").expect("it is a component")).expect("nothing is wrong with it")
}
