//! One connection's bytes: a transport or TLS below, frames above.

use std::{
    io::{self, IoSlice},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use arrow_buffer::Buffer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use wasmill_wire::{Checksum, Decoder, Frame};

use super::{
    outbound::Outbound,
    transport::{Stream, Transport},
};
use crate::tls::Tls;

/// How long is waited for others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A TaskManager that cannot be reached is tried again for so long.
    pub(super) connect: Duration,
    /// Until the other side has said who it is.
    pub(super) handshake: Duration,
}

/// After so many seconds without a byte a connection is taken for dead.
const SILENT_SECONDS_MAX: u32 = 10;

/// And after so many without a whole frame: of one whose length was changed on its way the rest would never come, since what is
/// heard instead is only that the other side is there. The longest takes as long at 17 KiB a second.
const FRAME_SECONDS_MAX: u32 = 60;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What of a body is missing is read to its place if it is at least this long.
const DIRECT_BYTES: usize = 16 << 10;

/// Pieces that are written at once; the system takes 1,024.
const PIECES_MAX: usize = 64;

/// Frames and bytes that have been read.
#[derive(Debug, Default)]
pub(super) struct Heard {
    frames: AtomicU64,
    bytes: AtomicU64,
    silence: Silence,
}

/// What a tick has seen of a connection.
#[derive(Debug, Default)]
struct Silence {
    /// Bytes written before the last tick.
    written: AtomicU64,
    read: Standstill,
    frames: Standstill,
}

/// For how long something has not grown.
#[derive(Debug, Default)]
struct Standstill {
    /// Before the last tick.
    count: AtomicU64,
    /// Ticks since it grew.
    ticks: AtomicU32,
}

impl Standstill {
    fn tick(&self, now: u64) -> u32 {
        if self.count.swap(now, Ordering::Relaxed) != now {
            self.ticks.store(0, Ordering::Relaxed);
            return 0;
        }
        self.ticks.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A connection before its ends are used apart.
pub(super) struct Link {
    pub(super) reader: Reader,
    writer: WriteHalf<Box<dyn Stream>>,
}

/// Takes frames from a connection.
pub(super) struct Reader {
    stream: ReadHalf<Box<dyn Stream>>,
    decoder: Decoder,
    buffer: Box<[u8]>,
    /// What of the buffer has been read and not taken.
    unread: std::ops::Range<usize>,
}

impl Heard {
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// A second has passed: lets the other side hear something if it has heard nothing in it. Returns why the connection is to
    /// be taken for dead, if it is.
    pub(super) fn tick(&self, out: &Outbound) -> Option<String> {
        let Silence { written, read, frames } = &self.silence;
        let now = out.written().1;
        if written.swap(now, Ordering::Relaxed) == now {
            out.frame(Frame::Ping);
        }
        let (frames_now, read_now) = self.totals();
        let (frames, read) = (frames.tick(frames_now), read.tick(read_now));
        if read >= SILENT_SECONDS_MAX {
            Some(format!("it was silent for {SILENT_SECONDS_MAX} s"))
        } else if frames >= FRAME_SECONDS_MAX {
            Some(format!("a frame did not come to its end in {FRAME_SECONDS_MAX} s"))
        } else {
            None
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), handshake: Duration::from_secs(5) }
    }
}

/// Whether connections with this identity carry checksums.
pub(super) fn checksum(tls: Option<&Tls>) -> Checksum {
    if tls.is_some() { Checksum::None } else { Checksum::Crc32c }
}

impl Link {
    /// The side that connects.
    pub(super) async fn connect(
        transport: &dyn Transport,
        address: &str,
        tls: Option<&Tls>,
        patience: Patience,
    ) -> io::Result<Self> {
        let within = async {
            let stream = transport.connect(address).await?;
            let stream = match tls {
                None => stream,
                Some(tls) => Box::new(TlsConnector::from(tls.client()).connect(Tls::name(), stream).await?),
            };
            Ok(Self::new(stream, checksum(tls)))
        };
        timeout(patience.handshake, within).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The side that listens.
    pub(super) async fn accept(stream: Box<dyn Stream>, tls: Option<&Tls>) -> io::Result<Self> {
        let stream = match tls {
            None => stream,
            Some(tls) => {
                let stream = TlsAcceptor::from(tls.server()).accept(stream).await?;
                if !Tls::is_of_cluster(stream.get_ref().1.peer_certificates()) {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a certificate of the cluster"));
                }
                Box::new(stream)
            }
        };
        Ok(Self::new(stream, checksum(tls)))
    }

    fn new(stream: Box<dyn Stream>, checksum: Checksum) -> Self {
        let (stream, writer) = tokio::io::split(stream);
        let buffer = vec![0; READ_BYTES].into();
        Self { reader: Reader { stream, decoder: Decoder::new(checksum), buffer, unread: 0..0 }, writer }
    }

    /// Writes one frame, at once.
    pub(super) async fn write(&mut self, frame: &Frame, checksum: Checksum) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.write(checksum, &mut bytes);
        self.writer.write_all(&bytes).await?;
        self.writer.flush().await
    }

    /// Handles every frame that comes and writes everything that is put into `out`, until one of both ends. Returns why.
    pub(super) async fn run(
        self,
        out: &Outbound,
        heard: &Heard,
        handle: impl FnMut(Frame) -> Result<(), String>,
    ) -> String {
        let Self { mut reader, mut writer } = self;
        tokio::select! {
            why = reader.run(heard, handle) => why,
            why = write_all_of(&mut writer, out) => why,
            () = out.gone() => "it was closed here".to_owned(),
        }
    }
}

impl Reader {
    async fn run(&mut self, heard: &Heard, mut handle: impl FnMut(Frame) -> Result<(), String>) -> String {
        loop {
            let handled = match self.frame(heard).await {
                Ok(frame) => handle(frame),
                Err(why) => Err(why),
            };
            if let Err(why) = handled {
                return why;
            }
        }
    }

    /// The next frame, or why there is none.
    pub(super) async fn frame(&mut self, heard: &Heard) -> Result<Frame, String> {
        loop {
            let mut bytes = &self.buffer[self.unread.clone()];
            let fed = self.decoder.feed(&mut bytes).map_err(|error| error.to_string())?;
            self.unread.start = self.unread.end - bytes.len();
            if let Some(frame) = fed {
                heard.frames.fetch_add(1, Ordering::Relaxed);
                return Ok(frame);
            }
            let read = match self.decoder.body() {
                Some((body, missing)) if missing >= DIRECT_BYTES => {
                    (&mut self.stream).take(missing as u64).read_buf(body).await
                }
                _ => {
                    let read = self.stream.read(&mut self.buffer).await;
                    self.unread = 0..*read.as_ref().unwrap_or(&0);
                    read
                }
            };
            match read {
                Ok(0) => return Err("the other side closed it".to_owned()),
                Ok(bytes) => heard.bytes.fetch_add(bytes as u64, Ordering::Relaxed),
                Err(error) => return Err(error.to_string()),
            };
        }
    }
}

async fn write_all_of(writer: &mut WriteHalf<Box<dyn Stream>>, out: &Outbound) -> String {
    loop {
        let taken = out.next().await;
        if let Err(error) = write(writer, &taken.pieces).await {
            return error.to_string();
        }
        out.wrote(&taken);
    }
}

/// Writes pieces one behind the other, many with one call.
async fn write(writer: &mut WriteHalf<Box<dyn Stream>>, pieces: &[Buffer]) -> io::Result<()> {
    let (mut first, mut offset) = (0, 0);
    while first < pieces.len() {
        let rest = pieces[first + 1..].iter().map(Buffer::as_slice);
        let slices: Vec<IoSlice<'_>> = std::iter::once(&pieces[first].as_slice()[offset..])
            .chain(rest)
            .take(PIECES_MAX)
            .map(IoSlice::new)
            .collect();
        let mut written = writer.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while first < pieces.len() && written >= pieces[first].len() - offset {
            written -= pieces[first].len() - offset;
            (first, offset) = (first + 1, 0);
        }
        offset += written;
    }
    writer.flush().await
}
