//! One connection's bytes: TCP or TLS below, frames above.

use std::{
    io::{self, IoSlice},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use arrow_buffer::Buffer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use wasmill_wire::{Checksum, Decoder, Frame};

use super::outbound::Outbound;
use crate::tls::Tls;

/// How long is waited for others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A TaskManager that cannot be reached is tried again for so long.
    pub(super) connect: Duration,
    /// Until the other side has said who it is.
    pub(super) handshake: Duration,
}

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// What of a body is missing is read to its place if it is at least this long.
const DIRECT_BYTES: usize = 16 << 10;

/// Pieces that are written at once; the system takes 1,024.
const PIECES_MAX: usize = 64;

/// Plain or not, a connection is read and written.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

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
    /// Bytes read and written before the last tick.
    read: AtomicU64,
    written: AtomicU64,
    /// Ticks since something was read.
    ticks: AtomicU32,
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

    /// A second has passed: lets the other side hear something if it has heard nothing in it. Returns for how many seconds it
    /// has been silent itself.
    pub(super) fn tick(&self, out: &Outbound) -> u32 {
        let Silence { read, written, ticks } = &self.silence;
        let now = out.written().1;
        if written.swap(now, Ordering::Relaxed) == now {
            out.frame(Frame::Ping);
        }
        let now = self.totals().1;
        if read.swap(now, Ordering::Relaxed) != now {
            ticks.store(0, Ordering::Relaxed);
            return 0;
        }
        ticks.fetch_add(1, Ordering::Relaxed) + 1
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
    pub(super) async fn connect(address: &str, tls: Option<&Tls>, patience: Patience) -> io::Result<Self> {
        let within = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => Box::new(TlsConnector::from(tls.client()).connect(Tls::name(), stream).await?),
            };
            Ok(Self::new(stream, checksum(tls)))
        };
        timeout(patience.handshake, within).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The side that listens.
    pub(super) async fn accept(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
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
