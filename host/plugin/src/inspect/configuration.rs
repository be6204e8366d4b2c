//! What a component says of its configuration, in sections that anyone can write: shown to people, trusted by nobody. What
//! cannot be read is passed over, because no job depends on it.

use wasmill_model::configuration::{self, BYTES_MAX, SECTION, Type};
use wasmparser::CustomSectionReader;

use crate::log;

/// Bytes of a text that is shown, at most.
const TEXT_BYTES_MAX: usize = 2_048;

/// The sections read so far, one behind the other, never more than is looked at.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    text: Vec<u8>,
}

impl Configuration {
    /// Looks at a custom section, of the component or of a core module in it: linkers put it there.
    pub(super) fn add(&mut self, section: &CustomSectionReader<'_>) {
        if section.name() == SECTION {
            let room = BYTES_MAX - self.text.len();
            self.text.extend_from_slice(&section.data()[..section.data().len().min(room)]);
        }
    }

    /// The types in them, their text fit to be shown.
    pub(super) fn types(&self) -> Vec<Type> {
        let clean = |text: &str| log::clean(text, TEXT_BYTES_MAX);
        configuration::parse(&self.text).into_iter().map(|found| found.cleaned(clean)).collect()
    }
}
