//! The program: `wasmill-fuzz [--seconds N | --iterations N] [--seed S] [TARGET ...]`, and its children.
//!
//! `cargo xtask fuzz` builds and runs it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use wasmill_fuzz::{
    child::{self, Stretch},
    runner::{self, Extent, Options},
    targets::Kind,
};

/// How long a target is run if nothing is said.
const SECONDS_DEFAULT: u64 = 60;

/// How long one input may take if nothing is said. Many times what any needs.
const PATIENCE_DEFAULT: u64 = 20;

const USAGE: &str = "\
cargo xtask fuzz [--seconds N | --iterations N] [--seed S] [TARGET ...]
cargo xtask fuzz TARGET --input FILE

  --seconds N      run each target for so long (60)
  --iterations N   run each target on so many inputs
  --seed S         the inputs to run: the same seed gives the same ones (by the clock)
  --patience N     seconds that one input may take (20)
  --input FILE     run one input that was kept

targets: inspection, reply, job-file, frames; all of them if none is named";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["plugin-worker"] => return wasmill_plugin::worker::main(),
        ["child", rest @ ..] => child_of(rest).map(|()| true),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => Arguments::read(&words).and_then(Arguments::run),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn child_of(words: &[&str]) -> Result<()> {
    let [kind, seed, first, count, rest @ ..] = words else { bail!("a child needs a target and numbers") };
    let count = if *count == "-" { None } else { Some(count.parse()?) };
    let stretch = Stretch { seed: seed.parse()?, first: first.parse()?, count, announce: rest == ["announce"] };
    child::run(Kind::from_name(kind)?, stretch)
}

/// What was asked for.
struct Arguments {
    kinds: Vec<Kind>,
    extent: Extent,
    seed: u64,
    patience: Duration,
    input: Option<PathBuf>,
    keep: PathBuf,
}

impl Arguments {
    fn read(words: &[&str]) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut read = Self {
            kinds: Vec::new(),
            extent: Extent::Time(Duration::from_secs(SECONDS_DEFAULT)),
            seed: now,
            patience: Duration::from_secs(PATIENCE_DEFAULT),
            input: None,
            keep: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz"),
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || words.next().with_context(|| format!("`{word}` needs a value\n\n{USAGE}"));
            let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is no number"));
            match word {
                "--seconds" => read.extent = Extent::Time(Duration::from_secs(number(value()?)?)),
                "--iterations" => read.extent = Extent::Inputs(number(value()?)?),
                "--seed" => read.seed = number(value()?)?,
                "--patience" => read.patience = Duration::from_secs(number(value()?)?),
                "--input" => read.input = Some(value()?.into()),
                "--keep" => read.keep = value()?.into(),
                option if option.starts_with('-') => bail!("`{option}` is no option\n\n{USAGE}"),
                name => read.kinds.push(Kind::from_name(name)?),
            }
        }
        if read.kinds.is_empty() {
            read.kinds = Kind::ALL.to_vec();
        }
        Ok(read)
    }

    /// Whether all went well.
    fn run(self) -> Result<bool> {
        match (&self.input, self.kinds.as_slice()) {
            (None, _) => {}
            (Some(file), [kind]) => return run_again(*kind, file),
            (Some(_), _) => bail!("`--input` needs one target\n\n{USAGE}"),
        }
        let options = Options {
            program: env::current_exe().context("could not find this program")?,
            seed: self.seed,
            extent: self.extent,
            patience: self.patience,
            keep: self.keep,
        };
        let mut well = true;
        for kind in self.kinds {
            let (passed, failure) = runner::run(kind, &options)?;
            let (inputs, seed) = (passed.inputs(), options.seed);
            println!("{kind}: seed {seed}, {inputs} inputs, {} accepted, {} refused", passed.accepted, passed.refused);
            if let Some(failure) = failure {
                println!("{kind}: {failure}\n  again: {}", runner::again(kind, &failure.file));
                well = false;
            }
        }
        Ok(well)
    }
}

fn run_again(kind: Kind, file: &Path) -> Result<bool> {
    let input = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let handled = child::run_one(kind, &input)?;
    match &handled {
        Ok(handled) => println!("{kind}: {} bytes, {handled:?}", input.len()),
        Err(words) => println!("{kind}: {} bytes, failed: {words}", input.len()),
    }
    Ok(handled.is_ok())
}
