//! Answers that break one rule of the contract each.

use crate::{
    bytes::{bitmap, extension, fixed, of_i64s, of_u32s},
    exports::wasmill::operator::guest::{Column, Reply, Rows, TimeDomain},
    wasmill::operator::data::{
        CellUpdate, Emission, EntryAction, EntryChanges, Extension, MarkedValues, NewColumn, Outcome, TimerAction,
        TimerChanges,
    },
};

fn column(validity: Option<Vec<u8>>, offsets: Option<Vec<u32>>, values: &[u8]) -> Column {
    Column { validity, offsets: offsets.map(|o| of_u32s(o.into_iter())), values: values.to_vec() }
}

fn on(port: u32, rows: Outcome) -> Reply {
    Reply { emissions: vec![Emission { port, rows }], cells: vec![], timers: vec![], entries: vec![] }
}

fn cells(cells: Vec<CellUpdate>) -> Reply {
    Reply { emissions: vec![], cells, timers: vec![], entries: vec![] }
}

fn rows(count: u32, event_times: Option<Vec<u8>>, columns: Vec<Column>) -> Outcome {
    Outcome::Replace(Rows { count, event_times, columns })
}

fn timers(groups: Vec<u8>, times: Vec<u8>) -> Reply {
    let change = TimerChanges { domain: TimeDomain::EventTime, action: TimerAction::Set, groups, times };
    Reply { emissions: vec![], cells: vec![], timers: vec![change], entries: vec![] }
}

/// For calls of 3 rows and 2 groups.
pub(crate) fn process(mode: &str, call: &Rows) -> Option<Reply> {
    let what = mode.strip_prefix("bad:")?;
    let others = || replaced(what).or_else(|| kept(what)).or_else(|| entries(what));
    shapes(what, call).or_else(|| columns(what)).or_else(others)
}

/// Entries of the map or the list, of two groups.
fn entries(what: &str) -> Option<Reply> {
    const MAP: u32 = 2;
    const LIST: u32 = 3;
    let groups = |groups: &[u32]| of_u32s(groups.iter().copied());
    let put = |cell| EntryChanges {
        cell,
        action: EntryAction::Put,
        groups: groups(&[0, 1]),
        sub_keys: Some(numbers(2)),
        values: Some(numbers(2)),
    };
    let change = match what {
        "entry-cell" => put(9),
        "entry-value" => put(0),
        "entry-put-list" => put(LIST),
        "entry-append-map" => EntryChanges { action: EntryAction::Append, sub_keys: None, ..put(MAP) },
        "entry-group" => EntryChanges { groups: groups(&[0, 2]), ..put(MAP) },
        "entry-no-sub-keys" => EntryChanges { sub_keys: None, ..put(MAP) },
        "entry-no-values" => EntryChanges { values: None, ..put(MAP) },
        "entry-sub-keys-length" => EntryChanges { sub_keys: Some(numbers(1)), ..put(MAP) },
        "entry-null" => EntryChanges { values: Some(column(Some(vec![0b01]), None, &[0; 16])), ..put(MAP) },
        "entry-clear-values" => EntryChanges { action: EntryAction::Clear, sub_keys: None, ..put(MAP) },
        _ => return None,
    };
    Some(Reply { emissions: vec![], cells: vec![], timers: vec![], entries: vec![change] })
}

fn numbers(n: i32) -> Column {
    fixed(of_i64s((0..n).map(i64::from)))
}

fn text(offsets: Vec<u32>, values: &[u8]) -> Column {
    column(None, Some(offsets), values)
}

fn good() -> Column {
    text(vec![0, 1, 2, 3], b"abc")
}

fn extend(columns: Vec<Column>) -> Reply {
    on(1, extension(None, columns))
}

/// Outcomes that their port does not allow, or that name rows and columns which are not there.
fn shapes(what: &str, call: &Rows) -> Option<Reply> {
    Some(match what {
        "port" => on(9, Outcome::DropAll),
        "port-twice" => {
            let one = || Emission { port: 0, rows: Outcome::DropAll };
            Reply { emissions: vec![one(), one()], cells: vec![], timers: vec![], entries: vec![] }
        }
        "other-input" => on(5, Outcome::Unchanged),
        "pass-extend" => on(0, extension(None, vec![])),
        "pass-replace" => on(0, rows(1, None, vec![])),
        "extend-unchanged" => on(1, Outcome::Unchanged),
        "key-keep" => on(2, Outcome::Keep(vec![1])),
        "new-take" => on(3, Outcome::Take(vec![])),
        "keep-length" => on(0, Outcome::Keep(vec![1, 0])),
        "keep-spare" => on(0, Outcome::Keep(vec![0b1001])),
        "take-length" => on(0, Outcome::Take(vec![0; 5])),
        "take-row" => on(0, Outcome::Take(of_u32s([0, call.count].into_iter()))),
        "extend-take-row" => on(1, extension(Some(of_u32s([7].into_iter())), vec![numbers(1), text(vec![0, 0], b"")])),
        "extend-missing" => extend(vec![numbers(3)]),
        "extend-twice" => on(
            1,
            Outcome::Extend(Extension {
                take: None,
                columns: vec![NewColumn { index: 0, column: numbers(3) }, NewColumn { index: 0, column: numbers(3) }],
            }),
        ),
        "extend-index" => on(
            1,
            Outcome::Extend(Extension {
                take: None,
                columns: vec![NewColumn { index: 0, column: numbers(3) }, NewColumn { index: 2, column: good() }],
            }),
        ),
        _ => return None,
    })
}

/// Columns that are not what they should be. The second of these texts is not UTF-8, or begins inside a character.
fn columns(what: &str) -> Option<Reply> {
    let new = |b: Column, x: Column| on(3, rows(3, None, vec![b, x]));
    Some(match what {
        "values-length" => extend(vec![numbers(2), good()]),
        "values-odd" => extend(vec![fixed(vec![0; 23]), good()]),
        "offsets-none" => extend(vec![numbers(3), fixed(b"abc".to_vec())]),
        "offsets-given" => extend(vec![text(vec![0, 1, 2, 3], &[0; 24]), good()]),
        "offsets-length" => extend(vec![numbers(3), text(vec![0, 1, 2], b"abc")]),
        "offsets-start" => extend(vec![numbers(3), text(vec![1, 1, 2, 3], b"abc")]),
        "offsets-fall" => extend(vec![numbers(3), text(vec![0, 2, 1, 3], b"abc")]),
        "offsets-end" => extend(vec![numbers(3), text(vec![0, 1, 2, 4], b"abc")]),
        "offsets-short" => extend(vec![numbers(3), text(vec![0, 1, 2, 3], b"abcd")]),
        "utf8" => extend(vec![numbers(3), text(vec![0, 1, 2, 3], b"a\xffc")]),
        "utf8-split" => extend(vec![numbers(3), text(vec![0, 2, 3, 4], "aéb".as_bytes())]),
        "null" => extend(vec![column(Some(vec![0b011]), None, &[0; 24]), good()]),
        "validity-length" => new(column(Some(vec![1, 0]), None, &[0]), good()),
        "validity-spare" => new(column(Some(vec![0b1011]), None, &[0]), good()),
        "boolean-length" => new(fixed(vec![1, 0]), good()),
        "boolean-spare" => new(fixed(vec![0b1000]), good()),
        // Not wrong: bytes behind a null are nobody's business.
        "null-garbage" => new(column(Some(vec![0b101]), None, &[0b111]), good()),
        _ => return None,
    })
}

/// Rows of the operator's own with a column or event times too many or too few.
fn replaced(what: &str) -> Option<Reply> {
    let bits = || fixed(vec![0b101]);
    Some(match what {
        "replace-columns" => on(3, rows(3, None, vec![bits()])),
        "replace-times" => on(3, rows(3, Some(of_i64s((0..3).map(i64::from))), vec![bits(), good()])),
        "replace-no-times" => on(4, rows(3, None, vec![numbers(3)])),
        "replace-times-length" => on(4, rows(3, Some(of_i64s((0..2).map(i64::from))), vec![numbers(3)])),
        _ => return None,
    })
}

/// Cells and timers that do not fit the call.
fn kept(what: &str) -> Option<Reply> {
    Some(match what {
        "cells" => cells(vec![CellUpdate::Unchanged]),
        "cell-length" => cells(vec![CellUpdate::All(numbers(1)), CellUpdate::Unchanged]),
        "cell-type" => cells(vec![CellUpdate::All(good()), CellUpdate::Unchanged]),
        "cell-marks" => {
            let marked = MarkedValues { groups: vec![], values: numbers(0) };
            cells(vec![CellUpdate::Marked(marked), CellUpdate::Unchanged])
        }
        "cell-marked-length" => {
            let marked = MarkedValues { groups: bitmap([true, true].into_iter()), values: numbers(1) };
            cells(vec![CellUpdate::Marked(marked), CellUpdate::Unchanged])
        }
        "timer-group" => timers(of_u32s([2].into_iter()), of_i64s((0..1).map(i64::from))),
        "timer-times" => timers(of_u32s([0, 1].into_iter()), of_i64s((0..1).map(i64::from))),
        "timer-odd" => timers(vec![0; 4], vec![0; 7]),
        _ => return None,
    })
}
