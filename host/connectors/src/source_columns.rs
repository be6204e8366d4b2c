//! The columns of a source that reads files: what its `schema` says of each.
//!
//! A column is written as a type, `"float64?"`, or as a table that says more:
//! `{ type = "timestamp", unit = "s", path = "properties.time" }`.

use wasmill_model::{
    DataType, Field, Schema,
    fault::{Code, Coded},
    settings::{Error, Setting},
};

/// Steps a path may have: each is a call deep when a row is read.
const STEPS_MAX: usize = 32;

/// One column of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceColumn {
    pub(crate) field: Field,
    /// Where its value lies in a row, if it is not at the key of its name.
    pub(crate) path: Option<Vec<Step>>,
    /// Whether it holds the JSON text of any value.
    pub(crate) json: bool,
    /// What numbers count that become a timestamp.
    pub(crate) unit: TimeUnit,
}

/// A step into a nested value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The value of this key of an object.
    Key(String),
    /// The element of an array, from 0; of an object, the value of the key that reads so.
    Item(usize),
}

/// What a number that means a time counts since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    #[default]
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl TimeUnit {
    const NAMES: [(&str, TimeUnit); 4] =
        [("s", Self::Seconds), ("ms", Self::Milliseconds), ("us", Self::Microseconds), ("ns", Self::Nanoseconds)];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, unit)| *unit == self).map_or("ms", |(name, _)| name)
    }

    /// Milliseconds since the epoch, finer parts cut off towards the past; `None` if that is out of range.
    #[inline]
    pub(crate) fn to_ms(self, value: i64) -> Option<i64> {
        match self {
            Self::Seconds => value.checked_mul(1_000),
            Self::Milliseconds => Some(value),
            Self::Microseconds => Some(value.div_euclid(1_000)),
            Self::Nanoseconds => Some(value.div_euclid(1_000_000)),
        }
    }
}

/// What the tables of columns may say in a format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extras {
    pub(crate) paths: bool,
    pub(crate) json: bool,
    pub(crate) binary: bool,
}

impl SourceColumn {
    /// A column of which no more is said than its type.
    pub(crate) fn plain(field: Field) -> Self {
        Self { field, path: None, json: false, unit: TimeUnit::default() }
    }

    /// Reads the key `schema`.
    pub(crate) fn read_all(setting: &Setting, extras: Extras) -> Result<Vec<Self>, Error> {
        let columns = setting.table()?.iter().map(|(name, setting)| Self::read(name, setting, extras));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Self::schema(&columns).map_err(|e| setting.error(e.to_string()).coded(e.code()))?;
        if let (Some(column), false) = (columns.iter().find(|c| c.field.data_type == DataType::Binary), extras.binary) {
            let name = &column.field.name;
            let message = format!("column `{name}` is of type binary, which a text format cannot hold");
            return Err(setting.error_with_hint(message, "read it as utf8").coded(Code::FormatColumnType));
        }
        Ok(columns)
    }

    /// The schema of these columns.
    pub(crate) fn schema(columns: &[Self]) -> Result<Schema, wasmill_model::schema::DuplicateColumn> {
        Schema::new(columns.iter().map(|column| column.field.clone()).collect())
    }

    /// The column as an entry of a `schema`, in TOML.
    pub(crate) fn toml(&self) -> String {
        let Field { name, data_type, nullable } = &self.field;
        let column_type = format!("\"{data_type}{}\"", if *nullable { "?" } else { "" });
        let mut more = Vec::new();
        if let Some(path) = &self.path {
            more.push(format!("path = {}", toml_path(path)));
        }
        if self.json {
            more.push("json = true".to_owned());
        }
        if self.unit != TimeUnit::default() {
            more.push(format!("unit = \"{}\"", self.unit.name()));
        }
        match more.is_empty() {
            true => format!("{} = {column_type}", toml_key(name)),
            false => format!("{} = {{ type = {column_type}, {} }}", toml_key(name), more.join(", ")),
        }
    }

    fn read(name: &str, setting: &Setting, extras: Extras) -> Result<Self, Error> {
        let Ok(table) = setting.table() else {
            let (data_type, nullable) = setting.column_type()?;
            return Ok(Self::plain(Field { name: name.to_owned(), data_type, nullable }));
        };
        let (data_type, nullable) = table.require("type")?.column_type()?;
        let mut column = Self::plain(Field { name: name.to_owned(), data_type, nullable });
        if extras.paths {
            column.path = table.optional("path", read_path)?;
        }
        if extras.json {
            column.json = table.optional("json", Setting::boolean)?.unwrap_or(false);
            if column.json && data_type != DataType::Utf8 {
                let message = format!("only a utf8 column takes JSON text, not {data_type}");
                return Err(table.require("json")?.error(message).coded(Code::JobFileConflict));
            }
        }
        if let Some(unit) = table.get("unit") {
            column.unit = TimeUnit::NAMES[unit.choice(&TimeUnit::NAMES.map(|(name, _)| name))?].1;
            if data_type != DataType::Timestamp {
                let message = format!("only a timestamp counts time, not {data_type}");
                return Err(unit.error(message).coded(Code::JobFileConflict));
            }
        }
        table.finish()?;
        Ok(column)
    }
}

/// A name as a key of TOML.
fn toml_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.chars().all(bare) {
        true => name.to_owned(),
        false => toml_string(name),
    }
}

/// A text as a string of TOML: what JSON escapes, TOML escapes alike, but for one character.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A path as [`read_path`] reads it.
fn toml_path(path: &[Step]) -> String {
    let plain = path.iter().all(|step| match step {
        Step::Key(key) => !key.is_empty() && !key.contains(['.', '[', ']']),
        Step::Item(_) => false,
    });
    let name = |step: &Step| match step {
        Step::Key(key) => key.clone(),
        Step::Item(place) => place.to_string(),
    };
    if plain {
        return toml_string(&path.iter().map(name).collect::<Vec<_>>().join("."));
    }
    let step = |step: &Step| match step {
        Step::Key(key) => toml_string(key),
        Step::Item(place) => place.to_string(),
    };
    format!("[{}]", path.iter().map(step).collect::<Vec<_>>().join(", "))
}

/// A path: `"properties.place"`, `"coordinates[0]"`, or its steps one by one, for keys with dots: `["a.b", "c", 0]`.
fn read_path(setting: &Setting) -> Result<Vec<Step>, Error> {
    let steps = match setting.items() {
        Ok(items) => {
            let step = |item: &Setting| match item.string() {
                Ok(key) => Ok(Step::Key(key.to_owned())),
                Err(_) => item.integer(0, i64::from(u32::MAX)).map(|place| Step::Item(place as usize)),
            };
            items.iter().map(step).collect::<Result<Vec<_>, _>>()?
        }
        Err(_) => {
            let text = setting.string()?;
            parse_path(text).ok_or_else(|| {
                let hint = "write the steps of keys that hold dots or brackets one by one: [\"a.b\", 0]";
                let form = "a path such as \"properties.place\" or \"coordinates[0]\"";
                setting.error_with_hint(format!("expected {form}, found \"{text}\""), hint)
            })?
        }
    };
    match steps.len() {
        1..=STEPS_MAX => Ok(steps),
        found => Err(setting.error(format!("expected 1 to {STEPS_MAX} steps, found {found}"))),
    }
}

fn parse_path(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in text.split('.') {
        let (name, items) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        if !name.is_empty() {
            steps.push(name.parse().map_or_else(|_| Step::Key(name.to_owned()), Step::Item));
        } else if items.is_empty() || !steps.is_empty() {
            return None;
        }
        let mut rest = items;
        while !rest.is_empty() {
            let (place, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Item(place.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let shown = parse_path(text).map(|steps| {
                let step = |step: &Step| match step {
                    Step::Key(key) => key.clone(),
                    Step::Item(place) => format!("#{place}"),
                };
                steps.iter().map(step).collect::<Vec<_>>()
            });
            assert_eq!(shown, expected.map(|steps| steps.iter().map(ToString::to_string).collect()), "{text}");
        };
        check("a", Some(&["a"]));
        check("properties.place", Some(&["properties", "place"]));
        check("coordinates[0]", Some(&["coordinates", "#0"]));
        check("coordinates.0", Some(&["coordinates", "#0"]));
        check("a[1][2].b", Some(&["a", "#1", "#2", "b"]));
        check("[1].b", Some(&["#1", "b"]));
        check("", None);
        check("a..b", None);
        check("a.[0]", None);
        check("a[", None);
        check("a[x]", None);
        check("a[0]b", None);
    }

    #[test]
    fn times_are_cut_towards_the_past() {
        assert_eq!(TimeUnit::Seconds.to_ms(-2), Some(-2_000));
        assert_eq!(TimeUnit::Seconds.to_ms(i64::MAX), None);
        assert_eq!(TimeUnit::Microseconds.to_ms(-1), Some(-1));
        assert_eq!(TimeUnit::Nanoseconds.to_ms(1_999_999), Some(1));
    }
}
