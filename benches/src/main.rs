//! Whole jobs measured beside native loops that do the same work on the same events, in CPU seconds.
//!
//! `wasmill-benches runs [NAME...] [--events N] [--megabytes N] [--repeat N] [-o json]`
//!
//! Every job and every twin runs in a process of its own, so that its CPU time and its memory are its own. The two
//! are run in turn, so that a busy machine slows both.

use std::{env, io::Write as _, process::ExitCode};

use anyhow::{Context, Result, bail};

mod events;
mod measure;
mod runs;
mod table;
mod twin;
mod words;

// The allocator of the program that the twins are compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
wasmill-benches runs [NAME...] [--events N] [--megabytes N] [--repeat N] [-o json]

  NAME          q0, q1, q2, keyed, wordcount; all of them if none is named
  --events      events of each job but wordcount (20000000)
  --megabytes   size of wordcount's text (200)
  --repeat      runs of each job and its twin, of which the median counts (3)
  -o json       one object a line instead of a table";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wasmill-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["runs", rest @ ..] => runs::run(&options(rest)?).map(|()| ExitCode::SUCCESS),
        [twin::TWIN, name, rest @ ..] => {
            let outcome = twin::run(name, rest)?;
            writeln!(std::io::stdout(), "{}", serde_json::json!({ "events": outcome.events, "rows": outcome.rows }))?;
            Ok(ExitCode::SUCCESS)
        }
        [] | ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("`{}` is no command\n\n{USAGE}", words.join(" ")),
    }
}

fn options(words: &[&str]) -> Result<runs::Options> {
    let mut options = runs::Options::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut number = || {
            let text = words.next().with_context(|| format!("{word} wants a number"))?;
            let value: u64 =
                text.replace('_', "").parse().with_context(|| format!("{word} wants a number, not `{text}`"))?;
            anyhow::ensure!(value > 0, "{word} must be at least 1");
            Ok(value)
        };
        match word {
            "--events" => options.events = number()?,
            "--megabytes" => options.megabytes = number()?,
            "--repeat" => options.repeat = usize::try_from(number()?)?,
            "-o" => match words.next() {
                Some(&"json") => options.output = runs::Output::Json,
                other => bail!("-o knows `json`, not `{}`", other.unwrap_or(&"")),
            },
            name if runs::NAMES.contains(&name) => options.names.push(name.to_owned()),
            _ => bail!("`{word}` is no run and no option\n\n{USAGE}"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_nonsense_is_refused() {
        let read =
            options(&["q1", "--events", "5_000", "keyed", "-o", "json", "--repeat", "1"]).expect("is well formed");
        assert_eq!((read.names, read.events, read.repeat), (vec!["q1".to_owned(), "keyed".to_owned()], 5_000, 1));
        for nonsense in [&["q9"][..], &["--events"], &["--events", "many"], &["--events", "0"], &["-o", "xml"]] {
            assert!(options(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
