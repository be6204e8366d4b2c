//! Whole jobs measured beside native loops that do the same work on the same events, in CPU seconds; what strangers'
//! plugins cost; and clusters of real processes.
//!
//! `wasmill-benches runs [NAME...] [--events N] [--megabytes N] [--repeat N] [-o json]`
//! `wasmill-benches strangers [NAME...] [-o json]`
//! `wasmill-benches exchange [--events N] [--repeat N]`
//! `wasmill-benches cluster [NAME...] [-o json]`
//! `wasmill-benches soak [--minutes N] [--seed S] [--only ledger|bank|totals]`
//!
//! Every job and every twin of `runs` runs in a process of its own, so that its CPU time and its memory are its own. What
//! is compared is run in turn, so that a busy machine slows both.

use std::{env, io::Write as _, process::ExitCode};

use anyhow::{Context, Result, bail};

mod cluster;
mod events;
mod exchange;
mod figure;
mod measure;
mod places;
mod runs;
mod soak;
mod strangers;
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
  -o json       one object a line instead of a table

wasmill-benches strangers [NAME...] [-o json]

  NAME          poison, replace, deadline, reply, neighbour, traps; all of them if none is named

wasmill-benches exchange [--events N] [--repeat N]

  a keyed count over a hash exchange, on one TaskManager and on two

wasmill-benches cluster [NAME...] [-o json]

  NAME          count, latency, checkpoints, visible, submit, recover, idle, cycles, many; all of them if none is named

wasmill-benches soak [--minutes N] [--seed S] [--only ledger|bank|totals]

  a cluster that is killed and cut apart again and again, and whose results must be those of a run that nobody disturbed";

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
        ["strangers", rest @ ..] => {
            strangers::run(&figure_options(rest, &strangers::NAMES)?).map(|()| ExitCode::SUCCESS)
        }
        ["cluster", rest @ ..] => cluster::run(&figure_options(rest, &cluster::NAMES)?).map(|()| ExitCode::SUCCESS),
        ["exchange", rest @ ..] => {
            let options = options(rest)?;
            exchange::run(options.events, options.repeat).map(|()| ExitCode::SUCCESS)
        }
        ["soak", rest @ ..] => soak::run(&soak::options(rest)?).map(|()| ExitCode::SUCCESS),
        [strangers::WORKER] => Ok(wasmill_plugin::worker::main()),
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
            "-o" => options.output = output(words.next())?,
            name if runs::NAMES.contains(&name) => options.names.push(name.to_owned()),
            _ => bail!("`{word}` is no run and no option\n\n{USAGE}"),
        }
    }
    Ok(options)
}

fn figure_options(words: &[&str], names: &[&str]) -> Result<figure::Options> {
    let mut options = figure::Options { names: Vec::new(), output: runs::Output::Table };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "-o" => options.output = output(words.next())?,
            name if names.contains(&name) => options.names.push(name.to_owned()),
            _ => bail!("`{word}` is no figure and no option\n\n{USAGE}"),
        }
    }
    Ok(options)
}

fn output(word: Option<&&str>) -> Result<runs::Output> {
    match word {
        Some(&"json") => Ok(runs::Output::Json),
        other => bail!("-o knows `json`, not `{}`", other.unwrap_or(&"")),
    }
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
        let of = |words: &[&str]| figure_options(words, &cluster::NAMES);
        assert_eq!(of(&["idle", "-o", "json", "many"]).expect("is well formed").names, ["idle", "many"]);
        assert!(of(&["traps"]).is_err());
        assert_eq!(figure_options(&["traps"], &strangers::NAMES).expect("is well formed").names, ["traps"]);
    }
}
