//! Manifests: what a checkpoint or savepoint consists of, as JSON.
//!
//! The last field is the blake3 of all that stands before it. So it is in every version, now and later: whether a manifest is
//! whole is known before anything of it is believed.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmill_model::{
    fault::{Code, Coded},
    ids::{CheckpointId, JobId},
    keys::KEY_GROUPS_MAX,
};

use crate::{
    Hash,
    file::{Expected, Kind, StateSchema},
    store::Name,
};

/// The version of manifests that this program writes and reads.
pub const VERSION: u32 = 1;
/// Characters of a savepoint's name: letters, digits, `-` and `_`.
pub const SAVEPOINT_NAME_MAX: usize = 63;

/// What stands before and behind the hash at the end.
const SEAL: (&str, &str) = (",\n  \"blake3\": \"", "\"\n}\n");
const HASH_DIGITS: usize = 64;

/// What can be wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("could not read manifest {name}: {reason}")]
    Damaged { name: String, reason: String },
    #[error(
        "could not read manifest {name}: it is of version {version}, and this program knows version {VERSION}\n  hint: use the version of Wasmill that wrote it, or a later one"
    )]
    Version { name: String, version: String },
    /// Whole, and yet not what a checkpoint can be.
    #[error("could not use manifest {name}: {reason}")]
    Wrong { name: String, reason: String },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Damaged { .. } | Self::Wrong { .. } => Code::CheckpointDamaged,
            Self::Version { .. } => Code::CheckpointVersion,
        }
    }
}

/// A checkpoint or savepoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub version: u32,
    pub cluster: String,
    pub job: JobId,
    pub checkpoint: CheckpointId,
    /// The checkpoint that it goes on from.
    pub parent: Option<CheckpointId>,
    /// None: a checkpoint. A savepoint has a name, and its files are its own.
    pub savepoint: Option<String>,
    /// When it was complete, in milliseconds since the epoch.
    pub time_ms: i64,
    /// The version of Wasmill that took it.
    pub engine: String,
    /// How many key groups the job has; they stay.
    pub key_groups: u32,
    pub job_file: JobFile,
    /// Sources, operators and sinks that keep something.
    pub vertices: Vec<Vertex>,
}

/// The job file as it was when the checkpoint was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    pub text: String,
    pub blake3: Hash,
}

impl From<String> for JobFile {
    fn from(text: String) -> Self {
        Self { blake3: Hash::of(text.as_bytes()), text }
    }
}

/// What a vertex of the job has kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vertex {
    /// As in the job file.
    pub name: String,
    pub parallelism: u32,
    /// The plugin of an operator, by its digest: `sha256:...`.
    pub plugin: Option<String>,
    /// What an operator keeps for each key.
    pub schema: Vec<StateSchema>,
    /// Of all its subtasks, oldest first.
    pub files: Vec<SnapshotFile>,
    pub subtasks: Vec<Subtask>,
}

/// A snapshot file of a vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotFile {
    /// In the store.
    pub name: Name,
    pub bytes: u64,
    pub blake3: Hash,
    /// The key groups that its rows are of.
    pub key_groups: Range<u32>,
    pub kind: Kind,
    /// The checkpoint that it was written for.
    pub checkpoint: CheckpointId,
}

impl SnapshotFile {
    /// What must be found where it lies.
    pub fn expected(&self) -> Expected {
        Expected { bytes: self.bytes, blake3: self.blake3 }
    }
}

/// What a subtask keeps that is not keyed. Only whoever wrote it knows what it means.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subtask {
    pub subtask: u32,
    /// How far a source has read.
    pub position: Option<Value>,
    /// What a sink has prepared and not committed. A savepoint has none: all of it is visible before the savepoint is there.
    pub transaction: Option<Value>,
    /// What a sink has written and is to write on, which lies where it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Value>,
    /// Something unfinished stayed where this savepoint was exported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_behind: bool,
    /// It had handled all its input.
    #[serde(default)]
    pub ended: bool,
}

impl Vertex {
    /// The files that hold the state of some key groups, for each of them from its newest full one on: what is older says
    /// nothing any more, and may even have rows that have gone since. Segments come in the order of their key groups; the
    /// files of each, merged and clipped to it, are its state.
    pub fn segments(&self, key_groups: Range<u32>) -> Vec<Segment<'_>> {
        let mut segments: Vec<Segment<'_>> = Vec::new();
        for part in self.cut(&key_groups).windows(2) {
            let part = part[0]..part[1];
            let overlapping: Vec<&SnapshotFile> =
                self.files.iter().filter(|file| file.key_groups.contains(&part.start)).collect();
            let full = overlapping.iter().rposition(|file| file.kind == Kind::Full);
            let files = overlapping[full.unwrap_or(0)..].to_vec();
            match segments.last_mut() {
                Some(last) if last.files == files => last.key_groups.end = part.end,
                _ => segments.push(Segment { key_groups: part, files }),
            }
        }
        segments
    }

    /// Where, within some key groups, the ranges of files begin and end; the first and the last are those of the key groups.
    fn cut(&self, key_groups: &Range<u32>) -> Vec<u32> {
        let ends = self.files.iter().flat_map(|file| [file.key_groups.start, file.key_groups.end]);
        let mut cuts: Vec<u32> = ends.filter(|cut| key_groups.contains(cut)).collect();
        cuts.extend([key_groups.start, key_groups.end]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// What is wrong with it, if anything is.
    fn fault(&self, key_groups: u32, checkpoint: CheckpointId) -> Option<String> {
        let Self { name, parallelism, files, subtasks, .. } = self;
        if *parallelism == 0 {
            return Some(format!("`{name}` has no subtasks"));
        }
        if let Some(subtask) = subtasks.iter().find(|subtask| subtask.subtask >= *parallelism) {
            return Some(format!("`{name}` has a subtask {} of {parallelism}", subtask.subtask));
        }
        for file in files {
            let range = &file.key_groups;
            if range.start >= range.end || range.end > key_groups {
                return Some(format!("file {} is of key groups {range:?} of {key_groups}", file.name));
            }
            if file.checkpoint > checkpoint {
                return Some(format!("file {} is of the later {}", file.name, file.checkpoint));
            }
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].checkpoint > pair[1].checkpoint) {
            return Some(format!("file {} comes before the older {}", pair[0].name, pair[1].name));
        }
        if files.is_empty() {
            return None;
        }
        let segments = self.segments(0..key_groups);
        let is_full = |segment: &Segment<'_>| segment.files.first().is_some_and(|file| file.kind == Kind::Full);
        let gap = segments.iter().find(|segment| !is_full(segment))?;
        Some(format!("key group {} of `{name}` has no full snapshot to begin with", gap.key_groups.start))
    }
}

/// Neighbouring key groups whose rows are in the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    pub key_groups: Range<u32>,
    /// A full one and the deltas that follow it, oldest first. None: there are no rows.
    pub files: Vec<&'a SnapshotFile>,
}

impl Manifest {
    /// The manifest as it is stored. An error is what makes it no manifest.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.check(&self.checkpoint.to_string())?;
        let mut text = serde_json::to_string_pretty(self).expect("its keys are text");
        let body = text.strip_suffix("\n}").expect("it is an object with fields").len();
        text.truncate(body);
        let hash = Hash::of(text.as_bytes());
        text += &format!("{}{hash}{}", SEAL.0, SEAL.1);
        Ok(text.into_bytes())
    }

    /// Reads what `to_bytes` gave. The name is for messages.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged { name: name.to_owned(), reason };
        let body = unsealed(bytes).map_err(|reason| damaged(reason.to_owned()))?;
        let text = [body, b"\n}"].concat();
        let version = serde_json::from_slice::<Value>(&text).map_err(|error| damaged(error.to_string()))?;
        match version.get("version") {
            Some(version) if *version == VERSION => {}
            found => {
                let version = found.map_or_else(|| "none".to_owned(), Value::to_string);
                return Err(Error::Version { name: name.to_owned(), version });
            }
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        manifest.check(name)?;
        Ok(manifest)
    }

    /// Every file of it.
    pub fn files(&self) -> impl Iterator<Item = &SnapshotFile> {
        self.vertices.iter().flat_map(|vertex| &vertex.files)
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Wrong { name: name.to_owned(), reason });
        let Self { version, checkpoint, parent, savepoint, key_groups, job_file, vertices, .. } = self;
        if *version != VERSION {
            return Err(Error::Version { name: name.to_owned(), version: version.to_string() });
        }
        if let Some(savepoint) = savepoint.as_ref().filter(|savepoint| !is_savepoint_name(savepoint)) {
            return wrong(format!("`{savepoint}` is no name of a savepoint"));
        }
        if let Some(parent) = parent.filter(|parent| parent >= checkpoint) {
            return wrong(format!("{checkpoint} cannot go on from {parent}"));
        }
        if !(1..=KEY_GROUPS_MAX).contains(key_groups) {
            return wrong(format!("{key_groups} key groups; there are 1 to {KEY_GROUPS_MAX}"));
        }
        if Hash::of(job_file.text.as_bytes()) != job_file.blake3 {
            return wrong("its job file has another blake3".to_owned());
        }
        let twice =
            vertices.iter().enumerate().find(|(i, vertex)| vertices[..*i].iter().any(|v| v.name == vertex.name));
        if let Some((_, vertex)) = twice {
            return wrong(format!("it has two `{}`", vertex.name));
        }
        match vertices.iter().find_map(|vertex| vertex.fault(*key_groups, *checkpoint)) {
            Some(reason) => wrong(reason),
            None => Ok(()),
        }
    }
}

/// Whether this can name a savepoint: it is a part of a file's name.
pub fn is_savepoint_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=SAVEPOINT_NAME_MAX).contains(&name.len()) && name.chars().all(good)
}

/// What stands before the hash, if the hash is right. An error is the reason why not.
fn unsealed(bytes: &[u8]) -> Result<&[u8], &'static str> {
    const CUT: &str = "it does not end with its blake3: it was cut off, or is no manifest";
    let bytes = bytes.strip_suffix(SEAL.1.as_bytes()).ok_or(CUT)?;
    let (bytes, digits) = bytes.split_at_checked(bytes.len().saturating_sub(HASH_DIGITS)).ok_or(CUT)?;
    let found = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<Hash>().ok()).ok_or(CUT)?;
    let body = bytes.strip_suffix(SEAL.0.as_bytes()).ok_or(CUT)?;
    if Hash::of(body) == found { Ok(body) } else { Err("its blake3 is wrong: it was changed") }
}

#[cfg(test)]
mod tests;
