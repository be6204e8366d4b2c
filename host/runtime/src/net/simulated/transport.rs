//! Connections over a simulated network, and faults planted into them.

use std::{
    fmt, io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};
use wasmill_wire::{Checksum, Decoder, Frame};

use crate::net::transport::{Listener, Pending, Stream, Transport};

/// What is done to what one end of a connection writes. Bytes are counted from its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// One bit arrives as another.
    Flip { at: usize },
    /// So many bytes never arrive.
    Lose { at: usize, bytes: usize },
    /// So many bytes arrive twice.
    Double { at: usize, bytes: usize },
    /// From there on the connection is reset.
    Reset { at: usize },
    /// The first batch never arrives.
    LoseBatch,
    /// The first batch arrives twice.
    DoubleBatch,
    /// The first batch arrives with the word that it is half a MiB longer.
    LengthenBatch,
    /// The first batch never arrives, and what follows is numbered as if it had not been: no connection can notice.
    ForgeLoss,
    /// The first batch arrives twice, and what follows is numbered as if it had been so.
    ForgeDouble,
    /// No watermark arrives.
    LoseWatermarks,
}

/// Which end of the next connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The one that connects to this address.
    Connects(String),
    Accepts,
}

/// A fault that waits for its connection.
#[derive(Debug, Clone)]
struct Plant {
    end: End,
    fault: Fault,
    struck: Arc<AtomicBool>,
}

/// The network that a host sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Simulated {
    plants: Arc<Mutex<Vec<Plant>>>,
}

impl Simulated {
    /// Plants a fault into the next connection of this end; whether it has struck is seen in what is returned.
    pub(super) fn plant(&self, end: End, fault: Fault) -> Arc<AtomicBool> {
        let struck = Arc::new(AtomicBool::new(false));
        let plant = Plant { end, fault, struck: struck.clone() };
        self.plants.lock().unwrap_or_else(PoisonError::into_inner).push(plant);
        struck
    }

    fn wrap(&self, end: &End, stream: TcpStream) -> Box<dyn Stream> {
        let mut plants = self.plants.lock().unwrap_or_else(PoisonError::into_inner);
        match plants.iter().position(|plant| plant.end == *end) {
            None => Box::new(stream),
            Some(place) => Box::new(Tampered::new(stream, plants.remove(place))),
        }
    }
}

impl Transport for Simulated {
    fn listen(&self, address: SocketAddr) -> Pending<'_, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = SimulatedListener { listener: TcpListener::bind(address).await?, network: self.clone() };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(self.wrap(&End::Connects(address.to_owned()), stream))
        })
    }
}

struct SimulatedListener {
    listener: TcpListener,
    network: Simulated,
}

impl Listener for SimulatedListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&self) -> Pending<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((self.network.wrap(&End::Accepts, stream), from))
        })
    }
}

/// A connection with a fault.
struct Tampered {
    stream: TcpStream,
    plant: Plant,
    /// Bytes that have been taken to be written.
    taken: usize,
    /// Cuts what is taken into frames, for the faults that know them.
    decoder: Decoder,
    /// The channel whose batch was the first.
    first: Option<u32>,
    /// What is to be written.
    pending: Vec<u8>,
}

impl fmt::Debug for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tampered").field("plant", &self.plant).field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Tampered {
    fn new(stream: TcpStream, plant: Plant) -> Self {
        let decoder = Decoder::new(Checksum::Crc32c);
        Self { stream, plant, taken: 0, decoder, first: None, pending: Vec::new() }
    }

    fn strikes(&self) {
        self.plant.struck.store(true, Ordering::SeqCst);
    }

    /// What arrives of these bytes.
    fn change(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (start, mut changed) = (self.taken, bytes.to_vec());
        self.taken += bytes.len();
        // Bytes that lie in several writes strike in the first of them.
        let here = |at: usize, count: usize| {
            let first = at.checked_sub(start).filter(|first| *first < bytes.len())?;
            Some(first..bytes.len().min(first + count))
        };
        match self.plant.fault {
            Fault::Flip { at } => {
                if let Some(place) = here(at, 1) {
                    self.strikes();
                    changed[place.start] ^= 1 << (at % 8);
                }
            }
            Fault::Lose { at, bytes } => {
                if let Some(lost) = here(at, bytes) {
                    self.strikes();
                    changed.drain(lost);
                }
            }
            Fault::Double { at, bytes } => {
                if let Some(twice) = here(at, bytes) {
                    self.strikes();
                    let again = changed[twice.clone()].to_vec();
                    changed.splice(twice.end..twice.end, again);
                }
            }
            Fault::Reset { at } => {
                if self.taken > at {
                    self.strikes();
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            _ => return Ok(self.change_frames(bytes)),
        }
        Ok(changed)
    }

    fn change_frames(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut changed = Vec::new();
        while let Some(frame) = self.decoder.feed(&mut bytes).expect("what is written is well-formed") {
            self.change_frame(frame, &mut changed);
        }
        changed
    }

    fn change_frame(&mut self, mut frame: Frame, to: &mut Vec<u8>) {
        let (fault, mut copies, mut lengthens) = (self.plant.fault, 1, false);
        match &mut frame {
            Frame::Watermark { .. } if fault == Fault::LoseWatermarks => {
                self.strikes();
                copies = 0;
            }
            Frame::Data { channel, sequence, more, .. } if fault != Fault::LoseWatermarks => match self.first {
                None if *sequence == 0 && !*more => {
                    self.strikes();
                    self.first = Some(*channel);
                    copies = match fault {
                        Fault::DoubleBatch | Fault::ForgeDouble => 2,
                        Fault::LengthenBatch => 1,
                        _ => 0,
                    };
                    lengthens = fault == Fault::LengthenBatch;
                }
                Some(first) if first == *channel && fault == Fault::ForgeLoss => *sequence -= 1,
                Some(first) if first == *channel && fault == Fault::ForgeDouble => *sequence += 1,
                _ => {}
            },
            _ => {}
        }
        for _ in 0..copies {
            let start = to.len();
            frame.write(Checksum::Crc32c, to);
            if lengthens {
                // The length is the header's first field.
                to[start + 2] ^= 8;
            }
            if let (Fault::ForgeDouble, Frame::Data { sequence, .. }) = (fault, &mut frame) {
                *sequence += 1;
            }
        }
    }

    /// Writes what is to be written.
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let pending = mem::take(&mut self.pending);
            let written = Pin::new(&mut self.stream).poll_write(context, &pending);
            self.pending = pending;
            let written = ready!(written)?;
            self.pending.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Tampered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl AsyncWrite for Tampered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.drain(context))?;
        self.pending = self.change(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
