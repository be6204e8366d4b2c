//! Comparisons.

use core::cmp::Ordering;

use wasmill_sdk::prelude::*;

use crate::{
    node::{Comparison, Constant},
    vector::{Lane, Strings, Values, Vector, all_errors, booleans, both_valid, null, zip},
};

impl Comparison {
    /// Whether values in this order compare so; NaN has no order.
    #[inline]
    pub(crate) fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// Whether values of the same type compare so.
pub(crate) fn compare<'c>(op: Comparison, a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    let errors = all_errors(a.errors, b.errors);
    let Some(values) = compared(op, &a.values, &b.values, count) else { return null(errors) };
    Vector { values: Values::Boolean(Lane::Made(values)), valid: both_valid(a.valid, b.valid), errors }
}

/// What a comparison of values says, nulls and not; `None`: one side is nothing but nulls.
fn compared(op: Comparison, a: &Values<'_>, b: &Values<'_>, count: usize) -> Option<Vec<bool>> {
    Some(match (a, b) {
        (Values::Whole(a), Values::Whole(b)) => numbers(op, a, b, count),
        (Values::Float(a), Values::Float(b)) => numbers(op, a, b, count),
        (Values::Boolean(a), Values::Boolean(b)) => numbers(op, a, b, count),
        (Values::Text(a), Values::Text(b)) => texts(op, a, b, count),
        _ => return None,
    })
}

/// One loop for each comparison: none has a branch in it.
fn numbers<T: Copy + Default + PartialOrd>(
    op: Comparison,
    a: &Lane<'_, T>,
    b: &Lane<'_, T>,
    count: usize,
) -> Vec<bool> {
    match op {
        Comparison::Equal => zip(a, b, count, |a, b| a == b),
        Comparison::Unequal => zip(a, b, count, |a, b| a != b),
        Comparison::Less => zip(a, b, count, |a, b| a < b),
        Comparison::LessOrEqual => zip(a, b, count, |a, b| a <= b),
        Comparison::Greater => zip(a, b, count, |a, b| a > b),
        Comparison::GreaterOrEqual => zip(a, b, count, |a, b| a >= b),
    }
}

fn texts(op: Comparison, a: &Strings<'_>, b: &Strings<'_>, count: usize) -> Vec<bool> {
    match op {
        Comparison::Equal => (0..count).map(|row| a.get(row) == b.get(row)).collect(),
        Comparison::Unequal => (0..count).map(|row| a.get(row) != b.get(row)).collect(),
        _ => (0..count).map(|row| op.holds(Some(a.get(row).cmp(b.get(row))))).collect(),
    }
}

/// Whether values are equal or both null.
pub(crate) fn same<'c>(a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    let equal = compared(Comparison::Equal, &a.values, &b.values, count);
    let value = |row: usize| match (a.is_valid(row), b.is_valid(row)) {
        (true, true) => equal.as_ref().is_some_and(|equal| equal.get(row) == Some(&true)),
        (a, b) => a == b,
    };
    let values = (0..count).map(value).collect();
    Vector { values: Values::Boolean(Lane::Made(values)), valid: None, errors: all_errors(a.errors, b.errors) }
}

/// Whether values are among constants of their type.
pub(crate) fn is_in<'c>(vector: Vector<'c>, list: &[Constant], count: usize) -> Vector<'c> {
    let values: Vec<bool> = match &vector.values {
        Values::Whole(values) => {
            let list: Vec<i64> =
                list.iter().filter_map(|item| if let Constant::Whole(n) = item { Some(*n) } else { None }).collect();
            values.map(count, |value| list.contains(&value))
        }
        Values::Float(values) => {
            let list: Vec<f64> =
                list.iter().filter_map(|item| if let Constant::Float(n) = item { Some(*n) } else { None }).collect();
            values.map(count, |value| list.contains(&value))
        }
        Values::Boolean(values) => values.map(count, |value| list.contains(&Constant::Boolean(value))),
        Values::Text(values) => {
            let among = |text: &str| list.iter().any(|item| matches!(item, Constant::Text(known) if known == text));
            (0..count).map(|row| among(values.get(row))).collect()
        }
        Values::Null | Values::Opaque => return booleans(vec![None; count], vector.errors),
    };
    Vector { values: Values::Boolean(Lane::Made(values)), ..vector }
}
