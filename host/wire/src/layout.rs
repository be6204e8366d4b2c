//! Which columns an edge's batches have. Both sides know it from the plan, so that no batch needs to say it.

use wasmill_model::schema::{DataType, Field};
use xxhash_rust::xxh3::xxh3_64;

/// A column that is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub data_type: DataType,
    pub nullable: bool,
}

/// What the batches of an edge have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// One for each column of the edge's schema; `None`: absent, since nobody reads it.
    pub columns: Vec<Option<Column>>,
    pub event_times: bool,
    pub key_hashes: bool,
}

impl Layout {
    /// Of an edge with these fields, of which these are wanted.
    pub fn new(fields: &[Field], wanted: &[bool], event_times: bool, key_hashes: bool) -> Self {
        let column = |(field, wanted): (&Field, &bool)| {
            wanted.then_some(Column { data_type: field.data_type, nullable: field.nullable })
        };
        Self { columns: fields.iter().zip(wanted).map(column).collect(), event_times, key_hashes }
    }

    /// A number that tells layouts apart.
    pub fn fingerprint(&self) -> u64 {
        let mut bytes = vec![u8::from(self.event_times), u8::from(self.key_hashes)];
        for column in &self.columns {
            match column {
                None => bytes.push(0),
                Some(column) => {
                    bytes.push(1 + u8::from(column.nullable));
                    bytes.extend_from_slice(column.data_type.name().as_bytes());
                    bytes.push(0);
                }
            }
        }
        xxh3_64(&bytes)
    }

    /// The columns that are present, with their places.
    pub(crate) fn present(&self) -> impl Iterator<Item = (usize, Column)> {
        self.columns.iter().enumerate().filter_map(|(place, column)| column.map(|column| (place, column)))
    }
}
