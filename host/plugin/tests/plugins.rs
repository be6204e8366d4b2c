//! From bytes to a plugin: what is compiled when, and what is remembered.

use std::{fs, path::Path, sync::Barrier, time::Duration};

use wasmill_model::{
    DataType, Field, Schema,
    descriptor::{Input, Shape},
    fault::{Code, Coded},
};
use wasmill_plugin::{
    Engine, EngineOptions, Limits, PluginStore, Tier, Worker,
    cache::{Cache, Counters},
    plugins::Error,
    worker::{self, Budget},
};

/// Notes in `calls` each time it is started, then is the child.
fn counting_worker(calls: &Path, budget: Budget) -> Worker {
    let script = format!("echo >> {}; exec {}", calls.display(), env!("CARGO_BIN_EXE_wasmill-plugin-worker"));
    Worker::with_budget("/bin/sh", vec!["-c".into(), script], budget)
}

struct World {
    folder: tempfile::TempDir,
    store: PluginStore,
}

impl World {
    fn new(budget: Budget) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Self::store(folder.path(), budget);
        Self { folder, store }
    }

    /// A store as another process would have it on the same folder.
    fn store(folder: &Path, budget: Budget) -> PluginStore {
        let options = EngineOptions { pool_instances: 8, ..EngineOptions::default() };
        let engine = Engine::new(&options).expect("these options are sound");
        let cache = Cache::open(folder.join("cache")).expect("a new folder");
        PluginStore::new(engine, cache, counting_worker(&folder.join("calls"), budget))
    }

    /// Children started so far.
    fn calls(&self) -> usize {
        fs::read_to_string(self.folder.path().join("calls")).map_or(0, |text| text.lines().count())
    }

    /// The one file of this kind in the cache.
    fn entry(&self, kind: &str) -> std::path::PathBuf {
        let files = fs::read_dir(self.folder.path().join("cache")).expect("is there").flatten();
        let mut files = files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == kind));
        let file = files.next().expect("there is one");
        assert!(files.next().is_none());
        file
    }
}

/// A guest of `tests/guests`; how they are built is told in `tests/languages.rs`.
fn built(file: &str) -> Vec<u8> {
    let target = Path::new(env!("CARGO_BIN_EXE_wasmill-plugin-worker")).ancestors().nth(2).expect("two folders deep");
    fs::read(target.join(file)).unwrap_or_else(|error| panic!("{file} is not built: {error}"))
}

fn guest() -> Vec<u8> {
    built("guests/c-plain.wasm")
}

/// The guest, and a core module beside it that nobody uses.
fn guest_with(module: &str) -> Vec<u8> {
    let mut component = guest();
    let module = wat::parse_str(format!("(module {module})")).expect("is well-formed");
    // A section of kind 1, a core module, with its length in LEB128.
    component.push(1);
    let mut length = module.len();
    while length >= 0x80 {
        component.push(length as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend(module);
    component
}

/// Keeps the optimizing compiler busy for seconds, see `tests/worker.rs`.
fn bomb() -> Vec<u8> {
    let (loops, values) = (250, 200);
    let change = |i| format!("(local.set {i} (i32.add (local.get {}) (local.get {i})))", (i + 1) % values);
    let changes: String = (0..values).map(change).collect();
    let ends: String = (0..loops).map(|i| format!("(br_if 0 (local.get {})))", i * 11 % values)).collect();
    guest_with(&format!("(func (param {}) {}{changes}{ends})", "i32 ".repeat(values), "(loop ".repeat(loops)))
}

fn input() -> Input {
    let schema = Schema::new(vec![Field::nullable("a", DataType::Int64)]).expect("one name");
    Input { schema, key: None, event_times: false }
}

const KEEP: &str = r#"{"mode": "keep"}"#;

#[test]
fn a_component_is_compiled_once_whoever_asks() {
    let world = World::new(Budget::default());
    let wasm = guest();
    // Two threads each of two stores, which are to each other as two processes are.
    let other = World::store(world.folder.path(), Budget::default());
    let together = Barrier::new(4);
    std::thread::scope(|scope| {
        for store in [&world.store, &world.store, &other, &other] {
            scope.spawn(|| {
                together.wait();
                store.load(&wasm).expect("it is sound");
            });
        }
    });
    assert_eq!(world.calls(), 1);
    let later = World::store(world.folder.path(), Budget::default());
    let plugin = later.load(&wasm).expect("it is sound");
    assert_eq!(plugin.digest(), wasmill_plugin::Digest::of(&wasm));
    assert_eq!(later.cache_counters(), Counters { hits: 1, ..Counters::default() });
    assert_eq!(world.calls(), 1);
}

#[test]
fn harmed_code_is_compiled_again() {
    let world = World::new(Budget::default());
    world.store.load(&guest()).expect("it is sound");
    let path = world.entry("code");
    let whole = fs::read(&path).expect("is there");
    let mut harmed = whole.clone();
    harmed[whole.len() / 2] ^= 1;
    fs::write(&path, harmed).expect("is ours");
    let later = World::store(world.folder.path(), Budget::default());
    later.load(&guest()).expect("it is sound");
    assert_eq!(later.cache_counters().rejected, 1);
    assert_eq!(world.calls(), 2);
    assert_eq!(fs::read(&path).expect("is there").len(), whole.len());
}

#[test]
fn describe_compiles_once_and_remembers_its_answers() {
    let world = World::new(Budget::default());
    let (wasm, limits) = (guest(), Limits::default());
    let describe = |config| world.store.describe(&wasm, &limits, config, &[input()]);
    let descriptor = describe(KEEP).expect("the mode is known");
    assert_eq!(descriptor.ports[0].shape, Shape::Pass { input: 0 });
    assert_eq!(world.calls(), 2, "one to compile, one to describe");
    assert_eq!(describe(KEEP).expect("the mode is known"), descriptor);
    assert_eq!(world.calls(), 2);
    describe(r#"{"mode": "map"}"#).expect("the mode is known");
    assert_eq!(world.calls(), 3);
    let refused = describe("{}").expect_err("there is no mode");
    assert_eq!(refused.code(), Code::RefusedByOperator);
    assert_eq!(describe(KEEP).expect("the mode is known"), descriptor);
}

#[test]
fn describe_finds_code_again_that_was_lost() {
    let world = World::new(Budget::default());
    world.store.load(&guest()).expect("it is sound");
    fs::remove_file(world.entry("code")).expect("is ours");
    world.store.describe(&guest(), &Limits::default(), KEEP, &[input()]).expect("the mode is known");
    assert_eq!(world.calls(), 4, "compile, describe in vain, compile, describe");
}

#[test]
fn a_description_that_does_not_end_is_stopped() {
    let wasm = built("plugins/rust-plain.wasm");
    let config = r#"{"mode": "hostile:describe-loop"}"#;
    let world = World::new(Budget::default());
    let limits = Limits { call_deadline: Duration::from_millis(50), ..Limits::default() };
    match world.store.describe(&wasm, &limits, config, &[input()]) {
        Err(Error::Worker(worker::Error::NotDescribed { message })) => {
            assert!(message.contains("was stopped in `describe`"), "{message}");
        }
        other => panic!("it loops for ever, but: {other:?}"),
    }
    // The child's own deadline holds where the guest's does not.
    let world = World::new(Budget { describe_deadline: Duration::from_millis(300), ..Budget::default() });
    let limits = Limits { call_deadline: Duration::from_secs(3_600), ..Limits::default() };
    match world.store.describe(&wasm, &limits, config, &[input()]) {
        Err(Error::Worker(error @ worker::Error::NotDescribed { .. })) => {
            assert!(error.to_string().ends_with("the deadline passed"), "{error}");
        }
        other => panic!("it loops for ever, but: {other:?}"),
    }
}

#[test]
fn code_made_without_optimizing_runs_on_the_same_engine() {
    let world = World::new(Budget { cpu: Duration::from_secs(1), ..Budget::default() });
    let bomb = bomb();
    let (plugin, tier) = world.store.load_with_tier(&bomb).expect("the simple compiler takes milliseconds");
    assert_eq!(tier, Tier::Baseline);
    world.store.describe(&bomb, &Limits::default(), KEEP, &[input()]).expect("the mode is known");
    wasmill_plugin::describe(&plugin, Limits::default(), KEEP, &[input()]).expect("the mode is known");
    let later = World::store(world.folder.path(), Budget::default());
    let calls = world.calls();
    assert_eq!(later.load_with_tier(&bomb).expect("it is in the cache").1, Tier::Baseline);
    assert_eq!(world.calls(), calls);
}

#[test]
fn a_failure_that_lasts_is_remembered() {
    let world = World::new(Budget::default());
    let text = b"(component)";
    match world.store.load(text) {
        Err(Error::Worker(worker::Error::Refused(refusal))) if refusal.code() == Code::NotAComponent => {}
        other => panic!("it is text, but: {other:?}"),
    }
    let calls = world.calls();
    for store in [&world.store, &World::store(world.folder.path(), Budget::default())] {
        let again = store.load(text).expect_err("it still is text");
        assert!(matches!(again, Error::FailedBefore { .. }), "{again}");
        assert_eq!(again.code(), Code::NotAComponent);
        assert!(again.to_string().contains("text form"), "{again}");
    }
    assert_eq!(world.calls(), calls);
}

#[test]
fn a_failure_of_the_machine_is_not_remembered() {
    let world = World::new(Budget { deadline: Duration::from_millis(1), ..Budget::default() });
    let error = world.store.load(&guest()).expect_err("no child is as fast as that");
    assert_eq!(error.code(), Code::CompileBudget);
    World::store(world.folder.path(), Budget::default()).load(&guest()).expect("it is sound");
}

#[test]
fn a_guest_in_c_is_not_taken_for_one_in_rust() {
    let languages = wasmill_plugin::inspect::inspect(&guest()).expect("it is an operator").languages;
    assert!(!languages.is_empty() && languages.iter().all(|language| language.starts_with('C')), "{languages:?}");
}

#[test]
fn compiled_code_travels_to_a_store_that_was_told_the_secret() {
    use std::io::Read;

    let (here, there) = (World::new(Budget::default()), World::new(Budget::default()));
    let wasm = guest();
    let digest = here.store.load(&wasm).expect("it is sound").digest();
    let [key, _] = there.store.keys(&digest);
    let mut sealed = Vec::new();
    here.store.sealed(&key).expect("it was compiled").read_to_end(&mut sealed).expect("is ours");
    assert!(there.store.known(&digest).expect("nothing is wrong").is_none(), "it has not come yet");

    let own = there.store.secret();
    assert!(!there.store.put_sealed(&key, &sealed, &own).expect("is ours"), "another secret made its code");
    for place in [0, sealed.len() / 2, sealed.len() - 1] {
        let mut harmed = sealed.clone();
        harmed[place] ^= 1;
        assert!(!there.store.put_sealed(&key, &harmed, &here.store.secret()).expect("is ours"), "bit at {place}");
    }
    let [_, other_key] = there.store.keys(&digest);
    assert!(!there.store.put_sealed(&other_key, &sealed, &here.store.secret()).expect("is ours"), "another name");
    assert!(there.store.known(&digest).expect("nothing is wrong").is_none(), "nothing was kept");

    assert!(there.store.put_sealed(&key, &sealed, &here.store.secret()).expect("is ours"));
    let plugin = there.store.known(&digest).expect("nothing is wrong").expect("it has come");
    assert_eq!((plugin.digest(), there.calls()), (digest, 0));
    assert_eq!(format!("{:?}", here.store.secret()), "Secret");
}
