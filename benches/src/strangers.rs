//! What strangers' plugins may cost: the figures that are demanded of a host that runs code it does not trust.

use anyhow::Result;
use wasmill_plugin::{Engine, EngineOptions};

use crate::{
    figure::{self, Figure, Options, Verdict},
    places::Places,
};

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

/// Measures, and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let places = Places::find()?;
    let engine = Engine::new(&EngineOptions { pool_instances: POOL_INSTANCES, ..EngineOptions::default() })?;
    figure::show(&NAMES, options, |part| measure(part, &places, &engine))
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
