//! One file after another: `counts.0.000001.jsonl` is the first of subtask 0.
//!
//! A file appears when it is full or old enough, long before the job ends, and is never touched again. Numbers go on where
//! an earlier run has stopped. A file without rows is never made.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use wasmill_model::{
    Batch,
    ids::CheckpointId,
    settings::{self, Setting, Settings},
};

use super::{
    FileName,
    part::{Finished, Part, PartOptions, failed, sync_folder},
    publish::{DIGITS, last_number},
};
use crate::{CheckpointKind, Error, Sink, SinkPart};

/// When a file ends and the next one begins: whatever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Roll {
    /// Bytes; a file has one batch more at most.
    pub(super) size: u64,
    /// Since its first row.
    pub(super) every: Duration,
}

impl Default for Roll {
    fn default() -> Self {
        Self { size: 128 << 20, every: Duration::from_secs(600) }
    }
}

impl Roll {
    pub(super) fn read(table: &Settings) -> Result<Self, settings::Error> {
        let default = Self::default();
        let size = table.optional("size", |setting| match setting.bytes()? {
            0 => Err(setting.out_of_range("expected at least 1 B, found 0 B")),
            bytes => Ok(bytes),
        })?;
        let every = table.optional("every", |setting: &Setting| match setting.duration()? {
            Duration::ZERO => Err(setting.out_of_range("expected a time above zero, such as \"10m\"")),
            time => Ok(time),
        })?;
        table.finish()?;
        Ok(Self { size: size.unwrap_or(default.size), every: every.unwrap_or(default.every) })
    }
}

/// The files of one subtask.
pub(super) struct RollingSink {
    options: PartOptions,
    roll: Roll,
    subtask: u32,
    /// Of the next file that appears.
    number: u64,
    open: Option<Open>,
    prepared: Option<Finished>,
}

/// The file that rows go to.
struct Open {
    part: Part,
    since: Instant,
}

impl RollingSink {
    /// Looks for the last number of an earlier run. No file is made yet.
    pub(super) fn open(options: PartOptions, roll: Roll, subtask: u32) -> Result<Self, Error> {
        let folder = &options.name.folder;
        fs::create_dir_all(folder).map_err(|source| failed("create", folder, source))?;
        let last = last_number(&options.name, subtask).map_err(|source| failed("list", folder, source))?;
        Ok(Self { options, roll, subtask, number: last.saturating_add(1), open: None, prepared: None })
    }

    fn target(&self) -> PathBuf {
        let FileName { folder, stem, .. } = &self.options.name;
        folder.join(format!("{stem}.{}.{:0DIGITS$}{}", self.subtask, self.number, self.options.name.ending()))
    }

    /// Lets the open file appear, if there is one.
    fn roll(&mut self) -> Result<(), Error> {
        match self.open.take() {
            Some(open) => {
                let finished = open.part.finish()?;
                self.publish(finished)
            }
            None => Ok(()),
        }
    }

    /// Gives a finished file the next number that is free.
    fn publish(&mut self, finished: Finished) -> Result<(), Error> {
        let Finished { mut temporary, file } = finished;
        loop {
            let target = self.target();
            match temporary.persist_noclobber(&target) {
                Ok(()) => break,
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                    // Somebody else writes here too.
                    temporary = refused.path;
                    self.number += 1;
                }
                Err(refused) => {
                    self.prepared = Some(Finished { temporary: refused.path, file });
                    return Err(failed("create", &target, refused.error));
                }
            }
        }
        self.number += 1;
        sync_folder(&self.options.name.folder)
    }
}

impl Sink for RollingSink {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        assert!(self.prepared.is_none(), "rows after the end of input");
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let part = Part::create(&self.options, self.target())?;
                self.open.insert(Open { part, since: Instant::now() })
            }
        };
        open.part.write(batch)?;
        let full = open.part.bytes() >= self.roll.size || open.since.elapsed() >= self.roll.every;
        if full { self.roll() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        match &self.open {
            Some(open) if open.since.elapsed() >= self.roll.every => self.roll(),
            _ => Ok(()),
        }
    }

    fn flush_at(&self) -> Option<Instant> {
        self.open.as_ref().and_then(|open| open.since.checked_add(self.roll.every))
    }

    fn checkpoint(&mut self, _: CheckpointId, _: CheckpointKind) -> Result<SinkPart, Error> {
        unreachable!("it is for jobs that take no checkpoints")
    }

    fn completed(&mut self, _: CheckpointId) -> Result<(), Error> {
        unreachable!("it is for jobs that take no checkpoints")
    }

    fn prepare(&mut self) -> Result<SinkPart, Error> {
        if let Some(open) = self.open.take() {
            self.prepared = Some(open.part.finish()?);
        }
        Ok(SinkPart::default())
    }

    fn commit(&mut self) -> Result<(), Error> {
        match self.prepared.take() {
            Some(finished) => self.publish(finished),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
