//! Takes the groups of a regular expression's first match into columns of their own. The README says how to configure it.
//!
//! Matching takes time in proportion to the text, whatever the pattern.

#![cfg_attr(not(test), no_std)]

use plugins_values::{Builder, Value, parse};
use regex::{CaptureLocations, Regex, RegexBuilder};
use wasmill_sdk::{
    Call, Config, Error, Operator,
    config::{self, Json, Table},
    data::{Context, DataType, Descriptor, Extended, Failure, Field, Input, Outcome, Reads, Reply, Shape},
    prelude::*,
};

wasmill_sdk::no_std!();
wasmill_sdk::export!(RegexExtract);

#[derive(Config)]
struct Settings {
    /// The column with the text.
    column: String,
    /// The syntax of Rust's `regex`, with Unicode classes, without look-around and back references.
    pattern: String,
    /// The columns to make, by name; without it, every named group, as `utf8`.
    fields: Option<Table<Wanted>>,
    /// What becomes of a row that does not match, or is null: null columns, nothing, or it fails.
    #[config(default = NoMatch::Null)]
    no_match: NoMatch,
    /// What becomes of a group that is not of its type: the row fails, or the value is null.
    #[config(default = Invalid::Reject)]
    invalid: Invalid,
}

/// What becomes of a row that the pattern does not match.
#[derive(Config, Clone, Copy, PartialEq)]
enum NoMatch {
    Null,
    Drop,
    Reject,
}

/// What becomes of a group that is not of its field's type.
#[derive(Config, Clone, Copy, PartialEq)]
enum Invalid {
    Null,
    Reject,
}

#[derive(Config)]
struct Wanted {
    /// A name or a number, 0 for the whole match; without it, the group called NAME.
    group: Option<Group>,
    /// What the text is: whole, a number, `true` or `false`, or a time in ms, RFC 3339 or a date.
    #[config(default = DataType::Utf8)]
    r#type: DataType,
}

/// A group, by its number or name. Number 0 is the whole match.
enum Group {
    Number(usize),
    Name(String),
}

impl Config for Group {
    fn from_json(value: &Json) -> Result<Self, String> {
        match value {
            Json::Number(_) => usize::from_json(value).map(Self::Number),
            Json::String(name) => Ok(Self::Name(name.clone())),
            other => Err(format!("expected the number or the name of a group, found {}", other.kind())),
        }
    }
}

/// A column that is made.
struct Extracted {
    name: String,
    /// The group's number.
    group: usize,
    data_type: DataType,
}

/// Bytes that the pattern may have when it is compiled, and as much again for what it remembers as it runs.
const PATTERN_BYTES_MAX: usize = 4 << 20;

struct RegexExtract {
    column: String,
    no_match: NoMatch,
    invalid: Invalid,
    regex: Regex,
    groups: CaptureLocations,
    fields: Vec<Extracted>,
}

impl RegexExtract {
    fn new(config: &str, inputs: &[Input]) -> Result<Self, Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        input.require(&settings.column, DataType::Utf8, true).map_err(Error::new)?;
        let regex = RegexBuilder::new(&settings.pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| Error::new(format!("`pattern` is no regular expression: {error}")))?;
        let fields = match &settings.fields {
            Some(Table(fields)) => fields.iter().map(|(name, wanted)| extracted(&regex, name, wanted)).collect(),
            None => Ok(named(&regex)),
        };
        let fields: Vec<Extracted> = fields?;
        if fields.is_empty() {
            return Err(Error::new(
                "there is nothing to extract: name a group, as in `(?<year>[0-9]{4})`, or give `fields`",
            ));
        }
        let groups = regex.capture_locations();
        let Settings { column, no_match, invalid, .. } = settings;
        Ok(Self { column, no_match, invalid, regex, groups, fields })
    }

    /// Appends the groups of a match; an error says why the row fails.
    fn push(&self, text: &str, builders: &mut [Builder]) -> Result<(), String> {
        for (field, builder) in self.fields.iter().zip(builders) {
            let found = self.groups.get(field.group).and_then(|(start, end)| text.get(start..end));
            let value = match found.map(|found| (found, parse(found, field.data_type))) {
                None => Value::Null,
                Some((_, Some(value))) => value,
                Some(_) if self.invalid == Invalid::Null => Value::Null,
                Some((found, None)) => {
                    return Err(format!("field `{}` is no {}: {found:?}", field.name, field.data_type.name()));
                }
            };
            builder.push(value);
        }
        Ok(())
    }
}

/// Every named group, as text.
fn named(regex: &Regex) -> Vec<Extracted> {
    let groups = regex.capture_names().enumerate();
    let field = |(group, name): (usize, Option<&str>)| {
        Some(Extracted { name: name?.to_owned(), group, data_type: DataType::Utf8 })
    };
    groups.filter_map(field).collect()
}

fn extracted(regex: &Regex, name: &str, wanted: &Wanted) -> Result<Extracted, Error> {
    let by_name = |group: &str| regex.capture_names().position(|known| known == Some(group));
    let group = match &wanted.group {
        Some(Group::Number(number)) => (*number < regex.captures_len()).then_some(*number),
        Some(Group::Name(group)) => by_name(group),
        None => by_name(name),
    };
    let group = group.ok_or_else(|| {
        let names: Vec<&str> = regex.capture_names().flatten().collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let last = regex.captures_len() - 1;
        Error::new(format!("fields.{name}: the pattern has no such group; numbers: 0 to {last}, names: {names}"))
    })?;
    if wanted.r#type == DataType::Binary {
        return Err(Error::new(format!("fields.{name}: text cannot be binary")));
    }
    Ok(Extracted { name: name.to_owned(), group, data_type: wanted.r#type })
}

impl Operator for RegexExtract {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let operator = Self::new(config, inputs)?;
        let columns = operator.fields.iter().map(|field| Field::new(&field.name, field.data_type).nullable()).collect();
        let reads = Reads::columns([operator.column.as_str()]);
        Ok(Descriptor::stateless(reads, Shape::Extend(Extended { input: 0, columns })))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Self::new(&context.config, &context.inputs)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let column = call.rows.column(0);
        let validity = column.validity();
        let builder = |field: &Extracted| Builder::new(field.data_type, call.rows.count());
        let mut builders: Vec<Builder> = self.fields.iter().map(builder).collect();
        let mut taken = Vec::new();
        for (row, text) in (0..).zip(column.strs().iter()) {
            let name = &self.column;
            let fail = |why: String| Error::new(format!("column `{name}`: {why}")).at_row(row);
            let is_valid = validity.is_none_or(|bits| bits.get(row as usize));
            if is_valid && self.regex.captures_read(&mut self.groups, text).is_some() {
                self.push(text, &mut builders).map_err(fail)?;
            } else {
                match self.no_match {
                    NoMatch::Null => builders.iter_mut().for_each(|builder| builder.push(Value::Null)),
                    NoMatch::Drop => continue,
                    NoMatch::Reject if is_valid => return Err(fail(format!("no match in {:?}", cut(text)))),
                    NoMatch::Reject => return Err(fail("is null".to_owned())),
                }
            }
            taken.push(row);
        }
        if taken.is_empty() {
            return Ok(Reply::none());
        }
        let columns = builders.into_iter().map(Builder::finish).collect();
        let is_all = taken.len() == call.rows.count();
        Ok(Reply::rows(if is_all { Outcome::extend(columns) } else { Outcome::extend_taken(&taken, columns) }))
    }
}

/// The first part of a text, for messages.
fn cut(text: &str) -> &str {
    const CHARS_MAX: usize = 100;
    text.char_indices().nth(CHARS_MAX).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
