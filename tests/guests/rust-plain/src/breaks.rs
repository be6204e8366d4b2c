//! The modes that break a rule which no check of a reply can see: the results depend on what they must not depend on.

use std::cell::Cell;

use crate::{
    bytes::{emit, extension, fixed, of_i64s},
    exports::wasmill::operator::guest::{Reply, Rows},
    wasmill::operator::data::Outcome,
};

thread_local! {
    /// Lasts as long as the instance, which is what is wrong with it.
    static SEEN: Cell<i64> = const { Cell::new(0) };
}

/// Answers one of these modes; none: it is another.
pub(crate) fn process(mode: &str, rows: &Rows) -> Option<Reply> {
    let count = i64::from(rows.count);
    match mode {
        // Rule 4: numbers the rows, and keeps the number in the guest's memory.
        "breaks:memory" => {
            let first = SEEN.replace(SEEN.get() + count);
            let numbers: Vec<i64> = (first..first + count).collect();
            Some(emit(extension(None, vec![fixed(of_i64s(numbers.into_iter()))])))
        }
        // Rule 11: makes one row of each call.
        "breaks:cut" => {
            let columns = vec![fixed(of_i64s([count].into_iter()))];
            Some(emit(Outcome::Replace(Rows { count: 1, event_times: None, columns })))
        }
        _ => None,
    }
}
