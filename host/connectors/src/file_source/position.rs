//! How far files were read, and going on from there.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmill_model::Batch;

use crate::{BadRow, Error, Split};

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
    waiting: VecDeque<(Split, Position)>,
    /// The one that is being read, and what is to be left out of it.
    current: Option<(Position, Skip)>,
    done: Vec<PathBuf>,
}

/// Rows that were handed out before.
#[derive(Debug, Default)]
struct Skip {
    good: u64,
    bad: u64,
}

impl Files {
    /// Those of all files that one of several subtasks reads, each from where it was read up to.
    pub(crate) fn of(
        splits: &[Split],
        subtask: u32,
        parallelism: u32,
        positions: Option<&[Value]>,
    ) -> Result<Self, Error> {
        let mut known: BTreeMap<PathBuf, Position> = BTreeMap::new();
        for value in positions.unwrap_or_default() {
            let refused = |reason| Error::Position { of: "a file source".to_owned(), reason };
            let position = Position::deserialize(value).map_err(|e| refused(e.to_string()))?;
            if !position.done && !splits.iter().any(|split| split.path == position.path) {
                let of = position.path.display().to_string();
                return Err(Error::Position { of, reason: "it is not among the files of the source any more".into() });
            }
            known.insert(position.path.clone(), position);
        }
        let mut files = Self::default();
        for split in splits.iter().skip(subtask as usize).step_by(parallelism as usize) {
            let start = Position { path: split.path.clone(), ..Position::default() };
            let position = known.remove(&split.path).unwrap_or(start);
            if split.is_standard_input() && position.is_begun() {
                let reason = "what was read of it cannot be passed over again".to_owned();
                return Err(Error::Position { of: split.to_string(), reason });
            }
            match position.done {
                true => files.done.push(position.path),
                false => files.waiting.push_back((split.clone(), position)),
            }
        }
        Ok(files)
    }

    /// All that are to be read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.waiting.iter().map(|(split, _)| split.path.as_path())
    }

    /// The next file, and where to begin in it.
    pub(super) fn begin(&mut self) -> Option<(Split, Position)> {
        let (split, position) = self.waiting.pop_front()?;
        let skip = Skip { good: position.good, bad: position.bad };
        self.current = Some((Position { good: 0, bad: 0, ..position.clone() }, skip));
        Some((split, position))
    }

    /// All rows of the file that is being read were handed out.
    pub(super) fn end(&mut self) {
        if let Some((position, _)) = self.current.take() {
            self.done.push(position.path);
        }
    }

    /// All rows up to a place were handed out, and what comes next begins there.
    pub(super) fn at(&mut self, offset: u64, lines: u64) {
        if let Some((position, skip)) = &mut self.current
            && skip.good + skip.bad == 0
        {
            *position =
                Position { offset, lines, good: 0, bad: 0, path: std::mem::take(&mut position.path), done: false };
        }
    }

    /// Takes good rows, and gives those that were not handed out before.
    pub(super) fn good(&mut self, batch: Batch) -> Option<Batch> {
        let Some((position, skip)) = &mut self.current else { return Some(batch) };
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
        let Some((position, skip)) = &mut self.current else { return rows };
        position.bad += rows.len() as u64;
        let left_out = skip.bad.min(rows.len() as u64) as usize;
        skip.bad -= left_out as u64;
        rows.drain(..left_out);
        rows
    }

    /// One for each file.
    pub(super) fn positions(&self) -> Vec<Value> {
        let done = self.done.iter().map(|path| Position { path: path.clone(), done: true, ..Position::default() });
        let current = self.current.iter().map(|(position, skip)| {
            // What is still to be passed over was handed out too.
            let (good, bad) = (position.good + skip.good, position.bad + skip.bad);
            Position { good, bad, ..position.clone() }
        });
        let waiting = self.waiting.iter().map(|(_, position)| position.clone());
        done.chain(current).chain(waiting).map(|position| json!(position)).collect()
    }
}

impl Position {
    fn is_begun(&self) -> bool {
        self.done || self.offset + self.good + self.bad > 0
    }
}
