//! How large the parts of a component may be: what an engine's pool has places for, and what no honest component comes near.

use wasmill_model::fault::Code;
use wasmparser::{Instance, Payload};

use super::{
    malformed,
    refusal::{Finding, Place, Refusal},
};
use crate::engine;

/// Modules and components inside of one another, the outermost counted.
pub(super) const NESTING_MAX: usize = 8;

/// Functions of all core modules. CPython has 30,000.
pub(super) const FUNCTIONS_MAX: u64 = 100_000;

/// Core modules. Python's extension modules are one each.
pub(super) const MODULES_MAX: u64 = 512;

/// Custom sections, and the bytes in them: names and debug information.
pub(super) const CUSTOM_SECTIONS_MAX: u64 = 4_096;
pub(super) const CUSTOM_BYTES_MAX: u64 = 32 << 20;

/// What one core module brings to each of its instances.
#[derive(Debug, Clone, Copy, Default)]
struct Module {
    memories: u64,
    tables: u64,
}

/// Counts while a component is read.
#[derive(Debug, Default)]
pub(super) struct Structure {
    /// Of the modules of the component itself, by their number.
    modules: Vec<Module>,
    pub(super) module_count: u64,
    functions: u64,
    instances: u64,
    memories: u64,
    tables: u64,
    custom_sections: u64,
    pub(super) custom_bytes: u64,
    /// One of a kind, at the place where the maximum was crossed.
    pub(super) findings: Vec<Finding>,
}

impl Structure {
    /// Counts a part. `open`: for each module or component that it is in, from the outermost in, whether that is a component.
    pub(super) fn count(&mut self, payload: &Payload<'_>, open: &[bool]) -> Result<(), Refusal> {
        let inside_module = open.last() == Some(&false);
        match payload {
            Payload::Version { encoding, range, .. } => {
                let at = range.start;
                self.check(at, "levels of nesting", open.len() as u64 + 1, NESTING_MAX as u64);
                if *encoding == wasmparser::Encoding::Module {
                    self.module_count += 1;
                    self.modules.push(Module::default());
                    self.check(at, "core modules", self.module_count, MODULES_MAX);
                }
            }
            Payload::FunctionSection(s) => {
                self.functions += u64::from(s.count());
                self.check(s.range().start, "functions", self.functions, FUNCTIONS_MAX);
            }
            Payload::MemorySection(s) if inside_module => {
                for memory in s.clone() {
                    let memory = memory.map_err(malformed)?;
                    let bytes = memory.initial.saturating_mul(64 << 10);
                    self.check(s.range().start, "bytes of initial memory", bytes, engine::MEMORY_BYTES_MAX);
                }
                if let Some(module) = self.modules.last_mut() {
                    module.memories += u64::from(s.count());
                }
            }
            Payload::TableSection(s) if inside_module => {
                for table in s.clone() {
                    let table = table.map_err(malformed)?;
                    let max = u64::from(engine::TABLE_ELEMENTS_MAX);
                    self.check(s.range().start, "elements of an initial table", table.ty.initial, max);
                }
                if let Some(module) = self.modules.last_mut() {
                    module.tables += u64::from(s.count());
                    let tables = module.tables;
                    self.check(s.range().start, "tables of a module", tables, engine::TABLES_PER_MODULE.into());
                }
            }
            Payload::InstanceSection(s) => {
                for instance in s.clone() {
                    let Instance::Instantiate { module_index, .. } = instance.map_err(malformed)? else { continue };
                    let module = self.modules.get(module_index as usize).copied().unwrap_or_default();
                    self.instances += 1;
                    self.memories += module.memories;
                    self.tables += module.tables;
                }
                let at = s.range().start;
                let max = engine::CORE_INSTANCES_PER_COMPONENT.into();
                self.check(at, "core instances", self.instances, max);
                self.check(at, "memories", self.memories, engine::MEMORIES_PER_COMPONENT.into());
                self.check(at, "tables", self.tables, engine::TABLES_PER_COMPONENT.into());
            }
            Payload::CustomSection(s) => {
                self.custom_sections += 1;
                self.custom_bytes += s.range().len() as u64;
                self.check(s.range().start, "custom sections", self.custom_sections, CUSTOM_SECTIONS_MAX);
                self.check(s.range().start, "bytes in custom sections", self.custom_bytes, CUSTOM_BYTES_MAX);
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&mut self, offset: usize, what: &str, count: u64, max: u64) {
        let expected = format!("at most {max} {what}");
        if count <= max || self.findings.iter().any(|finding| finding.expected == expected) {
            return;
        }
        let finding = Finding::new(Code::Structure, Place::Byte(offset as u64), expected, format!("{count} or more"));
        self.findings.push(match what {
            "bytes in custom sections" | "custom sections" => finding.hint("`wasm-tools strip` takes them out"),
            _ => finding,
        });
    }
}
