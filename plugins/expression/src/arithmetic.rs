//! Sums, products and their like.

use core::cell::Cell;

use wasmill_sdk::prelude::*;

use crate::{
    node::Arithmetic,
    vector::{Errors, Lane, Values, Vector, all_errors, both_valid, null, zip},
};

const OVERFLOW: &str = "a result is beyond the range of int64";
const BY_ZERO: &str = "a division by zero";

/// Whole numbers as floats.
pub(crate) fn to_float(vector: Vector<'_>, count: usize) -> Vector<'_> {
    let values = match vector.values {
        Values::Whole(Lane::Constant(value)) => Values::Float(Lane::Constant(value as f64)),
        Values::Whole(values) => Values::Float(Lane::Made(values.map(count, |value| value as f64))),
        other => other,
    };
    Vector { values, ..vector }
}

/// Two vectors of the same type of numbers; timestamps are whole numbers here.
pub(crate) fn binary<'c>(op: Arithmetic, a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    let errors = all_errors(a.errors, b.errors);
    let valid = both_valid(a.valid, b.valid);
    match (a.values, b.values) {
        (Values::Whole(a), Values::Whole(b)) => {
            let checked = |operation: fn(i64, i64) -> Option<i64>, why| whole(&a, &b, &valid, count, operation, why);
            let (values, new) = match op {
                Arithmetic::Add => checked(i64::checked_add, OVERFLOW),
                Arithmetic::Subtract => checked(i64::checked_sub, OVERFLOW),
                Arithmetic::Multiply => checked(i64::checked_mul, OVERFLOW),
                Arithmetic::DivideWhole | Arithmetic::Divide => checked(divided, BY_ZERO),
                Arithmetic::Remainder => checked(remainder, BY_ZERO),
            };
            Vector { values: Values::Whole(Lane::Made(values)), valid, errors: all_errors(errors, new) }
        }
        (Values::Float(a), Values::Float(b)) => {
            let values = match op {
                Arithmetic::Add => zip(&a, &b, count, |a, b| a + b),
                Arithmetic::Subtract => zip(&a, &b, count, |a, b| a - b),
                Arithmetic::Multiply => zip(&a, &b, count, |a, b| a * b),
                Arithmetic::DivideWhole | Arithmetic::Divide => zip(&a, &b, count, |a, b| a / b),
                Arithmetic::Remainder => zip(&a, &b, count, |a, b| a % b),
            };
            Vector { values: Values::Float(Lane::Made(values)), valid, errors }
        }
        _ => null(errors),
    }
}

fn divided(a: i64, b: i64) -> Option<i64> {
    // The smallest number by -1 is beyond the range.
    if b == -1 { a.checked_neg() } else { a.checked_div(b) }
}

fn remainder(a: i64, b: i64) -> Option<i64> {
    if b == -1 { Some(0) } else { a.checked_rem(b) }
}

/// Whole numbers, and the rows that have none. Almost always there is no such row, so it is looked for only then.
#[inline(always)]
fn whole(
    a: &Lane<'_, i64>,
    b: &Lane<'_, i64>,
    valid: &Option<Vec<bool>>,
    count: usize,
    operation: impl Fn(i64, i64) -> Option<i64>,
    why: &'static str,
) -> (Vec<i64>, Errors) {
    let failed = Cell::new(false);
    let values = zip(a, b, count, |a, b| {
        operation(a, b).unwrap_or_else(|| {
            failed.set(true);
            0
        })
    });
    let mut errors = Vec::new();
    if failed.get() {
        let is_valid = |row: usize| valid.as_ref().is_none_or(|valid| valid.get(row) == Some(&true));
        let fails = |row: &usize| is_valid(*row) && operation(a.get(*row), b.get(*row)).is_none();
        errors.extend((0..count).filter(fails).map(|row| (row as u32, why)));
    }
    (values, errors)
}
