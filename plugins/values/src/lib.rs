//! Values whose type is known only when a job starts: read from text, built into columns. Not an operator: what several of
//! them have in common that take types from their configuration.

#![cfg_attr(not(test), no_std)]

use wasmill_sdk::{
    build::{BoolBuilder, BytesBuilder, ColumnBuilder, F64Builder, I64Builder, NullableBuilder},
    data::{Column, DataType},
};

/// One value, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'t> {
    /// No value.
    Null,
    /// Of an `int64` or `timestamp` column.
    Whole(i64),
    /// Of a `float64` column.
    Float(f64),
    /// Of a `boolean` column.
    Boolean(bool),
    /// Of a `utf8` column.
    Text(&'t str),
}

/// A column in the making, of any type but `binary`, which may hold nulls.
#[derive(Debug)]
pub enum Builder {
    /// `int64` or `timestamp`.
    Whole(NullableBuilder<I64Builder>),
    /// `float64`.
    Float(NullableBuilder<F64Builder>),
    /// `boolean`.
    Boolean(NullableBuilder<BoolBuilder>),
    /// `utf8`.
    Text(NullableBuilder<BytesBuilder>),
}

impl Builder {
    /// A column of this type, with room for so many rows.
    pub fn new(data_type: DataType, rows: usize) -> Self {
        fn empty<B: ColumnBuilder>(rows: usize) -> NullableBuilder<B> {
            let mut builder = NullableBuilder::default();
            builder.reserve(rows);
            builder
        }
        match data_type {
            DataType::Int64 | DataType::Timestamp => Self::Whole(empty(rows)),
            DataType::Float64 => Self::Float(empty(rows)),
            DataType::Boolean => Self::Boolean(empty(rows)),
            DataType::Utf8 | DataType::Binary => Self::Text(empty(rows)),
        }
    }

    /// Appends a value.
    ///
    /// # Panics
    /// If it is of another type than the column.
    #[inline]
    pub fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Whole(column), Value::Whole(value)) => column.push_valid().push(value),
            (Self::Float(column), Value::Float(value)) => column.push_valid().push(value),
            (Self::Boolean(column), Value::Boolean(value)) => column.push_valid().push(value),
            (Self::Text(column), Value::Text(value)) => column.push_valid().push(value.as_bytes()),
            (column, Value::Null) => column.push_null(),
            (column, value) => panic!("{value:?} in {column:?}"),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Whole(column) => column.push_null(),
            Self::Float(column) => column.push_null(),
            Self::Boolean(column) => column.push_null(),
            Self::Text(column) => column.push_null(),
        }
    }

    /// The column.
    pub fn finish(self) -> Column {
        match self {
            Self::Whole(column) => column.finish(),
            Self::Float(column) => column.finish(),
            Self::Boolean(column) => column.finish(),
            Self::Text(column) => column.finish(),
        }
    }
}

/// Text as a value of a type; `None` if it is none. Nothing is trimmed. `int64` takes digits with an optional sign, `float64`
/// also `1e3`, `inf` and `NaN`, `boolean` only `true` and `false`, `timestamp` what [`timestamp`] takes.
pub fn parse(text: &str, data_type: DataType) -> Option<Value<'_>> {
    match data_type {
        DataType::Int64 => text.parse().ok().map(Value::Whole),
        DataType::Float64 => text.parse().ok().map(Value::Float),
        DataType::Boolean => text.parse().ok().map(Value::Boolean),
        DataType::Timestamp => timestamp(text).map(Value::Whole),
        DataType::Utf8 => Some(Value::Text(text)),
        DataType::Binary => None,
    }
}

/// Milliseconds since the epoch out of a whole number of them, RFC 3339 text such as `2018-02-07T01:26:13.840Z` (a space may
/// stand for the `T`), or a date alone, which is its midnight in UTC. Digits below the millisecond are cut off.
pub fn timestamp(text: &str) -> Option<i64> {
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_the_type_says() {
        let check = |text, data_type, expect| assert_eq!(parse(text, data_type), expect, "{text} as {data_type:?}");
        check("-9223372036854775808", DataType::Int64, Some(Value::Whole(i64::MIN)));
        check("9223372036854775808", DataType::Int64, None);
        check(" 1", DataType::Int64, None);
        check("1.0", DataType::Int64, None);
        check("1e3", DataType::Float64, Some(Value::Float(1e3)));
        check("-inf", DataType::Float64, Some(Value::Float(f64::NEG_INFINITY)));
        check("", DataType::Float64, None);
        check("true", DataType::Boolean, Some(Value::Boolean(true)));
        check("True", DataType::Boolean, None);
        check("żółw", DataType::Utf8, Some(Value::Text("żółw")));
        check("", DataType::Utf8, Some(Value::Text("")));
        check("x", DataType::Binary, None);
        check("-5", DataType::Timestamp, Some(Value::Whole(-5)));
        check("2018-02-07T01:26:13.8409Z", DataType::Timestamp, Some(Value::Whole(1_517_966_773_840)));
        check("2018-02-07 02:26:13+01:00", DataType::Timestamp, Some(Value::Whole(1_517_966_773_000)));
        check("1969-12-31", DataType::Timestamp, Some(Value::Whole(-86_400_000)));
        check("2018-02-30", DataType::Timestamp, None);
        check("soon", DataType::Timestamp, None);
    }

    #[test]
    fn columns_of_every_type_are_built() {
        for (data_type, value) in [
            (DataType::Int64, Value::Whole(1)),
            (DataType::Timestamp, Value::Whole(1)),
            (DataType::Float64, Value::Float(1.0)),
            (DataType::Boolean, Value::Boolean(true)),
            (DataType::Utf8, Value::Text("1")),
        ] {
            let mut builder = Builder::new(data_type, 2);
            builder.push(value);
            assert_eq!(Builder::new(data_type, 0).finish().validity, None);
            builder.push(Value::Null);
            assert_eq!(builder.finish().validity, Some(vec![1]), "{data_type:?}");
        }
    }
}
