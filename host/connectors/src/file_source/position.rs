//! How far files were read, and going on from there; which of them a subtask reads.
//!
//! What is left to read is divided into [portions](super::portions). The first of them are dealt out, one to each subtask that reads;
//! the others are given to whoever asks. The positions that a subtask gives to a checkpoint say how far it has come with what it has
//! begun in this attempt, and, for its share of all files, how far each was when the attempt began. Those of all subtasks together say
//! of each file how far it was read: of two that speak of one file the further one is right, as nobody else reads it in an attempt.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmill_model::{
    Batch,
    portions::{Asks, Given},
};

use crate::{
    BadRow, Error, Polled, ReadBefore, Split,
    file_source::portions::{Left, portions},
};

/// Who has no more than so many bytes left to read asks for more: what it takes to read them hides how long the answer takes.
const NEARLY_READ_BYTES: u64 = 1 << 20;

/// From being told nothing new to being polled again at the latest. Who is given something is polled at once.
const ANSWER_MS: i64 = 1_000;

/// How far a file was read: a place in it, and how many rows behind it were handed out. Good rows and bad ones each come in the
/// order of the file, but not one behind the other, so they are counted apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    path: PathBuf,
    /// All of it was read.
    done: bool,
    /// Bytes before the place, unpacked.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) lines: u64,
    good: u64,
    bad: u64,
}

/// The files of a subtask.
#[derive(Debug, Default)]
pub(crate) struct Files {
    splits: Arc<[Split]>,
    /// Those that it was given and has not begun, by their places among the splits.
    waiting: VecDeque<usize>,
    waiting_bytes: u64,
    /// How many its newest portion has.
    newest: usize,
    /// The one that is being read, its bytes, and what is to be left out of it.
    current: Option<(Position, u64, Skip)>,
    /// Where those go on that were begun before, whoever will read them.
    begun: BTreeMap<usize, Position>,
    /// How far the files of its share were when the attempt began, and those that it has read since.
    known: BTreeMap<PathBuf, Position>,
    pool: Pool,
    /// Bytes of its share of what is left; none: that is not known.
    share_bytes: Option<u64>,
}

/// The portions that are given to whoever asks.
#[derive(Debug, Default)]
struct Pool {
    /// Splits that were left when the attempt began.
    left: Vec<usize>,
    /// By number: places in `left`.
    portions: Vec<Range<usize>>,
    /// How many of them this subtask has.
    has: u32,
    /// Nothing more will come.
    is_all: bool,
}

/// Rows that were handed out before.
#[derive(Debug, Default)]
struct Skip {
    good: u64,
    bad: u64,
}

impl Files {
    /// Those that one of several subtasks begins with, and those that it may be given, each from where it was read up to.
    pub(crate) fn of(
        splits: &Arc<[Split]>,
        subtask: u32,
        parallelism: u32,
        before: Option<&ReadBefore>,
    ) -> Result<Self, Error> {
        let mut known = known_positions(splits, before.map_or(&[], |before| &before.positions))?;
        let is_mine = |place: usize| place % parallelism as usize == subtask as usize;
        let mut files = Self { splits: splits.clone(), share_bytes: Some(0), ..Self::default() };
        let mut left = Vec::new();
        for (split, found) in splits.iter().enumerate() {
            let Split { path, bytes } = found;
            let start = || Position { path: path.clone(), ..Position::default() };
            let position = known.remove(&split).unwrap_or_else(start);
            let is_begun = position.is_begun();
            if found.is_standard_input() && is_begun {
                let reason = "what was read of it cannot be passed over again".to_owned();
                return Err(Error::Position { of: found.to_string(), reason });
            }
            if is_mine(split) {
                files.known.insert(path.clone(), position.clone());
            }
            if position.done {
                continue;
            }
            if is_mine(left.len()) {
                files.share_bytes = files.share_bytes.zip(*bytes).map(|(sum, bytes)| sum + bytes);
            }
            let alone = is_begun || found.is_standard_input();
            left.push(Left { split, bytes: found.size(), alone });
            if is_begun {
                files.begun.insert(split, position);
            }
        }
        files.deal_out(&left, subtask, parallelism, before);
        Ok(files)
    }

    /// Takes the portion that this subtask begins with. One that had come to its end before has none and gets none.
    fn deal_out(&mut self, left: &[Left], subtask: u32, parallelism: u32, before: Option<&ReadBefore>) {
        let has_ended = |subtask: &u32| before.is_some_and(|before| before.ended.contains(subtask));
        let readers: Vec<u32> = (0..parallelism).filter(|subtask| !has_ended(subtask)).collect();
        let mut portions = portions(left, readers.len());
        let rest = portions.split_off(readers.len().min(portions.len()));
        self.pool.left = left.iter().map(|file| file.split).collect();
        let own = readers.iter().position(|reader| *reader == subtask);
        self.pool.is_all = own.is_none() || rest.is_empty();
        if let Some(first) = own.and_then(|own| portions.get(own)) {
            self.put(first.clone());
        }
        self.pool.portions = rest;
    }

    fn put(&mut self, portion: Range<usize>) {
        let places = &self.pool.left[portion];
        self.waiting.extend(places);
        self.waiting_bytes += places.iter().map(|&split| self.splits[split].size()).sum::<u64>();
        self.newest = places.len();
    }

    /// What it asks for, when so many bytes of the file that it reads were read.
    pub(super) fn asks(&self, read: u64) -> Option<Asks> {
        let current = self.current.as_ref().map_or(0, |(_, bytes, _)| bytes.saturating_sub(read));
        let is_at_newest = self.waiting.is_empty() || self.waiting.len() < self.newest;
        let nearly_read = is_at_newest && self.waiting_bytes + current <= NEARLY_READ_BYTES;
        let Pool { portions, has, is_all, .. } = &self.pool;
        (!is_all && nearly_read).then_some(Asks { of: portions.len() as u32, has: *has })
    }

    /// Takes what is new of what it was given.
    pub(super) fn give(&mut self, given: &Given) {
        for &portion in given.portions.iter().skip(self.pool.has as usize) {
            let portion = self.pool.portions[portion as usize].clone();
            self.put(portion);
            self.pool.has += 1;
        }
        self.pool.is_all |= given.is_all;
    }

    /// What a poll brings when all was read that it has: the end, unless there may come more.
    pub(super) fn nothing_waits(&self, now_ms: i64) -> Polled {
        match self.pool.is_all {
            true => Polled::End,
            false => Polled::Pending { retry_at_ms: now_ms + ANSWER_MS },
        }
    }

    /// Bytes of what it would read if all read the same number of files; none if that is not known.
    pub(super) fn share_bytes(&self) -> Option<u64> {
        self.share_bytes
    }

    /// The next file, and where to begin in it.
    pub(super) fn begin(&mut self) -> Option<(Split, Position)> {
        let place = self.waiting.pop_front()?;
        let split = self.splits[place].clone();
        self.waiting_bytes -= split.size();
        let start = || Position { path: split.path.clone(), ..Position::default() };
        let position = self.begun.get(&place).cloned().unwrap_or_else(start);
        let skip = Skip { good: position.good, bad: position.bad };
        self.current = Some((Position { good: 0, bad: 0, ..position.clone() }, split.size(), skip));
        Some((split, position))
    }

    /// All rows of the file that is being read were handed out.
    pub(super) fn end(&mut self) {
        if let Some((Position { path, .. }, ..)) = self.current.take() {
            let position = Position { path: path.clone(), done: true, ..Position::default() };
            self.known.insert(path, position);
        }
    }

    /// All rows up to a place were handed out, and what comes next begins there.
    pub(super) fn at(&mut self, offset: u64, lines: u64) {
        if let Some((position, _, skip)) = &mut self.current
            && skip.good + skip.bad == 0
        {
            *position = Position { offset, lines, good: 0, bad: 0, path: mem::take(&mut position.path), done: false };
        }
    }

    /// Takes good rows, and gives those that were not handed out before.
    pub(super) fn good(&mut self, batch: Batch) -> Option<Batch> {
        let Some((position, _, skip)) = &mut self.current else { return Some(batch) };
        position.good += batch.rows as u64;
        let left_out = skip.good.min(batch.rows as u64) as usize;
        skip.good -= left_out as u64;
        match left_out {
            0 => Some(batch),
            all if all == batch.rows => None,
            some => Some(batch.slice(some, batch.rows - some)),
        }
    }

    /// The same with bad rows.
    pub(super) fn bad(&mut self, mut rows: Vec<BadRow>) -> Vec<BadRow> {
        let Some((position, _, skip)) = &mut self.current else { return rows };
        position.bad += rows.len() as u64;
        let left_out = skip.bad.min(rows.len() as u64) as usize;
        skip.bad -= left_out as u64;
        rows.drain(..left_out);
        rows
    }

    /// One for each file of its share, and for each that it has begun.
    pub(super) fn positions(&self) -> Vec<Value> {
        let current = self.current.iter().map(|(position, _, skip)| {
            // What is still to be passed over was handed out too.
            let (good, bad) = (position.good + skip.good, position.bad + skip.bad);
            Position { good, bad, ..position.clone() }
        });
        let is_current = |path: &Path| self.current.as_ref().is_some_and(|(position, ..)| position.path == path);
        let others = self.known.values().filter(|position| !is_current(&position.path)).cloned();
        others.chain(current).map(|position| json!(position)).collect()
    }
}

/// How far each split was read, by its place, of those of which something is known.
fn known_positions(splits: &[Split], values: &[Value]) -> Result<BTreeMap<usize, Position>, Error> {
    let places: BTreeMap<&Path, usize> = splits.iter().enumerate().map(|(place, s)| (&*s.path, place)).collect();
    let mut known: BTreeMap<usize, Position> = BTreeMap::new();
    for value in values {
        let refused = |reason| Error::Position { of: "a file source".to_owned(), reason };
        let position = Position::deserialize(value).map_err(|e| refused(e.to_string()))?;
        match places.get(&*position.path) {
            Some(&place) => {
                let further = known.get(&place).is_none_or(|other| other.how_far() < position.how_far());
                if further {
                    known.insert(place, position);
                }
            }
            None if position.done => {}
            None => {
                let of = position.path.display().to_string();
                return Err(Error::Position { of, reason: "it is not among the files of the source any more".into() });
            }
        }
    }
    Ok(known)
}

impl Position {
    fn is_begun(&self) -> bool {
        self.done || self.offset + self.good + self.bad > 0
    }

    /// Of two positions of one file that attempts have come to one after the other, the later one is higher.
    fn how_far(&self) -> (bool, u64, u64) {
        (self.done, self.offset, self.good + self.bad)
    }
}
