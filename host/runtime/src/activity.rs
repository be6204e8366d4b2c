//! What each subtask is doing and since when, and what holds its time and its barriers back: written by its thread, looked at
//! by anybody, without a lock.
//!
//! A figure may be a moment older than the one beside it. Nothing is decided by them: they are for people who ask why a job stands
//! still.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use wasmill_flow::{Alignment, Progress};
use wasmill_model::{
    Timestamp,
    ids::{CheckpointId, Subtask},
    time,
};

/// What a subtask is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Opening its source, sinks and instances, and filling its state.
    Starting,
    /// Something between the others.
    Working,
    /// Its gate has nothing for it.
    WaitingForInput,
    /// Its source is being asked for rows.
    Reading,
    /// Its source had none when it was asked.
    WaitingForRows,
    /// Its source is ahead of others and waits for them.
    Ahead,
    /// The operator or the sink of this place in the graph is at work on one batch, or on one round of timers.
    Calling { vertex: u32 },
    /// There is no room for a batch in the channel of this edge to this subtask.
    WaitingForCredit { edge: u32, reader: u32 },
    /// All its input has been handled, and it waits to be told that it may make its results visible.
    WaitingForCommit,
}

/// How the time of a subtask stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Standing {
    Active,
    Idle,
    Finished,
    /// A source whose rows have no event times: it has no watermark before its end.
    Timeless,
}

/// A channel into a subtask's gate, by its edge's place in the graph and the subtask that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub edge: u32,
    pub writer: u32,
}

/// What a subtask waits for before it takes its part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierWait {
    pub checkpoint: CheckpointId,
    /// Since the first of its barriers came.
    pub waited_ms: u64,
    /// A channel by which its barrier has not come, and how many there are.
    pub channel: Channel,
    pub missing: u32,
}

/// What was seen of a subtask at one moment. Times are ages, since clocks of hosts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskFigures {
    pub subtask: Subtask,
    pub doing: Doing,
    pub doing_ms: u64,
    pub standing: Standing,
    /// The watermark that has come to it, or that its source has made; none yet: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<Timestamp>,
    /// For how long standing and watermark have been what they are.
    pub unchanged_ms: u64,
    /// Of a source: since it last had rows, or began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
    /// Of a source: how long it has to be silent until it is idle; absent: it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after_ms: Option<u64>,
    /// Of a source that others keep in step: up to where it may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ms: Option<Timestamp>,
    /// Of a gate: the channel with the lowest watermark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<Channel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<BarrierWait>,
}

/// What a subtask is doing, as it writes it down.
#[derive(Debug)]
pub(crate) struct Activity {
    subtask: Subtask,
    /// Of each channel of its gate.
    channels: Vec<Channel>,
    /// A number for what it is doing in the upper bits, and since when below.
    doing: AtomicU64,
    /// What that is about: two numbers.
    about: AtomicU64,
    /// The same, of standing.
    standing: AtomicU64,
    watermark: AtomicI64,
    rows_at: AtomicU64,
    /// `u64::MAX`: never.
    idle_after_ms: AtomicU64,
    /// `time::MAX`: nobody holds it.
    limit: AtomicI64,
    /// A channel and one; 0: none.
    held_by: AtomicU64,
    /// 0: none.
    checkpoint: AtomicU64,
    barrier_at: AtomicU64,
    /// A channel, and how many.
    missing: AtomicU64,
}

/// Bits for a time in ms.
const TIME_BITS: u32 = 56;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// How often a figure is looked at again that changed meanwhile.
const LOOKS_MAX: usize = 8;

/// Ms since the process first asked.
fn uptime_ms() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed().as_millis() as u64
}

fn age_ms(at: u64, now: u64) -> u64 {
    now.saturating_sub(at & TIME_MASK)
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn unpair(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}

impl Doing {
    fn number(self) -> (u64, u64) {
        match self {
            Self::Starting => (0, 0),
            Self::Working => (1, 0),
            Self::WaitingForInput => (2, 0),
            Self::Reading => (3, 0),
            Self::WaitingForRows => (4, 0),
            Self::Ahead => (5, 0),
            Self::Calling { vertex } => (6, u64::from(vertex)),
            Self::WaitingForCredit { edge, reader } => (7, pair(edge, reader)),
            Self::WaitingForCommit => (8, 0),
        }
    }

    fn of(number: u64, about: u64) -> Self {
        let (high, low) = unpair(about);
        match number {
            0 => Self::Starting,
            2 => Self::WaitingForInput,
            3 => Self::Reading,
            4 => Self::WaitingForRows,
            5 => Self::Ahead,
            6 => Self::Calling { vertex: low },
            7 => Self::WaitingForCredit { edge: high, reader: low },
            8 => Self::WaitingForCommit,
            _ => Self::Working,
        }
    }
}

impl Activity {
    /// Of a subtask that is being started. `channels`: those of its gate; a source has none.
    pub(crate) fn new(subtask: Subtask, channels: Vec<Channel>) -> Self {
        let now = uptime_ms();
        Self {
            subtask,
            channels,
            doing: AtomicU64::new(now),
            about: AtomicU64::new(0),
            standing: AtomicU64::new(1 << TIME_BITS | now),
            watermark: AtomicI64::new(time::MIN),
            rows_at: AtomicU64::new(now),
            idle_after_ms: AtomicU64::new(u64::MAX),
            limit: AtomicI64::new(time::MAX),
            held_by: AtomicU64::new(0),
            checkpoint: AtomicU64::new(0),
            barrier_at: AtomicU64::new(0),
            missing: AtomicU64::new(0),
        }
    }

    /// From now on it does this.
    pub(crate) fn set(&self, doing: Doing) {
        let (number, about) = doing.number();
        self.about.store(about, Ordering::Release);
        self.doing.store(number << TIME_BITS | uptime_ms() & TIME_MASK, Ordering::Release);
    }

    /// It does this, perhaps for a while already.
    pub(crate) fn keep(&self, doing: Doing) {
        if self.doing.load(Ordering::Relaxed) >> TIME_BITS != doing.number().0 {
            self.set(doing);
        }
    }

    /// It has a source that is idle after such a silence, or never.
    pub(crate) fn has_source(&self, idle_after: Option<Duration>) {
        let ms = idle_after.map_or(u64::MAX, |after| after.as_millis() as u64);
        self.idle_after_ms.store(ms, Ordering::Relaxed);
    }

    /// Its source makes no watermarks.
    pub(crate) fn has_no_times(&self) {
        self.standing.store(4 << TIME_BITS | uptime_ms() & TIME_MASK, Ordering::Release);
    }

    /// Its source has brought rows.
    pub(crate) fn rows(&self) {
        self.rows_at.store(uptime_ms(), Ordering::Relaxed);
    }

    /// The watermark up to which its source may go.
    pub(crate) fn limit(&self, limit: Timestamp) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Its time stands like this now; of a gate, held back by this channel.
    pub(crate) fn stand(&self, progress: Progress, held_by: Option<usize>) {
        let (number, watermark) = match progress {
            Progress::Watermark(watermark) => (1, Some(watermark)),
            Progress::Idle => (2, None),
            Progress::Finished => (3, None),
        };
        if let Some(watermark) = watermark {
            self.watermark.store(watermark, Ordering::Relaxed);
        }
        self.hold(held_by);
        self.standing.store(number << TIME_BITS | uptime_ms() & TIME_MASK, Ordering::Release);
    }

    /// Its time stands as it did, held back by this channel of its gate.
    pub(crate) fn hold(&self, held_by: Option<usize>) {
        self.held_by.store(held_by.map_or(0, |channel| channel as u64 + 1), Ordering::Relaxed);
    }

    /// What its gate waits for before its part of a checkpoint is taken.
    pub(crate) fn align(&self, alignment: &Alignment) {
        let Some((checkpoint, missing)) = alignment.waits_for() else {
            self.checkpoint.store(0, Ordering::Release);
            return;
        };
        let first = missing.first().copied().unwrap_or_default();
        self.missing.store(pair(first as u32, missing.len() as u32), Ordering::Relaxed);
        if self.checkpoint.swap(checkpoint.0, Ordering::AcqRel) != checkpoint.0 {
            self.barrier_at.store(uptime_ms(), Ordering::Relaxed);
        }
    }

    /// What it is doing now.
    pub(crate) fn figures(&self) -> SubtaskFigures {
        let now = uptime_ms();
        let (doing, doing_at) = self.doing();
        let standing = self.standing.load(Ordering::Acquire);
        let watermark = self.watermark.load(Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        let is_source = self.channels.is_empty();
        let held_by = (self.held_by.load(Ordering::Relaxed) as usize).checked_sub(1);
        SubtaskFigures {
            subtask: self.subtask,
            doing,
            doing_ms: age_ms(doing_at, now),
            standing: match standing >> TIME_BITS {
                2 => Standing::Idle,
                3 => Standing::Finished,
                4 => Standing::Timeless,
                _ => Standing::Active,
            },
            watermark_ms: (watermark != time::MIN).then_some(watermark),
            unchanged_ms: age_ms(standing, now),
            silent_ms: is_source.then(|| age_ms(self.rows_at.load(Ordering::Relaxed), now)),
            idle_after_ms: Some(self.idle_after_ms.load(Ordering::Relaxed)).filter(|ms| *ms != u64::MAX),
            limit_ms: Some(limit).filter(|limit| *limit != time::MAX),
            held_by: held_by.and_then(|channel| self.channels.get(channel)).copied(),
            barrier: self.barrier(now),
        }
    }

    fn doing(&self) -> (Doing, u64) {
        let mut doing = self.doing.load(Ordering::Acquire);
        for _ in 0..LOOKS_MAX {
            let about = self.about.load(Ordering::Acquire);
            let again = self.doing.load(Ordering::Acquire);
            if again == doing {
                return (Doing::of(doing >> TIME_BITS, about), doing);
            }
            doing = again;
        }
        // Who changes so fast does not stand still.
        (Doing::Working, doing)
    }

    fn barrier(&self, now: u64) -> Option<BarrierWait> {
        let checkpoint = self.checkpoint.load(Ordering::Acquire);
        let (channel, missing) = unpair(self.missing.load(Ordering::Relaxed));
        let channel = *self.channels.get(channel as usize)?;
        let waited_ms = age_ms(self.barrier_at.load(Ordering::Relaxed), now);
        let checkpoint = CheckpointId(checkpoint);
        (checkpoint.0 != 0).then_some(BarrierWait { checkpoint, waited_ms, channel, missing })
    }
}

thread_local! {
    /// Of the subtask whose thread this is.
    static MINE: RefCell<Option<Arc<Activity>>> = const { RefCell::new(None) };
    /// Where this thread is about to send to: an edge, and a subtask that reads it.
    static TOWARDS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// This thread is that of a subtask from now on.
pub(crate) fn begin(activity: Arc<Activity>) {
    MINE.set(Some(activity));
}

/// The subtask of this thread does this from now on. A thread that is none's does nothing.
pub(crate) fn set(doing: Doing) {
    MINE.with_borrow(|mine| {
        if let Some(mine) = mine {
            mine.set(doing);
        }
    });
}

/// What this thread sends next goes there.
pub(crate) fn towards(edge: u32, reader: u32) {
    TOWARDS.set((edge, reader));
}

/// This thread waits for credit until [`got_credit`].
pub(crate) fn wait_for_credit() {
    let (edge, reader) = TOWARDS.get();
    let doing = Doing::WaitingForCredit { edge, reader };
    MINE.with_borrow(|mine| {
        if let Some(mine) = mine {
            mine.keep(doing);
        }
    });
}

/// It has some.
pub(crate) fn got_credit() {
    set(Doing::Working);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Activity {
        let channels = (0..3).map(|writer| Channel { edge: 4, writer }).collect();
        Activity::new(Subtask { chain: 1, index: 0 }, channels)
    }

    #[test]
    fn what_is_written_down_is_what_is_seen() {
        let activity = gate();
        assert_eq!(activity.figures().doing, Doing::Starting);
        for doing in [
            Doing::Working,
            Doing::WaitingForInput,
            Doing::Reading,
            Doing::WaitingForRows,
            Doing::Ahead,
            Doing::Calling { vertex: 4_000_000_000 },
            Doing::WaitingForCredit { edge: 3, reader: 32_767 },
            Doing::WaitingForCommit,
        ] {
            activity.set(doing);
            assert_eq!(activity.figures().doing, doing);
        }
        activity.stand(Progress::Watermark(-5), Some(2));
        let figures = activity.figures();
        assert_eq!((figures.standing, figures.watermark_ms), (Standing::Active, Some(-5)));
        assert_eq!(figures.held_by, Some(Channel { edge: 4, writer: 2 }));
        assert_eq!((figures.silent_ms, figures.limit_ms), (None, None), "it has no source");
        activity.stand(Progress::Idle, None);
        let figures = activity.figures();
        assert_eq!((figures.standing, figures.watermark_ms, figures.held_by), (Standing::Idle, Some(-5), None));
        let json = serde_json::to_string(&figures).expect("it is JSON");
        assert_eq!(serde_json::from_str::<SubtaskFigures>(&json).expect("it is what was written"), figures);
    }

    #[test]
    fn the_channel_whose_barrier_is_missing_is_named_until_it_has_come() {
        let (activity, mut alignment) = (gate(), Alignment::new(3));
        activity.align(&alignment);
        assert_eq!(activity.figures().barrier, None);
        alignment.barrier(0, CheckpointId(7));
        activity.align(&alignment);
        let barrier = activity.figures().barrier.expect("one is missing");
        let channel = Channel { edge: 4, writer: 1 };
        assert_eq!((barrier.checkpoint, barrier.channel, barrier.missing), (CheckpointId(7), channel, 2));
        alignment.barrier(1, CheckpointId(7));
        alignment.barrier(2, CheckpointId(7));
        activity.align(&alignment);
        assert_eq!(activity.figures().barrier, None);
    }

    #[test]
    fn a_thread_that_waits_for_credit_says_where_it_was_about_to_send() {
        let activity = Arc::new(gate());
        begin(activity.clone());
        towards(2, 5);
        wait_for_credit();
        assert_eq!(activity.figures().doing, Doing::WaitingForCredit { edge: 2, reader: 5 });
        got_credit();
        assert_eq!(activity.figures().doing, Doing::Working);
    }
}
