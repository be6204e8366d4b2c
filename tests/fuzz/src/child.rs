//! The child's side: makes inputs and runs them, and says how far it has come.
//!
//! | line on standard output | says |
//! |---|---|
//! | `at NUMBER` | the input with this number is about to be run; only if asked to announce each |
//! | `passed NEXT ACCEPTED REFUSED` | all inputs below the number `NEXT` were handled; so many of them in each way |
//! | `failed NUMBER WORDS` | a rule was broken |

use std::{
    cell::RefCell,
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Handled, Target, input, targets::Kind};

/// How often it says how far it has come, at least between two inputs.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Which inputs to make.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub seed: u64,
    /// The first number.
    pub first: u64,
    /// How many numbers; none: until told to stop.
    pub count: Option<u64>,
    /// Whether each is announced.
    pub announce: bool,
}

thread_local! {
    /// What the last panic said, and where.
    static LAST_WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a stretch of inputs, up to the first that breaks a rule.
pub fn run(kind: Kind, stretch: Stretch) -> Result<()> {
    let mut target = kind.target()?;
    limit_memory(kind)?;
    let mut out = io::stdout().lock();
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    let mut reported = Instant::now();
    let end = stretch.count.map_or(u64::MAX, |count| stretch.first.saturating_add(count));
    for number in stretch.first..end {
        if stretch.announce {
            writeln!(out, "at {number}")?;
            out.flush()?;
        }
        let made = input(target.as_ref(), stretch.seed, number);
        match judge(target.as_mut(), &made) {
            Ok(Handled::Accepted) => accepted += 1,
            Ok(Handled::Refused) => refused += 1,
            Err(words) => {
                writeln!(out, "failed {number} {}", words.replace('\n', " | "))?;
                return Ok(());
            }
        }
        if reported.elapsed() >= REPORT_EVERY || number + 1 == end {
            reported = Instant::now();
            writeln!(out, "passed {} {accepted} {refused}", number + 1)?;
            out.flush()?;
        }
    }
    Ok(())
}

/// Runs one input that was kept.
pub fn run_one(kind: Kind, input: &[u8]) -> Result<std::result::Result<Handled, String>> {
    let mut target = kind.target()?;
    limit_memory(kind)?;
    Ok(judge(target.as_mut(), input))
}

/// Runs an input; a panic is an error like any other.
fn judge(target: &mut dyn Target, input: &[u8]) -> std::result::Result<Handled, String> {
    panic::set_hook(Box::new(|panic| LAST_WORDS.set(format!("panic: {panic}"))));
    let judged = panic::catch_unwind(AssertUnwindSafe(|| target.run(input)));
    drop(panic::take_hook());
    judged.unwrap_or_else(|_| Err(LAST_WORDS.take()))
}

/// Sets the limit within which the target must get along; beyond it the allocator ends the process.
fn limit_memory(kind: Kind) -> Result<()> {
    let Some(bytes) = kind.memory_bytes_max() else { return Ok(()) };
    let Rlimit { maximum, .. } = getrlimit(Resource::As);
    let limit = Rlimit { current: Some(maximum.map_or(bytes, |maximum| maximum.min(bytes))), maximum };
    setrlimit(Resource::As, limit).context("could not limit the memory of the process")
}
