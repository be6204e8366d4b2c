//! What stands in a component, found out before anything of it is compiled or run.
//!
//! Reads the bytes and nothing else; runs in the worker child, because the reader too is fed by strangers. A component
//! that passes here imports only what is granted and exports the whole contract. The compiler may still refuse it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmill_model::{configuration::Type, fault::Code, manifest::Manifest};
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures,
    component_types::ComponentEntityType,
    types::{Types, TypesRef},
};

use crate::{digest::Digest, log, plugin, wasi};

mod configuration;
mod contract;
mod manifest;
mod producers;
mod refusal;
mod signature;
mod structure;

pub(crate) use contract::FUNCTIONS;
pub use refusal::{Finding, Place, Refusal};
pub use signature::Interface;

use configuration::Configuration;
use manifest::Manifests;
use producers::Producers;
use structure::Structure;

/// Bytes of a component, at most. Python with its interpreter takes 18 MB.
pub const SIZE_MAX: usize = 64 << 20;

/// The package of the contract, and the one interface of it that a component must export.
const CONTRACT: &str = "wasmill:operator/";
const GUEST: &str = "guest";

/// Names of tools in an inspection, at most: they are read from a section that anyone can write.
const PRODUCERS_MAX: usize = 32;
const PRODUCER_CHARACTERS_MAX: usize = 64;

/// Findings in a refusal, at most, and the bytes of a component's own name in one.
const FINDINGS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 200;

/// What stands in a component that may be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    pub digest: Digest,
    /// Bytes of the component.
    pub size: u64,
    pub imports: Vec<Interface>,
    pub exports: Vec<Interface>,
    /// What it says of itself, if it does.
    pub manifest: Option<Manifest>,
    /// The types of its configuration, if it says them.
    pub configuration: Vec<Type>,
    /// Languages it says its functions were written in, such as `Rust` or `C11`.
    pub languages: Vec<String>,
    /// Tools it says it was made with, with versions, such as `wit-component 0.254.2`.
    pub tools: Vec<String>,
    /// Bytes in custom sections: names, debug information. They are not compiled.
    pub custom_bytes: u64,
    /// Core modules, nested ones included.
    pub modules: u32,
}

/// Reads a component and says what stands in it, or why it is refused.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Refusal> {
    inspect_up_to(bytes, SIZE_MAX)
}

/// `inspect` with another limit on the size.
pub fn inspect_up_to(bytes: &[u8], size_max: usize) -> Result<Inspection, Refusal> {
    if bytes.len() > size_max {
        return Err(too_large(bytes.len() as u64, size_max as u64));
    }
    refuse_other_formats(bytes)?;
    let mut contents = Contents::read(bytes)?;
    let mut findings = contents.structure.findings.clone();
    findings.extend(contents.interface());
    findings.extend(contents.imports_not_granted());
    findings.append(&mut contents.manifests.findings);
    findings.truncate(FINDINGS_MAX);
    if !findings.is_empty() {
        return Err(Refusal::new(findings));
    }
    Ok(Inspection {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        imports: contents.imports.into_values().collect(),
        exports: contents.exports.into_values().collect(),
        configuration: contents.configuration.types(),
        manifest: contents.manifests.manifest,
        languages: contents.producers.languages(),
        tools: contents.producers.tools,
        custom_bytes: contents.structure.custom_bytes,
        modules: u32::try_from(contents.structure.module_count).expect("there is a maximum"),
    })
}

pub(crate) fn too_large(size: u64, limit: u64) -> Refusal {
    let finding = Finding::new(Code::Size, Place::Whole, format!("at most {limit} bytes"), format!("{size} bytes"));
    finding.hint("debug information is often most of it: `wasm-tools strip`").into()
}

/// Tells by the first bytes what is no component.
fn refuse_other_formats(bytes: &[u8]) -> Result<(), Refusal> {
    let refuse = |code, found: &str| Finding::new(code, Place::Whole, "a WebAssembly component", found);
    if bytes.starts_with(b"\0asm") {
        return match bytes.get(4..8) {
            Some([1, 0, 0, 0]) => Err(refuse(Code::CoreModule, "a core module")
                .hint("`wasm-tools component new` makes a component of it; most toolchains do so for `wasm32-wasip2`")
                .into()),
            // The version of components is the reader's to judge.
            _ => Ok(()),
        };
    }
    // Byte 7 of an ELF file names the system it is for; wasmtime's code has a number of its own.
    if bytes.starts_with(b"\x7fELF") && bytes.get(7) == Some(&200) {
        let found = refuse(Code::Precompiled, "code that is already compiled");
        return Err(found.hint("it is never taken from outside: give the component it was made of").into());
    }
    let head = &bytes[..bytes.len().min(512)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start();
    let looks_like = match head {
        [] => "nothing at all",
        [0x7f, b'E', b'L', b'F', ..] => "a native program or library",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        _ if text.starts_with("(component") || text.starts_with("(module") || text.starts_with(";;") => {
            "the text form of WebAssembly"
        }
        _ if text.starts_with('<') => "a web page",
        _ if head.iter().all(|b| !b.is_ascii_control() || b.is_ascii_whitespace()) => "text",
        _ => "something else",
    };
    Err(refuse(Code::NotAComponent, looks_like).into())
}

/// The parts of the language that the engine runs. It has the last word: this only makes for better messages.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::COMPONENT_MODEL
}

fn malformed(error: wasmparser::BinaryReaderError) -> Refusal {
    // The reader has maxima of its own, and no type to tell them by.
    let words = ["limit", "exceeds", "too deep", "too large", "too many", "too big"];
    let (code, expected) = match words.iter().any(|word| error.message().contains(word)) {
        true => (Code::Structure, "parts within the reader's maxima"),
        false => (Code::Malformed, "a well-formed component"),
    };
    let found = log::clean(error.message(), 2 * NAME_BYTES_MAX);
    Finding::new(code, Place::Byte(error.offset() as u64), expected, format!("\"{found}\"")).into()
}

/// The proposals that a component needs which the engine does not run. Empty if it is not well-formed with all of them.
fn features_missing(bytes: &[u8]) -> Vec<&'static str> {
    let is_valid = |features| Validator::new_with_features(features).validate_all(bytes).is_ok();
    let mut needed = WasmFeatures::all();
    if !is_valid(needed) {
        return Vec::new();
    }
    // One that includes others is not needed if these are enough.
    for (_, feature) in WasmFeatures::all().iter_names().filter(|(_, feature)| !features().contains(*feature)) {
        let fewer = (needed - feature) | features();
        if is_valid(fewer) {
            needed = fewer;
        }
    }
    (needed - features()).iter_names().map(|(name, _)| name).collect()
}

/// What one pass over the bytes gathers.
#[derive(Default)]
struct Contents {
    imports: BTreeMap<String, Interface>,
    exports: BTreeMap<String, Interface>,
    /// Imports and exports of the component itself that are no interfaces: functions, modules, components.
    bare_imports: Vec<String>,
    /// Of the contract's interfaces among them: each function and what it takes and gives, without names of types.
    structures: BTreeMap<String, Vec<(String, String)>>,
    manifests: Manifests,
    configuration: Configuration,
    producers: Producers,
    structure: Structure,
}

impl Contents {
    /// Reads everything. If it cannot be read, a proposal that the engine lacks is named before anything else.
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut contents = Self::default();
        contents.read_to_end(bytes).map_err(|mut refusal| {
            let missing = features_missing(bytes);
            if let (false, Some(place)) = (missing.is_empty(), refusal.findings.first().map(|f| f.place.clone())) {
                let finding = |name: &&str| {
                    let name = name.to_lowercase().replace('_', "-");
                    let expected = "what every engine runs: WebAssembly 2.0 and components of WASI 0.2";
                    let found = format!("the proposal {name}");
                    Finding::new(Code::Feature, place.clone(), expected, found)
                        .hint(format!("build without {name}; compilers have an option for each proposal"))
                };
                refusal.findings = missing.iter().map(finding).collect();
            }
            refusal.findings.append(&mut contents.structure.findings);
            Refusal::new(refusal.findings)
        })?;
        Ok(contents)
    }

    fn read_to_end(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let contents = self;
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
            contents.structure.count(&payload, &open)?;
            contents.producers.add(&payload, &open)?;
            match payload {
                Payload::Version { encoding, ref range, .. } => {
                    let is_component = encoding == Encoding::Component;
                    if !is_component && components > 1 {
                        return Err(nested_code(range.start));
                    }
                    open.push(is_component);
                }
                Payload::End(_) => {
                    open.pop();
                }
                // What wit-component nests in order to name types holds neither of these.
                Payload::InstanceSection(ref s) if components > 1 => {
                    return Err(nested_code(s.range().start));
                }
                Payload::ComponentCanonicalSection(ref s) if components > 1 => {
                    return Err(nested_code(s.range().start));
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
                Payload::CustomSection(section) => {
                    contents.manifests.add(&section, open.len());
                    contents.configuration.add(&section);
                }
                _ => {}
            }
            if let (Some(types), true) = (types, open.is_empty()) {
                contents.add_interfaces(&types, &import_names, &export_names);
            }
        }
        Ok(())
    }

    fn add_interfaces(&mut self, types: &Types, imports: &[String], exports: &[String]) {
        let types = types.as_ref();
        let (mut names, no_names) = (signature::Names::new(), signature::Names::none());
        for name in imports {
            if let Some(item) = types.component_item_for_import(name) {
                self.imports.insert(name.clone(), names.interface(types, name, item.ty));
                self.add_structures(&no_names, types, name, item.ty);
            }
        }
        // Nothing of what it exports is left out because of what it imports.
        names.make_room();
        no_names.make_room();
        for name in exports {
            if let Some(item) = types.component_item_for_export(name) {
                self.exports.insert(name.clone(), names.interface(types, name, item.ty));
                self.add_structures(&no_names, types, name, item.ty);
            }
        }
    }

    fn add_structures(
        &mut self,
        names: &signature::Names,
        types: TypesRef<'_>,
        name: &str,
        entity: ComponentEntityType,
    ) {
        if contract_interface(name).is_some() {
            self.structures.insert(name.to_owned(), names.structures(types, entity));
        }
    }

    /// How what it exports, and what it imports of the contract, differs from the contract.
    fn interface(&self) -> Vec<Finding> {
        let of = |interface: &str| -> Vec<contract::Function> {
            contract::functions().filter(|function| function.interface == interface).collect()
        };
        let mut findings = Vec::new();
        match self.exports.values().find(|export| contract_interface(&export.name) == Some(GUEST)) {
            Some(guest) => findings.extend(contract::compare(&of(GUEST), guest, &self.structures[&guest.name], true)),
            None => findings.push(self.guest_missing()),
        }
        for import in self.imports.values().filter(|import| is_granted(&import.name)) {
            if let Some(interface) = contract_interface(&import.name) {
                findings.extend(contract::compare(&of(interface), import, &self.structures[&import.name], false));
            }
        }
        findings
    }

    fn guest_missing(&self) -> Finding {
        let place = Place::Item(format!("{CONTRACT}{GUEST}"));
        let prefix = format!("{CONTRACT}{GUEST}@");
        let found = match self.exports.keys().find(|name| name.starts_with(&prefix)) {
            Some(other) => format!("export `{}`", log::clean(other, NAME_BYTES_MAX)),
            None => "no such export".to_owned(),
        };
        let hint = "build it against the world `operator` of wit/operator.wit, or with an SDK";
        Finding::new(Code::Interface, place, format!("export `{CONTRACT}{GUEST}@0.1.0`"), found).hint(hint)
    }

    fn imports_not_granted(&self) -> Vec<Finding> {
        let interfaces = self.imports.keys().filter(|name| !is_granted(name));
        let finding = |name: &String| {
            let name = log::clean(name, NAME_BYTES_MAX);
            let (expected, hint) = allowed_instead(&name);
            Finding::new(Code::ImportNotGranted, Place::Item(name), expected, "this import").hint(hint)
        };
        interfaces.chain(&self.bare_imports).map(finding).collect()
    }
}

fn nested_code(offset: usize) -> Refusal {
    let place = Place::Byte(offset as u64);
    // Calls between components inside of one are slow and their glue code is a class of bugs of its own.
    let finding = Finding::new(Code::Structure, place, "no component with code inside of this one", "one");
    finding.hint("an operator is one component, composed of none").into()
}

/// The interface of the contract that a name with its version means, if the version is one that is taken.
fn contract_interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix(CONTRACT)?.split_once('@')?;
    version.starts_with("0.1.").then_some(interface)
}

/// What may be imported in place of what is not granted, and what would let it in.
fn allowed_instead(name: &str) -> (&'static str, &'static str) {
    let wasi = "imports of wasi:cli, wasi:clocks, wasi:filesystem, wasi:io and wasi:random, in versions 0.2";
    let contract = "log, metrics, clock and state of wasmill:operator@0.1";
    if name.starts_with("wasi:sockets/") || name.starts_with("wasi:http/") {
        (wasi, "no grant allows it: an operator has no network; sources and sinks do input and output")
    } else if name.starts_with("wasi:") {
        (wasi, "no grant allows it: build against WASI 0.2, with the interface's version")
    } else if name.starts_with(CONTRACT) {
        (contract, "build against wit/operator.wit of version 0.1")
    } else {
        (
            "imports of wasmill:operator@0.1 and of WASI 0.2",
            "no grant allows it: leave out what imports it, or build it in",
        )
    }
}

/// Whether a component may import the interface of this name: what will be offered when it is linked. Single functions
/// of it may still be refused then.
fn is_granted(name: &str) -> bool {
    wasi::parse(name).is_some() || plugin::own_interface(name).is_some()
}

#[cfg(test)]
mod tests;
