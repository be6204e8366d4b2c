//! One row in a hundred thousand is poison: Nexmark's query 1 with an operator that traps on it, beside the same operator
//! on the same rows that does not mind.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Figure, Places, Verdict};
use crate::measure;

const DEMAND_PERCENT: f64 = 20.0;
const EVENTS: u64 = 20_000_000;
/// Prices are spread evenly over a million, so that it is one row in so many that has a certain remainder.
const EVERY: u64 = 100_000;
const RUNS: usize = 5;

pub(crate) fn figure(places: &Places) -> Result<Figure> {
    let run = |rest: i64| measure::run(&places.wasmill, &arguments(places, rest));
    // The first run fills the cache of compiled operators, and is not counted.
    run(-1)?;
    let (mut shares, mut costs) = (Vec::new(), Vec::new());
    let mut poison = 0;
    for _ in 0..RUNS {
        let (good, poisoned) = (run(-1)?, run(7)?);
        poison = rejected(&poisoned.stdout).context("the job did not report what it left out")?;
        shares.push(100.0 * (1.0 - good.cpu_seconds / poisoned.cpu_seconds));
        costs.push((poisoned.cpu_seconds - good.cpu_seconds) / poison as f64 * 1e6);
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (percent, cost_us) = (middle(shares), middle(costs));
    Ok(Figure {
        name: format!("q1, a poison row in {EVERY}, skipped: throughput lost"),
        demand: format!("<= {DEMAND_PERCENT} %"),
        measured: format!("{percent:.1} % ({poison} rows of {EVENTS}, {cost_us:.0} us of CPU time each)"),
        verdict: Verdict::of(percent <= DEMAND_PERCENT),
        values: vec![("percent", percent), ("rows", poison as f64), ("us_each", cost_us)],
    })
}

/// Query 1's job, with the operator that traps on the prices that leave `rest`.
fn arguments(places: &Places, rest: i64) -> Vec<String> {
    let settings = [
        format!("source.nexmark.events={EVENTS}"),
        format!("operator.to_euro.plugin={}", places.plugin("rust-poison").display()),
        "operator.to_euro.config.how=trap".to_owned(),
        format!("operator.to_euro.config.every={EVERY}"),
        format!("operator.to_euro.config.rest={rest}"),
        "operator.to_euro.config.column=price".to_owned(),
        "operator.to_euro.config.result=price".to_owned(),
        "operator.to_euro.on_error=skip".to_owned(),
    ];
    let job = places.root.join("examples/nexmark/q1.toml").display().to_string();
    let mut arguments = vec!["run".to_owned(), job, "-o".to_owned(), "json".to_owned()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
    arguments
}

fn rejected(stdout: &str) -> Option<u64> {
    let report = stdout.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok())?;
    report["vertices"].as_array()?.iter().filter_map(|vertex| vertex["rejected"].as_u64()).reduce(|a, b| a + b)
}
