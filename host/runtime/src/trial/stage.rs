//! Where an operator is run in a trial: one chain, or several that share the keys; and what is done to them between two pieces.

use std::sync::PoisonError;

use arrow_array::UInt32Array;
use arrow_buffer::ScalarBuffer;
use wasmill_flow::Event;
use wasmill_model::{Batch, Timestamp, keys::KeyGroups};

use crate::{
    chain::{Chain, Kind},
    error::Error,
    operator::{Operator, StateRows},
    trial::{Making, cut::Numbers},
};

/// What is done between two pieces, which by the contract makes no difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Disturbance {
    #[default]
    None,
    /// The operator's state goes through a snapshot and back, into a new instance.
    Restore,
    /// Each piece is handled, what came of it is lost, and it is handled again from the snapshot before.
    Crash,
    /// The keys are dealt out to another number of instances, up to four, each with its part of the snapshot.
    Rescale { seed: u64 },
}

/// Subtasks of a rescaled operator, at most.
const PARALLELISM_MAX: u64 = 4;

/// The chains of an operator, and the last snapshot of its state.
pub(super) struct Stage<'a> {
    making: Making<'a>,
    pub(super) chains: Vec<Chain>,
    disturbance: Disturbance,
    numbers: Numbers,
    key_groups: KeyGroups,
    rows: StateRows,
}

impl<'a> Stage<'a> {
    pub(super) fn new(making: Making<'a>, disturbance: Disturbance, key_groups: KeyGroups) -> Result<Self, Error> {
        let seed = if let Disturbance::Rescale { seed } = disturbance { seed } else { 0 };
        let mut stage = Self {
            chains: vec![making.chain()?],
            making,
            disturbance,
            numbers: Numbers(seed),
            key_groups,
            rows: StateRows::new(),
        };
        if disturbance != Disturbance::None {
            stage.operator(0).restore(None, &[], key_groups)?;
        }
        Ok(stage)
    }

    fn operator(&mut self, chain: usize) -> &mut Operator {
        match &mut self.chains[chain].nodes[0].kind {
            Kind::Operator(operator) => operator,
            _ => unreachable!("the first node is the operator"),
        }
    }

    /// Hands over a piece of the rows of an input.
    pub(super) fn piece(&mut self, input: usize, batch: &Batch) -> Result<(), Error> {
        match self.disturbance {
            Disturbance::None => self.process(input, batch),
            Disturbance::Restore => {
                self.save();
                self.begin_again()?;
                self.process(input, batch)
            }
            Disturbance::Crash => {
                self.save();
                let kept = self.making.kept.lock().unwrap_or_else(PoisonError::into_inner).mark();
                let positions = self.operator(0).positions().to_vec();
                self.process(input, batch)?;
                self.making.kept.lock().unwrap_or_else(PoisonError::into_inner).back_to(&kept);
                self.operator(0).set_positions(positions);
                self.begin_again()?;
                self.process(input, batch)
            }
            Disturbance::Rescale { .. } => {
                self.save();
                let parallelism = 1 + self.numbers.below(PARALLELISM_MAX) as usize;
                self.rescale(parallelism)?;
                self.process(input, batch)
            }
        }
    }

    fn process(&mut self, input: usize, batch: &Batch) -> Result<(), Error> {
        let parallelism = self.chains.len() as u32;
        let hashes = if parallelism == 1 { None } else { self.operator(0).hashes(input, batch)? };
        let Some(hashes) = hashes else { return self.chains[0].process(0, input, batch) };
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.chains.len()];
        for (row, hash) in hashes.iter().enumerate() {
            let subtask = self.key_groups.subtask(self.key_groups.key_group(*hash), parallelism);
            rows[subtask as usize].push(row as u32);
        }
        for (chain, rows) in self.chains.iter_mut().zip(rows) {
            if !rows.is_empty() {
                chain.process(0, input, &batch.take(&UInt32Array::from(rows)))?;
            }
        }
        Ok(())
    }

    /// Brings the snapshot up to now.
    fn save(&mut self) {
        let (mut rows, key_groups) = (std::mem::take(&mut self.rows), self.key_groups);
        for chain in 0..self.chains.len() {
            self.operator(chain).save(&mut rows, key_groups);
        }
        self.rows = rows;
    }

    fn begin_again(&mut self) -> Result<(), Error> {
        let (rows, parallelism) = (std::mem::take(&mut self.rows), self.chains.len() as u32);
        for chain in 0..self.chains.len() {
            let range = self.key_groups.range(chain as u32, parallelism);
            self.operator(chain).begin_again(&rows, range)?;
        }
        self.rows = rows;
        Ok(())
    }

    fn rescale(&mut self, parallelism: usize) -> Result<(), Error> {
        let rounds = self.chains[0].nodes[0].rounds.clone();
        self.chains.truncate(parallelism);
        while self.chains.len() < parallelism {
            self.chains.push(self.making.chain()?);
        }
        for chain in &mut self.chains {
            chain.nodes[0].rounds = rounds.clone();
        }
        for chain in 0..parallelism {
            let watermark = rounds.watermark();
            self.operator(chain).set_watermark(watermark);
        }
        self.begin_again()
    }

    /// The hashes of the keys of rows.
    pub(super) fn hashes(&mut self, input: usize, batch: &Batch) -> Result<Option<ScalarBuffer<u64>>, Error> {
        self.operator(0).hashes(input, batch)
    }

    /// Runs a round in all chains.
    pub(super) fn round(&mut self, event: Event) -> Result<(), Error> {
        self.chains.iter_mut().try_for_each(|chain| chain.round(0, event))
    }

    pub(super) fn fire_processing_timers(&mut self, now_ms: Timestamp) -> Result<(), Error> {
        self.chains.iter_mut().try_for_each(|chain| chain.fire_processing_timers(now_ms))
    }
}
