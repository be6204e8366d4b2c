//! What the server needs of the JobManager: the seam below the routes. Every method answers with what is to be sent, or with
//! the problem that is to be told; nothing of HTTP passes.
//!
//! What the server has checked before it calls: plugin names, versions, digests and ids have the form that they have
//! ([`crate::names`]), bodies have a bound, the caller may ask this. A future is dropped when the client goes away; a method
//! whose work must end all the same gives it to a task.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::sync::{mpsc, watch};
use wasmill_rest::{
    Accepted, Choice, Cluster, Event, Exception, JobDetail, JobSummary, LogLine, Operation, OperationKind, Plan,
    PluginDetail, PluginVersion, Problem, Replaced, Savepoint, Scale, Stall, Stored, Submission, TapRow, Worker,
};

mod jobmanager;

/// A component that has arrived whole.
#[derive(Debug)]
pub struct Upload {
    pub name: String,
    pub version: String,
    /// In the upload folder; removed when it is dropped. It is written, not yet synced to disk.
    pub file: NamedTempFile,
    pub bytes: u64,
    /// SHA-256 of the bytes, taken while they arrived; what the client claimed was held against it.
    pub digest: [u8; 32],
    /// Check it, and keep nothing.
    pub dry_run: bool,
}

/// Bytes for a TaskManager: in memory, or a file that is sent in pieces.
#[derive(Debug)]
pub enum Blob {
    Bytes(Bytes),
    File { file: File, bytes: u64 },
}

/// Writes bytes to where they are to go.
pub type WriteTo = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A savepoint on its way out: how long it is, and what writes it, on a thread that may wait.
pub struct Outgoing {
    pub bytes: u64,
    pub write: WriteTo,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What a method answers, some time later.
pub trait Answer<T>: Future<Output = Result<T, Problem>> + Send {}
impl<T, F: Future<Output = Result<T, Problem>> + Send> Answer<T> for F {}

/// The JobManager, as the routes see it.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Whether requests can be carried out: the catalogue is open and this process leads.
    fn ready(&self) -> impl Answer<()>;
    fn cluster(&self) -> impl Answer<Cluster>;
    /// Metrics in OpenMetrics text, families with their `# TYPE`, without the `# EOF`; no name begins with `wasmill_http_`.
    fn metrics(&self) -> impl Future<Output = String> + Send;
    /// Changes whenever an event, an exception, a log line or a job's state is new: streams wait for it.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Where uploads are written: on the file system of the plugins, emptied at start.
    fn upload_folder(&self) -> &Path;
    fn upload_bytes_max(&self) -> u64;
    fn put_plugin(&self, upload: Upload) -> impl Answer<(PluginVersion, Stored)>;
    /// In the order in which they are to be listed; each name and version once. So with the other lists.
    fn plugins(&self) -> impl Answer<Vec<PluginVersion>>;
    /// By `name@version` or `sha256:...`.
    fn plugin(&self, reference: &str) -> impl Answer<PluginDetail>;
    fn remove_plugin(&self, name: &str, version: &str) -> impl Answer<()>;

    fn submit(&self, submission: Submission, key: Option<String>) -> impl Answer<(Accepted, Stored)>;
    /// With the id of a job that it would replace.
    fn plan(&self, submission: Submission, replaces: Option<String>) -> impl Answer<Plan>;
    fn jobs(&self) -> impl Answer<Vec<JobSummary>>;
    fn job(&self, id: &str) -> impl Answer<JobDetail>;
    fn stall(&self, id: &str) -> impl Answer<Stall>;
    /// Durable when it is answered. Of a job that has ended, or is asked again, it changes nothing.
    fn cancel(&self, id: &str) -> impl Answer<JobSummary>;
    fn drain(&self, id: &str) -> impl Answer<JobSummary>;
    fn stop(&self, id: &str, savepoint: Option<String>) -> impl Answer<JobSummary>;
    /// Answered when the job runs in its new form, or has gone back to the one before.
    fn replace(&self, id: &str, submission: Submission) -> impl Answer<Replaced>;
    fn scale(&self, id: &str, scale: Scale) -> impl Answer<Replaced>;
    /// Durable when it is answered. A problem if nothing is to be decided, or this is none of the choices.
    fn resolve(&self, id: &str, choice: Choice) -> impl Answer<JobSummary>;

    /// Answered when it is complete.
    fn savepoint(&self, id: &str, name: Option<String>) -> impl Answer<Savepoint>;
    fn savepoints(&self) -> impl Answer<Vec<Savepoint>>;
    fn get_savepoint(&self, name: &str) -> impl Answer<Savepoint>;
    fn remove_savepoint(&self, name: &str) -> impl Answer<()>;
    fn export_savepoint(&self, name: &str) -> impl Answer<Outgoing>;
    /// Reads all of it, on a thread that may wait, unless it is refused before.
    fn import_savepoint(&self, name: &str, from: impl Read + Send + 'static) -> impl Answer<(Savepoint, Stored)>;

    /// A problem if the job was never asked to end in this way.
    fn operation(&self, job: &str, kind: OperationKind) -> impl Answer<Operation>;

    /// The events whose sequence is above `after`, in order, `max` at most.
    fn events(&self, id: &str, after: u64, max: usize) -> impl Answer<Vec<Event>>;
    fn exceptions(&self, id: &str, after: u64, max: usize) -> impl Answer<Vec<Exception>>;
    fn logs(&self, id: &str, after: u64, max: usize) -> impl Answer<Vec<LogLine>>;
    /// Whether nothing more will happen to a job, so that its streams end.
    fn ended(&self, id: &str) -> impl Answer<bool>;
    /// Rows that pass an edge (`vertex.port`) from now on, until the receiver is dropped. Rows for which it has no room are
    /// left out.
    fn tap(&self, id: &str, edge: &str) -> impl Answer<mpsc::Receiver<TapRow>>;

    fn workers(&self) -> impl Answer<Vec<Worker>>;
    fn worker(&self, id: &str) -> impl Answer<Worker>;
    fn cordon(&self, id: &str, on: bool) -> impl Answer<Worker>;

    fn tm_register(&self, body: Bytes) -> impl Answer<Bytes>;
    /// It came by the connection of this number.
    fn tm_poll(&self, body: Bytes, connection: u64) -> impl Answer<Bytes>;
    fn tm_reports(&self, body: Bytes) -> impl Answer<Bytes>;
    fn tm_deployment(&self, job: &str, attempt: Option<u64>) -> impl Answer<Bytes>;
    fn tm_code(&self, key: &str) -> impl Answer<Blob>;
    fn tm_plugin(&self, digest: &str) -> impl Answer<Blob>;
    /// A client has closed a connection, or its process has ended: the TaskManager whose last poll came by it is lost.
    fn closed(&self, connection: u64);
}
