//! How the server is set up: one struct, each field with its default and its unit. An unknown key is refused.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Where the server listens, whom it lets in, and how much of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The address and port; port 0 takes a free one. An address that others reach needs both `tokens` and `tls`.
    pub listen: SocketAddr,
    /// Further names by which clients reach this server, without port. Loopback names and the address listened on are known.
    pub hosts: Vec<String>,
    /// Listen on an address that others reach without tokens or without TLS. Whoever reaches it may run code.
    pub insecure: bool,
    /// A file of mode 0600 with a line `ROLE TOKEN` for each token. Without it everything is open to whoever connects.
    pub tokens: Option<PathBuf>,
    /// Serve TLS, and only that.
    pub tls: Option<Tls>,
    pub limits: Limits,
}

/// Files of TLS, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// With it, TaskManagers must show a certificate of this authority; so must, if they show one at all, others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// How much the server takes, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once. One more takes the place of that which has been idle longest; if none is idle, it is closed.
    pub connections_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Bytes of a request's first line and headers together.
    pub header_bytes_max: usize,
    /// From a connection's begin or its last answer until the head of a request is complete. An idle connection is closed by it.
    pub header_timeout_ms: u64,
    /// Bytes of a JSON body or a job file. What a plugin may have is the JobManager's to say.
    pub body_bytes_max: usize,
    /// Bytes of a savepoint that is imported.
    pub savepoint_bytes_max: u64,
    /// Bytes of a TaskManager's message.
    pub report_bytes_max: usize,
    /// How long a body may stand still.
    pub body_patience_ms: u64,
    /// How fast a body must come at least, on the whole and beyond that time.
    pub body_bytes_per_second_min: u64,
    /// Until a request is answered; uploads and streams excepted.
    pub request_timeout_ms: u64,
    /// How long a client may take nothing of an answer, before it is cut off.
    pub write_timeout_ms: u64,
    /// Requests that change something, for each token, or each address where there are no tokens.
    pub requests_per_second: u32,
    /// How many of those may come at once.
    pub requests_burst: u32,
    /// Uploads that are written at once; more wait.
    pub uploads_max: usize,
    /// Savepoints that are exported or imported at once; more wait.
    pub transfers_max: usize,
    /// Streams of events, logs and rows at once; one more is refused.
    pub streams_max: usize,
    /// A stream with nothing to tell sends a comment this often.
    pub keep_alive_ms: u64,
    /// When the server is stopped, requests under way have this long.
    pub shutdown_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 7420));
        Self { listen, hosts: Vec::new(), insecure: false, tokens: None, tls: None, limits: Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            headers_max: 64,
            header_bytes_max: 16 << 10,
            header_timeout_ms: 15_000,
            body_bytes_max: 1 << 20,
            savepoint_bytes_max: 256 << 30,
            report_bytes_max: 8 << 20,
            body_patience_ms: 10_000,
            body_bytes_per_second_min: 4_096,
            request_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            requests_per_second: 500,
            requests_burst: 5_000,
            uploads_max: 32,
            transfers_max: 4,
            streams_max: 128,
            keep_alive_ms: 15_000,
            shutdown_ms: 5_000,
        }
    }
}

impl Options {
    /// Refuses to serve an address that others reach unless whoever reaches it must show who they are, unheard by others.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let missing = match (&self.tokens, &self.tls) {
            (Some(_), Some(_)) => return Ok(()),
            (None, None) => "there is neither a file of tokens nor TLS",
            (None, Some(_)) => "there is no file of tokens",
            (Some(_), None) => "there is no TLS",
        };
        if self.listen.ip().is_loopback() || self.insecure {
            return Ok(());
        }
        Err(Error::UnsafeListen { listen: self.listen, missing })
    }
}

impl Limits {
    pub(crate) const fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) const fn body_patience(&self) -> Duration {
        Duration::from_millis(self.body_patience_ms)
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) const fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    pub(crate) const fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    pub(crate) const fn shutdown(&self) -> Duration {
        Duration::from_millis(self.shutdown_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served_without_token_and_tls() {
        let file = || PathBuf::from("x");
        let tls = || Tls { certificate: file(), key: file(), client_ca: None };
        let check = |listen: &str, tokens, tls, insecure| {
            let listen = listen.parse().expect("it is an address");
            Options { listen, tokens, tls, insecure, ..Options::default() }.check().map_err(|error| error.to_string())
        };
        for loopback in ["127.0.0.1:0", "127.8.8.8:1", "[::1]:0"] {
            assert_eq!(check(loopback, None, None, false), Ok(()));
        }
        for others in ["0.0.0.0:7420", "[::]:7420", "192.168.1.2:80", "8.8.8.8:1"] {
            assert!(check(others, None, None, false).is_err_and(|message| message.contains("neither")));
            assert!(check(others, Some(file()), None, false).is_err_and(|message| message.contains("no TLS")));
            assert!(
                check(others, None, Some(tls()), false).is_err_and(|message| message.contains("no file of tokens"))
            );
            assert_eq!(check(others, Some(file()), Some(tls()), false), Ok(()));
            assert_eq!(check(others, None, None, true), Ok(()));
        }
    }

    #[test]
    fn unknown_keys_are_refused_and_others_have_defaults() {
        let read = |text: &str| serde_json::from_str::<Options>(text).map_err(|error| error.to_string());
        assert_eq!(read("{}"), Ok(Options::default()));
        assert!(read(r#"{"lisen":"127.0.0.1:1"}"#).is_err_and(|message| message.contains("unknown field `lisen`")));
        let options = read(r#"{"limits":{"streams_max":3}}"#).expect("it is known");
        assert_eq!(options.limits, Limits { streams_max: 3, ..Limits::default() });
    }
}
