//! A call that failed: finding the rows that are to blame, leaving them out, and going on with the rest.
//!
//! The rows are tried once more in a new instance, in pieces, one after the other, and a piece that fails is cut into
//! pieces again, down to single rows. A row is left out if it fails alone in a new instance, or alone runs into its
//! deadline; one that the guest names itself is left out at once.

use std::{
    ops::Range,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use wasmill_model::{Batch, Schema, keys::EncodedKeys, spec::OnError};
use wasmill_plugin::{CallError, InstanceOptions, Level, LogLine};

use super::{Emitted, Operator, Work, new_instance};
use crate::{
    error::Error,
    letters::{self, Letter, Writer},
};

/// Rows over which the share of rows left out is watched.
pub(crate) const WINDOW_ROWS: u64 = 10_000;

/// Rows of a window that may be left out: one in a hundred. More is no accident, and fails the job.
const WINDOW_BLAMED_MAX: u64 = WINDOW_ROWS / 100;

/// Pieces that a call which failed is cut into. A failure costs an instance, some twenty times what a call does that is
/// none: with sixteen, a row of a full batch is found after three failures and some twenty calls.
const PIECES: usize = 16;

/// Rows blamed in one call until what is left of it is tried as one piece. After more of them, it will have others.
const FEW_BLAMED: usize = 2;

/// The least a piece of a call may take, as a part of the call deadline. With what the row itself may take, more than ten
/// rows of a full batch that never end can be found within the time of two deadlines.
const PIECE_PART: u32 = 64;

/// What a single row may take, as a part of the call deadline.
const ROW_PART: u32 = 16;

/// A piece may take so many times what its rows took of late.
const PIECE_PACES: u32 = 16;

/// Blamed rows that are told in the operator's log; the rest is counted.
const TOLD_MAX: u64 = 10;

/// Bytes of a row in a dead letter.
const ROW_BYTES_MAX: usize = 64 << 10;

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Fault {
    Call(CallError),
    /// The state would cross a limit.
    State(wasmill_state::Error),
    /// Not the call's fault.
    Job(Error),
}

impl Fault {
    /// Why a call was not done. That the attempt is to end is nobody's fault.
    pub(super) fn of_call(error: CallError) -> Self {
        match error {
            CallError::Interrupted { .. } => Self::Job(Error::Stopped),
            error => Self::Call(error),
        }
    }

    /// Whether it fails the job whatever the policy.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Call(error) => matches!(
                error,
                CallError::Failure { fatal: true, .. }
                    | CallError::Open { .. }
                    | CallError::NoRoom { .. }
                    | CallError::Start { .. }
            ),
            Self::State(_) => false,
            Self::Job(_) => true,
        }
    }

    /// The row that the guest blames.
    fn row(&self) -> Option<usize> {
        match self {
            Self::Call(CallError::Failure { row, .. }) => row.map(|row| row as usize),
            _ => None,
        }
    }

    /// A word for dead letters and dashboards.
    fn kind(&self) -> &'static str {
        match self {
            Self::Call(error) => match error {
                CallError::Trap { .. } | CallError::Dead { .. } | CallError::Interrupted { .. } => "trap",
                CallError::Deadline { .. } => "deadline",
                CallError::Memory { .. } => "memory",
                CallError::OutputBytes { .. } | CallError::OutputRows { .. } => "output",
                CallError::InputBytes { .. } => "input",
                CallError::BadReply { .. } => "bad-reply",
                CallError::Failure { .. } => "failure",
                CallError::Open { .. } | CallError::NoRoom { .. } | CallError::Start { .. } => "start",
            },
            Self::State(_) => "state",
            Self::Job(_) => "job",
        }
    }

    /// Whether the guest did as the contract says, so that its instance can be called again.
    fn is_orderly(&self) -> bool {
        matches!(self, Self::Call(CallError::Failure { .. } | CallError::InputBytes { .. }) | Self::State(_))
    }

    fn is_deadline(&self) -> bool {
        matches!(self, Self::Call(CallError::Deadline { .. }))
    }

    fn reason(&self) -> String {
        match self {
            Self::Call(error) => error.to_string(),
            Self::State(error) => error.to_string(),
            Self::Job(error) => error.to_string(),
        }
    }
}

/// How many rows were blamed of late.
#[derive(Debug)]
pub(super) struct Blame {
    /// Rows handled so far, of each input.
    positions: Vec<u64>,
    /// Rows and blamed rows of the current window.
    window: (u64, u64),
    told: u64,
    /// CPU time of a row of late, ns: a moving average over the calls that did not fail.
    pace_ns: u64,
    /// Whether the current call has failed.
    failed: bool,
}

impl Blame {
    pub(super) fn new(inputs: usize) -> Self {
        Self { positions: vec![0; inputs], window: (0, 0), told: 0, pace_ns: 0, failed: false }
    }

    /// Rows of an input have been handled, or left out, in this CPU time.
    pub(super) fn handled(&mut self, input: usize, rows: usize, cpu_ns: u64) {
        if !std::mem::take(&mut self.failed) {
            self.pace_ns = (self.pace_ns * 7 + cpu_ns / rows as u64) / 8;
        }
        self.positions[input] += rows as u64;
        self.window.0 += rows as u64;
        if self.window.0 >= WINDOW_ROWS {
            self.window = (0, 0);
        }
    }
}

impl Operator {
    /// Rows handled so far, of each input.
    pub(crate) fn positions(&self) -> &[u64] {
        &self.blame.positions
    }

    /// Goes back to, or on from, other numbers of rows.
    pub(crate) fn set_positions(&mut self, positions: Vec<u64>) {
        self.blame.positions = positions;
    }
}

impl Blame {
    /// What a piece may take.
    fn deadline(&self, piece: Piece, call_deadline: Duration) -> Duration {
        let part = if piece.rows == 1 { ROW_PART } else { PIECE_PART };
        let usual = Duration::from_nanos(self.pace_ns.saturating_mul(piece.rows as u64)) * PIECE_PACES;
        usual.max(call_deadline / part).min(call_deadline)
    }
}

/// Rows of a call, by their places in it.
#[derive(Debug, Clone, Copy)]
struct Piece {
    offset: usize,
    rows: usize,
    /// Whether it has failed before, and is to be tried in a new instance.
    again: bool,
}

impl Piece {
    fn new(rows: Range<usize>) -> Self {
        Self { offset: rows.start, rows: rows.len(), again: false }
    }

    fn end(self) -> usize {
        self.offset + self.rows
    }
}

/// What is left of a call to be handled: pieces that follow one another, the last one first.
#[derive(Debug, Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    /// These rows come next, as they are.
    fn push(&mut self, rows: Range<usize>) {
        if !rows.is_empty() {
            self.0.push(Piece::new(rows));
        }
    }

    /// These rows come next, in parts.
    fn push_cut(&mut self, rows: Range<usize>) {
        let at = |part: usize| rows.start + rows.len() * part / PIECES;
        (0..PIECES).rev().for_each(|part| self.push(at(part)..at(part + 1)));
    }

    /// Makes one piece of all that is left.
    fn join(&mut self) {
        if let (Some(last), Some(next)) = (self.0.first(), self.0.last()) {
            let rest = Piece::new(next.offset..last.end());
            self.0.clear();
            self.0.push(rest);
        }
    }
}

/// How far the rows of one call have been told apart.
struct Isolation<'a> {
    work: Work<'a>,
    pieces: Pieces,
    /// Bounded by what a window allows.
    letters: Vec<Letter>,
    blamed: usize,
}

impl Operator {
    /// Handles what can be handled of a call that failed.
    pub(super) fn isolate(&mut self, work: Work<'_>, first: Fault) -> Result<Emitted, Error> {
        self.blame.failed = true;
        let call_deadline = self.options.limits.call_deadline;
        let give_up = Instant::now() + call_deadline * 2;
        let mut isolation = Isolation { work, pieces: Pieces::default(), letters: Vec::new(), blamed: 0 };
        let mut emitted = Vec::new();
        // Whether the instance may have another call, and whether it has had one since it was made.
        let (mut usable, mut used) = (first.row().is_some(), true);
        self.divide(&mut isolation, Piece::new(0..work.rows()), &first, used)?;
        while let Some(piece) = isolation.pieces.0.pop() {
            if Instant::now() > give_up {
                return Err(Error::Isolation { vertex: self.name.clone(), subtask: self.subtask, rows: work.rows() });
            }
            if piece.again || !usable {
                self.replace_instance()?;
                (usable, used) = (true, false);
            }
            self.instance.set_call_deadline(self.blame.deadline(piece, call_deadline));
            let part = Part::of(work, piece);
            match self.call(part.work(work)) {
                Ok(rows) => emitted.extend(rows),
                Err(Fault::Job(error)) => return Err(error),
                Err(fault) if fault.is_fatal() => return Err(self.fault_error(fault)),
                Err(fault) => {
                    usable = fault.is_orderly();
                    self.divide(&mut isolation, piece, &fault, used)?;
                }
            }
            used = true;
        }
        if !usable {
            self.replace_instance()?;
        }
        self.instance.set_call_deadline(call_deadline);
        if self.on_error == OnError::DeadLetter && !isolation.letters.is_empty() {
            let plugin = self.plugin.digest().to_string();
            let writer = Writer::Operator { name: &self.name, plugin: &plugin };
            let batch = letters::batch(writer, self.subtask, self.conduct.clock.now_ms(), &isolation.letters);
            emitted.push((self.descriptor.ports.len(), batch));
        }
        Ok(emitted)
    }

    /// What to do with a piece that failed: blame a row, try it again, or cut it. `used`: its instance had other calls before.
    fn divide(&mut self, isolation: &mut Isolation<'_>, piece: Piece, fault: &Fault, used: bool) -> Result<(), Error> {
        let rows = piece.offset..piece.end();
        if let Some(named) = fault.row().filter(|&row| row < piece.rows) {
            let row = piece.offset + named;
            isolation.pieces.push(row + 1..rows.end);
            isolation.pieces.push(rows.start..row);
            return self.blame(isolation, row, fault);
        }
        if piece.rows == 1 {
            // Another try of what never ended would most likely not end either.
            if !used || fault.is_deadline() {
                return self.blame(isolation, piece.offset, fault);
            }
            isolation.pieces.0.push(Piece { again: true, ..piece });
            return Ok(());
        }
        // Most calls have one such row: what is behind the piece is most likely good.
        if isolation.blamed < FEW_BLAMED {
            isolation.pieces.join();
        }
        isolation.pieces.push_cut(rows);
        Ok(())
    }

    /// Counts a row that is to blame, and hands it to the dead letters.
    fn blame(&mut self, isolation: &mut Isolation<'_>, row: usize, fault: &Fault) -> Result<(), Error> {
        let work = isolation.work;
        isolation.blamed += 1;
        self.counters.rejected.fetch_add(1, Relaxed);
        self.blame.window.1 += 1;
        self.blame.told += 1;
        let (input, position) = match work {
            Work::Rows { input, .. } => (Some(input as i64), Some((self.blame.positions[input] + row as u64) as i64)),
            Work::Timers { .. } => (None, None),
        };
        if self.blame.told <= TOLD_MAX {
            let place = position.map_or("a timer".to_owned(), |position| format!("row {position}"));
            let message = format!("{place} is left out: {}", fault.reason());
            (self.options.log)(LogLine { level: Level::Warn, message });
        }
        if self.blame.window.1 > WINDOW_BLAMED_MAX {
            let (vertex, last) = (self.name.clone(), fault.reason());
            return Err(Error::TooManyBlamed { vertex, subtask: self.subtask, rows: WINDOW_ROWS, last });
        }
        if self.on_error == OnError::DeadLetter {
            isolation.letters.push(Letter {
                call: work.name(),
                input,
                position,
                event_time: work.batch().event_times.as_ref().map(|times| times[row]),
                kind: fault.kind(),
                reason: fault.reason(),
                backtrace: report_lines(fault, |report| &report.backtrace),
                log: report_lines(fault, |report| &report.log),
                row: self.row_text(work, row),
                place: None,
            });
        }
        Ok(())
    }

    fn row_text(&self, work: Work<'_>, row: usize) -> String {
        let schema = match work {
            Work::Rows { input, .. } => self.options.context.inputs[input].schema.clone(),
            Work::Timers { .. } => {
                let fields = self.keyed.as_ref().map(|keyed| keyed.fields.clone()).unwrap_or_default();
                Schema::new(fields).expect("key columns are named once")
            }
        };
        let mut text = wasmill_connectors::row_as_json(&schema, &work.batch().slice(row, 1));
        if text.len() > ROW_BYTES_MAX {
            text.truncate(text.floor_char_boundary(ROW_BYTES_MAX));
        }
        text
    }

    /// By a new one, which has as much time to start and open as the first had.
    pub(super) fn replace_instance(&mut self) -> Result<(), Error> {
        if let Some(usage) = &mut self.usage {
            usage.instance.join(&self.instance.usage());
        }
        let options = InstanceOptions { now_ms: self.conduct.clock.now_ms(), ..self.options.clone() };
        let failed = |source| Error::of_start(&self.name, self.subtask, source);
        let instance = new_instance(&self.plugin, options, self.conduct.meter, Some(&self.instance));
        self.instance = instance.map_err(failed)?;
        self.counters.traps.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The error of a call that fails the job.
    pub(super) fn fault_error(&self, fault: Fault) -> Error {
        let (vertex, subtask) = (self.name.clone(), self.subtask);
        match fault {
            Fault::Call(source) => Error::Call { vertex, subtask, source },
            Fault::State(source) => Error::State { vertex, subtask, source },
            Fault::Job(error) => error,
        }
    }
}

fn report_lines(fault: &Fault, lines: fn(&wasmill_plugin::instance::Report) -> &Vec<String>) -> Option<String> {
    let Fault::Call(error) = fault else { return None };
    error.report().map(|report| lines(report).join("\n"))
}

impl<'a> Work<'a> {
    /// The rows of the call.
    fn batch(self) -> &'a Batch {
        match self {
            Self::Rows { batch, .. } => batch,
            Self::Timers { due, .. } => due,
        }
    }

    fn rows(self) -> usize {
        self.batch().rows
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rows { .. } => "process",
            Self::Timers { .. } => "on-timers",
        }
    }
}

/// Some rows of a call, to be a call of their own.
struct Part {
    batch: Batch,
    keys: EncodedKeys,
}

impl Part {
    fn of(work: Work<'_>, piece: Piece) -> Self {
        let batch = work.batch().slice(piece.offset, piece.rows);
        let mut part_keys = EncodedKeys::default();
        if let Work::Timers { keys, .. } = work {
            (piece.offset..piece.offset + piece.rows).for_each(|key| part_keys.push(keys.get(key)));
        }
        Self { batch, keys: part_keys }
    }

    fn work(&self, of: Work<'_>) -> Work<'_> {
        match of {
            Work::Rows { input, .. } => Work::Rows { input, batch: &self.batch },
            Work::Timers { domain, .. } => Work::Timers { domain, due: &self.batch, keys: &self.keys },
        }
    }
}
