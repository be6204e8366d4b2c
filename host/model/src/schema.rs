//! Schemas: the named, typed columns of a stream.
//!
//! A logical type has exactly one physical form in the host:
//!
//! | type | Arrow array |
//! |---|---|
//! | `int64`, `timestamp` | `Int64Array` (a timestamp is milliseconds since the epoch, UTC) |
//! | `float64` | `Float64Array` |
//! | `boolean` | `BooleanArray` |
//! | `utf8` | `StringViewArray` |
//! | `binary` | `BinaryViewArray` |
//!
//! Views, because text that nobody reads is then never copied: see `docs/decisions/0003-views.md`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::fault::{Code, Coded};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    Int64,
    Float64,
    Timestamp,
    Boolean,
    Utf8,
    Binary,
}

impl DataType {
    /// All types, in the order the documentation lists them.
    pub const ALL: [DataType; 6] =
        [Self::Int64, Self::Float64, Self::Timestamp, Self::Boolean, Self::Utf8, Self::Binary];

    /// The name used in job files and in the operator contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Timestamp => "timestamp",
            Self::Boolean => "boolean",
            Self::Utf8 => "utf8",
            Self::Binary => "binary",
        }
    }

    /// The type of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// The one Arrow type that holds it in the host.
    pub fn arrow(self) -> arrow_schema::DataType {
        match self {
            Self::Int64 | Self::Timestamp => arrow_schema::DataType::Int64,
            Self::Float64 => arrow_schema::DataType::Float64,
            Self::Boolean => arrow_schema::DataType::Boolean,
            Self::Utf8 => arrow_schema::DataType::Utf8View,
            Self::Binary => arrow_schema::DataType::BinaryView,
        }
    }

    /// The type that a word of another system means.
    pub fn meant_by(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "int" | "integer" | "bigint" | "long" | "i64" | "int32" | "i32" | "uint64" | "u64" => Self::Int64,
            "float" | "double" | "real" | "number" | "f64" | "float32" | "decimal" => Self::Float64,
            "datetime" | "time" | "date" | "timestamptz" => Self::Timestamp,
            "bool" => Self::Boolean,
            "string" | "str" | "text" | "varchar" | "char" => Self::Utf8,
            "bytes" | "blob" | "bytea" => Self::Binary,
            _ => return None,
        })
    }

    /// Whether values differ in length: text and bytes.
    pub fn is_variable(self) -> bool {
        matches!(self, Self::Utf8 | Self::Binary)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A named column. Shown as in job files: `amount: float64`, with a `?` behind the type if it may hold nulls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub data_type: DataType,
    /// Whether the column may hold nulls.
    pub nullable: bool,
}

impl Field {
    /// A column that never holds a null.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false }
    }

    /// A column that may hold nulls.
    pub fn nullable(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: true }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.name, self.data_type, if self.nullable { "?" } else { "" })
    }
}

/// A name that stands twice in one schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{0}` is named twice")]
pub struct DuplicateColumn(pub String);

impl Coded for DuplicateColumn {
    fn code(&self) -> Code {
        Code::DuplicateColumn
    }
}

/// The columns of a stream in their order; names are unique. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Field>", into = "Vec<Field>")]
pub struct Schema {
    fields: Arc<[Field]>,
}

impl Schema {
    /// A schema of these columns, unless two of them share a name.
    pub fn new(fields: Vec<Field>) -> Result<Self, DuplicateColumn> {
        for (i, field) in fields.iter().enumerate() {
            if fields[..i].iter().any(|other| other.name == field.name) {
                return Err(DuplicateColumn(field.name.clone()));
            }
        }
        Ok(Self { fields: fields.into() })
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The place of the column of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// The names of all columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.name.as_str())
    }
}

impl TryFrom<Vec<Field>> for Schema {
    type Error = DuplicateColumn;
    fn try_from(fields: Vec<Field>) -> Result<Self, DuplicateColumn> {
        Self::new(fields)
    }
}

impl From<Schema> for Vec<Field> {
    fn from(schema: Schema) -> Self {
        schema.fields.to_vec()
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ ")?;
        for (i, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(if self.fields.is_empty() { "}" } else { " }" })
    }
}
