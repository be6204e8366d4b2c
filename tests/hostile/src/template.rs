//! Makes a component of a core module's text, filling in what the text leaves out.
//!
//! `tests/guests/hostile/README.md` says what a text may rely on.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../wit/operator.wit");

/// What a hostile guest may import beside the contract: parts of WASI that are granted, and what is not.
const OUTSIDE: &str = r#"
package hostile:worlds;

world any {
  include wasmill:operator/operator@0.1.0;
  import wasi:cli/exit@0.2.6;
  import wasi:cli/stdout@0.2.6;
  import wasi:clocks/monotonic-clock@0.2.6;
  import wasi:random/random@0.2.6;
  import wasi:sockets/instance-network@0.2.6;
  import wasi:http/outgoing@0.2.6;
  import evil:outside/door@1.0.0;
}

package wasi:io@0.2.6 {
  interface streams {
    resource output-stream { check-write: func() -> u64; }
  }
}
package wasi:cli@0.2.6 {
  interface exit { exit: func(status: result); }
  interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
}
package wasi:clocks@0.2.6 {
  interface monotonic-clock { now: func() -> u64; }
}
package wasi:random@0.2.6 {
  interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}
package wasi:sockets@0.2.6 {
  interface instance-network { reach: func(address: string) -> u32; }
}
package wasi:http@0.2.6 {
  interface outgoing { reach: func(address: string) -> u32; }
}
package evil:outside@1.0.0 {
  interface door { open: func() -> u32; }
}
"#;

/// Parts that a text replaces by writing the first words itself. Offsets are those of the canonical ABI.
const PARTS: [(&str, &str); 7] = [
    ("(memory $memory ", r#"(memory $memory (export "memory") 16)"#),
    (
        "(func $realloc ",
        "(func $realloc (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
           (local $at i32)
           (local.set $at (i32.and
             (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
             (i32.sub (i32.const 0) (local.get $align))))
           (global.set $heap (i32.add (local.get $at) (local.get $size)))
           (local.get $at))",
    ),
    ("(func $describe ", "(func $describe (type $describe) (i32.const 0x200))"),
    ("(func $open ", "(func $open (type $open) (i32.const 0x300))"),
    ("(func $process ", "(func $process (type $process) (i32.const 0x400))"),
    ("(func $on-timers ", "(func $on-timers (type $on-timers) (i32.const 0x300))"),
    ("(func $on-notice ", "(func $on-notice (type $on-notice) (i32.const 0x300))"),
];

/// What every module has.
const REST: &str = r#"
(type $describe (func (param i32 i32 i32 i32) (result i32)))
(type $open (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(type $process (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(type $on-timers (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(type $on-notice (func (param i32 i64) (result i32)))
(global $heap (mut i32) (i32.const 0x10000))
(func $done (param i32) (global.set $heap (i32.const 0x10000)))
(export "cabi_realloc" (func $realloc))
(export "wasmill:operator/guest@0.1.0#describe" (func $describe))
(export "wasmill:operator/guest@0.1.0#open" (func $open))
(export "wasmill:operator/guest@0.1.0#process" (func $process))
(export "wasmill:operator/guest@0.1.0#on-timers" (func $on-timers))
(export "wasmill:operator/guest@0.1.0#on-notice" (func $on-notice))
(export "cabi_post_wasmill:operator/guest@0.1.0#process" (func $done))
(export "cabi_post_wasmill:operator/guest@0.1.0#on-timers" (func $done))
;; describe: one unkeyed input of which nothing is read, one port `out` that passes its rows on
(data (i32.const 0x204) "\40\02\00\00\01\00\00\00\50\02\00\00\01\00\00\00")
(data (i32.const 0x250) "\80\02\00\00\03\00\00\00")
(data (i32.const 0x280) "out" "count" "value" "int64")
;; process: all rows go on by port 0
(data (i32.const 0x404) "\20\04\00\00\01\00\00\00")
;; describe: the same, keyed, with a cell `count` of int64, and with timers
(data (i32.const 0x504) "\40\05\00\00\01\00\00\00\50\02\00\00\01\00\00\00\60\05\00\00\01\00\00\00\01")
(data (i32.const 0x548) "\01")
(data (i32.const 0x560) "\83\02\00\00\05\00\00\00\88\02\00\00\05\00\00\00\8d\02\00\00\05\00\00\00")
"#;

/// A change of the contract or of the module: what stands there, and what is put in its place.
pub type Change<'a> = (&'a str, &'a str);

/// The text of a hostile guest in `tests/guests/hostile`, by its name.
pub fn text(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/hostile").join(name).with_extension("wat");
    fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}

/// The component of the hostile guest of this name.
pub fn guest(name: &str) -> Result<Vec<u8>> {
    component(&text(name)?).with_context(|| format!("could not make a component of {name}"))
}

/// The component of a text: as it is if it is a whole component or module, else within the template.
pub fn component(text: &str) -> Result<Vec<u8>> {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with(";;")).unwrap_or_default();
    if first.starts_with("(component") || first.starts_with("(module") {
        return Ok(wat::parse_str(text)?);
    }
    of_another_contract(text, &[], &[])
}

/// The component of a text within the template, by a contract that has been changed, in a module that has been changed.
pub fn of_another_contract(text: &str, contract: &[Change<'_>], module: &[Change<'_>]) -> Result<Vec<u8>> {
    let change = |text: String, changes: &[Change<'_>]| {
        changes.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "`{from}` is not there to be changed");
            text.replace(from, to)
        })
    };
    let parts = PARTS.iter().filter(|(head, _)| !text.contains(head)).map(|(_, part)| *part);
    let parts: String = parts.collect::<Vec<_>>().join("\n");
    let mut module = wat::parse_str(change(format!("(module {text}\n{parts}\n{REST})"), module))?;
    let mut resolve = Resolve::default();
    let outside = if contract.iter().any(|(from, _)| from.contains("package")) {
        let version = contract.iter().find_map(|(_, to)| to.split_once('@')).expect("a package has a version").1;
        OUTSIDE.replace("operator@0.1.0", &format!("operator@{}", version.trim_end_matches(';')))
    } else {
        OUTSIDE.to_owned()
    };
    resolve.push_str("operator.wit", &change(CONTRACT.to_owned(), contract))?;
    let package = resolve.push_str("outside.wit", &outside)?;
    let world = resolve.select_world(&[package], Some("any"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(false).encode()
}
