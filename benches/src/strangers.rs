//! What strangers' plugins may cost: the figures that are demanded of a host that runs code it does not trust.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde_json::{Map, Value, json};
use wasmill_plugin::{Engine, EngineOptions};

use crate::runs::Output;

mod deadline;
mod guest;
mod neighbour;
mod poison;
mod replace;
mod reply;
mod traps;

/// First word of the command line of the child in which components are inspected, compiled and described.
pub(crate) const WORKER: &str = "plugin-worker";

/// What can be asked for.
pub(crate) const NAMES: [&str; 6] = ["poison", "replace", "deadline", "reply", "neighbour", "traps"];

/// Instances that the parts without jobs have at one time; some more for two jobs.
const POOL_INSTANCES: u32 = 64;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Empty: all.
    pub(crate) names: Vec<String>,
    pub(crate) output: Output,
}

/// One line of the answer.
#[derive(Debug)]
struct Figure {
    name: String,
    demand: String,
    measured: String,
    verdict: Verdict,
    /// The same in numbers, with their units in their names.
    values: Vec<(&'static str, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Reached,
    Missed,
    /// Nothing is demanded.
    None,
}

impl Verdict {
    fn of(reached: bool) -> Self {
        if reached { Self::Reached } else { Self::Missed }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Missed => "missed",
            Self::None => "",
        }
    }
}

impl Figure {
    fn object(&self, part: &str) -> Value {
        let values: Map<String, Value> =
            self.values.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
        json!({
            "part": part,
            "figure": self.name.trim(),
            "demand": self.demand,
            "measured": self.measured,
            "verdict": self.verdict.name(),
            "values": values,
        })
    }
}

/// Where things are.
struct Places {
    root: PathBuf,
    wasmill: PathBuf,
    plugins: PathBuf,
    /// What is written here.
    folder: PathBuf,
}

impl Places {
    fn find() -> Result<Self> {
        let program = std::env::current_exe().context("could not find this program")?;
        let release = program.parent().context("this program lies in no folder")?;
        let target = release.parent().context("this program's folder lies in no folder")?;
        let places = Self {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().context("the sources are gone")?,
            wasmill: release.join("wasmill"),
            plugins: target.join("plugins"),
            folder: target.join("bench"),
        };
        fs::create_dir_all(&places.folder).with_context(|| format!("could not make {}", places.folder.display()))?;
        Ok(places)
    }

    fn plugin(&self, name: &str) -> PathBuf {
        self.plugins.join(name).with_extension("wasm")
    }
}

/// Measures, and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let places = Places::find()?;
    let engine = Engine::new(&EngineOptions { pool_instances: POOL_INSTANCES, ..EngineOptions::default() })?;
    let load = load();
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["figure", "demand", "measured", ""]);
    for part in NAMES.into_iter().filter(|name| options.names.is_empty() || options.names.iter().any(|n| n == name)) {
        let figures = measure(part, &places, &engine).with_context(|| format!("could not measure {part}"))?;
        for figure in figures {
            match options.output {
                Output::Json => println!("{}", figure.object(part)),
                Output::Table => {
                    eprintln!("{part}: {}: {}", figure.name.trim(), figure.measured);
                    table.add_row([&figure.name, &figure.demand, &figure.measured, figure.verdict.name()]);
                }
            }
        }
    }
    if options.output == Output::Table {
        println!("{table}\nload of the machine before: {load}");
    }
    Ok(())
}

fn measure(part: &str, places: &Places, engine: &Engine) -> Result<Vec<Figure>> {
    match part {
        "poison" => Ok(vec![poison::figure(places)?]),
        "replace" => replace::figures(places, engine),
        "deadline" => deadline::figures(engine),
        "reply" => reply::figures(places, engine),
        "neighbour" => neighbour::figures(places, engine),
        _ => Ok(vec![traps::figure(engine)?]),
    }
}

/// Threads that want to run, on average of the last minute, as the system counts them.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_numbers() {
        let figure = Figure {
            name: "  beside a guest".to_owned(),
            demand: ">= 90 %".to_owned(),
            measured: "89.9 %".to_owned(),
            verdict: Verdict::of(false),
            values: vec![("percent", 89.9)],
        };
        let object = figure.object("neighbour");
        assert_eq!((&object["figure"], &object["verdict"]), (&json!("beside a guest"), &json!("missed")));
        assert_eq!(object["values"]["percent"], 89.9);
    }
}
