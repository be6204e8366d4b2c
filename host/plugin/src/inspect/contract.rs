//! The contract's functions as `wit/operator.wit` has them, and how a component's differ.
//!
//! `contract.txt` is what this crate's own reader says of a component made from `wit/operator.wit`; a test makes it again.

use wasmill_model::fault::Code;

use super::{
    refusal::{Finding, Place},
    signature::Interface,
};

/// All functions of this version, as text.
pub(crate) const FUNCTIONS: &str = include_str!("contract.txt");

/// A function of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function {
    /// Without the package, such as `guest`.
    pub(super) interface: &'static str,
    pub(super) name: &'static str,
    /// As the contract writes it.
    pub(super) signature: &'static str,
    /// What it takes and gives, without any names of types and parameters.
    pub(super) structure: &'static str,
}

/// Bytes shown of a signature, at most, and of what is equal before they differ.
const SHOWN_MAX: usize = 400;
const BEFORE_MAX: usize = 60;

/// All functions of the contract.
pub(super) fn functions() -> impl Iterator<Item = Function> {
    let mut lines = FUNCTIONS.lines();
    std::iter::from_fn(move || {
        let (path, signature) = lines.next()?.split_once(": ").expect("a line is a path and a signature");
        let (interface, name) = path.split_once('#').expect("a path is an interface and a function");
        let structure = lines.next().expect("each function has two lines").trim_start();
        Some(Function { interface, name, signature, structure })
    })
}

/// What is wrong with an interface that should have these functions. `all`: none may be missing, as in an export;
/// otherwise there may be none beyond them, as in an import.
pub(super) fn compare(
    expected: &[Function],
    found: &Interface,
    structures: &[(String, String)],
    all: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = |name: &str| Place::Item(format!("{}#{name}", found.name));
    for function in expected {
        let signature = found.functions.iter().find(|(name, _)| name == function.name).map(|(_, s)| s.as_str());
        let structure = structures.iter().find(|(name, _)| name == function.name).map(|(_, s)| s.as_str());
        match (signature, structure) {
            (Some(signature), Some(structure)) if structure != function.structure => {
                let (expect, find) = difference((function.signature, function.structure), (signature, structure));
                findings.push(Finding::new(Code::Interface, place(function.name), expect, find));
            }
            (None, _) | (_, None) if all => {
                let expect = format!("`{}`", function.signature);
                findings.push(Finding::new(Code::Interface, place(function.name), expect, "no such function"));
            }
            _ => {}
        }
    }
    for (name, signature) in found.functions.iter().filter(|_| !all) {
        if expected.iter().all(|function| function.name != name) {
            let found = format!("`{}`", cut(signature, SHOWN_MAX));
            let place = place(&crate::log::clean(name, SHOWN_MAX));
            findings.push(Finding::new(Code::ImportNotGranted, place, "a function of the contract", found));
        }
    }
    findings
}

/// Two signatures as they are written, or, if they differ inside of types, from a little before that place on.
fn difference(expected: (&str, &str), found: (&str, &str)) -> (String, String) {
    if expected.0 != found.0 && !found.0.contains('{') {
        return (format!("`{}`", cut(expected.0, SHOWN_MAX)), format!("`{}`", cut(found.0, SHOWN_MAX)));
    }
    let equal = expected.1.bytes().zip(found.1.bytes()).take_while(|(a, b)| a == b).count();
    let equal = expected.1.floor_char_boundary(equal).min(found.1.floor_char_boundary(equal));
    let from = |text: &str| {
        let before = text.floor_char_boundary(equal.saturating_sub(BEFORE_MAX));
        let start =
            if before == 0 { 0 } else { text[before..equal].rfind(['{', '(', '<']).map_or(equal, |at| before + at) };
        let ellipsis = if start == 0 { "" } else { "... " };
        format!("`{ellipsis}{}`", cut(&text[text.floor_char_boundary(start)..], 2 * BEFORE_MAX))
    };
    (from(expected.1), from(found.1))
}

fn cut(text: &str, bytes_max: usize) -> String {
    let shown = crate::log::clean(text, bytes_max);
    if shown.len() < text.len() { shown + "..." } else { shown }
}
