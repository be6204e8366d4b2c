//! `wasmill plugin ls`, `inspect REF` and `rm`: plugins that a cluster has.

use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use wasmill_rest::{PluginDetail, PluginVersion};

use crate::{
    connection::{Common, Connection},
    error::Error,
    harmless,
    numbers::date,
    output::{Output, show},
    plan::plugin,
    push,
    request::Request,
    table::{self, Column},
    terminal::{Color, Terminal},
};

#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// The plugin, as NAME@VERSION.
    #[arg(value_name = "NAME@VERSION", value_parser = versioned)]
    plugin: (String, String),
    #[command(flatten)]
    pub(crate) common: Common,
}

const COLUMNS: [Column<PluginVersion>; 6] = [
    Column::text("plugin", |plugin| harmless::line(&format!("{}@{}", plugin.name, plugin.version), 130)),
    Column::number("size", |plugin| HumanBytes(plugin.size).to_string()),
    Column::text("digest", |version| plugin(Some(&version.digest))),
    Column::text("used by", |plugin| harmless::line(&plugin.used_by.join(" "), 1_000)),
    Column::wide_text("uploaded", |plugin| date(plugin.uploaded_ms)),
    Column::wide_text("about", |plugin| harmless::line(plugin.description.as_deref().unwrap_or("-"), 200)),
];

/// A plugin of a cluster, by name and version or by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Version { name: String, version: String },
    Digest(String),
}

impl Reference {
    /// Reads `name@version` or `sha256:...`; none if the text is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix("sha256:") {
            let known = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            return (digits.len() == 64 && digits.bytes().all(known)).then(|| Self::Digest(text.to_owned()));
        }
        let (name, version) = versioned(text).ok()?;
        Some(Self::Version { name, version })
    }

    fn path(&self) -> String {
        match self {
            Self::Version { name, version } => format!("/v1/plugins/{name}/versions/{version}"),
            Self::Digest(digest) => format!("/v1/plugins/by-digest/{digest}"),
        }
    }
}

fn versioned(text: &str) -> Result<(String, String), String> {
    let (name, version) = text.split_once('@').ok_or("expected NAME@VERSION")?;
    Ok((push::name(name)?, push::version(version)?))
}

/// Lists plugins.
pub(crate) fn list(arguments: &ListArguments) -> Result<ExitCode, Error> {
    let client = arguments.common.connection.client()?;
    let items = client.list("/v1/plugins")?;
    Ok(show(&match arguments.common.output {
        Output::Json => format!("{}\n", json!({ "items": items })),
        Output::Table => {
            let plugins: Vec<PluginVersion> = client.typed("/v1/plugins", &Value::Array(items))?;
            table_of(&plugins, &Terminal::stdout(Color::Auto))
        }
    }))
}

fn table_of(plugins: &[PluginVersion], terminal: &Terminal) -> String {
    match plugins {
        [] => "the cluster has no plugins\n".to_owned(),
        _ => format!("{}\n", table::draw(terminal, &COLUMNS, plugins)),
    }
}

/// Says what a cluster knows of a plugin.
pub(crate) fn inspect(reference: &Reference, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let client = connection.client()?;
    let path = reference.path();
    let answer: Value = client.get(&path)?;
    let detail: PluginDetail = client.typed(&path, &answer)?;
    Ok(show(&match output {
        Output::Json => format!("{answer}\n"),
        Output::Table => about(&detail),
    }))
}

fn about(detail: &PluginDetail) -> String {
    let PluginDetail { version: plugin, inspection } = detail;
    let line = |name: &str, value: &str| format!("  {name:<10} {}\n", harmless::line(value, 1_100));
    let mut text = format!("{}\n", harmless::line(&format!("{}@{}", plugin.name, plugin.version), 130));
    if let Some(description) = &plugin.description {
        text += &line("about", description);
    }
    text += &line("digest", &plugin.digest);
    text += &line("size", &HumanBytes(plugin.size).to_string());
    text += &line(
        "language",
        &if plugin.languages.is_empty() { "not said".to_owned() } else { plugin.languages.join(", ") },
    );
    text += &line("uploaded", &date(plugin.uploaded_ms));
    text += &line("used by", &if plugin.used_by.is_empty() { "no job".to_owned() } else { plugin.used_by.join(", ") });
    for side in ["imports", "exports"] {
        for (place, name) in interfaces(&inspection[side]).iter().enumerate() {
            text += &line(if place == 0 { side } else { "" }, name);
        }
    }
    text
}

/// The names of interfaces, which stand alone or with their functions.
fn interfaces(json: &Value) -> Vec<String> {
    let name = |interface: &Value| interface.as_str().or_else(|| interface["name"].as_str()).map(str::to_owned);
    json.as_array().map_or_else(Vec::new, |interfaces| interfaces.iter().filter_map(name).collect())
}

/// Takes a plugin away.
pub(crate) fn remove(arguments: &RemoveArguments) -> Result<ExitCode, Error> {
    let RemoveArguments { plugin: (name, version), common } = arguments;
    let client = common.connection.client()?;
    client.send(&Request::delete(format!("/v1/plugins/{name}/versions/{version}")))?;
    Ok(show(&match common.output {
        Output::Json => format!("{}\n", json!({ "name": name, "version": version, "removed": true })),
        Output::Table => format!("{name}@{version} removed\n"),
    }))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn plugin(name: &str) -> PluginVersion {
        PluginVersion {
            name: name.to_owned(),
            version: "1.2.0-dev.0123456789ab".to_owned(),
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            size: 1_234_567,
            description: Some("finds\nfraud".to_owned()),
            languages: vec!["Rust".to_owned()],
            uploaded_ms: 1_517_966_773_840,
            used_by: vec!["job-7".to_owned(), "job-8".to_owned()],
        }
    }

    #[test]
    fn a_list_of_plugins_fits_a_narrow_terminal() {
        let narrow = Terminal { attended: true, redraws: true, width: 60, columns: 60, colors: false, unicode: false };
        let drawn = table_of(&[plugin("fraud-score"), plugin("a-name-that-is-longer-than-most-names-are")], &narrow);
        assert!(drawn.lines().all(|line| console::measure_text_width(line) <= 60), "{drawn}");
        expect![[r#"
            ------------------------------------------------------------
             plugin                   size   digest         used by
            ============================================================
             fraud-score@1.2.0-   1.18 MiB   0123456789ab   job-7 job-8
             dev.0123456789ab
            ------------------------------------------------------------
             a-name-that-is-lon   1.18 MiB   0123456789ab   job-7 job-8
             ger-than-most-name
             s-are@1.2.0-dev.01
             23456789ab
            ------------------------------------------------------------
        "#]]
        .assert_eq(&drawn);
    }

    #[test]
    fn all_that_is_known_is_told() {
        let inspection = json!({ "imports": [], "exports": ["a:b/c", { "name": "d:e/f", "functions": {} }] });
        expect![[r#"
            fraud-score@1.2.0-dev.0123456789ab
              about      finds\nfraud
              digest     sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
              size       1.18 MiB
              language   Rust
              uploaded   2018-02-07 01:26
              used by    job-7, job-8
              exports    a:b/c
                         d:e/f
        "#]]
        .assert_eq(&about(&PluginDetail { version: plugin("fraud-score"), inspection }));
    }

    #[test]
    fn a_reference_is_a_version_or_a_digest() {
        let version = Reference::Version { name: "fraud-score".to_owned(), version: "1.2".to_owned() };
        assert_eq!(Reference::parse("fraud-score@1.2"), Some(version));
        let digest = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(Reference::parse(&digest), Some(Reference::Digest(digest.clone())));
        for file in ["score.wasm", "./a@1/score.wasm", "sha256:0f", "@1", "a@", "A@1"] {
            assert_eq!(Reference::parse(file), None, "{file}");
        }
    }
}
