//! What a component says it was made of and with, in sections that anyone can write: shown to people, trusted by nobody.
//!
//! Languages are those of the component itself and of the modules whose functions it exports. What else stands in it,
//! such as an adapter between two versions of WASI, was written by others.

use wasmparser::{
    CanonicalFunction, ComponentAlias, CustomSectionReader, ExternalKind, Instance, KnownCustom, Payload,
};

use super::{PRODUCER_CHARACTERS_MAX, PRODUCERS_MAX, malformed, refusal::Refusal};

/// Gathers what is said, and which modules have a say.
#[derive(Debug, Default)]
pub(super) struct Producers {
    pub(super) tools: Vec<String>,
    own_languages: Vec<String>,
    /// Of the component's modules, by their number.
    module_languages: Vec<Vec<String>>,
    /// The module of each core instance; none: it is made of parts.
    instances: Vec<Option<u32>>,
    /// The core instance that each core function comes from; none: it is one of the host's.
    functions: Vec<Option<u32>>,
    /// Core functions that the component makes functions of its own of.
    lifted: Vec<u32>,
}

impl Producers {
    /// Looks at a part. `open`: for each module or component that it is in, whether that is a component.
    pub(super) fn add(&mut self, payload: &Payload<'_>, open: &[bool]) -> Result<(), Refusal> {
        match payload {
            Payload::ModuleSection { .. } if open == [true] => self.module_languages.push(Vec::new()),
            Payload::CustomSection(section) => self.add_section(section, open),
            Payload::InstanceSection(section) if open == [true] => {
                for instance in section.clone() {
                    self.instances.push(match instance.map_err(malformed)? {
                        Instance::Instantiate { module_index, .. } => Some(module_index),
                        Instance::FromExports(_) => None,
                    });
                }
            }
            Payload::ComponentAliasSection(section) if open == [true] => {
                for alias in section.clone() {
                    if let ComponentAlias::CoreInstanceExport { kind: ExternalKind::Func, instance_index, .. } =
                        alias.map_err(malformed)?
                    {
                        self.functions.push(Some(instance_index));
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) if open == [true] => {
                for function in section.clone() {
                    match function.map_err(malformed)? {
                        CanonicalFunction::Lift { core_func_index, .. } => self.lifted.push(core_func_index),
                        _ => self.functions.push(None),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_section(&mut self, section: &CustomSectionReader<'_>, open: &[bool]) {
        let KnownCustom::Producers(fields) = section.as_known() else { return };
        for field in fields.into_iter().flatten() {
            let list = match (field.name, open) {
                ("language", [true]) => &mut self.own_languages,
                ("language", [true, false]) => match self.module_languages.last_mut() {
                    Some(languages) => languages,
                    None => continue,
                },
                ("language", _) => continue,
                _ => &mut self.tools,
            };
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

    /// The languages, once the whole component is read.
    pub(super) fn languages(&self) -> Vec<String> {
        let mut languages = self.own_languages.clone();
        let module_of = |function: &u32| {
            let instance = (*self.functions.get(*function as usize)?)?;
            (*self.instances.get(instance as usize)?).map(|module| module as usize)
        };
        for module in self.lifted.iter().filter_map(module_of) {
            for language in self.module_languages.get(module).into_iter().flatten() {
                if languages.len() < PRODUCERS_MAX && !languages.contains(language) {
                    languages.push(language.clone());
                }
            }
        }
        // A Rust module is linked with a C library, whose objects name their language too.
        if languages.iter().any(|language| language == "Rust") {
            languages.retain(|language| !language.starts_with('C'));
        }
        languages
    }
}
