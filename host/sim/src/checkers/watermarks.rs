//! The watermark of a sink is the lowest of its channels that are active, once something has come by each, and never goes back within an
//! attempt. No row comes behind it, but of sources that were silent.

use std::collections::{BTreeMap, BTreeSet};

use wasmill_model::{Timestamp, time};

use crate::{
    checkers::{Fact, Try},
    data::Item,
    event_time::event_time,
};

#[derive(Debug, Default)]
pub(crate) struct Watermarks {
    sinks: BTreeMap<(Try, u32), Sink>,
    silent: BTreeSet<(Try, u32)>,
}

#[derive(Debug)]
struct Sink {
    channels: Vec<Channel>,
    watermark: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    /// What has come by it.
    watermark: Timestamp,
    idle: bool,
    ended: bool,
}

impl Watermarks {
    pub(crate) fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Silent { of, source } => drop(self.silent.insert((*of, *source))),
            Fact::Came { of, sink: number, source, sources, item, watermark } => {
                let new = || Sink::new(*sources);
                let sink = self.sinks.entry((*of, *number)).or_insert_with(new);
                let was_silent = self.silent.contains(&(*of, *source));
                sink.take(*source, *item, was_silent, *watermark).map_err(|broken| {
                    let (job, attempt) = of;
                    format!("sink {number} of {attempt} of {job}: {broken}")
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Sink {
    fn new(channels: u32) -> Self {
        let channel = Channel { watermark: time::MIN, idle: false, ended: false };
        Self { channels: vec![channel; channels as usize], watermark: time::MIN }
    }

    fn take(&mut self, source: u32, item: Item, was_silent: bool, watermark: Timestamp) -> Result<(), String> {
        let before = self.watermark;
        let channel = &mut self.channels[source as usize];
        match item {
            Item::Row(row) if event_time(row) <= before && !was_silent => {
                return Err(format!("row {row:?} of {} comes behind the watermark {before}", event_time(row)));
            }
            Item::Row(_) => channel.idle = false,
            Item::Watermark(new) if new < channel.watermark => {
                return Err(format!("source {source} goes back from {} to {new}", channel.watermark));
            }
            Item::Watermark(new) => (channel.watermark, channel.idle) = (new, false),
            Item::Idle => channel.idle = true,
            Item::Barrier(_) => {}
            Item::End => channel.ended = true,
        }
        let active = self.channels.iter().filter(|channel| !channel.idle && !channel.ended);
        let together = match active.map(|channel| channel.watermark).min() {
            Some(lowest) => lowest.max(before),
            None if self.channels.iter().all(|channel| channel.ended) => time::MAX,
            None => before,
        };
        self.watermark = watermark;
        match watermark {
            _ if watermark < before => Err(format!("its watermark goes back from {before} to {watermark}")),
            _ if watermark > together => {
                Err(format!("its watermark {watermark} overtakes its channels, at {together}"))
            }
            _ if watermark < together => {
                Err(format!("its watermark {watermark} is behind its channels, at {together}"))
            }
            _ => Ok(()),
        }
    }
}
