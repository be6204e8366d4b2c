//! What stands in a component, found out before anything of it is compiled or run.
//!
//! Reads the bytes and nothing else; runs in the worker child, because the reader too is fed by strangers. A component
//! that passes here imports only what is granted and exports the whole contract. The compiler may still refuse it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, KnownCustom, Parser, Payload, ValidPayload, Validator,
    WasmFeatures, types::Types,
};

use crate::{digest::Digest, plugin, wasi};

mod signature;

pub use signature::Interface;

/// Bytes of a component, at most. Python with its interpreter takes 18 MB.
pub const SIZE_MAX: usize = 64 << 20;

/// The one interface that a component must export.
pub const GUEST: &str = "wasmill:operator/guest";

/// The functions of `GUEST`.
pub const GUEST_FUNCTIONS: [&str; 5] = ["describe", "open", "process", "on-timers", "on-notice"];

/// Names of tools in an inspection, at most: they are read from a section that anyone can write.
const PRODUCERS_MAX: usize = 32;
const PRODUCER_CHARACTERS_MAX: usize = 64;

/// Names in a refusal, at most, and the characters of each.
const REFUSED_MAX: usize = 64;
const REFUSED_CHARACTERS_MAX: usize = 200;

/// What stands in a component that may be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    pub digest: Digest,
    /// Bytes of the component.
    pub size: u64,
    pub imports: Vec<Interface>,
    pub exports: Vec<Interface>,
    /// Languages it says it was made of, with versions, such as `Rust` or `C11`.
    pub languages: Vec<String>,
    /// Tools it says it was made with, with versions, such as `wit-component 0.254.2`.
    pub tools: Vec<String>,
    /// Bytes in custom sections: names, debug information. They are not compiled.
    pub custom_bytes: u64,
    /// Core modules, nested ones included.
    pub modules: u32,
}

/// What bytes that are no component look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LooksLike {
    Empty,
    WasmText,
    Elf,
    Gzip,
    Zip,
    Html,
    Text,
    Unknown,
}

impl std::fmt::Display for LooksLike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing at all",
            Self::WasmText => "the text form of WebAssembly",
            Self::Elf => "a native program or library",
            Self::Gzip => "a gzip archive",
            Self::Zip => "a zip archive",
            Self::Html => "a web page",
            Self::Text => "text",
            Self::Unknown => "something else",
        })
    }
}

/// Why a component is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
pub enum Refusal {
    #[error("component has {size} bytes, more than the {limit} allowed")]
    TooLarge { size: u64, limit: u64 },
    #[error("expected a WebAssembly component, found {looks_like}")]
    NotAComponent { looks_like: LooksLike },
    /// A module of the core language has no typed interfaces.
    #[error(
        "expected a WebAssembly component, found a core module (hint: `wasm-tools component new` makes a component of it)"
    )]
    CoreModule,
    #[error("expected a WebAssembly component, found code that is already compiled, which is never taken from outside")]
    Precompiled,
    #[error("component is malformed at byte {offset}: {message}")]
    Malformed { offset: u64, message: String },
    /// Calls between components inside of one are slow and their glue code is a class of bugs of its own.
    #[error(
        "component holds another component with code, at byte {offset} (hint: an operator is one component, composed of none)"
    )]
    NestedCode { offset: u64 },
    #[error("component imports what is not granted: {}", .imports.join(", "))]
    ImportsNotGranted { imports: Vec<String> },
    #[error("component does not export {}", .missing.join(", "))]
    ExportsMissing { missing: Vec<String> },
}

impl Refusal {
    /// A stable name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "size",
            Self::NotAComponent { .. } => "not-a-component",
            Self::CoreModule => "core-module",
            Self::Precompiled => "precompiled",
            Self::Malformed { .. } => "malformed",
            Self::NestedCode { .. } => "structure-limit",
            Self::ImportsNotGranted { .. } => "import-not-granted",
            Self::ExportsMissing { .. } => "interface",
        }
    }
}

/// Reads a component and says what stands in it, or why it is refused.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Refusal> {
    inspect_up_to(bytes, SIZE_MAX)
}

/// `inspect` with another limit on the size.
pub fn inspect_up_to(bytes: &[u8], size_max: usize) -> Result<Inspection, Refusal> {
    if bytes.len() > size_max {
        return Err(Refusal::TooLarge { size: bytes.len() as u64, limit: size_max as u64 });
    }
    refuse_other_formats(bytes)?;
    let contents = Contents::read(bytes)?;
    contents.refuse_imports_not_granted()?;
    contents.refuse_exports_missing()?;
    Ok(Inspection {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        imports: contents.imports.into_values().collect(),
        exports: contents.exports.into_values().collect(),
        languages: contents.languages,
        tools: contents.tools,
        custom_bytes: contents.custom_bytes,
        modules: contents.modules,
    })
}

/// Tells by the first bytes what is no component.
fn refuse_other_formats(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.starts_with(b"\0asm") {
        return match bytes.get(4..8) {
            Some([1, 0, 0, 0]) => Err(Refusal::CoreModule),
            // The version of components is the reader's to judge.
            _ => Ok(()),
        };
    }
    // Byte 7 of an ELF file names the system it is for; wasmtime's code has a number of its own.
    if bytes.starts_with(b"\x7fELF") && bytes.get(7) == Some(&200) {
        return Err(Refusal::Precompiled);
    }
    let head = &bytes[..bytes.len().min(512)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start();
    let looks_like = match head {
        [] => LooksLike::Empty,
        [0x7f, b'E', b'L', b'F', ..] => LooksLike::Elf,
        [0x1f, 0x8b, ..] => LooksLike::Gzip,
        [b'P', b'K', 3, 4, ..] => LooksLike::Zip,
        _ if text.starts_with("(component") || text.starts_with("(module") || text.starts_with(";;") => {
            LooksLike::WasmText
        }
        _ if text.starts_with('<') => LooksLike::Html,
        _ if head.iter().all(|b| !b.is_ascii_control() || b.is_ascii_whitespace()) => LooksLike::Text,
        _ => LooksLike::Unknown,
    };
    Err(Refusal::NotAComponent { looks_like })
}

/// The parts of the language that the engine runs. It has the last word: this only makes for better messages.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::COMPONENT_MODEL
}

fn malformed(error: wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Malformed { offset: error.offset() as u64, message: error.message().to_owned() }
}

/// What one pass over the bytes gathers.
#[derive(Default)]
struct Contents {
    imports: BTreeMap<String, Interface>,
    exports: BTreeMap<String, Interface>,
    /// Imports and exports of the component itself that are no interfaces: functions, modules, components.
    bare_imports: Vec<String>,
    languages: Vec<String>,
    tools: Vec<String>,
    custom_bytes: u64,
    modules: u32,
}

impl Contents {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut contents = Self::default();
        let mut validator = Validator::new_with_features(features());
        let mut allocations = Default::default();
        let mut import_names = Vec::new();
        let mut export_names = Vec::new();
        // Whether each open module or component, from the outermost in, is a component.
        let mut open: Vec<bool> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(malformed)?;
            let types = match validator.payload(&payload).map_err(malformed)? {
                ValidPayload::Func(function, body) => {
                    let mut function = function.into_validator(allocations);
                    function.validate(&body).map_err(malformed)?;
                    allocations = function.into_allocations();
                    None
                }
                ValidPayload::End(types) => Some(types),
                _ => None,
            };
            let components = open.iter().filter(|is_component| **is_component).count();
            match payload {
                Payload::Version { encoding, ref range, .. } => {
                    let is_component = encoding == Encoding::Component;
                    contents.modules += u32::from(!is_component);
                    if !is_component && components > 1 {
                        return Err(Refusal::NestedCode { offset: range.start as u64 });
                    }
                    open.push(is_component);
                }
                Payload::End(_) => {
                    open.pop();
                }
                // What wit-component nests in order to name types holds neither of these.
                Payload::InstanceSection(ref s) if components > 1 => {
                    return Err(Refusal::NestedCode { offset: s.range().start as u64 });
                }
                Payload::ComponentCanonicalSection(ref s) if components > 1 => {
                    return Err(Refusal::NestedCode { offset: s.range().start as u64 });
                }
                Payload::ComponentImportSection(section) if open.len() == 1 => {
                    for import in section {
                        let import = import.map_err(malformed)?;
                        match import.ty {
                            ComponentTypeRef::Instance(_) => import_names.push(import.name.name.to_owned()),
                            _ => contents.bare_imports.push(import.name.name.to_owned()),
                        }
                    }
                }
                Payload::ComponentExportSection(section) if open.len() == 1 => {
                    for export in section {
                        let export = export.map_err(malformed)?;
                        if export.kind == ComponentExternalKind::Instance {
                            export_names.push(export.name.name.to_owned());
                        }
                    }
                }
                Payload::CustomSection(section) => contents.add_custom(&section),
                _ => {}
            }
            if let (Some(types), true) = (types, open.is_empty()) {
                contents.add_interfaces(&types, &import_names, &export_names);
            }
        }
        Ok(contents)
    }

    fn add_custom(&mut self, section: &wasmparser::CustomSectionReader<'_>) {
        self.custom_bytes += section.range().len() as u64;
        let KnownCustom::Producers(fields) = section.as_known() else { return };
        for field in fields.into_iter().flatten() {
            let list = if field.name == "language" { &mut self.languages } else { &mut self.tools };
            for value in field.values.into_iter().flatten() {
                let shown = format!("{} {}", value.name, value.version);
                let shown: String =
                    shown.trim().chars().filter(|c| !c.is_control()).take(PRODUCER_CHARACTERS_MAX).collect();
                if list.len() < PRODUCERS_MAX && !list.contains(&shown) {
                    list.push(shown);
                }
            }
        }
    }

    fn add_interfaces(&mut self, types: &Types, imports: &[String], exports: &[String]) {
        let mut names = signature::Names::default();
        for name in imports {
            if let Some(item) = types.as_ref().component_item_for_import(name) {
                self.imports.insert(name.clone(), names.interface(types.as_ref(), name, item.ty));
            }
        }
        for name in exports {
            if let Some(item) = types.as_ref().component_item_for_export(name) {
                self.exports.insert(name.clone(), names.interface(types.as_ref(), name, item.ty));
            }
        }
    }

    fn refuse_imports_not_granted(&self) -> Result<(), Refusal> {
        let interfaces = self.imports.keys().filter(|name| !is_granted(name));
        let cut = |name: &String| name.chars().take(REFUSED_CHARACTERS_MAX).collect();
        let imports: Vec<String> = interfaces.chain(&self.bare_imports).take(REFUSED_MAX).map(cut).collect();
        if imports.is_empty() { Ok(()) } else { Err(Refusal::ImportsNotGranted { imports }) }
    }

    fn refuse_exports_missing(&self) -> Result<(), Refusal> {
        let guest = self.exports.values().find(|i| {
            let version = i.name.strip_prefix(GUEST).and_then(|rest| rest.strip_prefix('@'));
            version.is_some_and(|version| version.starts_with("0.1."))
        });
        let missing: Vec<String> = match guest {
            None => vec![format!("{GUEST}@0.1")],
            Some(guest) => GUEST_FUNCTIONS
                .iter()
                .filter(|function| guest.functions.iter().all(|(name, _)| name != *function))
                .map(|function| format!("{}#{function}", guest.name))
                .collect(),
        };
        if missing.is_empty() { Ok(()) } else { Err(Refusal::ExportsMissing { missing }) }
    }
}

/// Whether a component may import the interface of this name: what will be offered when it is linked. Single functions
/// of it may still be refused then.
fn is_granted(name: &str) -> bool {
    wasi::parse(name).is_some() || plugin::own_interface(name).is_some()
}

#[cfg(test)]
mod tests;
