//! Aligning barriers: a subtask with several channels takes its part of a checkpoint when the checkpoint's barrier has come by each.
//!
//! Between the first barrier and the last, channels whose barrier has come are *held*: what is behind it belongs to the next
//! checkpoint, and waits in the channel, so that its credit runs out and the writer waits too. Channels that have
//! finished count as if their barrier had come. This is the algorithm of [Carbone et al., Lightweight Asynchronous Snapshots for
//! Distributed Dataflows](https://arxiv.org/abs/1506.08603).
//!
//! Checkpoints may fail anywhere, so any barrier may be missing, and come late: of several checkpoints only the newest counts.

use wasmill_model::ids::CheckpointId;

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    None,
    /// Nothing more is to be taken from the channel for now; if there were others that waited for an older checkpoint, they go on.
    Held,
    /// The barrier has come by all channels: the checkpoint is to be taken now. No channel is held any more.
    Aligned(CheckpointId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Open,
    /// Its barrier has come.
    Held,
    Finished,
}

/// The barriers of the channels of a subtask.
#[derive(Debug, Clone)]
pub struct Alignment {
    channels: Vec<Channel>,
    /// The checkpoint whose first barrier has come.
    current: Option<CheckpointId>,
    /// The newest that is over here: taken, or given up.
    over: Option<CheckpointId>,
}

impl Alignment {
    /// So many channels, at least one.
    pub fn new(channels: usize) -> Self {
        assert!(channels > 0, "no channel, no barrier");
        Self { channels: vec![Channel::Open; channels], current: None, over: None }
    }

    /// A barrier has come by a channel that is not held.
    ///
    /// # Panics
    /// If the channel is held or has finished.
    pub fn barrier(&mut self, channel: usize, checkpoint: CheckpointId) -> Step {
        assert_eq!(self.channels[channel], Channel::Open, "a barrier by a channel from which nothing is taken");
        if self.over >= Some(checkpoint) || self.current > Some(checkpoint) {
            return Step::None;
        }
        if self.current != Some(checkpoint) {
            self.release();
            self.current = Some(checkpoint);
        }
        self.channels[channel] = Channel::Held;
        self.look(Step::Held)
    }

    /// Nothing more comes by a channel.
    pub fn finish(&mut self, channel: usize) -> Step {
        self.channels[channel] = Channel::Finished;
        self.look(Step::None)
    }

    /// A checkpoint, and all before it, are given up. Returns whether channels that were held go on.
    pub fn give_up(&mut self, checkpoint: CheckpointId) -> bool {
        self.over = self.over.max(Some(checkpoint));
        let was_waiting = self.current.is_some_and(|current| current <= checkpoint);
        if was_waiting {
            self.current = None;
            self.release();
        }
        was_waiting
    }

    /// Whether nothing is to be taken from a channel.
    pub fn is_held(&self, channel: usize) -> bool {
        self.channels[channel] == Channel::Held
    }

    /// The checkpoint that is waited for, and the channels by which its barrier has not come.
    pub fn waits_for(&self) -> Option<(CheckpointId, Vec<usize>)> {
        let open = self.channels.iter().enumerate().filter(|(_, channel)| **channel == Channel::Open);
        Some((self.current?, open.map(|(place, _)| place).collect()))
    }

    fn look(&mut self, otherwise: Step) -> Step {
        match self.current {
            Some(checkpoint) if !self.channels.contains(&Channel::Open) => {
                (self.over, self.current) = (Some(checkpoint), None);
                self.release();
                Step::Aligned(checkpoint)
            }
            _ => otherwise,
        }
    }

    fn release(&mut self) {
        for channel in self.channels.iter_mut().filter(|channel| **channel == Channel::Held) {
            *channel = Channel::Open;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const fn id(number: u64) -> CheckpointId {
        CheckpointId(number)
    }

    #[test]
    fn the_last_barrier_aligns_and_those_before_hold_their_channels() {
        let mut alignment = Alignment::new(3);
        assert_eq!(alignment.barrier(1, id(7)), Step::Held);
        assert_eq!(alignment.barrier(0, id(7)), Step::Held);
        assert!(alignment.is_held(0) && alignment.is_held(1) && !alignment.is_held(2));
        assert_eq!(alignment.waits_for(), Some((id(7), vec![2])));
        assert_eq!(alignment.barrier(2, id(7)), Step::Aligned(id(7)));
        assert!((0..3).all(|channel| !alignment.is_held(channel)));
        assert_eq!(alignment.waits_for(), None);
        assert_eq!(alignment.barrier(2, id(7)), Step::None, "it is over");
    }

    #[test]
    fn a_channel_that_has_finished_holds_nobody_up() {
        let mut alignment = Alignment::new(2);
        assert_eq!(alignment.barrier(0, id(1)), Step::Held);
        assert_eq!(alignment.finish(1), Step::Aligned(id(1)));
        assert_eq!(alignment.barrier(0, id(2)), Step::Aligned(id(2)));
        assert_eq!(alignment.finish(0), Step::None);
    }

    #[test]
    fn of_several_checkpoints_only_the_newest_counts() {
        let mut alignment = Alignment::new(3);
        assert_eq!(alignment.barrier(0, id(1)), Step::Held);
        assert_eq!(alignment.barrier(1, id(2)), Step::Held, "the first is lost somewhere else");
        assert!(!alignment.is_held(0) && alignment.is_held(1));
        assert_eq!(alignment.barrier(2, id(1)), Step::None);
        assert_eq!(alignment.barrier(2, id(2)), Step::Held);
        assert!(alignment.give_up(id(2)));
        assert!(!alignment.give_up(id(2)), "nobody waits any more");
        assert_eq!(alignment.barrier(0, id(2)), Step::None, "it is late");
        assert_eq!(alignment.barrier(0, id(3)), Step::Held);
        assert!(!alignment.give_up(id(2)), "a newer one is under way");
        assert!(alignment.is_held(0));
    }

    /// What comes by a channel.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Item {
        Row,
        Barrier(u64),
    }

    /// Rows between barriers that rise, some of which are missing.
    fn channel() -> impl Strategy<Value = Vec<Item>> {
        vec((0..4_usize, prop::bool::weighted(0.8)), 0..8).prop_map(|parts| {
            let parts = parts.into_iter().zip(1..).flat_map(|((rows, is_there), number)| {
                std::iter::repeat_n(Item::Row, rows).chain(is_there.then_some(Item::Barrier(number)))
            });
            parts.collect()
        })
    }

    proptest! {
        /// Whatever the order in which channels are served: a checkpoint is taken where each channel's barrier is, and every
        /// checkpoint is taken whose barrier comes by all channels that are not at their end.
        #[test]
        fn a_checkpoint_is_taken_between_the_same_rows_by_every_channel(
            channels in vec(channel(), 1..5),
            order in vec((any::<prop::sample::Index>(), prop::option::weighted(0.05, 1..8_u64)), 200),
        ) {
            let mut alignment = Alignment::new(channels.len());
            let mut at = vec![0; channels.len()];
            let mut finished = vec![false; channels.len()];
            let (mut taken, mut given_up) = (Vec::new(), 0);
            for (index, give_up) in order {
                if let Some(number) = give_up {
                    alignment.give_up(id(number));
                    given_up = given_up.max(number);
                }
                let open: Vec<usize> =
                    (0..channels.len()).filter(|c| !finished[*c] && !alignment.is_held(*c)).collect();
                prop_assert!(!open.is_empty() || finished.iter().all(|f| *f), "all are held");
                if open.is_empty() {
                    break;
                }
                let channel = open[index.index(open.len())];
                let step = match channels[channel].get(at[channel]) {
                    None => {
                        finished[channel] = true;
                        alignment.finish(channel)
                    }
                    Some(item) => {
                        at[channel] += 1;
                        match item {
                            Item::Row => Step::None,
                            Item::Barrier(number) => alignment.barrier(channel, id(*number)),
                        }
                    }
                };
                if let Step::Aligned(CheckpointId(number)) = step {
                    prop_assert!(number > given_up && taken.last().is_none_or(|last| *last < number));
                    taken.push(number);
                    for (c, items) in channels.iter().enumerate().filter(|(c, _)| !finished[*c]) {
                        prop_assert_eq!(items[..at[c]].last(), Some(&Item::Barrier(number)), "channel {}", c);
                    }
                }
            }
        }
    }
}
