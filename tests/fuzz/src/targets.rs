//! What is fuzzed.

use std::fmt;

use anyhow::{Result, bail};

use crate::Target;

mod frames;
mod inspection;
mod job_file;
mod planted;
mod reply;

/// A target, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that are said to be a component.
    Inspection,
    /// What a guest answers.
    Reply,
    /// A job file.
    JobFile,
    /// What another TaskManager sends.
    Frames,
    /// The same, with a mistake.
    LenientFrames,
    /// Mistakes that must be found.
    Planted(planted::Fault),
}

impl Kind {
    /// Those that are of use.
    pub const ALL: [Self; 4] = [Self::Inspection, Self::Reply, Self::JobFile, Self::Frames];

    /// Those that have a mistake.
    pub const PLANTED: [Self; 5] = [
        Self::LenientFrames,
        Self::Planted(planted::Fault::Panic),
        Self::Planted(planted::Fault::WrongAnswer),
        Self::Planted(planted::Fault::Loop),
        Self::Planted(planted::Fault::Memory),
    ];

    pub fn from_name(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().chain(Self::PLANTED).find(|kind| kind.name() == name) {
            Some(kind) => Ok(kind),
            None => bail!("there is no target `{name}`; there are {}", Self::ALL.map(Self::name).join(", ")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Inspection => "inspection",
            Self::Reply => "reply",
            Self::JobFile => "job-file",
            Self::Frames => "frames",
            Self::LenientFrames => "planted-frames",
            Self::Planted(fault) => fault.name(),
        }
    }

    /// Inputs that the ordinary tests run.
    pub fn inputs_of_a_test(self) -> u64 {
        match self {
            Self::Inspection => 3_000,
            Self::Reply => 30_000,
            Self::JobFile => 20_000,
            Self::Frames => 100_000,
            Self::LenientFrames | Self::Planted(_) => 20_000,
        }
    }

    /// Address space that the process may take; none: the engine reserves more than it will use.
    pub(crate) fn memory_bytes_max(self) -> Option<u64> {
        (self != Self::Reply).then_some(1 << 30)
    }

    pub(crate) fn target(self) -> Result<Box<dyn Target>> {
        Ok(match self {
            Self::Inspection => Box::new(inspection::Inspect::new()?),
            Self::Reply => Box::new(reply::Replies::new()?),
            Self::JobFile => Box::new(job_file::JobFiles::new()?),
            Self::Frames => Box::new(frames::Frames::new(false)),
            Self::LenientFrames => Box::new(frames::Frames::new(true)),
            Self::Planted(fault) => Box::new(planted::Planted(fault)),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
