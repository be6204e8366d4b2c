//! Three-valued logic, and choices between values.

use wasmill_sdk::prelude::*;

use crate::{
    node::Comparison,
    vector::{Errors, Lane, Strings, Texts, Values, Vector, all_errors, booleans},
};

/// False if either is, else null if either is.
pub(crate) fn and<'c>(a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    logic(a, b, count, false)
}

/// True if either is, else null if either is.
pub(crate) fn or<'c>(a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    logic(a, b, count, true)
}

/// `winner` wins over anything, also over an error of the other side.
fn logic<'c>(a: Vector<'c>, b: Vector<'c>, count: usize, winner: bool) -> Vector<'c> {
    if let (Values::Boolean(first), None, Values::Boolean(second), None) = (&a.values, &a.valid, &b.values, &b.valid)
        && a.errors.is_empty()
        && b.errors.is_empty()
    {
        let values = crate::vector::zip(first, second, count, |a, b| if winner { a | b } else { a & b });
        return Vector::of(Values::Boolean(Lane::Made(values)));
    }
    let has_error = |errors: &Errors, row: usize| errors.binary_search_by_key(&(row as u32), |(row, _)| *row).is_ok();
    let wins = |side: &Vector<'_>, row: usize| side.boolean(row) == Some(winner) && !has_error(&side.errors, row);
    let value = |row: usize| match (a.boolean(row), b.boolean(row)) {
        _ if wins(&a, row) || wins(&b, row) => Some(winner),
        (None, _) | (_, None) => None,
        _ => Some(!winner),
    };
    let values = (0..count).map(value).collect();
    let counts = |other: &Vector<'_>, errors: &Errors| -> Errors {
        errors.iter().filter(|(row, _)| !wins(other, *row as usize)).copied().collect()
    };
    let errors = all_errors(counts(&b, &a.errors), counts(&a, &b.errors));
    booleans(values, errors)
}

pub(crate) fn not(vector: Vector<'_>, count: usize) -> Vector<'_> {
    let values = match &vector.values {
        Values::Boolean(values) => Values::Boolean(Lane::Made(values.map(count, |value| !value))),
        _ => Values::Null,
    };
    Vector { values, ..vector }
}

pub(crate) fn is_null(vector: Vector<'_>, count: usize) -> Vector<'_> {
    let values = (0..count).map(|row| !vector.is_valid(row)).collect();
    Vector { values: Values::Boolean(Lane::Made(values)), valid: None, errors: vector.errors }
}

/// Whether booleans are this, and not null.
pub(crate) fn is(vector: Vector<'_>, wanted: bool, count: usize) -> Vector<'_> {
    let values = (0..count).map(|row| vector.boolean(row) == Some(wanted)).collect();
    Vector { values: Values::Boolean(Lane::Made(values)), valid: None, errors: vector.errors }
}

/// The value of the first condition that is true.
pub(crate) fn case<'c>(cases: Vec<(Vector<'c>, Vector<'c>)>, otherwise: Vector<'c>, count: usize) -> Vector<'c> {
    let last = cases.len();
    let mut choice = vec![last; count];
    let mut errors = Errors::new();
    for (place, (condition, _)) in cases.iter().enumerate() {
        // What is chosen already, or has failed, is no more asked about.
        let is_open = |choice: &[usize], row: u32| choice.get(row as usize) == Some(&last);
        let failed: Errors = condition.errors.iter().filter(|(row, _)| is_open(&choice, *row)).copied().collect();
        for (row, chosen) in choice.iter_mut().enumerate().filter(|(_, chosen)| **chosen == last) {
            if condition.boolean(row) == Some(true) {
                *chosen = place;
            }
        }
        // A row whose condition failed is chosen for no value: its error is the result.
        failed.iter().for_each(|(row, _)| choice[*row as usize] = FAILED);
        errors = all_errors(errors, failed);
    }
    let values: Vec<Vector<'c>> = cases.into_iter().map(|(_, value)| value).chain([otherwise]).collect();
    gather(&choice, values, errors)
}

/// The choice of a row that has failed.
const FAILED: usize = usize::MAX;

/// The first value that is not null.
pub(crate) fn coalesce(vectors: Vec<Vector<'_>>, count: usize) -> Vector<'_> {
    let has_error = |vector: &Vector<'_>, row: usize| vector.errors.iter().any(|(failed, _)| *failed as usize == row);
    let first = |row: usize| {
        let found = vectors
            .iter()
            .position(|vector| vector.is_valid(row) || (!vector.errors.is_empty() && has_error(vector, row)));
        found.unwrap_or(0)
    };
    let choice: Vec<usize> = (0..count).map(first).collect();
    gather(&choice, vectors, Errors::new())
}

/// The value that compares so to the other, or the one that is not null.
pub(crate) fn extreme<'c>(op: Comparison, a: Vector<'c>, b: Vector<'c>, count: usize) -> Vector<'c> {
    let first_wins = |row: usize| match (&a.values, &b.values) {
        (Values::Whole(a), Values::Whole(b)) => op.holds(Some(a.get(row).cmp(&b.get(row)))),
        // NaN, which has no order, wins: nothing is said about a number that is none.
        (Values::Float(a), Values::Float(b)) => {
            !b.get(row).is_nan() && (a.get(row).is_nan() || op.holds(a.get(row).partial_cmp(&b.get(row))))
        }
        (Values::Boolean(a), Values::Boolean(b)) => op.holds(Some(a.get(row).cmp(&b.get(row)))),
        (Values::Text(a), Values::Text(b)) => op.holds(Some(a.get(row).cmp(b.get(row)))),
        _ => true,
    };
    let choose = |row: usize| match (a.is_valid(row), b.is_valid(row)) {
        (true, true) => usize::from(!first_wins(row)),
        (first, _) => usize::from(!first),
    };
    let choice: Vec<usize> = (0..count).map(choose).collect();
    let errors = all_errors(a.errors.clone(), b.errors.clone());
    gather(&choice, vec![a, b], errors)
}

/// The value of each row out of the vector of this number.
fn gather<'c>(choice: &[usize], vectors: Vec<Vector<'c>>, errors: Errors) -> Vector<'c> {
    let chosen = |row: usize| choice.get(row).and_then(|&place| vectors.get(place));
    let valid: Vec<bool> =
        (0..choice.len()).map(|row| chosen(row).is_some_and(|vector| vector.is_valid(row))).collect();
    let mut all = errors;
    for (place, vector) in vectors.iter().enumerate() {
        let counts = |row: u32| choice.get(row as usize) == Some(&place);
        all = all_errors(all, vector.errors.iter().filter(|(row, _)| counts(*row)).copied().collect());
    }
    let values = match vectors.iter().map(|vector| &vector.values).find(|values| !matches!(values, Values::Null)) {
        None | Some(Values::Null) => Values::Null,
        Some(Values::Opaque) => Values::Opaque,
        Some(Values::Whole(_)) => Values::Whole(Lane::Made(picked(choice.len(), chosen, |values, row| match values {
            Values::Whole(values) => values.get(row),
            _ => 0,
        }))),
        Some(Values::Float(_)) => Values::Float(Lane::Made(picked(choice.len(), chosen, |values, row| match values {
            Values::Float(values) => values.get(row),
            _ => 0.0,
        }))),
        Some(Values::Boolean(_)) => Values::Boolean(Lane::Made(picked(
            choice.len(),
            chosen,
            |values, row| matches!(values, Values::Boolean(values) if values.get(row)),
        ))),
        Some(Values::Text(_)) => {
            let mut texts = Texts::with_capacity(choice.len());
            for row in 0..choice.len() {
                match chosen(row).map(|vector| &vector.values) {
                    Some(Values::Text(values)) => texts.push(values.get(row)),
                    _ => texts.push(""),
                }
            }
            Values::Text(Strings::Made(texts))
        }
    };
    let valid = valid.contains(&false).then_some(valid);
    Vector { values, valid, errors: all }
}

fn picked<'v, 'c: 'v, T: Default>(
    count: usize,
    chosen: impl Fn(usize) -> Option<&'v Vector<'c>>,
    get: impl Fn(&Values<'c>, usize) -> T,
) -> Vec<T> {
    (0..count).map(|row| chosen(row).map(|vector| get(&vector.values, row)).unwrap_or_default()).collect()
}
