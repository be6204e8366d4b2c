//! No attempt goes on without results of the checkpoint that it begins from but what was visible once, or what somebody has given up.
//! And no job fails by itself because results are lost, unless it is to have no other attempt.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_control::jobmanager::{JobState, Restart};
use wasmill_model::{fault::Code, ids::JobId};

use crate::{checkers::Fact, losses::Excuse, store::Transaction};

#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Of each manifest.
    transactions: BTreeMap<String, Vec<Transaction>>,
    visible: BTreeSet<Transaction>,
    given_up: BTreeSet<Transaction>,
    /// Those that are tried for ever.
    tried: BTreeSet<JobId>,
}

impl Losses {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Shaped { record } if record.shape.restart == (Restart::Backoff { attempts_max: None }) => {
                self.tried.insert(record.id);
            }
            // A number that nobody was told of is used again.
            Fact::Shaped { record } => drop(self.tried.remove(&record.id)),
            Fact::Complete { name, manifest } => {
                self.transactions.insert((*name).to_owned(), manifest.transactions.clone());
            }
            Fact::Visible { transaction, .. } => drop(self.visible.insert(*transaction)),
            Fact::GivenUp { manifest } => self.given_up.extend(&self.transactions[*manifest]),
            Fact::GoesWithout { of, transaction, excuse, .. }
                if !self.visible.contains(transaction) && !self.given_up.contains(transaction) =>
            {
                let (job, attempt) = of;
                let why = match excuse {
                    Excuse::Visible => "which was never visible",
                    Excuse::GivenUp => "which nobody has given up",
                };
                return Err(format!("{attempt} of {job} goes on without {transaction:?}, {why}"));
            }
            Fact::Told { job, state: JobState::Failed(cause), .. }
                if cause.code == Code::TransactionLost && self.tried.contains(job) =>
            {
                return Err(format!("{job} has failed since results are lost, and nobody was asked"));
            }
            _ => {}
        }
        Ok(())
    }
}
