//! Values as values of another type.

use core::fmt::Write;

use plugins_values::{Value, parse};
use wasmill_sdk::{data::DataType, prelude::*};

use crate::vector::{Errors, Lane, Strings, Texts, Values, Vector, all_errors, null};

/// Values of a type as another. Where that cannot be, they are null (`is_try`) or fail.
pub(crate) fn cast(vector: Vector<'_>, from: DataType, to: DataType, is_try: bool, count: usize) -> Vector<'_> {
    use DataType::{Boolean, Float64, Int64, Timestamp, Utf8};
    match (&vector.values, from, to) {
        (Values::Whole(values), Int64, Float64) => {
            Vector { values: Values::Float(Lane::Made(values.map(count, |value| value as f64))), ..vector }
        }
        (Values::Whole(_), Int64 | Timestamp, Int64 | Timestamp) => vector,
        (Values::Boolean(values), Boolean, Int64) => {
            Vector { values: Values::Whole(Lane::Made(values.map(count, i64::from))), ..vector }
        }
        (Values::Float(values), Float64, Int64) => {
            let whole: Vec<Option<i64>> = values.map(count, rounded);
            made(vector, whole, is_try, "a float64 is beyond the range of int64", |values| {
                Values::Whole(Lane::Made(values))
            })
        }
        (_, _, Utf8) => to_text(vector, from, count),
        (Values::Text(texts), Utf8, _) => of_text(&vector, texts, to, is_try, count),
        _ => null(vector.errors),
    }
}

/// The nearest whole number; halves go away from zero.
fn rounded(value: f64) -> Option<i64> {
    // 2 to the power of 63 is the first that an int64 does not hold.
    const END: f64 = 9_223_372_036_854_775_808.0;
    let whole = libm::round(value);
    (-END..END).contains(&whole).then_some(whole as i64)
}

/// Values of which some could not be made.
fn made<'c, T: Default>(
    vector: Vector<'_>,
    values: Vec<Option<T>>,
    is_try: bool,
    why: &'static str,
    wrap: impl FnOnce(Vec<T>) -> Values<'c>,
) -> Vector<'c> {
    let fails = |row: usize, value: &Option<T>| vector.is_valid(row) && value.is_none();
    let failed: Errors =
        values.iter().enumerate().filter(|(row, value)| fails(*row, value)).map(|(row, _)| (row as u32, why)).collect();
    let values = wrap(values.into_iter().map(Option::unwrap_or_default).collect());
    if failed.is_empty() {
        return Vector { values, valid: vector.valid, errors: vector.errors };
    }
    if !is_try {
        return Vector { values, valid: vector.valid, errors: all_errors(vector.errors, failed) };
    }
    let count = match &values {
        Values::Whole(Lane::Made(values)) => values.len(),
        Values::Float(Lane::Made(values)) => values.len(),
        Values::Boolean(Lane::Made(values)) => values.len(),
        _ => 0,
    };
    let mut valid = vector.valid.unwrap_or_else(|| vec![true; count]);
    for (row, _) in failed {
        if let Some(valid) = valid.get_mut(row as usize) {
            *valid = false;
        }
    }
    Vector { values, valid: Some(valid), errors: vector.errors }
}

/// Text read as a type.
fn of_text<'c>(vector: &Vector<'_>, texts: &Strings<'_>, to: DataType, is_try: bool, count: usize) -> Vector<'c> {
    let shell = Vector { values: Values::Opaque, valid: vector.valid.clone(), errors: vector.errors.clone() };
    let value = |row: usize| parse(texts.get(row).trim(), to);
    match to {
        DataType::Int64 | DataType::Timestamp => {
            let of = |row| if let Some(Value::Whole(value)) = value(row) { Some(value) } else { None };
            let why = if to == DataType::Int64 { "a text is no int64" } else { "a text is no timestamp" };
            made(shell, (0..count).map(of).collect(), is_try, why, |values| Values::Whole(Lane::Made(values)))
        }
        DataType::Float64 => {
            let of = |row| if let Some(Value::Float(value)) = value(row) { Some(value) } else { None };
            let why = "a text is no float64";
            made(shell, (0..count).map(of).collect(), is_try, why, |values| Values::Float(Lane::Made(values)))
        }
        _ => {
            let of = |row| if let Some(Value::Boolean(value)) = value(row) { Some(value) } else { None };
            let why = "a text is no boolean: true or false";
            made(shell, (0..count).map(of).collect(), is_try, why, |values| Values::Boolean(Lane::Made(values)))
        }
    }
}

/// Values as they are written; a timestamp as its milliseconds.
fn to_text(vector: Vector<'_>, from: DataType, count: usize) -> Vector<'_> {
    if from == DataType::Utf8 {
        return vector;
    }
    let mut texts = Texts::with_capacity(count);
    for row in 0..count {
        // Writing to a string cannot fail.
        let _ = match &vector.values {
            Values::Whole(values) => write!(texts.open(), "{}", values.get(row)),
            Values::Float(values) => write!(texts.open(), "{}", values.get(row)),
            Values::Boolean(values) => write!(texts.open(), "{}", values.get(row)),
            _ => return null(vector.errors),
        };
        texts.end();
    }
    Vector { values: Values::Text(Strings::Made(texts)), ..vector }
}
