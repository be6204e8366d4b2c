//! What checking a reply costs, beside what is demanded of the whole call.
//!
//! The time is taken when the guest has answered and again when the call returns. Between the two the reply is checked and its bytes become arrays;
//! copying them out of the guest comes before, and is not counted. What reading the clock costs is measured in the same place, and taken off.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array};
use std::sync::Arc;
use wasmill_model::reply::Groups;
use wasmill_plugin::{Engine, Limits};

use super::{
    Figure, Places, Verdict,
    guest::{AT, Guest, rows},
};

const ROWS: usize = 1_024;
const CALLS: usize = 10_000;
const KEYS: u64 = 10_000;
const DEMAND_PERCENT: f64 = 10.0;

/// Modes of `tests/guests/rust-plain`, and what is demanded of a call in ns a row.
const MODES: [(&str, f64); 5] = [("pass", 0.5), ("keep", 9.0), ("map", 2.5), ("count-one", 3.0), ("rewrite", 40.0)];

pub(crate) fn figures(places: &Places, engine: &Engine) -> Result<Vec<Figure>> {
    let plugin = Guest::built(places, engine, "rust-plain")?;
    let mut figures = Vec::new();
    for (mode, demand_ns) in MODES {
        let guest = Guest::new(plugin.clone(), Limits::default(), &format!(r#"{{"mode": "{mode}"}}"#))?;
        let mut instance = guest.start(guest.options())?;
        let batch = rows(ROWS);
        let (groups, counts) = groups();
        let keyed = guest.descriptor.inputs[0].keyed;
        let (groups, state) = (keyed.then_some(&groups), if keyed { &[counts][..] } else { &[] });
        let (mut checks, mut calls, mut clocks) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let began = Instant::now();
            let mut answered = (began, began);
            let note = || answered = (Instant::now(), Instant::now());
            let reply = instance.process_noting(AT, 0, &batch, groups, state, note)?;
            let ended = Instant::now();
            drop(black_box(reply));
            let nanos = |from: Instant, to: Instant| (to - from).as_nanos() as f64;
            checks.push(nanos(answered.1, ended));
            clocks.push(nanos(answered.0, answered.1));
            calls.push(nanos(began, ended));
        }
        let clock = median(clocks);
        let (check, call) = ((median(checks) - clock) / ROWS as f64, (median(calls) - 3.0 * clock) / ROWS as f64);
        let percent = 100.0 * check / demand_ns;
        figures.push(Figure {
            name: format!("check the reply of {mode}, of the {demand_ns} ns a row of a call"),
            demand: format!("<= {DEMAND_PERCENT} %"),
            measured: format!("{percent:.1} % ({check:.3} ns a row; the call {call:.2})"),
            verdict: Verdict::of(percent <= DEMAND_PERCENT),
            values: vec![("percent", percent), ("check_ns_a_row", check), ("call_ns_a_row", call)],
        });
    }
    Ok(figures)
}

/// Groups of rows whose keys are drawn from many, and their counts.
fn groups() -> (Groups, ArrayRef) {
    let mut seen = std::collections::HashMap::new();
    let mut group = |row: u64| {
        let next = seen.len() as u32;
        *seen.entry(row.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS).or_insert(next)
    };
    let of_row: Vec<u32> = (0..ROWS as u64).map(&mut group).collect();
    let counts = Int64Array::from_iter_values(0..seen.len() as i64);
    (Groups { count: seen.len() as u32, of_row: of_row.into() }, Arc::new(counts))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
