//! Jobs: what is submitted, and what can be seen of one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Beginning, CheckpointState};

/// A job to run. Its operators name plugins that the cluster has, by `name@version` or by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The job file, TOML.
    pub text: String,
    /// What messages call the job file.
    #[serde(default = "default_file")]
    pub file: String,
    /// The absolute folder that relative paths in the job file start from; without it they are refused. It must be the same
    /// on every TaskManager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Assignments, as `--set` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// What it begins from: a savepoint, or a checkpoint as `job-7` (the newest of that job) or `job-7/1.41`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether state that the job has no place for may be left behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_dropped_state: bool,
}

fn default_file() -> String {
    "job.toml".to_owned()
}

/// A job that was taken; it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    pub id: String,
    pub name: String,
    pub state: String,
    /// What is odd but allowed, a sentence each.
    pub warnings: Vec<String>,
    /// What it begins from; none if from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<Beginning>,
    /// What is promised about the rows that reach each sink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guarantees: Vec<SinkGuarantee>,
}

/// What is promised about the rows that reach a sink, whatever fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SinkGuarantee {
    pub sink: String,
    /// exactly-once, at-least-once or at-most-once.
    pub guarantee: String,
    /// The same in words, with what else there is to say.
    pub about: String,
    /// When rows can be seen.
    pub visible: String,
}

/// What a submission would run, without running it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    pub name: String,
    /// Slots the job needs: one for each parallel instance of the whole graph.
    pub slots: u32,
    /// Free in the cluster now.
    pub slots_free: u32,
    pub vertices: Vec<VertexDetail>,
    pub edges: Vec<EdgeDetail>,
    pub warnings: Vec<String>,
    /// What it would begin from; none if from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<Beginning>,
    /// What would be promised about the rows that reach each sink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guarantees: Vec<SinkGuarantee>,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    pub id: String,
    pub name: String,
    /// CREATED, DEPLOYING, RUNNING, RESTARTING, NEEDS_DECISION, CANCELLING, CANCELLED, FAILED, FINISHED or STOPPED.
    pub state: String,
    pub submitted_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    pub slots: u32,
    /// How often it was started again.
    pub restarts: u32,
    /// Rows that its sources brought and its sinks took, in this attempt.
    pub rows_read: u64,
    pub rows_written: u64,
    /// CPU time of all its subtasks, in this attempt, in seconds.
    pub cpu_seconds: f64,
    /// Why it failed or was started again last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What somebody has to decide, of a job that is NEEDS_DECISION.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Of a job that takes checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<CheckpointState>,
    /// How often it was replaced by another form of itself.
    #[serde(default)]
    pub version: u32,
    /// The savepoint of a job that was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
}

/// Why a job cannot begin again before somebody has decided how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// `damaged-checkpoint` or `lost-transaction`.
    pub about: String,
    /// What it could not begin from: `job-7/1.41`, or a savepoint.
    pub checkpoint: String,
    /// The stable name of the error.
    pub code: String,
    /// Which file, or what of which sink and subtask, and what is wrong with it.
    pub reason: String,
    /// How it can be resolved; cancelling the job is always possible.
    pub choices: Vec<Choice>,
    /// What it begins from with `rewind`; absent if that is none of the choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewind_to: Option<String>,
}

/// How a job is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The same again: what was damaged or gone is there again.
    Retry,
    /// From the checkpoint before: rows that have become visible since come again.
    Rewind,
    /// Without what is lost of the checkpoint: its rows are missing.
    GiveUpTransaction,
}

/// What was decided about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    pub choice: Choice,
}

/// Why a job failed or was started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// The stable name of the error.
    pub code: String,
    /// Whose fault it is: user, operator, internal, external or nobody.
    pub domain: String,
    pub message: String,
}

/// All that can be seen of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    #[serde(flatten)]
    pub summary: JobSummary,
    /// `attempt-EPOCH.COUNT`: which try runs now.
    pub attempt: String,
    pub vertices: Vec<VertexDetail>,
    pub edges: Vec<EdgeDetail>,
    pub subtasks: Vec<SubtaskDetail>,
    pub warnings: Vec<String>,
}

/// A source, an operator or a sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VertexDetail {
    pub name: String,
    pub kind: VertexKind,
    pub parallelism: u32,
    /// The chain that runs it: vertices of one chain share subtasks.
    pub chain: u32,
    /// The digest of an operator's plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Absent in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<VertexMetrics>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VertexKind {
    Source,
    Operator,
    Sink,
}

/// What all subtasks of a vertex have done in this attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VertexMetrics {
    pub rows_in: u64,
    pub rows_out: u64,
    pub batches: u64,
    /// Rows and timers that could not be handled and were left out or became dead letters.
    pub rejected: u64,
    /// Times an instance failed and was replaced.
    pub traps: u64,
    pub cpu_seconds: f64,
    /// Linear memory of its instances, at its highest.
    pub guest_memory_bytes: u64,
    pub state_bytes: u64,
    /// Bytes of snapshot files that this attempt began from, which its TaskManagers had copies of.
    #[serde(default)]
    pub restored_local_bytes: u64,
    /// The same, which were fetched from the checkpoint store.
    #[serde(default)]
    pub restored_store_bytes: u64,
    /// Over the last seconds.
    pub rows_in_per_second: f64,
    pub rows_out_per_second: f64,
    /// Of each second of its subtasks, the part spent working, waiting for input, and waiting for room behind it; 0 to 1.
    pub busy: f64,
    pub idle: f64,
    pub back_pressured: f64,
    /// The lowest of its subtasks that are waited for; absent as long as there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// Of a sink that has written rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyDetail>,
}

/// How long rows took from when their source handed them over until the sink had written them, in this attempt: what a half, 99
/// and 99.9 of 100, and all of them did not exceed. At most an eighth too high. If sources and sinks are on several hosts, it is as right as
/// their clocks agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyDetail {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// From a port of one vertex to another vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EdgeDetail {
    /// `vertex.port`.
    pub from: String,
    pub to: String,
    /// forward, hash, rebalance or broadcast.
    pub exchange: String,
    /// The columns of the key, for hash.
    pub key: Vec<String>,
    /// The schema of the rows, as job files write it.
    pub schema: String,
    /// Bytes of rows that wait in its channels.
    pub queued_bytes: u64,
}

/// One parallel instance of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtaskDetail {
    pub chain: u32,
    pub index: u32,
    /// The vertices of the chain.
    pub vertices: Vec<String>,
    pub worker: String,
    /// DEPLOYING, RUNNING, PREPARED, COMMITTED, FAILED or STOPPED.
    pub state: String,
}
