//! `wasmill explain`: the page of an error, or the list of all.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wasmill_model::{
    fault::{Code, Unknown},
    settings::did_you_mean,
};

use crate::{Output, error::Error, refused, show};

macro_rules! pages {
    ($(#[doc = $summary:literal] $code:ident = $name:literal,)+) => {
        /// The page of an error, as it stands in the documentation.
        const fn page(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!("../../../docs/errors/", $name, ".md")),)+
            }
        }
    };
}

wasmill_model::codes!(pages);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The code, as in `error[job-file-unknown-key]`.
    code: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Explains one code, or lists all.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.code {
        None => show(&list(arguments.output)),
        Some(name) => match find(name) {
            Ok(code) => show(&explained(code, arguments.output)),
            Err(error) => refused(&error, arguments.output),
        },
    }
}

/// The code of this name, which may stand in its brackets, as it is copied from a terminal.
fn find(name: &str) -> Result<Code, Error> {
    let name = name.trim();
    let name = name.strip_prefix("error[").map_or(name, |rest| rest.trim_end_matches([':', ']']));
    name.parse().map_err(|unknown: Unknown| {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let hint = did_you_mean(name, &names).unwrap_or_else(|| "`wasmill explain` lists all".to_owned());
        Error::new(Code::UnknownErrorCode, format!("could not explain: {unknown}\n  hint: {hint}"))
    })
}

fn explained(code: Code, output: Output) -> String {
    match output {
        Output::Table => page(code).to_owned(),
        Output::Json => {
            format!("{}\n", json!({ "code": code, "summary": code.summary(), "page": page(code) }))
        }
    }
}

fn list(output: Output) -> String {
    let codes = Code::ALL.iter();
    match output {
        Output::Table => codes.map(|code| format!("{code:26} {}\n", code.summary())).collect(),
        Output::Json => {
            let all: Vec<_> = codes.map(|code| json!({ "code": code, "summary": code.summary() })).collect();
            format!("{}\n", json!(all))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors"))
    }

    #[test]
    fn every_page_is_of_a_code_and_begins_with_it() {
        let mut pages = BTreeSet::new();
        for entry in fs::read_dir(folder()).expect("the pages are there") {
            let name = entry.expect("it can be listed").file_name().to_string_lossy().into_owned();
            pages.insert(name.strip_suffix(".md").expect("only pages are here").to_owned());
        }
        assert!(pages.remove("README"), "there is a list of all pages");
        let codes: BTreeSet<String> = Code::ALL.iter().map(|code| code.to_string()).collect();
        assert_eq!(pages, codes);
        for &code in Code::ALL {
            assert!(page(code).starts_with(&format!("# {code}\n\n")), "the page of {code} has another title");
        }
    }

    /// The table of the index is the list of codes; where it is not, the failure shows what belongs there.
    #[test]
    fn the_index_lists_all_codes() {
        let index = fs::read_to_string(folder().join("README.md")).expect("it is there");
        let table: String =
            index.lines().filter(|line| line.starts_with("| [")).flat_map(|line| [line, "\n"]).collect();
        let expect: String =
            Code::ALL.iter().map(|code| format!("| [`{code}`]({code}.md) | {} |\n", code.summary())).collect();
        assert_eq!(table, expect, "docs/errors/README.md should list:\n{expect}");
    }

    #[test]
    fn codes_are_found_as_they_are_copied() {
        for name in ["bad-row", "error[bad-row]", "error[bad-row]:", " bad-row\n"] {
            assert_eq!(find(name), Ok(Code::BadRow), "{name}");
        }
        let message = find("bad-rwo").expect_err("it is misspelt").shown();
        assert!(message.starts_with("error[unknown-error-code]: could not explain: there is no error `bad-rwo`\n"));
        assert!(message.contains("\n  hint: did you mean `bad-row`?\n"), "{message}");
    }
}
