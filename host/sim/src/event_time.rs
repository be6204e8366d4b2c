//! Event time of jobs that take checkpoints, by the very code of `flow`: a source makes a watermark from the times of its rows, a sink
//! combines those of its channels and aligns its barriers, and the timer that each row sets fires as the watermark comes past it.
//!
//! Times follow from the row alone, so that they are the same in every attempt. Sources of endless jobs are silent now and then, until
//! they are idle; those of some jobs keep in step.

use std::{collections::BTreeSet, time::Duration};

use wasmill_control::{
    jobmanager::{InStep, JobShape},
    message::SourceWatermark,
};
use wasmill_flow::{
    Alignment, Command, Event, NextTimers, Progress, Rounds, Wants, WatermarkGenerator, WatermarkOptions, Watermarks,
};
use wasmill_model::{Timestamp, ids::Subtask, time};

use crate::{
    Sabotage,
    checkers::{Fact, Try},
    data::{CHANNEL_MAX, Item, ROWS, SPLITS},
    random::Random,
    store::{Fired, Row, Timer},
    world::World,
};

/// Between two rows of a split, and between the first rows of two splits: those that end follow each other.
const ROW_MS: Timestamp = 10;
const SPLIT_MS: Timestamp = ROW_MS * ROWS as Timestamp;

/// Rows of a split are out of order by less than this.
const OUT_OF_ORDER_MS: Timestamp = 40;

/// How much later than its row a timer is due, at most.
const DUE_MS_MAX: Timestamp = 120;

/// How long a source must have nothing until it is idle.
const IDLE_AFTER: Duration = Duration::from_millis(300);

/// When a row happened.
pub(crate) fn event_time((split, n): Row) -> Timestamp {
    let (split, n) = (Timestamp::from(split), n as Timestamp);
    split * SPLIT_MS + n * ROW_MS + (split * 7 + n * 13) % OUT_OF_ORDER_MS
}

/// The timer that a row sets.
pub(crate) fn timer(row: Row) -> Timer {
    let (split, n) = row;
    (event_time(row) + (Timestamp::from(split) * 17 + n as Timestamp * 31) % DUE_MS_MAX, row)
}

/// The time of a source.
#[derive(Debug)]
pub(crate) struct SourceTime {
    generator: WatermarkGenerator,
    options: WatermarkOptions,
    channels: usize,
    /// What it began with: the split of each of its channels, if it has several.
    splits: Vec<u32>,
    /// It has no rows before.
    silent_until_ms: Timestamp,
}

impl SourceTime {
    /// Of a source that begins with these splits. Those that end are one stream, as they are read one after the other; the others are
    /// one each.
    fn new(splits: &[u32], options: WatermarkOptions, now: Duration) -> Self {
        let channels = if options.idle_after.is_some() { splits.len().max(1) } else { 1 };
        let generator = WatermarkGenerator::new(channels, options, now);
        Self { generator, options, channels, splits: splits.to_vec(), silent_until_ms: Timestamp::MIN }
    }

    /// Has read a row.
    fn row(&mut self, row: Row, now: Duration) -> Option<Progress> {
        let own = self.splits.iter().position(|split| *split == row.0);
        let channel = if self.channels == 1 { 0 } else { own.expect("endless splits are not given to others") };
        self.generator.rows(channel, Some(event_time(row)), now)
    }
}

/// What comes to a sink, in order.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) alignment: Alignment,
    watermarks: Watermarks,
    rounds: Rounds,
    pub(crate) timers: BTreeSet<Timer>,
}

impl Gate {
    /// Of a sink with so many channels, which goes on with these timers.
    pub(crate) fn new(channels: u32, timers: BTreeSet<Timer>) -> Self {
        let channels = channels as usize;
        let (alignment, watermarks) = (Alignment::new(channels), Watermarks::new(channels));
        Self { alignment, watermarks, rounds: new_rounds(), timers }
    }

    /// What its channels are together after something has come by one of them, if that has changed.
    fn take(&mut self, channel: u32, item: Item) -> Option<Progress> {
        let channel = channel as usize;
        match item {
            Item::Row(_) => self.watermarks.active(channel),
            Item::Watermark(watermark) => self.watermarks.advance(channel, watermark),
            Item::Idle => self.watermarks.idle(channel),
            Item::End => self.watermarks.finish(channel),
            Item::Barrier(_) => None,
        }
    }

    /// What fires in a round, timers that are due a little later included if it is `hasty`; and whether it was the last.
    fn round(&mut self, progress: Progress, hasty: Timestamp) -> (Vec<Fired>, bool) {
        let (mut fired, mut ended) = (Vec::new(), false);
        self.rounds.begin(match progress {
            Progress::Watermark(watermark) => Event::Watermark(watermark),
            Progress::Idle => Event::Idle,
            Progress::Finished => Event::End,
        });
        loop {
            let event_time = self.timers.first().map(|(due_ms, _)| *due_ms);
            match self.rounds.next(NextTimers { event_time, processing_time: None }) {
                Some(Command::FireTimers { up_to, max, .. }) => {
                    let up_to_ms = up_to.saturating_add(hasty);
                    let due = self.timers.iter().take_while(|(due_ms, _)| *due_ms <= up_to_ms).take(max);
                    let due: Vec<Timer> = due.copied().collect();
                    let watermark = self.rounds.watermark();
                    for timer in due {
                        self.timers.remove(&timer);
                        fired.push(Fired { timer, watermark });
                    }
                }
                Some(Command::ForwardEnd) => ended = true,
                Some(_) => {}
                None => return (fired, ended),
            }
        }
    }
}

fn new_rounds() -> Rounds {
    Rounds::new(Wants { timers: true, notice_watermark: false, notice_end: false })
}

/// Lets the sources of some jobs keep in step.
pub(crate) fn keep_in_step(shape: &mut JobShape, random: &mut Random) {
    if shape.checkpoints.is_some() && random.permille(350) {
        let max_drift_ms = Some(random.between(100, 600).unsigned_abs());
        shape.in_step = vec![InStep { chain: 0, group: 0, max_drift_ms }];
    }
}

impl World {
    fn clock(&self) -> Duration {
        Duration::from_millis(self.now_ms.unsigned_abs())
    }

    fn max_drift_ms(&self, of: Try) -> Option<u64> {
        self.shapes[&of].in_step.first().and_then(|source| source.max_drift_ms)
    }

    /// The time of a source that begins: it has no watermark, wherever it goes on.
    pub(crate) fn source_time(&self, of: Try, splits: &[u32]) -> SourceTime {
        let out_of_order = if self.is(Sabotage::ForgetsDelay) { 0 } else { OUT_OF_ORDER_MS };
        let out_of_order = Duration::from_millis(out_of_order.unsigned_abs());
        let idle_after = self.is_endless(of).then_some(IDLE_AFTER);
        let in_step = self.max_drift_ms(of).is_some() && !self.is(Sabotage::IgnoresLimits);
        SourceTime::new(splits, WatermarkOptions { out_of_order, idle_after, in_step }, self.clock())
    }

    pub(crate) fn set_limits(&mut self, index: usize, of: Try, limits: Vec<(Subtask, Timestamp)>) {
        if let Some(kept) = self.kept_mut(index, of) {
            kept.limits = limits.into_iter().collect();
        }
    }

    /// How far the sources on a TaskManager are.
    pub(crate) fn source_watermarks(&mut self, index: usize) -> Vec<SourceWatermark> {
        let sources = self.sources_at(index);
        let of_source = |(of, subtask): (Try, Subtask)| {
            let data = self.data(index, of, subtask);
            let watermark = match data.time.as_ref().map(|time| time.generator.progress()) {
                _ if data.ended => None,
                Some(Progress::Watermark(watermark)) => Some(watermark),
                Some(Progress::Idle | Progress::Finished) => None,
                // It has not begun.
                None => Some(time::MIN),
            };
            SourceWatermark { job: of.0, attempt: of.1, subtask, watermark }
        };
        sources.into_iter().map(of_source).collect()
    }

    /// Whether a source is to read on: what follows has room, it is not ahead of others, and there is something to read.
    pub(crate) fn may_read(&mut self, index: usize, of: Try, subtask: Subtask, sinks: u32) -> bool {
        let now = self.clock();
        let limit = self.kept_ref(index, of).limits.get(&subtask).copied();
        let full = |sink| {
            self.channels.get(&(of, subtask.index, sink)).is_some_and(|c| c.len() + SPLITS as usize > CHANNEL_MAX)
        };
        let full = (0..sinks).any(full);
        let time = self.data(index, of, subtask).time();
        if let Some(limit) = limit {
            time.generator.set_limit(limit);
        }
        let is_ahead = time.generator.is_in_step() && time.generator.ahead_of(now).is_some();
        if !is_ahead && !full {
            time.generator.unblocked(now);
        } else if full {
            time.generator.blocked(now);
        }
        if is_ahead || full {
            self.counts.waits += u64::from(is_ahead);
            return false;
        }
        if self.is_silent(index, of, subtask) {
            let progress = self.data(index, of, subtask).time().generator.advance(now);
            self.pass_on(of, subtask, sinks, progress);
            return false;
        }
        if let Some(drift_ms) = self.max_drift_ms(of) {
            let sources = self.kept_ref(index, of).chains[0];
            self.see(&Fact::Reads { of, source: subtask.index, sources, drift_ms });
        }
        true
    }

    /// Whether there is nothing to read: never where the input ends.
    fn is_silent(&mut self, index: usize, of: Try, subtask: Subtask) -> bool {
        let now_ms = self.now_ms;
        if !self.is_endless(of) {
            return false;
        }
        if self.data(index, of, subtask).time().silent_until_ms > now_ms {
            return true;
        }
        let begins = self.has_faults() && self.times.permille(self.profile.silent_permille);
        if begins {
            let until_ms = now_ms + self.times.between(50, 1_500);
            self.data(index, of, subtask).time().silent_until_ms = until_ms;
            self.see(&Fact::Silent { of, source: subtask.index });
        }
        begins
    }

    /// A row of a source is on its way: its time may have gone on.
    pub(crate) fn pass_time(&mut self, index: usize, of: Try, subtask: Subtask, sinks: u32, row: Row) {
        let now = self.clock();
        let progress = self.data(index, of, subtask).time().row(row, now);
        self.pass_on(of, subtask, sinks, progress);
    }

    fn pass_on(&mut self, of: Try, subtask: Subtask, sinks: u32, progress: Option<Progress>) {
        let Some(progress) = progress else { return };
        match progress {
            Progress::Watermark(watermark) => self.send(of, subtask.index, sinks, Item::Watermark(watermark)),
            Progress::Idle => {
                self.counts.idles += 1;
                self.send(of, subtask.index, sinks, Item::Idle);
            }
            // The end is told by the source itself.
            Progress::Finished => {}
        }
        self.see(&Fact::Stands { of, source: subtask.index, progress });
    }

    /// A source has let a barrier go.
    pub(crate) fn after_barrier(&mut self, index: usize, of: Try, subtask: Subtask) {
        if self.is(Sabotage::SourceForgetsTime) {
            let now = self.clock();
            let time = self.data(index, of, subtask).time();
            time.generator = WatermarkGenerator::new(time.channels, time.options, now);
        }
    }

    /// A sink has taken something from a channel: time goes on, and timers fire. Whether that was the end.
    pub(crate) fn take_time(&mut self, index: usize, of: Try, subtask: Subtask, source: u32, item: Item) -> bool {
        let sources = self.kept_ref(index, of).chains[0];
        let hasty = if self.is(Sabotage::FiresEarly) { OUT_OF_ORDER_MS } else { 0 };
        let ignored = self.is(Sabotage::IdleHoldsBack) && matches!(item, Item::Idle);
        let overtakes = self.is(Sabotage::OvertakesChannels);
        let gate = self.data(index, of, subtask).gate();
        let mut progress = if ignored { None } else { gate.take(source, item) };
        if let (true, Item::Watermark(watermark)) = (overtakes, item) {
            progress = Some(Progress::Watermark(watermark));
        }
        let (fired, ended) = progress.map_or_else(Default::default, |progress| gate.round(progress, hasty));
        let watermark = gate.rounds.watermark();
        self.counts.timers += fired.len() as u64;
        self.data(index, of, subtask).open.fired.extend(fired);
        if !matches!(item, Item::Barrier(_)) {
            self.see(&Fact::Came { of, sink: subtask.index, source, sources, item, watermark });
        }
        ended
    }

    /// A sink has taken its part of a checkpoint.
    pub(crate) fn after_part(&mut self, index: usize, of: Try, subtask: Subtask) {
        if self.is(Sabotage::SinkForgetsTime) {
            self.data(index, of, subtask).gate().rounds = new_rounds();
        }
    }
}
