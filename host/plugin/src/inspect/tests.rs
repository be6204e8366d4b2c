//! What is refused, and what is said of what is not.

use wasmill_model::fault::Coded;

use super::*;

const GUEST_FUNCTIONS: [&str; 5] = ["describe", "open", "process", "on-timers", "on-notice"];

/// A component that exports these functions of the contract, behind some sections of its own.
fn guest(extra: &str, functions: &[&str]) -> Vec<u8> {
    let exports: Vec<String> = functions.iter().map(|f| format!("(export \"{f}\" (func ${f}))")).collect();
    let (guest, exports) = (include_str!("../../tests/guest.wat"), exports.join(" "));
    component(&format!(
        r#"{extra} {guest} (instance $guest {exports}) (export "wasmill:operator/guest@0.1.0" (instance $guest))"#
    ))
}

fn codes(refusal: &Refusal) -> Vec<Code> {
    refusal.findings.iter().map(|finding| finding.code).collect()
}

fn items(refusal: &Refusal) -> Vec<&str> {
    let item = |finding| match finding {
        &Finding { place: Place::Item(ref item), .. } => item.as_str(),
        other => panic!("{other:?}"),
    };
    refusal.findings.iter().map(item).collect()
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).expect("the test's component is well-formed")
}

#[test]
fn other_formats_are_named() {
    let check = |bytes: &[u8], code, found: &str| {
        let refusal = inspect(bytes).expect_err("it is no component");
        let [finding] = refusal.findings.as_slice() else { panic!("{refusal}") };
        assert_eq!((finding.code, finding.found.as_str()), (code, found));
    };
    let mut wasmtime_elf = b"\x7fELF\x02\x01\x01\xc8".to_vec();
    wasmtime_elf.resize(64, 0);
    check(b"", Code::NotAComponent, "nothing at all");
    check(b"\n  (component)", Code::NotAComponent, "the text form of WebAssembly");
    check(b"\x7fELF\x02\x01\x01\x00 and more", Code::NotAComponent, "a native program or library");
    check(&wasmtime_elf, Code::Precompiled, "code that is already compiled");
    check(b"\x1f\x8b\x08\x00", Code::NotAComponent, "a gzip archive");
    check(b"PK\x03\x04", Code::NotAComponent, "a zip archive");
    check(b"<!doctype html>", Code::NotAComponent, "a web page");
    check(b"def process(): pass\n", Code::NotAComponent, "text");
    check(b"\x00\x01\x02", Code::NotAComponent, "something else");
    check(&wat::parse_str("(module)").expect("is well-formed"), Code::CoreModule, "a core module");
    for bytes in [&b"\0asm\x0e\0\x01\0"[..], b"\0asm"] {
        assert_eq!(codes(&inspect(bytes).expect_err("it is cut off")), [Code::Malformed]);
    }
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
    assert_eq!(inspect_up_to(&bytes, bytes.len() - 1), Err(too_large(size, size - 1)));
    let wide = vec![0; SIZE_MAX + 1];
    assert_eq!(inspect(&wide).expect_err("it is too large").code(), Code::Size);
}

#[test]
fn imports_not_granted_are_all_listed() {
    let granted = r#"(import "wasi:io/streams@0.2.6" (instance)) (import "wasmill:operator/log@0.1.7" (instance))"#;
    inspect(&guest(granted, &GUEST_FUNCTIONS)).expect("all imports are granted");
    let refused = r#"
        (import "wasi:sockets/tcp@0.2.6" (instance)) (import "wasi:http/types@0.2.10" (instance))
        (import "wasi:io/streams@0.3.0" (instance)) (import "wasmill:operator/log@0.2.0" (instance))
        (import "wasmill:operator/secrets@0.1.0" (instance)) (import "wasi:cli/environment" (instance)) (import "call-me" (func))"#;
    let refusal = inspect(&guest(refused, &GUEST_FUNCTIONS)).expect_err("none of these imports is granted");
    assert!(codes(&refusal).iter().all(|code| *code == Code::ImportNotGranted), "{refusal}");
    assert!(refusal.findings.iter().all(|finding| finding.hint.is_some()), "{refusal}");
    assert_eq!(
        items(&refusal),
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
fn functions_beyond_the_contract_are_not_granted() {
    let import = r#"(import "wasmill:operator/log@0.1.0" (instance (export "shout" (func (param "what" string)))))"#;
    let refusal = inspect(&guest(import, &GUEST_FUNCTIONS)).expect_err("nothing shouts");
    assert_eq!(codes(&refusal), [Code::ImportNotGranted]);
    assert_eq!(items(&refusal), ["wasmill:operator/log@0.1.0#shout"]);
    let import = r#"(import "wasmill:operator/clock@0.1.0" (instance (export "watermark" (func (result u64)))))"#;
    let refusal = inspect(&guest(import, &GUEST_FUNCTIONS)).expect_err("a watermark is signed");
    let finding = &refusal.findings[0];
    assert_eq!((finding.code, finding.expected.as_str()), (Code::Interface, "`func() -> s64`"));
    assert_eq!(finding.found, "`func() -> u64`");
}

#[test]
fn functions_missing_are_all_listed_together_with_imports() {
    let missing = inspect(&component("")).expect_err("it exports nothing");
    assert_eq!((items(&missing), codes(&missing)), (vec!["wasmill:operator/guest"], vec![Code::Interface]));
    let import = r#"(import "wasi:http/types@0.2.10" (instance))"#;
    let missing = inspect(&guest(import, &["describe", "open", "on-timers"])).expect_err("functions are missing");
    assert_eq!(codes(&missing), [Code::Interface, Code::Interface, Code::ImportNotGranted]);
    assert_eq!(
        items(&missing)[..2],
        ["wasmill:operator/guest@0.1.0#process", "wasmill:operator/guest@0.1.0#on-notice"]
    );
    let text = include_str!("../../tests/guest.wat").replace("(instance $guest", "");
    let other = r#"(instance $g (export "open" (func $open))) (export "wasmill:operator/guest@0.2.0" (instance $g))"#;
    let other = inspect(&component(&format!("{text} {other}"))).expect_err("it is of another version");
    assert_eq!(other.findings[0].found, "export `wasmill:operator/guest@0.2.0`");
}

/// A change of the contract's types and what is then said of `process`.
#[test]
fn functions_of_another_type_are_shown_beside_the_contracts() {
    let process = |change: &[(&str, &str)]| {
        let mut text = include_str!("../../tests/guest.wat").to_owned();
        for (from, to) in change {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let exports = GUEST_FUNCTIONS.map(|f| format!("(export \"{f}\" (func ${f}))")).concat();
        let export = r#"(export "wasmill:operator/guest@0.1.0" (instance $guest))"#;
        let refusal = inspect(&component(&format!("{text} (instance $guest {exports}) {export}")));
        let refusal = refusal.expect_err("it is not the contract");
        assert!(codes(&refusal).iter().all(|code| *code == Code::Interface), "{refusal}");
        let is_process = |finding: &&Finding| finding.place.to_string().ends_with("#process");
        let found = refusal.findings.iter().find(is_process).unwrap_or_else(|| panic!("{refusal}"));
        (found.expected.clone(), found.found.clone())
    };
    let (expected, found) = process(&[(r#"(param "input" u32)"#, r#"(param "input" s32)"#)]);
    assert!(expected.starts_with("`func(u32, record { count"), "{expected}");
    assert!(found.starts_with("`func(s32, record { count"), "{found}");
    let (expected, found) =
        process(&[(r#"(field "count" u32) (field "event-times""#, r#"(field "count" s32) (field "event-times""#)]);
    assert!(expected.contains("{ count: u32, event-times"), "{expected}");
    assert!(found.contains("{ count: s32, event-times"), "{found}");
    let (expected, found) = process(&[(r#"(case "drop-all")"#, r#"(case "drop-everything")"#)]);
    assert!(expected.contains("{ unchanged, drop-all, keep"), "{expected}");
    assert!(found.contains("{ unchanged, drop-everything, keep"), "{found}");
}

/// `contract.txt` is what stands in `wit/operator.wit`. `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_contract_that_is_expected_is_that_of_the_wit_file() {
    use wit_bindgen_core::wit_parser::{ManglingAndAbi, Resolve};
    let mut resolve = Resolve::default();
    let (package, _) =
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).expect("the contract is well-formed");
    let world = resolve.select_world(&[package], Some("operator")).expect("the contract has this world");
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8)
        .expect("the module takes a section");
    let mut encoder = wit_component::ComponentEncoder::default();
    let component = encoder.module(&module).expect("the module is one").encode().expect("the module is of this world");
    let contents = Contents::read(&component).expect("it is well-formed");
    let mut text = String::new();
    for interface in contents.exports.values().chain(contents.imports.values()) {
        let name = contract_interface(&interface.name).expect("there is nothing but the contract");
        for ((function, signature), (_, structure)) in
            interface.functions.iter().zip(&contents.structures[&interface.name])
        {
            text += &format!("{name}#{function}: {signature}\n    {structure}\n");
        }
    }
    expect_test::expect_file!["contract.txt"].assert_eq(&text);
    inspect(&component).expect("it is the contract");
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
        assert_eq!(codes(&found), [Code::Structure], "{code}: {found}");
    }
}

#[test]
fn proposals_that_the_engine_lacks_are_named() {
    let module = |text: &str| guest(&format!("(core module {text})"), &GUEST_FUNCTIONS);
    inspect(&module("(func (drop (v128.const i64x2 0 0)))")).expect("simd is run");
    for (text, expect) in [
        ("(memory i64 1)", &["memory64"][..]),
        ("(memory 1) (memory 1)", &["multi-memory"]),
        ("(memory 1 1 shared)", &["threads"]),
        ("(memory 1 1 shared) (func return_call 0)", &["threads", "tail-call"]),
        ("(type (struct))", &["gc"]),
        ("(tag)", &["exceptions"]),
        ("(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))", &["relaxed-simd"]),
    ] {
        let refusal = inspect(&module(text)).expect_err(text);
        assert!(codes(&refusal).iter().all(|code| *code == Code::Feature), "{text}: {refusal}");
        let found: Vec<&str> = refusal.findings.iter().filter_map(|f| f.found.strip_prefix("the proposal ")).collect();
        assert_eq!(found, expect, "{text}");
    }
    let broken = inspect(&module("(func (memory.grow (i32.const 0)) drop)")).expect_err("there is no memory");
    assert_eq!(codes(&broken), [Code::Malformed], "{broken}");
}

#[test]
fn parts_have_a_largest_number() {
    let inside = |levels: usize| format!("{}{}", "(component ".repeat(levels), ")".repeat(levels));
    let instances = |module: &str, count: usize| {
        format!("(core module $m {module}) {}", "(core instance (instantiate $m))".repeat(count))
    };
    let table = |elements: u32| format!("(core module (table {elements} funcref))");
    let custom = |count: usize| "(@custom \"x\" \"\")".repeat(count);
    // Each with what is allowed, and with a little more. The guest itself is a module, with one memory, in one component.
    for (allowed, beyond, expect) in [
        (inside(7), inside(8), "at most 8 levels of nesting"),
        ("(core module)".repeat(511), "(core module)".repeat(512), "at most 512 core modules"),
        (instances("", 511), instances("", 512), "at most 512 core instances"),
        (instances("(memory 0)", 3), instances("(memory 0)", 4), "at most 4 memories"),
        (instances("(table 0 funcref)", 16), instances("(table 0 funcref)", 17), "at most 16 tables"),
        (table(100_000), table(100_001), "at most 100000 elements of an initial table"),
        (
            format!("(core module {})", "(table 0 funcref)".repeat(8)),
            format!("(core module {})", "(table 0 funcref)".repeat(9)),
            "at most 8 tables of a module",
        ),
        (
            "(core module (memory 32768))".into(),
            "(core module (memory 32769))".into(),
            "at most 2147483648 bytes of initial memory",
        ),
        (
            format!("(core module {})", "(func)".repeat(99_994)),
            format!("(core module {})", "(func)".repeat(99_995)),
            "at most 100000 functions",
        ),
        (custom(4_000), custom(4_097), "at most 4096 custom sections"),
    ] {
        inspect(&guest(&allowed, &GUEST_FUNCTIONS)).unwrap_or_else(|refusal| panic!("{expect}: {refusal}"));
        let refusal = inspect(&guest(&beyond, &GUEST_FUNCTIONS)).expect_err(expect);
        let [finding] = refusal.findings.as_slice() else { panic!("{expect}: {refusal}") };
        assert_eq!((finding.code, finding.expected.as_str()), (Code::Structure, expect));
        assert!(matches!(finding.place, Place::Byte(1..)), "{expect}: {refusal}");
    }
}

#[test]
fn what_the_reader_finds_too_large_is_no_malformed_component() {
    let mut types = String::from("(type $t0 (tuple u64 u64))");
    for level in 1..=40 {
        types.push_str(&format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1));
    }
    let refusal = inspect(&guest(&types, &GUEST_FUNCTIONS)).expect_err("it has 2^41 numbers");
    assert_eq!(codes(&refusal), [Code::Structure], "{refusal}");
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

/// A custom section with a manifest, in the text form.
fn manifest(json: &str) -> String {
    format!("(@custom \"wasmill:manifest\" \"{}\")", json.replace('"', "\\\""))
}

#[test]
fn a_manifest_is_read_from_the_component_itself() {
    let found = |extra: &str| inspect(&guest(extra, &GUEST_FUNCTIONS));
    assert_eq!(found("").expect("it needs none").manifest, None);
    assert_eq!(found(&manifest("{}")).expect("it may be empty").manifest, Some(Manifest::default()));
    let text = r#"{"name":"a-1","version":"0.1.0","description":"b\u202ec","limits":{"handles":7}}"#;
    let read = found(&manifest(&text.replace('\\', "\\\\"))).expect("it is good").manifest.expect("there is one");
    assert_eq!((read.name.as_deref(), read.limits.handles), (Some("a-1"), Some(7)));
    assert_eq!(read.description.as_deref(), Some("b\\u{202e}c"), "what turns text around is escaped");
}

#[test]
fn a_manifest_that_is_wrong_is_a_finding_behind_all_others_of_the_component() {
    let found = |extra: &str| inspect(&guest(extra, &GUEST_FUNCTIONS)).expect_err(extra);
    let two = found(&(manifest("{}") + &manifest("{}")));
    assert_eq!(two.findings[0].found, "another one");
    let module = found(&format!("(core module {})", manifest("{}")));
    assert_eq!(
        (module.findings[0].found.as_str(), module.findings[0].hint.is_some()),
        ("one inside of a part of it", true)
    );
    let wide = found(&manifest(&format!("{{}}{}", " ".repeat(64 << 10))));
    assert_eq!(wide.findings[0].found, "65538 bytes");
    let unknown = found(&manifest(r#"{"limits":{"memroy":1}}"#));
    let [finding] = unknown.findings.as_slice() else { panic!("{unknown}") };
    assert_eq!((finding.code, finding.expected.as_str()), (Code::Manifest, "`limits.memroy`: a key that is known"));
    assert_eq!(finding.hint.as_deref(), Some("did you mean `memory`?"));
    assert!(matches!(finding.place, Place::Byte(1..)), "{unknown}");
    let import = r#"(import "wasi:http/types@0.2.10" (instance))"#;
    let both = found(&format!("{}{import}", manifest("[]")));
    assert_eq!(codes(&both), [Code::ImportNotGranted, Code::Manifest]);
}

#[test]
fn languages_are_those_of_the_modules_whose_functions_are_exported() {
    let other = "(core module $adapter (@producers (language \"Rust\" \"1.9\") (processed-by \"rustc\" \"1.9\")))\
                 (core instance (instantiate $adapter))";
    let found = inspect(&guest(other, &GUEST_FUNCTIONS)).expect("it is an operator");
    assert_eq!((found.languages, found.tools), (vec![], vec!["rustc 1.9".to_owned()]));
    let exports = GUEST_FUNCTIONS.map(|f| format!("(export \"{f}\" (func ${f}))")).concat();
    let own = "(core module $guest-module (@producers (language \"C11\" \"\"))";
    let text = include_str!("../../tests/guest.wat").replace("(core module $guest-module", own);
    let export = r#"(export "wasmill:operator/guest@0.1.0" (instance $guest))"#;
    let found = inspect(&component(&format!("{other}{text} (instance $guest {exports}) {export}")));
    assert_eq!(found.expect("it is an operator").languages, ["C11"]);
}

/// A name is written once in a component, and used as often as one likes.
#[test]
fn names_that_are_long_are_not_written_without_end() {
    let (long, count) = ("n".repeat(90_000), 500);
    let params: String = (0..count).map(|i| format!(r#"(param "p{i}" $t)"#)).collect();
    let functions: String = (0..100).map(|i| format!(r#"(export "f{i}" (func {params}))"#)).collect();
    let types = format!(r#"(type $r (record (field "a" u32))) (export "{long}" (type $t (eq $r)))"#);
    // The contract's own are compared as well, without names.
    for interface in ["wasi:io/wide@0.2.0", "wasmill:operator/wide@0.1.0", "else:where/wide@1.0.0"] {
        let import = format!(r#"(import "{interface}" (instance {types} {functions}))"#);
        let contents = Contents::read(&guest(&import, &GUEST_FUNCTIONS)).expect("it is well-formed");
        let written = |functions: &[(String, String)]| functions.iter().map(|(_, text)| text.len()).sum::<usize>();
        let named = written(&contents.imports[interface].functions);
        let bare = contents.structures.get(interface).map_or(0, |functions| written(functions));
        assert!(named < 2_000_000 && bare < 2_000_000, "{interface}: {named} and {bare} bytes of signatures");
    }
}

/// A custom section in the text form, of the component and of a core module in it.
fn configuration(own: &str, of_module: &str) -> Vec<u8> {
    let escaped = |text: &str| text.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let section = |text: &str| format!("(@custom \"wasmill:config\" \"{}\")", escaped(text));
    guest(&format!("{} (core module {})", section(own), section(of_module)), &GUEST_FUNCTIONS)
}

#[test]
fn what_a_component_says_of_its_configuration_is_read_wherever_a_linker_puts_it() {
    let line = |name: &str| format!("{{\"type\":\"{name}\",\"keys\":[{{\"key\":\"k{name}\",\"type\":\"f64\"}}]}}\n");
    let inspection = inspect(&configuration(&line("A"), &line("B"))).expect("it is a component");
    let keys = wasmill_model::configuration::keys(&inspection.configuration);
    assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["kA", "kB"]);
}

#[test]
fn a_hostile_configuration_is_passed_over_and_its_text_cannot_steer_a_terminal() {
    let keys = |own: &str, of_module: &str| {
        let inspection = inspect(&configuration(own, of_module)).expect("nothing of it refuses the component");
        wasmill_model::configuration::keys(&inspection.configuration)
    };
    assert_eq!(keys("\u{1b}[2J", &"{\"type\":".repeat(100)), []);
    assert_eq!(keys(&"[".repeat(100_000), &"\n".repeat(100_000)), []);
    let many = "{\"type\":\"A\",\"keys\":[{\"key\":\"k\",\"type\":\"f64\"}]}\n".repeat(10_000);
    assert!(keys(&many, &many).len() <= 64);
    let [key] =
        &keys("{\"type\":\"A\",\"keys\":[{\"key\":\"\\u001b[2J\",\"type\":\"f64\",\"doc\":\"\\u202e\"}]}", "")[..]
    else {
        panic!("one key")
    };
    assert_eq!((key.name.as_str(), key.doc.as_str()), ("\\u{1b}[2J", "\\u{202e}"));
}
