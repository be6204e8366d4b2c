//! Subtasks of jobs that take checkpoints: sources with positions, and sinks that count and write transactions, with channels
//! between them in which barriers go. They do what the shells promise: a part is durable before it is told, an attempt runs once
//! what it was restored from is visible, and nothing becomes visible but what a complete checkpoint covers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wasmill_control::message::{At, Checkpoints, Said, SubtaskState, Trigger};
use wasmill_model::{
    ids::{CheckpointId, Subtask},
    portions::{Asks, Given},
};

use crate::{
    Sabotage,
    checkers::Try,
    store::{Counted, Part, Row, Transaction, share},
    world::{Happening, World},
};

/// Splits of an input, and rows in each if it ends.
pub(crate) const SPLITS: u32 = 6;
pub(crate) const ROWS: u64 = 25;

/// What can wait in a channel.
const CHANNEL_MAX: usize = 12;

/// What goes from a source to a sink.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    Row(Row),
    Barrier(CheckpointId),
    End,
}

pub(crate) type Channels = BTreeMap<(Try, u32, u32), VecDeque<Item>>;

/// What an attempt on a TaskManager knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) restore: Option<String>,
    pub(crate) passed: Vec<String>,
    pub(crate) checkpoints: Checkpoints,
    /// Parallelism of sources and of sinks.
    pub(crate) chains: [u32; 2],
    /// What its sources were given to read.
    pub(crate) given: BTreeMap<Subtask, Given>,
}

/// What a subtask holds.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// Of a source: how far the splits of its share were when it began, and how far those are that it reads.
    positions: BTreeMap<u32, u64>,
    /// Those that it reads: what it began with, and what it was given.
    own: Vec<u32>,
    /// Those that are given to whoever asks, by their numbers.
    pool: Vec<u32>,
    /// How far they were.
    before: BTreeMap<u32, u64>,
    /// How much of the pool it has, and what it has asked for.
    has: u32,
    asked_for: Option<Asks>,
    /// Of a sink.
    counts: BTreeMap<u32, u64>,
    rows: Vec<Counted>,
    /// Prepared, each with the checkpoint before which it was; none: before the end.
    pending: Vec<(Option<CheckpointId>, Transaction)>,
    written: u64,
    aligning: Option<CheckpointId>,
    arrived: BTreeSet<u32>,
    ends: BTreeSet<u32>,
    /// The newest checkpoint that it has handled, and that it has said its part of.
    taken: Option<CheckpointId>,
    said: Option<CheckpointId>,
    committed: Option<CheckpointId>,
    ended: bool,
}

impl Data {
    /// What becomes visible with a checkpoint. One of which it has said no part has its end in it.
    fn covered(&mut self, to: CheckpointId) -> Vec<Transaction> {
        let with_end = self.ended && Some(to) > self.said;
        let is_in = |(of, _): &mut (Option<CheckpointId>, _)| of.map_or(with_end, |of| of <= to);
        self.pending.extract_if(.., is_in).map(|(_, transaction)| transaction).collect()
    }

    /// How far a split is that it reads, or was.
    fn position(&self, split: u32) -> u64 {
        self.positions.get(&split).or(self.before.get(&split)).copied().unwrap_or(0)
    }

    fn part(&self, is_source: bool) -> Part {
        match is_source {
            true => Part::Source { positions: self.positions.clone() },
            false => Part::Sink {
                counts: self.counts.clone(),
                open: self.rows.clone(),
                transactions: self.pending.iter().map(|(_, transaction)| *transaction).collect(),
            },
        }
    }
}

fn is_source(subtask: Subtask) -> bool {
    subtask.chain == 0
}

impl World {
    /// Takes up what the attempt begins from, and makes visible what belongs to it.
    pub(crate) fn restore(&mut self, index: usize, of: Try, subtask: Subtask) {
        let Kept { restore, passed, chains, .. } = self.kept(index, of);
        let manifest = restore.as_ref().map(|name| self.store.manifest(name).cloned());
        let manifest = manifest.map(|manifest| manifest.expect("nobody is told of a manifest that is not there"));
        let parallelism = chains[subtask.chain as usize];
        let numbers = |of: Option<&BTreeMap<u32, u64>>| -> BTreeMap<u32, u64> {
            let number = |n: u32| (n, of.and_then(|of| of.get(&n)).copied().unwrap_or(0));
            share(SPLITS, subtask.index, parallelism).map(number).collect()
        };
        let mut data = Data::default();
        if is_source(subtask) {
            let before = manifest.as_ref().map(|manifest| &manifest.positions);
            data.positions = numbers(before);
            data.before = before.cloned().unwrap_or_default();
            self.deal_out(of, subtask, parallelism, &mut data);
        } else {
            data.counts = numbers(manifest.as_ref().map(|manifest| &manifest.counts));
            let open = manifest.as_ref().map_or(&[][..], |manifest| &manifest.open);
            // What was written on and became visible later is not to be written again.
            let shown = self.store.shown_by(&passed);
            let is_own = |(row, _): &&Counted| data.counts.contains_key(&key(*row)) && !shown.contains(row);
            data.rows = open.iter().filter(is_own).copied().collect();
            let all = manifest.map_or_else(Vec::new, |manifest| manifest.transactions);
            let mine = all.iter().skip(subtask.index as usize).step_by(parallelism as usize);
            // Under this sabotage the subtask runs before.
            if !self.is(Sabotage::RunsBeforeRestored) {
                mine.for_each(|transaction| self.show(*transaction));
            }
            // What earlier attempts have prepared and is in no checkpoint is of no use to anybody.
            self.store.files.retain(|file, _| file.job != of.0 || file.attempt >= of.1 || all.contains(file));
        }
        *self.data(index, of, subtask) = data;
    }

    /// A subtask has time.
    pub(crate) fn work(&mut self, index: usize, life: u64, of: Try, subtask: Subtask) {
        if self.taskmanagers[index].life != life || !self.is_at_work(index, of, subtask) {
            return;
        }
        self.show_completed(index, of, subtask);
        if self.state_of(index, of, subtask) == Some(SubtaskState::Running) {
            if is_source(subtask) {
                self.read(index, of, subtask);
            } else {
                self.take_items(index, of, subtask);
            }
        }
        let takes_ms = self.random.between(20, 80);
        self.within(takes_ms, Happening::Work { taskmanager: index, life, of, subtask });
    }

    /// Makes visible what complete checkpoints cover, sooner or later.
    fn show_completed(&mut self, index: usize, of: Try, subtask: Subtask) {
        let Some(to) = self.kept(index, of).checkpoints.completed else { return };
        let slow = self.has_faults() && self.random.permille(self.profile.slow_commit_permille);
        if self.data(index, of, subtask).committed >= Some(to) || slow {
            return;
        }
        self.show_covered(index, of, subtask, to);
        self.data(index, of, subtask).committed = Some(to);
        self.say(index, of, subtask, Said::Committed(to));
    }

    fn show_covered(&mut self, index: usize, of: Try, subtask: Subtask, to: CheckpointId) {
        for transaction in self.data(index, of, subtask).covered(to) {
            self.show(transaction);
        }
    }

    /// At the end of a subtask: all that it may still make visible.
    pub(crate) fn show_at_end(&mut self, index: usize, of: Try, subtask: Subtask, all: bool) {
        let completed = self.kept(index, of).checkpoints.completed;
        if all {
            for (_, transaction) in std::mem::take(&mut self.data(index, of, subtask).pending) {
                self.show(transaction);
            }
        } else if let Some(to) = completed {
            self.show_covered(index, of, subtask, to);
        }
    }

    fn send(&mut self, of: Try, source: u32, sinks: u32, item: Item) {
        let to = match item {
            Item::Row((split, n)) => {
                let sink = key((split, n)) % sinks;
                sink..sink + 1
            }
            Item::Barrier(_) | Item::End => 0..sinks,
        };
        for sink in to {
            self.channels.entry((of, source, sink)).or_default().push_back(item);
        }
    }

    fn read(&mut self, index: usize, of: Try, subtask: Subtask) {
        let Kept { checkpoints, chains: [_, sinks], .. } = self.kept(index, of);
        let trigger = checkpoints.triggered.map(|trigger| trigger.id);
        let (taken, ended) = (self.data(index, of, subtask).taken, self.data(index, of, subtask).ended);
        if ended {
            return;
        }
        if let Some(id) = trigger.filter(|id| Some(*id) > taken && Some(*id) > checkpoints.given_up) {
            self.data(index, of, subtask).taken = Some(id);
            if self.says_part(index, of, subtask, id) {
                self.send(of, subtask.index, sinks, Item::Barrier(id));
            }
            return;
        }
        let room = |world: &Self, sink| {
            world.channels.get(&(of, subtask.index, sink)).is_none_or(|channel| channel.len() < CHANNEL_MAX)
        };
        let bounded = !self.is_endless(of);
        self.ask(index, of, subtask, bounded);
        for split in self.data(index, of, subtask).own.clone() {
            let position = self.data(index, of, subtask).position(split);
            if (0..sinks).all(|sink| room(self, sink)) && (!bounded || position < ROWS) {
                self.send(of, subtask.index, sinks, Item::Row((split, position)));
                self.data(index, of, subtask).positions.insert(split, position + 1);
            }
        }
        let read = bounded && self.has_read_all(index, of, subtask);
        if read || self.drains(index, of, subtask) {
            self.send(of, subtask.index, sinks, Item::End);
            self.come_to_end(index, of, subtask);
        }
    }

    /// What a source begins with: of endless splits its share, as each is read for ever; else one that is left, and the others are
    /// shared out.
    fn deal_out(&self, of: Try, subtask: Subtask, parallelism: u32, data: &mut Data) {
        if self.is_endless(of) {
            data.own = share(SPLITS, subtask.index, parallelism).collect();
            return;
        }
        let mut left: Vec<u32> = (0..SPLITS).filter(|split| data.position(*split) < ROWS).collect();
        data.pool = left.split_off(left.len().min(parallelism as usize));
        data.own = left.get(subtask.index as usize).copied().into_iter().collect();
    }

    /// Takes what it was given, and asks for more when it has one split at most that is not read.
    fn ask(&mut self, index: usize, of: Try, subtask: Subtask, bounded: bool) {
        let all = self.kept(index, of).given;
        let Some(mut given) = all.get(&subtask).cloned() else {
            return self.ask_if_near_end(index, of, subtask, bounded);
        };
        if self.is(Sabotage::TakesWhatOthersGot) {
            given.portions = all.into_values().flat_map(|given| given.portions).collect();
        }
        let data = self.data(index, of, subtask);
        for number in given.portions.iter().skip(data.has as usize) {
            data.own.push(data.pool[*number as usize]);
            data.has += 1;
        }
        self.ask_if_near_end(index, of, subtask, bounded && !given.is_all);
    }

    fn ask_if_near_end(&mut self, index: usize, of: Try, subtask: Subtask, more: bool) {
        let data = self.data(index, of, subtask);
        let unread = data.own.iter().filter(|split| data.position(**split) < ROWS).count();
        let asks = Asks { of: data.pool.len() as u32, has: data.has };
        if more && asks.of > 0 && unread <= 1 && data.asked_for != Some(asks) {
            data.asked_for = Some(asks);
            self.say(index, of, subtask, Said::Asks(asks));
        }
    }

    /// Whether it has read what it has, and nothing more will come.
    fn has_read_all(&mut self, index: usize, of: Try, subtask: Subtask) -> bool {
        let is_all = self.kept(index, of).given.get(&subtask).is_some_and(|given| given.is_all);
        let ends = self.is(Sabotage::EndsUnasked);
        let data = self.data(index, of, subtask);
        let read = data.own.iter().all(|split| data.position(*split) >= ROWS);
        read && (data.pool.is_empty() || is_all || ends)
    }

    /// Makes a part durable and says so, unless that fails.
    fn says_part(&mut self, index: usize, of: Try, subtask: Subtask, checkpoint: CheckpointId) -> bool {
        if self.has_faults() && self.random.permille(self.profile.declining_permille) {
            self.say(index, of, subtask, Said::Declined { checkpoint, reason: "pretended".to_owned() });
            return false;
        }
        self.data(index, of, subtask).said = Some(checkpoint);
        self.say_part(index, of, subtask, At::Checkpoint(checkpoint));
        true
    }

    fn say_part(&mut self, index: usize, of: Try, subtask: Subtask, at: At) {
        let part = self.data(index, of, subtask).part(is_source(subtask));
        let content = self.store.keep(part);
        self.say(index, of, subtask, Said::Part { at, content });
    }

    fn come_to_end(&mut self, index: usize, of: Try, subtask: Subtask) {
        // What it has said before may have been answered by an order to stop.
        if !self.is_at_work(index, of, subtask) {
            return;
        }
        self.data(index, of, subtask).ended = true;
        // Decided before it is said: what is said may be answered by an order to stop, which decides otherwise.
        let takes_ms = self.random.between(1, 30);
        self.next(index, of, subtask, takes_ms, SubtaskState::Prepared);
        self.say_part(index, of, subtask, At::End);
    }

    fn take_items(&mut self, index: usize, of: Try, subtask: Subtask) {
        let Kept { checkpoints, chains: [sources, _], .. } = self.kept(index, of);
        let data = self.data(index, of, subtask);
        if data.aligning.is_some() && data.aligning <= checkpoints.given_up {
            (data.aligning, data.arrived) = (None, BTreeSet::new());
        }
        for source in 0..sources {
            for _ in 0..6 {
                if self.data(index, of, subtask).arrived.contains(&source) {
                    break;
                }
                let channel = self.channels.get_mut(&(of, source, subtask.index));
                let Some(item) = channel.and_then(VecDeque::pop_front) else { break };
                self.take_item(index, of, subtask, source, item);
                self.align(index, of, subtask, sources);
            }
        }
        let ended = self.data(index, of, subtask).ends.len() == sources as usize;
        if ended && !self.data(index, of, subtask).ended {
            self.seal(index, of, subtask, None);
            self.come_to_end(index, of, subtask);
        }
    }

    fn take_item(&mut self, index: usize, of: Try, subtask: Subtask, source: u32, item: Item) {
        let data = self.data(index, of, subtask);
        match item {
            Item::Row(row) => {
                let count = data.counts.entry(key(row)).or_insert(0);
                *count += 1;
                data.rows.push((row, *count));
            }
            Item::Barrier(id) if data.aligning < Some(id) => {
                (data.aligning, data.arrived) = (Some(id), BTreeSet::from([source]));
            }
            Item::Barrier(id) if data.aligning == Some(id) => drop(data.arrived.insert(source)),
            Item::Barrier(_) => {}
            Item::End => drop(data.ends.insert(source)),
        }
    }

    /// A barrier has come by all channels that have not ended.
    fn align(&mut self, index: usize, of: Try, subtask: Subtask, sources: u32) {
        let data = self.data(index, of, subtask);
        let Some(id) = data.aligning.filter(|id| Some(*id) > data.taken) else { return };
        if (0..sources).any(|source| !data.arrived.contains(&source) && !data.ends.contains(&source)) {
            return;
        }
        (data.taken, data.arrived) = (Some(id), BTreeSet::new());
        // With a savepoint all becomes visible; with another checkpoint what is full or old enough.
        let trigger = Some(Trigger { id, savepoint: false });
        let stays_open = self.kept(index, of).checkpoints.triggered == trigger && self.damages.permille(700);
        if !stays_open {
            self.seal(index, of, subtask, Some(id));
        }
        self.says_part(index, of, subtask, id);
    }

    /// Prepares what was written since the last time.
    fn seal(&mut self, index: usize, of: Try, subtask: Subtask, before: Option<CheckpointId>) {
        let data = self.data(index, of, subtask);
        let rows = std::mem::take(&mut data.rows);
        if rows.is_empty() {
            return;
        }
        data.written += 1;
        let transaction = Transaction { job: of.0, attempt: of.1, subtask, number: data.written };
        data.pending.push((before, transaction));
        self.store.files.insert(transaction, rows);
    }
}

/// The key of a row.
pub(crate) fn key((split, n): Row) -> u32 {
    (split + n as u32) % SPLITS
}
