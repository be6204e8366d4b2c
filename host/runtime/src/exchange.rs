//! The exchange within a TaskManager: bounded channels into a subtask's gate.
//!
//! A gate is one subtask's inbox; a channel leads into it from one sending subtask. Batches are passed by reference.
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

use wasmill_model::{Batch, Timestamp, batch::ROWS_TARGET};

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
    End,
}

/// What a gate hands out.
#[derive(Debug)]
pub(crate) enum Received {
    Element {
        channel: usize,
        element: Element,
    },
    /// Nothing came before the deadline.
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
    stopped: bool,
}

#[derive(Debug, Default)]
struct Channel {
    queue: VecDeque<Element>,
    batches: usize,
    bytes: usize,
    writer_waits: bool,
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
}

/// The reading end: one subtask's inbox.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

/// The writing end of one channel.
#[derive(Debug)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    channel: usize,
}

/// Wakes and ends whoever waits at a gate, on either side.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    shared: Arc<Shared>,
}

/// A gate with this many channels, and their senders.
pub(crate) fn gate(channels: usize) -> (Gate, Vec<Sender>) {
    let inbox = Inbox {
        channels: (0..channels).map(|_| Channel::default()).collect(),
        ready: VecDeque::new(),
        reader_waits: false,
        stopped: false,
    };
    let shared = Arc::new(Shared {
        inbox: Mutex::new(inbox),
        readable: Condvar::new(),
        writable: (0..channels).map(|_| Condvar::new()).collect(),
    });
    let senders = (0..channels).map(|channel| Sender { shared: shared.clone(), channel }).collect();
    (Gate { shared }, senders)
}

impl Sender {
    /// Sends an element; data waits for credit.
    pub(crate) fn send(&self, element: Element) -> Result<(), Stopped> {
        let bytes = match &element {
            Element::Batch(batch) => Some(batch.memory_bytes()),
            _ => None,
        };
        let mut inbox = self.shared.lock();
        if let Some(bytes) = bytes {
            while !inbox.stopped && !inbox.channels[self.channel].has_credit(bytes) {
                inbox.channels[self.channel].writer_waits = true;
                let wait = self.shared.writable[self.channel].wait(inbox);
                inbox = wait.unwrap_or_else(PoisonError::into_inner);
            }
        }
        if inbox.stopped {
            return Err(Stopped);
        }
        let channel = &mut inbox.channels[self.channel];
        let was_empty = channel.queue.is_empty();
        channel.push(element, bytes);
        if was_empty {
            inbox.ready.push_back(self.channel);
        }
        if std::mem::take(&mut inbox.reader_waits) {
            drop(inbox);
            self.shared.readable.notify_one();
        }
        Ok(())
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
        match (self.queue.back_mut(), &element) {
            // The later watermark says all the earlier one did.
            (Some(Element::Watermark(last)), Element::Watermark(next)) => *last = *next,
            _ => self.queue.push_back(element),
        }
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
        self.bytes -= batch.memory_bytes();
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

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { shared: self.shared.clone() }
    }

    fn take(&self, inbox: &mut Inbox) -> Option<Received> {
        let place = inbox.ready.pop_front()?;
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
    /// Ends all waiting at the gate, now and later.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.readable.notify_all();
        self.shared.writable.iter().for_each(Condvar::notify_all);
    }
}

#[cfg(test)]
mod tests;
