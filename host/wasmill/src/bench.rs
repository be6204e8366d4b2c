//! `wasmill bench`: how fast an operator is on the rows of its fixtures, in the host that runs it in a job.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use wasmill_model::fault::Code;
use wasmill_runtime::trial::{Pace, Trial};

use crate::{
    Output,
    error::Error,
    fixtures::{Fixture, Subject},
    plugins, refused, show, tell,
};

/// Runs of each fixture, of which the median is told.
const RUNS: u32 = 5;

/// Rows in a batch, at most.
const BATCH_ROWS_MAX: i64 = 1 << 16;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A project's folder, or a component's file.
    #[arg(default_value = ".", value_name = "DIR|F.wasm")]
    target: PathBuf,
    /// The folder of the fixtures [default: `fixtures` beside the project's Cargo.toml].
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Runs only fixtures with this in their name; can be given several times.
    #[arg(long, value_name = "NAME")]
    filter: Vec<String>,
    /// Rows of each call; a fixture's rows are repeated until there are as many.
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=BATCH_ROWS_MAX))]
    rows_per_batch: u32,
    /// How long to measure each fixture.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How to print the figures.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds such as 2 or 0.5".to_owned())?;
    if (0.01..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("expected 0.01 to 3600 seconds".to_owned()) }
}

/// What was measured of one fixture.
struct Figures {
    fixture: String,
    /// CPU time a row in ns, of each run, the shortest first.
    ns_per_row: Vec<f64>,
    /// The part of the median spent in the guest.
    guest_share: f64,
    rows: u64,
    memory_bytes: usize,
    state_bytes: usize,
    rejected: u64,
}

/// Measures: 0, or 1 if a call fails, or 2 if there is nothing to measure.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut all = Vec::new();
    let trials = match prepare(arguments) {
        Ok(trials) => trials,
        Err(error) => return refused(&error, arguments.output),
    };
    for (fixture, trial) in &trials {
        match measure(arguments, fixture, trial) {
            Ok(Some(figures)) => all.push(figures),
            Ok(None) => tell(&format!("fixture {} has no rows\n", fixture.name)),
            Err(error) => {
                tell(&format!("fixture {} cannot be measured\n{}", fixture.name, error.shown()));
                return ExitCode::FAILURE;
            }
        }
    }
    match arguments.output {
        Output::Table => show(&table(arguments, &all)),
        Output::Json => show(&format!("{}\n", json(arguments, &all))),
    }
}

fn prepare(arguments: &Arguments) -> Result<Vec<(Fixture, Trial)>, Error> {
    let subject = Subject::find(&arguments.target, arguments.fixtures.as_deref())?;
    let store = plugins::store(arguments.cache.as_deref())?;
    let mut trials = Vec::new();
    for folder in subject.fixtures(&arguments.filter)? {
        let fixture = Fixture::read(&folder)?;
        if fixture.is_to_fail() {
            continue;
        }
        let trial = Trial::prepare(&fixture.spec, &fixture.name, &subject.name, &subject.wasm, &store);
        trials.push((fixture, trial?));
    }
    if trials.is_empty() {
        return Err(Error::new(Code::FixtureNotFound, "could not find a fixture to measure: all of them are to fail"));
    }
    Ok(trials)
}

fn measure(arguments: &Arguments, fixture: &Fixture, trial: &Trial) -> Result<Option<Figures>, Error> {
    let time = Duration::from_secs_f64(arguments.seconds) / RUNS;
    let mut paces: Vec<Pace> = Vec::new();
    for _ in 0..RUNS {
        let pace = trial.pace(&fixture.script, arguments.rows_per_batch as usize, time);
        match pace? {
            Some(pace) => paces.push(pace),
            None => return Ok(None),
        }
    }
    let ns_per_row = |pace: &Pace| pace.cpu.as_nanos() as f64 / pace.rows as f64;
    paces.sort_by(|a, b| ns_per_row(a).total_cmp(&ns_per_row(b)));
    let median = &paces[paces.len() / 2];
    Ok(Some(Figures {
        fixture: fixture.name.clone(),
        guest_share: median.in_guest.as_secs_f64() / median.wall.as_secs_f64(),
        rows: paces.iter().map(|pace| pace.rows).sum(),
        memory_bytes: paces.iter().map(|pace| pace.usage.instance.memory_bytes).max().unwrap_or(0),
        state_bytes: paces.iter().map(|pace| pace.usage.state_bytes).max().unwrap_or(0),
        rejected: paces.iter().map(|pace| pace.rejected).sum(),
        ns_per_row: paces.iter().map(ns_per_row).collect(),
    }))
}

impl Figures {
    fn median(&self) -> f64 {
        self.ns_per_row[self.ns_per_row.len() / 2]
    }

    fn spread(&self) -> (f64, f64) {
        (self.ns_per_row[0], self.ns_per_row[self.ns_per_row.len() - 1])
    }
}

fn table(arguments: &Arguments, all: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["fixture", "rows/CPU s", "ns/row", "from", "to", "in guest", "memory", "state"]);
    for figures in all {
        let ns = |ns: f64| format!("{ns:.1}");
        let (least, most) = figures.spread();
        table.add_row([
            figures.fixture.clone(),
            HumanCount((1e9 / figures.median()) as u64).to_string(),
            ns(figures.median()),
            ns(least),
            ns(most),
            ns(figures.median() * figures.guest_share),
            HumanBytes(figures.memory_bytes as u64).to_string(),
            HumanBytes(figures.state_bytes as u64).to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    let mut text =
        format!("{}\n\n{} rows a call; the median of {RUNS} runs\n", lines.join("\n"), arguments.rows_per_batch);
    for figures in all.iter().filter(|figures| figures.rejected > 0) {
        let (fixture, rejected, rows) = (&figures.fixture, figures.rejected, figures.rows);
        text +=
            &format!("{fixture}: {rejected} of {rows} rows were rejected, and finding them is part of its figures\n");
    }
    text
}

fn json(arguments: &Arguments, all: &[Figures]) -> Value {
    let fixture = |figures: &Figures| {
        let (least, most) = figures.spread();
        json!({
            "name": figures.fixture,
            "rows_per_cpu_second": 1e9 / figures.median(),
            "ns_per_row": { "median": figures.median(), "min": least, "max": most },
            "ns_per_row_in_guest": figures.median() * figures.guest_share,
            "guest_memory_bytes": figures.memory_bytes,
            "state_bytes": figures.state_bytes,
            "rows": figures.rows,
            "rejected": figures.rejected,
        })
    };
    json!({
        "rows_per_batch": arguments.rows_per_batch,
        "runs": RUNS,
        "fixtures": all.iter().map(fixture).collect::<Vec<_>>(),
    })
}
