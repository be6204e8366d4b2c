//! The repository keeps its own rules. Each test names every place that breaks its rule.

use wasmill_house::{Finding, Tree, files, functions, heads, layers, links, names, unwraps, words};

#[track_caller]
fn none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(lines.is_empty(), "{} places break this rule:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn there_is_something_to_check() {
    let tree = Tree::read();
    for path in ["Cargo.toml", "wit/operator.wit", "host/model/src/lib.rs", "tests/house/tests/rules.rs"] {
        assert!(tree.files.iter().any(|file| file.path == path), "{path} was not read");
    }
}

#[test]
fn crates_depend_downwards_only() {
    none(layers(&Tree::read().files));
}

#[test]
fn files_are_short() {
    none(Tree::read().files.iter().filter_map(files));
}

#[test]
fn functions_are_short() {
    none(Tree::read().rust().flat_map(functions));
}

#[test]
fn sources_begin_by_saying_what_they_are() {
    none(Tree::read().rust().filter_map(heads));
}

#[test]
fn names_say_what_is_inside() {
    none(Tree::read().rust().flat_map(names));
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    none(Tree::read().rust().flat_map(unwraps));
}

#[test]
fn nothing_is_left_open_or_tied_to_a_machine() {
    none(Tree::read().files.iter().flat_map(words));
}

#[test]
fn links_lead_somewhere() {
    none(links(&Tree::read()));
}
