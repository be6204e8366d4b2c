//! The server's life: it listens, takes connections, speaks HTTP/1.1 on each, and stops in order.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    Backend, Error, Options,
    connections::{Outgoing, Seat},
    options::Limits,
    routes,
    shared::{Api, Peer, Shared, stopped},
    stall::Stall,
    tls,
    tokens::Tokens,
};

/// How long no connection is taken when the system refuses one, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server that runs. When it is dropped, everything is cut off at once.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Listens and serves, on the caller's runtime.
pub async fn serve<B: Backend>(options: Options, backend: B) -> Result<Running, Error> {
    options.check()?;
    let tokens = options.tokens.as_deref().map(Tokens::read).transpose()?;
    let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
    let failed = |source| Error::Listen { listen: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared::new(&options, tokens, stopping));
    let closed: Closed = {
        let backend = backend.clone();
        Arc::new(move |connection| backend.closed(connection))
    };
    let router = routes::router(Api { backend, shared: Arc::clone(&shared) });
    let task = tokio::spawn(accept(Server { listener, acceptor, router, shared, closed }));
    Ok(Running { address, stop, task })
}

impl Running {
    /// Where it listens, with the port that was found.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, ends streams, lets requests that are under way end, and cuts off those that do not in time.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        // An error is a panic or an abort of the task; either way it has ended.
        let _ended = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Told which connection its client has closed.
type Closed = Arc<dyn Fn(u64) + Send + Sync>;

struct Server {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    shared: Arc<Shared>,
    closed: Closed,
}

async fn accept(server: Server) {
    let mut tasks = JoinSet::new();
    let mut stopping = server.shared.stopping.clone();
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = tasks.join_next() => {}
            accepted = server.listener.accept() => match accepted {
                Ok((stream, peer)) => server.admit(&mut tasks, stream, peer),
                Err(error) => server.refused(&error).await,
            },
        }
    }
    let Server { listener, shared, .. } = server;
    drop(listener);
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(shared.limits.shutdown(), all).await.is_err() {
        tasks.shutdown().await;
    }
}

impl Server {
    fn admit(&self, tasks: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
        let Some(seat) = self.shared.connections.admit() else {
            if self.acceptor.is_none() {
                // Whether it can be told or not, the connection is closed.
                let _told = stream.try_write(FULL);
            }
            return;
        };
        // A connection that cannot have it is only slower.
        let _set = stream.set_nodelay(true);
        let (acceptor, router, shared) = (self.acceptor.clone(), self.router.clone(), Arc::clone(&self.shared));
        let closed = Arc::clone(&self.closed);
        tasks.spawn(async move {
            let stream = Stall::new(stream, shared.limits.write_timeout());
            let connection = Connection { router, shared, seat: Arc::clone(&seat), closed };
            tokio::select! {
                () = seat.left() => {}
                () = connection.run(stream, acceptor, peer) => {}
            }
        });
    }

    /// A connection could not be taken. Room is made, as the reason may be that there are too many.
    async fn refused(&self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            self.shared.connections.evict();
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// What a connection above the limit is told, if all others are busy.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

struct Connection {
    router: Router,
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    closed: Closed,
}

impl Connection {
    async fn run(self, stream: Stall<TcpStream>, acceptor: Option<TlsAcceptor>, peer: SocketAddr) {
        let (address, connection) = (peer.ip(), self.seat.number());
        let Some(acceptor) = acceptor else {
            return self.speak(stream, Peer { connection, address, certified: false }).await;
        };
        // Whoever does not speak TLS, or not soon enough, is not answered.
        if let Ok(Ok(stream)) = timeout(self.shared.limits.header_timeout(), acceptor.accept(stream)).await {
            let certified = is_certified(&stream);
            self.speak(stream, Peer { connection, address, certified }).await;
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, peer: Peer) {
        let Self { router, shared, seat, closed } = self;
        let router = TowerToHyperService::new(router);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let busy = seat.busy();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let answer = router.call(request);
            async move {
                let response = answer.await?;
                Ok::<_, Infallible>(response.map(|body| Outgoing { body, _busy: busy }))
            }
        });
        let mut stopping = shared.stopping.clone();
        let mut connection = pin!(http(&shared.limits).serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            // However that came about. What this server ends itself, as it stops or for want of room, says nothing of the client.
            _ended = connection.as_mut() => closed(peer.connection),
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                let _ended = connection.await;
            }
        }
    }
}

/// HTTP/1.1 within the limits.
fn http(limits: &Limits) -> http1::Builder {
    /// The least that hyper takes.
    const BUFFER_BYTES_MIN: usize = 8_192;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout())
        .max_headers(limits.headers_max)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size((64 << 10).max(limits.header_bytes_max).max(BUFFER_BYTES_MIN));
    http
}

/// Whether the client showed a certificate; it was checked when it did.
fn is_certified(stream: &TlsStream<Stall<TcpStream>>) -> bool {
    stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty())
}
