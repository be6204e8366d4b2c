//! The sending side of an edge: which rows go to which subtask.

use arrow_array::{ArrayRef, UInt32Array};
use wasmill_model::{
    Batch,
    graph::Exchange,
    keys::{self, KeyEncoder, KeyGroups},
    schema::Field,
};

use crate::{
    error::Error,
    exchange::{Element, Sender},
};

/// Sends the rows of one edge from one subtask to all subtasks that read it.
#[derive(Debug)]
pub(crate) struct Partitioner {
    kind: Kind,
    senders: Vec<Sender>,
    /// The vertex that reads, for messages.
    to: String,
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
        to: String,
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
        Ok(Self { kind, senders, to })
    }

    /// Sends the rows of a batch; waits for credit.
    pub(crate) fn send(&mut self, batch: &Batch) -> Result<(), Error> {
        match &mut self.kind {
            Kind::Forward => self.senders[0].send(Element::Batch(batch.clone()))?,
            Kind::Rebalance { next } => {
                let to = *next;
                *next = (to + 1) % self.senders.len();
                self.senders[to].send(Element::Batch(batch.clone()))?;
            }
            Kind::Broadcast => {
                for sender in &self.senders {
                    sender.send(Element::Batch(batch.clone()))?;
                }
            }
            Kind::Hash(hash) => {
                hash.send(batch, &self.senders).map_err(|e| match e {
                    SendError::Keys(source) => Error::Keys { vertex: self.to.clone(), source },
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
    fn send(&mut self, batch: &Batch, senders: &[Sender]) -> Result<(), SendError> {
        let columns: Vec<&ArrayRef> = self.columns.iter().map(|&i| batch.column(i)).collect();
        self.encoder.encode(&columns, batch.rows).map_err(SendError::Keys)?;
        let mut batch = batch.clone();
        let hashes = self.encoder.hash();
        batch.key_hashes = Some(hashes.clone());
        if let [sender] = senders {
            return sender.send(Element::Batch(batch)).map_err(SendError::Stopped);
        }
        let parallelism = senders.len() as u32;
        for (row, &hash) in hashes.iter().enumerate() {
            let subtask = self.key_groups.subtask(self.key_groups.key_group(hash), parallelism);
            self.rows[subtask as usize].push(row as u32);
        }
        for (rows, sender) in self.rows.iter_mut().zip(senders) {
            if rows.is_empty() {
                continue;
            }
            let part = if rows.len() == batch.rows {
                batch.clone()
            } else {
                batch.take(&UInt32Array::from_iter_values(rows.iter().copied()))
            };
            rows.clear();
            sender.send(Element::Batch(part)).map_err(SendError::Stopped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
