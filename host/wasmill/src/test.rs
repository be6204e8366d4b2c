//! `wasmill test`: an operator on its fixtures, in the host that runs it in a job.
//!
//! Each fixture is run as it stands and compared with what it expects, then again in the ways that must make no difference:
//! its rows cut into other pieces, its instance replaced before every call.

use std::{
    hash::{BuildHasher, RandomState},
    io::IsTerminal,
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use clap::Args;
use wasmill_plugin::PluginStore;

use crate::{
    Output,
    error::Error,
    fixtures::{self, Fixture, Subject},
    plugins, refused, show,
};

mod diff;
mod limits;
mod report;
mod verdict;

use report::Report;
use verdict::Verdict;

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
    /// Writes what comes out as what is expected from now on.
    #[arg(long)]
    bless: bool,
    /// Where rows are cut follows from this number [default: another one each time].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How to print what was found.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Runs the fixtures: 0 if all pass, 1 if one fails, 2 if there is nothing to run, or a fixture cannot be read.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let report = match report(arguments, started) {
        Ok(report) => report,
        Err(error) => return refused(&error, arguments.output),
    };
    let shown = match arguments.output {
        Output::Table => show(&report.text(std::io::stdout().is_terminal() && is_coloured())),
        Output::Json => show(&format!("{}\n", report.json())),
    };
    if report.failed() > 0 { ExitCode::FAILURE } else { shown }
}

/// Whether the user has nothing against colours.
fn is_coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn report(arguments: &Arguments, started: Instant) -> Result<Report, Error> {
    let subject = Subject::find(&arguments.target, arguments.fixtures.as_deref())?;
    let folders = subject.fixtures(&arguments.filter)?;
    let store = plugins::store(arguments.cache.as_deref())?;
    let seed = arguments.seed.unwrap_or_else(any_seed);
    let verdicts = judge_all(&folders, |folder| {
        let fixture = Fixture::read(folder)?;
        // Each fixture has cuts of its own, which do not change when another one comes or goes.
        let own = fixture.name.bytes().fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        judge(&fixture, &subject, &store, own, arguments.bless)
    })?;
    Ok(Report { operator: subject.name, seed, verdicts, took: started.elapsed() })
}

fn judge(fixture: &Fixture, subject: &Subject, store: &PluginStore, seed: u64, bless: bool) -> Result<Verdict, Error> {
    verdict::judge(fixture, subject, store, &verdict::Options { seed, bless })
}

/// A seed that nobody chose.
fn any_seed() -> u64 {
    // Small enough to be typed, and to be a number in any JSON.
    RandomState::new().hash_one(std::process::id()) >> 44
}

/// Judges all fixtures, several at a time; the verdicts in the order of the folders. Of several that cannot be read, the first
/// is told.
fn judge_all(
    folders: &[PathBuf],
    judge: impl Fn(&Path) -> Result<Verdict, Error> + Sync,
) -> Result<Vec<Verdict>, Error> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(folder) = folders.get(next.fetch_add(1, Relaxed)) {
            let verdict = judge(folder);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((fixtures::name_of(folder), verdict));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(folders.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by(|(a, _), (b, _)| a.cmp(b));
    done.into_iter().map(|(_, verdict)| verdict).collect()
}
