//! What a plugin says of itself without being run: its manifest, JSON in a custom section of the component.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    limits::LimitsSpec,
    settings::{self, Setting, Settings},
};

/// The name of the custom section.
pub const SECTION: &str = "wasmill:manifest";

/// Bytes of a manifest, at most.
pub const BYTES_MAX: usize = 64 << 10;

/// Characters of a name, and bytes of a version and of a description, at most.
const NAME_MAX: usize = 64;
const VERSION_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 1_024;

/// A plugin's manifest. All of it is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Small letters, digits and `-`.
    pub name: Option<String>,
    /// A semantic version, such as `1.2.0`.
    pub version: Option<String>,
    /// One line.
    pub description: Option<String>,
    /// What its instances need, where a job file does not say.
    pub limits: LimitsSpec,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Dotted path of the key; empty for the whole.
    pub key: String,
    pub expected: String,
    pub found: String,
    pub hint: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl std::error::Error for Error {}

impl From<settings::Error> for Error {
    fn from(error: settings::Error) -> Self {
        let (expected, found) = error.expected_and_found().unwrap_or(("a key that is known", &error.message));
        let (expected, found) = (expected.to_owned(), found.to_owned());
        Self { key: error.key, expected, found, hint: error.hint }
    }
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.len() > BYTES_MAX {
            let (expected, found) = (format!("at most {BYTES_MAX} bytes"), format!("{}", json.len()));
            return Err(Error { key: String::new(), expected, found, hint: None });
        }
        let table = Settings::parse_json("manifest", json)?;
        let manifest = Self {
            name: table.optional("name", name)?,
            version: table.optional("version", version)?,
            description: table.optional("description", description)?,
            limits: table.optional("limits", |s| LimitsSpec::read(s.table()?))?.unwrap_or_default(),
        };
        table.finish()?;
        Ok(manifest)
    }

    /// The manifest as JSON: reading it again gives this one.
    pub fn json(&self) -> Value {
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let limits = self.limits.written();
        let all = [
            ("name", text(&self.name)),
            ("version", text(&self.version)),
            ("description", text(&self.description)),
            ("limits", (!limits.is_empty()).then(|| limits.into())),
        ];
        let written: Map<String, Value> = all.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect();
        written.into()
    }
}

fn name(setting: &Setting) -> Result<String, settings::Error> {
    let text = setting.string()?;
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(is_good) {
        return Err(unlike(setting, &format!("1 to {NAME_MAX} small letters, digits and `-`"), text));
    }
    Ok(text.to_owned())
}

fn version(setting: &Setting) -> Result<String, settings::Error> {
    let text = setting.string()?;
    if text.len() > VERSION_MAX || semver::Version::parse(text).is_err() {
        return Err(unlike(setting, "a semantic version such as \"1.2.0\"", text));
    }
    Ok(text.to_owned())
}

fn description(setting: &Setting) -> Result<String, settings::Error> {
    let text = setting.string()?;
    if text.len() > DESCRIPTION_MAX || text.chars().any(char::is_control) {
        return Err(unlike(setting, &format!("one line of at most {DESCRIPTION_MAX} bytes"), text));
    }
    Ok(text.to_owned())
}

/// What was found is shown as a part of it, without control characters.
fn unlike(setting: &Setting, expected: &str, found: &str) -> settings::Error {
    let shown: String = found.chars().take(NAME_MAX + 1).flat_map(char::escape_debug).collect();
    setting.error(format!("expected {expected}, found \"{shown}\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_manifest_reads_as_it_was_written() {
        let text = r#"{"name":"score-2","version":"1.2.0-rc.1+7","description":"Größe",
            "limits":{"memory":"8MiB","call_deadline":"250ms","handles":7}}"#;
        let manifest = Manifest::parse(text.as_bytes()).expect("it is well-formed");
        assert_eq!(manifest.name.as_deref(), Some("score-2"));
        assert_eq!(manifest.limits.memory_bytes, Some(8 << 20));
        assert_eq!(manifest.limits.call_deadline, Some(Duration::from_millis(250)));
        let again = Manifest::parse(manifest.json().to_string().as_bytes());
        assert_eq!(again, Ok(manifest));
        assert_eq!(Manifest::parse(b"{}").expect("all is optional").json().to_string(), "{}");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_was_expected() {
        let check = |json: &str, expect: &str| {
            let error = Manifest::parse(json.as_bytes()).expect_err(json).to_string();
            assert_eq!(error, expect, "{json}");
        };
        check("{", "expected JSON, found EOF while parsing an object at line 1 column 1");
        check("[]", "expected a table, found an array");
        check(r#"{"a":1} x"#, "expected JSON, found trailing characters at line 1 column 9");
        check(
            r#"{"nmae":"x"}"#,
            "nmae: expected a key that is known, found unknown key `nmae`\n  hint: did you mean `name`?",
        );
        check(
            r#"{"limits":{"memroy":"1MiB"}}"#,
            "limits.memroy: expected a key that is known, found unknown key `memroy`\n  hint: did you mean `memory`?",
        );
        check(r#"{"name":"a","name":"b"}"#, "expected JSON, found the key `name` twice at line 1 column 23");
        check(r#"{"name":null}"#, "expected JSON, found null at line 1 column 12");
        check(r#"{"name":"Big"}"#, "name: expected 1 to 64 small letters, digits and `-`, found \"Big\"");
        check(r#"{"name":7}"#, "name: expected a string, found an integer");
        check(r#"{"version":"1.2"}"#, "version: expected a semantic version such as \"1.2.0\", found \"1.2\"");
        check(
            "{\"description\":\"a\\u001b[2Jb\"}",
            "description: expected one line of at most 1024 bytes, found \"a\\u{1b}[2Jb\"",
        );
        check(r#"{"limits":{"handles":100001}}"#, "limits.handles: expected a number from 1 to 100000, found 100001");
        check(
            r#"{"limits":{"memory":"3GiB"}}"#,
            "limits.memory: expected more than 0 and at most \"2GiB\", found \"3GiB\"",
        );
        check(
            r#"{"limits":{"timers":18446744073709551615}}"#,
            "expected JSON, found a number beyond 64 bits at line 1 column 40",
        );
        check(
            &format!("{}1{}", "[".repeat(200), "]".repeat(200)),
            "expected JSON, found recursion limit exceeded at line 1 column 128",
        );
        let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(BYTES_MAX));
        check(&long, &format!("expected at most 65536 bytes, found {}", long.len()));
    }
}
