//! What can go wrong between a client and a server before there is an answer, and what goes over the wire counted.

use std::{error, fmt, io};

use wasmill_model::fault::Code;

use crate::{error::Error, harmless};

/// Bytes that are handed to the connection at a time, so that it can be told how many are gone.
const PIECE: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    reason: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nobody accepts a connection.
    Absent,
    /// A connection was there and broke.
    Broken,
    /// To do the same again brings the same.
    Lasting,
}

impl Failure {
    /// Of a request to this server.
    pub(crate) fn new(server: &str, error: &ureq::Error) -> Self {
        let (kind, reason, code) = told(error);
        let hint = match code {
            Code::ServerUntrusted => {
                "name the certificates to trust by --ca; a server without TLS is addressed with http://"
            }
            Code::ServerAnswer => "is it a JobManager? one that speaks TLS is addressed with https://",
            _ => "is it running? `wasmill standalone` starts one here; --server URL names another",
        };
        let what = if code == Code::ServerAnswer { "could not use the answer of" } else { "could not reach" };
        let error = Error::new(code, format!("{what} {server}: {reason}\n  hint: {hint}"));
        Self { error, reason: format!("{what} {server}: {reason}"), kind }
    }

    /// A refusal, which is an answer after all.
    pub(crate) fn refused(error: Error) -> Self {
        Self { error, reason: String::new(), kind: Kind::Lasting }
    }

    /// Of a stream that ended before its end was told.
    pub(crate) fn cut_off(server: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the stream was cut off".to_owned(),
            _ => harmless::line(&error.to_string(), 300),
        };
        let reason = format!("could not read on from {server}: {reason}");
        Self { error: Error::new(Code::ServerUnreachable, reason.as_str()), reason, kind: Kind::Broken }
    }

    /// Of a server that asks to be left alone for a moment.
    pub(crate) fn busy(error: Error, reason: String) -> Self {
        Self { error, reason, kind: Kind::Broken }
    }

    /// Whether it may be over when the same is tried again.
    pub(crate) fn passes(&self, patient: bool) -> bool {
        match self.kind {
            Kind::Absent => patient,
            Kind::Broken => true,
            Kind::Lasting => false,
        }
    }

    pub(crate) fn into_error(self) -> Error {
        self.error
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// What an error means, in words.
fn told(error: &ureq::Error) -> (Kind, String, Code) {
    use ureq::Error as E;
    match error {
        E::Io(e) => of_io(e),
        E::HostNotFound => (Kind::Lasting, "no such host is known".to_owned(), Code::ServerUnreachable),
        E::ConnectionFailed => (Kind::Absent, "it accepts no connection".to_owned(), Code::ServerUnreachable),
        E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            (Kind::Absent, "no connection came about in time".to_owned(), Code::ServerUnreachable)
        }
        E::Timeout(_) => (Kind::Lasting, "it did not answer in time".to_owned(), Code::ServerUnreachable),
        E::Tls(_) | E::Pem(_) | E::Rustls(_) | E::TlsRequired => {
            (Kind::Lasting, harmless::line(&error.to_string(), 300), Code::ServerUntrusted)
        }
        E::Protocol(_) | E::LargeResponseHeader(..) => {
            (Kind::Lasting, harmless::line(&error.to_string(), 300), Code::ServerAnswer)
        }
        E::BodyStalled => (Kind::Broken, "the connection broke".to_owned(), Code::ServerUnreachable),
        other => (Kind::Lasting, harmless::line(&other.to_string(), 300), Code::ServerUnreachable),
    }
}

fn of_io(error: &io::Error) -> (Kind, String, Code) {
    use io::ErrorKind as K;
    if error.get_ref().is_some_and(is_of_tls) {
        return (Kind::Lasting, harmless::line(&error.to_string(), 300), Code::ServerUntrusted);
    }
    let kind = match error.kind() {
        K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable => Kind::Absent,
        K::ConnectionReset
        | K::ConnectionAborted
        | K::BrokenPipe
        | K::UnexpectedEof
        | K::NotConnected
        | K::Interrupted => Kind::Broken,
        _ => Kind::Lasting,
    };
    let reason = match error.kind() {
        K::UnexpectedEof => "the connection was closed before there was an answer".to_owned(),
        _ => harmless::line(&error.to_string(), 300),
    };
    (kind, reason, Code::ServerUnreachable)
}

fn is_of_tls(error: &(dyn error::Error + Send + Sync + 'static)) -> bool {
    error.is::<rustls::Error>()
}

/// Bytes that are read by a connection, and somebody who is told how many.
pub(crate) struct Counted<'a, R> {
    bytes: R,
    gone: &'a dyn Fn(u64),
    total: u64,
}

impl<'a, R> Counted<'a, R> {
    pub(crate) fn new(bytes: R, gone: &'a dyn Fn(u64)) -> Self {
        Self { bytes, gone, total: 0 }
    }
}

impl<R: io::Read> io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(PIECE);
        let read = self.bytes.read(&mut buffer[..len])?;
        self.total += read as u64;
        (self.gone)(self.total);
        Ok(read)
    }
}
