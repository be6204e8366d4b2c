//! Sharing out the files of sources: who has nearly read what it has gets the next portion.
//!
//! The first portions are dealt out without anybody asking, one to each subtask; what is shared out here is the rest. Each portion is
//! given once in an attempt, in their order, so that every subtask reads its files in the order of their names. Nothing of this is
//! durable: a checkpoint says which files were begun, and all others are shared out anew by the attempt that begins from it. So it
//! does not matter on which side of a barrier something was given.
//!
//! Whoever asks says how much it has, and is told all that it was given: an ask that comes twice, or late, gets what it got.

use std::collections::BTreeMap;

use wasmill_model::{
    fault::{Code, Domain},
    ids::{JobId, Subtask},
    portions::{Asks, Given},
};

use crate::{
    jobmanager::{JobManager, phase::Phase},
    message::Cause,
};

/// What the sources of an attempt have been given.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// By the chain that the source heads, of those of which somebody has asked.
    sources: BTreeMap<u32, Source>,
}

#[derive(Debug)]
struct Source {
    portions: u32,
    /// The first that nobody has.
    next: u32,
    /// By the index of the subtask.
    given: BTreeMap<u32, Vec<u32>>,
}

/// What follows from an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It was answered before.
    Known,
    /// The subtask was given something.
    Given,
    /// There is nothing left, which those who have asked before are to hear too.
    Empty,
    /// Somebody else has said that there are so many.
    Unlike(u32),
}

impl Sharing {
    /// What these subtasks have been given.
    pub(super) fn given_to(&self, subtasks: &[Subtask]) -> Vec<(Subtask, Given)> {
        let given = |subtask: &Subtask| {
            let source = self.sources.get(&subtask.chain)?;
            let portions = source.given.get(&subtask.index)?.clone();
            Some((*subtask, Given { portions, is_all: source.next == source.portions }))
        };
        subtasks.iter().filter_map(given).collect()
    }

    fn take(&mut self, subtask: Subtask, asks: Asks) -> Answer {
        let new = || Source { portions: asks.of, next: 0, given: BTreeMap::new() };
        let source = self.sources.entry(subtask.chain).or_insert_with(new);
        if source.portions != asks.of {
            return Answer::Unlike(source.portions);
        }
        let (was_empty, is_first) = (source.next == source.portions, !source.given.contains_key(&subtask.index));
        let given = source.given.entry(subtask.index).or_default();
        if given.len() > asks.has as usize || was_empty {
            return if is_first { Answer::Given } else { Answer::Known };
        }
        given.push(source.next);
        source.next += 1;
        if source.next == source.portions { Answer::Empty } else { Answer::Given }
    }
}

impl JobManager {
    /// A subtask of a source will soon have read what it has.
    pub(super) fn take_asks(&mut self, id: JobId, subtask: Subtask, asks: Asks) {
        let job = self.jobs.get_mut(&id).expect("the caller has found it");
        let Phase::Placed { placed, .. } = &mut job.phase else { return };
        match placed.sharing.take(subtask, asks) {
            Answer::Known => {}
            Answer::Given => {
                let place = &placed.places[subtask.index as usize];
                let there = (place.taskmanager, place.incarnation);
                self.order_of(id, [there]);
            }
            Answer::Empty => self.order(id),
            Answer::Unlike(portions) => {
                let message = format!(
                    "could not share out the files of a source of {id}: {subtask} has found {} portions of them, and another \
                     subtask {portions}; run the same version of wasmill on all TaskManagers",
                    asks.of
                );
                self.fail(id, Cause { code: Code::Internal, domain: Domain::Internal, message });
            }
        }
    }
}
