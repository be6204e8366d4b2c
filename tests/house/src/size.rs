//! How long files and functions may be.

use syn::{Attribute, Block, Item, spanned::Spanned, visit::Visit};

use crate::{File, Finding};

/// Lines of a file without its test modules.
const FILE_LINES_MAX: usize = 600;
/// Lines of a file with its test modules, and of a file that is all tests.
const FILE_LINES_WITH_TESTS_MAX: usize = 900;
/// Lines between the braces of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// Endings of files that people write by hand, Rust apart.
const OTHER_SOURCES: [&str; 8] = ["py", "js", "ts", "c", "h", "go", "wit", "sh"];

/// Reports files that are too long.
#[must_use]
pub fn files(file: &File) -> Option<Finding> {
    let all = file.text.lines().count();
    let (lines, max) = if file.has_ending("rs") && !file.is_test() {
        if all > FILE_LINES_WITH_TESTS_MAX {
            (all, FILE_LINES_WITH_TESTS_MAX)
        } else {
            (all - test_lines(&file.text), FILE_LINES_MAX)
        }
    } else if file.has_ending("rs") || OTHER_SOURCES.iter().any(|e| file.has_ending(e)) && file.is_test() {
        (all, FILE_LINES_WITH_TESTS_MAX)
    } else if OTHER_SOURCES.iter().any(|ending| file.has_ending(ending)) {
        (all, FILE_LINES_MAX)
    } else {
        return None;
    };
    (lines > max).then(|| Finding::new(&file.path, 0, format!("has {lines} lines, at most {max} are allowed")))
}

/// Reports functions that are too long, and sources that cannot be parsed.
#[must_use]
pub fn functions(file: &File) -> Vec<Finding> {
    let mut long = Long { path: &file.path, findings: Vec::new() };
    match syn::parse_file(&file.text) {
        Ok(parsed) => long.visit_file(&parsed),
        Err(error) => {
            let line = error.span().start().line;
            long.findings.push(Finding::new(&file.path, line, format!("is no Rust: {error}")));
        }
    }
    long.findings
}

/// Lines inside of `#[cfg(test)] mod ... { }`, attributes included.
fn test_lines(text: &str) -> usize {
    let items = syn::parse_file(text).map(|file| file.items).unwrap_or_default();
    let modules = items.iter().filter(|item| matches!(item, Item::Mod(module) if is_test_only(&module.attrs)));
    modules.map(|module| module.span().end().line + 1 - module.span().start().line).sum()
}

/// Whether attributes keep an item out of everything but tests.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list().ok();
        let of_cfg = list.filter(|list| list.path.is_ident("cfg")).map(|list| list.tokens.to_string());
        attribute.path().is_ident("test") || of_cfg.is_some_and(|condition| condition == "test")
    })
}

struct Long<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Long<'_> {
    fn measure(&mut self, name: &syn::Ident, body: &Block) {
        let (first, last) = (body.span().start().line, body.span().end().line);
        let lines = (last - first).saturating_sub(1);
        if lines > FUNCTION_LINES_MAX {
            let message = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX} are allowed");
            self.findings.push(Finding::new(self.path, name.span().start().line, message));
        }
    }
}

impl<'ast> Visit<'ast> for Long<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig.ident, body);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> String {
        "//\n".repeat(count)
    }

    #[track_caller]
    fn check_file(path: &str, text: &str, expect: Option<&str>) {
        assert_eq!(files(&File::new(path, text)).map(|f| f.message).as_deref(), expect);
    }

    #[test]
    fn files_have_a_limit() {
        let long = Some("has 601 lines, at most 600 are allowed");
        check_file("host/a/src/b.rs", &lines(600), None);
        check_file("host/a/src/b.rs", &lines(601), long);
        check_file("sdk/go/a.go", &lines(601), long);
        check_file("Cargo.lock", &lines(5000), None);
    }

    #[test]
    fn tests_beside_the_code_are_counted_apart() {
        let with_tests = |code, tests| format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(code), lines(tests));
        check_file("host/a/src/b.rs", &with_tests(600, 297), None);
        check_file("host/a/src/b.rs", &with_tests(601, 3), Some("has 601 lines, at most 600 are allowed"));
        check_file("host/a/src/b.rs", &with_tests(600, 298), Some("has 901 lines, at most 900 are allowed"));
        for path in ["host/a/tests/b.rs", "host/a/src/b/tests.rs"] {
            check_file(path, &lines(900), None);
            check_file(path, &lines(901), Some("has 901 lines, at most 900 are allowed"));
        }
    }

    #[test]
    fn functions_have_a_limit() {
        let body = |count| "let _ = 1;\n".repeat(count);
        let text = format!(
            "//!\nfn short() {{\n{}}}\nfn long() {{\n{}}}\nimpl A {{ fn b() {{\n{}}} }}\ntrait C {{ fn d() {{\n{}}} }}\n",
            body(70),
            body(71),
            body(72),
            body(73)
        );
        let found: Vec<String> = functions(&File::new("a.rs", &text)).iter().map(ToString::to_string).collect();
        let expect = [
            "a.rs:74: `long` has 71 lines, at most 70 are allowed",
            "a.rs:147: `b` has 72 lines, at most 70 are allowed",
            "a.rs:221: `d` has 73 lines, at most 70 are allowed",
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn what_cannot_be_parsed_is_reported() {
        let found = functions(&File::new("a.rs", "//!\nfn ("));
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("is no Rust: "), "{}", found[0]);
    }
}
