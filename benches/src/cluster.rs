//! What a cluster of real processes on loopback does: how fast rows cross it, how long they take, how soon a job runs and goes on
//! after a process was killed, and what the processes hold meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    figure::{self, Figure, Options, Verdict},
    places::Places,
};

mod checkpoints;
pub(crate) mod client;
mod count;
mod cycles;
mod filled;
mod idle;
mod latency;
mod many;
mod process;
pub(crate) mod processes;
pub(crate) mod proxy;
mod recover;
mod submit;
mod visible;

/// What can be asked for.
pub(crate) const NAMES: [&str; 9] =
    ["count", "latency", "checkpoints", "visible", "submit", "recover", "idle", "cycles", "many"];

/// A job that goes on until it is ended: a keyed count that passes each change on, over a hash exchange.
const STEADY: &str = include_str!("cluster/steady.toml");

/// How long anything may take to come, many times what it needs.
const DEADLINE: Duration = Duration::from_secs(120);
/// Until processes have given back what they keep for a while: pools of threads keep one for 10 s.
const SETTLE: Duration = Duration::from_secs(12);

/// Measures, and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let places = Places::find()?;
    figure::show(&NAMES, options, |part| measure(part, &places))
}

fn measure(part: &str, places: &Places) -> Result<Vec<Figure>> {
    match part {
        "count" => count::figures(places),
        "latency" => latency::figures(places),
        "checkpoints" => checkpoints::figures(places),
        "visible" => Ok(vec![visible::figure(places)?]),
        "submit" => Ok(vec![submit::figure(places)?]),
        "recover" => recover::figures(places),
        "idle" => idle::figures(places),
        "cycles" => cycles::figures(places),
        _ => many::figures(places),
    }
}

/// Looks again and again until something is there.
pub(crate) fn wait<T>(what: &str, between: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > DEADLINE {
            bail!("{what} did not come in {DEADLINE:?}");
        }
        thread::sleep(between);
    }
}

/// The lowest, the middle one and the highest; of an even number the higher of the two in the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { min: values[0], median: values[values.len() / 2], max: values[values.len() - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of(vec![2.0, 1.0]).median, 2.0);
    }

    #[test]
    fn looking_ends_with_what_is_there_and_with_an_error() {
        let mut looks = 0;
        let found = wait("the third look", Duration::ZERO, || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.expect("it comes"), 3);
        assert!(wait::<()>("nothing", Duration::ZERO, || bail!("gone")).is_err());
    }
}
