//! What the outside knows of a job: its shape, its durable record, its newest checkpoint, its state.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wasmill_model::{
    Timestamp,
    ids::{CheckpointId, JobId, Subtask},
};

use crate::message::Cause;

/// What the JobManager needs to know of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShape {
    pub name: String,
    /// Parallelism of each chain.
    pub chains: Vec<u32>,
    pub restart: Restart,
    /// None: the job takes no checkpoints, and begins again from the beginning whatever happens.
    #[serde(default)]
    pub checkpoints: Option<CheckpointConfig>,
    /// The manifest that the job begins from before it has a checkpoint of its own; none: from the beginning of its input.
    #[serde(default)]
    pub from: Option<String>,
    /// All that sinks had prepared in it was visible once.
    #[serde(default)]
    pub from_visible: bool,
    /// A sink of it prepares what checkpoints make visible.
    #[serde(default = "yes")]
    pub transactional: bool,
    /// The sources that keep in step.
    #[serde(default)]
    pub in_step: Vec<InStep>,
}

/// Nothing may come twice unless it is known that nothing can.
fn yes() -> bool {
    true
}

/// A source whose watermark others are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InStep {
    /// The chain that it heads.
    pub chain: u32,
    /// Sources of one number are held against each other.
    pub group: u32,
    /// How far a subtask of it may be ahead of the slowest of its group; none: however far, but others wait for it.
    pub max_drift_ms: Option<u64>,
}

/// When a job takes checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// From the start of one to that of the next.
    pub interval_ms: u64,
    /// One that takes longer is given up.
    pub timeout_ms: u64,
    /// From the end of one to the start of the next, at least.
    pub min_pause_ms: u64,
    /// Intact ones that are kept, at least one.
    #[serde(default = "retained")]
    pub retained: u32,
}

fn retained() -> u32 {
    3
}

/// What follows when an attempt fails for a reason that another attempt may not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// The job has failed.
    Never,
    /// Another attempt, later and later.
    Backoff {
        /// Restarts after which the job has failed; none: it is tried for ever.
        attempts_max: Option<u32>,
    },
}

impl JobShape {
    /// Slots the job needs. Slot i holds subtask i of every chain that has one.
    pub fn slots(&self) -> u32 {
        self.chains.iter().copied().max().unwrap_or(0)
    }

    /// All subtasks, chain by chain.
    pub fn subtasks(&self) -> impl Iterator<Item = Subtask> {
        subtasks(&self.chains)
    }
}

/// All subtasks of chains with these parallelisms, chain by chain.
pub(super) fn subtasks(chains: &[u32]) -> impl Iterator<Item = Subtask> {
    let chains = chains.iter().zip(0..);
    chains.flat_map(|(&parallelism, chain)| (0..parallelism).map(move |index| Subtask { chain, index }))
}

/// What has to survive the JobManager: enough for a later life to resume the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    pub id: JobId,
    pub shape: JobShape,
    pub submitted_ms: Timestamp,
    pub desired: Desired,
    /// The job's tombstone: a job that has one never runs again.
    pub end: Option<End>,
    pub restarts: u32,
    /// Why the newest attempt that failed did.
    pub last_cause: Option<Cause>,
    /// How often the shape was replaced, there and back.
    #[serde(default)]
    pub version: u32,
    /// The shape before, while the present one is on trial: no attempt of it has run yet.
    #[serde(default)]
    pub previous: Option<Box<JobShape>>,
    #[serde(default)]
    pub recovery: Recovery,
}

/// What was found when attempts were to begin from checkpoints, and what was decided then.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Those of the checkpoints that are kept that no attempt begins from any more: they are damaged, or were passed over.
    pub damaged: BTreeSet<CheckpointId>,
    /// The newest checkpoint of which all that sinks had prepared was visible once.
    pub visible: Option<CheckpointId>,
    /// The manifest of which all that sinks had prepared and nobody can find is given up.
    pub given_up: Option<String>,
    /// What somebody has to decide before there can be another attempt.
    pub decision: Option<Decision>,
}

/// Something that only people can decide: each way on costs something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub about: About,
    /// What could not be begun from.
    pub manifest: String,
    /// The message names the file, or the sink and its subtask, and says what is wrong.
    pub cause: Cause,
}

/// Why something is to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// The manifest, or a file that it names, is damaged or gone, and sinks have made visible what came since the checkpoint before.
    DamagedCheckpoint,
    /// What a sink had prepared cannot be made visible: it is gone, or not what it was.
    LostTransaction,
}

impl About {
    /// The name used in interfaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::DamagedCheckpoint => "damaged-checkpoint",
            Self::LostTransaction => "lost-transaction",
        }
    }
}

/// How a job is to go on about which something is to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The same again: what was damaged or gone has been put back.
    Retry,
    /// From the checkpoint before: what has become visible since comes again.
    Rewind,
    /// Without what is lost.
    GiveUpTransaction,
}

impl Choice {
    /// The name used in interfaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Rewind => "rewind",
            Self::GiveUpTransaction => "give-up-transaction",
        }
    }

    /// The choice of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Retry, Self::Rewind, Self::GiveUpTransaction].into_iter().find(|choice| choice.name() == name)
    }
}

/// A record as an earlier life of the JobManager left it, and what else it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub record: JobRecord,
    /// The checkpoints of the job that are there, the newest last.
    pub checkpoints: Vec<Completed>,
}

/// A checkpoint that is complete and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    pub id: CheckpointId,
    /// Its name in the checkpoint store.
    pub manifest: String,
    /// All subtasks are at their end in it.
    pub last: bool,
    /// Sinks have prepared something that it makes visible, or nobody knows.
    pub transactions: bool,
}

/// What people want of a job. A later one replaces the earlier ones and is never taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Desired {
    Run,
    /// It is to end where it is, with a savepoint that another job can go on from.
    Stop,
    /// It is to end as if its input ended now.
    Drain,
    /// It is to end without results.
    Cancel,
}

/// How and when a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub state: EndState,
    pub at_ms: Timestamp,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndState {
    Cancelled,
    Failed(Cause),
    /// All results are visible.
    Finished,
    /// All results up to this savepoint are visible, and another job can go on from it.
    Stopped {
        checkpoint: CheckpointId,
        manifest: String,
    },
}

/// What a person sees of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Waiting for slots, for the first time.
    Created,
    /// Its subtasks are being started.
    Deploying,
    Running,
    /// It runs again as soon as the last attempt has ended, its time has come and there are slots.
    Restarting,
    /// It cannot begin again before somebody has decided how.
    NeedsDecision,
    /// Its subtasks are being stopped, for good.
    Cancelling,
    Cancelled,
    Failed(Cause),
    /// All results are visible.
    Finished,
    /// All results up to this savepoint are visible, and another job can go on from it.
    Stopped {
        checkpoint: CheckpointId,
        manifest: String,
    },
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed(_) | Self::Finished | Self::Stopped { .. })
    }

    /// The name used in interfaces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Deploying => "DEPLOYING",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::NeedsDecision => "NEEDS_DECISION",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Failed(_) => "FAILED",
            Self::Finished => "FINISHED",
            Self::Stopped { .. } => "STOPPED",
        }
    }
}

impl From<EndState> for JobState {
    fn from(end: EndState) -> Self {
        match end {
            EndState::Cancelled => Self::Cancelled,
            EndState::Failed(cause) => Self::Failed(cause),
            EndState::Finished => Self::Finished,
            EndState::Stopped { checkpoint, manifest } => Self::Stopped { checkpoint, manifest },
        }
    }
}
