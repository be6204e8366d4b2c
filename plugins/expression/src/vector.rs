//! The values of a node for the rows of a call.

use wasmill_sdk::{
    build::{BitsBuilder, BoolBuilder, BytesBuilder, ColumnBuilder},
    columns::Strs,
    data::{Column, DataType},
    prelude::*,
};

/// Values of one type for each row, null or not.
#[derive(Debug)]
pub(crate) enum Lane<'c, T> {
    /// The same for all rows.
    Constant(T),
    Column(&'c [T]),
    Made(Vec<T>),
}

/// A lane as loops want it.
pub(crate) enum View<'v, T> {
    Constant(T),
    Slice(&'v [T]),
}

impl<T: Copy + Default> Lane<'_, T> {
    pub(crate) fn view(&self) -> View<'_, T> {
        match self {
            Self::Constant(value) => View::Constant(*value),
            Self::Column(values) => View::Slice(values),
            Self::Made(values) => View::Slice(values),
        }
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> T {
        match self {
            Self::Constant(value) => *value,
            Self::Column(values) => values.get(row).copied().unwrap_or_default(),
            Self::Made(values) => values.get(row).copied().unwrap_or_default(),
        }
    }

    /// A function of each value.
    pub(crate) fn map<R: Clone>(&self, count: usize, function: impl Fn(T) -> R) -> Vec<R> {
        match self.view() {
            View::Constant(value) => vec![function(value); count],
            View::Slice(values) => values.iter().map(|&value| function(value)).collect(),
        }
    }
}

/// A function of each pair of values. Loops over slices, so that the compiler may take several at a time.
pub(crate) fn zip<A: Copy + Default, B: Copy + Default, R: Clone>(
    a: &Lane<'_, A>,
    b: &Lane<'_, B>,
    count: usize,
    function: impl Fn(A, B) -> R,
) -> Vec<R> {
    match (a.view(), b.view()) {
        (View::Slice(a), View::Slice(b)) => a.iter().zip(b).map(|(&a, &b)| function(a, b)).collect(),
        (View::Slice(a), View::Constant(b)) => a.iter().map(|&a| function(a, b)).collect(),
        (View::Constant(a), View::Slice(b)) => b.iter().map(|&b| function(a, b)).collect(),
        (View::Constant(a), View::Constant(b)) => vec![function(a, b); count],
    }
}

/// Texts for each row.
#[derive(Debug)]
pub(crate) enum Strings<'c> {
    Constant(&'c str),
    Column(Strs<'c>),
    Made(Texts),
}

impl Strings<'_> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> &str {
        match self {
            Self::Constant(text) => text,
            Self::Column(texts) => texts.get(row).unwrap_or_default(),
            Self::Made(texts) => texts.get(row),
        }
    }
}

/// Texts in the making, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { text: String::new(), ends: Vec::with_capacity(rows) }
    }

    /// Where the next text is written; [`Self::end`] ends it.
    pub(crate) fn open(&mut self) -> &mut String {
        &mut self.text
    }

    pub(crate) fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.end();
    }

    fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends.get(before).copied().unwrap_or_default());
        let end = self.ends.get(row).copied().unwrap_or_default();
        self.text.get(start..end).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) enum Values<'c> {
    /// All of them are null.
    Null,
    /// `int64` or `timestamp`.
    Whole(Lane<'c, i64>),
    Float(Lane<'c, f64>),
    Boolean(Lane<'c, bool>),
    Text(Strings<'c>),
    /// Of a type that can only be null or not.
    Opaque,
}

/// Rows that cannot be worked out, and why, in the order of their numbers.
pub(crate) type Errors = Vec<(u32, &'static str)>;

/// Values, which of them are not null, and which rows have none for an error.
#[derive(Debug)]
pub(crate) struct Vector<'c> {
    pub(crate) values: Values<'c>,
    /// Not null; `None`: all. Of values that are all null it says nothing.
    pub(crate) valid: Option<Vec<bool>>,
    pub(crate) errors: Errors,
}

impl<'c> Vector<'c> {
    /// Values without nulls and errors.
    pub(crate) fn of(values: Values<'c>) -> Self {
        Self { values, valid: None, errors: Vec::new() }
    }

    #[inline]
    pub(crate) fn is_valid(&self, row: usize) -> bool {
        !matches!(self.values, Values::Null) && self.valid.as_ref().is_none_or(|valid| valid.get(row) == Some(&true))
    }

    /// The value of each row of booleans.
    pub(crate) fn each_boolean(&self, count: usize, mut take: impl FnMut(Option<bool>)) {
        for row in 0..count {
            take(self.boolean(row));
        }
    }

    #[inline]
    pub(crate) fn boolean(&self, row: usize) -> Option<bool> {
        match &self.values {
            Values::Boolean(values) if self.is_valid(row) => Some(values.get(row)),
            _ => None,
        }
    }

    /// As what leaves the operator.
    pub(crate) fn into_column(self, data_type: DataType, count: usize) -> Column {
        let column = match &self.values {
            Values::Whole(values) => match values.view() {
                View::Slice(values) => Column::of_i64s(values),
                View::Constant(value) => Column::of_i64s(&vec![value; count]),
            },
            Values::Float(values) => match values.view() {
                View::Slice(values) => Column::of_f64s(values),
                View::Constant(value) => Column::of_f64s(&vec![value; count]),
            },
            Values::Boolean(values) => {
                let mut builder = BoolBuilder::default();
                builder.reserve(count);
                (0..count).for_each(|row| builder.push(values.get(row)));
                builder.finish()
            }
            Values::Text(values) => {
                let mut builder = BytesBuilder::default();
                builder.reserve(count);
                (0..count).for_each(|row| builder.push(values.get(row).as_bytes()));
                builder.finish()
            }
            Values::Null | Values::Opaque => return nulls(data_type, count),
        };
        match self.valid {
            None => column,
            Some(valid) => {
                let mut bits = BitsBuilder::with_capacity(count);
                valid.into_iter().for_each(|valid| bits.push(valid));
                column.with_validity(bits)
            }
        }
    }
}

/// A column of nulls.
fn nulls(data_type: DataType, count: usize) -> Column {
    let mut builder = plugins_values::Builder::new(data_type, count);
    (0..count).for_each(|_| builder.push(plugins_values::Value::Null));
    builder.finish()
}

/// Which rows are not null in both.
pub(crate) fn both_valid(a: Option<Vec<bool>>, b: Option<Vec<bool>>) -> Option<Vec<bool>> {
    match (a, b) {
        (None, valid) | (valid, None) => valid,
        (Some(mut a), Some(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
            Some(a)
        }
    }
}

/// The errors of both, each row once.
pub(crate) fn all_errors(mut a: Errors, b: Errors) -> Errors {
    if !b.is_empty() {
        a.extend(b);
        a.sort_by_key(|(row, _)| *row);
        a.dedup_by_key(|(row, _)| *row);
    }
    a
}

/// Nothing but nulls, with the errors that led here.
pub(crate) fn null<'c>(errors: Errors) -> Vector<'c> {
    Vector { values: Values::Null, valid: None, errors }
}

/// A column that may hold nulls, of booleans of which some are not known.
pub(crate) fn booleans<'c>(values: Vec<Option<bool>>, errors: Errors) -> Vector<'c> {
    let valid = values.iter().any(Option::is_none).then(|| values.iter().map(Option::is_some).collect());
    let values = values.into_iter().map(Option::unwrap_or_default).collect();
    Vector { values: Values::Boolean(Lane::Made(values)), valid, errors }
}
