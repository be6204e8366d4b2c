//! Fail points: between any two steps by which something becomes durable, a process can be made to die or its disk to refuse.
//!
//! They are in every build, as there is one, and do nothing unless `FAILPOINTS` was set when the process started: then a step costs
//! one look at a variable. They stand at what a disk is waited for anyway, never at a row or a batch. Who writes what, and in
//! which order, is the business of the crates that call [`step`]; this one knows the names of the steps, and what is to happen there.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Signal, getpid, kill_process},
};

mod points;
mod script;

pub use points::{Point, Role};
pub use script::NoScript;
use script::{Action, Script, parse};

/// The variable of the environment that says what is to happen at which point.
pub const VARIABLE: &str = "FAILPOINTS";

/// What is to happen; nothing at all unless the variable was set.
static SET: OnceLock<Vec<Armed>> = OnceLock::new();

struct Armed {
    point: Point,
    script: Script,
    hits: AtomicU64,
}

/// Takes what is to happen from the environment, once, before anything durable is done. The answer is what was set, for whoever starts
/// the process to be told.
pub fn set_from_environment() -> Result<Option<String>, NoScript> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy().into_owned();
    let armed = parse(&text)?.into_iter().map(|(point, script)| Armed { point, script, hits: AtomicU64::new(0) });
    // A second call finds it set, by the same variable.
    let _ = SET.set(armed.collect());
    Ok(Some(text))
}

/// Stands where the next step towards something durable is about to be taken, or where one has just been.
pub fn step(point: Point) -> io::Result<()> {
    match SET.get() {
        None => Ok(()),
        Some(armed) => act(armed, point),
    }
}

#[cold]
fn act(armed: &[Armed], point: Point) -> io::Result<()> {
    let Some(armed) = armed.iter().find(|armed| armed.point == point) else { return Ok(()) };
    let hit = armed.hits.fetch_add(1, Ordering::Relaxed);
    let Some(action) = armed.script.at(hit) else { return Ok(()) };
    // Whoever looks for rows that are lost wants to know what was done here.
    eprintln!("fail point {point}, hit {}: {action}", hit + 1);
    match action {
        Action::Print => Ok(()),
        Action::Kill => die(),
        Action::Sleep(time) => {
            thread::sleep(time);
            Ok(())
        }
        Action::Eio => Err(io::Error::from_raw_os_error(Errno::IO.raw_os_error())),
        Action::Enospc => Err(io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error())),
    }
}

/// Ends the process as the system does when it kills one: nothing is dropped, nothing is flushed.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
