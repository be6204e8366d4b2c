//! Compiled code that is whole, and that somebody touched.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::engine::{EngineOptions, Mode};

const SMALL: &str = "(component (core module (func (export \"f\"))))";

fn engine() -> Engine {
    Engine::new(&EngineOptions { mode: Mode::OnDemand, ..EngineOptions::default() }).expect("these options are sound")
}

fn code(engine: &Engine) -> Vec<u8> {
    let wasm = wat::parse_str(SMALL).expect("is well-formed");
    engine.wasmtime().precompile_component(&wasm).expect("is valid")
}

fn key(engine: &Engine, name: &str) -> Key {
    Key::new(engine, &Digest::of(name.as_bytes()), Tier::Optimized)
}

#[test]
fn what_was_put_is_found_by_this_and_other_caches_of_the_folder() {
    let (folder, engine) = (tempfile::tempdir().expect("a folder"), engine());
    let cache = Cache::open(folder.path()).expect("a new folder");
    let key = key(&engine, "a");
    assert!(cache.get(&engine, &key).is_none());
    cache.put(&key, &code(&engine)).expect("there is space");
    assert!(cache.get(&engine, &key).is_some());
    assert_eq!(cache.counters(), Counters { hits: 1, misses: 1, ..Counters::default() });
    let other = Cache::open(folder.path()).expect("the same folder");
    assert!(other.get(&engine, &key).is_some());
}

#[test]
fn keys_differ_in_component_tier_and_engine() {
    let (digest, optimized) = (Digest::of(b"a"), engine());
    let baseline = EngineOptions { mode: Mode::OnDemand, tier: Tier::Baseline, ..EngineOptions::default() };
    let baseline = Engine::new(&baseline).expect("these options are sound");
    let keys = [
        Key::new(&optimized, &digest, Tier::Optimized),
        Key::new(&optimized, &digest, Tier::Baseline),
        Key::new(&optimized, &Digest::of(b"b"), Tier::Optimized),
        Key::new(&baseline, &digest, Tier::Optimized),
        Key::under("another contract", &optimized, &digest, Tier::Optimized),
    ];
    for (i, key) in keys.iter().enumerate() {
        assert!(!keys[..i].contains(key), "key {i} is not new");
        assert_eq!(Key::from_text(key.as_str()).as_ref(), Some(key));
    }
    assert_eq!(Key::new(&engine(), &digest, Tier::Optimized), keys[0]);
    for text in ["", "../../etc/passwd", &"A".repeat(64), &"0".repeat(65)] {
        assert_eq!(Key::from_text(text), None);
    }
}

#[test]
fn harmed_files_are_never_loaded_and_go_away() {
    let (folder, engine) = (tempfile::tempdir().expect("a folder"), engine());
    let cache = Cache::open(folder.path()).expect("a new folder");
    let (key, code) = (key(&engine, "a"), code(&engine));
    let path = cache.path(&key, "code");
    cache.put(&key, &code).expect("there is space");
    let whole = fs::read(&path).expect("was just written");
    assert_eq!(whole.len(), code.len() + 32);
    let flipped = |at: usize| {
        let mut harmed = whole.clone();
        harmed[at] ^= 0x10;
        harmed
    };
    // Without its seal wasmtime takes a harmed file: the seal is what refuses it.
    #[expect(unsafe_code)]
    // SAFETY: the component is never run.
    let taken = (0..code.len())
        .step_by(97)
        .filter(|at| unsafe { Component::deserialize(engine.wasmtime(), &flipped(*at)[..code.len()]).is_ok() });
    assert!(taken.count() > 0);

    let middle = whole.len() / 2;
    let harmed =
        [flipped(0), flipped(middle), flipped(whole.len() - 1), whole[..middle].to_vec(), Vec::new(), vec![0; 40]];
    for (rejected, harmed) in (1..).zip(harmed) {
        fs::write(&path, harmed).expect("the folder is writable");
        assert!(cache.get(&engine, &key).is_none());
        assert!(!path.exists());
        assert_eq!(cache.counters().rejected, rejected);
    }
    cache.put(&key, &code).expect("there is space");
    assert!(cache.get(&engine, &key).is_some());
}

#[test]
fn a_file_serves_under_no_other_name_and_in_no_other_cache() {
    let (folder, engine) = (tempfile::tempdir().expect("a folder"), engine());
    let cache = Cache::open(folder.path().join("one")).expect("a new folder");
    let (a, b) = (key(&engine, "a"), key(&engine, "b"));
    cache.put(&a, &code(&engine)).expect("there is space");
    fs::copy(cache.path(&a, "code"), cache.path(&b, "code")).expect("the folder is writable");
    assert!(cache.get(&engine, &b).is_none());
    fs::copy(cache.path(&a, "code"), cache.path(&a, "failure")).expect("the folder is writable");
    assert!(cache.failure(&a).is_none());
    let other = Cache::open(folder.path().join("two")).expect("a new folder");
    fs::copy(cache.path(&a, "code"), other.path(&a, "code")).expect("the folder is writable");
    assert!(other.get(&engine, &a).is_none());
    assert!(cache.get(&engine, &a).is_some());
}

#[test]
fn code_of_another_engine_is_a_miss() {
    let (folder, here) = (tempfile::tempdir().expect("a folder"), engine());
    let cache = Cache::open(folder.path()).expect("a new folder");
    let elsewhere = wasmtime::Engine::new(wasmtime::Config::new().consume_fuel(true)).expect("these options are sound");
    let wasm = wat::parse_str(SMALL).expect("is well-formed");
    let key = key(&here, "a");
    cache.put(&key, &elsewhere.precompile_component(&wasm).expect("is valid")).expect("there is space");
    assert!(cache.get(&here, &key).is_none());
    assert_eq!(cache.counters(), Counters { rejected: 1, ..Counters::default() });
    assert!(!cache.path(&key, "code").exists());
}

#[test]
fn the_least_recently_used_make_room() {
    let (folder, engine) = (tempfile::tempdir().expect("a folder"), engine());
    let code = code(&engine);
    let entry = code.len() as u64 + SEAL;
    let cache = Cache::open_with_bytes_max(folder.path(), 2 * entry).expect("a new folder");
    let keys = ["a", "b", "c"].map(|name| key(&engine, name));
    let age = |key: &Key, seconds| {
        let file = File::open(cache.path(key, "code")).expect("is there");
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("is ours");
    };
    cache.put(&keys[0], &code).expect("there is space");
    cache.put(&keys[1], &code).expect("there is space");
    age(&keys[0], 200);
    age(&keys[1], 100);
    assert!(cache.get(&engine, &keys[0]).is_some(), "which makes it the youngest");
    cache.put(&keys[2], &code).expect("there is space");
    assert_eq!(keys.each_ref().map(|key| cache.path(key, "code").exists()), [true, false, true]);
    assert_eq!(cache.counters().evicted, 1);

    let tiny = Cache::open_with_bytes_max(folder.path(), 1).expect("the same folder");
    tiny.put(&keys[1], &code).expect("there is space");
    assert_eq!(keys.each_ref().map(|key| cache.path(key, "code").exists()), [false, true, false]);
}

#[test]
fn abandoned_files_go_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine();
    let cache = Cache::open(folder.path()).expect("a new folder");
    let abandoned = folder.path().join("x.code.1.1.unfinished");
    File::create(&abandoned)
        .and_then(|file| file.set_modified(SystemTime::now() - 2 * ABANDONED_AFTER))
        .expect("the folder is writable");
    let written_right_now = folder.path().join("x.code.1.2.unfinished");
    File::create(&written_right_now).expect("the folder is writable");
    cache.put(&key(&engine, "a"), &code(&engine)).expect("there is space");
    assert!(!abandoned.exists());
    assert!(written_right_now.exists());
}

#[test]
fn failures_are_remembered_and_sealed() {
    let (folder, engine) = (tempfile::tempdir().expect("a folder"), engine());
    let cache = Cache::open(folder.path()).expect("a new folder");
    let key = key(&engine, "a");
    assert_eq!(cache.failure(&key), None);
    cache.put_failure(&key, b"too slow").expect("there is space");
    assert_eq!(cache.failure(&key).as_deref(), Some(b"too slow".as_slice()));
    fs::write(cache.path(&key, "failure"), b"anything").expect("the folder is writable");
    assert_eq!(cache.failure(&key), None);
    cache.put_failure(&key, &vec![b'x'; 1 << 20]).expect("there is space");
    assert_eq!(cache.failure(&key).map(|reason| reason.len() as u64), Some(FAILURE_MAX));
}

#[test]
fn folder_and_files_are_closed_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/cache");
    fs::create_dir_all(&path).expect("the folder is writable");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("is ours");
    let engine = engine();
    let cache = Cache::open(&path).expect("a new folder");
    cache.put(&key(&engine, "a"), &code(&engine)).expect("there is space");
    assert_eq!(path.metadata().expect("is there").mode() & 0o777, 0o700);
    for entry in fs::read_dir(&path).expect("is there").flatten() {
        assert_eq!(entry.metadata().expect("is there").mode() & 0o777, 0o600, "{}", entry.path().display());
    }
    fs::set_permissions(path.join("secret"), Permissions::from_mode(0o644)).expect("is ours");
    let error = Cache::open(&path).expect_err("anyone could have sealed files");
    assert!(error.to_string().contains("secret"), "{error}");
}

#[test]
fn all_who_open_a_new_folder_at_once_share_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Cache::open(folder.path()).expect("a new folder").secret;
    let secrets: Vec<Secret> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("does not panic")).collect()
    });
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_ne!(secrets[0], Secret([0; 32]));
}
