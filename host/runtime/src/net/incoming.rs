//! A connection by which another TaskManager sends: its channels, each into a gate here.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use wasmill_connectors::CheckpointKind;
use wasmill_model::Timestamp;
use wasmill_wire::{Assembly, Checksum, Frame, Layout, Open, Reason, credit::Amount, decode};

use super::{
    link::Heard,
    outbound::Outbound,
    registry::{Answer, Channel},
};
use crate::{
    exchange::{Barrier, Element, Inlet},
    life::{Failure, Life},
};

/// Channels of one connection, at most.
const CHANNELS_MAX: usize = 1 << 16;

/// A connection that somebody else has made.
#[derive(Debug)]
pub(crate) struct Incoming {
    name: String,
    this: Weak<Self>,
    pub(super) out: Outbound,
    pub(super) heard: Heard,
    channels: Mutex<Channels>,
    /// Frames of channels that were closed here.
    late: AtomicU64,
}

#[derive(Debug, Default)]
struct Channels {
    all: HashMap<u32, State>,
    /// The highest number that has been opened.
    last: u32,
    gone: bool,
}

#[derive(Debug)]
enum State {
    /// The attempt has not started here. Control needs no credit and may come already.
    Waiting {
        watermark: Option<Timestamp>,
        idle: bool,
        end: bool,
    },
    Bound(Box<Bound>),
    /// It was closed here; frames that are on their way are let fall.
    Closed,
}

#[derive(Debug)]
struct Bound {
    inlet: Inlet,
    layout: Arc<Layout>,
    life: Arc<Life>,
    assembly: Assembly,
    sequence: u64,
}

/// Gives credit back to the writer of a channel.
#[derive(Debug)]
pub(crate) struct CreditLine {
    incoming: Weak<Incoming>,
    number: u32,
}

impl CreditLine {
    pub(crate) fn give(&self, amount: Amount) {
        if let Some(incoming) = self.incoming.upgrade() {
            incoming.out.credit(self.number, amount);
        }
    }
}

impl Incoming {
    pub(super) fn new(name: String, checksum: Checksum) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            name,
            this: this.clone(),
            out: Outbound::new(checksum),
            heard: Heard::default(),
            channels: Mutex::default(),
            late: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Frames that came for channels that were closed.
    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Handles a frame. An error is a violation of the protocol. `register` asks the registry.
    pub(super) fn handle(&self, frame: Frame, register: impl FnOnce(Open, Channel) -> Answer) -> Result<(), String> {
        match frame {
            Frame::Open { channel, open } => self.opened(channel, open, register),
            Frame::Data { channel, sequence, more, body } => self.data(channel, sequence, more, body),
            Frame::Watermark { channel, time } => self.control(channel, Element::Watermark(time)),
            Frame::Idle { channel } => self.control(channel, Element::Idle),
            Frame::Barrier { channel, checkpoint, savepoint } => {
                let kind = if savepoint { CheckpointKind::Savepoint } else { CheckpointKind::Checkpoint };
                self.control(channel, Element::Barrier(Barrier { checkpoint, kind }))
            }
            Frame::End { channel } => self.control(channel, Element::End),
            Frame::Close { channel: 0, words, .. } => Err(words),
            Frame::Close { channel, .. } => {
                self.lock().all.remove(&channel);
                Ok(())
            }
            Frame::Ping => Ok(()),
            Frame::Hello(_) | Frame::Credit { .. } => Err("a frame came that is not for the side that receives".into()),
        }
    }

    fn opened(&self, number: u32, open: Open, register: impl FnOnce(Open, Channel) -> Answer) -> Result<(), String> {
        {
            let mut channels = self.lock();
            if number <= channels.last || channels.all.len() >= CHANNELS_MAX {
                return Err(format!("channel {number} is opened out of order, or is one too many"));
            }
            channels.last = number;
            channels.all.insert(number, State::Waiting { watermark: None, idle: false, end: false });
        }
        let answer = register(open, Channel { incoming: self.this.clone(), number });
        self.answer(number, answer);
        Ok(())
    }

    /// The registry has answered an OPEN.
    pub(super) fn answer(&self, number: u32, answer: Answer) {
        match answer {
            Answer::Waits => {}
            Answer::Refused(reason, words) => self.close(number, reason, words),
            Answer::Bound { inlet, layout, life } => self.bind(number, inlet, layout, life),
        }
    }

    fn bind(&self, number: u32, inlet: Inlet, layout: Arc<Layout>, life: Arc<Life>) {
        let mut channels = self.lock();
        if channels.gone {
            drop(channels);
            life.fail(Failure::Lost { peer: self.name.clone(), reason: "it ended before its channels began".into() });
            return;
        }
        // A channel that its writer has closed meanwhile stays silent: the attempt is being stopped there.
        let Some(state @ State::Waiting { .. }) = channels.all.get_mut(&number) else { return };
        let bound = Bound { inlet, layout, life, assembly: Assembly::default(), sequence: 0 };
        bound.inlet.open(CreditLine { incoming: self.this.clone(), number });
        let State::Waiting { watermark, idle, end } = std::mem::replace(state, State::Bound(Box::new(bound))) else {
            return;
        };
        let State::Bound(bound) = state else { return };
        watermark.into_iter().for_each(|time| bound.inlet.put_control(Element::Watermark(time)));
        if idle {
            bound.inlet.put_control(Element::Idle);
        }
        if end {
            bound.inlet.put_control(Element::End);
            channels.all.remove(&number);
            drop(channels);
            self.finish(number);
        }
    }

    /// Closes a channel from here.
    pub(super) fn close(&self, number: u32, reason: Reason, words: &str) {
        let mut channels = self.lock();
        let Some(state) = channels.all.get_mut(&number) else { return };
        if !matches!(std::mem::replace(state, State::Closed), State::Closed) {
            drop(channels);
            self.out.frame(Frame::Close { channel: number, reason, words: words.to_owned() });
        }
    }

    /// A channel has come to its end: its writer is told, who then no longer depends on the connection.
    fn finish(&self, number: u32) {
        self.out.frame(Frame::Close { channel: number, reason: Reason::Finished, words: String::new() });
    }

    fn data(&self, number: u32, sequence: u64, more: bool, body: Vec<u8>) -> Result<(), String> {
        let mut channels = self.lock();
        match channels.state(number)? {
            State::Closed => {
                self.late.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            State::Waiting { .. } => Err(format!("data came by channel {number} without credit")),
            State::Bound(bound) => bound.data(sequence, more, body).map_err(|why| format!("channel {number}: {why}")),
        }
    }

    fn control(&self, number: u32, element: Element) -> Result<(), String> {
        let mut channels = self.lock();
        let ends = matches!(element, Element::End);
        match channels.state(number)? {
            State::Closed => {
                self.late.fetch_add(1, Ordering::Relaxed);
                if ends {
                    channels.all.remove(&number);
                }
                return Ok(());
            }
            State::Waiting { end: true, .. } => return Err(format!("channel {number} goes on behind its end")),
            // A checkpoint begins only once everybody runs.
            State::Waiting { .. } if matches!(element, Element::Barrier(_)) => {
                return Err(format!("a barrier came by channel {number}, whose reader does not run yet"));
            }
            State::Waiting { watermark, idle, end } => {
                match element {
                    Element::Watermark(time) => (*watermark, *idle) = (Some(time), false),
                    Element::Idle => *idle = true,
                    _ => *end = true,
                }
                return Ok(());
            }
            State::Bound(bound) if !bound.assembly.is_empty() => {
                return Err(format!("channel {number} breaks off within a batch"));
            }
            State::Bound(bound) => bound.inlet.put_control(element),
        }
        if ends {
            channels.all.remove(&number);
            drop(channels);
            self.finish(number);
        }
        Ok(())
    }

    /// The connection is gone, and with it all attempts that have a channel on it.
    pub(super) fn end(&self, reason: &str) {
        let all = {
            let mut channels = self.lock();
            channels.gone = true;
            std::mem::take(&mut channels.all)
        };
        for state in all.into_values() {
            if let State::Bound(bound) = state {
                bound.life.fail(Failure::Lost { peer: self.name.clone(), reason: reason.to_owned() });
            }
        }
        self.out.close();
    }
}

impl Channels {
    fn state(&mut self, number: u32) -> Result<&mut State, String> {
        self.all.get_mut(&number).ok_or_else(|| format!("a frame came by channel {number}, which is not open"))
    }
}

impl Bound {
    fn data(&mut self, sequence: u64, more: bool, body: Vec<u8>) -> Result<(), String> {
        if sequence != self.sequence {
            return Err(format!("frame {sequence} came where {} was expected", self.sequence));
        }
        self.sequence += 1;
        let text = |error: wasmill_wire::Error| error.to_string();
        self.inlet.check((self.assembly.len() + body.len()) as u64).map_err(text)?;
        let Some(bytes) = self.assembly.add(body, more).map_err(text)? else { return Ok(()) };
        let length = bytes.len() as u64;
        let batch = decode(&self.layout, bytes).map_err(text)?;
        self.inlet.put_batch(batch, length).map_err(text)
    }
}
