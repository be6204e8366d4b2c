//! `wasmill new`: a project that builds, tests and runs as it is written.
//!
//! The SDK goes along in source, from this program, so that a project needs nothing of Wasmill but the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use wasmill_model::fault::Code;

use crate::{Output, error::Error, refused, show};

mod sdk;

/// What the build script found: paths and contents.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// What stands in templates in place of the project's name.
const PLACEHOLDER: &str = "project-name";

/// Letters of a name, at most: that of a manifest.
const NAME_MAX: usize = 64;

/// Names that cargo or the compiler gives another meaning, and those that the project's own parts have.
const TAKEN: [&str; 10] =
    ["test", "core", "std", "alloc", "proc-macro", "build", "deps", "examples", "wasmill-sdk", "wasmill-sdk-macros"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The project's folder, which must not exist; its last part is the project's name.
    name: PathBuf,
    /// The language of the operator. In this version there is `rust`.
    #[arg(long, default_value = "rust")]
    lang: String,
    /// What the operator does.
    #[arg(long, value_enum, default_value_t = Kind::Map)]
    kind: Kind,
}

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Adds columns to each row.
    Map,
    /// Remembers something for each key.
    Keyed,
    /// Acts when a key's time has come.
    Timer,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Keyed => "keyed",
            Self::Timer => "timer",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Map => "Adds to each order what it comes to",
            Self::Keyed => "Adds to each reading the average of its sensor so far",
            Self::Timer => "Tells of each visit, once it is over",
        }
    }
}

/// Writes a project.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(()) => {
            let folder = arguments.name.display();
            show(&format!(
                "wrote the project {folder}\n\n  cd {folder}\n  wasmill build          builds the operator\n  \
                 wasmill run job.toml   runs it on input.jsonl\n  cargo test             runs its unit tests\n  \
                 wasmill test           runs its fixtures\n  wasmill dev job.toml   builds and runs again at every change\n"
            ))
        }
        Err(error) => refused(&Error::new(Code::ProjectNotBegun, format!("{error:#}")), Output::Table),
    }
}

fn write(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name: folder, lang, kind } = arguments;
    if lang != "rust" {
        bail!(
            "there is no template for the language `{lang}` yet, only for `rust`\n  hint: an operator in any language \
             that makes components of WASI 0.2 can be written against wit/operator.wit"
        );
    }
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    if folder.exists() {
        bail!("{} exists already\n  hint: choose another name, or move it away", folder.display());
    }
    for (path, content) in files(name, *kind) {
        let place = folder.join(path);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(place.parent().unwrap_or(Path::new("")))?;
            fs::write(&place, &content)
        };
        write().with_context(|| format!("could not write {}", place.display()))?;
    }
    Ok(())
}

/// All files of a project.
fn files(name: &str, kind: Kind) -> Vec<(String, String)> {
    let mut files = vec![("Cargo.toml".to_owned(), cargo_toml(name, kind))];
    for (path, content) in embedded::TEMPLATES {
        let content = content.replace(PLACEHOLDER, name);
        let place = match *path {
            "every/gitignore" => ".gitignore".to_owned(),
            "every/README.md" => "README.md".to_owned(),
            "every/wasmill-README.md" => "wasmill/README.md".to_owned(),
            path => match path.strip_prefix(kind.folder()).and_then(|rest| rest.strip_prefix('/')) {
                Some(path) => path.to_owned(),
                None => continue,
            },
        };
        files.push((place, content));
    }
    files.extend(sdk::files(embedded::SDK).into_iter().map(|(path, content)| (format!("wasmill/{path}"), content)));
    files
}

fn cargo_toml(name: &str, kind: Kind) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
description = "{}"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]         # a component, and a library for tests

[dependencies]
wasmill-sdk = {{ path = "wasmill/sdk/rust" }}

# What an instance needs, where a job file does not say; all limits can stand here that `[operator.NAME.limits]` can have.
[package.metadata.wasmill.limits]
memory = "16MiB"

# The project is a workspace of its own, wherever its folder is.
[workspace]
"#,
        kind.description()
    )
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= NAME_MAX && name.chars().all(is_good) {
        if !TAKEN.contains(&name) && !is_keyword(name) {
            return Ok(());
        }
        bail!(
            "`{name}` cannot name a project: it means something else to cargo\n  hint: for example `{name}-operator`"
        );
    }
    let near: String = name.to_lowercase().replace(['_', ' ', '.'], "-").chars().filter(|c| is_good(*c)).collect();
    let near = near.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let near: String = near.chars().take(NAME_MAX).collect();
    let example = if near.is_empty() { "my-operator" } else { &near };
    bail!(
        "\"{name}\" cannot name a project\n  hint: small letters, digits and `-`, beginning with a letter, at most \
         {NAME_MAX}: for example `{example}`"
    )
}

/// Whether cargo refuses the name because the language uses it.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false \
                            final fn for gen if impl in let loop macro match mod move mut override priv pub ref return \
                            self static struct super trait true try type typeof unsafe unsized use virtual where while \
                            yield";
    KEYWORDS.split_whitespace().any(|keyword| keyword == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_cargo_and_of_manifests() {
        for name in ["a", "fraud-score", "v2-x", "x-"] {
            check_name(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for (name, hint) in [
            ("", "`my-operator`"),
            ("My_Op", "`my-op`"),
            ("2fast", "`fast`"),
            ("größe", "`gre`"),
            ("a b.c", "`a-b-c`"),
            ("fn", "`fn-operator`"),
            ("test", "`test-operator`"),
            ("wasmill-sdk", "`wasmill-sdk-operator`"),
        ] {
            let error = check_name(name).expect_err(name).to_string();
            assert!(error.ends_with(hint), "{name}: {error}");
        }
        check_name(&"x".repeat(NAME_MAX)).expect("it is short enough");
        check_name(&"x".repeat(NAME_MAX + 1)).expect_err("it is too long");
    }

    #[test]
    fn every_kind_has_all_that_the_readme_names() {
        for kind in [Kind::Map, Kind::Keyed, Kind::Timer] {
            let files = files("my-op", kind);
            let has = |path: &str| files.iter().any(|(place, _)| place == path);
            for path in [
                "Cargo.toml",
                "README.md",
                ".gitignore",
                "job.toml",
                "input.jsonl",
                "src/lib.rs",
                "wasmill/wit/operator.wit",
                "wasmill/sdk/rust/Cargo.toml",
                "wasmill/sdk/rust/src/lib.rs",
                "wasmill/sdk/rust-macros/src/lib.rs",
                "wasmill/README.md",
                "wasmill/LICENSE",
            ] {
                assert!(has(path), "{kind:?}: {path}");
            }
            assert!(files.iter().any(|(path, _)| path.starts_with("fixtures/") && path.ends_with("/expected.jsonl")));
            assert!(files.iter().all(|(_, content)| !content.contains(PLACEHOLDER)), "{kind:?}");
            let manifest: toml::Table = cargo_toml("my-op", kind).parse().expect("it is TOML");
            assert!(manifest.contains_key("workspace"));
        }
    }
}
