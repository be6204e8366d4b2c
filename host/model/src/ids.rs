//! Ids. Each is a type of its own, so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A job, for its whole life. Never reused.
    JobId,
    "job-"
);
id!(
    /// One try at running a job: 1 for the first. A later attempt has a higher number.
    Attempt,
    "attempt-"
);
id!(
    /// A TaskManager, as the JobManager knows it.
    TaskManagerId,
    "taskmanager-"
);
id!(
    /// One life of a TaskManager's process. A later life has a higher number.
    Incarnation,
    "incarnation-"
);

/// One parallel instance of a chain of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subtask {
    /// The chain's place in the plan.
    pub chain: u32,
    /// 0..parallelism of the chain.
    pub index: u32,
}

impl fmt::Display for Subtask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.chain, self.index)
    }
}
