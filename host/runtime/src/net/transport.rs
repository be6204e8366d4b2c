//! Where connections come from: TCP of the system or, in tests, that of a simulated network.
//!
//! A connection is behind a pointer either way, since it may be TLS or not; what reads and writes it pays one indirect call for
//! as many bytes as the system takes at once.

use std::{fmt, io, net::SocketAddr, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Plain or not, a connection is read and written.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a transport does, once it is done.
pub(super) type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Makes connections, on the runtime that is current.
pub(super) trait Transport: fmt::Debug + Send + Sync {
    fn listen(&self, address: SocketAddr) -> Pending<'_, Box<dyn Listener>>;

    /// Connects to `host:port`.
    fn connect<'a>(&'a self, address: &'a str) -> Pending<'a, Box<dyn Stream>>;
}

/// Where others connect.
pub(super) trait Listener: Send + Sync {
    fn address(&self) -> io::Result<SocketAddr>;

    /// The next connection, and where it comes from.
    fn accept(&self) -> Pending<'_, (Box<dyn Stream>, SocketAddr)>;
}

/// TCP of the system.
#[derive(Debug)]
pub(super) struct Tcp;

impl Transport for Tcp {
    fn listen(&self, address: SocketAddr) -> Pending<'_, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(address).await?) as Box<dyn Listener>) })
    }

    fn connect<'a>(&'a self, address: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Listener for TcpListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn accept(&self) -> Pending<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            loop {
                let (stream, from) = Self::accept(self).await?;
                // Of a connection that is gone already some systems refuse it.
                if stream.set_nodelay(true).is_ok() {
                    return Ok((Box::new(stream) as Box<dyn Stream>, from));
                }
            }
        })
    }
}
