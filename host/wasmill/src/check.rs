//! `wasmill check`: whether a component can be an operator, and all that is wrong if not.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use wasmill_model::fault::Coded;
use wasmill_plugin::{
    Digest, Tier,
    inspect::{Finding, Interface, Place, Refusal},
    plugins::Checked,
};

use crate::{
    Output, REFUSED,
    error::{self, Error},
    plugins, refused, show,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The component's file.
    file: PathBuf,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Checks a component: inspects and compiles it as `wasmill run` would.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let file = arguments.file.display();
    let wasm = match plugins::read(&arguments.file) {
        Ok(wasm) => wasm,
        Err(error) => return refused(&error, arguments.output),
    };
    let store = match plugins::store(arguments.cache.as_deref()) {
        Ok(store) => store,
        Err(error) => return refused(&error, arguments.output),
    };
    let (shown, code) = match store.check(&wasm) {
        Ok(checked) => match arguments.output {
            Output::Table => (format!("{file} can be an operator\n{}", table(&checked)), ExitCode::SUCCESS),
            Output::Json => (format!("{}\n", json(&checked)), ExitCode::SUCCESS),
        },
        Err(error) => match error.refusal() {
            None => {
                let error = Error::new(error.code(), format!("could not check {file}: {error}"));
                return refused(&error, arguments.output);
            }
            Some(refusal) => match arguments.output {
                Output::Table => (
                    format!("{file} cannot be an operator\n{}", refusal_table(&wasm, &refusal)),
                    ExitCode::from(REFUSED),
                ),
                Output::Json => (format!("{}\n", refusal_json(&wasm, &refusal)), ExitCode::from(REFUSED)),
            },
        },
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

fn table(checked: &Checked) -> String {
    let Checked { inspection, compile_time, .. } = checked;
    let names: Vec<&str> = inspection.imports.iter().map(|import| import.name.as_str()).collect();
    let languages = inspection.languages.join(", ");
    [
        line("digest", &inspection.digest.to_string()),
        line("size", &HumanBytes(inspection.size).to_string()),
        line("language", if languages.is_empty() { "not said" } else { &languages }),
        line("imports", &if names.is_empty() { "none".to_owned() } else { names.join(&format!("\n{:13}", "")) }),
        line("tier", tier(checked.tier)),
        line("compiled", &compile_time.map_or("earlier".to_owned(), |time| format!("in {time:.2?}"))),
    ]
    .concat()
}

fn json(checked: &Checked) -> Value {
    let Checked { inspection, compile_time, .. } = checked;
    let names = |interfaces: &[Interface]| interfaces.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
    json!({
        "ok": true,
        "digest": inspection.digest.to_string(),
        "size": inspection.size,
        "languages": inspection.languages,
        "imports": names(&inspection.imports),
        "exports": names(&inspection.exports),
        "tier": tier(checked.tier),
        "compile_seconds": compile_time.map(|time| time.as_secs_f64()),
        "findings": [],
    })
}

fn refusal_table(wasm: &[u8], refusal: &Refusal) -> String {
    let mut text = line("digest", &Digest::of(wasm).to_string());
    text += &line("size", &HumanBytes(wasm.len() as u64).to_string());
    for Finding { code, place, expected, found, hint } in &refusal.findings {
        text += &format!("{}: {place}\n", code);
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
