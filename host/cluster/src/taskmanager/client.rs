//! How a TaskManager reaches its JobManager: over HTTP, or by the owner's inbox where both share a process.

use std::{
    fmt, fs,
    io::Read,
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use wasmill_control::jobmanager::Event;
use wasmill_model::ids::{Attempt, JobId};
use wasmill_rest::Problem;
use wasmill_runtime::Job;

use crate::{
    checkpoints,
    jobmanager::{Message, Shell},
    message::{Answer, Deployment, Poll, Polled, Register, Registered, Told},
};

/// Longer than a poll is kept open, shorter than the lease.
const POLL_TIMEOUT: Duration = Duration::from_millis(1_500);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A component or its code, at its largest.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);
const DOWNLOAD_BYTES_MAX: u64 = 1 << 30;
/// Any other answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why the JobManager gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not reach the JobManager at {url}: {source}")]
    Unreachable { url: String, source: Box<ureq::Error> },
    #[error("the JobManager refused {path}: {} ({})", problem.detail, problem.code)]
    Refused { path: String, problem: Box<Problem> },
    #[error("the JobManager answered {path} with something that is no answer: {reason}")]
    Garbled { path: String, reason: String },
    #[error("the JobManager is gone")]
    Gone,
    #[error(transparent)]
    Checkpoints(#[from] checkpoints::Error),
}

impl Error {
    /// Whether it says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.status == 404)
    }
}

/// How to reach a JobManager over HTTP.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// A file with the token of a worker.
    pub token_file: Option<PathBuf>,
    pub tls: Option<wasmill_runtime::tls::TlsFiles>,
}

/// A way to the JobManager. Calls wait.
#[derive(Clone)]
pub(crate) enum Client {
    Http { agent: ureq::Agent, url: String, token: Option<Arc<str>> },
    Inside(Sender<Message>),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => f.debug_struct("Http").field("url", url).finish_non_exhaustive(),
            Self::Inside(_) => f.write_str("Inside"),
        }
    }
}

/// What a TaskManager is told to run.
pub(crate) enum ToRun {
    /// To be made from a description.
    Described(Box<Deployment>),
    /// Made already, by whoever shares the process.
    Prepared(Arc<Job>),
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("could not read {file}: {source}")]
    File { file: String, source: std::io::Error },
    #[error(
        "could not use the JobManager at {url}: it is to be reached by TLS, and there is no certificate\n  hint: --ca, --cert and \
         --key name the files; `wasmill cluster certs` makes some"
    )]
    NoCertificate { url: String },
}

impl Client {
    pub(crate) fn http(remote: &Remote) -> Result<Self, SetupError> {
        let read = |file: &PathBuf| {
            fs::read(file).map_err(|source| SetupError::File { file: file.display().to_string(), source })
        };
        let token = remote.token_file.as_ref().map(read).transpose()?;
        let token = token.map(|bytes| String::from_utf8_lossy(&bytes).trim().into());
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT));
        if let Some(tls) = &remote.tls {
            config = config.tls_config(tls_config(tls, &read)?);
        }
        let url = remote.url.trim_end_matches('/').to_owned();
        if url.starts_with("https:") && remote.tls.is_none() {
            return Err(SetupError::NoCertificate { url });
        }
        Ok(Self::Http { agent: config.build().into(), url, token })
    }

    pub(crate) fn register(&self, register: Register) -> Result<Registered, Error> {
        match self {
            Self::Http { .. } => self.post("register", &register, REQUEST_TIMEOUT),
            Self::Inside(inbox) => ask(inbox, move |shell| shell.admit(register))?
                .map_err(|problem| Error::Refused { path: "register".to_owned(), problem: Box::new(problem) }),
        }
    }

    pub(crate) fn poll(&self, poll: Poll) -> Result<Polled, Error> {
        match self {
            Self::Http { .. } => self.post("poll", &poll, POLL_TIMEOUT),
            Self::Inside(inbox) => {
                let (answer, answered) = oneshot::channel();
                inbox.send(Message::Poll(poll, None, answer)).map_err(|_| Error::Gone)?;
                let answer = answered.blocking_recv().map_err(|_| Error::Gone)?;
                Ok(Polled { answer, taps: ask(inbox, |shell| shell.taps.edges())? })
            }
        }
    }

    pub(crate) fn reports(&self, told: Told) -> Result<Answer, Error> {
        match self {
            Self::Http { .. } => self.post("reports", &told, REQUEST_TIMEOUT),
            Self::Inside(inbox) => {
                let (answer, answered) = oneshot::channel();
                inbox.send(Message::Told(told, answer)).map_err(|_| Error::Gone)?;
                answered.blocking_recv().map_err(|_| Error::Gone)
            }
        }
    }

    /// Says goodbye: what runs here is to be started elsewhere at once.
    pub(crate) fn leave(&self, register: &Register) {
        let (taskmanager, incarnation) = (register.taskmanager, register.incarnation);
        match self {
            // A connection that closes says the same.
            Self::Http { .. } => {}
            Self::Inside(inbox) => {
                let _ = inbox.send(Message::Event(Event::Lost { taskmanager, incarnation }));
            }
        }
    }

    /// What an attempt runs. Refused if the job has gone on to another.
    pub(crate) fn deployment(&self, job: JobId, attempt: Attempt) -> Result<ToRun, Error> {
        match self {
            Self::Http { .. } => {
                let path = format!("jobs/{job}/deployment?attempt={}", attempt.0);
                let bytes = self.get(&path, REQUEST_TIMEOUT, ANSWER_BYTES_MAX)?;
                Ok(ToRun::Described(Box::new(parsed(&path, &bytes)?)))
            }
            Self::Inside(inbox) => {
                let look = move |shell: &mut Shell| match shell.jobs.get(&job).and_then(|entry| entry.prepared.clone())
                {
                    Some(job) => Ok(ToRun::Prepared(job)),
                    None => shell.deployment(job, attempt).map(|found| ToRun::Described(Box::new(found))),
                };
                let path = || format!("jobs/{job}/deployment");
                ask(inbox, look)?.map_err(|problem| Error::Refused { path: path(), problem: Box::new(problem) })
            }
        }
    }

    /// Compiled code, sealed, if the JobManager has it under this key.
    pub(crate) fn code(&self, key: &str) -> Result<Vec<u8>, Error> {
        self.get(&format!("code/{key}"), DOWNLOAD_TIMEOUT, DOWNLOAD_BYTES_MAX)
    }

    /// The bytes of a component.
    pub(crate) fn component(&self, digest: &str) -> Result<Vec<u8>, Error> {
        self.get(&format!("plugins/{digest}"), DOWNLOAD_TIMEOUT, DOWNLOAD_BYTES_MAX)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize, timeout: Duration) -> Result<T, Error> {
        let Self::Http { agent, url, token } = self else { return Err(Error::Gone) };
        let full = format!("{url}/v1/tm/{path}");
        let mut request = agent.post(&full).config().timeout_global(Some(timeout)).build();
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = serde_json::to_vec(body).expect("its keys are text");
        let answer = request.header("content-type", "application/json").send(&body[..]);
        let bytes = self.read(path, answer, ANSWER_BYTES_MAX)?;
        parsed(path, &bytes)
    }

    fn get(&self, path: &str, timeout: Duration, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let Self::Http { agent, url, token } = self else { return Err(Error::Gone) };
        let full = format!("{url}/v1/tm/{path}");
        let mut request = agent.get(&full).config().timeout_global(Some(timeout)).build();
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(path, request.call(), bytes_max)
    }

    fn read(
        &self,
        path: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        bytes_max: u64,
    ) -> Result<Vec<u8>, Error> {
        let url = || match self {
            Self::Http { url, .. } => url.clone(),
            Self::Inside(_) => String::new(),
        };
        let mut answer = answer.map_err(|source| Error::Unreachable { url: url(), source: Box::new(source) })?;
        let status = answer.status();
        let mut bytes = Vec::new();
        let mut body = answer.body_mut().as_reader().take(bytes_max + 1);
        body.read_to_end(&mut bytes)
            .map_err(|e| Error::Unreachable { url: url(), source: Box::new(ureq::Error::Io(e)) })?;
        if bytes.len() as u64 > bytes_max {
            return Err(Error::Garbled {
                path: path.to_owned(),
                reason: format!("it has more than {bytes_max} bytes"),
            });
        }
        if status.is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Err(Error::Refused { path: path.to_owned(), problem: Box::new(problem) }),
            Err(_) => Err(Error::Garbled { path: path.to_owned(), reason: format!("status {status}") }),
        }
    }
}

fn tls_config(
    files: &wasmill_runtime::tls::TlsFiles,
    read: &impl Fn(&PathBuf) -> Result<Vec<u8>, SetupError>,
) -> Result<ureq::tls::TlsConfig, SetupError> {
    use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
    let certificates = |file: &PathBuf| -> Result<Vec<Certificate<'static>>, SetupError> {
        let bytes = read(file)?;
        let items = parse_pem(&bytes).filter_map(Result::ok);
        Ok(items
            .filter_map(|item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None })
            .collect())
    };
    let key = read(&files.key)?;
    let key = PrivateKey::from_pem(&key).map_err(|e| SetupError::File {
        file: files.key.display().to_string(),
        source: std::io::Error::other(e.to_string()),
    })?;
    let own = certificates(&files.certificate)?;
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&certificates(&files.ca)?))
        .client_cert(Some(ClientCert::new_with_certs(&own, key)))
        .build())
}

fn parsed<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Garbled { path: path.to_owned(), reason: e.to_string() })
}

/// Lets the JobManager's owner answer, and waits.
fn ask<T: Send + 'static>(
    inbox: &Sender<Message>,
    ask: impl FnOnce(&mut Shell) -> T + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let ask = Box::new(move |shell: &mut Shell| drop(answer.send(ask(shell))));
    inbox.send(Message::Ask(ask)).map_err(|_| Error::Gone)?;
    answered.blocking_recv().map_err(|_| Error::Gone)
}
