//! SQL expressions over columns: read by `sqlparser`, checked against a schema before a job starts, worked out a column at a
//! time. Not an operator: `filter` and `map` are. What an expression may hold stands in `docs/reference/expressions.md`.
//!
//! Words: a *node* is a checked part of an expression, a *vector* its values for the rows of a call, a *lane* the values of one
//! type without their nulls. A row that cannot be worked out is an error of the vector, which only counts if the row's value does:
//! `case when n <> 0 then 10 % n end` never fails.

#![cfg_attr(not(test), no_std)]

mod arithmetic;
mod cast;
mod check;
mod choose;
mod compare;
mod functions;
mod node;
mod text;
mod vector;

use node::Node;
use vector::Vector;
use wasmill_sdk::{
    Columns, Error,
    build::BitsBuilder,
    data::{Column, DataType, Failure, Input},
    prelude::*,
};

/// Bytes an expression may have: one that is longer was made by a program, and would cost stack.
const BYTES_MAX: usize = 4_096;

/// The columns that expressions read, in the order of their first mention.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mentioned {
    names: Vec<String>,
}

impl Mentioned {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    fn place(&mut self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }
}

/// An expression that fits a schema.
#[derive(Debug)]
pub struct Expression {
    node: Node,
    data_type: DataType,
    nullable: bool,
}

impl Expression {
    /// Reads an expression over the columns of an input, and adds those it reads to `mentioned`. The message says what is
    /// wrong with which part of it.
    pub fn new(text: &str, input: &Input, mentioned: &mut Mentioned) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("an expression has at most {BYTES_MAX} bytes, this one has {}", text.len()));
        }
        let parsed = check::parse(text)?;
        let checked = check::Checker::new(input, mentioned).check(&parsed)?;
        let Some(data_type) = checked.data_type else {
            return Err(format!("`{text}` is always null: say of which type, as in `cast(null as int64)`"));
        };
        if data_type == DataType::Binary {
            return Err(format!("`{text}` is binary, which expressions only test for null"));
        }
        Ok(Self { node: checked.node, data_type, nullable: checked.nullable })
    }

    /// The type of its values.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Whether its values can be null.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// This expression as another type: `int64` as `float64`, or itself.
    pub fn into_type(self, data_type: DataType) -> Result<Self, String> {
        match (self.data_type, data_type) {
            (found, wanted) if found == wanted => Ok(self),
            (DataType::Int64, DataType::Float64) => {
                Ok(Self { node: Node::ToFloat(Box::new(self.node)), data_type, nullable: self.nullable })
            }
            (found, wanted) => Err(format!("the expression is {}, not {}: cast it", found.name(), wanted.name())),
        }
    }

    /// For which rows a boolean expression is true; where it is null, it is not.
    pub fn is_true(&self, rows: &Columns) -> Result<BitsBuilder, Failure> {
        let vector = self.vector(rows)?;
        let mut bits = BitsBuilder::with_capacity(rows.count());
        vector.each_boolean(rows.count(), |value| bits.push(value == Some(true)));
        Ok(bits)
    }

    /// Its values.
    pub fn column(&self, rows: &Columns) -> Result<Column, Failure> {
        Ok(self.vector(rows)?.into_column(self.data_type, rows.count()))
    }

    fn vector<'c>(&'c self, rows: &'c Columns) -> Result<Vector<'c>, Failure> {
        let vector = self.node.vector(rows);
        match vector.errors.first() {
            Some((row, why)) => Err(Error::new(why).at_row(*row)),
            None => Ok(vector),
        }
    }
}

#[cfg(test)]
mod tests;
