//! The sending side of an edge: which rows go to which subtask.

use arrow_array::{ArrayRef, UInt32Array};
use wasmill_model::{
    Batch,
    graph::Exchange,
    keys::{self, KeyEncoder, KeyGroups},
    schema::Field,
};

use crate::{
    activity,
    error::Error,
    exchange::{Element, Sender},
};

/// Sends the rows of one edge from one subtask to all subtasks that read it.
#[derive(Debug)]
pub(crate) struct Partitioner {
    kind: Kind,
    senders: Vec<Sender>,
    to: To,
    /// The sending subtask.
    writer: u32,
}

/// Where an edge leads.
#[derive(Debug)]
pub(crate) struct To {
    /// The vertex that reads, for messages.
    pub(crate) vertex: String,
    /// The edge's place in the graph.
    pub(crate) edge: u32,
}

#[derive(Debug)]
enum Kind {
    Forward,
    Hash(Hash),
    Rebalance { next: usize },
    Broadcast,
}

#[derive(Debug)]
struct Hash {
    columns: Vec<usize>,
    encoder: KeyEncoder,
    key_groups: KeyGroups,
    /// Row numbers of each subtask, kept for the next batch.
    rows: Vec<Vec<u32>>,
}

impl Partitioner {
    /// `writer`: the sending subtask. `fields`: the columns of the edge. `senders`: one a reading subtask; for a forward
    /// exchange just the one.
    pub(crate) fn new(
        writer: u32,
        exchange: &Exchange,
        fields: &[Field],
        key_groups: KeyGroups,
        senders: Vec<Sender>,
        to: To,
    ) -> Result<Self, keys::Error> {
        let kind = match exchange {
            Exchange::Forward => Kind::Forward,
            // Senders begin at different readers, so that many short ones do not all send to the first.
            Exchange::Rebalance => Kind::Rebalance { next: writer as usize % senders.len().max(1) },
            Exchange::Broadcast => Kind::Broadcast,
            Exchange::Hash { key } => {
                let key_fields: Vec<Field> = key.iter().map(|&i| fields[i].clone()).collect();
                let encoder = KeyEncoder::new(&key_fields)?;
                let rows = senders.iter().map(|_| Vec::new()).collect();
                Kind::Hash(Hash { columns: key.clone(), encoder, key_groups, rows })
            }
        };
        Ok(Self { kind, senders, to, writer })
    }

    /// Sends the rows of a batch; waits for credit.
    pub(crate) fn send(&mut self, batch: &Batch) -> Result<(), Error> {
        let edge = self.to.edge;
        match &mut self.kind {
            Kind::Forward => {
                activity::towards(edge, self.writer);
                self.senders[0].send(Element::Batch(batch.clone()))?;
            }
            Kind::Rebalance { next } => {
                let to = *next;
                *next = (to + 1) % self.senders.len();
                activity::towards(edge, to as u32);
                self.senders[to].send(Element::Batch(batch.clone()))?;
            }
            Kind::Broadcast => {
                for (reader, sender) in (0..).zip(&self.senders) {
                    activity::towards(edge, reader);
                    sender.send(Element::Batch(batch.clone()))?;
                }
            }
            Kind::Hash(hash) => {
                hash.send(batch, edge, &self.senders).map_err(|e| match e {
                    SendError::Keys(source) => Error::Keys { vertex: self.to.vertex.clone(), source },
                    SendError::Stopped(stopped) => stopped.into(),
                })?;
            }
        }
        Ok(())
    }

    /// Sends a watermark, an idleness, a barrier or the end to everybody who reads.
    pub(crate) fn send_control(&self, element: &Element) -> Result<(), Error> {
        for sender in &self.senders {
            sender.send(element.clone())?;
        }
        Ok(())
    }
}

enum SendError {
    Keys(keys::Error),
    Stopped(crate::exchange::Stopped),
}

impl Hash {
    fn send(&mut self, batch: &Batch, edge: u32, senders: &[Sender]) -> Result<(), SendError> {
        let columns: Vec<&ArrayRef> = self.columns.iter().map(|&i| batch.column(i)).collect();
        self.encoder.encode(&columns, batch.rows).map_err(SendError::Keys)?;
        let mut batch = batch.clone();
        let hashes = self.encoder.hash();
        batch.key_hashes = Some(hashes.clone());
        if let [sender] = senders {
            activity::towards(edge, 0);
            return sender.send(Element::Batch(batch)).map_err(SendError::Stopped);
        }
        let parallelism = senders.len() as u32;
        for (row, &hash) in hashes.iter().enumerate() {
            let subtask = self.key_groups.subtask(self.key_groups.key_group(hash), parallelism);
            self.rows[subtask as usize].push(row as u32);
        }
        for (reader, (rows, sender)) in (0..).zip(self.rows.iter_mut().zip(senders)) {
            if rows.is_empty() {
                continue;
            }
            let part = if rows.len() == batch.rows {
                batch.clone()
            } else {
                batch.take(&UInt32Array::from_iter_values(rows.iter().copied()))
            };
            rows.clear();
            activity::towards(edge, reader);
            sender.send(Element::Batch(part)).map_err(SendError::Stopped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
