//! What is refused before anything of it runs, and what is compiled without care.

use std::fs;

use wasmill_hostile::{bombs, template};
use wasmill_model::fault::Coded;
use wasmill_plugin::{PluginStore, Tier};

use crate::{hosts, instances::assert_harmless};

fn answer(store: &PluginStore, wasm: &[u8]) -> (String, String) {
    match store.load_with_tier(wasm) {
        Ok((_, Tier::Optimized)) => ("optimized".into(), String::new()),
        Ok((_, Tier::Baseline)) => ("baseline".into(), String::new()),
        Err(error) => (error.code().to_string(), error.to_string()),
    }
}

#[track_caller]
fn check(store: &PluginStore, table: Vec<(&str, Vec<u8>, &str, &str)>) {
    let mut wrong = Vec::new();
    for (name, wasm, code, part) in table {
        let (found, words) = answer(store, &wasm);
        assert_harmless(&words);
        // Which of the two it is depends on how fast the machine is.
        let fits = found == code || code == "compiled" && ["optimized", "baseline"].contains(&found.as_str());
        if !fits || !words.contains(part) {
            wrong.push(format!("{name}: expected {code}: {part}, found {found}: {words}"));
        }
    }
    // Nothing of it has harmed who comes next.
    hosts::good(store);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn guest(name: &str) -> Vec<u8> {
    template::guest(name).unwrap_or_else(|e| panic!("{e:#}"))
}

fn changed(contract: &[template::Change<'_>], module: &[template::Change<'_>]) -> Vec<u8> {
    template::of_another_contract("", contract, module).unwrap_or_else(|e| panic!("{e:#}"))
}

/// What begins as wasmtime's code does.
fn as_if_precompiled() -> Vec<u8> {
    let mut code = b"\x7fELF\x02\x01\x01\xc8".to_vec();
    code.resize(4_096, 0);
    code
}

/// What the engine itself made of a component, as it keeps it.
fn precompiled() -> Vec<u8> {
    let (store, cache) = hosts::impatient_store();
    hosts::good(&store);
    let files = fs::read_dir(cache.path()).expect("the folder is there");
    let files = files.map(|file| fs::read(file.expect("it can be listed").path()));
    let mut code = files.filter_map(|bytes| bytes.ok().filter(|bytes| bytes.starts_with(b"\x7fELF")));
    let found = code.next().expect("it keeps what it has compiled");
    assert!(found.len() > 10_000 && code.next().is_none(), "{} bytes", found.len());
    found
}

#[test]
fn what_is_no_component_is_refused() {
    let good = template::component("").expect("it is a component");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 56) as u8
    };
    let table = vec![
        ("nothing", vec![], "not-a-component", "nothing at all"),
        ("noise", (0..10_000).map(|_| noise()).collect(), "not-a-component", "something else"),
        ("ELF", b"\x7fELF\x02\x01\x01\x00rest".to_vec(), "not-a-component", "native program"),
        ("zip", b"PK\x03\x04rest".to_vec(), "not-a-component", "zip"),
        ("gzip", b"\x1f\x8b\x08rest".to_vec(), "not-a-component", "gzip"),
        ("text form", b"(component)".to_vec(), "not-a-component", "text form"),
        ("compiled code", precompiled(), "precompiled", "never taken from outside"),
        ("what begins as compiled code does", as_if_precompiled(), "precompiled", "already compiled"),
        ("core module", guest("upload_core-module"), "core-module", "wasm-tools component new"),
        ("cut in half", good[..good.len() / 2].to_vec(), "malformed", ""),
        ("head only", good[..8].to_vec(), "interface", "guest"),
        ("too large", vec![0; (64 << 20) + 1], "size", "67108864"),
    ];
    check(&hosts::impatient_store().0, table);
}

#[test]
fn every_cut_and_every_flipped_byte_is_survived() {
    let store = hosts::impatient_store().0;
    let good = template::component("").expect("it is a component");
    for at in (0..good.len()).step_by(good.len() / 40) {
        assert!(store.inspect(&good[..at]).is_err(), "cut at {at}");
        let mut flipped = good.clone();
        flipped[at] ^= 0xff;
        // Some bytes are names that nobody needs.
        if let Err(error) = store.inspect(&flipped) {
            assert_harmless(&error.to_string());
        }
    }
}

#[test]
fn what_the_engine_does_not_run_is_refused() {
    let of = |name, part| (name, guest(name), "feature", part);
    let table = vec![
        of("upload_memory64", "memory64"),
        of("upload_shared-memory", "threads"),
        of("upload_atomics", "threads"),
        of("upload_gc", "gc"),
        of("upload_exceptions", "exceptions"),
        of("upload_tail-call", "tail"),
        of("upload_relaxed-simd", "relaxed"),
        of("upload_multi-memory", "memor"),
    ];
    check(&hosts::impatient_store().0, table);
}

#[test]
fn what_does_not_fit_the_contract_is_refused() {
    let import = "import-not-granted";
    let table = vec![
        ("sockets", guest("upload_imports-sockets"), import, "wasi:sockets/instance-network@0.2.6"),
        ("http", guest("upload_imports-http"), import, "wasi:http/outgoing@0.2.6"),
        ("unknown", guest("upload_imports-unknown"), import, "evil:outside/door@1.0.0"),
        ("bare function", guest("upload_imports-function"), "interface", "import-not-granted: door"),
        ("no export", guest("upload_no-export"), "interface", "guest"),
        (
            "missing function",
            changed(
                &[("  on-notice: func(notice: notice) -> result<reply, failure>;", "")],
                &[(r#"(export "wasmill:operator/guest@0.1.0#on-notice" (func $on-notice))"#, "")],
            ),
            "interface",
            "on-notice",
        ),
        (
            "other signature",
            changed(
                &[("process: func(input: u32,", "process: func(input: u64,")],
                &[("(type $process (func (param i32", "(type $process (func (param i64")],
            ),
            "interface",
            "process",
        ),
        (
            "older version",
            changed(
                &[("package wasmill:operator@0.1.0;", "package wasmill:operator@0.0.9;")],
                &[("wasmill:operator/guest@0.1.0", "wasmill:operator/guest@0.0.9")],
            ),
            "interface",
            "guest",
        ),
    ];
    check(&hosts::impatient_store().0, table);
}

fn made(result: anyhow::Result<Vec<u8>>) -> Vec<u8> {
    result.unwrap_or_else(|e| panic!("{e:#}"))
}

#[test]
fn what_is_too_much_of_something_is_refused() {
    let table = vec![
        ("code within", guest("upload_nested"), "structure", ""),
        ("a memory of 4 GiB", guest("upload_memory-4gib"), "structure", "memory"),
        ("a table of 10 million", guest("upload_table-10m"), "structure", "table"),
        ("a type of 2 to the 40", made(bombs::tuples(40)), "structure", "size"),
        ("a type 2,000 deep", made(bombs::lists(2_000)), "structure", "deep"),
        ("components 2,000 deep", bombs::nested(2_000), "structure", ""),
        ("600 core instances", made(bombs::instances(600)), "structure", "instance"),
        ("70,000 targets", made(bombs::branches(70_000)), "feature", "br_table"),
        ("more functions", made(bombs::functions(100_001)), "structure", "functions"),
        ("40 MiB beside the code", made(bombs::custom("x", 40 << 20)), "structure", "custom"),
    ];
    check(&hosts::impatient_store().0, table);
}

/// Only processor time decides what is compiled with care. What is not must fit the budget many times over, so that it does
/// on a busy machine too.
#[test]
fn what_is_dear_to_compile_is_compiled_without_care() {
    let table = vec![
        ("10 MiB beside the code", made(bombs::custom("x", 10 << 20)), "compiled", ""),
        ("250 loops", made(bombs::loops(250)), "compiled", ""),
        ("2,000 loops", made(bombs::loops(2_000)), "baseline", ""),
        ("100,000 calls", made(bombs::calls(100_000)), "compiled", ""),
        ("4,000 functions", made(bombs::functions(4_000)), "compiled", ""),
        ("escapes in a section's name", made(bombs::custom("\x1b[31mred/../../x", 10)), "compiled", ""),
    ];
    check(&hosts::impatient_store().0, table);
}
