//! What a plugin says of its configuration without being run: lines of JSON in a custom section of the component, one for
//! each type of the configuration. It is shown to people; nobody reads it to run an operator.
//!
//! `{"type":"Settings","keys":[{"key":"alpha","type":"f64","default":"0.1","doc":"..."}]}`, or
//! `{"type":"Mode","choices":["strict","lenient"]}`, with types and defaults as Rust writes them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::schema::DataType;

/// The name of the custom section.
pub const SECTION: &str = "wasmill:config";

/// Bytes of all these sections of a component, and types in them, at most. What is beyond is not shown.
pub const BYTES_MAX: usize = 64 << 10;
const TYPES_MAX: usize = 64;

/// Keys that are shown of a configuration, and tables inside of one another, at most.
const KEYS_MAX: usize = 256;
const NESTING_MAX: usize = 4;

/// A type of a configuration, as it is written in the section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Type {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    keys: Vec<RawKey>,
    #[serde(default)]
    choices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RawKey {
    key: String,
    #[serde(rename = "type")]
    type_name: String,
    default: Option<String>,
    #[serde(default)]
    doc: String,
}

/// A key of a configuration, as whoever writes a job file reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Dotted, `NAME` standing for any name: `fields.NAME.path`.
    pub name: String,
    pub type_name: String,
    pub default: Default,
    pub doc: String,
}

/// What holds if a key is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Default {
    /// It cannot be left out.
    Required,
    /// Nothing.
    None,
    /// This, as a job file would say it.
    Value(String),
}

/// Reads the lines of a section. A line that says nothing of a configuration, and what is beyond the limits, is passed over.
pub fn parse(section: &[u8]) -> Vec<Type> {
    let bytes = &section[..section.len().min(BYTES_MAX)];
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).take(TYPES_MAX).collect()
}

impl Type {
    /// With every text put through this, which makes it fit to be shown.
    #[must_use]
    pub fn cleaned(mut self, clean: impl Fn(&str) -> String) -> Self {
        let texts = self
            .keys
            .iter_mut()
            .flat_map(|key| [&mut key.key, &mut key.type_name, &mut key.doc].into_iter().chain(key.default.as_mut()));
        for text in texts.chain(&mut self.choices).chain([&mut self.name]) {
            *text = clean(text);
        }
        self
    }
}

/// The keys of a configuration of these types, those of tables inside of it behind theirs. The whole is the type that no other
/// one mentions.
pub fn keys(types: &[Type]) -> Vec<Key> {
    let mut keys = Vec::new();
    for whole in types.iter().filter(|whole| !types.iter().any(|other| other.mentions(&whole.name))) {
        add(types, whole, "", 1, &mut keys);
    }
    keys
}

/// The keys as JSON, for programs.
pub fn json(types: &[Type]) -> Value {
    let key = |key: &Key| {
        let default = match &key.default {
            Default::Value(value) => Some(value.as_str()),
            Default::Required | Default::None => None,
        };
        let required = key.default == Default::Required;
        json!({ "key": key.name, "type": key.type_name, "required": required, "default": default, "doc": key.doc })
    };
    keys(types).iter().map(key).collect()
}

/// The table in Markdown that documents these keys.
pub fn markdown(types: &[Type]) -> String {
    let mut text = String::from("| key | type | meaning | default |\n|---|---|---|---|\n");
    for Key { name, type_name, default, doc } in keys(types) {
        let default = match default {
            Default::Required => "required".to_owned(),
            Default::None => "none".to_owned(),
            Default::Value(value) => format!("`{value}`"),
        };
        let type_name =
            if type_name.starts_with('"') { format!("`{}`", type_name.replace(", ", "`, `")) } else { type_name };
        let cells = [format!("`{name}`"), type_name, doc, default].map(|cell| cell.replace('|', "\\|"));
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

fn add(types: &[Type], of: &Type, prefix: &str, level: usize, keys: &mut Vec<Key>) {
    for raw in &of.keys {
        if keys.len() == KEYS_MAX {
            return;
        }
        let name = format!("{prefix}{}", raw.key);
        let (type_name, default) = (shown_type(types, &raw.type_name), shown_default(types, raw));
        keys.push(Key { name: name.clone(), type_name, default, doc: raw.doc.clone() });
        let plain = without(&raw.type_name, "Option");
        let (inner, between) = match (without(plain, "Table"), without(plain, "Vec")) {
            (inner, _) if inner != plain => (inner, ".NAME."),
            (_, inner) if inner != plain => (inner, "[]."),
            _ => (plain, "."),
        };
        if let (Some(table), true) = (types.iter().find(|t| t.name == inner), level < NESTING_MAX) {
            add(types, table, &format!("{name}{between}"), level + 1, keys);
        }
    }
}

impl Type {
    /// Whether a key of it is of another type of this name, or holds such.
    fn mentions(&self, name: &str) -> bool {
        let is_part = |c: char| !(c.is_alphanumeric() || c == '_');
        self.name != name && self.keys.iter().any(|key| key.type_name.split(is_part).any(|part| part == name))
    }
}

/// The type inside of `outer<...>`; else the type as it is.
fn without<'t>(type_name: &'t str, outer: &str) -> &'t str {
    let inner = type_name.strip_prefix(outer).and_then(|rest| rest.strip_prefix('<')?.strip_suffix('>'));
    inner.unwrap_or(type_name)
}

/// A type as a job file knows it.
fn shown_type(types: &[Type], name: &str) -> String {
    let name = without(name, "Option");
    if let Some(choice) = types.iter().find(|t| t.name == name && !t.choices.is_empty()) {
        return choice.choices.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ");
    }
    match name {
        "String" => "string".to_owned(),
        "bool" => "boolean".to_owned(),
        "f32" | "f64" => "number".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "integer".to_owned(),
        "Duration" => "duration".to_owned(),
        "DataType" => "column type".to_owned(),
        _ if without(name, "Vec") != name => format!("array of {}", shown_type(types, without(name, "Vec"))),
        _ if without(name, "Table") != name => "table".to_owned(),
        _ if types.iter().any(|t| t.name == name) => "table".to_owned(),
        // A type that the plugin reads in a way of its own: what the key means says which.
        _ => "value".to_owned(),
    }
}

fn shown_default(types: &[Type], key: &RawKey) -> Default {
    let type_name = key.type_name.as_str();
    let is_option = without(type_name, "Option") != type_name;
    match key.default.as_deref() {
        None if is_option => Default::None,
        None => Default::Required,
        Some("None") => Default::None,
        Some("") if is_option => Default::None,
        Some("") => Default::Value(match shown_type(types, type_name).as_str() {
            "string" => "\"\"".to_owned(),
            "boolean" => "false".to_owned(),
            "number" | "integer" => "0".to_owned(),
            "duration" => "\"0s\"".to_owned(),
            "table" => "{}".to_owned(),
            array if array.starts_with("array") => "[]".to_owned(),
            _ => "its own".to_owned(),
        }),
        Some(written) => Default::Value(shown_value(types, without(type_name, "Option"), written)),
    }
}

/// A default as a job file would say it, where it can be told from what Rust says.
fn shown_value(types: &[Type], type_name: &str, written: &str) -> String {
    let written = written.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(written);
    let last = written.rsplit("::").next().unwrap_or(written);
    let choice = types.iter().find(|t| t.name == type_name);
    let plain = |name: &str| name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect::<String>();
    if let Some(choice) = choice.and_then(|t| t.choices.iter().find(|choice| plain(choice) == plain(last))) {
        return format!("\"{choice}\"");
    }
    if type_name == "DataType" {
        let known = [DataType::Int64, DataType::Float64, DataType::Timestamp, DataType::Boolean, DataType::Utf8];
        let found = known.iter().map(ToString::to_string).find(|name| *name == last.to_lowercase());
        return found.map_or_else(|| written.to_owned(), |name| format!("\"{name}\""));
    }
    for (call, unit) in [("from_secs(", "s"), ("from_millis(", "ms"), ("from_micros(", "us"), ("from_mins(", "m")] {
        if let Some(count) = last.strip_prefix(call).and_then(|rest| rest.strip_suffix(')')) {
            return format!("\"{}{unit}\"", count.replace('_', ""));
        }
    }
    written.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION_TEXT: &str = r#"{"type":"Kind","choices":["utf8","json_text"]}
{"type":"Settings","keys":[{"key":"column","type":"String","doc":"What | where"},{"key":"span","type":"Option<Duration>","doc":""},{"key":"own","type":"Option<Own>"},{"key":"wait","type":"Duration","default":"Duration::from_secs(5)"},{"key":"fields","type":"Table<Wanted>","default":""},{"key":"kind","type":"Kind","default":"Kind::JsonText","doc":"d"}]}
{"type":"Wanted","keys":[{"key":"type","type":"DataType","default":"DataType::Utf8"},{"key":"parts","type":"Vec<f64>"}]}
"#;

    #[test]
    fn keys_are_shown_as_a_job_file_knows_them() {
        let expect = "| key | type | meaning | default |\n|---|---|---|---|\n\
            | `column` | string | What \\| where | required |\n\
            | `span` | duration |  | none |\n\
            | `own` | value |  | none |\n\
            | `wait` | duration |  | `\"5s\"` |\n\
            | `fields` | table |  | `{}` |\n\
            | `fields.NAME.type` | column type |  | `\"utf8\"` |\n\
            | `fields.NAME.parts` | array of number |  | required |\n\
            | `kind` | `\"utf8\"`, `\"json_text\"` | d | `\"json_text\"` |\n";
        assert_eq!(markdown(&parse(SECTION_TEXT.as_bytes())), expect);
        let json = json(&parse(SECTION_TEXT.as_bytes()));
        assert_eq!(
            json[0],
            json!({"key":"column","type":"string","required":true,"default":null,"doc":"What | where"})
        );
    }

    #[test]
    fn what_says_nothing_of_a_configuration_is_passed_over() {
        let check = |section: &[u8], expect: usize| assert_eq!(keys(&parse(section)).len(), expect);
        check(b"", 0);
        check(b"\xff\xfe\n[]\n7\n{\"type\":7}\n{\"type\":\"A\",\"keys\":{}}\n{\"type\":\"A\",\"keys\":[{}]}", 0);
        check(b"junk\n{\"type\":\"A\",\"keys\":[{\"key\":\"a\",\"type\":\"b\"}]}\n{\"type\":\"B\"", 1);
        check(&[b'['; BYTES_MAX * 2], 0);
    }

    #[test]
    fn a_configuration_without_end_is_shown_up_to_a_limit() {
        let key = r#"{"key":"k","type":"Table<B>"}"#;
        let many = vec![key; 300].join(",");
        let text = format!("{{\"type\":\"A\",\"keys\":[{many}]}}\n{{\"type\":\"B\",\"keys\":[{many}]}}\n");
        assert_eq!(keys(&parse(text.as_bytes())).len(), KEYS_MAX);
        let text = r#"{"type":"A","keys":[{"key":"k","type":"A"}]}"#;
        assert_eq!(keys(&parse(text.as_bytes())).len(), NESTING_MAX);
        let text = "{\"type\":\"A\"}\n".repeat(TYPES_MAX + 1);
        assert_eq!(parse(text.as_bytes()).len(), TYPES_MAX);
    }
}
