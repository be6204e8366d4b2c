//! What is refused, and what is said of what is not.

use super::*;

/// A component that exports the contract's functions, with other types than the contract's: names are what counts here.
fn guest(extra: &str, functions: &[&str]) -> Vec<u8> {
    let exports: String = functions.iter().map(|f| format!("(export \"{f}\" (func $f))\n")).collect();
    component(&format!(
        r#"{extra}
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $guest {exports})
        (export "wasmill:operator/guest@0.1.0" (instance $guest))"#
    ))
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).expect("the test's component is well-formed")
}

#[test]
fn other_formats_are_named() {
    let found = |bytes: &[u8]| inspect(bytes).expect_err("it is no component");
    let looks = |looks_like| Refusal::NotAComponent { looks_like };
    let mut wasmtime_elf = b"\x7fELF\x02\x01\x01\xc8".to_vec();
    wasmtime_elf.resize(64, 0);
    assert_eq!(found(b""), looks(LooksLike::Empty));
    assert_eq!(found(b"\n  (component)"), looks(LooksLike::WasmText));
    assert_eq!(found(b"\x7fELF\x02\x01\x01\x00 and more"), looks(LooksLike::Elf));
    assert_eq!(found(&wasmtime_elf), Refusal::Precompiled);
    assert_eq!(found(b"\x1f\x8b\x08\x00"), looks(LooksLike::Gzip));
    assert_eq!(found(b"PK\x03\x04"), looks(LooksLike::Zip));
    assert_eq!(found(b"<!doctype html>"), looks(LooksLike::Html));
    assert_eq!(found(b"def process(): pass\n"), looks(LooksLike::Text));
    assert_eq!(found(b"\x00\x01\x02"), looks(LooksLike::Unknown));
    assert_eq!(found(&wat::parse_str("(module)").expect("is well-formed")), Refusal::CoreModule);
    assert!(matches!(found(b"\0asm\x0e\0\x01\0"), Refusal::Malformed { .. }));
    assert!(matches!(found(b"\0asm"), Refusal::Malformed { .. }));
}

#[test]
fn a_component_cut_off_is_refused() {
    let whole = guest("", &GUEST_FUNCTIONS);
    let expected = inspect(&whole).expect("the whole is a component");
    // Sections of names stand at the end: a cut between two of them leaves a component.
    let accepted: Vec<Inspection> = (0..whole.len()).filter_map(|length| inspect(&whole[..length]).ok()).collect();
    assert!(accepted.len() <= 2, "{accepted:?}");
    for found in accepted {
        assert!(found.custom_bytes < expected.custom_bytes);
        assert_eq!((found.exports, found.modules), (expected.exports.clone(), expected.modules));
    }
}

#[test]
fn size_has_a_limit() {
    let bytes = guest("", &GUEST_FUNCTIONS);
    inspect_up_to(&bytes, bytes.len()).expect("it has the size allowed");
    let size = bytes.len() as u64;
    assert_eq!(inspect_up_to(&bytes, bytes.len() - 1), Err(Refusal::TooLarge { size, limit: size - 1 }));
    let wide = vec![0; SIZE_MAX + 1];
    assert_eq!(inspect(&wide).expect_err("it is too large").code(), "size");
}

#[test]
fn imports_not_granted_are_all_listed() {
    let granted = r#"(import "wasi:io/streams@0.2.6" (instance)) (import "wasmill:operator/log@0.1.7" (instance))"#;
    inspect(&guest(granted, &GUEST_FUNCTIONS)).expect("all imports are granted");
    let refused = r#"
        (import "wasi:sockets/tcp@0.2.6" (instance)) (import "wasi:http/types@0.2.10" (instance))
        (import "wasi:io/streams@0.3.0" (instance)) (import "wasmill:operator/log@0.2.0" (instance))
        (import "wasmill:operator/secrets@0.1.0" (instance)) (import "wasi:cli/environment" (instance)) (import "call-me" (func))"#;
    let Err(Refusal::ImportsNotGranted { imports }) = inspect(&guest(refused, &GUEST_FUNCTIONS)) else {
        panic!("none of these imports is granted")
    };
    assert_eq!(
        imports,
        [
            "wasi:cli/environment",
            "wasi:http/types@0.2.10",
            "wasi:io/streams@0.3.0",
            "wasi:sockets/tcp@0.2.6",
            "wasmill:operator/log@0.2.0",
            "wasmill:operator/secrets@0.1.0",
            "call-me"
        ]
    );
}

#[test]
fn exports_missing_are_all_listed() {
    let missing = |bytes: &[u8]| match inspect(bytes) {
        Err(Refusal::ExportsMissing { missing }) => missing,
        other => panic!("exports are missing, but found {other:?}"),
    };
    assert_eq!(missing(&component("")), ["wasmill:operator/guest@0.1"]);
    assert_eq!(
        missing(&guest("", &["describe", "open", "on-timers"])),
        ["wasmill:operator/guest@0.1.0#process", "wasmill:operator/guest@0.1.0#on-notice"]
    );
}

#[test]
fn nested_components_may_name_types_but_hold_no_code() {
    let types = r#"(component (type $u (list u32)) (import "t" (type $t (eq $u))) (export "u" (type $t)))"#;
    inspect(&guest(types, &GUEST_FUNCTIONS)).expect("a nested component without code is allowed");
    for code in [
        "(component (core module))",
        "(component (component (core module)))",
        "(component (core instance))",
        r#"(component (import "f" (func $f)) (core func (canon lower (func $f))))"#,
    ] {
        let found = inspect(&guest(code, &GUEST_FUNCTIONS)).expect_err(code);
        assert!(matches!(found, Refusal::NestedCode { .. }), "{code}: {found}");
    }
}

#[test]
fn parts_of_the_language_that_the_engine_lacks_are_malformed() {
    let module = |text: &str| guest(&format!("(core module {text})"), &GUEST_FUNCTIONS);
    inspect(&module("(func (drop (v128.const i64x2 0 0)))")).expect("simd is run");
    for text in [
        "(memory i64 1)",
        "(memory 1) (memory 1)",
        "(memory 1 1 shared)",
        "(type (struct))",
        "(func return_call 0)",
        "(tag)",
    ] {
        let found = inspect(&module(text)).expect_err(text);
        assert!(matches!(found, Refusal::Malformed { .. }), "{text}: {found}");
    }
}

#[test]
fn types_that_share_their_parts_are_not_written_without_end() {
    let mut types = String::from("(type $t0 (tuple u32 u32))");
    for level in 1..=3 {
        let parts = format!("$t{} ", level - 1).repeat(16);
        types.push_str(&format!("(type $t{level} (tuple {parts}))"));
    }
    let functions: String = (0..20).map(|i| format!(r#"(export "f{i}" (func (param "t" $t3)))"#)).collect();
    let import = format!(r#"(import "wasi:io/wide@0.2.0" (instance {types} {functions}))"#);
    let found = inspect(&guest(&import, &GUEST_FUNCTIONS)).expect("wide types are allowed");
    let written: usize = found.imports[0].functions.iter().map(|(_, signature)| signature.len()).sum();
    assert!((50_000..1_000_000).contains(&written), "{written} bytes of signatures");
}
