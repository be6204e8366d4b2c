//! `wasmill plugin`: looks at components.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::json;
use wasmill_model::fault::Coded;
use wasmill_plugin::{
    PluginStore,
    inspect::{Inspection, Interface},
};

use crate::{Output, error::Error, plugins, refused, show};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Says what a component imports and exports, and whether it can be an operator.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The component's file.
    file: PathBuf,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Runs a verb of `wasmill plugin`.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let Verb::Inspect(arguments) = verb;
    match plugins::store(arguments.cache.as_deref()).and_then(|store| inspect(&arguments.file, &store)) {
        Ok(inspection) => match arguments.output {
            Output::Table => show(&table(&arguments.file, &inspection)),
            Output::Json => show(&format!("{}\n", json(&inspection))),
        },
        Err(error) => refused(&error, arguments.output),
    }
}

fn inspect(file: &Path, store: &PluginStore) -> Result<Inspection, Error> {
    let wasm = plugins::read(file)?;
    store.inspect(&wasm).map_err(|e| Error::new(e.code(), format!("{} cannot be an operator: {e}", file.display())))
}

fn table(file: &Path, inspection: &Inspection) -> String {
    let mut text = format!("{}\n", file.display());
    let mut line = |name: &str, value: String| text += &format!("  {name:<10} {value}\n");
    line("digest", inspection.digest.to_string());
    line(
        "size",
        format!("{} ({} of it custom sections)", HumanBytes(inspection.size), HumanBytes(inspection.custom_bytes)),
    );
    if !inspection.languages.is_empty() {
        line("language", inspection.languages.join(", "));
    }
    if !inspection.tools.is_empty() {
        line("tools", inspection.tools.join(", "));
    }
    for (title, interfaces) in [("imports", &inspection.imports), ("exports", &inspection.exports)] {
        text += &format!("{title}{}\n", if interfaces.is_empty() { ": none" } else { "" });
        for interface in interfaces {
            text += &format!("  {}\n", interface.name);
            for (name, signature) in &interface.functions {
                text += &format!("    {name}: {signature}\n");
            }
        }
    }
    text
}

fn json(inspection: &Inspection) -> serde_json::Value {
    let interfaces = |all: &[Interface]| -> Vec<serde_json::Value> {
        let functions = |interface: &Interface| -> serde_json::Map<String, serde_json::Value> {
            interface.functions.iter().map(|(name, signature)| (name.clone(), signature.as_str().into())).collect()
        };
        all.iter().map(|interface| json!({ "name": interface.name, "functions": functions(interface) })).collect()
    };
    json!({
        "digest": inspection.digest.to_string(),
        "size": inspection.size,
        "custom_bytes": inspection.custom_bytes,
        "languages": inspection.languages,
        "tools": inspection.tools,
        "modules": inspection.modules,
        "imports": interfaces(&inspection.imports),
        "exports": interfaces(&inspection.exports),
    })
}
