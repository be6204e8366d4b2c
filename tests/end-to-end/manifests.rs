//! Manifests of components: what is shown of them, which are refused, and the limits they want.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::process::{Bench, Ended, Running, cache, plugin};

const JOB: &str = r#"
[job]
name = "manifests"
[source.lines]
connector = "file"
path = "in.txt"
format = "lines"
[operator.words]
plugin = "./words.wasm"
input = "lines"
[sink.out]
input = "words"
connector = "file"
path = "out.jsonl"
format = "json"
"#;

/// A folder with the tokenizer in it, and with this manifest in the tokenizer.
fn bench(manifest: &str) -> Bench {
    let bench = Bench::new(JOB);
    bench.put("in.txt", "to be or not to be\n");
    bench.put("words.wasm", with_section(bare(&fs::read(plugin("tokenizer")).expect("it is there")), manifest));
    bench
}

const NAME: &[u8] = b"wasmill:manifest";

/// A standard operator without its own manifest, which is its last section.
fn bare(component: &[u8]) -> &[u8] {
    let name = component.windows(NAME.len()).rposition(|bytes| bytes == NAME).expect("it has a manifest");
    let content = name - 1;
    let length_bytes = if component.len() - content < 0x80 { 1 } else { 2 };
    &component[..content - length_bytes - 1]
}

/// A component with one more custom section.
fn with_section(component: &[u8], manifest: &str) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let mut length = 1 + NAME.len() + manifest.len();
    bytes.push(0);
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.extend([length as u8, NAME.len() as u8]);
    bytes.extend(NAME);
    bytes.extend(manifest.as_bytes());
    bytes
}

fn wasmill(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmill"));
    command.args(arguments).arg("words.wasm").arg("--cache").arg(cache()).current_dir(bench.folder.path());
    Running::start(command).end()
}

#[test]
fn a_manifest_is_shown() {
    let limits = json!({ "memory": "8MiB", "call_deadline": "1500ms" });
    let manifest = json!({ "name": "words", "version": "1.2.0", "description": "Splits lines", "limits": limits });
    let bench = bench(&manifest.to_string());
    for verb in [&["check"][..], &["plugin", "inspect"]] {
        let shown = wasmill(&bench, verb);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        for part in [
            "words.wasm can be an operator",
            "version    1.2.0",
            "memory = \"8MiB\"",
            "call_deadline = \"1500ms\"",
            "Rust",
            "tier",
        ] {
            assert!(shown.stdout.contains(part), "{verb:?}: {part}: {}", shown.stdout);
        }
        let shown = wasmill(&bench, &[verb, &["-o", "json"]].concat());
        let found: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
        assert_eq!((&found["ok"], &found["manifest"]), (&json!(true), &manifest));
        for key in ["digest", "size", "languages", "imports", "exports", "tier", "compile_seconds"] {
            assert!(found.get(key).is_some(), "{verb:?}: {key}");
        }
    }
    let shown = wasmill(&bench, &["plugin", "inspect"]);
    assert!(shown.stdout.contains("    process: func(input: u32, rows: rows"), "{}", shown.stdout);
}

#[test]
fn a_manifest_that_is_wrong_is_refused() {
    let wide = format!("{{\"description\":\"{}\"}}", "x".repeat(64 << 10));
    for (manifest, expected, found) in [
        ("{\"name\":", "JSON", "EOF while parsing a value at line 1 column 8"),
        ("{\"limit\":{}}", "`limit`: a key that is known", "unknown key `limit`"),
        ("{\"name\":\"Words\"}", "`name`: 1 to 64 small letters, digits and `-`", "\"Words\""),
        ("{\"limits\":{\"handles\":100001}}", "`limits.handles`: a number from 1 to 100000", "100001"),
        ("{\"limits\":{\"memory\":\"3GiB\"}}", "`limits.memory`: more than 0 and at most \"2GiB\"", "\"3GiB\""),
        (&wide, "at most 65536 bytes of manifest", "65554 bytes"),
    ] {
        let bench = bench(manifest);
        let shown = wasmill(&bench, &["check", "-o", "json"]);
        assert_eq!(shown.code, Some(2), "{manifest}: {}", shown.stderr);
        let json: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
        let finding = &json["findings"][0];
        let is = (&finding["code"], &finding["expected"], &finding["found"]);
        assert_eq!(is, (&json!("manifest"), &json!(expected), &json!(found)));
        assert!(finding["place"]["byte"].as_u64().is_some_and(|byte| byte > 1_000), "{finding}");
        let run = bench.refused(&[]);
        assert!(run.contains("job.toml:9: operator.words.plugin: ") && run.contains("manifest: byte "), "{run}");
    }
    let twice = bench("{}");
    twice.put("words.wasm", with_section(&fs::read(twice.path("words.wasm")).expect("it is there"), "{}"));
    let shown = wasmill(&twice, &["check"]);
    assert!(shown.stdout.contains("found      another one"), "{}", shown.stdout);
}

#[test]
fn limits_that_a_plugin_wants_stand_behind_those_of_the_job_file() {
    let bench = bench("{\"limits\":{\"memory\":\"1100KiB\",\"output\":\"16B\"}}");
    // The second run finds the plugin compiled, and its manifest with it.
    for _ in 0..2 {
        let message = bench.refused(&[]);
        assert!(message.contains("more than 16 bytes at once (`limits.output`)"), "{message}");
    }
    bench.succeed(&["operator.words.limits.output=1MiB"]);
    assert_eq!(bench.rows("out.jsonl").len(), 6);
    let message = bench.refused(&["operator.words.limits.output=1MiB", "operator.words.limits.memory=64KiB"]);
    assert!(message.contains("of 65536 it may use (`limits.memory`)"), "{message}");
}
