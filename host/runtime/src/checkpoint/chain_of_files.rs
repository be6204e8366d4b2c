//! The snapshot files of one operator subtask: a full one, and what has changed since.

use std::{ops::Range, path::PathBuf};

use wasmill_model::{
    ids::{CheckpointId, JobId},
    keys::KeyGroups,
};
use wasmill_snapshot::{
    file::{self, Kind, Meta, Reader, StateSchema, Writer},
    manifest::SnapshotFile,
    merge::{Merge, Tombstones},
    store::{Origin, Store},
};
use wasmill_state::SealedState;

use crate::clock::now_ms;

/// Files of a chain before they are merged into one.
const FILES_MAX: usize = 16;
/// Bytes of deltas from which on they are merged once they are more than the full file.
const DELTA_BYTES_MIN: u64 = 4 << 20;
/// Changes that may wait to be written, one of each checkpoint that failed.
const UNWRITTEN_MAX: usize = 5;

/// Whose files they are, and where they go.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) store: Store,
    pub(super) scratch: PathBuf,
    pub(super) cluster: String,
    pub(super) job: JobId,
    pub(super) operator: String,
    pub(super) subtask: u32,
    pub(super) parallelism: u32,
    pub(super) key_groups: KeyGroups,
    pub(super) schema: Vec<StateSchema>,
}

/// The files of one operator subtask.
#[derive(Debug)]
pub(super) struct ChainOfFiles {
    owner: Owner,
    /// Oldest first.
    files: Vec<SnapshotFile>,
    /// What could not be written yet, oldest first.
    unwritten: Vec<(CheckpointId, SealedState)>,
}

impl ChainOfFiles {
    /// Goes on from files that there are.
    pub(super) fn new(owner: Owner, files: Vec<SnapshotFile>) -> Self {
        Self { owner, files, unwritten: Vec::new() }
    }

    pub(super) fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    pub(super) fn schema(&self) -> &[StateSchema] {
        &self.owner.schema
    }

    /// Adds changes; they are kept until they could be written.
    pub(super) fn add(&mut self, checkpoint: CheckpointId, state: SealedState) {
        self.unwritten.push((checkpoint, state));
    }

    /// Whether so much could not be written that there is no use in going on.
    pub(super) fn is_stuck(&self) -> bool {
        self.unwritten.len() > UNWRITTEN_MAX
    }

    /// Writes what was added.
    pub(super) fn write(&mut self) -> Result<(), String> {
        while let Some((checkpoint, state)) = self.unwritten.first() {
            let file = self.owner.write_state(*checkpoint, state, self.files.is_empty())?;
            self.files.extend(file);
            self.unwritten.remove(0);
        }
        Ok(())
    }

    /// Makes one file of many, when they are many or large.
    pub(super) fn merge(&mut self) -> Result<(), String> {
        let (full, deltas): (Vec<&SnapshotFile>, Vec<&SnapshotFile>) =
            self.files.iter().partition(|file| file.kind == Kind::Full);
        let bytes = |files: &[&SnapshotFile]| files.iter().map(|file| file.bytes).sum::<u64>();
        let large = bytes(&deltas) > DELTA_BYTES_MIN.max(bytes(&full));
        if self.files.len() <= FILES_MAX && !large {
            return Ok(());
        }
        self.files = vec![self.owner.merge(&self.files)?];
        Ok(())
    }
}

impl Owner {
    fn key_groups(&self) -> Range<u32> {
        self.key_groups.range(self.subtask, self.parallelism)
    }

    /// Writes changes. `None`: there are none, and there is a file to which they would be added.
    fn write_state(
        &self,
        checkpoint: CheckpointId,
        state: &SealedState,
        is_first: bool,
    ) -> Result<Option<SnapshotFile>, String> {
        let kind = if is_first { Kind::Full } else { Kind::Delta };
        let folder = tempfile::tempdir_in(&self.scratch).map_err(|e| self.failed("make a folder", &e))?;
        let path = folder.path().join("snapshot");
        let mut writer = match is_first {
            true => Some(self.writer(&path, checkpoint, kind)?),
            false => None,
        };
        state.rows(self.key_groups, |key, value| {
            if is_first && value.is_none() {
                return Ok(());
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(self.writer(&path, checkpoint, kind)?),
            };
            writer.push(key, value).map_err(|e| e.to_string())
        })?;
        writer.map(|writer| self.finish(writer, &path, checkpoint, kind)).transpose()
    }

    fn merge(&self, files: &[SnapshotFile]) -> Result<SnapshotFile, String> {
        let checkpoint = files.last().ok_or("there is nothing to merge")?.checkpoint;
        let folder = tempfile::tempdir_in(&self.scratch).map_err(|e| self.failed("make a folder", &e))?;
        let mut inputs = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            self.store.fetch(&file.name, &file.expected(), &path).map_err(|e| e.to_string())?;
            let reader = Reader::open(&path, &file.expected()).map_err(|e| e.to_string())?;
            let (own, its) = (self.key_groups(), &file.key_groups);
            let both = own.start.max(its.start)..own.end.min(its.end);
            inputs.push(reader.rows(both).map_err(|e| e.to_string())?);
        }
        let path = folder.path().join("merged");
        let mut writer = self.writer(&path, checkpoint, Kind::Full)?;
        let merged = Merge::new(inputs, Tombstones::Drop).and_then(|mut merge| merge.write(&mut writer));
        merged.map_err(|e| e.to_string())?;
        self.finish(writer, &path, checkpoint, Kind::Full)
    }

    fn writer(&self, path: &std::path::Path, checkpoint: CheckpointId, kind: Kind) -> Result<Writer, String> {
        let meta = Meta {
            cluster: self.cluster.clone(),
            job: self.job,
            operator: self.operator.clone(),
            subtask: self.subtask,
            parallelism: self.parallelism,
            key_groups_all: self.key_groups.count(),
            key_groups: self.key_groups(),
            checkpoint,
            kind,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            time_ms: now_ms(),
        };
        Writer::create(path, &meta, &self.schema).map_err(|e: file::Error| e.to_string())
    }

    /// Completes a file and copies it into the store.
    fn finish(
        &self,
        writer: Writer,
        path: &std::path::Path,
        checkpoint: CheckpointId,
        kind: Kind,
    ) -> Result<SnapshotFile, String> {
        let written = writer.finish().map_err(|e| e.to_string())?;
        let origin = Origin { job: self.job, checkpoint, operator: &self.operator, subtask: self.subtask };
        let name = self.store.put(path, &written, &origin).map_err(|e| e.to_string())?;
        let (bytes, blake3) = (written.bytes, written.blake3);
        Ok(SnapshotFile { name, bytes, blake3, key_groups: self.key_groups(), kind, checkpoint })
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> String {
        format!("could not {doing} in {}: {error}", self.scratch.display())
    }
}
