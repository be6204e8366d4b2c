//! The exchange: bounded channels into a subtask's gate.
//!
//! A gate is one subtask's inbox; a channel leads into it from one sending subtask. Within a TaskManager batches are passed by
//! reference; those of a subtask elsewhere come through an inlet, into which the network puts them.
//! Each channel has credit for so many batches and bytes: data consumes it, and a sender without any waits. Watermarks
//! and the end of a channel never need credit, and keep their order behind the data.
//!
//! Small batches that wait in a channel are joined when they are taken, so that batches are small when traffic is thin
//! and grow under load, without a timer.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use wasmill_connectors::CheckpointKind;
use wasmill_model::{Batch, Timestamp, batch::ROWS_TARGET, ids::CheckpointId};
use wasmill_wire::{
    self as wire,
    credit::{Amount, Window},
};

use crate::{activity, counters::blocked_since, net};

/// Batches that may wait in one channel. Enough to keep both sides busy, few enough to keep what is in flight small.
pub(crate) const CREDIT_BATCHES: usize = 8;

/// Bytes that may wait in one channel, but for one batch: a single larger one passes alone.
pub(crate) const CREDIT_BYTES: usize = 4 << 20;

/// Batches with fewer rows than this are joined with those behind them.
const JOIN_BELOW_ROWS: usize = 1_024;

/// Watermarks in a channel that have not been taken yet are merged, so that their number is bounded by the batches'.
#[derive(Debug, Clone)]
pub(crate) enum Element {
    Batch(Batch),
    Watermark(Timestamp),
    /// Nothing more is known to come for a while: the channel does not hold back the watermark.
    Idle,
    Barrier(Barrier),
    End,
}

/// The mark of a checkpoint between what belongs to it and what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    pub checkpoint: CheckpointId,
    pub kind: CheckpointKind,
}

/// What a gate hands out.
#[derive(Debug)]
pub(crate) enum Received {
    Element {
        channel: usize,
        element: Element,
    },
    /// Nothing came before the deadline, or there is something else to look at.
    Timeout,
    /// The attempt was stopped.
    Stopped,
}

/// The attempt was stopped while waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

#[derive(Debug)]
struct Inbox {
    channels: Vec<Channel>,
    /// Channels with something in them, in the order in which they are to be served.
    ready: VecDeque<usize>,
    reader_waits: bool,
    /// The reader is to look at something else than its channels.
    poked: bool,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Channel {
    queue: VecDeque<Element>,
    batches: usize,
    bytes: usize,
    writer_waits: bool,
    /// Nothing is taken from it for now.
    held: bool,
    /// It is not among those that are ready, although something waits in it.
    parked: bool,
    /// Of a channel whose writer is elsewhere.
    remote: Option<Remote>,
}

/// Credit of a writer elsewhere.
#[derive(Debug)]
struct Remote {
    window: Window,
    /// Bytes that each batch in the queue had on its way.
    sizes: VecDeque<u64>,
    credit_line: Option<net::CreditLine>,
}

#[derive(Debug)]
struct Shared {
    inbox: Mutex<Inbox>,
    readable: Condvar,
    /// One a channel: a channel has one sender.
    writable: Vec<Condvar>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut inbox: MutexGuard<'_, Inbox>, channel: usize, element: Element, bytes: Option<usize>) {
        let was_empty = inbox.channels[channel].queue.is_empty();
        inbox.channels[channel].push(element, bytes);
        if was_empty {
            inbox.ready.push_back(channel);
        }
        if std::mem::take(&mut inbox.reader_waits) {
            drop(inbox);
            self.readable.notify_one();
        }
    }
}

/// The reading end: one subtask's inbox.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

/// The writing end of one channel.
#[derive(Debug)]
pub(crate) enum Sender {
    Local(LocalSender),
    Remote(Box<net::Sender>),
}

/// The writing end of a channel to a gate of this TaskManager.
#[derive(Debug)]
pub(crate) struct LocalSender {
    shared: Arc<Shared>,
    channel: usize,
}

/// Where the network puts what comes by a channel from another TaskManager.
#[derive(Debug)]
pub(crate) struct Inlet {
    shared: Arc<Shared>,
    channel: usize,
}

/// Looks into a gate from outside.
#[derive(Debug)]
pub(crate) struct Meter {
    shared: Arc<Shared>,
}

/// Wakes and ends whoever waits at a gate, on either side.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    shared: Arc<Shared>,
}

/// A gate with this many channels, and their senders.
pub(crate) fn gate(channels: usize) -> (Gate, Vec<LocalSender>) {
    let inbox = Inbox {
        channels: (0..channels).map(|_| Channel::default()).collect(),
        ready: VecDeque::new(),
        reader_waits: false,
        poked: false,
        stopped: false,
    };
    let shared = Arc::new(Shared {
        inbox: Mutex::new(inbox),
        readable: Condvar::new(),
        writable: (0..channels).map(|_| Condvar::new()).collect(),
    });
    let senders = (0..channels).map(|channel| LocalSender { shared: shared.clone(), channel }).collect();
    (Gate { shared }, senders)
}

impl Sender {
    /// Sends an element; data waits for credit.
    pub(crate) fn send(&self, element: Element) -> Result<(), Stopped> {
        match self {
            Self::Local(sender) => sender.send(element),
            Self::Remote(sender) => sender.send(element),
        }
    }
}

impl LocalSender {
    /// Makes a way in for the network of it.
    pub(crate) fn into_inlet(self) -> Inlet {
        let size = Amount { batches: CREDIT_BATCHES as u32, bytes: CREDIT_BYTES as u64 };
        let remote = Remote { window: Window::new(size), sizes: VecDeque::new(), credit_line: None };
        self.shared.lock().channels[self.channel].remote = Some(remote);
        Inlet { shared: self.shared, channel: self.channel }
    }

    fn send(&self, element: Element) -> Result<(), Stopped> {
        let bytes = match &element {
            Element::Batch(batch) => Some(batch.memory_bytes()),
            _ => None,
        };
        let mut inbox = self.shared.lock();
        if let Some(bytes) = bytes {
            while !inbox.stopped && !inbox.channels[self.channel].has_credit(bytes) {
                inbox.channels[self.channel].writer_waits = true;
                activity::wait_for_credit();
                let began = Instant::now();
                let wait = self.shared.writable[self.channel].wait(inbox);
                inbox = wait.unwrap_or_else(PoisonError::into_inner);
                blocked_since(began);
            }
        }
        if inbox.stopped {
            return Err(Stopped);
        }
        self.shared.push(inbox, self.channel, element, bytes);
        Ok(())
    }
}

impl Inlet {
    /// Opens the channel: gives its writer the credit it has at the start.
    pub(crate) fn open(&self, credit_line: net::CreditLine) {
        let mut inbox = self.shared.lock();
        if let Some(remote) = &mut inbox.channels[self.channel].remote {
            credit_line.give(remote.window.size());
            remote.credit_line = Some(credit_line);
        }
    }

    /// Checks that the writer had credit for a batch of which so many bytes have come.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), wire::Error> {
        let inbox = self.shared.lock();
        let remote = inbox.channels[self.channel].remote.as_ref();
        remote.map_or(Err(wire::Error::Overrun), |remote| remote.window.check(bytes))
    }

    /// Puts in a batch that had so many bytes on its way. Never waits: whoever sent it had credit.
    pub(crate) fn put_batch(&self, batch: Batch, bytes: u64) -> Result<(), wire::Error> {
        let mut inbox = self.shared.lock();
        if inbox.stopped {
            return Ok(());
        }
        let remote = inbox.channels[self.channel].remote.as_mut().ok_or(wire::Error::Overrun)?;
        remote.window.arrived(bytes)?;
        remote.sizes.push_back(bytes);
        self.shared.push(inbox, self.channel, Element::Batch(batch), Some(bytes as usize));
        Ok(())
    }

    /// Puts in a watermark, an idleness, a barrier or the end.
    pub(crate) fn put_control(&self, element: Element) {
        let inbox = self.shared.lock();
        if !inbox.stopped {
            self.shared.push(inbox, self.channel, element, None);
        }
    }
}

impl Meter {
    /// Batches that wait in each channel, and their bytes.
    pub(crate) fn queued(&self) -> Vec<(usize, usize)> {
        self.shared.lock().channels.iter().map(|channel| (channel.batches, channel.bytes)).collect()
    }
}

impl Channel {
    fn has_credit(&self, bytes: usize) -> bool {
        self.batches == 0 || (self.batches < CREDIT_BATCHES && self.bytes + bytes <= CREDIT_BYTES)
    }

    fn push(&mut self, element: Element, bytes: Option<usize>) {
        if let Some(bytes) = bytes {
            self.batches += 1;
            self.bytes += bytes;
        }
        match element {
            // A later watermark says all that an earlier one did, and that the channel is not idle.
            Element::Watermark(_) => {
                while let Some(Element::Watermark(_) | Element::Idle) = self.queue.back() {
                    self.queue.pop_back();
                }
            }
            Element::Idle if matches!(self.queue.back(), Some(Element::Idle)) => return,
            _ => {}
        }
        self.queue.push_back(element);
    }

    /// Takes the next element; a small batch together with the batches right behind it.
    fn pop(&mut self) -> Option<Element> {
        let first = match self.queue.pop_front()? {
            Element::Batch(batch) => batch,
            other => return Some(other),
        };
        self.release(&first);
        if first.rows >= JOIN_BELOW_ROWS {
            return Some(Element::Batch(first));
        }
        let mut rows = first.rows;
        let mut batches = vec![first];
        while let Some(Element::Batch(next)) = self.queue.front()
            && rows + next.rows <= ROWS_TARGET
        {
            rows += next.rows;
            let Some(Element::Batch(next)) = self.queue.pop_front() else { break };
            self.release(&next);
            batches.push(next);
        }
        Some(Element::Batch(Batch::concat(&batches)))
    }

    fn release(&mut self, batch: &Batch) {
        self.batches -= 1;
        let Some(remote) = &mut self.remote else {
            self.bytes -= batch.memory_bytes();
            return;
        };
        let bytes = remote.sizes.pop_front().expect("every batch of the queue has its size");
        self.bytes -= bytes as usize;
        if let (Some(amount), Some(line)) = (remote.window.taken(Amount { batches: 1, bytes }), &remote.credit_line) {
            line.give(amount);
        }
    }
}

impl Gate {
    /// Waits for the next element of any channel, in turn; until `deadline` if there is one.
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Received {
        let mut inbox = self.shared.lock();
        loop {
            if inbox.stopped {
                return Received::Stopped;
            }
            if let Some(received) = self.take(&mut inbox) {
                return received;
            }
            if std::mem::take(&mut inbox.poked) {
                return Received::Timeout;
            }
            inbox.reader_waits = true;
            inbox = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.shared.readable.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Received::Timeout,
                Some(left) => {
                    let wait = self.shared.readable.wait_timeout(inbox, left);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The next element if there is one now.
    pub(crate) fn try_receive(&self) -> Received {
        let mut inbox = self.shared.lock();
        if inbox.stopped {
            return Received::Stopped;
        }
        self.take(&mut inbox).unwrap_or(Received::Timeout)
    }

    /// Takes nothing from these channels until the next call says otherwise.
    pub(crate) fn hold(&self, is_held: impl Fn(usize) -> bool) {
        let mut inbox = self.shared.lock();
        let Inbox { channels, ready, .. } = &mut *inbox;
        for (place, channel) in channels.iter_mut().enumerate() {
            channel.held = is_held(place);
            if !channel.held && std::mem::take(&mut channel.parked) {
                ready.push_back(place);
            }
        }
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { shared: self.shared.clone() }
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter { shared: self.shared.clone() }
    }

    fn take(&self, inbox: &mut Inbox) -> Option<Received> {
        let place = loop {
            let place = inbox.ready.pop_front()?;
            let channel = &mut inbox.channels[place];
            channel.parked = channel.held;
            if !channel.held {
                break place;
            }
        };
        let channel = &mut inbox.channels[place];
        let element = channel.pop()?;
        let wake = std::mem::take(&mut channel.writer_waits);
        if !channel.queue.is_empty() {
            inbox.ready.push_back(place);
        }
        if wake {
            self.shared.writable[place].notify_one();
        }
        Some(Received::Element { channel: place, element })
    }
}

impl Stopper {
    /// Wakes the reader, once, so that it looks at something else.
    pub(crate) fn poke(&self) {
        self.shared.lock().poked = true;
        self.shared.readable.notify_all();
    }

    /// Ends all waiting at the gate, now and later.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.readable.notify_all();
        self.shared.writable.iter().for_each(Condvar::notify_all);
    }
}

#[cfg(test)]
mod tests;
