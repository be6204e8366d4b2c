//! What documentation says of a key. It stands beside the reader of the key; the pages in `docs/` are made from it.

use std::fmt::Write;

/// A key that a table can have, as documentation shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    /// What it is, in Markdown.
    pub meaning: &'static str,
    /// What holds if it is left out, in Markdown; `required` if it cannot be.
    pub default: &'static str,
}

impl Key {
    /// A key with its documentation.
    pub const fn new(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, default }
    }
}

/// The table in Markdown that documents these keys.
pub fn markdown(keys: &[Key]) -> String {
    let mut text = String::from("| key | meaning | default |\n|---|---|---|\n");
    for Key { name, meaning, default } in keys {
        writeln!(text, "| `{name}` | {meaning} | {default} |").expect("writing to a string succeeds");
    }
    text
}
