//! A client: a real one for what is well-formed, and bare sockets for what is not.

use std::{net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use wasmill_api::{Options, Running, options::Limits, serve};

use crate::memory::Memory;

/// Nothing takes this long, unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A server, and the JobManager behind it.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) memory: Memory,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::of(Options { limits, ..Options::default() }).await
    }

    pub(crate) async fn with_tokens(file: &Path) -> Self {
        Self::of(Options { tokens: Some(file.to_owned()), ..Options::default() }).await
    }

    /// On a free port of the loopback, whatever the options say.
    pub(crate) async fn of(options: Options) -> Self {
        let memory = Memory::new();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let running = serve(Options { listen, ..options }, memory.clone()).await.expect("the port is free");
        Self { address: running.address(), running, memory }
    }

    pub(crate) fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask {
        self.ask(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Ask {
        self.ask(Method::PUT, path)
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        Ask { address: self.address, method, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A value of the metrics, by the beginning of its line.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").send().await;
        let line = answer.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or(0.0)
    }

    /// Sends bytes as they are, says that there are no more, and reads whatever comes back.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = self.socket().await;
        // A server that has refused already may be gone.
        let _sent = socket.write_all(bytes).await;
        let _ended = socket.shutdown().await;
        rest(&mut socket).await
    }

    pub(crate) async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }
}

/// What comes until the connection is closed, in whatever way.
pub(crate) async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _closed = timeout(DEADLINE, socket.read_to_end(&mut bytes)).await.expect("the server closes it");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until a text has come.
pub(crate) async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut piece = [0; 4_096];
        while !text.contains(wanted) {
            let read = socket.read(&mut piece).await.expect("it is open");
            assert_ne!(read, 0, "it was closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("`{wanted}` does not come"));
    text
}

/// A request in the making.
pub(crate) struct Ask {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(self, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self.header("content-type", kind) }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) async fn send(self) -> Answer {
        timeout(DEADLINE, self.sent()).await.expect("it is answered")
    }

    async fn sent(self) -> Answer {
        let socket = TcpStream::connect(self.address).await.expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.expect("it is a socket");
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(self.method).uri(&self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).expect("it is well-formed");
        let (head, body) = sender.send_request(request).await.expect("it is answered").into_parts();
        let body = body.collect().await.expect("it ends").to_bytes();
        connection.abort();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is a well-formed problem, and gives its code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        let code = json["code"].as_str().expect("it has a code");
        assert_eq!(json["status"], status);
        assert_eq!(json["type"], format!("/v1/errors/{code}"));
        let known: wasmill_model::fault::Code = code.parse().expect("it is known");
        assert_eq!(json["title"], known.summary());
        assert!(json["detail"].as_str().is_some_and(|detail| detail.starts_with("could not ")), "{json}");
        code.to_owned()
    }
}
