//! What is told of a component, in text and as JSON: by `check`, `build` and `plugin inspect`.

use std::{path::Path, process::ExitCode};

use indicatif::HumanBytes;
use serde_json::{Map, Value, json};
use wasmill_model::{
    configuration::{self, Default as KeyDefault, Key},
    fault::Coded,
    manifest::Manifest,
};
use wasmill_plugin::{
    Digest, PluginStore, Tier,
    inspect::{Finding, Interface, Place, Refusal},
    plugins::Checked,
};

use crate::{
    Output, REFUSED,
    error::{self, Error},
    plugins, refused, show,
};

/// How much is told of imports and exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Their names.
    Names,
    /// Every function with its types.
    Functions,
}

/// Checks the component in a file as `wasmill run` would, and prints what was found. Exit code 2 if it is refused.
pub(crate) fn check_file(path: &Path, detail: Detail, output: Output, store: &PluginStore) -> ExitCode {
    let file = path.display();
    let wasm = match plugins::read(path) {
        Ok(wasm) => wasm,
        Err(error) => return refused(&error, output),
    };
    let (text, json, code) = match store.check(&wasm) {
        Ok(checked) => (
            format!("{file} can be an operator\n{}", table(&checked, detail)),
            json_of(&checked, detail),
            ExitCode::SUCCESS,
        ),
        Err(error) => match error.refusal() {
            None => {
                let error = Error::new(error.code(), format!("could not check {file}: {error}"));
                return refused(&error, output);
            }
            Some(refusal) => (
                format!("{file} cannot be an operator\n{}", refusal_table(&wasm, &refusal)),
                refusal_json(&wasm, &refusal),
                ExitCode::from(REFUSED),
            ),
        },
    };
    let shown = match output {
        Output::Table => text,
        Output::Json => {
            let mut json = json;
            json["file"] = file.to_string().into();
            format!("{json}\n")
        }
    };
    match show(&shown) {
        written if written == ExitCode::SUCCESS => code,
        failed => failed,
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Optimized => "optimized",
        Tier::Baseline => "baseline",
    }
}

fn line(name: &str, value: &str) -> String {
    format!("  {name:<10} {value}\n")
}

/// Several values below one another.
fn lines(name: &str, values: &[String]) -> String {
    line(name, &if values.is_empty() { "none".to_owned() } else { values.join(&format!("\n{:13}", "")) })
}

fn table(checked: &Checked, detail: Detail) -> String {
    let Checked { inspection, compile_time, .. } = checked;
    let no_manifest = Manifest::default();
    let manifest = inspection.manifest.as_ref().unwrap_or(&no_manifest);
    let mut text = String::new();
    if let Some(name) = &manifest.name {
        text += &line("name", name);
    }
    if let Some(version) = &manifest.version {
        text += &line("version", version);
    }
    if let Some(description) = &manifest.description {
        text += &line("about", description);
    }
    text += &line("digest", &inspection.digest.to_string());
    let custom = HumanBytes(inspection.custom_bytes);
    text += &match detail {
        Detail::Names => line("size", &HumanBytes(inspection.size).to_string()),
        Detail::Functions => line("size", &format!("{} ({custom} of it custom sections)", HumanBytes(inspection.size))),
    };
    let languages = inspection.languages.join(", ");
    text += &line("language", if languages.is_empty() { "not said" } else { &languages });
    if detail == Detail::Functions && !inspection.tools.is_empty() {
        text += &line("tools", &inspection.tools.join(", "));
    }
    let names = |all: &[Interface]| all.iter().map(|interface| interface.name.clone()).collect::<Vec<_>>();
    if detail == Detail::Names {
        text += &lines("imports", &names(&inspection.imports));
    }
    let limits: Vec<String> =
        manifest.limits.written().iter().map(|(name, value)| format!("{name} = {value}")).collect();
    text += &lines("limits", &if limits.is_empty() { vec!["the defaults".to_owned()] } else { limits });
    text += &line("tier", tier(checked.tier));
    text += &line("compiled", &compile_time.map_or("earlier".to_owned(), |time| format!("in {time:.2?}")));
    if detail == Detail::Functions {
        text += &keys(&configuration::keys(&inspection.configuration));
        text += &functions("imports", &inspection.imports);
        text += &functions("exports", &inspection.exports);
    }
    text
}

/// The keys of a configuration, each with what it means below it: a line is as narrow as it can be.
fn keys(keys: &[Key]) -> String {
    let mut text = format!("config{}\n", if keys.is_empty() { ": not said" } else { "" });
    for Key { name, type_name, default, doc } in keys {
        let default = match default {
            KeyDefault::Required => "required".to_owned(),
            KeyDefault::None => "none by default".to_owned(),
            KeyDefault::Value(value) => format!("default {value}"),
        };
        text += &format!("  {name}: {type_name}; {default}\n");
        if !doc.is_empty() {
            text += &format!("    {doc}\n");
        }
    }
    text
}

fn functions(title: &str, interfaces: &[Interface]) -> String {
    let mut text = format!("{title}{}\n", if interfaces.is_empty() { ": none" } else { "" });
    for interface in interfaces {
        text += &format!("  {}\n", interface.name);
        for (name, signature) in &interface.functions {
            text += &format!("    {name}: {signature}\n");
        }
    }
    text
}

fn json_of(checked: &Checked, detail: Detail) -> Value {
    let Checked { inspection, compile_time, .. } = checked;
    let functions = |interface: &Interface| -> Map<String, Value> {
        interface.functions.iter().map(|(name, signature)| (name.clone(), signature.as_str().into())).collect()
    };
    let interface = |interface: &Interface| match detail {
        Detail::Names => Value::from(interface.name.as_str()),
        Detail::Functions => json!({ "name": interface.name, "functions": functions(interface) }),
    };
    let mut json = json!({
        "ok": true,
        "digest": inspection.digest.to_string(),
        "size": inspection.size,
        "languages": inspection.languages,
        "imports": inspection.imports.iter().map(interface).collect::<Vec<_>>(),
        "exports": inspection.exports.iter().map(interface).collect::<Vec<_>>(),
        "manifest": inspection.manifest.as_ref().map(Manifest::json),
        "tier": tier(checked.tier),
        "compile_seconds": compile_time.map(|time| time.as_secs_f64()),
        "findings": [],
    });
    if detail == Detail::Functions {
        json["config"] = configuration::json(&inspection.configuration);
        json["custom_bytes"] = inspection.custom_bytes.into();
        json["tools"] = inspection.tools.clone().into();
        json["modules"] = inspection.modules.into();
    }
    json
}

fn refusal_table(wasm: &[u8], refusal: &Refusal) -> String {
    let mut text = line("digest", &Digest::of(wasm).to_string());
    text += &line("size", &HumanBytes(wasm.len() as u64).to_string());
    for Finding { code, place, expected, found, hint } in &refusal.findings {
        text += &format!("{code}: {place}\n");
        text += &line("expected", expected);
        text += &line("found", found);
        text += &hint.as_ref().map_or_else(String::new, |hint| line("hint", hint));
    }
    text + &error::for_more(refusal.code())
}

fn refusal_json(wasm: &[u8], refusal: &Refusal) -> Value {
    let finding = |Finding { code, place, expected, found, hint }: &Finding| {
        let place = match place {
            Place::Whole => Value::Null,
            Place::Byte(offset) => json!({ "byte": offset }),
            Place::Item(item) => json!({ "item": item }),
        };
        json!({ "code": code, "place": place, "expected": expected, "found": found, "hint": hint })
    };
    json!({
        "ok": false,
        "digest": Digest::of(wasm).to_string(),
        "size": wasm.len(),
        "findings": refusal.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
