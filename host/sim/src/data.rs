//! Subtasks of jobs that take checkpoints: sources with positions, and sinks that count and write transactions, with channels
//! between them in which barriers go. They do what the shells promise: a part is durable before it is told, an attempt runs once
//! what it was restored from is visible, and nothing becomes visible but what a complete checkpoint covers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wasmill_control::message::{At, Checkpoints, Said, SubtaskState, Trigger};
use wasmill_flow::{Progress, Step};
use wasmill_model::{
    Timestamp,
    ids::{CheckpointId, Subtask},
    portions::{Asks, Given},
};

use crate::{
    Sabotage,
    checkers::{Fact, Try},
    event_time::{Gate, SourceTime, timer},
    losses::Excuses,
    store::{Part, Results, Row, Transaction, share},
    world::{Happening, World},
};

/// Splits of an input, and rows in each if it ends.
pub(crate) const SPLITS: u32 = 6;
pub(crate) const ROWS: u64 = 25;

/// What can wait in a channel.
pub(crate) const CHANNEL_MAX: usize = 12;

/// Rows of a split that ends that are read at once.
const READ_MAX: usize = 3;

/// What a sink takes from a channel before it looks at the next.
const TAKEN_MAX: usize = 12;

/// What goes from a source to a sink.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    Row(Row),
    Watermark(Timestamp),
    Idle,
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
    pub(crate) excuses: Excuses,
    /// Up to which watermark its sources may go.
    pub(crate) limits: BTreeMap<Subtask, Timestamp>,
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
    pub(crate) open: Results,
    /// Prepared, each with the checkpoint before which it was; none: before the end.
    pending: Vec<(Option<CheckpointId>, Transaction)>,
    written: u64,
    gate: Option<Gate>,
    /// Of a source.
    pub(crate) time: Option<SourceTime>,
    /// The newest checkpoint that it has handled, and that it has said its part of.
    taken: Option<CheckpointId>,
    said: Option<CheckpointId>,
    committed: Option<CheckpointId>,
    pub(crate) ended: bool,
}

impl Data {
    pub(crate) fn time(&mut self) -> &mut SourceTime {
        self.time.as_mut().expect("it is a source that has begun")
    }

    pub(crate) fn gate(&mut self) -> &mut Gate {
        self.gate.as_mut().expect("it is a sink that has begun")
    }

    /// What becomes visible with a checkpoint. One of which it has said no part has its end in it.
    fn covered(&mut self, to: CheckpointId) -> Vec<(Option<CheckpointId>, Transaction)> {
        let with_end = self.ended && Some(to) > self.said;
        let is_in = |(of, _): &mut (Option<CheckpointId>, _)| of.map_or(with_end, |of| of <= to);
        self.pending.extract_if(.., is_in).collect()
    }

    /// The splits that a source reads a row of next. Those that end it reads one after the other, so that its time goes on.
    fn to_read(&self, bounded: bool) -> Vec<u32> {
        if !bounded {
            return self.own.clone();
        }
        let first = self.own.iter().find(|split| self.position(**split) < ROWS);
        first.map_or_else(Vec::new, |split| vec![*split; READ_MAX])
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
                open: self.open.clone(),
                timers: self.gate.as_ref().map(|gate| gate.timers.clone()).unwrap_or_default(),
                transactions: self.pending.iter().map(|(_, transaction)| *transaction).collect(),
            },
        }
    }
}

fn is_source(subtask: Subtask) -> bool {
    subtask.chain == 0
}

impl World {
    /// Takes up what the attempt begins from, and makes visible what belongs to it. False: some of that is lost.
    pub(crate) fn restore(&mut self, index: usize, of: Try, subtask: Subtask) -> bool {
        let Kept { restore, passed, chains, excuses, .. } = self.kept(index, of);
        let mut is_whole = true;
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
            data.time = Some(self.source_time(of, &data.own));
        } else {
            data.counts = numbers(manifest.as_ref().map(|manifest| &manifest.counts));
            let is_own = |row| data.counts.contains_key(&key(row));
            if let Some(manifest) = &manifest {
                // What was written on and became visible later is not to be written again.
                data.open = manifest.open.left(is_own, &self.store.shown_by(&passed));
            }
            let timers = manifest.iter().flat_map(|manifest| &manifest.timers).filter(|(_, row)| is_own(*row));
            let timers = if self.is(Sabotage::ForgetsTimers) { BTreeSet::new() } else { timers.copied().collect() };
            data.gate = Some(Gate::new(chains[0], timers));
            let all = manifest.map_or_else(Vec::new, |manifest| manifest.transactions);
            let mine = all.iter().skip(subtask.index as usize).step_by(parallelism as usize);
            // Under this sabotage the subtask runs before.
            if !self.is(Sabotage::RunsBeforeRestored) {
                mine.for_each(|transaction| is_whole &= self.take_over(of, *transaction, &excuses));
            }
            // What earlier attempts have prepared and is in no checkpoint is of no use to anybody.
            self.store.files.retain(|file, _| file.job != of.0 || file.attempt >= of.1 || all.contains(file));
        }
        *self.data(index, of, subtask) = data;
        is_whole
    }

    /// A subtask has time.
    pub(crate) fn work(&mut self, index: usize, life: u64, of: Try, subtask: Subtask) {
        if self.taskmanagers[index].life != life || !self.is_at_work(index, of, subtask) {
            return;
        }
        if !self.show_completed(index, of, subtask) {
            let state = self.misses_results(of, subtask);
            return self.next(index, of, subtask, 0, state);
        }
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

    /// Makes visible what complete checkpoints cover, sooner or later. False: some of that is lost.
    fn show_completed(&mut self, index: usize, of: Try, subtask: Subtask) -> bool {
        let Some(to) = self.kept_ref(index, of).checkpoints.completed else { return true };
        let slow = self.has_faults() && self.random.permille(self.profile.slow_commit_permille);
        if self.data(index, of, subtask).committed >= Some(to) || slow {
            return true;
        }
        if !self.show_covered(index, of, subtask, to) {
            return false;
        }
        self.data(index, of, subtask).committed = Some(to);
        self.say(index, of, subtask, Said::Committed(to));
        true
    }

    /// Makes visible what a checkpoint covers. False: some of that is lost.
    fn show_covered(&mut self, index: usize, of: Try, subtask: Subtask, to: CheckpointId) -> bool {
        let covered = self.data(index, of, subtask).covered(to);
        let lost = covered.into_iter().filter(|(_, transaction)| !self.show(*transaction));
        let lost: Vec<_> = lost.collect();
        let is_whole = lost.is_empty();
        self.data(index, of, subtask).pending.extend(lost);
        is_whole
    }

    /// At the end of a subtask: all that it may still make visible. False: some of that is lost.
    pub(crate) fn show_at_end(&mut self, index: usize, of: Try, subtask: Subtask, all: bool) -> bool {
        let completed = self.kept_ref(index, of).checkpoints.completed;
        if all {
            let pending = std::mem::take(&mut self.data(index, of, subtask).pending);
            return pending.into_iter().all(|(_, transaction)| self.show(transaction));
        }
        completed.is_none_or(|to| self.show_covered(index, of, subtask, to))
    }

    pub(crate) fn send(&mut self, of: Try, source: u32, sinks: u32, item: Item) {
        let to = match item {
            Item::Row((split, n)) => {
                let sink = key((split, n)) % sinks;
                sink..sink + 1
            }
            Item::Watermark(_) | Item::Idle | Item::Barrier(_) | Item::End => 0..sinks,
        };
        for sink in to {
            self.channels.entry((of, source, sink)).or_default().push_back(item);
        }
    }

    fn read(&mut self, index: usize, of: Try, subtask: Subtask) {
        let Kept { checkpoints, chains: [_, sinks], .. } = *self.kept_ref(index, of);
        let trigger = checkpoints.triggered.map(|trigger| trigger.id);
        let (taken, ended) = (self.data(index, of, subtask).taken, self.data(index, of, subtask).ended);
        if ended {
            return;
        }
        if let Some(id) = trigger.filter(|id| Some(*id) > taken && Some(*id) > checkpoints.given_up) {
            self.data(index, of, subtask).taken = Some(id);
            if self.says_part(index, of, subtask, id) {
                self.send(of, subtask.index, sinks, Item::Barrier(id));
                self.after_barrier(index, of, subtask);
            }
            return;
        }
        if !self.drains(index, of, subtask) && !self.may_read(index, of, subtask, sinks) {
            return;
        }
        let room = |world: &Self, sink| {
            world.channels.get(&(of, subtask.index, sink)).is_none_or(|channel| channel.len() < CHANNEL_MAX)
        };
        let bounded = !self.is_endless(of);
        self.ask(index, of, subtask, bounded);
        for split in self.data(index, of, subtask).to_read(bounded) {
            let position = self.data(index, of, subtask).position(split);
            if (0..sinks).all(|sink| room(self, sink)) && (!bounded || position < ROWS) {
                self.send(of, subtask.index, sinks, Item::Row((split, position)));
                self.pass_time(index, of, subtask, sinks, (split, position));
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
        let keeps_fired = self.is(Sabotage::KeepsFiredTimers);
        let data = self.data(index, of, subtask);
        let mut part = data.part(is_source(subtask));
        if let (Part::Sink { timers, open, .. }, true) = (&mut part, keeps_fired) {
            timers.extend(open.fired.iter().map(|fired| fired.timer));
        }
        let content = self.store.keep(part);
        self.say(index, of, subtask, Said::Part { at, content });
    }

    fn come_to_end(&mut self, index: usize, of: Try, subtask: Subtask) {
        // What it has said before may have been answered by an order to stop.
        if !self.is_at_work(index, of, subtask) {
            return;
        }
        self.data(index, of, subtask).ended = true;
        if is_source(subtask) {
            self.see(&Fact::Stands { of, source: subtask.index, progress: Progress::Finished });
        }
        // Decided before it is said: what is said may be answered by an order to stop, which decides otherwise.
        let takes_ms = self.random.between(1, 30);
        self.next(index, of, subtask, takes_ms, SubtaskState::Prepared);
        self.say_part(index, of, subtask, At::End);
    }

    fn take_items(&mut self, index: usize, of: Try, subtask: Subtask) {
        let Kept { checkpoints, chains: [sources, _], .. } = *self.kept_ref(index, of);
        if let Some(given_up) = checkpoints.given_up {
            self.data(index, of, subtask).gate().alignment.give_up(given_up);
        }
        for source in 0..sources {
            for _ in 0..TAKEN_MAX {
                if self.data(index, of, subtask).gate().alignment.is_held(source as usize) {
                    break;
                }
                let channel = self.channels.get_mut(&(of, source, subtask.index));
                let Some(item) = channel.and_then(VecDeque::pop_front) else { break };
                self.take_item(index, of, subtask, source, item);
            }
        }
    }

    fn take_item(&mut self, index: usize, of: Try, subtask: Subtask, source: u32, item: Item) {
        let unaligned = self.is(Sabotage::TakesAtFirstBarrier);
        let data = self.data(index, of, subtask);
        let step = match item {
            Item::Row(row) => {
                let count = data.counts.entry(key(row)).or_insert(0);
                *count += 1;
                data.open.rows.push((row, *count));
                data.gate().timers.insert(timer(row));
                Step::None
            }
            Item::Barrier(id) if unaligned => {
                if data.taken < Some(id) {
                    Step::Aligned(id)
                } else {
                    Step::None
                }
            }
            Item::Barrier(id) => data.gate().alignment.barrier(source as usize, id),
            Item::End => data.gate().alignment.finish(source as usize),
            Item::Watermark(_) | Item::Idle => Step::None,
        };
        if let Step::Aligned(id) = step {
            self.take_part(index, of, subtask, id);
        }
        let ended = self.take_time(index, of, subtask, source, item);
        if ended {
            self.seal(index, of, subtask, None);
            self.come_to_end(index, of, subtask);
        }
    }

    /// A barrier has come by all channels that have not ended.
    fn take_part(&mut self, index: usize, of: Try, subtask: Subtask, id: CheckpointId) {
        self.data(index, of, subtask).taken = Some(id);
        // With a savepoint all becomes visible; with another checkpoint what is full or old enough.
        let trigger = Some(Trigger { id, savepoint: false });
        let stays_open = self.kept_ref(index, of).checkpoints.triggered == trigger && self.damages.permille(700);
        if !stays_open {
            self.seal(index, of, subtask, Some(id));
        }
        self.says_part(index, of, subtask, id);
        self.after_part(index, of, subtask);
    }

    /// Prepares what was written since the last time.
    fn seal(&mut self, index: usize, of: Try, subtask: Subtask, before: Option<CheckpointId>) {
        let data = self.data(index, of, subtask);
        let results = std::mem::take(&mut data.open);
        if results.is_empty() {
            return;
        }
        data.written += 1;
        let transaction = Transaction { job: of.0, attempt: of.1, subtask, number: data.written };
        data.pending.push((before, transaction));
        self.store.files.insert(transaction, results);
    }
}

/// The key of a row.
pub(crate) fn key((split, n): Row) -> u32 {
    (split + n as u32) % SPLITS
}
