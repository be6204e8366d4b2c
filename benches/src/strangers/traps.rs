//! A hundred thousand traps of many kinds in turn: how much more memory this process has than before.

use std::fs;

use anyhow::{Context, Result, ensure};
use wasmill_plugin::{Engine, Limits};

use super::{
    Figure, Verdict,
    guest::{AT, Guest, rows},
};

const TRAPS: usize = 100_000;
/// Traps before the first look: each guest has then been where it will be.
const WARM: usize = 4_000;
const DEMAND_PERCENT: f64 = 2.0;

const GUESTS: [&str; 6] =
    ["call_unreachable", "call_load-beyond", "call_exit", "call_recursion", "call_failure-not-utf8", "canary_fill"];

pub(crate) fn figure(engine: &Engine) -> Result<Figure> {
    let guest = |name: &&str| anyhow::Ok(Guest::new(Guest::hostile(engine, name)?, Limits::default(), "{}")?);
    let guests = GUESTS.iter().map(guest).collect::<Result<Vec<_>>>()?;
    let batch = rows(16);
    let trap = |at: usize| {
        let guest = &guests[at % guests.len()];
        let trapped = guest.start(guest.options())?.process(AT, 0, &batch, None, &[]);
        ensure!(trapped.is_err(), "{} did not trap", GUESTS[at % guests.len()]);
        Ok(())
    };
    (0..WARM).try_for_each(trap)?;
    let before = resident_bytes()?;
    (0..TRAPS).try_for_each(trap)?;
    let after = resident_bytes()?;
    let percent = 100.0 * (after as f64 / before as f64 - 1.0);
    Ok(Figure {
        name: format!("memory after {TRAPS} traps"),
        demand: format!("<= +{DEMAND_PERCENT} %"),
        measured: format!("{percent:+.2} % of {:.1} MB", before as f64 / 1e6),
        verdict: Verdict::of(percent <= DEMAND_PERCENT),
        values: vec![("before_bytes", before as f64), ("after_bytes", after as f64)],
    })
}

/// Bytes of memory that this process has.
fn resident_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/statm").context("could not read what memory this process has")?;
    let pages = text.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok());
    Ok(pages.context("the system does not say what memory this process has")? * rustix::param::page_size() as u64)
}
