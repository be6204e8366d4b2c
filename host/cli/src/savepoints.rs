//! `wasmill savepoint`: checkpoints with a name, which stay until they are removed.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::{Value, json};
use wasmill_rest::{Savepoint, SavepointRequest};

use crate::{
    client::{Client, encoded},
    connection::Common,
    error::Error,
    harmless,
    interrupt::Interrupt,
    jobs::id,
    numbers::date,
    output::{Output, show, tell},
    progress::States,
    request::{JOB_WITHIN, Request},
    table::{self, Column},
    terminal::{Color, Terminal},
    travel,
};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Takes a savepoint of a running job, which goes on, and waits until it is complete. Exit code 1 if it fails.
    Create(CreateArguments),
    /// Lists the savepoints of a cluster, the newest first.
    Ls(ListArguments),
    /// Says what there is to say of a savepoint.
    Show(ShowArguments),
    /// Writes a savepoint with all its state to one file, from which another cluster can import it.
    Export(travel::ExportArguments),
    /// Takes a savepoint into a cluster from a file that was exported.
    Import(travel::ImportArguments),
    /// Removes savepoints, and with them what jobs could go on from.
    Rm(RemoveArguments),
}

#[derive(Debug, Args)]
pub struct CreateArguments {
    /// The job's id, for example `job-7`.
    #[arg(value_parser = id)]
    id: String,
    /// How it is called, 1 to 63 letters, digits, `-` and `_` [default: one is made up].
    #[arg(long, value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The savepoint.
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// The savepoints.
    #[arg(value_name = "NAME", value_parser = name, required = true)]
    names: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Verb {
    pub(crate) fn output(&self) -> Output {
        let common = match self {
            Self::Create(arguments) => &arguments.common,
            Self::Ls(arguments) => &arguments.common,
            Self::Show(arguments) => &arguments.common,
            Self::Export(arguments) => &arguments.common,
            Self::Import(arguments) => &arguments.common,
            Self::Rm(arguments) => &arguments.common,
        };
        common.output
    }
}

const COLUMNS: [Column<Savepoint>; 6] = [
    Column::text("savepoint", |savepoint| harmless::line(&savepoint.name, 63)),
    Column::text("job", |savepoint| harmless::line(&of(savepoint), 170)),
    Column::text("taken", |savepoint| date(savepoint.time_ms)),
    Column::number("state", |savepoint| HumanBytes(savepoint.state_bytes).to_string()),
    Column::wide_text("checkpoint", |savepoint| harmless::line(&savepoint.checkpoint, 60)),
    Column::wide_text("engine", |savepoint| harmless::line(&savepoint.engine, 40)),
];

/// The job that it was taken of. One of another cluster is none that this one knows.
pub(crate) fn of(savepoint: &Savepoint) -> String {
    let Savepoint { job, job_name, cluster, .. } = savepoint;
    match cluster {
        Some(cluster) => format!("{job} {job_name} of {cluster}"),
        None => format!("{job} {job_name}"),
    }
}

/// The name of a savepoint.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=63).contains(&text.len()) && text.bytes().all(known) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 63 letters, digits, `-` and `_`".to_owned()),
    }
}

/// What a job can begin from: a savepoint, or a checkpoint by its job and perhaps its epoch and count.
pub(crate) fn beginning(text: &str) -> Result<String, String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered =
        |checkpoint: &str| checkpoint.split_once('.').is_some_and(|(epoch, count)| digits(epoch) && digits(count));
    let checkpoint = text.split_once('/').is_some_and(|(job, checkpoint)| id(job).is_ok() && numbered(checkpoint));
    match checkpoint || name(text).is_ok() {
        true => Ok(text.to_owned()),
        false => {
            Err("expected the name of a savepoint, or a checkpoint such as job-7 or job-7/1.41; `wasmill savepoint ls` shows \
                 the savepoints"
                .to_owned())
        }
    }
}

/// How a job goes on from a savepoint.
pub(crate) fn again(client: &Client, savepoint: &str) -> String {
    let savepoint = harmless::line(savepoint, 63);
    format!("  {:<8} {}\n", "again", client.command(&format!("deploy JOB.toml --from {savepoint}")))
}

/// Runs a verb of `wasmill savepoint`.
pub(crate) fn run(verb: &Verb, interrupt: &Interrupt) -> Result<ExitCode, Error> {
    match verb {
        Verb::Create(CreateArguments { id, name, common }) => {
            let client = common.connection.client()?;
            interrupt.say(format!("{id} takes its savepoint whether it is waited for or not\n"));
            let states = States::new();
            states.show(&format!("{id} takes a savepoint"));
            let answer = create(&client, id, name.as_deref());
            drop(states);
            answered(&client, id, &answer?, common.output)
        }
        Verb::Ls(ListArguments { common }) => list(common),
        Verb::Show(ShowArguments { name, common }) => {
            let client = common.connection.client()?;
            let path = path(name);
            let answer: Value = client.get(&path)?;
            let savepoint: Savepoint = client.typed(&path, &answer)?;
            Ok(show(&match common.output {
                Output::Json => format!("{answer}\n"),
                Output::Table => about(&client, &savepoint),
            }))
        }
        Verb::Export(arguments) => travel::export(arguments),
        Verb::Import(arguments) => travel::import(arguments),
        Verb::Rm(RemoveArguments { names, common }) => {
            let (removed, error) = remove(&common.connection.client()?, names);
            told(&removed, error, common.output)
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/savepoints/{}", encoded(name))
}

/// Asks for a savepoint, and waits for it.
fn create(client: &Client, id: &str, name: Option<&str>) -> Result<Value, Error> {
    let wanted = SavepointRequest { name: name.map(str::to_owned) };
    let json = serde_json::to_vec(&wanted).expect("text becomes JSON");
    client.ask(&Request::post(format!("/v1/jobs/{id}/savepoints")).json(&json).within(JOB_WITHIN))
}

fn answered(client: &Client, id: &str, answer: &Value, output: Output) -> Result<ExitCode, Error> {
    let savepoint: Savepoint = client.typed(&format!("/v1/jobs/{id}/savepoints"), answer)?;
    Ok(show(&match output {
        Output::Json => format!("{answer}\n"),
        Output::Table => {
            let [name, job, job_name] =
                [&savepoint.name, &savepoint.job, &savepoint.job_name].map(|text| harmless::line(text, 100));
            let size = HumanBytes(savepoint.state_bytes);
            format!("{name} of {job} {job_name}, {size}\n{}", again(client, &savepoint.name))
        }
    }))
}

fn list(common: &Common) -> Result<ExitCode, Error> {
    let client = common.connection.client()?;
    let items = client.list("/v1/savepoints")?;
    Ok(show(&match common.output {
        Output::Json => format!("{}\n", json!({ "items": items })),
        Output::Table => {
            let savepoints: Vec<Savepoint> = client.typed("/v1/savepoints", &Value::Array(items))?;
            table_of(&savepoints, &Terminal::stdout(Color::Auto))
        }
    }))
}

fn table_of(savepoints: &[Savepoint], terminal: &Terminal) -> String {
    match savepoints {
        [] => "the cluster has no savepoints\n".to_owned(),
        _ => format!("{}\n", table::draw(terminal, &COLUMNS, savepoints)),
    }
}

fn about(client: &Client, savepoint: &Savepoint) -> String {
    let line = |name: &str, value: &str| format!("  {name:<10} {}\n", harmless::line(value, 1_100));
    let mut text = format!("{}\n", harmless::line(&savepoint.name, 63));
    text += &line("job", &of(savepoint));
    text += &line("checkpoint", &savepoint.checkpoint);
    text += &line("taken", &date(savepoint.time_ms));
    text += &line("engine", &savepoint.engine);
    text += &line("state", &HumanBytes(savepoint.state_bytes).to_string());
    text += &line("of", &savepoint.operators.join(", "));
    if !savepoint.unfinished.is_empty() {
        let left = if savepoint.cluster.is_some() { ", left behind" } else { "" };
        text += &line("unfinished", &format!("{}{left}", savepoint.unfinished.join(", ")));
    }
    text + &line("again", &client.command(&format!("deploy JOB.toml --from {}", savepoint.name)))
}

/// Those that were removed, one after the other, until one could not be.
fn remove<'a>(client: &Client, names: &'a [String]) -> (Vec<&'a str>, Option<Error>) {
    let mut removed = Vec::new();
    for name in names {
        if let Err(error) = client.send(&Request::delete(path(name))) {
            return (removed, Some(error));
        }
        removed.push(name.as_str());
    }
    (removed, None)
}

fn told(removed: &[&str], error: Option<Error>, output: Output) -> Result<ExitCode, Error> {
    let shown = match (output, &error) {
        // Nothing has happened: the error is all there is to tell.
        (_, Some(_)) if removed.is_empty() => String::new(),
        (Output::Json, Some(error)) => format!("{}\n", json!({ "removed": removed, "error": error.json() })),
        (Output::Json, None) => format!("{}\n", json!({ "removed": removed })),
        (Output::Table, _) => removed.iter().map(|name| format!("{name} removed\n")).collect(),
    };
    match error {
        Some(error) if removed.is_empty() => Err(error),
        Some(error) => {
            show(&shown);
            tell(&error.shown());
            Ok(ExitCode::FAILURE)
        }
        None => Ok(show(&shown)),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::scripted::{Server, Step, json as answer, problem};

    fn savepoint(name: &str) -> Savepoint {
        Savepoint {
            name: name.to_owned(),
            job: "job-7".to_owned(),
            job_name: "fraud".to_owned(),
            checkpoint: "job-7/1.41".to_owned(),
            time_ms: 1_517_966_773_840,
            engine: "0.1.0".to_owned(),
            state_bytes: 12 << 20,
            operators: vec!["payments".to_owned(), "sc\u{1b}ore".to_owned(), "alerts".to_owned()],
            cluster: None,
            unfinished: Vec::new(),
        }
    }

    fn removed() -> Step {
        Step::Bytes(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec())
    }

    #[test]
    fn a_list_of_savepoints_fits_a_narrow_terminal() {
        let narrow = Terminal { attended: true, redraws: true, width: 60, columns: 60, colors: false, unicode: false };
        let all = [savepoint("before-v2"), savepoint("a-name-that-is-longer-than-most-names-are")];
        let drawn = table_of(&all, &narrow);
        assert!(drawn.lines().all(|line| console::measure_text_width(line) <= 60), "{drawn}");
        expect![[r#"
            ------------------------------------------------------------
             savepoint             job           taken            state
            ============================================================
             before-v2             job-7 fraud   2018-02-07   12.00 MiB
                                                 01:26
            ------------------------------------------------------------
             a-name-that-is-long   job-7 fraud   2018-02-07   12.00 MiB
             er-than-most-names-                 01:26
             are
            ------------------------------------------------------------
        "#]]
        .assert_eq(&drawn);
        assert_eq!(table_of(&[], &narrow), "the cluster has no savepoints\n");
    }

    #[test]
    fn all_that_is_known_is_told() {
        let server = Server::start(Vec::new());
        expect![[r#"
            before-v2
              job        job-7 fraud
              checkpoint job-7/1.41
              taken      2018-02-07 01:26
              engine     0.1.0
              state      12.00 MiB
              of         payments, sc\u{1b}ore, alerts
              again      wasmill deploy JOB.toml --from before-v2
        "#]]
        .assert_eq(&about(&server.client(), &savepoint("before-v2")));
    }

    #[test]
    fn a_savepoint_is_asked_for_by_its_name_or_without() {
        let made = || answer("201 Created", serde_json::to_value(savepoint("before-v2")).expect("it is JSON"));
        let server = Server::start(vec![made(), problem(503, "not-ready", "later"), made()]);
        assert_eq!(create(&server.client(), "job-7", Some("before-v2")).expect("it is made")["name"], "before-v2");
        create(&server.client(), "job-7", None).expect("it is made once the server is ready");
        let requests = server.requests();
        assert!(requests.iter().all(|request| request.line() == "POST /v1/jobs/job-7/savepoints"));
        assert!(requests.iter().all(|request| request.header("content-type") == Some("application/json")));
        assert_eq!(requests[0].body, br#"{"name":"before-v2"}"#);
        assert_eq!(requests[2].body, b"{}");
    }

    #[test]
    fn a_savepoint_that_fails_is_told_apart_from_one_that_is_refused() {
        for (code, is_failure) in [("savepoint-failed", true), ("savepoint-exists", false), ("checkpoints-off", false)]
        {
            let server = Server::start(vec![problem(409, code, "could not take a savepoint of job-7")]);
            let error = create(&server.client(), "job-7", None).expect_err("it is not made");
            assert_eq!((error.code(), error.is_failure()), (code, is_failure));
        }
    }

    #[test]
    fn several_are_removed_until_one_cannot_be() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let server = Server::start(vec![removed(), problem(404, "not-found", "there is no savepoint b"), removed()]);
        let (done, error) = remove(&server.client(), &names);
        assert_eq!((done, error.expect("b is not there").code()), (vec!["a"], "not-found"));
        assert_eq!(server.lines(), ["DELETE /v1/savepoints/a", "DELETE /v1/savepoints/b"]);
        let server = Server::start(vec![removed(), removed(), removed()]);
        let (done, error) = remove(&server.client(), &names);
        assert_eq!((done, error), (vec!["a", "b", "c"], None));
    }

    #[test]
    fn an_error_before_anything_was_removed_is_a_refusal() {
        let error = || Some(Error::told("not-found", "there is no savepoint b"));
        assert!(told(&[], error(), Output::Table).is_err());
        assert_eq!(told(&["a"], error(), Output::Json), Ok(ExitCode::FAILURE));
        assert_eq!(told(&["a"], None, Output::Table), Ok(ExitCode::SUCCESS));
    }

    #[test]
    fn names_are_looked_at_before_a_cluster_is_asked() {
        for good in ["a", "before_v2", "job-7", "X-1"] {
            assert_eq!(name(good), Ok(good.to_owned()));
            assert_eq!(beginning(good), Ok(good.to_owned()));
        }
        for bad in ["", "a b", "../a", "a/b", "a.b", &"a".repeat(64)] {
            assert!(name(bad).is_err() && beginning(bad).is_err(), "{bad}");
        }
        assert_eq!(beginning("job-7/1.41"), Ok("job-7/1.41".to_owned()));
        for bad in ["job-7/", "job-7/x", "job-7/1.41/2", "fraud/41"] {
            assert!(beginning(bad).is_err(), "{bad}");
        }
    }
}
