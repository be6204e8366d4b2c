//! Requests to a JobManager: sent again where that is safe and helps, their answers bounded and looked at before they are
//! believed.
//!
//! Every request here may be sent twice: reading changes nothing, an upload of the same bytes is the same upload, a job is
//! submitted under a key, to cancel twice is to cancel, and a job that is replaced twice by one form has that form. A savepoint
//! that is asked for twice is refused by its name.

use std::{
    io::{self, Read, Seek as _},
    thread,
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{
    Agent, Body, SendBody,
    http::{self, HeaderMap, Method, Response, StatusCode, header},
    tls::TlsConfig,
};
use wasmill_model::fault::Code;
use wasmill_rest::Problem;

use crate::{
    credentials::Token,
    error::Error,
    harmless,
    output::tell,
    request::{ANSWER_WITHIN, Content, Request},
    transport::{self, Failure},
};

/// Bytes of an answer, at most: a page of a thousand jobs, or all that is known of one job.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// Pages of a list, at most.
const PAGES_MAX: usize = 1_000;

/// Entries that are asked for at a time: as many as a server gives.
const PAGE_LIMIT: usize = 1_000;

/// How long a server has to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A stream on which nothing comes for so long is cut off: a server says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How often a request is sent before it is given up: about seven seconds with the waits between.
const TRIES_MAX: u32 = 8;

/// The wait before a request is sent the second time; it doubles from try to try, up to the last.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_LAST: Duration = Duration::from_secs(2);

/// The longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Speaks to one JobManager.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    /// Without a slash at its end.
    server: String,
    token: Option<Token>,
    flags: String,
}

impl Client {
    /// A client of the server at this address, which has no slash at its end.
    pub(crate) fn new(server: &str, token: Option<Token>, tls: Option<TlsConfig>, is_loopback: bool) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("wasmill/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_WITHIN));
        if is_loopback {
            config = config.proxy(None);
        }
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        Self { agent: config.build().new_agent(), server: server.to_owned(), token, flags: String::new() }
    }

    /// The same, reached by these flags on a command line.
    pub(crate) fn known_by(self, flags: String) -> Self {
        Self { flags, ..self }
    }

    /// Where the server is.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// A command line of another verb for the same cluster.
    pub(crate) fn command(&self, words: &str) -> String {
        format!("wasmill {words}{}", self.flags)
    }

    /// Reads what is at a path.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answer = self.send(&Request::get(path))?;
        self.read(path, &answer)
    }

    /// Reads all pages of a list. `path` has no query, or ends within one.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let separator = if path.contains('?') { '&' } else { '?' };
            let mut page: wasmill_rest::Page<Value> =
                self.get(&format!("{path}{separator}limit={PAGE_LIMIT}{cursor}"))?;
            items.append(&mut page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={}", encoded(&next)),
                None => return Ok(items),
            }
        }
        Err(self.nonsense(path, "the list has no end"))
    }

    /// Whether there is something at a path.
    pub(crate) fn has(&self, path: &str) -> Result<bool, Error> {
        let head = Request { method: Method::HEAD, ..Request::get(path) }.patiently();
        match self.send_raw(&head)?.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            // The answer to HEAD has no body that would say why.
            _ => self.send(&Request::get(path)).map(|_| true),
        }
    }

    /// Sends a request; the body of the answer, if it is no refusal.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        let response = self.send_raw(request)?;
        self.take(&request.path, response)
    }

    /// The same, its answer read as JSON.
    pub(crate) fn ask<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, Error> {
        let answer = self.send(request)?;
        self.read(&request.path, &answer)
    }

    /// Opens a stream of events that begins behind the one with this id.
    pub(crate) fn stream(&self, path: &str, after: Option<&str>) -> Result<impl Read + use<>, Failure> {
        let mut request = Request { accept: "text/event-stream", ..Request::get(path) };
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = self.send_once(&request, Way::Stream)?;
        if !response.status().is_success() {
            let status = response.status();
            let error = self.refusal(path, response);
            return Err(match is_busy(status) {
                true => Failure::busy(error, format!("{} answered {status}", self.server)),
                false => Failure::refused(error),
            });
        }
        self.check_type(path, response.headers(), "text/event-stream").map_err(Failure::refused)?;
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// Reads what is at a path, however long it is, as bytes of a type; the function is told how long it is before it is handed them.
    pub(crate) fn download<T>(
        &self,
        path: &str,
        media_type: &'static str,
        take: impl FnOnce(u64, &mut dyn Read) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let request = Request { accept: media_type, ..Request::get(path) };
        let response = self.send_once(&request, Way::Stream).map_err(Failure::into_error)?;
        if !response.status().is_success() {
            return Err(self.refusal(path, response));
        }
        self.check_type(path, response.headers(), media_type)?;
        let length =
            response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.ok_or_else(|| self.nonsense(path, "it does not say how long it is"))?;
        take(length, &mut response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// What broke off while it was read.
    pub(crate) fn cut_off(&self, error: &io::Error) -> Error {
        Failure::cut_off(&self.server, error).into_error()
    }

    /// Sends a request until it is answered.
    fn send_raw(&self, request: &Request<'_>) -> Result<Response<Body>, Error> {
        let mut wait = WAIT_FIRST;
        for tries in 1.. {
            let (reason, wanted) = match self.send_once(request, Way::Answer) {
                Ok(response) if is_busy(response.status()) && tries < TRIES_MAX => {
                    let wanted = retry_after(response.headers());
                    (format!("{} answered {}", self.server, response.status()), wanted)
                }
                Ok(response) => return Ok(response),
                Err(failure) if tries < TRIES_MAX && failure.passes(request.patient) => (failure.to_string(), None),
                Err(failure) => return Err(failure.into_error()),
            };
            if tries == 2 {
                tell(&format!("{reason}; trying again\n"));
            }
            thread::sleep(wanted.unwrap_or(wait).max(wait));
            wait = (2 * wait).min(WAIT_LAST);
        }
        unreachable!("the last try returns");
    }

    fn send_once(&self, request: &Request<'_>, way: Way) -> Result<Response<Body>, Failure> {
        let mut built = http::Request::builder()
            .method(&request.method)
            .uri(format!("{}{}", self.server, request.path))
            .header(header::ACCEPT, request.accept);
        for (name, value) in &request.headers {
            built = built.header(*name, value);
        }
        if let Some(token) = &self.token {
            built = built.header(header::AUTHORIZATION, token.bearer());
        }
        match request.body {
            // Whoever stands between may want to know that nothing comes.
            Content::Nothing if request.method == Method::POST => {
                self.run(built.header(header::CONTENT_LENGTH, 0), SendBody::none(), request.within, way)
            }
            Content::Nothing => self.run(built, SendBody::none(), request.within, way),
            Content::Bytes(bytes, gone) => {
                let mut reader = transport::Counted::new(bytes, gone);
                let built = built.header(header::CONTENT_LENGTH, bytes.len());
                self.run(built, SendBody::from_reader(&mut reader), request.within, way)
            }
            Content::File(mut file, bytes, gone) => {
                file.rewind().map_err(|e| Failure::refused(unreadable(&e)))?;
                let mut reader = transport::Counted::new(file.take(bytes), gone);
                let built = built.header(header::CONTENT_LENGTH, bytes);
                self.run(built, SendBody::from_reader(&mut reader), request.within, way)
            }
        }
    }

    fn run(
        &self,
        built: http::request::Builder,
        body: SendBody<'_>,
        within: Duration,
        way: Way,
    ) -> Result<Response<Body>, Failure> {
        let failed = |error: ureq::Error| Failure::new(&self.server, &error);
        let request = self.agent.configure_request(built.body(body).map_err(|e| failed(e.into()))?);
        let configured = match way {
            Way::Answer => request.timeout_global(Some(within)),
            Way::Stream => request.timeout_recv_response(Some(ANSWER_WITHIN)).timeout_per_read(Some(SILENCE_MAX)),
        };
        self.agent.run(configured.build()).map_err(failed)
    }

    fn take(&self, path: &str, mut response: Response<Body>) -> Result<Vec<u8>, Error> {
        if !response.status().is_success() {
            return Err(self.refusal(path, response));
        }
        let body = self.body(path, &mut response)?;
        if !body.is_empty() {
            self.check_type(path, response.headers(), "application/json")?;
        }
        Ok(body)
    }

    fn body(&self, path: &str, response: &mut Response<Body>) -> Result<Vec<u8>, Error> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                self.nonsense(path, &format!("the answer has more than {} MiB", ANSWER_BYTES_MAX >> 20))
            }
            error => Failure::new(&self.server, &error).into_error(),
        })
    }

    fn read<T: DeserializeOwned>(&self, path: &str, answer: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(answer).map_err(|e| self.nonsense(path, &e.to_string()))
    }

    /// An answer that was read already, as what it is to be.
    pub(crate) fn typed<T: DeserializeOwned>(&self, path: &str, json: &Value) -> Result<T, Error> {
        T::deserialize(json).map_err(|e| self.nonsense(path, &e.to_string()))
    }

    fn check_type(&self, path: &str, headers: &HeaderMap, expected: &str) -> Result<(), Error> {
        let found = media_type(headers);
        if found == expected {
            return Ok(());
        }
        Err(self.nonsense(path, &format!("the answer is {}, not {expected}", type_shown(&found))))
    }

    /// Why a request was not carried out, as the server tells it.
    fn refusal(&self, path: &str, mut response: Response<Body>) -> Error {
        let status = response.status();
        let found = media_type(response.headers());
        if found != "application/problem+json" {
            return self.nonsense(path, &format!("it answered {status} with {}", type_shown(&found)));
        }
        let body = match self.body(path, &mut response) {
            Ok(body) => body,
            Err(error) => return error,
        };
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            return self.nonsense(path, &format!("it answered {status} with a problem that cannot be read"));
        };
        let hint = problem.hint.or_else(|| match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => {
                Some("name the file of your token by --token-file or in $WASMILL_TOKEN_FILE".to_owned())
            }
            _ => None,
        });
        let hint = hint.map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
        let message = format!("{}{hint}", problem.detail);
        let message = self.token.as_ref().map_or_else(|| message.clone(), |token| token.hidden_in(&message));
        Error::told(&problem.code, &message)
    }

    /// An answer that no JobManager gives.
    pub(crate) fn nonsense(&self, path: &str, reason: &str) -> Error {
        let path = harmless::line(path.split('?').next().unwrap_or_default(), 200);
        let reason = self.token.as_ref().map_or_else(|| reason.to_owned(), |token| token.hidden_in(reason));
        let reason = harmless::line(&reason, 300);
        let hint = "is it a JobManager, of this version or a newer one, and no proxy in front of it that answers?";
        Error::new(
            Code::ServerAnswer,
            format!("could not use the answer of {} to {path}: {reason}\n  hint: {hint}", self.server),
        )
    }
}

fn unreadable(error: &io::Error) -> Error {
    Error::new(Code::FileUnreadable, format!("could not read what is to be sent: {error}"))
}

/// How an answer is read.
#[derive(Clone, Copy)]
enum Way {
    Answer,
    Stream,
}

/// Whether a server asks to be left alone for a moment.
fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The type of a body without its parameters; empty if none is told.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn type_shown(media_type: &str) -> &str {
    if media_type.is_empty() { "of no type" } else { media_type }
}

/// A text as part of a path or of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
