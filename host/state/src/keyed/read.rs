//! Reading: cells of many records as columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, builder::BinaryViewBuilder};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use wasmill_model::DataType;

use crate::{arena::Position, keyed::KeyedState, layout::Slot};

impl KeyedState {
    /// A column for each cell, one value for each record, null where there is no record or no value in it.
    pub(super) fn read(&self, positions: &[Position]) -> Vec<ArrayRef> {
        let cells = self.layout.cells.iter().enumerate();
        let read = |(cell, &(data_type, slot)): (usize, &(DataType, Slot))| match self.layout.lives[cell] {
            None => self.read_cell(positions, cell, data_type, slot),
            // What is gone is not to be seen below a null either.
            Some(_) => {
                let is_alive = |record| self.layout.is_alive(record, cell, self.now);
                let alive = |p: &Position| if self.record(*p).is_some_and(is_alive) { *p } else { Position::NOWHERE };
                let positions: Vec<Position> = positions.iter().map(alive).collect();
                self.read_cell(&positions, cell, data_type, slot)
            }
        };
        cells.map(read).collect()
    }

    fn read_cell(&self, positions: &[Position], cell: usize, data_type: DataType, slot: Slot) -> ArrayRef {
        match (slot, data_type) {
            (Slot::Word(at), DataType::Float64) => {
                let values: Vec<f64> = self.read_words(positions, at, f64::from_le_bytes);
                Arc::new(Float64Array::new(values.into(), self.read_nulls(positions, cell)))
            }
            (Slot::Word(at), _) => {
                let values: Vec<i64> = self.read_words(positions, at, i64::from_le_bytes);
                Arc::new(Int64Array::new(values.into(), self.read_nulls(positions, cell)))
            }
            (Slot::Boolean(at), _) => {
                let value = |i: usize| self.record(positions[i]).is_some_and(|record| record[at] != 0);
                let values = BooleanBuffer::collect_bool(positions.len(), value);
                Arc::new(BooleanArray::new(values, self.read_nulls(positions, cell)))
            }
            (Slot::Text(text), DataType::Utf8) => {
                let values = self.read_texts(positions, cell, text).to_string_view();
                Arc::new(values.expect("a text cell is given text only"))
            }
            (Slot::Text(text), _) => Arc::new(self.read_texts(positions, cell, text)),
        }
    }

    #[inline]
    fn record(&self, position: Position) -> Option<&[u8]> {
        (position != Position::NOWHERE).then(|| self.arena.at(position))
    }

    /// The slot of an absent cell is zero.
    #[inline]
    fn read_words<T: Default>(&self, positions: &[Position], at: usize, value: impl Fn([u8; 8]) -> T) -> Vec<T> {
        let word = |record: &[u8]| value(*record[at..].first_chunk().expect("a record has all its slots"));
        positions.iter().map(|&p| self.record(p).map(word).unwrap_or_default()).collect()
    }

    fn read_nulls(&self, positions: &[Position], cell: usize) -> Option<NullBuffer> {
        let now = self.now;
        let present =
            |i: usize| self.record(positions[i]).is_some_and(|record| self.layout.is_alive(record, cell, now));
        let nulls = NullBuffer::new(BooleanBuffer::collect_bool(positions.len(), present));
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn read_texts(&self, positions: &[Position], cell: usize, text: usize) -> BinaryViewArray {
        let mut values = BinaryViewBuilder::with_capacity(positions.len());
        for &position in positions {
            match self.record(position) {
                Some(record) if self.layout.is_alive(record, cell, self.now) => {
                    values.append_value(self.layout.text(record, self.arena.header(position), text));
                }
                _ => values.append_null(),
            }
        }
        values.finish()
    }
}
