//! `--input F` and `--output F`: a job of one source or one sink reads from or writes to another file than its own.
//!
//! The vertex keeps what every vertex has, and its schema. What belongs to its connector goes, and what belongs to its
//! format stays if the format does.

use std::path::Path;

use wasmill_connectors::{ENDINGS, NamedFormat, format_of_name};
use wasmill_model::{
    fault::Code,
    settings::{Setting, Settings, Value},
};

use crate::error::Error;

/// Standard input or standard output.
const STANDARD: &str = "-";

/// What a vertex keeps, whatever it reads or writes.
const KEPT: [&str; 5] = ["parallelism", "event_time", "schema", "input", "exchange"];

/// Keys of a file that say nothing of how its rows are written.
const OF_THE_FILE: [&str; 3] = ["connector", "path", "roll"];

/// The one vertex of a kind, and what is to become of it.
struct End {
    /// `source` or `sink`.
    kind: &'static str,
    /// The name of the vertex.
    name: String,
    /// The option with its value, as typed.
    argument: String,
    /// The format it had, if its connector has formats.
    format: Option<String>,
}

/// Lets the one source of a job read this file.
pub(super) fn input(settings: &mut Settings, file: &str) -> Result<(), Error> {
    let end = End::find(settings, "source", "--input", file)?;
    let named = end.named(file)?;
    end.keep(settings, named.format);
    if named.format == "lines" {
        // Its one column is given.
        settings.retain(&end.names(), |key| key != "schema");
    }
    end.put_all(settings, "file", Some(file), named)
}

/// Lets the one sink of a job write this file. One file was asked for, so that one subtask writes it, unless the table
/// says how many there are.
pub(super) fn output(settings: &mut Settings, file: &str) -> Result<(), Error> {
    let end = End::find(settings, "sink", "--output", file)?;
    let named = end.named(file)?;
    end.keep(settings, named.format);
    match file {
        STANDARD => {
            settings.retain(&end.names(), |key| key != "roll");
            end.put_all(settings, "stdout", None, named)?;
        }
        _ => end.put_all(settings, "file", Some(file), named)?,
    }
    match vertex(settings, end.kind, &end.name).is_some_and(|table| find(table, "parallelism").is_some()) {
        true => Ok(()),
        false => end.put(settings, "parallelism", Value::Integer(1)),
    }
}

impl End {
    fn find(settings: &Settings, kind: &'static str, option: &str, file: &str) -> Result<Self, Error> {
        let names: Vec<&str> = match find(settings, kind).map(|setting| &setting.value) {
            Some(Value::Table(table)) => table.iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        };
        let [name] = names[..] else {
            let has = match names.len() {
                0 => format!("no {kind}"),
                several => format!("{several} {kind}s: {}", names.join(", ")),
            };
            let message = format!(
                "{option} {file}: it is for jobs with one {kind}, and this one has {has}\n  \
                 hint: write --set {kind}.NAME.path={file}"
            );
            return Err(Error::new(Code::Redirect, message));
        };
        let table = vertex(settings, kind, name);
        let text = |key| table.and_then(|table| find(table, key)).and_then(|setting| setting.string().ok());
        // The default of those that have formats.
        let default = (text("connector") == Some("stdout")).then_some("json");
        let format = text("format").or(default).map(str::to_owned);
        Ok(Self { kind, name: name.to_owned(), argument: format!("{option} {file}"), format })
    }

    /// The format of the new file: by its name, else the old one.
    fn named(&self, file: &str) -> Result<NamedFormat, Error> {
        let known = ["json", "csv", "lines", "parquet", "arrow"].into_iter();
        let old = || known.clone().find(|format| self.format.as_deref() == Some(format));
        let keep = |format| NamedFormat { format, delimiter: None };
        if file == STANDARD {
            return Ok(keep(old().unwrap_or("json")));
        }
        format_of_name(Path::new(file)).or_else(|| old().map(keep)).ok_or_else(|| {
            let Self { kind, name, argument, .. } = self;
            let message = format!(
                "{argument}: the name says no format, and [{kind}.{name}] has none\n  \
                 hint: let it end in {ENDINGS}, or write --set {kind}.{name}.format=json"
            );
            Error::new(Code::Redirect, message)
        })
    }

    /// Takes away what belongs to what the vertex was.
    fn keep(&self, settings: &mut Settings, format: &str) {
        let same = self.format.as_deref() == Some(format);
        settings
            .retain(&self.names(), |key| KEPT.contains(&key) || key == "roll" || (same && !OF_THE_FILE.contains(&key)));
    }

    fn put_all(
        &self,
        settings: &mut Settings,
        connector: &str,
        path: Option<&str>,
        named: NamedFormat,
    ) -> Result<(), Error> {
        let text = |text: &str| Value::String(text.to_owned());
        self.put(settings, "connector", text(connector))?;
        if let Some(path) = path {
            self.put(settings, "path", text(path))?;
        }
        self.put(settings, "format", text(named.format))?;
        match named.delimiter {
            Some(delimiter) => self.put(settings, "delimiter", Value::String(delimiter.to_string())),
            None => Ok(()),
        }
    }

    fn put(&self, settings: &mut Settings, key: &str, value: Value) -> Result<(), Error> {
        Ok(settings.put(&[self.kind, &self.name, key], value, &self.argument)?)
    }

    fn names(&self) -> [&str; 2] {
        [self.kind, &self.name]
    }
}

fn find<'a>(table: &'a Settings, name: &str) -> Option<&'a Setting> {
    table.iter().find(|(key, _)| *key == name).map(|(_, setting)| setting)
}

fn vertex<'a>(settings: &'a Settings, kind: &str, name: &str) -> Option<&'a Settings> {
    find(settings, kind)?.table().ok().and_then(|table| find(table, name)).and_then(|setting| setting.table().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"
        [source.a]
        connector = "file"
        path = "a.csv"
        format = "csv"
        delimiter = ";"
        schema = { n = "int64" }
        [operator.o]
        input = "a"
        [sink.z]
        input = "o"
        connector = "file"
        path = "z.csv"
        format = "csv"
        header = false
        roll = { every = "1m" }
    "#;

    fn job(text: &str) -> Settings {
        Settings::parse(Path::new("job.toml"), text).expect("valid TOML")
    }

    /// The table of the one source or sink after the option, as JSON.
    #[track_caller]
    fn check(option: fn(&mut Settings, &str) -> Result<(), Error>, kind: &str, file: &str, expected: &str) {
        let mut settings = job(JOB);
        option(&mut settings, file).expect("it can be done");
        let name = if kind == "source" { "a" } else { "z" };
        let table = vertex(&settings, kind, name).expect("it is still there");
        let values = table.iter().map(|(key, setting)| format!("{key}={}", setting.json()));
        let mut values: Vec<String> = values.collect();
        values.sort_unstable();
        assert_eq!(values.join(" "), expected, "{file}");
    }

    #[test]
    fn a_source_reads_another_file() {
        let same = r#"connector="file" delimiter=";" format="csv" path="b.csv" schema={"n":"int64"}"#;
        check(input, "source", "b.csv", same);
        check(input, "source", "dir/b", &same.replace("b.csv", "dir/b"));
        check(input, "source", "-", &same.replace("b.csv", "-"));
        check(input, "source", "b.tsv", &same.replace("b.csv", "b.tsv").replace(';', r"\t"));
        check(
            input,
            "source",
            "b.jsonl.gz",
            r#"connector="file" format="json" path="b.jsonl.gz" schema={"n":"int64"}"#,
        );
        check(input, "source", "b.txt", r#"connector="file" format="lines" path="b.txt""#);
        check(
            input,
            "source",
            "b.parquet",
            r#"connector="file" format="parquet" path="b.parquet" schema={"n":"int64"}"#,
        );
    }

    #[test]
    fn a_sink_writes_another_file() {
        let roll = r#"roll={"every":"1m"}"#;
        check(
            output,
            "sink",
            "b.csv",
            &format!(r#"connector="file" format="csv" header=false input="o" parallelism=1 path="b.csv" {roll}"#),
        );
        check(
            output,
            "sink",
            "b.json.zst",
            &format!(r#"connector="file" format="json" input="o" parallelism=1 path="b.json.zst" {roll}"#),
        );
        check(output, "sink", "-", r#"connector="stdout" format="csv" header=false input="o" parallelism=1"#);
    }

    #[test]
    fn a_connector_without_formats_gives_way() {
        let mut settings = job("[source.n]\nconnector = \"nexmark\"\nrate = 5\n[sink.b]\nconnector = \"blackhole\"");
        let refused = input(&mut settings, "rows").expect_err("nothing says a format").shown();
        assert!(
            refused.starts_with("error[redirect]: --input rows: the name says no format, and [source.n] has none\n"),
            "{refused}"
        );
        input(&mut settings, "rows.jsonl").expect("the name says it");
        output(&mut settings, "-").expect("json unless said otherwise");
        let table = |kind, name| vertex(&settings, kind, name).expect("it is there").iter().count();
        assert_eq!((table("source", "n"), table("sink", "b")), (3, 3), "the rate is gone");
    }

    #[test]
    fn several_are_named() {
        let mut two = job("[source.a]\n[source.b]\n");
        assert_eq!(
            input(&mut two, "f.csv"),
            Err(Error::new(
                Code::Redirect,
                "--input f.csv: it is for jobs with one source, and this one has 2 sources: a, b\n  \
                 hint: write --set source.NAME.path=f.csv"
            ))
        );
        assert!(output(&mut two, "f.csv").is_err_and(|e| e.shown().contains("this one has no sink")));
    }
}
