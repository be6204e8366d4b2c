//! Bytes that are read or written by somebody who waits, on one side, and a connection, on the other, with a few pieces between them.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{body::Arriving, problem::Refusal};

/// Pieces that wait.
const PIECES_MAX: usize = 4;
/// Bytes of a piece that is sent.
const PIECE_BYTES: usize = 64 << 10;

/// What a connection brings, to be read by a thread that waits for it.
#[derive(Debug)]
pub(crate) struct Piped {
    /// None stands for the end: a connection that breaks off tells nothing.
    pieces: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    ended: bool,
}

/// The end of a pipe at the connection.
pub(crate) type To = mpsc::Sender<Option<Bytes>>;

/// What is sent at one end is read at the other.
pub(crate) fn pipe() -> (To, Piped) {
    let (to, pieces) = mpsc::channel(PIECES_MAX);
    (to, Piped { pieces, piece: Bytes::new(), ended: false })
}

/// Sends all that arrives. Who reads may have had enough: the rest is taken all the same, as a client that is cut off while it sends does
/// not look at the answer.
pub(crate) async fn send(mut arriving: Arriving, to: To) -> Result<(), Refusal> {
    let mut to = Some(to);
    while let Some(piece) = arriving.next().await? {
        if let Some(reader) = &to
            && reader.send(Some(piece)).await.is_err()
        {
            to = None;
        }
    }
    if let Some(to) = to {
        // Nobody needs it who has had enough.
        let _ = to.send(None).await;
    }
    Ok(())
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke off")),
            }
        }
        let read = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

/// What a thread writes, as a body. If it fails the body is broken off, so that nobody takes it for whole.
pub(crate) fn written(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    turn: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (to, pieces) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut from = From { to, gathered: Vec::new() };
        if let Err(error) = write(&mut from).and_then(|()| from.flush()) {
            // A client that is gone needs to know nothing.
            let _ = from.to.blocking_send(Err(error));
        }
        drop(turn);
    });
    stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) })
}

/// Gathers what is written into pieces.
struct From {
    to: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
}

impl Write for From {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.gathered);
        if piece.is_empty() {
            return Ok(());
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone");
        self.to.blocking_send(Ok(piece.into())).map_err(gone)
    }
}
