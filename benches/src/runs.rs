//! The jobs that are measured, what is demanded of them, and how the figures are taken.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    measure::{self, Measured},
    table, twin, words,
};

/// What can be asked for.
pub(crate) const NAMES: [&str; 5] = ["q0", "q1", "q2", "keyed", "wordcount"];

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Empty: all.
    pub(crate) names: Vec<String>,
    pub(crate) events: u64,
    pub(crate) megabytes: u64,
    pub(crate) repeat: usize,
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Table,
    Json,
}

impl Default for Options {
    fn default() -> Self {
        Self { names: Vec::new(), events: 20_000_000, megabytes: 200, repeat: 3, output: Output::Table }
    }
}

/// A job and what is demanded of it.
struct Run {
    name: &'static str,
    /// The job file, from the root of the repository.
    job: &'static str,
    /// Events per CPU second, at least.
    demand: Option<f64>,
    /// What the file sets for the measurement, beside the size of its input.
    settings: &'static [&'static str],
}

const RUNS: [Run; NAMES.len()] = [
    Run { name: "q0", job: "examples/nexmark/q0.toml", demand: Some(25e6), settings: &[] },
    Run { name: "q1", job: "examples/nexmark/q1.toml", demand: Some(25e6), settings: &[] },
    Run { name: "q2", job: "examples/nexmark/q2.toml", demand: Some(25e6), settings: &[] },
    Run {
        name: "keyed",
        job: "examples/nexmark/keyed-count.toml",
        demand: Some(10e6),
        settings: &["job.parallelism=2"],
    },
    Run { name: "wordcount", job: "examples/wordcount/job.toml", demand: None, settings: &[] },
];

/// The figures of one job and its twin.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) demand: Option<f64>,
    pub(crate) events: u64,
    /// The median run of the job by CPU time.
    pub(crate) job: Measured,
    /// The median run of the twin by CPU time.
    pub(crate) native: Measured,
    /// Whether the job's result has as many rows as the twin's.
    pub(crate) agrees: bool,
}

impl Figures {
    /// Events per CPU second of the job.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.job.cpu_seconds
    }

    /// Events per CPU second of the twin.
    pub(crate) fn native_rate(&self) -> f64 {
        self.events as f64 / self.native.cpu_seconds
    }
}

/// Where things are.
struct Places {
    root: PathBuf,
    wasmill: PathBuf,
    /// Texts and results.
    folder: PathBuf,
}

/// Measures, and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = std::env::current_exe().context("could not find this program")?;
    let release = program.parent().context("this program lies in no folder")?;
    let places = Places {
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().context("the sources are gone")?,
        wasmill: release.join("wasmill"),
        folder: release.join("../bench"),
    };
    anyhow::ensure!(
        places.wasmill.exists(),
        "{} is not built; `cargo xtask bench runs` does",
        places.wasmill.display()
    );
    fs::create_dir_all(&places.folder).with_context(|| format!("could not make {}", places.folder.display()))?;
    let mut figures = Vec::new();
    for run in RUNS.iter().filter(|run| options.names.is_empty() || options.names.iter().any(|name| name == run.name)) {
        let found = measure_one(&places, run, options).with_context(|| format!("could not measure {}", run.name))?;
        match options.output {
            Output::Json => println!("{}", table::object(&found)),
            Output::Table => eprintln!("{}: {} runs done", run.name, options.repeat),
        }
        figures.push(found);
    }
    if options.output == Output::Table {
        println!("{}", table::table(&figures));
    }
    Ok(())
}

fn measure_one(places: &Places, run: &Run, options: &Options) -> Result<Figures> {
    let (input, twin_argument) = if run.name == "wordcount" {
        let text = places.folder.join(format!("words-{}.txt", options.megabytes));
        words::write(&text, options.megabytes * 1_000_000)?;
        let output = places.folder.join("words.jsonl");
        let settings =
            vec![format!("source.text.path={}", text.display()), format!("sink.counts.path={}", output.display())];
        (settings, text.display().to_string())
    } else {
        (vec![format!("source.nexmark.events={}", options.events)], options.events.to_string())
    };
    let mut arguments = vec!["run".to_owned(), places.root.join(run.job).display().to_string()];
    for setting in input.iter().map(String::as_str).chain(run.settings.iter().copied()) {
        arguments.extend(["--set".to_owned(), setting.to_owned()]);
    }
    arguments.extend(["-o".to_owned(), "json".to_owned()]);
    let twin = [twin::TWIN.to_owned(), run.name.to_owned(), twin_argument];
    let myself = std::env::current_exe().context("could not find this program")?;
    // The first run fills the cache of compiled operators and the page cache, and is not counted.
    measure::run(&places.wasmill, &arguments)?;
    let (mut jobs, mut natives) = (Vec::new(), Vec::new());
    for _ in 0..options.repeat {
        jobs.push(measure::run(&places.wasmill, &arguments)?);
        natives.push(measure::run(&myself, &twin)?);
    }
    let (job, native) = (median(jobs), median(natives));
    let said: Value = serde_json::from_str(&native.stdout).context("the twin gave no JSON")?;
    let events = said["events"].as_u64().context("the twin did not say how many events there were")?;
    let expected = said["rows"].as_u64().context("the twin did not say how many rows there were")?;
    let found =
        rows(&job.stdout).with_context(|| format!("the job did not report the rows of its sinks: {}", job.stdout))?;
    let agrees = found == expected;
    Ok(Figures { name: run.name, demand: run.demand, events, job, native, agrees })
}

/// The middle one by CPU time; of an even number the slower of the two.
fn median(mut measured: Vec<Measured>) -> Measured {
    measured.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    measured.swap_remove(measured.len() / 2)
}

/// Rows that the sinks of a job took, as its report says; none if it does not say.
fn rows(stdout: &str) -> Option<u64> {
    let report = stdout.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok())?;
    let mut sinks = report["vertices"].as_array()?.iter().filter(|vertex| vertex["kind"] == "sink").peekable();
    sinks.peek()?;
    sinks.map(|sink| sink["rows_in"].as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_run() {
        assert_eq!(RUNS.each_ref().map(|run| run.name), NAMES);
    }

    #[test]
    fn the_median_is_taken_by_cpu_time() {
        let measured = |cpu_seconds| Measured { cpu_seconds, wall_seconds: 0.0, peak_bytes: 0, stdout: String::new() };
        let middle = |times: &[f64]| median(times.iter().copied().map(measured).collect()).cpu_seconds;
        assert_eq!(middle(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(&[5.0]), 5.0);
        assert_eq!(middle(&[2.0, 1.0]), 2.0);
    }

    #[test]
    fn rows_are_found_in_a_report() {
        let vertex = |kind: &str, rows: u64| format!("{{\"kind\":\"{kind}\",\"rows_in\":{rows}}}");
        let report = format!("{{\"vertices\":[{},{},{}]}}", vertex("source", 9), vertex("sink", 3), vertex("sink", 4));
        assert_eq!(rows(&format!("line\n{report}\n")), Some(7));
        assert_eq!(rows(&format!("{{\"vertices\":[{}]}}", vertex("source", 9))), None);
        assert_eq!(rows("{}"), None);
        assert_eq!(rows("nothing"), None);
    }
}
