//! Takes values out of JSON text into columns of their own. The README says how to configure it.
//!
//! Each text is read once, from beginning to end, whatever number of fields is wanted; what no field wants is passed over
//! without being built.

#![cfg_attr(not(test), no_std)]

use plugins_values::{Builder, Value};
use wasmill_sdk::{
    Call, Config, Error, Operator, config,
    config::Table,
    data::{Context, DataType, Descriptor, Extended, Failure, Field, Input, Outcome, Reads, Reply, Shape},
    prelude::*,
};

mod extract;
mod path;

use extract::{Found, Texts, Tree};

wasmill_sdk::no_std!();
wasmill_sdk::export!(JsonExtract);

#[derive(Config)]
struct Settings {
    /// The column with the text.
    column: String,
    /// The columns to make, by name.
    fields: Table<Wanted>,
    /// What becomes of text that is no JSON, and of a value that is not of its field's type: the row fails, or the value is null.
    #[config(default = Invalid::Reject)]
    invalid: Invalid,
}

/// What becomes of text that is no JSON, and of values that are not of their field's type.
#[derive(Config, Clone, Copy, PartialEq)]
enum Invalid {
    Null,
    Reject,
}

#[derive(Config)]
struct Wanted {
    /// Where the value is, as in `"user.mails[0]"`, `"$.user"`, `'["a.b"].c'`, or `"$"` for the whole; without it, the member called NAME.
    path: Option<String>,
    /// What the value is; `"json"`: any value, as its text in a `utf8` column.
    r#type: Kind,
    /// Whether a row without the value fails; the column then holds no nulls.
    #[config(default)]
    required: bool,
}

/// What a value must be.
#[derive(Config, Debug, Clone, Copy, PartialEq)]
enum Kind {
    Int64,
    Float64,
    Timestamp,
    Boolean,
    Utf8,
    /// Anything, as its JSON text.
    Json,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Timestamp => DataType::Timestamp,
            Self::Boolean => DataType::Boolean,
            Self::Utf8 | Self::Json => DataType::Utf8,
        }
    }
}

struct JsonExtract {
    settings: Settings,
    tree: Tree,
}

impl JsonExtract {
    fn new(config: &str, inputs: &[Input]) -> Result<Self, Error> {
        let settings: Settings = config::parse(config).map_err(Error::new)?;
        let [input] = inputs else { return Err(Error::new("the operator has one input")) };
        input.require(&settings.column, DataType::Utf8, true).map_err(Error::new)?;
        let Table(fields) = &settings.fields;
        if fields.is_empty() {
            return Err(Error::new("`fields` names no field"));
        }
        let mut tree = Tree::default();
        for (place, (name, wanted)) in fields.iter().enumerate() {
            let steps = match &wanted.path {
                None => vec![path::Step::Member(name.clone())],
                Some(path) => path::parse(path).map_err(|why| Error::new(format!("fields.{name}.path: {why}")))?,
            };
            tree.add(steps, place, wanted.r#type);
        }
        Ok(Self { settings, tree })
    }

    fn fields(&self) -> &[(String, Wanted)] {
        &self.settings.fields.0
    }

    /// Appends a row's values; an error says why the row fails.
    fn push(&self, found: &[Found<'_>], texts: &Texts, builders: &mut [Builder]) -> Result<(), String> {
        for (((name, wanted), found), builder) in self.fields().iter().zip(found).zip(builders) {
            let value = match found.value(texts) {
                Some(value) => value,
                None if self.settings.invalid == Invalid::Null => Value::Null,
                None => return Err(format!("field `{name}` is no {}", wanted.r#type.data_type().name())),
            };
            if wanted.required && value == Value::Null {
                return Err(format!("field `{name}` is missing"));
            }
            builder.push(value);
        }
        Ok(())
    }
}

impl Operator for JsonExtract {
    fn describe(config: &str, inputs: &[Input]) -> Result<Descriptor, Error> {
        let operator = Self::new(config, inputs)?;
        let field = |(name, wanted): &(String, Wanted)| {
            let field = Field::new(name, wanted.r#type.data_type());
            if wanted.required { field } else { field.nullable() }
        };
        let columns = operator.fields().iter().map(field).collect();
        let reads = Reads::columns([operator.settings.column.as_str()]);
        Ok(Descriptor::stateless(reads, Shape::Extend(Extended { input: 0, columns })))
    }

    fn open(context: &Context) -> Result<Self, Error> {
        Self::new(&context.config, &context.inputs)
    }

    fn process(&mut self, call: &Call<'_>) -> Result<Reply, Failure> {
        let column = call.rows.column(0);
        let validity = column.validity();
        let builder = |(_, wanted): &(String, Wanted)| Builder::new(wanted.r#type.data_type(), call.rows.count());
        let mut builders: Vec<Builder> = self.fields().iter().map(builder).collect();
        let mut found = vec![Found::Missing; self.fields().len()];
        let mut texts = Texts::default();
        for (row, text) in column.strs().iter().enumerate() {
            let fail = |why: String| Error::new(format!("column `{}`: {why}", self.settings.column)).at_row(row as u32);
            found.fill(Found::Missing);
            texts.clear();
            if validity.is_none_or(|bits| bits.get(row)) {
                let read = self.tree.read(text, &mut found, &mut texts);
                match read {
                    Ok(()) => {}
                    Err(_) if self.settings.invalid == Invalid::Null => found.fill(Found::Missing),
                    Err(why) => return Err(fail(format!("no JSON: {why}"))),
                }
            }
            self.push(&found, &texts, &mut builders).map_err(fail)?;
        }
        Ok(Reply::rows(Outcome::extend(builders.into_iter().map(Builder::finish).collect())))
    }
}

#[cfg(test)]
mod tests;
