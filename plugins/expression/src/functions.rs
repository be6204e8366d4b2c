//! Functions of one number or moment.

use core::cell::Cell;

use wasmill_sdk::prelude::*;

use crate::{
    node::{Numeric, Part},
    vector::{Errors, Lane, Values, Vector, all_errors, null},
};

pub(crate) fn numeric(function: Numeric, vector: Vector<'_>, count: usize) -> Vector<'_> {
    match &vector.values {
        Values::Whole(values) => {
            let (values, new) = whole(function, values, &vector, count);
            let errors = all_errors(vector.errors, new);
            Vector { values: Values::Whole(Lane::Made(values)), valid: vector.valid, errors }
        }
        Values::Float(values) => {
            let values = match function {
                Numeric::Negative => values.map(count, |value| -value),
                Numeric::Absolute => values.map(count, libm::fabs),
                Numeric::Floor => values.map(count, libm::floor),
                Numeric::Ceiling => values.map(count, libm::ceil),
                Numeric::Round => values.map(count, libm::round),
                Numeric::Root => values.map(count, libm::sqrt),
                Numeric::Exponential => values.map(count, libm::exp),
                Numeric::Logarithm => values.map(count, libm::log),
            };
            Vector { values: Values::Float(Lane::Made(values)), ..vector }
        }
        _ => null(vector.errors),
    }
}

/// Whole numbers are rounded already; the smallest has no opposite.
fn whole(function: Numeric, values: &Lane<'_, i64>, vector: &Vector<'_>, count: usize) -> (Vec<i64>, Errors) {
    let operation = |value: i64| match function {
        Numeric::Negative => value.checked_neg(),
        Numeric::Absolute => value.checked_abs(),
        _ => Some(value),
    };
    let failed = Cell::new(false);
    let results = values.map(count, |value| {
        operation(value).unwrap_or_else(|| {
            failed.set(true);
            0
        })
    });
    let mut errors = Errors::new();
    if failed.get() {
        let fails = |row: &usize| vector.is_valid(*row) && operation(values.get(*row)).is_none();
        let why = "a result is beyond the range of int64";
        errors.extend((0..count).filter(fails).map(|row| (row as u32, why)));
    }
    (results, errors)
}

pub(crate) fn is_nan(vector: Vector<'_>, count: usize) -> Vector<'_> {
    match &vector.values {
        Values::Float(values) => {
            Vector { values: Values::Boolean(Lane::Made(values.map(count, f64::is_nan))), ..vector }
        }
        _ => null(vector.errors),
    }
}

/// A part of a moment, in UTC.
pub(crate) fn part(part: Part, vector: Vector<'_>, count: usize) -> Vector<'_> {
    const DAY_MS: i64 = 86_400_000;
    let Values::Whole(values) = &vector.values else { return null(vector.errors) };
    let values = match part {
        Part::Epoch => values.map(count, |ms| ms.div_euclid(1_000)),
        Part::Second => values.map(count, |ms| ms.div_euclid(1_000).rem_euclid(60)),
        Part::Minute => values.map(count, |ms| ms.div_euclid(60_000).rem_euclid(60)),
        Part::Hour => values.map(count, |ms| ms.div_euclid(3_600_000).rem_euclid(24)),
        // 1970 began on a Thursday.
        Part::DayOfWeek => values.map(count, |ms| (ms.div_euclid(DAY_MS) + 4).rem_euclid(7)),
        Part::Year => values.map(count, |ms| date(ms.div_euclid(DAY_MS)).0),
        Part::Month => values.map(count, |ms| date(ms.div_euclid(DAY_MS)).1),
        Part::Day => values.map(count, |ms| date(ms.div_euclid(DAY_MS)).2),
    };
    Vector { values: Values::Whole(Lane::Made(values)), ..vector }
}

/// Year, month and day of a number of days since the epoch, in the calendar of today, for years of any length of number.
fn date(days: i64) -> (i64, i64, i64) {
    // Years begin in March, so that the day that comes and goes is the last; four centuries have the same days.
    const CENTURIES: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(CENTURIES), days.rem_euclid(CENTURIES));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
