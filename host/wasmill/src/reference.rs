//! `wasmill reference`: the parts of the documentation that are made from the code, for the test that puts them there.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Command, CommandFactory, builder::PossibleValuesParser};
use wasmill_connectors::reference as connectors;
use wasmill_durable::Point;
use wasmill_model::{
    fault::Code,
    settings::{Key, markdown},
    spec::reference,
};

use crate::{Output, error::Error, plugins, refused, show};

mod catalogue;

use catalogue::Catalogue;

/// The width of what a verb says of itself.
const WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which part.
    #[arg(value_parser = names())]
    part: String,
    /// The operator whose configuration is shown.
    #[arg(required_if_eq("part", PLUGIN))]
    name: Option<String>,
    /// The folder of the standard operators' components.
    #[arg(long, default_value = "target/plugins")]
    components: PathBuf,
    /// The folder of their sources, with a page and fixtures of each.
    #[arg(long, default_value = "plugins")]
    sources: PathBuf,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// The tables of the job file and of the connectors.
const TABLES: [(&str, &[Key]); 13] = [
    ("job", reference::JOB),
    ("checkpoints", reference::CHECKPOINTS),
    ("source", reference::SOURCE),
    ("event_time", reference::EVENT_TIME),
    ("operator", reference::OPERATOR),
    ("limits", reference::LIMITS),
    ("sink", reference::SINK),
    ("source_file", connectors::SOURCE_FILE),
    ("source_column", connectors::SOURCE_COLUMN),
    ("source_nexmark", connectors::SOURCE_NEXMARK),
    ("source_host_metrics", connectors::SOURCE_HOST_METRICS),
    ("sink_file", connectors::SINK_FILE),
    ("roll", connectors::ROLL),
];

/// The parts that are no tables.
const CLI: &str = "cli";
const ERRORS: &str = "errors";
const FAIL_POINTS: &str = "fail_points";
/// All standard operators, and the configuration of one.
const PLUGINS: &str = "plugins";
const PLUGIN: &str = "plugin";

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        [CLI, ERRORS, FAIL_POINTS, PLUGINS, PLUGIN].into_iter().chain(TABLES.map(|(name, _)| name)),
    )
}

/// Prints a part in Markdown.
pub(crate) fn run<P: CommandFactory>(arguments: &Arguments) -> ExitCode {
    match TABLES.iter().find(|(name, _)| *name == arguments.part) {
        Some((_, keys)) => show(&markdown(keys)),
        None if arguments.part == ERRORS => show(&errors()),
        None if arguments.part == FAIL_POINTS => show(&fail_points()),
        None if arguments.part == CLI => show(&verbs(&P::command().term_width(WIDTH))),
        None => match operators(arguments) {
            Ok(text) => show(&text),
            Err(error) => refused(&error, Output::Table),
        },
    }
}

/// What the components of the standard operators say.
fn operators(arguments: &Arguments) -> Result<String, Error> {
    let catalogue = Catalogue {
        sources: arguments.sources.clone(),
        components: arguments.components.clone(),
        store: plugins::store(arguments.cache.as_deref())?,
    };
    match &arguments.name {
        Some(name) => catalogue.configuration(name),
        None => catalogue.table(),
    }
}

/// The pages of all errors, as the book's table of contents lists them.
fn errors() -> String {
    Code::ALL.iter().map(|code| format!("  - [{code}](errors/{code}.md)\n")).collect()
}

/// All fail points, in the order of the protocols.
fn fail_points() -> String {
    let mut text = "| point | in | where it stands | errors |\n|---|---|---|---|\n".to_owned();
    for point in Point::ALL {
        let roles: Vec<&str> = point.roles().iter().map(|role| role.name()).collect();
        let errors = if point.can_fail() { "yes" } else { "" };
        writeln!(text, "| `{point}` | {} | {} | {errors} |", roles.join(", "), point.when())
            .expect("writing to a string succeeds");
    }
    text
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
