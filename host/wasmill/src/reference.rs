//! `wasmill reference`: the parts of the documentation that are made from the code, for the test that puts them there.

use std::{fmt::Write, process::ExitCode};

use clap::{Args, Command, CommandFactory, builder::PossibleValuesParser};
use wasmill_model::{
    fault::Code,
    settings::{Key, markdown},
    spec::reference,
};

use crate::show;

/// The width of what a verb says of itself.
const WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which part.
    #[arg(value_parser = names())]
    part: String,
}

/// The tables of the job file.
const TABLES: [(&str, &[Key]); 6] = [
    ("job", reference::JOB),
    ("source", reference::SOURCE),
    ("event_time", reference::EVENT_TIME),
    ("operator", reference::OPERATOR),
    ("limits", reference::LIMITS),
    ("sink", reference::SINK),
];

/// The parts that are no tables.
const CLI: &str = "cli";
const ERRORS: &str = "errors";

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new([CLI, ERRORS].into_iter().chain(TABLES.map(|(name, _)| name)))
}

/// Prints a part in Markdown.
pub(crate) fn run<P: CommandFactory>(arguments: &Arguments) -> ExitCode {
    match TABLES.iter().find(|(name, _)| *name == arguments.part) {
        Some((_, keys)) => show(&markdown(keys)),
        None if arguments.part == ERRORS => show(&errors()),
        None => show(&verbs(&P::command().term_width(WIDTH))),
    }
}

/// The pages of all errors, as the book's table of contents lists them.
fn errors() -> String {
    Code::ALL.iter().map(|code| format!("  - [{code}](errors/{code}.md)\n")).collect()
}

/// Every verb with its help, in the order of the list of verbs.
fn verbs(program: &Command) -> String {
    let mut text = String::new();
    let mut left: Vec<(String, Command)> = vec![(String::new(), program.clone())];
    while let Some((parent, verb)) = left.pop() {
        let name = format!("{parent}{}", verb.get_name());
        let shown = verb.clone().term_width(WIDTH).bin_name(&name).render_long_help();
        writeln!(text, "## `{name}`\n\n```text\n{}\n```\n", shown.to_string().trim_end())
            .expect("writing to a string succeeds");
        let inner = verb.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help");
        let mut inner: Vec<_> = inner.map(|inner| (format!("{name} "), inner.clone())).collect();
        inner.reverse();
        left.extend(inner);
    }
    text
}
