//! Results that get lost: somebody takes away what sinks have prepared, or what was visible already. Whoever decides about the job that
//! misses them may have put them back.

use std::collections::BTreeSet;

use wasmill_control::{
    jobmanager::{About, Choice},
    message::{Cause, Passed, Restore, SubtaskState},
};
use wasmill_model::{
    fault::{Code, Domain},
    ids::Subtask,
};

use crate::{
    Sabotage,
    checkers::{Fact, Try},
    store::{Manifest, Transaction},
    world::World,
};

/// What an attempt is told of results that it does not find.
#[derive(Debug, Clone, Default)]
pub(crate) struct Excuses {
    /// All of its manifest were visible once.
    visible: bool,
    given_up: bool,
    /// So were all of these later manifests.
    passed: Vec<String>,
}

/// Why an attempt goes on without results that it does not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// They were visible once: somebody has taken them away, and that is nobody's business.
    Visible,
    GivenUp,
}

impl World {
    /// What an attempt is told with what it begins from.
    pub(crate) fn excuses(&self, of: Try, restore: Option<&Restore>) -> Excuses {
        let Some(Restore { visible, given_up, passed, .. }) = restore else { return Excuses::default() };
        let passed = passed.iter().filter(|passed| passed.visible).map(|Passed { manifest, .. }| manifest.clone());
        Excuses {
            visible: *visible || self.is(Sabotage::ClaimsAllVisible),
            given_up: *given_up || self.is(Sabotage::GivesUpForEver) && self.gave_up.contains(&of.0),
            passed: passed.collect(),
        }
    }

    /// Something of a manifest that has just become durable may get lost before anybody makes it visible.
    pub(crate) fn lose_some(&mut self, manifest: &Manifest) {
        if !self.has_faults() || !self.losses.permille(self.profile.lost_permille) {
            return;
        }
        let there = manifest.transactions.iter().filter(|of| self.store.files.contains_key(of));
        let there: Vec<Transaction> = there.copied().collect();
        if there.is_empty() {
            return;
        }
        let lost = there[self.losses.between(0, there.len() as i64 - 1) as usize];
        let results = self.store.files.remove(&lost).expect("it was found above");
        self.counts.lost += 1;
        self.note(&[60, lost.job.0, lost.number], || format!("-- {lost:?} is lost"));
        self.store.lost.insert(lost, results);
    }

    /// What has just become visible may be taken away.
    pub(crate) fn take_away_some(&mut self, transaction: Transaction) {
        if self.has_faults() && self.losses.permille(self.profile.taken_permille) {
            let results = self.store.visible.remove(&transaction).expect("it is visible");
            self.note(&[61, transaction.job.0, transaction.number], || format!("-- {transaction:?} is taken away"));
            self.store.taken.insert(transaction, results);
        }
    }

    /// Makes visible what an attempt finds prepared when it begins. False: it is not there, and nothing excuses that.
    pub(crate) fn take_over(&mut self, of: Try, transaction: Transaction, excuses: &Excuses) -> bool {
        if self.show(transaction) {
            return true;
        }
        let is_in = |name: &String| self.store.manifest(name).is_some_and(|m| m.transactions.contains(&transaction));
        let excuse = if excuses.visible || excuses.passed.iter().any(is_in) {
            Excuse::Visible
        } else if excuses.given_up || self.is(Sabotage::GoesOnWithout) {
            Excuse::GivenUp
        } else {
            return false;
        };
        let lost = self.store.lost.get(&transaction).cloned();
        self.see(&Fact::GoesWithout { of, transaction, excuse, lost: lost.as_ref() });
        true
    }

    /// Why a subtask fails that does not find what it is to make visible.
    pub(crate) fn misses_results(&mut self, of: Try, subtask: Subtask) -> SubtaskState {
        self.note(&[62, of.0.0], || format!("{} {} {subtask} misses results", of.0, of.1));
        let (code, domain) = match self.sabotage {
            Some(Sabotage::HidesLosses) => (Code::SystemResources, Domain::External),
            Some(Sabotage::BlamesUserForLosses) => (Code::TransactionLost, Domain::User),
            _ => (Code::TransactionLost, Domain::Operator),
        };
        SubtaskState::Failed(Cause { code, domain, message: "a pretended file is gone".to_owned() })
    }

    /// What somebody decides about a job that misses results, after putting them back or not.
    pub(crate) fn choose(&mut self, about: About, manifest: &str, choices: &[Choice]) -> Choice {
        let choice = match (about, self.losses.between(0, 9)) {
            (About::DamagedCheckpoint, _) if self.damages.permille(600) => Choice::Rewind,
            (About::DamagedCheckpoint, _) => Choice::Retry,
            (About::LostTransaction, 0..=3) => Choice::GiveUpTransaction,
            (About::LostTransaction, 4..=6) => Choice::Rewind,
            (About::LostTransaction, _) => Choice::Retry,
        };
        let choice = if choices.contains(&choice) { choice } else { Choice::Retry };
        match choice {
            Choice::Rewind => self.see(&Fact::Agreed { manifest }),
            Choice::GiveUpTransaction => {
                self.counts.given_up += 1;
                self.see(&Fact::GivenUp { manifest });
                self.gave_up.extend(self.store.manifest(manifest).map(|manifest| manifest.job));
            }
            Choice::Retry if self.losses.permille(800) => self.put_back(manifest),
            Choice::Retry => {}
        }
        choice
    }

    fn put_back(&mut self, name: &str) {
        self.store.damaged.remove(name);
        let Some(manifest) = self.store.manifest(name) else { return };
        let all: BTreeSet<Transaction> = manifest.transactions.iter().copied().collect();
        let store = &mut self.store;
        store.files.extend(store.lost.extract_if(.., |of, _| all.contains(of)));
        store.visible.extend(store.taken.extract_if(.., |of, _| all.contains(of)));
    }
}
