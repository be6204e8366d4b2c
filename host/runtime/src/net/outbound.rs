//! What waits to be written to one connection.
//!
//! Subtasks put frames in from their own threads, the connection's task takes all there is and writes it at once. What waits is
//! bounded: data in bytes, for which subtasks wait; of a channel's control one watermark and one idleness behind its last data,
//! since a later one says all that an earlier one did; and of its credit one frame, to which more is added.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use arrow_buffer::Buffer;
use tokio::sync::Notify;
use wasmill_model::Timestamp;
use wasmill_wire::{Body, Checksum, Frame, credit::Amount};

use crate::{activity, counters::blocked_since, exchange::Stopped};

/// Bytes of data that may wait, but for one batch: a larger one passes alone.
const BYTES_MAX: usize = 8 << 20;

/// Bytes that are handed to the system at once, or a little more.
const WRITE_BYTES: usize = 512 << 10;

#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Mutex<Queue>,
    /// There is room for data, or the connection is gone.
    room: Condvar,
    /// There is something to write.
    work: Notify,
    /// The connection is to end.
    gone: Notify,
    checksum: Checksum,
    frames: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// How many items have been taken before the first.
    taken: u64,
    /// Bytes of data that wait or are being written.
    data_bytes: usize,
    closed: bool,
    channels: HashMap<u32, Places>,
}

#[derive(Debug)]
enum Item {
    Data {
        pieces: Vec<Buffer>,
        bytes: usize,
        frames: u64,
    },
    /// Behind the data of a channel: the last watermark, and whether it became idle after that.
    Control {
        channel: u32,
        watermark: Option<Timestamp>,
        idle: bool,
    },
    Frame(Frame),
}

/// Where in the queue something of a channel stands that can still be changed.
#[derive(Debug, Default)]
struct Places {
    /// The control behind its last data.
    control: Option<u64>,
    credit: Option<u64>,
}

/// Whether a channel may still send, which is looked at under the lock of the queue: nothing of it follows its CLOSE.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Its attempt was stopped here.
    stopped: AtomicBool,
    /// The reader has gone: what is still sent is let fall.
    mute: AtomicBool,
}

/// What was taken to be written.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) pieces: Vec<Buffer>,
    data_bytes: usize,
    frames: u64,
}

impl Ended {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_mute(&self) -> bool {
        self.mute.load(Ordering::SeqCst)
    }

    pub(crate) fn mute(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }
}

impl Outbound {
    pub(crate) fn new(checksum: Checksum) -> Self {
        Self {
            queue: Mutex::default(),
            room: Condvar::new(),
            work: Notify::new(),
            gone: Notify::new(),
            checksum,
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Frames and bytes that have been written.
    pub(crate) fn written(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Bytes of data that wait to be written.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.lock().data_bytes
    }

    /// Puts in a batch, in frames numbered from `sequence` on; waits for room. Returns how many frames they are.
    pub(crate) fn data(&self, channel: u32, sequence: u64, body: Body, ended: &Ended) -> Result<u64, Stopped> {
        let bytes = body.len();
        let (pieces, frames) = body.frames(channel, sequence, self.checksum);
        let mut queue = self.lock();
        while !queue.closed && !ended.is_stopped() && !queue.has_room(bytes) {
            activity::wait_for_credit();
            let began = Instant::now();
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            blocked_since(began);
        }
        if queue.closed || ended.is_stopped() {
            return Err(Stopped);
        }
        if ended.is_mute() {
            return Ok(frames);
        }
        queue.data_bytes += bytes;
        queue.items.push_back(Item::Data { pieces, bytes, frames });
        if let Some(places) = queue.channels.get_mut(&channel) {
            places.control = None;
        }
        drop(queue);
        self.work.notify_one();
        Ok(frames)
    }

    /// Puts in a watermark, or with `None` an idleness.
    pub(crate) fn control(&self, channel: u32, watermark: Option<Timestamp>, ended: &Ended) -> Result<(), Stopped> {
        let mut queue = self.lock();
        if queue.closed || ended.is_stopped() {
            return Err(Stopped);
        }
        if ended.is_mute() {
            return Ok(());
        }
        let waiting = queue.channels.get(&channel).and_then(|places| places.control);
        match waiting.and_then(|place| queue.at(place)) {
            Some(Item::Control { watermark: last, idle, .. }) => {
                *last = watermark.or(*last);
                *idle = watermark.is_none();
            }
            _ => {
                let place = queue.taken + queue.items.len() as u64;
                queue.channels.entry(channel).or_default().control = Some(place);
                queue.items.push_back(Item::Control { channel, watermark, idle: watermark.is_none() });
            }
        }
        drop(queue);
        self.work.notify_one();
        Ok(())
    }

    /// Puts in a barrier or the end of a channel: what follows does not pass it.
    pub(crate) fn mark(&self, frame: Frame, ended: &Ended) -> Result<(), Stopped> {
        let mut queue = self.lock();
        if queue.closed || ended.is_stopped() {
            return Err(Stopped);
        }
        if !ended.is_mute() {
            if let Frame::Barrier { channel, .. } | Frame::End { channel } = &frame
                && let Some(places) = queue.channels.get_mut(channel)
            {
                places.control = None;
            }
            queue.items.push_back(Item::Frame(frame));
            drop(queue);
            self.work.notify_one();
        }
        Ok(())
    }

    /// Puts in a frame of which there are few.
    pub(crate) fn frame(&self, frame: Frame) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        queue.items.push_back(Item::Frame(frame));
        drop(queue);
        self.work.notify_one();
    }

    /// Gives credit.
    pub(crate) fn credit(&self, channel: u32, amount: Amount) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        let waiting = queue.channels.get(&channel).and_then(|places| places.credit);
        if let Some(Item::Frame(Frame::Credit { batches, bytes, .. })) = waiting.and_then(|place| queue.at(place)) {
            *batches += amount.batches;
            *bytes += amount.bytes;
        } else {
            let place = queue.taken + queue.items.len() as u64;
            queue.channels.entry(channel).or_default().credit = Some(place);
            queue.items.push_back(Item::Frame(Frame::Credit { channel, batches: amount.batches, bytes: amount.bytes }));
        }
        drop(queue);
        self.work.notify_one();
    }

    /// Nothing more can be put in, and nobody waits any more; the connection ends.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
        self.gone.notify_one();
    }

    /// Waits until it is closed.
    pub(crate) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// Wakes those who wait for room, of whom one was stopped.
    pub(crate) fn wake(&self) {
        // Whoever is about to wait holds the lock until he does.
        drop(self.lock());
        self.room.notify_all();
    }

    /// Waits for something to write.
    pub(crate) async fn next(&self) -> Taken {
        loop {
            if let Some(taken) = self.take() {
                return taken;
            }
            self.work.notified().await;
        }
    }

    fn take(&self) -> Option<Taken> {
        let mut queue = self.lock();
        if queue.items.is_empty() {
            return None;
        }
        let (mut taken, mut small, mut bytes) = (Taken::default(), Vec::new(), 0);
        while bytes < WRITE_BYTES
            && let Some(item) = queue.items.pop_front()
        {
            queue.forget(&item);
            queue.taken += 1;
            match item {
                Item::Frame(frame) => taken.frame(&frame, self.checksum, &mut small),
                Item::Control { channel, watermark, idle } => {
                    if let Some(time) = watermark {
                        taken.frame(&Frame::Watermark { channel, time }, self.checksum, &mut small);
                    }
                    if idle {
                        taken.frame(&Frame::Idle { channel }, self.checksum, &mut small);
                    }
                }
                Item::Data { mut pieces, bytes: data, frames } => {
                    if !small.is_empty() {
                        taken.pieces.push(Buffer::from_vec(std::mem::take(&mut small)));
                    }
                    taken.pieces.append(&mut pieces);
                    taken.data_bytes += data;
                    taken.frames += frames;
                    bytes += data;
                }
            }
        }
        if !small.is_empty() {
            taken.pieces.push(Buffer::from_vec(small));
        }
        Some(taken)
    }

    /// What was taken has been written.
    pub(crate) fn wrote(&self, taken: &Taken) {
        let bytes: usize = taken.pieces.iter().map(Buffer::len).sum();
        self.frames.fetch_add(taken.frames, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if taken.data_bytes > 0 {
            self.lock().data_bytes -= taken.data_bytes;
            self.room.notify_all();
        }
    }
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.data_bytes == 0 || self.data_bytes + bytes <= BYTES_MAX
    }

    /// The first item is taken: nothing can be added to it any more.
    fn forget(&mut self, item: &Item) {
        let (Item::Control { channel, .. } | Item::Frame(Frame::Credit { channel, .. })) = item else { return };
        let taken = Some(self.taken);
        if self.channels.get(channel).is_some_and(|places| places.control == taken || places.credit == taken) {
            self.channels.remove(channel);
        }
    }

    /// What stands at a place, if it still waits.
    fn at(&mut self, place: u64) -> Option<&mut Item> {
        self.items.get_mut(usize::try_from(place.checked_sub(self.taken)?).ok()?)
    }
}

impl Taken {
    fn frame(&mut self, frame: &Frame, checksum: Checksum, small: &mut Vec<u8>) {
        frame.write(checksum, small);
        self.frames += 1;
    }
}

#[cfg(test)]
mod tests;
