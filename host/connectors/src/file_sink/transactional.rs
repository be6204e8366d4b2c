//! The files of one subtask of a job that takes checkpoints: none is visible before a checkpoint that has all of its rows is complete.
//!
//! A file being written is a temporary one. At a checkpoint it is *closed*, when it is full, old enough, or cannot be written on later,
//! and then waits for the checkpoint to be complete; or it stays *open*, and what it has is durable up to its length. What a
//! checkpoint keeps names all files that are not visible. Whoever goes on from it makes those visible that were closed, and copies what
//! the open ones had: the old ones may still be written by a process that is thought to be dead.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmill_model::{Batch, ids::CheckpointId};

use super::{
    accounts::Accounts,
    part::{Kept as KeptPart, Part, PartOptions, failed, sync_folder},
    publish::{DIGITS, Taken, last_number, publish},
    rolling::Roll,
    temporary,
};
use crate::{CheckpointKind, Error, Sink, SinkPart, SinkParts, SinkPlace};

/// Closed files that may wait. If there are more, files become larger than they should be.
const WAITING_MAX: usize = 64;

/// What a checkpoint keeps of a subtask: of files that roll as a transaction, of a whole one as what is unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// All rows had come: of a whole sink the closed file is the result.
    ended: bool,
    /// The folder's number in its file system: another one is another folder.
    folder: u64,
    pub(super) closed: Vec<Closed>,
    open: Option<KeptPart>,
}

/// A file that is whole, and waits for its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closed {
    pub(super) part: KeptPart,
    pub(super) target: PathBuf,
}

/// A closed file of this subtask.
struct Waiting {
    closed: Closed,
    /// The first checkpoint that has it; none: there was none since.
    checkpoint: Option<CheckpointId>,
    /// Holds the lock on it.
    _file: File,
}

/// The file that rows go to.
struct Open {
    part: Part,
    since: Instant,
}

/// The files of one subtask.
pub(super) struct TransactionalSink {
    options: PartOptions,
    /// None: one file, which is closed at the end of all rows.
    roll: Option<Roll>,
    /// The target, or of rolling files the number of the next one.
    target: PathBuf,
    subtask: u32,
    folder: u64,
    number: u64,
    open: Option<Open>,
    waiting: Vec<Waiting>,
    /// What earlier attempts had open, of files that roll. It was copied, and stays as long as the job may go back to it.
    superseded: Vec<PathBuf>,
    /// The newest checkpoint whose part was taken.
    newest: Option<CheckpointId>,
    /// All rows have come.
    ended: bool,
    /// The result was made visible when the sink was opened.
    done: bool,
}

impl TransactionalSink {
    /// `target`: of a sink that does not roll.
    pub(super) fn open(
        options: PartOptions,
        roll: Option<Roll>,
        target: PathBuf,
        place: SinkPlace,
        restored: &SinkParts,
    ) -> Result<Self, Error> {
        let folder = &options.name.folder;
        fs::create_dir_all(folder).map_err(|source| failed("create", folder, source))?;
        let number = fs::metadata(folder).map_err(|source| failed("look at", folder, source))?.ino();
        let SinkParts { transactions, unfinished, is_shared, .. } = restored;
        let all = transactions.iter().map(|value| (value, true)).chain(unfinished.iter().map(|value| (value, false)));
        let kept = all.map(|(value, is_prepared)| Ok((read(value, folder)?, is_prepared)));
        let kept = kept.collect::<Result<Vec<(Kept, bool)>, Error>>()?;
        let accounts = Accounts::new(restored, number);
        let named = kept.iter().flat_map(|(kept, _)| kept.closed.iter().map(|c| &c.part).chain(&kept.open));
        let named: Vec<&Path> = named.map(|part| part.temporary.as_path()).collect();
        temporary::sweep_but(folder, &options.name.whole(), &named);
        // What others may go on from too stays as it is: the result is made of a copy.
        let done = roll.is_none() && !is_shared && !kept.is_empty() && kept.iter().all(|(kept, _)| kept.ended);
        let subtask = place.subtask;
        let mut sink = Self {
            options,
            roll,
            target,
            subtask,
            folder: number,
            number: 0,
            open: None,
            waiting: Vec::new(),
            superseded: Vec::new(),
            newest: None,
            ended: false,
            done,
        };
        let own = kept.into_iter().skip(subtask as usize).step_by(place.parallelism as usize);
        own.into_iter().try_for_each(|(kept, is_prepared)| sink.take_over(kept, is_prepared, &accounts))?;
        let folder = &sink.options.name.folder;
        let last = last_number(&sink.options.name, subtask).map_err(|source| failed("list", folder, source))?;
        sink.number = last.saturating_add(1);
        Ok(sink)
    }

    /// Makes visible what was closed, and goes on where the rest was. A result that was prepared is one of files that roll.
    fn take_over(&mut self, kept: Kept, is_prepared: bool, accounts: &Accounts) -> Result<(), Error> {
        let taken = if is_prepared { Taken::Number } else { Taken::Replace };
        let mut parts: Vec<KeptPart> = Vec::new();
        for Closed { part, target } in kept.closed {
            match is_prepared || self.done {
                true => match publish(&part.temporary, &target, taken) {
                    Err(Error::Unpublished { .. }) if accounts.closed(&part, kept.folder) => {}
                    published => published?,
                },
                // Not all had ended: rows may still come behind these.
                false => parts.push(part),
            }
        }
        sync_folder(&self.options.name.folder)?;
        parts.extend(kept.open);
        for part in parts {
            match part.check() {
                Err(Error::Lost { .. }) if accounts.open(&part) => continue,
                checked => checked?,
            }
            match &mut self.open {
                Some(open) => open.part.append(&part)?,
                None => {
                    let part = Part::resume(&self.options, self.shown(), &part)?;
                    self.open = Some(Open { part, since: Instant::now() });
                }
            }
            if self.roll.is_some() {
                self.superseded.push(part.temporary);
            }
        }
        Ok(())
    }

    fn taken(&self) -> Taken {
        if self.roll.is_some() { Taken::Number } else { Taken::Replace }
    }

    /// For messages.
    fn shown(&self) -> PathBuf {
        match self.roll {
            None => self.target.clone(),
            Some(_) => self.numbered(self.number),
        }
    }

    fn numbered(&self, number: u64) -> PathBuf {
        let name = &self.options.name;
        name.folder.join(format!("{}.{}.{number:0DIGITS$}{}", name.stem, self.subtask, name.ending()))
    }

    fn is_due(&self) -> bool {
        let (Some(roll), Some(open)) = (&self.roll, &self.open) else { return false };
        open.part.bytes() >= roll.size || open.since.elapsed() >= roll.every
    }

    /// Closes the open file. It has its name when it becomes visible.
    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (part, file) = open.part.close()?;
        let target = match self.roll {
            None => self.target.clone(),
            Some(_) => self.numbered(self.number),
        };
        self.number += u64::from(self.roll.is_some());
        self.waiting.push(Waiting { closed: Closed { part, target }, checkpoint: None, _file: file });
        Ok(())
    }

    /// What is not visible.
    fn kept(&mut self) -> Result<SinkPart, Error> {
        let open = self.open.as_mut().map(|open| open.part.keep()).transpose()?;
        let closed: Vec<Closed> = self.waiting.iter().map(|waiting| waiting.closed.clone()).collect();
        let ended = self.ended || self.done;
        // Of one that does not roll it must be known whether it has ended.
        if self.roll.is_some() && open.is_none() && closed.is_empty() {
            return Ok(SinkPart::default());
        }
        let kept = Kept { ended, folder: self.folder, closed, open };
        let kept = serde_json::to_value(kept).map_err(|e| failed("describe", &self.target, e.into()))?;
        Ok(match self.roll {
            Some(_) => SinkPart { transaction: Some(kept), unfinished: None },
            None => SinkPart { transaction: None, unfinished: Some(kept) },
        })
    }

    /// What was closed since the last checkpoint is of this one.
    fn belong_to(&mut self, id: CheckpointId) {
        for waiting in &mut self.waiting {
            waiting.checkpoint.get_or_insert(id);
        }
    }

    fn publish(&mut self, is_due: impl Fn(&Waiting) -> bool) -> Result<(), Error> {
        let taken = self.taken();
        let mut published = false;
        while let Some(place) = self.waiting.iter().position(&is_due) {
            let Closed { part, target } = &self.waiting[place].closed;
            publish(&part.temporary, target, taken)?;
            self.waiting.remove(place);
            published = true;
        }
        if published { sync_folder(&self.options.name.folder) } else { Ok(()) }
    }
}

pub(super) fn read(value: &Value, folder: &Path) -> Result<Kept, Error> {
    serde_json::from_value(value.clone()).map_err(|e| failed("understand what a checkpoint kept for", folder, e.into()))
}

impl Sink for TransactionalSink {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        assert!(!self.ended && !self.done, "rows after the end of input");
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let part = Part::create_to_keep(&self.options, self.shown())?;
                self.open.insert(Open { part, since: Instant::now() })
            }
        };
        open.part.write(batch)?;
        // Age counts at checkpoints only: before one nothing becomes visible.
        let full = self.roll.is_some_and(|roll| self.open.as_ref().is_some_and(|o| o.part.bytes() >= roll.size));
        if full && self.waiting.len() < WAITING_MAX { self.close() } else { Ok(()) }
    }

    /// Does nothing: files appear with checkpoints.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn checkpoint(&mut self, id: CheckpointId, kind: CheckpointKind) -> Result<SinkPart, Error> {
        let must_close = kind == CheckpointKind::Savepoint || !self.options.encoder.is_text();
        if self.roll.is_some() && (must_close || self.is_due() && self.waiting.len() < WAITING_MAX) {
            self.close()?;
        }
        self.newest = Some(id);
        self.belong_to(id);
        self.kept()
    }

    fn completed(&mut self, id: CheckpointId) -> Result<(), Error> {
        // The one file of a sink that does not roll appears when all of the job has ended.
        if self.roll.is_none() {
            return Ok(());
        }
        self.publish(|waiting| waiting.checkpoint.is_some_and(|checkpoint| checkpoint <= id))
    }

    fn prepare(&mut self) -> Result<SinkPart, Error> {
        if self.roll.is_none() && self.open.is_none() && !self.ended && !self.done {
            // A file without rows is a result too.
            let part = Part::create_to_keep(&self.options, self.shown())?;
            self.open = Some(Open { part, since: Instant::now() });
        }
        self.close()?;
        self.ended = true;
        // It is the subtask's part of every checkpoint behind those that it has seen.
        self.belong_to(CheckpointId(self.newest.map_or(0, |id| id.0.saturating_add(1))));
        self.kept()
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.publish(|_| true)?;
        for path in self.superseded.drain(..) {
            // The job has ended: nobody opens this sink again and would sweep it.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
