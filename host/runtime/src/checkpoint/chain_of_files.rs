//! The snapshot files of one operator subtask: a full one, and what has changed since.

use std::{ops::Range, path::Path};

use wasmill_model::{ids::CheckpointId, keys::KeyGroups};
use wasmill_snapshot::{
    file::{Kind, Meta, StateSchema, Writer},
    manifest::SnapshotFile,
    merge::{Merge, Tombstones},
    store::Origin,
};
use wasmill_state::SealedState;

use crate::{
    checkpoint::fetching::{Failed, Fetching, Files},
    clock::now_ms,
};

/// Files of a chain before they are merged into one.
const FILES_MAX: usize = 16;
/// Bytes of deltas from which on they are merged once they are more than the full file.
const DELTA_BYTES_MIN: u64 = 4 << 20;
/// Changes that may wait to be written, one of each checkpoint that failed.
const UNWRITTEN_MAX: usize = 5;

/// Whose files they are, and where they go.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) files: Files,
    pub(super) cluster: String,
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
        let folder = self.files.folder()?;
        let path = folder.path().join("snapshot");
        let writer_of = |path: &Path| self.writer(path, checkpoint, kind).map_err(|failed| failed.reason);
        let mut writer = match is_first {
            true => Some(writer_of(&path)?),
            false => None,
        };
        state.rows(self.key_groups, |key, value| {
            if is_first && value.is_none() {
                return Ok(());
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(writer_of(&path)?),
            };
            writer.push(key, value).map_err(|e| e.to_string())
        })?;
        writer.map(|writer| self.finish(writer, &path, checkpoint, kind)).transpose()
    }

    fn merge(&self, files: &[SnapshotFile]) -> Result<SnapshotFile, String> {
        let checkpoint = files.last().ok_or("there is nothing to merge")?.checkpoint;
        let folder = self.files.folder()?;
        let path = folder.path().join("merged");
        let written = |mut fetching: Fetching<'_>| -> Result<Writer, (Failed, bool)> {
            let mut writer = self.writer(&path, checkpoint, Kind::Full).map_err(|failed| (failed, false))?;
            let merged = self.merge_into(&mut writer, files, &mut fetching);
            merged.map(|()| writer).map_err(|failed| (failed, fetching.gives_up_copies()))
        };
        let fetching = || self.files.fetching().map_err(|failed| failed.reason);
        let writer = match written(fetching()?) {
            Err((_, true)) => written(fetching()?),
            written => written,
        };
        self.finish(writer.map_err(|(failed, _)| failed.reason)?, &path, checkpoint, Kind::Full)
    }

    fn merge_into(
        &self,
        writer: &mut Writer,
        files: &[SnapshotFile],
        fetching: &mut Fetching<'_>,
    ) -> Result<(), Failed> {
        let mut inputs = Vec::new();
        for file in files {
            let (own, its) = (self.key_groups(), &file.key_groups);
            let both = own.start.max(its.start)..own.end.min(its.end);
            inputs.push(fetching.open(file)?.rows(both)?);
        }
        Ok(Merge::new(inputs, Tombstones::Drop)?.write(writer)?)
    }

    fn writer(&self, path: &Path, checkpoint: CheckpointId, kind: Kind) -> Result<Writer, Failed> {
        let meta = Meta {
            cluster: self.cluster.clone(),
            job: self.files.job,
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
        Ok(Writer::create(path, &meta, &self.schema)?)
    }

    /// Completes a file, copies it into the store, and keeps it.
    fn finish(
        &self,
        writer: Writer,
        path: &Path,
        checkpoint: CheckpointId,
        kind: Kind,
    ) -> Result<SnapshotFile, String> {
        let written = writer.finish().map_err(|e| e.to_string())?;
        let origin = Origin { job: self.files.job, checkpoint, operator: &self.operator, subtask: self.subtask };
        let Files { store, local, job } = &self.files;
        let name = store.put(path, &written, &origin).map_err(|e| e.to_string())?;
        let (bytes, blake3) = (written.bytes, written.blake3);
        let file = SnapshotFile { name, bytes, blake3, key_groups: self.key_groups(), kind, checkpoint };
        local.copies.keep(*job, path, &file);
        Ok(file)
    }
}
