//! Dead letters: rows that an operator could not handle or a source could not read, in the columns of
//! `wasmill_model::dead_letters`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringViewArray};
use wasmill_model::{Batch, Timestamp};

/// Who writes a letter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Writer<'a> {
    Operator { name: &'a str, plugin: &'a str },
    Source { name: &'a str },
}

/// A row, and why it is here.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) call: &'static str,
    pub(crate) input: Option<i64>,
    pub(crate) position: Option<i64>,
    pub(crate) event_time: Option<Timestamp>,
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
    pub(crate) backtrace: Option<String>,
    pub(crate) log: Option<String>,
    pub(crate) row: String,
    /// Where a source found it.
    pub(crate) place: Option<Place>,
}

/// A place in a file.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: i64,
    pub(crate) column: Option<String>,
}

/// Letters of one subtask as rows.
pub(crate) fn batch(writer: Writer<'_>, subtask: u32, now_ms: Timestamp, letters: &[Letter]) -> Batch {
    let rows = letters.len();
    let same = |text: Option<&str>| -> ArrayRef { Arc::new(StringViewArray::from_iter(vec![text; rows])) };
    let text =
        |of: fn(&Letter) -> Option<&str>| -> ArrayRef { Arc::new(letters.iter().map(of).collect::<StringViewArray>()) };
    let number =
        |of: fn(&Letter) -> Option<i64>| -> ArrayRef { Arc::new(letters.iter().map(of).collect::<Int64Array>()) };
    let (operator, plugin, source) = match writer {
        Writer::Operator { name, plugin } => (Some(name), Some(plugin), None),
        Writer::Source { name } => (None, None, Some(name)),
    };
    Batch::new(
        rows,
        vec![
            Arc::new(Int64Array::from(vec![now_ms; rows])),
            same(operator),
            Arc::new(Int64Array::from(vec![i64::from(subtask); rows])),
            text(|letter| Some(letter.call)),
            number(|letter| letter.input),
            number(|letter| letter.position),
            number(|letter| letter.event_time),
            text(|letter| Some(letter.kind)),
            text(|letter| Some(&letter.reason)),
            text(|letter| letter.backtrace.as_deref()),
            text(|letter| letter.log.as_deref()),
            same(plugin),
            text(|letter| Some(&letter.row)),
            same(source),
            text(|letter| letter.place.as_ref().map(|place| place.file.as_str())),
            number(|letter| letter.place.as_ref().map(|place| place.line)),
            text(|letter| letter.place.as_ref()?.column.as_deref()),
        ],
    )
}
