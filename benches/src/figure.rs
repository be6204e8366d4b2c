//! A figure beside what is demanded of it: as a row of a table for people, as an object for programs. A demand that is missed
//! is shown, and ends nothing.

use std::fs;

use anyhow::{Context, Result};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde_json::{Map, Value, json};

use crate::runs::Output;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Empty: all.
    pub(crate) names: Vec<String>,
    pub(crate) output: Output,
}

/// One line of the answer.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) demand: String,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
    /// The same in numbers, with their units in their names.
    pub(crate) values: Vec<(&'static str, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    Missed,
    /// Nothing is demanded.
    None,
}

impl Verdict {
    pub(crate) fn of(reached: bool) -> Self {
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

/// Measures those of the parts that are asked for, one after the other, and prints what was found.
pub(crate) fn show(
    parts: &[&'static str],
    options: &Options,
    mut measure: impl FnMut(&str) -> Result<Vec<Figure>>,
) -> Result<()> {
    let load = load();
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["figure", "demand", "measured", ""]);
    for part in parts.iter().filter(|name| options.names.is_empty() || options.names.iter().any(|n| n == *name)) {
        let figures = measure(part).with_context(|| format!("could not measure {part}"))?;
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
