//! Standard input, read on a thread of its own: a subtask that waits for it still hears what it is told.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use crate::{
    Error, Split,
    file_source::blocks::{BlockOptions, Blocks, Piece},
};

/// Pieces that may wait for the subtask.
const WAITING_MAX: usize = 2;

/// How long a poll waits for a piece.
const PATIENCE: Duration = Duration::from_millis(20);

pub(super) struct StandardInput {
    pieces: Receiver<Result<Option<Piece>, Error>>,
}

/// What waiting for a piece brought.
pub(super) enum Waited {
    Piece(Piece),
    Nothing,
    End,
}

impl StandardInput {
    /// Starts reading. The thread ends with the input, or with the process.
    pub(super) fn open(options: BlockOptions) -> Result<Self, Error> {
        let (sender, pieces) = sync_channel(WAITING_MAX);
        let read = move || {
            let mut input = match Blocks::of_standard_input(options) {
                Ok(input) => input,
                Err(error) => return drop(sender.send(Err(error))),
            };
            loop {
                let piece = input.next();
                let is_last = !matches!(piece, Ok(Some(_)));
                // Nobody takes it any more: the source was closed.
                if sender.send(piece).is_err() || is_last {
                    return;
                }
            }
        };
        match thread::Builder::new().name("standard-input".into()).spawn(read) {
            Ok(_) => Ok(Self { pieces }),
            Err(source) => Err(failed(source)),
        }
    }

    /// What comes next, if one comes within a short while.
    pub(super) fn next(&self) -> Result<Waited, Error> {
        match self.pieces.recv_timeout(PATIENCE) {
            Ok(Ok(Some(piece))) => Ok(Waited::Piece(piece)),
            Ok(Ok(None)) => Ok(Waited::End),
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(Waited::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(failed(io::Error::other("the thread that reads it has ended"))),
        }
    }
}

fn failed(source: io::Error) -> Error {
    Error::Read { doing: "read", path: Split::standard_input().to_string().into(), source }
}
