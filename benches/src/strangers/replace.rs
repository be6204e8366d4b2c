//! What it takes to replace an instance that trapped: drop it, make another, open it.

use anyhow::{Result, ensure};
use wasmill_plugin::{Engine, Limits};

use super::{
    Figure, Places, Verdict,
    guest::{AT, Guest, rows, thread_time},
};

const DEMAND_US: f64 = 200.0;

/// Traps of each guest.
const ROUNDS: usize = 2_000;

/// Whether the guest is one of `tests/guests/hostile` or is built, its name, and its configuration.
const GUESTS: [(bool, &str, &str); 3] = [
    (false, "rust-poison", r#"{"how": "trap", "every": 1, "rest": 0}"#),
    (true, "call_unreachable", "{}"),
    (true, "call_memory-grow-at-once", "{}"),
];

pub(crate) fn figures(places: &Places, engine: &Engine) -> Result<Vec<Figure>> {
    GUESTS.iter().map(|&(hostile, name, config)| measure(places, engine, hostile, name, config)).collect()
}

fn measure(places: &Places, engine: &Engine, hostile: bool, name: &str, config: &str) -> Result<Figure> {
    let plugin = if hostile { Guest::hostile(engine, name) } else { Guest::built(places, engine, name) }?;
    let guest = Guest::new(plugin, Limits::default(), config)?;
    let batch = rows(1_024);
    let mut instance = guest.start(guest.options())?;
    let mut taken = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        ensure!(instance.process(AT, 0, &batch, None, &[]).is_err_and(|e| e.is_death()), "{name} did not trap");
        let options = guest.options();
        let before = thread_time();
        drop(instance);
        instance = guest.start(options)?;
        taken.push((thread_time() - before).as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    let (median, late) = (taken[ROUNDS / 2], taken[ROUNDS * 99 / 100]);
    Ok(Figure {
        name: format!("replace a trapped {name}"),
        demand: format!("<= {DEMAND_US} us"),
        measured: format!("{median:.1} us, p99 {late:.1} us"),
        verdict: Verdict::of(late <= DEMAND_US),
        values: vec![("median_us", median), ("p99_us", late)],
    })
}
