//! The attempts whose subtasks run here, and the channels that others may open into them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use wasmill_model::ids::{Attempt, JobId};
use wasmill_wire::{Layout, Open, Reason};

use super::incoming::Incoming;
use crate::{exchange::Inlet, life::Life};

/// Channels that wait for their attempt to start here, at most.
const WAITING_MAX: usize = 1 << 16;

/// How many ticks a channel waits for its attempt to start: each is a second, and starting may mean compiling.
const WAIT_TICKS: u32 = 60;

/// Jobs whose last attempt is remembered, at most. Of an older one an OPEN that is very late waits in vain for its time.
const ENDED_MAX: usize = 10_000;

/// Ends of channels into the subtasks of one attempt.
pub(crate) type Inlets = HashMap<Open, (Inlet, Arc<Layout>)>;

/// Attempts, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Registry {
    jobs: HashMap<JobId, Registered>,
    waiting: Vec<Waiting>,
    /// The last attempt of each job that has none now.
    ended: BTreeMap<JobId, Attempt>,
}

#[derive(Debug)]
struct Registered {
    attempt: Attempt,
    life: Arc<Life>,
    /// Those that have not been opened.
    inlets: Inlets,
    /// Those that have.
    bound: Vec<Channel>,
}

/// A channel of a connection.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) incoming: Weak<Incoming>,
    pub(super) number: u32,
}

#[derive(Debug)]
struct Waiting {
    open: Open,
    channel: Channel,
    ticks: u32,
}

/// What becomes of an OPEN.
#[derive(Debug)]
pub(super) enum Answer {
    Bound { inlet: Inlet, layout: Arc<Layout>, life: Arc<Life> },
    Waits,
    Refused(Reason, &'static str),
}

/// What becomes of those that waited for an attempt, and the channels of an earlier one that are still open.
pub(super) type Opened = (Vec<(Channel, Answer)>, Vec<Channel>);

impl Registry {
    /// Somebody opens a channel.
    pub(super) fn open(&mut self, open: Open, channel: Channel) -> Answer {
        let last = self.jobs.get(&open.job).map(|job| job.attempt).or_else(|| self.ended.get(&open.job).copied());
        let runs = self.jobs.get_mut(&open.job).filter(|job| job.attempt == open.attempt);
        match (runs, last) {
            (Some(job), _) => job.bind(open, channel),
            (None, Some(last)) if open.attempt <= last => Answer::Refused(Reason::Stale, "its attempt has ended here"),
            (None, _) if self.waiting.len() >= WAITING_MAX => {
                Answer::Refused(Reason::NotStarted, "too many channels wait there for their attempts")
            }
            (None, _) => {
                self.waiting.push(Waiting { open, channel, ticks: 0 });
                Answer::Waits
            }
        }
    }

    /// An attempt starts: what becomes of those that wait for its job. `None` if a later attempt has been here already.
    /// Channels of an earlier one that are still open are to be closed.
    pub(super) fn register(
        &mut self,
        (job, attempt): (JobId, Attempt),
        life: &Arc<Life>,
        inlets: Inlets,
    ) -> Option<Opened> {
        let last = self.jobs.get(&job).map(|job| job.attempt).max(self.ended.get(&job).copied());
        if last.is_some_and(|last| attempt <= last) {
            return None;
        }
        let registered = Registered { attempt, life: life.clone(), inlets, bound: Vec::new() };
        let before = self.jobs.insert(job, registered).map_or_else(Vec::new, |before| before.bound);
        let (mine, others) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting: &Waiting| waiting.open.job == job && waiting.open.attempt <= attempt);
        self.waiting = others;
        let answers = mine.into_iter().map(|Waiting { open, channel, .. }| (channel.clone(), self.open(open, channel)));
        Some((answers.collect(), before))
    }

    /// An attempt has ended: the channels that are to be closed.
    pub(super) fn release(&mut self, job: JobId, attempt: Attempt) -> Vec<Channel> {
        if self.jobs.get(&job).is_none_or(|running| running.attempt != attempt) {
            return Vec::new();
        }
        let bound = self.jobs.remove(&job).map_or_else(Vec::new, |job| job.bound);
        self.ended.insert(job, attempt);
        if self.ended.len() > ENDED_MAX {
            // Ids only grow: the first is the oldest job.
            self.ended.pop_first();
        }
        bound
    }

    /// A second has passed: those that have waited too long.
    pub(super) fn tick(&mut self) -> Vec<Channel> {
        self.waiting.iter_mut().for_each(|waiting| waiting.ticks += 1);
        self.waiting.retain(|waiting| waiting.channel.incoming.strong_count() > 0);
        let late = self.waiting.extract_if(.., |waiting| waiting.ticks > WAIT_TICKS);
        late.map(|waiting| waiting.channel).collect()
    }

    /// The attempts with channels that nobody has opened yet.
    pub(super) fn waiting_for_others(&self) -> Vec<Arc<Life>> {
        let waiting = self.jobs.values().filter(|job| !job.inlets.is_empty());
        waiting.map(|job| job.life.clone()).collect()
    }
}

impl Registered {
    fn bind(&mut self, open: Open, channel: Channel) -> Answer {
        let Some((inlet, layout)) = self.inlets.remove(&open) else {
            return Answer::Refused(Reason::Unknown, "its attempt has no such channel there, or another plan");
        };
        self.bound.push(channel);
        Answer::Bound { inlet, layout, life: self.life.clone() }
    }
}

#[cfg(test)]
impl Registry {
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
