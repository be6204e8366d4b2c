//! A server for tests: it speaks real HTTP/1.1, answers one request after another as it is told, and remembers them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crate::client::Client;

/// What the server does with a request.
pub(crate) enum Step {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Closes the connection.
    Close,
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Method and path.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A server that follows a script.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Server {
    /// A server that takes these steps and then accepts no more connections.
    pub(crate) fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let requests = Arc::<Mutex<Vec<Recorded>>>::default();
        let recorded = Arc::clone(&requests);
        let serve = move || {
            for step in steps {
                let Ok((stream, _)) = listener.accept() else { return };
                let Some(request) = read(&stream) else { return };
                recorded.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                if let Step::Bytes(bytes) = step {
                    // A client that has seen enough closes the connection.
                    let _ = (&stream).write_all(&bytes);
                }
            }
        };
        thread::Builder::new().name("scripted".into()).spawn(serve).expect("the system has a thread");
        Self { url, requests }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, None, None, true)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Their methods and paths.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Recorded::line).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Recorded> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request =
        Recorded { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Recorded::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = request.header("content-length").map_or(0, |len| len.parse().expect("a length is a number"));
    request.body.resize(len, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// An answer with a body of a type.
pub(crate) fn typed(status: &str, media_type: &str, body: &str) -> Step {
    let len = body.len();
    Step::Bytes(
        format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
            .into_bytes(),
    )
}

/// An answer in JSON.
pub(crate) fn json(status: &str, body: serde_json::Value) -> Step {
    typed(status, "application/json; charset=utf-8", &body.to_string())
}

/// A refusal.
pub(crate) fn problem(status: u16, code: &str, detail: &str) -> Step {
    let body = serde_json::json!({
        "type": format!("/v1/errors/{code}"), "status": status, "code": code, "title": "no", "detail": detail,
    });
    typed(&format!("{status} No"), "application/problem+json", &body.to_string())
}

/// An answer to HEAD.
pub(crate) fn head(status: &str) -> Step {
    Step::Bytes(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").into_bytes())
}

/// A part of a stream, after which the connection is closed.
pub(crate) fn events(text: &str) -> Step {
    Step::Bytes(
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{text}").into_bytes(),
    )
}
