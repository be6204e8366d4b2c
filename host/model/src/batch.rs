//! Batches: what flows along an edge.

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_select::{concat::concat, filter::FilterBuilder, take::take};

/// Rows in a batch that a source should aim for and a gate joins small batches up to.
/// Cost a row is flat between 1,024 and 4,096.
pub const ROWS_TARGET: usize = 4_096;

/// Rows, column by column, with the event time of each.
///
/// Columns stand at the places their edge's schema gives them. A column is absent (`None`) if nobody downstream
/// reads it: the planner decides that, and whoever makes the batch leaves the column out.
/// Cloning copies no values.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Number of rows. Every array has this length.
    pub rows: usize,
    /// Event time of each row, ms since the epoch; `None` if the stream has none.
    pub event_times: Option<ScalarBuffer<i64>>,
    /// One for each column of the schema, in the physical form that `schema` sets out.
    pub columns: Vec<Option<ArrayRef>>,
    /// xxh3-64 of each row's key, from the partitioner of the exchange the batch came by, for that edge's key.
    pub key_hashes: Option<ScalarBuffer<u64>>,
    /// When a source handed over its rows, or the earliest of them: µs since the epoch. `None` if they come of no rows, as those
    /// of timers.
    pub read_at_us: Option<i64>,
}

impl Batch {
    /// A batch of all columns of a schema, without event times.
    ///
    /// # Panics
    /// If a column has another length than `rows`.
    pub fn new(rows: usize, columns: Vec<ArrayRef>) -> Self {
        for column in &columns {
            assert_eq!(column.len(), rows, "column length differs from the batch's");
        }
        Self {
            rows,
            event_times: None,
            columns: columns.into_iter().map(Some).collect(),
            key_hashes: None,
            read_at_us: None,
        }
    }

    /// The column at this place.
    ///
    /// # Panics
    /// If it was dropped as unread: the planner keeps every column that somebody asks for.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.columns[index].as_ref().unwrap_or_else(|| panic!("column {index} was dropped as unread"))
    }

    /// These rows, in this order, repeats allowed. Row numbers must be below `rows`.
    pub fn take(&self, row_numbers: &UInt32Array) -> Self {
        debug_assert!(row_numbers.values().iter().all(|&r| (r as usize) < self.rows));
        let column = |array: &ArrayRef| take(array, row_numbers, None).expect("row numbers are in range");
        let numbers = row_numbers.values();
        Self {
            rows: row_numbers.len(),
            event_times: self.event_times.as_ref().map(|t| numbers.iter().map(|&r| t[r as usize]).collect()),
            columns: self.columns.iter().map(|c| c.as_ref().map(column)).collect(),
            key_hashes: self.key_hashes.as_ref().map(|h| numbers.iter().map(|&r| h[r as usize]).collect()),
            read_at_us: self.read_at_us,
        }
    }

    /// The rows whose bit is set. The mask must have the length of the batch.
    pub fn keep(&self, mask: &BooleanArray) -> Self {
        assert_eq!(mask.len(), self.rows, "mask length differs from the batch's");
        let predicate = FilterBuilder::new(mask).optimize().build();
        let column = |array: &ArrayRef| predicate.filter(array).expect("mask has the length of the batch");
        let set = mask.values();
        Self {
            rows: predicate.count(),
            event_times: self.event_times.as_ref().map(|t| set.set_indices().map(|r| t[r]).collect()),
            columns: self.columns.iter().map(|c| c.as_ref().map(column)).collect(),
            key_hashes: self.key_hashes.as_ref().map(|h| set.set_indices().map(|r| h[r]).collect()),
            read_at_us: self.read_at_us,
        }
    }

    /// Rows `offset .. offset + rows`, without copying.
    pub fn slice(&self, offset: usize, rows: usize) -> Self {
        Self {
            rows,
            event_times: self.event_times.as_ref().map(|t| t.slice(offset, rows)),
            columns: self.columns.iter().map(|c| c.as_ref().map(|a| a.slice(offset, rows))).collect(),
            key_hashes: self.key_hashes.as_ref().map(|h| h.slice(offset, rows)),
            read_at_us: self.read_at_us,
        }
    }

    /// Batches of one edge, joined in their order.
    ///
    /// # Panics
    /// If there is none, or if they do not have the same columns.
    pub fn concat(batches: &[Batch]) -> Self {
        let [first, rest @ ..] = batches else { panic!("nothing to join") };
        if rest.is_empty() {
            return first.clone();
        }
        let join = |place: usize| {
            let arrays: Vec<&dyn Array> = batches.iter().map(|b| b.column(place).as_ref()).collect();
            concat(&arrays).expect("batches of one edge have the same types")
        };
        let times = |b: &Batch| b.event_times.clone().expect("batches of one edge all have event times");
        let hashes = |b: &Batch| b.key_hashes.clone().expect("batches of one edge all have key hashes");
        Self {
            rows: batches.iter().map(|b| b.rows).sum(),
            event_times: first
                .event_times
                .as_ref()
                .map(|_| batches.iter().flat_map(|b| times(b).iter().copied().collect::<Vec<_>>()).collect()),
            columns: (0..first.columns.len()).map(|i| first.columns[i].as_ref().map(|_| join(i))).collect(),
            key_hashes: first
                .key_hashes
                .as_ref()
                .map(|_| batches.iter().flat_map(|b| hashes(b).iter().copied().collect::<Vec<_>>()).collect()),
            read_at_us: batches.iter().filter_map(|b| b.read_at_us).min(),
        }
    }

    /// Bytes of memory it keeps alive, roughly: shared buffers count fully.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().flatten().map(|c| c.get_array_memory_size()).sum();
        let per_row = 8 * (usize::from(self.event_times.is_some()) + usize::from(self.key_hashes.is_some()));
        columns + self.rows * per_row
    }
}
