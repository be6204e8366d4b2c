//! The rows that leave by a port.

use std::collections::BTreeSet;

use super::{
    aligned_i64s, numbers,
    table::{self, Datum, Record, checked},
};
use crate::{
    columns::Bits,
    data::{Extension, Field, Outcome, Rows},
};

/// The rows that go on as they are.
pub(super) fn passing(outcome: Outcome, records: &[Record]) -> Vec<Record> {
    let taken: Vec<usize> = match outcome {
        Outcome::Unchanged => (0..records.len()).collect(),
        Outcome::Keep(bits) => {
            assert_eq!(bits.len(), records.len().div_ceil(8), "bad reply: the bitmap's length");
            (0..records.len()).filter(|&row| Bits(&bits).get(row)).collect()
        }
        Outcome::Take(rows) => numbers(&rows),
        other => panic!("bad reply: {other:?} on a port whose shape is pass"),
    };
    taken.into_iter().map(|row| records[row].clone()).collect()
}

/// The rows that go on with new columns. `fields`: all columns of the port; `columns`: the new ones.
pub(super) fn extending(extension: Extension, columns: &[Field], fields: &[Field], records: &[Record]) -> Vec<Record> {
    let taken = extension.take.map_or_else(|| (0..records.len()).collect(), |rows| numbers(&rows));
    let mut leaving: Vec<Record> = taken.iter().map(|&row| records[row].clone()).collect();
    leaving.iter_mut().for_each(|record| record.values.resize(fields.len(), Datum::Null));
    let given: BTreeSet<u32> = extension.columns.iter().map(|new| new.index).collect();
    assert!(given.into_iter().eq(0..columns.len() as u32), "bad reply: each declared column is given once");
    for new in extension.columns {
        let field = &columns[new.index as usize];
        let place = fields.iter().position(|known| known.name == field.name).expect("it is in the port's schema");
        let values = checked(new.column, taken.len(), field);
        leaving.iter_mut().zip(values).for_each(|(record, value)| record.values[place] = value);
    }
    leaving
}

/// Rows of the operator's own.
pub(super) fn replacing(rows: Rows, schema: &[Field]) -> Vec<Record> {
    let count = rows.count as usize;
    assert_eq!(rows.columns.len(), schema.len(), "bad reply: number of columns");
    let columns = rows.columns.into_iter().zip(schema).map(|(column, field)| checked(column, count, field)).collect();
    let mut leaving = table::transpose(columns, count);
    let times = rows.event_times.map(|times| aligned_i64s(&times)).unwrap_or_default();
    leaving.iter_mut().zip(times).for_each(|(record, time)| record.event_time = Some(time));
    leaving
}
