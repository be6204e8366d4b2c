//! Bytes that are said to be a component, read by `wasmill_plugin::inspect`.
//!
//! Rules: no panic; time and memory within bounds; the same answer each time, and one that the worker child can hand over; what
//! is accepted exports the contract's interface and imports nothing that is not granted; what is refused is refused with
//! reasons that can be shown on a terminal.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use wasmill_hostile::{bombs, template};
use wasmill_plugin::{
    Digest,
    inspect::{Inspection, Refusal, inspect},
};

use crate::{Handled, Random, Target, mutate};

mod interfaces;
mod sections;

/// Bytes of an answer that the worker child can hand over.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Findings of a refusal, and names of tools.
const FINDINGS_MAX: usize = 64;
const NAMES_MAX: usize = 32;
const NAME_CHARACTERS_MAX: usize = 64;

/// How often an operator of this repository is taken: they are large, and so slow to read.
const LARGE_ONCE_IN: usize = 40;

pub(super) struct Inspect {
    /// Hostile guests, and small bombs.
    small: Vec<Vec<u8>>,
    /// Operators of this repository, if they have been built.
    large: Vec<Vec<u8>>,
}

impl Inspect {
    pub(super) fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let guests = files(&root.join("tests/guests/hostile"), "wat")?;
        let mut small = vec![template::component("")?, bombs::nested(3)];
        for guest in guests {
            let name = guest.file_stem().and_then(|name| name.to_str()).context("a guest's name is text")?.to_owned();
            small.push(template::guest(&name)?);
        }
        small.extend([bombs::loops(3)?, bombs::branches(5)?, bombs::tuples(5)?, bombs::lists(5)?]);
        small.extend([bombs::instances(3)?, bombs::custom("name", 20)?, bombs::custom("producers", 20)?]);
        let plugins = root.join("target/plugins");
        let plugins = if plugins.is_dir() { files(&plugins, "wasm")? } else { Vec::new() };
        let large = plugins.iter().map(fs::read).collect::<std::io::Result<_>>()?;
        Ok(Self { small, large })
    }

    fn seed(&self, random: &mut Random) -> &[u8] {
        let large = random.once_in(LARGE_ONCE_IN) && !self.large.is_empty();
        let from: &[Vec<u8>] = if large { &self.large } else { &self.small };
        random.pick(from).as_slice()
    }
}

/// Files of a folder with an ending, in the order of their names.
fn files(folder: &Path, ending: &str) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    Ok(paths)
}

impl Target for Inspect {
    fn make(&self, random: &mut Random) -> Vec<u8> {
        let mut input = self.seed(random).to_vec();
        match random.below(12) {
            0 => {}
            1 => input = interfaces::component(random),
            2 => {
                let part = if random.once_in(2) { interfaces::component(random) } else { self.seed(random).to_vec() };
                sections::insert(&mut input, &part, random);
            }
            3..=7 => {
                for _ in 0..=random.below(3) {
                    let other = self.seed(random);
                    sections::change(&mut input, other, random);
                }
            }
            _ => mutate::bytes(&mut input, self.seed(random), random),
        }
        input
    }

    fn run(&mut self, input: &[u8]) -> Result<Handled, String> {
        let found = inspect(input);
        if found != inspect(input) {
            return Err("another answer the second time".to_owned());
        }
        match found {
            Ok(inspection) => accepted(input, &inspection).map(|()| Handled::Accepted),
            Err(refusal) => refused(&refusal).map(|()| Handled::Refused),
        }
    }
}

fn accepted(input: &[u8], found: &Inspection) -> Result<(), String> {
    if (found.digest, found.size) != (Digest::of(input), input.len() as u64) {
        return Err(format!("digest {} and size {} are of something else", found.digest, found.size));
    }
    if !found.exports.iter().any(|export| export.name.starts_with("wasmill:operator/guest@0.1.")) {
        return Err("accepted without the contract's interface".to_owned());
    }
    let granted = ["wasmill:operator/", "wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];
    for import in &found.imports {
        if !granted.iter().any(|prefix| import.name.starts_with(prefix)) {
            return Err(format!("accepted with the import `{}`", import.name));
        }
    }
    for names in [&found.languages, &found.tools] {
        let harmful = |name: &String| name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control);
        if names.len() > NAMES_MAX || names.iter().any(harmful) {
            return Err(format!("names that cannot be shown: {names:?}"));
        }
    }
    can_be_handed_over(found)
}

fn refused(refusal: &Refusal) -> Result<(), String> {
    let count = refusal.findings.len();
    if !(1..=FINDINGS_MAX).contains(&count) {
        return Err(format!("refused with {count} reasons"));
    }
    let words = refusal.to_string();
    if words.chars().any(|c| c.is_control() && c != '\n') {
        return Err(format!("refused with words that cannot be shown: {words:?}"));
    }
    can_be_handed_over(refusal)
}

fn can_be_handed_over<T>(answer: &T) -> Result<(), String>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq,
{
    let text = serde_json::to_vec(answer).map_err(|e| format!("the answer has no JSON form: {e}"))?;
    if text.len() > ANSWER_BYTES_MAX {
        return Err(format!("the answer has {} bytes, more than the child can hand over", text.len()));
    }
    match serde_json::from_slice::<T>(&text) {
        Ok(same) if same == *answer => Ok(()),
        Ok(_) => Err("the answer is another once it has been handed over".to_owned()),
        Err(e) => Err(format!("the answer cannot be read back: {e}")),
    }
}
