//! What Rust sources must and must not contain.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

use crate::{File, Finding, size::is_test_only};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "misc", "v2", "types", "mod"];

/// Reports sources that do not begin by saying what they are.
#[must_use]
pub fn heads(file: &File) -> Option<Finding> {
    let said =
        file.text.strip_prefix("//!").is_some_and(|rest| rest.lines().next().is_some_and(|l| !l.trim().is_empty()));
    (!said).then(|| Finding::new(&file.path, 1, "does not begin with `//!` and what it is"))
}

/// Reports files, folders and modules with a name that says nothing.
#[must_use]
pub fn names(file: &File) -> Vec<Finding> {
    let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    let empty = stem.split('/').find(|part| EMPTY_NAMES.contains(part));
    let mut findings: Vec<Finding> = empty
        .map(|part| Finding::new(&file.path, 0, format!("`{part}` says nothing about what is inside")))
        .into_iter()
        .collect();
    let mut modules = Modules { path: &file.path, findings: &mut findings };
    if let Ok(parsed) = syn::parse_file(&file.text) {
        modules.visit_file(&parsed);
    }
    findings
}

struct Modules<'a> {
    path: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl<'ast> Visit<'ast> for Modules<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if EMPTY_NAMES.contains(&name.as_str()) {
            let message = format!("module `{name}` says nothing about what is inside");
            self.findings.push(Finding::new(self.path, module.ident.span().start().line, message));
        }
        syn::visit::visit_item_mod(self, module);
    }
}

/// Reports `unwrap()` outside of tests: whoever relies on a value being there says why it is.
#[must_use]
pub fn unwraps(file: &File) -> Vec<Finding> {
    let mut calls = Unwraps { path: &file.path, findings: Vec::new() };
    if let (false, Ok(parsed)) = (file.is_test(), syn::parse_file(&file.text)) {
        calls.visit_file(&parsed);
    }
    calls.findings
}

struct Unwraps<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Unwraps<'_> {
    fn report(&mut self, line: usize) {
        self.findings.push(Finding::new(
            self.path,
            line,
            "`unwrap()` outside of a test; `expect` says why it cannot fail",
        ));
    }

    /// Looks for `.unwrap` among tokens: the arguments of a macro are nothing more to a parser.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        for token in tokens {
            match &token {
                TokenTree::Ident(name) if after_dot && name == "unwrap" => self.report(name.span().start().line),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '.');
        }
    }
}

impl<'ast> Visit<'ast> for Unwraps<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test_only(&function.attrs) {
            syn::visit::visit_item_fn(self, function);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" && call.args.is_empty() {
            self.report(call.method.span().start().line);
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_source_begins_by_saying_what_it_is() {
        assert_eq!(heads(&File::new("a.rs", "//! What it is.\nfn a() {}\n")), None);
        for text in
            ["", "fn a() {}\n", "// What.\n", "\n//! What it is.\n", "//!\nfn a() {}\n", "/// What.\nfn a() {}\n"]
        {
            assert!(heads(&File::new("a.rs", text)).is_some(), "{text:?}");
        }
    }

    #[test]
    fn names_that_say_nothing() {
        let file = File::new("host/a/src/util/b.rs", "mod c;\nmod helpers { mod v2; }\n");
        let expect = [
            "host/a/src/util/b.rs: `util` says nothing about what is inside",
            "host/a/src/util/b.rs:2: module `helpers` says nothing about what is inside",
            "host/a/src/util/b.rs:2: module `v2` says nothing about what is inside",
        ];
        assert_eq!(shown(names(&file)), expect);
        assert_eq!(shown(names(&File::new("host/a/src/b/mod.rs", ""))).len(), 1);
        assert_eq!(shown(names(&File::new("host/a/src/utility_bill.rs", "mod common_words;\n"))).len(), 0);
    }

    #[test]
    fn unwrap_is_found_where_it_counts() {
        let text = "fn a() { b.unwrap(); }\nimpl A { fn c() { d(e.f()\n.unwrap()) } }\nfn g() { print!(\"{}\", h.unwrap()); }\n";
        let lines: Vec<usize> = unwraps(&File::new("host/a/src/b.rs", text)).iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 3, 4]);
    }

    #[test]
    fn unwrap_in_tests_and_its_relatives_are_free() {
        let text = "#[cfg(test)]\nmod tests { fn a() { b.unwrap(); } }\n#[test]\nfn c() { d.unwrap(); }\nfn e() { f.unwrap_or(1); }\n// g.unwrap()\n";
        assert_eq!(unwraps(&File::new("host/a/src/b.rs", text)), []);
        assert_eq!(unwraps(&File::new("host/a/tests/b.rs", "fn a() { b.unwrap(); }")), []);
    }
}
