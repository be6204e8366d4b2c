//! The last steps of a component: without debug information, with its manifest.

use anyhow::{Context, bail};
use wasm_encoder::{CustomSection, RawSection, Section};
use wasmill_model::manifest::{self, Manifest};
use wasmparser::BinaryReader;

/// Magic, version and layer: a component, and a core module.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Sections of a component that hold other binaries, and the one that holds what is only for tools.
const MODULE_SECTION: u8 = 1;
const COMPONENT_SECTION: u8 = 4;
const CUSTOM_SECTION: u8 = 0;

/// The component without debug information and with this manifest in place of any other.
pub(super) fn finish(wasm: &[u8], manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    if !wasm.starts_with(&COMPONENT) {
        bail!("it is not a component");
    }
    let mut bytes = stripped(wasm, &mut |name| !is_debug(name) && name != manifest::SECTION)?;
    let data = manifest.json().to_string();
    CustomSection { name: manifest::SECTION.into(), data: data.as_bytes().into() }.append_to(&mut bytes);
    Ok(bytes)
}

/// Names of functions are no debug information: backtraces need them.
fn is_debug(section: &str) -> bool {
    section.starts_with(".debug_") || section.starts_with("reloc.") || section == "sourceMappingURL"
}

/// A copy of a binary with those custom sections that are to be kept, at every level.
fn stripped(binary: &[u8], keep: &mut dyn FnMut(&str) -> bool) -> anyhow::Result<Vec<u8>> {
    let (head, body) = binary.split_at_checked(COMPONENT.len()).context("a part of it is cut off")?;
    let is_component = head == COMPONENT;
    if !is_component && head != MODULE {
        bail!("a part of it is neither a component nor a module");
    }
    let mut reader = BinaryReader::new(body, 0);
    let mut copy = head.to_vec();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let length = reader.read_var_u32()? as usize;
        let content = reader.read_bytes(length)?;
        let nested;
        let content = match id {
            CUSTOM_SECTION if !keep(BinaryReader::new(content, 0).read_string()?) => continue,
            MODULE_SECTION | COMPONENT_SECTION if is_component => {
                nested = stripped(content, keep)?;
                &nested
            }
            _ => content,
        };
        RawSection { id, data: content }.append_to(&mut copy);
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        CustomSection { name: name.into(), data: b"data".as_slice().into() }.append_to(&mut bytes);
        bytes
    }

    fn component(inside: &[Vec<u8>], beside: &[&str]) -> Vec<u8> {
        let mut bytes = COMPONENT.to_vec();
        let module = [MODULE.to_vec(), inside.concat()].concat();
        RawSection { id: MODULE_SECTION, data: &module }.append_to(&mut bytes);
        bytes.extend(beside.iter().flat_map(|name| custom(name)));
        bytes
    }

    #[test]
    fn debug_information_and_old_manifests_go_names_stay() {
        let manifest = Manifest::parse(b"{\"name\":\"x\"}").expect("it is one");
        let all = [".debug_info", "name", "reloc.CODE", "producers"].map(custom);
        let made = finish(&component(&all, &["component-name", manifest::SECTION]), &manifest).expect("it is one");
        let mut expect = component(&["name", "producers"].map(custom), &["component-name"]);
        let data = b"{\"name\":\"x\"}".as_slice();
        CustomSection { name: manifest::SECTION.into(), data: data.into() }.append_to(&mut expect);
        assert_eq!(made, expect);
        assert_eq!(finish(&made, &manifest).expect("it is one"), expect, "a second time changes nothing");
    }

    #[test]
    fn what_is_no_component_is_refused() {
        let good = component(&[], &["name"]);
        for bytes in [&b""[..], &MODULE, &good[..good.len() - 1]] {
            assert!(finish(bytes, &Manifest::default()).is_err(), "{bytes:?}");
        }
    }
}
