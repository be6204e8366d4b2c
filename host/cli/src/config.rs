//! `wasmill config`: clusters by name.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use wasmill_model::fault::Code;

use crate::{
    connection,
    contexts::{Context, Contexts, FILE_VARIABLE},
    credentials::Token,
    error::Error,
    harmless,
    output::{Output, show},
};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Gives a cluster a name, with all that is needed to reach it. The first one becomes the current one.
    SetContext(SetArguments),
    /// Makes a cluster the one that verbs speak to where nothing else is said.
    UseContext(UseArguments),
    /// Shows the clusters that have names. Tokens are not shown.
    View(ViewArguments),
}

#[derive(Debug, Args)]
pub struct SetArguments {
    /// The name, letters, digits, `-` and `_`.
    #[arg(value_parser = name)]
    name: String,
    /// Address of the JobManager.
    #[arg(long, value_name = "URL")]
    server: String,
    /// File of the token, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates to trust, PEM, in place of those that this machine trusts.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate to show the JobManager, PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key of --cert, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct UseArguments {
    /// The name.
    name: String,
}

#[derive(Debug, Args)]
pub struct ViewArguments {
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Verb {
    pub(crate) fn output(&self) -> Output {
        match self {
            Self::View(arguments) => arguments.output,
            Self::SetContext(_) | Self::UseContext(_) => Output::Table,
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=63).contains(&text.len()) && text.bytes().all(known) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 63 letters, digits, `-` and `_`".to_owned()),
    }
}

/// Runs a verb of `wasmill config`.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode, Error> {
    let file = Contexts::file().ok_or_else(|| {
        let message = "could not choose a file for the names of clusters: there is no home folder";
        Error::new(Code::ClientConfig, format!("{message}\n  hint: name a file in {FILE_VARIABLE}"))
    })?;
    let mut contexts = Contexts::read(&file)?;
    let shown = match verb {
        Verb::SetContext(arguments) => {
            contexts.set(context(arguments)?);
            contexts.write(&file)?;
            let name = &arguments.name;
            let current = if contexts.current.as_ref() == Some(name) { ", the current one" } else { "" };
            format!("context {name}: {}{current}\n", arguments.server)
        }
        Verb::UseContext(UseArguments { name }) => {
            let server = contexts.find(name)?.server.clone();
            contexts.current = Some(name.clone());
            contexts.write(&file)?;
            format!("context {name}: {server}, the current one\n")
        }
        Verb::View(ViewArguments { output: Output::Json }) => format!("{}\n", json_of(&contexts, &file)),
        Verb::View(_) => text(&contexts, &file),
    };
    Ok(show(&shown))
}

/// What is to be kept. The files are looked at now, so that a mistake is told where it is made.
fn context(arguments: &SetArguments) -> Result<Context, Error> {
    let SetArguments { name, server, token_file, ca, cert, key } = arguments;
    let server = connection::check(server)?.url;
    let absolute = |file: &Option<PathBuf>| -> Result<Option<PathBuf>, Error> {
        let absolute = file.as_ref().map(std::path::absolute).transpose();
        absolute.map_err(|e| Error::new(Code::ClientConfig, format!("could not name a file for good: {e}")))
    };
    let context = Context {
        name: name.clone(),
        server,
        token_file: absolute(token_file)?,
        ca: absolute(ca)?,
        cert: absolute(cert)?,
        key: absolute(key)?,
    };
    if let Some(file) = &context.token_file {
        Token::read(file)?;
    }
    crate::credentials::tls(context.ca.as_deref(), context.cert.as_deref(), context.key.as_deref())?;
    Ok(context)
}

fn text(contexts: &Contexts, file: &Path) -> String {
    let mut text = format!("{}\n", file.display());
    if contexts.contexts.is_empty() {
        text += "  no cluster has a name: `wasmill config set-context NAME --server URL` gives it one\n";
    }
    for context in &contexts.contexts {
        let mark = if contexts.current.as_ref() == Some(&context.name) { "*" } else { " " };
        text += &format!("{mark} {} {}\n", harmless::line(&context.name, 63), harmless::line(&context.server, 300));
        for (name, path) in context.files() {
            text += &format!("    {name} = {}\n", path.display());
        }
    }
    text
}

fn json_of(contexts: &Contexts, file: &Path) -> Value {
    let context = |context: &Context| {
        let mut json = Map::new();
        json.insert("name".to_owned(), context.name.clone().into());
        json.insert("server".to_owned(), context.server.clone().into());
        for (name, path) in context.files() {
            json.insert(name.to_owned(), path.display().to_string().into());
        }
        Value::Object(json)
    };
    json!({
        "file": file.display().to_string(),
        "current": contexts.current,
        "contexts": contexts.contexts.iter().map(context).collect::<Vec<_>>(),
    })
}
