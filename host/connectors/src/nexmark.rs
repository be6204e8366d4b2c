//! The `nexmark` source: the made-up auction house of the Nexmark benchmark.
//!
//! Every event is a pure function of its number, the seed and the key space, so that the same events come out
//! whatever the parallelism. Events are dealt out in *blocks* of consecutive numbers, in turn to each subtask.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmill_model::{
    Batch,
    settings::{self, Setting, Settings},
};

use crate::{
    Error, Polled, Source, SourcePort,
    nexmark::{
        clock::EventClock,
        events::{Generator, Kind},
    },
    number::rfc3339_ms,
};

mod clock;
mod divide;
mod events;

/// Events of a block if all are bids.
const BLOCK_OF_BIDS: u64 = 4_096;
/// Events of a block of all kinds: 89 times 50, which makes 4,094 bids.
const BLOCK_OF_ALL: u64 = 89 * events::EPOCH;
/// Blocks a second that a subtask makes at least where a rate is set, so that none makes all the events for long.
const BLOCKS_PER_SECOND: u64 = 100;
/// Blocks without an event that anybody reads after which a poll gives up, so that a source of which nobody reads anything can be
/// stopped.
const EMPTY_BLOCKS_MAX: usize = 1_000;
/// Largest event number, so that times cannot overflow.
const EVENTS_MAX: i64 = 1 << 53;
const KEYS_MAX: i64 = 1 << 40;
const KEYS_DEFAULT: u64 = 10_000;
const EVENT_RATE_DEFAULT: u64 = 10_000;
/// 2023-11-14T22:13:20Z.
const FIRST_EVENT_TIME_DEFAULT: i64 = 1_700_000_000_000;
const RATE_MAX: i64 = 1 << 32;

/// The keys of a `nexmark` source.
#[derive(Debug, Clone)]
pub(crate) struct NexmarkConfig {
    /// None: without end.
    events: Option<u64>,
    /// Events a second of all subtasks together; none: as fast as they can.
    rate: Option<u64>,
    generator: GeneratorConfig,
    ports: Vec<SourcePort>,
}

/// What decides what the events are.
#[derive(Debug, Clone)]
struct GeneratorConfig {
    seed: u64,
    /// How many different bidders there are.
    keys: u64,
    only_bids: bool,
    clock: EventClock,
}

impl NexmarkConfig {
    pub(crate) fn read(settings: &Settings) -> Result<Self, settings::Error> {
        let positive = |max: i64| move |setting: &Setting| setting.integer(1, max).map(|n| n as u64);
        let events = settings.optional("events", |s| s.integer(0, EVENTS_MAX))?;
        let rate = settings.optional("rate", positive(RATE_MAX))?;
        let seed = settings.optional("seed", |s| s.integer(0, i64::MAX))?.unwrap_or(0) as u64;
        let keys = settings.optional("keys", positive(KEYS_MAX))?.unwrap_or(KEYS_DEFAULT);
        let only_bids = settings.optional("only_bids", Setting::boolean)?.unwrap_or(false);
        let first_ms = settings.optional("first_event_time", read_time)?.unwrap_or(FIRST_EVENT_TIME_DEFAULT);
        let event_rate = settings.optional("event_rate", positive(RATE_MAX))?.unwrap_or(EVENT_RATE_DEFAULT);
        let clock = EventClock::new(first_ms, event_rate);
        Ok(Self {
            events: events.map(|n| n as u64),
            rate,
            generator: GeneratorConfig { seed, keys, only_bids, clock },
            ports: Kind::ALL.map(|kind| SourcePort { name: kind.port().into(), schema: kind.schema() }).into(),
        })
    }

    pub(crate) fn ports(&self) -> &[SourcePort] {
        &self.ports
    }

    pub(crate) fn bounded(&self) -> bool {
        self.events.is_some()
    }

    pub(crate) fn open(
        &self,
        subtask: u32,
        parallelism: u32,
        wanted: &[Option<Vec<bool>>],
        positions: Option<&[Value]>,
    ) -> Result<NexmarkSource, Error> {
        let GeneratorConfig { seed, keys, only_bids, clock } = self.generator.clone();
        let (all, made) = match positions {
            Some(positions) => {
                let read = positions.iter().map(Strand::read).collect::<Result<Vec<_>, _>>()?;
                // What is due counts from the first event that is still to come.
                let made = read.iter().map(|strand| strand.next).min().unwrap_or_default();
                (Strand::shared(read, parallelism), made)
            }
            None => (self.strands(parallelism), 0),
        };
        Ok(NexmarkSource {
            generator: Generator::new(seed, keys, only_bids, clock),
            wanted: Kind::ALL.map(|kind| wanted[kind as usize].clone()),
            end: self.events.unwrap_or(EVENTS_MAX as u64),
            rate: self.rate,
            started_at_ms: None,
            made,
            strands: all.into_iter().skip(subtask as usize).step_by(parallelism as usize).collect(),
        })
    }

    /// Each subtask's events, from the first one on.
    fn strands(&self, parallelism: u32) -> Vec<Strand> {
        let (unit, most) = if self.generator.only_bids { (1, BLOCK_OF_BIDS) } else { (events::EPOCH, BLOCK_OF_ALL) };
        let block = match self.rate {
            Some(rate) if parallelism > 1 => (rate / BLOCKS_PER_SECOND / unit * unit).clamp(unit, most),
            _ => most,
        };
        let stride = block * u64::from(parallelism);
        let strand = |number: u32| Strand::new(block, stride, u64::from(number) * block);
        (0..parallelism).map(strand).collect()
    }
}

fn read_time(setting: &Setting) -> Result<i64, settings::Error> {
    const LATEST_MS: i64 = 1 << 52;
    match setting.string() {
        Ok(text) => rfc3339_ms(text)
            .ok_or_else(|| setting.error(format!("expected ms since the epoch or an RFC 3339 time, found \"{text}\""))),
        Err(_) => setting.integer(-LATEST_MS, LATEST_MS),
    }
}

/// Some of all events: a block, and others at equal distances. It is read from its first event to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strand {
    /// Events of a block.
    block: u64,
    /// From the start of one of its blocks to the start of the next.
    stride: u64,
    /// The first event not made yet.
    next: u64,
    /// The events being handed out, kind by kind.
    current: Range<u64>,
    /// How many kinds of them are still to come.
    kinds_left: usize,
}

impl Strand {
    fn new(block: u64, stride: u64, next: u64) -> Self {
        Self { block, stride, next, current: 0..0, kinds_left: 0 }
    }

    fn read(value: &Value) -> Result<Self, Error> {
        let refused = |reason: String| Error::Position { of: "the source `nexmark`".to_owned(), reason };
        let strand = Self::deserialize(value).map_err(|e| refused(e.to_string()))?;
        let is_one = strand.block > 0 && strand.stride >= strand.block && strand.kinds_left <= Kind::IN_ORDER.len();
        if is_one { Ok(strand) } else { Err(refused(format!("{value} is none"))) }
    }

    /// Cuts strands until there is one for each subtask.
    fn shared(strands: Vec<Self>, parallelism: u32) -> Vec<Self> {
        let parts = (u64::from(parallelism)).div_ceil(strands.len().max(1) as u64).max(1);
        strands.into_iter().flat_map(|strand| strand.cut(parts)).collect()
    }

    /// The same events in several strands.
    fn cut(self, parts: u64) -> impl Iterator<Item = Self> {
        let stride = self.stride * parts;
        let block_at = self.next / self.block * self.block;
        let others = (1..parts).map(move |part| Self::new(self.block, stride, block_at + part * self.stride));
        std::iter::once(Self { stride, ..self }).chain(others)
    }

    /// Chooses the next range of events, of those before `due` and `end`.
    fn advance(&mut self, due: u64, end: u64) {
        let to = ((self.next / self.block + 1) * self.block).min(due);
        self.current = self.next..to.min(end);
        self.kinds_left = Kind::IN_ORDER.len();
        self.next = to;
        if to.is_multiple_of(self.block) {
            self.next += self.stride - self.block;
        }
    }
}

/// One subtask's events.
pub(crate) struct NexmarkSource {
    generator: Generator,
    /// By kind: the columns that are read, or none if nobody reads the port.
    wanted: [Option<Vec<bool>>; 3],
    /// The number behind the last event.
    end: u64,
    rate: Option<u64>,
    /// When it was polled first.
    started_at_ms: Option<i64>,
    /// Events that had been made by all subtasks then, roughly.
    made: u64,
    strands: Vec<Strand>,
}

impl NexmarkSource {
    /// Chooses the next range of events. `Err`: there is none before that time.
    fn advance(&mut self, now_ms: i64) -> Result<(), i64> {
        let Some(first) = (0..self.strands.len()).min_by_key(|&strand| self.strands[strand].next) else {
            return Ok(());
        };
        let next = self.strands[first].next;
        let mut due = u64::MAX;
        if let Some(rate) = self.rate {
            let started_at_ms = *self.started_at_ms.get_or_insert(now_ms);
            let elapsed_ms = now_ms.saturating_sub(started_at_ms).max(0) as u128;
            due = self.made + (elapsed_ms * u128::from(rate) / 1_000) as u64;
            if due <= next {
                let wait_ms = (u128::from(next + 1 - self.made.min(next)) * 1_000).div_ceil(u128::from(rate));
                return Err(started_at_ms.saturating_add(wait_ms as i64));
            }
        }
        self.strands[first].advance(due, self.end);
        Ok(())
    }

    fn next_of_current(&mut self) -> Option<(Kind, Batch)> {
        while let Some(strand) = self.strands.iter_mut().find(|strand| strand.kinds_left > 0) {
            let kind = Kind::IN_ORDER[Kind::IN_ORDER.len() - strand.kinds_left];
            strand.kinds_left -= 1;
            let Some(wanted) = &self.wanted[kind as usize] else { continue };
            let batch = self.generator.batch(kind, strand.current.clone(), wanted);
            if batch.rows > 0 {
                return Some((kind, batch));
            }
        }
        None
    }
}

impl Source for NexmarkSource {
    fn poll(&mut self, now_ms: i64) -> Result<Polled, Error> {
        for _ in 0..EMPTY_BLOCKS_MAX {
            if let Some((kind, batch)) = self.next_of_current() {
                return Ok(Polled::Batch { port: kind as usize, batch });
            }
            if self.strands.iter().all(|strand| strand.next >= self.end) {
                return Ok(Polled::End);
            }
            if let Err(retry_at_ms) = self.advance(now_ms) {
                return Ok(Polled::Pending { retry_at_ms });
            }
        }
        Ok(Polled::Pending { retry_at_ms: now_ms })
    }

    fn positions(&self) -> Vec<Value> {
        self.strands.iter().map(|strand| json!(strand)).collect()
    }
}

#[cfg(test)]
mod tests;
