//! `cargo xtask`: the project's own commands, from a fresh clone to a result, without anything to prepare.
//!
//! It knows how to build and run the parts, and nothing about what they do. It depends on little, so that it is
//! there in seconds.

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

use crate::workspace::Workspace;

mod bench;
mod ci;
mod component;
mod demo;
mod fuzz;
mod plugins;
mod sim;
mod steps;
mod test;
mod tools;
mod workspace;

const USAGE: &str = "\
cargo xtask COMMAND

  demo            build everything, then run two jobs and show what comes out
  test [--fast]   all tests, quickest first; --fast: only those that need neither the engine nor a plugin
  plugins         build every operator in this repository to target/plugins/
  bench [NAME]    measure: `runs` for whole jobs beside native loops, `cluster` for clusters of real processes, or a crate such as
                  `plugin`; all of them if none is named
  fuzz [TARGET]   random inputs for what reads strangers' bytes; --seconds N, --seed S; `fuzz --help` lists the rest
  sim             clusters that crash, from a seed each: --seeds N, --seed S; one seed alone is shown event by event
  soak            real clusters, killed and cut apart at random, then every row is counted: --minutes N, --seed S, --only KIND
  ci              clone the last commit into target/ci/ and run .ci/run there, as a machine that knows nothing would";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo"] => demo::run_jobs(&Workspace::load()?),
        ["test"] => test::run_all(&Workspace::load()?, test::Extent::Everything),
        ["test", "--fast"] => test::run_all(&Workspace::load()?, test::Extent::Fast),
        ["plugins"] => plugins::build(&Workspace::load()?),
        ["bench", rest @ ..] => bench::run_named(&Workspace::load()?, rest),
        ["fuzz", rest @ ..] => fuzz::run_targets(&Workspace::load()?, rest),
        ["soak", rest @ ..] => bench::soak(&Workspace::load()?, rest),
        ["sim", rest @ ..] => sim::run_seeds(&Workspace::load()?, rest),
        ["ci"] => ci::run_clean(&Workspace::load()?),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is no command\n\n{USAGE}", words.join(" ")),
    }
}
