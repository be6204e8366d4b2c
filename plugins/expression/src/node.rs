//! Checked expressions: every node is of one type, and its parts are of those it expects.

use wasmill_sdk::{Columns, data::DataType, prelude::*};

use crate::{
    arithmetic, cast, choose, compare, functions, text,
    vector::{Lane, Strings, Values, Vector},
};

/// A value that stands in the expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Null,
    Whole(i64),
    Float(f64),
    Boolean(bool),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    /// Always of floats.
    Divide,
    /// Of whole numbers, towards zero.
    DivideWhole,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Functions of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numeric {
    Negative,
    Absolute,
    Floor,
    Ceiling,
    Round,
    Root,
    Exponential,
    Logarithm,
}

/// Functions of one text to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    Lower,
    Upper,
    Trim,
    TrimStart,
    TrimEnd,
}

/// Whether a text has another in it, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    Starts,
    Ends,
    Contains,
}

/// A part of a timestamp, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// 0 is Sunday.
    DayOfWeek,
    /// Seconds since the epoch.
    Epoch,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Column(usize, DataType),
    Constant(Constant),
    ToFloat(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Numeric(Numeric, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// Equal, or both null.
    Same(Box<Node>, Box<Node>),
    /// Of a value and constants of its type, none of which is null.
    In(Box<Node>, Vec<Constant>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsNull(Box<Node>),
    /// Whether a boolean is this, and not null.
    Is(Box<Node>, bool),
    IsNan(Box<Node>),
    /// Conditions with their values, and the value where none is true.
    Case(Vec<(Node, Node)>, Box<Node>),
    Coalesce(Vec<Node>),
    /// The smaller or greater one, or the one that is not null.
    Least(Box<Node>, Box<Node>),
    Greatest(Box<Node>, Box<Node>),
    /// `like`, and whether case counts.
    Like(Box<Node>, String, bool),
    Search(Search, Box<Node>, Box<Node>),
    Concat(Vec<Node>),
    Rewrite(Rewrite, Box<Node>),
    Replace(Box<Node>, Box<Node>, Box<Node>),
    Length(Box<Node>),
    /// Text, first character from 1, number of characters.
    Substring(Box<Node>, Box<Node>, Option<Box<Node>>),
    Part(Part, Box<Node>),
    /// What it is, what it becomes, and whether a value that cannot be is null.
    Cast(Box<Node>, DataType, DataType, bool),
}

impl Node {
    /// Its values for these rows.
    pub(crate) fn vector<'c>(&'c self, rows: &'c Columns) -> Vector<'c> {
        let count = rows.count();
        let of = |node: &'c Node| node.vector(rows);
        match self {
            Self::Column(place, data_type) => column(rows, *place, *data_type),
            Self::Constant(constant) => constant.vector(),
            Self::ToFloat(node) => arithmetic::to_float(of(node), count),
            Self::Arithmetic(op, a, b) => arithmetic::binary(*op, of(a), of(b), count),
            Self::Numeric(function, node) => functions::numeric(*function, of(node), count),
            Self::Compare(op, a, b) => compare::compare(*op, of(a), of(b), count),
            Self::Same(a, b) => compare::same(of(a), of(b), count),
            Self::In(node, list) => compare::is_in(of(node), list, count),
            Self::And(a, b) => choose::and(of(a), of(b), count),
            Self::Or(a, b) => choose::or(of(a), of(b), count),
            Self::Not(node) => choose::not(of(node), count),
            Self::IsNull(node) => choose::is_null(of(node), count),
            Self::Is(node, wanted) => choose::is(of(node), *wanted, count),
            Self::IsNan(node) => functions::is_nan(of(node), count),
            Self::Case(cases, otherwise) => {
                let cases = cases.iter().map(|(condition, value)| (of(condition), of(value))).collect();
                choose::case(cases, of(otherwise), count)
            }
            Self::Coalesce(nodes) => choose::coalesce(nodes.iter().map(of).collect(), count),
            Self::Least(a, b) => choose::extreme(Comparison::LessOrEqual, of(a), of(b), count),
            Self::Greatest(a, b) => choose::extreme(Comparison::GreaterOrEqual, of(a), of(b), count),
            Self::Like(node, pattern, has_case) => text::like(of(node), pattern, *has_case, count),
            Self::Search(search, a, b) => text::search(*search, of(a), of(b), count),
            Self::Concat(nodes) => text::concat(nodes.iter().map(of).collect(), count),
            Self::Rewrite(rewrite, node) => text::rewrite(*rewrite, of(node), count),
            Self::Replace(node, from, to) => text::replace(of(node), of(from), of(to), count),
            Self::Length(node) => text::length(of(node), count),
            Self::Substring(node, from, length) => {
                text::substring(of(node), of(from), length.as_ref().map(|node| of(node)), count)
            }
            Self::Part(part, node) => functions::part(*part, of(node), count),
            Self::Cast(node, from, to, is_try) => cast::cast(of(node), *from, *to, *is_try, count),
        }
    }
}

impl Constant {
    fn vector(&self) -> Vector<'_> {
        Vector::of(match self {
            Self::Null => Values::Null,
            Self::Whole(value) => Values::Whole(Lane::Constant(*value)),
            Self::Float(value) => Values::Float(Lane::Constant(*value)),
            Self::Boolean(value) => Values::Boolean(Lane::Constant(*value)),
            Self::Text(value) => Values::Text(Strings::Constant(value)),
        })
    }
}

fn column(rows: &Columns, place: usize, data_type: DataType) -> Vector<'_> {
    let column = rows.column(place);
    let values = match data_type {
        DataType::Int64 | DataType::Timestamp => Values::Whole(Lane::Column(column.i64s())),
        DataType::Float64 => Values::Float(Lane::Column(column.f64s())),
        DataType::Boolean => {
            let bits = column.booleans();
            Values::Boolean(Lane::Made((0..rows.count()).map(|row| bits.get(row)).collect()))
        }
        DataType::Utf8 => Values::Text(Strings::Column(column.strs())),
        DataType::Binary => Values::Opaque,
    };
    let valid = column.validity().map(|bits| (0..rows.count()).map(|row| bits.get(row)).collect());
    Vector { values, valid, errors: Vec::new() }
}
