//! The manifest of a component: one custom section of the component itself, read and judged.

use wasmill_model::{
    fault::Code,
    manifest::{BYTES_MAX, Manifest, SECTION},
};
use wasmparser::CustomSectionReader;

use super::{
    FINDINGS_MAX, NAME_BYTES_MAX,
    refusal::{Finding, Place},
};
use crate::log;

/// The most that is said of what a manifest holds in place of what is expected.
const SHOWN_MAX: usize = 2 * NAME_BYTES_MAX;

/// What was read of manifests.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    /// The first that is good.
    pub(super) manifest: Option<Manifest>,
    sections: usize,
    pub(super) findings: Vec<Finding>,
}

impl Manifests {
    /// Looks at a custom section; `level`: modules and components that it is in.
    pub(super) fn add(&mut self, section: &CustomSectionReader<'_>, level: usize) {
        if section.name() != SECTION {
            return;
        }
        let place = Place::Byte(section.data_offset() as u64);
        let finding = |expected: &str, found: String| Finding::new(Code::Manifest, place.clone(), expected, found);
        self.sections += 1;
        let bytes = section.data();
        let finding = if level > 1 {
            finding("the manifest in a custom section of the component itself", "one inside of a part of it".to_owned())
                .hint("`wasmill build` puts it there; a `link_section` ends up in the core module")
        } else if self.sections > 1 {
            finding(&format!("at most one section `{SECTION}`"), "another one".to_owned())
        } else if bytes.len() > BYTES_MAX {
            finding(&format!("at most {BYTES_MAX} bytes of manifest"), format!("{} bytes", bytes.len()))
        } else {
            match Manifest::parse(bytes) {
                Ok(mut manifest) => {
                    manifest.description = manifest.description.map(|text| log::clean(&text, BYTES_MAX));
                    self.manifest = Some(manifest);
                    return;
                }
                Err(error) => {
                    let clean = |text: &str| log::clean(text, SHOWN_MAX);
                    let at = if error.key.is_empty() { String::new() } else { format!("`{}`: ", clean(&error.key)) };
                    let found = finding(&format!("{at}{}", clean(&error.expected)), clean(&error.found));
                    error.hint.iter().fold(found, |finding, hint| finding.hint(clean(hint)))
                }
            }
        };
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}
