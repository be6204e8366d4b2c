//! What a JobManager keeps of a submitted job beside its record, and what TaskManagers run it from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wasmill_model::settings::{Error, Settings};
use wasmill_rest::{Plan, Submission};
use wasmill_runtime::Found;

/// A submitted job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) submission: Submission,
    /// What checking it found.
    pub(crate) found: Found,
    /// As people see it.
    pub(crate) plan: Plan,
    /// The client's name for its request, so that it can be repeated.
    pub(crate) key: Option<String>,
}

/// The settings of a submission's job file, with its assignments.
pub(crate) fn settings(submission: &Submission) -> Result<Settings, Error> {
    let mut settings = Settings::parse(Path::new(&submission.file), &submission.text)?;
    for assignment in &submission.set {
        settings.set(assignment)?;
    }
    Ok(settings)
}

/// The folder that relative paths of a submission start from.
pub(crate) fn base(submission: &Submission) -> PathBuf {
    submission.base.as_ref().map_or_else(|| PathBuf::from("/"), PathBuf::from)
}
