//! A connection to another TaskManager, by which subtasks here send: one for each TaskManager that is sent to.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use wasmill_connectors::CheckpointKind;
use wasmill_model::Batch;
use wasmill_wire::{
    self as wire, Encoder, Frame, Hello, Identity, Open, Reason,
    credit::{Allowance, Amount},
};

use super::{
    Inner, Options,
    link::{Heard, Link, checksum},
    outbound::{Ended, Outbound},
};
use crate::{
    activity,
    counters::blocked_since,
    exchange::{Barrier, Element, Stopped},
    life::{Failure, Life},
    placement::Place,
};

/// Between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A TaskManager that is sent to, and the connection to it.
#[derive(Debug)]
pub(crate) struct Peer {
    place: Place,
    pub(super) out: Outbound,
    pub(super) heard: Heard,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// Channels that have not come to their end.
    outlets: HashMap<u32, (Arc<Outlet>, Arc<Life>)>,
    next: u32,
    /// Whether the connection stands, or did.
    connected: bool,
    /// Why the connection is gone.
    gone: Option<Failure>,
}

/// The way out of one channel.
#[derive(Debug)]
pub(crate) struct Outlet {
    peer: Arc<Peer>,
    number: u32,
    allowance: Mutex<Allowance>,
    writable: Condvar,
    ended: Ended,
}

/// The writing end of a channel to a gate of another TaskManager.
#[derive(Debug)]
pub(crate) struct Sender {
    outlet: Arc<Outlet>,
    life: Arc<Life>,
    encoder: RefCell<Encoder>,
    sequence: Cell<u64>,
}

impl Peer {
    pub(super) fn new(place: Place, options: &Options) -> Self {
        let table = Table { outlets: HashMap::new(), next: 1, connected: false, gone: None };
        let out = Outbound::new(checksum(options.tls.as_ref()));
        Self { place, out, heard: Heard::default(), table: Mutex::new(table) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> String {
        format!("{} at {}", self.place.taskmanager, self.place.address)
    }

    /// Opens a channel, unless the connection is gone.
    pub(super) fn open(self: &Arc<Self>, open: Open, life: &Arc<Life>) -> Option<Arc<Outlet>> {
        let mut table = self.lock();
        if table.gone.is_some() {
            return None;
        }
        let number = table.next;
        table.next = number.checked_add(1)?;
        let outlet = Arc::new(Outlet {
            peer: self.clone(),
            number,
            allowance: Mutex::default(),
            writable: Condvar::new(),
            ended: Ended::default(),
        });
        table.outlets.insert(number, (outlet.clone(), life.clone()));
        // Under the lock, so that channels are opened in the order of their numbers.
        self.out.frame(Frame::Open { channel: number, open });
        Some(outlet)
    }

    /// Connects, and serves the connection until it ends.
    pub(super) async fn run(&self, inner: &Inner) {
        let failure = match self.connect(inner).await {
            Ok(link) => {
                self.lock().connected = true;
                let reason = link.run(&self.out, &self.heard, |frame| self.handle(frame)).await;
                Failure::Lost { peer: self.name(), reason }
            }
            Err(reason) => Failure::Unreachable { peer: self.name(), reason },
        };
        self.end(failure);
    }

    async fn connect(&self, inner: &Inner) -> Result<Link, String> {
        let Inner { options, patience, transport, .. } = inner;
        let until = Instant::now() + patience.connect;
        let mut link = loop {
            match Link::connect(&**transport, &self.place.address, options.tls.as_ref(), *patience).await {
                Ok(link) => break link,
                Err(error) if Instant::now() >= until => return Err(error.to_string()),
                Err(_) => sleep(RETRY_AFTER).await,
            }
        };
        let to = Identity { taskmanager: self.place.taskmanager, incarnation: self.place.incarnation };
        let hello = Frame::Hello(options.hello(to));
        let greeted = async {
            link.write(&hello, self.out.checksum()).await.map_err(|error| error.to_string())?;
            link.reader.frame(&self.heard).await
        };
        let answer =
            timeout(patience.handshake, greeted).await.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        match answer? {
            Frame::Hello(Hello { version_min: wire::VERSION, cluster, from, .. })
                if cluster == options.cluster() && from == to =>
            {
                Ok(link)
            }
            Frame::Close { words, .. } => Err(words),
            _ => Err("it does not answer as a TaskManager does".to_owned()),
        }
    }

    /// The connection is gone, and with it all attempts that have a channel on it.
    pub(super) fn end(&self, failure: Failure) {
        let outlets = {
            let mut table = self.lock();
            table.gone.get_or_insert(failure.clone());
            std::mem::take(&mut table.outlets)
        };
        // First the reason, so that whoever is woken finds it.
        outlets.values().for_each(|(_, life)| life.fail(failure.clone()));
        self.out.close();
        outlets.values().for_each(|(outlet, _)| outlet.stop_waiting());
    }

    /// Whether silence means something.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().connected
    }

    fn handle(&self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Credit { channel, batches, bytes } => {
                let outlet = self.outlet(channel)?;
                outlet.map_or(Ok(()), |outlet| outlet.credit(Amount { batches, bytes })).map_err(|e| e.to_string())
            }
            Frame::Close { channel: 0, words, .. } => Err(words),
            Frame::Close { channel, reason, words } => self.closed(channel, reason, words),
            Frame::Ping => Ok(()),
            other => Err(format!("{other:?} is not for the side that sends").chars().take(100).collect()),
        }
    }

    /// The channel of this number; `None` if it has ended.
    fn outlet(&self, channel: u32) -> Result<Option<Arc<Outlet>>, String> {
        let table = self.lock();
        if channel >= table.next {
            return Err(format!("channel {channel} was never opened"));
        }
        Ok(table.outlets.get(&channel).map(|(outlet, _)| outlet.clone()))
    }

    /// The other side has closed a channel.
    fn closed(&self, channel: u32, reason: Reason, words: String) -> Result<(), String> {
        if self.outlet(channel)?.is_none() {
            return Ok(());
        }
        let removed = self.lock().outlets.remove(&channel);
        let Some((outlet, life)) = removed.filter(|_| reason != Reason::Finished) else { return Ok(()) };
        // Nothing of the channel follows the answer.
        outlet.deafen();
        self.out.frame(Frame::Close { channel, reason, words: String::new() });
        // Of an attempt that was stopped there the JobManager knows why, and will stop it here.
        if reason != Reason::Stopped {
            life.fail(Failure::Unreachable { peer: self.name(), reason: words });
        }
        Ok(())
    }
}

impl Outlet {
    fn lock(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credit(&self, amount: Amount) -> Result<(), wire::Error> {
        self.lock().credit(amount)?;
        self.writable.notify_one();
        Ok(())
    }

    /// The reader has gone: whoever writes waits to be stopped.
    fn deafen(&self) {
        self.ended.mute();
    }

    /// Waits for the credit for a batch.
    fn wait_for_credit(&self, bytes: u64) -> Result<(), Stopped> {
        let mut allowance = self.lock();
        while !self.ended.is_stopped() {
            if !self.ended.is_mute() && allowance.take(bytes) {
                return Ok(());
            }
            activity::wait_for_credit();
            let began = std::time::Instant::now();
            allowance = self.writable.wait(allowance).unwrap_or_else(PoisonError::into_inner);
            blocked_since(began);
        }
        Err(Stopped)
    }

    /// The attempt has been stopped: closes the channel, and wakes whoever waits to send.
    pub(crate) fn stop(&self) {
        self.stop_waiting();
        self.close(Reason::Stopped);
    }

    fn stop_waiting(&self) {
        self.ended.stop();
        // Whoever is about to wait holds the lock until he does.
        drop(self.lock());
        self.writable.notify_all();
        self.peer.out.wake();
    }

    fn close(&self, reason: Reason) {
        if self.peer.lock().outlets.remove(&self.number).is_some() {
            self.peer.out.frame(Frame::Close { channel: self.number, reason, words: String::new() });
        }
    }
}

impl Sender {
    pub(super) fn new(outlet: Arc<Outlet>, life: Arc<Life>, encoder: Encoder) -> Self {
        Self { outlet, life, encoder: RefCell::new(encoder), sequence: Cell::new(0) }
    }

    /// Sends an element; data waits for credit, and for room on its way.
    pub(crate) fn send(&self, element: Element) -> Result<(), Stopped> {
        let Outlet { peer, number, ended, .. } = &*self.outlet;
        match element {
            Element::Batch(batch) => self.send_batch(&batch),
            Element::Watermark(time) => peer.out.control(*number, Some(time), ended),
            Element::Idle => peer.out.control(*number, None, ended),
            Element::Barrier(Barrier { checkpoint, kind }) => {
                let savepoint = kind == CheckpointKind::Savepoint;
                peer.out.mark(Frame::Barrier { channel: *number, checkpoint, savepoint }, ended)
            }
            Element::End => peer.out.mark(Frame::End { channel: *number }, ended),
        }
    }

    fn send_batch(&self, batch: &Batch) -> Result<(), Stopped> {
        let encoded = self.encoder.borrow_mut().encode(batch);
        let body = match encoded {
            Ok(body) => body,
            Err(wire::Error::TooLarge { .. }) if batch.rows > 1 => {
                let half = batch.rows / 2;
                self.send_batch(&batch.slice(0, half))?;
                return self.send_batch(&batch.slice(half, batch.rows - half));
            }
            Err(wire::Error::TooLarge { bytes }) => {
                self.life.fail(Failure::RowTooLarge { bytes });
                return Err(Stopped);
            }
            Err(error) => panic!("a batch is not as the plan says: {error}"),
        };
        self.outlet.wait_for_credit(body.len() as u64)?;
        let Outlet { peer, number, ended, .. } = &*self.outlet;
        let frames = peer.out.data(*number, self.sequence.get(), body, ended)?;
        self.sequence.set(self.sequence.get() + frames);
        Ok(())
    }
}

#[cfg(test)]
impl Peer {
    /// Channels that have not come to their end.
    pub(super) fn channels(&self) -> usize {
        self.lock().outlets.len()
    }
}
