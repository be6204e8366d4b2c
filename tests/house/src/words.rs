//! What no file of the repository may say: work left open, paths of the machine it was written on, and where that
//! machine gets its packages from.

use crate::{File, Finding};

/// A text that is forbidden, and why. Each is written in two parts, so that this file does not break its own rule.
struct Forbidden {
    parts: (&'static str, &'static str),
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// Finish it, or say in the documentation what is missing.
    Open,
    /// The start of an absolute path that exists nowhere else.
    Machine,
    /// A host that packages come from; cargo and its like know it without being told.
    Registry,
}

const FORBIDDEN: [Forbidden; 17] = [
    open(("to", "do!")),
    open(("unimple", "mented!")),
    open(("TO", "DO")),
    open(("FIX", "ME")),
    open(("XX", "X")),
    machine(("/wo", "rk/")),
    machine(("/ro", "ot/")),
    machine(("/fa", "rm/")),
    machine(("/tmp/ba", "sh_jobs")),
    machine(("/ho", "me/")),
    registry(("crates", ".io")),
    registry(("pypi", ".org")),
    registry(("pythonhosted", ".org")),
    registry(("npmjs", ".org")),
    registry(("debian", ".org")),
    registry(("rust-lang", ".org/dist")),
    registry(("golang", ".org/proxy")),
];

/// Files that a tool writes, and that name registries because the tool does.
const WRITTEN_BY_TOOLS: [&str; 1] = ["Cargo.lock"];

const fn open(parts: (&'static str, &'static str)) -> Forbidden {
    Forbidden { parts, kind: Kind::Open }
}

const fn machine(parts: (&'static str, &'static str)) -> Forbidden {
    Forbidden { parts, kind: Kind::Machine }
}

const fn registry(parts: (&'static str, &'static str)) -> Forbidden {
    Forbidden { parts, kind: Kind::Registry }
}

/// Reports forbidden texts, at most one of each kind a line.
#[must_use]
pub fn words(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for forbidden in &FORBIDDEN {
            let text = format!("{}{}", forbidden.parts.0, forbidden.parts.1);
            let exempt = forbidden.kind == Kind::Registry && WRITTEN_BY_TOOLS.contains(&file.name());
            if !exempt && line.match_indices(&text).any(|(place, _)| forbidden.stands(line, place, text.len())) {
                findings.push(Finding::new(&file.path, number, format!("says `{text}`: {}", forbidden.why())));
            }
        }
    }
    findings
}

impl Forbidden {
    /// Whether a match is meant, and no part of something longer.
    fn stands(&self, line: &str, place: usize, length: usize) -> bool {
        let before = line[..place].chars().next_back();
        let after = line[place + length..].chars().next();
        let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match self.kind {
            Kind::Open => !in_word(before) && !in_word(after),
            Kind::Machine => !in_word(before) && !before.is_some_and(|c| ".-}~*)]>".contains(c)),
            Kind::Registry => true,
        }
    }

    fn why(&self) -> &'static str {
        match self.kind {
            Kind::Open => "finish it, or write down in the documentation what is missing",
            Kind::Machine => "a path of one machine; use a relative one",
            Kind::Registry => "where packages come from is the machine's affair",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: &[&str], expect: usize) {
        let text = parts.concat();
        assert_eq!(words(&File::new("a.md", &text)).len(), expect, "{text}");
    }

    #[test]
    fn open_work_is_found() {
        check(&["fine\n    to", "do!(\"later\")"], 1);
        check(&["// TO", "DO: later"], 1);
        check(&["# FIX", "ME"], 1);
        check(&["M_TO", "DOS are words, and so is XX", "XL"], 0);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        check(&["see /wo", "rk/main"], 1);
        check(&["(\"/ro", "ot/x\")"], 1);
        check(&["target/guests/wo", "rk/c"], 0);
        check(&["docs.example/ho", "me/ and ../ho", "me/"], 0);
    }

    #[test]
    fn registries_are_found_but_in_lock_files() {
        let line = ["source = \"https://index.crates", ".io\""].concat();
        assert_eq!(words(&File::new("deny.toml", &line)).len(), 1);
        assert_eq!(words(&File::new("Cargo.lock", &line)).len(), 0);
        let path = ["/ro", "ot/x"].concat();
        assert_eq!(words(&File::new("Cargo.lock", &path)).len(), 1);
    }

    #[test]
    fn the_line_is_named() {
        let text = ["\n\nFIX", "ME\n"].concat();
        assert!(words(&File::new("a.md", &text))[0].to_string().starts_with("a.md:3: says `FIX"));
    }
}
