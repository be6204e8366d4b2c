//! From what an operator answered to the rows that leave by a port.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use wasmill_model::{
    Batch, Timestamp,
    descriptor::{Descriptor, Input, Shape},
    graph::Vertex,
    reply::Outcome,
};

/// How to build the rows of one port.
#[derive(Debug)]
pub(crate) struct PortOutput {
    /// For each column of the port's schema: whether anybody reads it.
    wanted: Vec<bool>,
    event_times: bool,
    base: Base,
    /// Places of the columns the operator gives, in the order it declares them.
    given: Vec<usize>,
}

/// Which columns of the call's rows go on, and where.
#[derive(Debug)]
enum Base {
    /// All of them, at their own places.
    Whole,
    /// The key columns, first. For each input: their places in it; empty if the input is not keyed.
    Key { places_of_input: Vec<Vec<usize>> },
    /// None: the rows are the operator's own.
    None,
}

/// The rows a call was about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallRows<'a> {
    /// Rows of this input.
    Input { input: usize, batch: &'a Batch },
    /// Due timers: the key columns. Rows of processing-time timers get the watermark as their event time.
    Timers { due: &'a Batch, event_time: Option<Timestamp> },
    /// A notice is about no rows.
    Notice,
}

impl PortOutput {
    pub(crate) fn new(
        descriptor: &Arc<Descriptor>,
        inputs: &[Input],
        vertex: &Vertex,
        port: usize,
        wanted: Vec<bool>,
    ) -> Self {
        let schema = &vertex.ports[port].schema;
        let place = |name: &str| schema.index_of(name).expect("a port's schema has the columns it declares");
        let (base, given) = match &descriptor.ports[port].shape {
            Shape::Pass { .. } => (Base::Whole, Vec::new()),
            Shape::Extend { columns, .. } => (Base::Whole, columns.iter().map(|c| place(&c.name)).collect()),
            Shape::Key { columns } => {
                let places_of_input = descriptor.inputs.iter().zip(inputs).map(|(reads, input)| {
                    let names = input.key.iter().flatten().filter(|_| reads.keyed);
                    names.filter_map(|name| input.schema.index_of(name)).collect()
                });
                let places_of_input = places_of_input.collect();
                (Base::Key { places_of_input }, columns.iter().map(|c| place(&c.name)).collect())
            }
            Shape::New { .. } => (Base::None, Vec::new()),
        };
        Self { wanted, event_times: vertex.ports[port].event_times, base, given }
    }

    /// The rows that go on; `None` if there are none.
    pub(crate) fn rows(&self, call: CallRows<'_>, outcome: Outcome) -> Option<Batch> {
        let batch = match outcome {
            Outcome::DropAll => return None,
            Outcome::Unchanged => self.base_rows(call),
            Outcome::Keep(mask) => self.base_rows(call).keep(&mask),
            Outcome::Take(rows) => self.base_rows(call).take(&rows),
            Outcome::Extend { take, columns } => {
                let base = self.base_rows(call);
                let base = take.map_or_else(|| base.clone(), |rows| base.take(&rows));
                self.with_given(base, columns)
            }
            Outcome::Replace(mut batch) => {
                for (column, wanted) in batch.columns.iter_mut().zip(&self.wanted) {
                    *column = column.take().filter(|_| *wanted);
                }
                if let CallRows::Input { batch: rows, .. } = call {
                    batch.read_at_us = rows.read_at_us;
                }
                batch
            }
        };
        (batch.rows > 0).then_some(batch)
    }

    fn with_given(&self, mut batch: Batch, columns: Vec<ArrayRef>) -> Batch {
        for (place, column) in self.given.iter().zip(columns) {
            if self.wanted[*place] {
                batch.columns[*place] = Some(column);
            }
        }
        batch
    }

    /// The rows of the call with the columns that go on as they are, at their places, the rest absent.
    fn base_rows(&self, call: CallRows<'_>) -> Batch {
        let (batch, key_places) = match (call, &self.base) {
            (CallRows::Input { input, batch }, Base::Key { places_of_input }) => {
                (batch, Some(places_of_input[input].clone()))
            }
            (CallRows::Input { batch, .. }, _) => (batch, None),
            (CallRows::Timers { due, .. }, _) => (due, Some((0..due.columns.len()).collect())),
            (CallRows::Notice, _) => return Batch::new(0, Vec::new()),
        };
        let mut columns = vec![None; self.wanted.len()];
        match key_places {
            Some(places) => {
                for (to, from) in places.into_iter().enumerate().filter(|(to, _)| self.wanted[*to]) {
                    columns[to].clone_from(&batch.columns[from]);
                }
            }
            None => {
                for (to, column) in batch.columns.iter().enumerate() {
                    if self.wanted[to] && !self.given.contains(&to) {
                        columns[to].clone_from(column);
                    }
                }
            }
        }
        Batch {
            rows: batch.rows,
            event_times: self.times(call, batch),
            columns,
            key_hashes: None,
            read_at_us: batch.read_at_us,
        }
    }

    fn times(&self, call: CallRows<'_>, batch: &Batch) -> Option<ScalarBuffer<i64>> {
        match call {
            _ if !self.event_times => None,
            CallRows::Timers { event_time: Some(time), due } => Some(vec![time; due.rows].into()),
            _ => batch.event_times.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
