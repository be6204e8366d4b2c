//! The parent's side: runs a child for as long as asked, and finds out which input it failed on, however it failed.

use std::{
    fmt, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{input, targets::Kind};

/// How long to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Inputs(u64),
    Time(Duration),
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that leads to `child::run` as `main` of this crate does.
    pub program: PathBuf,
    pub seed: u64,
    pub extent: Extent,
    /// How long one input may take, and the child to start.
    pub patience: Duration,
    /// Where an input is kept that breaks a rule.
    pub keep: PathBuf,
}

/// Inputs that were handled as they should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    pub accepted: u64,
    pub refused: u64,
}

impl Passed {
    pub fn inputs(self) -> u64 {
        self.accepted + self.refused
    }
}

/// An input that broke a rule.
#[derive(Debug)]
pub struct Failure {
    pub number: u64,
    pub words: String,
    pub file: PathBuf,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {} failed: {}\n  kept as {}", self.number, self.words, self.file.display())
    }
}

/// How a stretch of inputs ended.
enum End {
    /// All were handled.
    Passed,
    Failed {
        number: u64,
        words: String,
    },
    /// The child ended, or had to be ended, while it ran an input that it did not name: `next` or a later one.
    Lost {
        next: u64,
        words: String,
    },
}

/// Runs a target; the failure, if there was one.
pub fn run(kind: Kind, options: &Options) -> Result<(Passed, Option<Failure>)> {
    let mut passed = Passed::default();
    let (number, words) = match stretch(kind, options, 0, false, &mut passed)? {
        End::Passed => return Ok((passed, None)),
        End::Failed { number, words } => (number, words),
        // Once more from there, with each input named before it is run.
        End::Lost { next, words } => match stretch(kind, options, next, true, &mut Passed::default())? {
            End::Failed { number, words } => (number, words),
            End::Lost { next, words } => (next, words),
            End::Passed => bail!("the child ended at or after input {next}, and not when it ran again: {words}"),
        },
    };
    let target = kind.target()?;
    fs::create_dir_all(&options.keep).with_context(|| format!("could not make {}", options.keep.display()))?;
    let file = options.keep.join(format!("{kind}-{}-{number}", options.seed));
    fs::write(&file, input(target.as_ref(), options.seed, number))
        .with_context(|| format!("could not write {}", file.display()))?;
    Ok((passed, Some(Failure { number, words, file })))
}

/// Runs a child over inputs from `first` on.
fn stretch(kind: Kind, options: &Options, first: u64, announce: bool, passed: &mut Passed) -> Result<End> {
    let mut command = Command::new(&options.program);
    command.args(["child", kind.name(), &options.seed.to_string(), &first.to_string()]);
    let mut until = None;
    match options.extent {
        Extent::Inputs(count) => {
            command.arg(count.saturating_sub(first).to_string());
        }
        Extent::Time(time) => {
            command.arg("-");
            until = Some(Instant::now() + time);
        }
    }
    if announce {
        command.arg("announce");
        // What failed comes soon, if it comes again.
        until = Some(Instant::now() + options.patience * 3);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().map_err(|e| anyhow::anyhow!("could not start {}: {e}", options.program.display()))?;
    let mut next = first;
    let lines = lines(child);
    let stderr = last_words(child);
    loop {
        let patience = until.map_or(options.patience, |until| options.patience.min(left(until)));
        match lines.recv_timeout(patience) {
            Ok(line) => match read(&line)? {
                Line::At(number) => next = number,
                Line::Passed { next: upto, handled } => (next, *passed) = (upto, handled),
                Line::Failed { number, words } => {
                    child.wait()?;
                    return Ok(End::Failed { number, words });
                }
            },
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait()?;
                let words = stderr.join().unwrap_or_default();
                if status.success() {
                    return Ok(End::Passed);
                }
                return Ok(End::Lost { next, words: format!("the process ended with {status}: {}", words.trim()) });
            }
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                if until.is_some_and(|until| left(until).is_zero()) {
                    return Ok(End::Passed);
                }
                return Ok(End::Lost { next, words: format!("it took more than {:?}", options.patience) });
            }
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

enum Line {
    At(u64),
    Passed { next: u64, handled: Passed },
    Failed { number: u64, words: String },
}

fn read(line: &str) -> Result<Line> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = number.parse().with_context(|| format!("the child said `{line}`"))?;
    Ok(match kind {
        "at" => Line::At(number),
        "passed" => {
            let (accepted, refused) = rest.split_once(' ').context("two counts are missing")?;
            let handled = Passed { accepted: accepted.parse()?, refused: refused.parse()? };
            Line::Passed { next: number, handled }
        }
        "failed" => Line::Failed { number, words: rest.to_owned() },
        _ => bail!("the child said `{line}`"),
    })
}

fn lines(child: &mut Child) -> Receiver<String> {
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// What it says before it ends: the end of it.
fn last_words(child: &mut Child) -> thread::JoinHandle<String> {
    const KEPT: usize = 2_000;
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok(1..) = stderr.read_until(b'\n', &mut kept) {
            kept.drain(..kept.len().saturating_sub(KEPT));
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// The command that runs an input again.
pub fn again(kind: Kind, file: &Path) -> String {
    format!("cargo xtask fuzz {kind} --input {}", file.display())
}
