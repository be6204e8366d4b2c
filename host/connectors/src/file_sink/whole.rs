//! One file a subtask, which appears at commit and replaces what was there.

use std::{io, path::PathBuf};

use wasmill_model::{Batch, ids::CheckpointId};

use super::part::{Finished, Part, PartOptions, failed, sync_folder};
use crate::{CheckpointKind, Error, Sink, SinkPart};

/// The file of one subtask.
pub(super) struct WholeSink {
    target: PathBuf,
    folder: PathBuf,
    state: State,
}

enum State {
    Writing(Box<Part>),
    Prepared(Finished),
    Committed,
    /// A step failed; nothing is left.
    Failed,
}

impl WholeSink {
    pub(super) fn open(options: PartOptions, target: PathBuf) -> Result<Self, Error> {
        if target.is_dir() {
            return Err(failed("create", &target, io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let part = Part::create(&options, target.clone())?;
        Ok(Self { target, folder: options.name.folder, state: State::Writing(Box::new(part)) })
    }
}

impl Sink for WholeSink {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let State::Writing(part) = &mut self.state else { panic!("rows after the end of input") };
        part.write(batch)
    }

    /// Does nothing: the file appears whole.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn checkpoint(&mut self, _: CheckpointId, _: CheckpointKind) -> Result<SinkPart, Error> {
        unreachable!("it is for jobs that take no checkpoints")
    }

    fn completed(&mut self, _: CheckpointId) -> Result<(), Error> {
        unreachable!("it is for jobs that take no checkpoints")
    }

    fn prepare(&mut self) -> Result<SinkPart, Error> {
        if !matches!(self.state, State::Writing(_)) {
            return Ok(SinkPart::default());
        }
        let State::Writing(part) = std::mem::replace(&mut self.state, State::Failed) else {
            unreachable!("looked at above")
        };
        self.state = State::Prepared(part.finish()?);
        Ok(SinkPart::default())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Prepared(Finished { temporary, file }) => match temporary.persist(&self.target) {
                Ok(()) => State::Committed,
                Err(refused) => {
                    self.state = State::Prepared(Finished { temporary: refused.path, file });
                    return Err(failed("replace", &self.target, refused.error));
                }
            },
            State::Committed => State::Committed,
            State::Writing(_) => panic!("commit of {} without prepare", self.target.display()),
            State::Failed => panic!("commit of {} after a failure", self.target.display()),
        };
        sync_folder(&self.folder)
    }
}
