//! What is asked of a JobManager.

use std::{fs::File, time::Duration};

use ureq::http::Method;

/// How long an answer may take, where nothing has to be compiled for it.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long an answer may take for which plugins may have to be compiled.
pub(crate) const WORK_WITHIN: Duration = Duration::from_secs(600);

/// How long an answer may take for which a job has to take a savepoint, and perhaps to be started anew with its state. A
/// checkpoint is given up after ten minutes, where the job file does not say more.
pub(crate) const JOB_WITHIN: Duration = Duration::from_secs(3_600);

/// How long all the state of a job may be on its way.
const TRANSFER_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// From `/v1` on, with its query.
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Content<'a>,
    pub(crate) within: Duration,
    /// Whether it is sent again if nobody accepts a connection.
    pub(crate) patient: bool,
}

/// What is sent along.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    Nothing,
    /// The bytes, and who is told how many are gone.
    Bytes(&'a [u8], &'a dyn Fn(u64)),
    /// The same of a file, which is read anew each time it is sent.
    File(&'a File, u64, &'a dyn Fn(u64)),
}

impl<'a> Request<'a> {
    /// Reads what is at a path.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            accept: "application/json",
            headers: Vec::new(),
            body: Content::Nothing,
            within: ANSWER_WITHIN,
            patient: false,
        }
    }

    /// Asks for something to be done.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self { method: Method::POST, patient: true, ..Self::get(path) }
    }

    /// Takes away what is at a path.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::post(path) }
    }

    /// Puts bytes at a path. The function is told how many are gone.
    pub(crate) fn put(path: impl Into<String>, bytes: &'a [u8], gone: &'a dyn Fn(u64)) -> Self {
        let sent = Self { method: Method::PUT, body: Content::Bytes(bytes, gone), ..Self::post(path) };
        sent.within(WORK_WITHIN)
    }

    /// Puts a file of so many bytes at a path.
    pub(crate) fn put_file(path: impl Into<String>, (file, bytes): (&'a File, u64), gone: &'a dyn Fn(u64)) -> Self {
        let sent = Self { method: Method::PUT, body: Content::File(file, bytes, gone), ..Self::post(path) };
        sent.within(TRANSFER_WITHIN)
    }

    /// With JSON along.
    pub(crate) fn json(self, json: &'a [u8]) -> Self {
        Self { body: Content::Bytes(json, &|_| ()), ..self }.header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Lets the answer take so long.
    pub(crate) fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Sent again also if nobody accepts a connection: the JobManager was there, and will be there again.
    pub(crate) fn patiently(self) -> Self {
        Self { patient: true, ..self }
    }
}
