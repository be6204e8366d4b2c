//! The thread that keeps checkpoints: makes manifests of what subtasks have kept, savepoints of checkpoints, and room.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;
use wasmill_control::jobmanager::{Completed, Event};
use wasmill_durable::{Point, step};
use wasmill_model::{
    fault::Code,
    ids::{CheckpointId, JobId},
};
use wasmill_rest::{Problem, Savepoint};
use wasmill_snapshot::{
    manifest::Manifest,
    store::{self, Entry, Name, Store},
};

use crate::{
    jobmanager::{Message, savepoints},
    scratch::Scratch,
};

/// Between two tries to find out what became of a manifest whose write failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Clocks of hosts may differ by so much: younger files are nobody's orphans.
const ORPHANS_AFTER: Duration = Duration::from_secs(60);

/// What the keeper is to do.
pub(crate) enum Work {
    /// Make a checkpoint; the owner is told.
    Checkpoint(Box<Checkpoint>),
    /// Make a savepoint of a checkpoint.
    Savepoint { of: String, name: String, answer: oneshot::Sender<Result<Savepoint, Problem>> },
    /// Something that looks at the store.
    Ask(Box<dyn FnOnce(&mut Keeping) + Send>),
    /// The job is beyond the history: all but its savepoints can go.
    Forget(JobId),
}

/// A checkpoint that is to be made.
pub(crate) struct Checkpoint {
    pub(crate) manifest: Manifest,
    /// Checkpoints of the job that stay, beside those that no attempt begins from and that are not older.
    pub(crate) retained: u32,
    pub(crate) damaged: BTreeSet<CheckpointId>,
    /// When the attempt that took it was placed: what is older and in no manifest is left of other attempts.
    pub(crate) placed_ms: i64,
}

/// The way to the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    inbox: Sender<Work>,
}

/// What the keeper knows.
pub(crate) struct Keeping {
    pub(crate) store: Store,
    scratch: Scratch,
    owner: Sender<Message>,
    /// Of jobs that have made a checkpoint in this life: their manifests, and the files that each names.
    kept: BTreeMap<JobId, BTreeMap<Name, BTreeSet<Name>>>,
    /// Of each job, when the attempt was placed after which orphans were looked for.
    swept: BTreeMap<JobId, i64>,
}

impl Keeper {
    pub(crate) fn start(store: Store, scratch: Scratch, owner: Sender<Message>) -> io::Result<Self> {
        let (inbox, work) = mpsc::channel();
        let mut keeping = Keeping { store, scratch, owner, kept: BTreeMap::new(), swept: BTreeMap::new() };
        thread::Builder::new().name("checkpoints".to_owned()).spawn(move || keeping.run(&work))?;
        Ok(Self { inbox })
    }

    pub(crate) fn put(&self, work: Work) {
        // It ends with the owner.
        let _ = self.inbox.send(work);
    }

    /// Lets the keeper answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Keeping) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.put(Work::Ask(Box::new(move |keeping| drop(answer.send(ask(keeping))))));
        answered.await.ok()
    }
}

impl Keeping {
    fn run(&mut self, work: &Receiver<Work>) {
        while let Ok(work) = work.recv() {
            match work {
                Work::Checkpoint(checkpoint) => self.checkpoint(*checkpoint),
                Work::Savepoint { of, name, answer } => {
                    let made = savepoints::make(&self.store, self.scratch.folder(), &of, &name);
                    if let Ok((entry, _)) = &made
                        && let Some(kept) = self.kept.get_mut(&entry.job)
                    {
                        kept.insert(entry.manifest.clone(), entry.files.clone());
                    }
                    if made.is_ok() {
                        reached(Point::SavepointStored);
                    }
                    let _ = answer.send(made.map(|(_, savepoint)| savepoint));
                }
                Work::Ask(ask) => ask(self),
                Work::Forget(job) => self.forget(job),
            }
        }
    }

    fn checkpoint(&mut self, Checkpoint { manifest, retained, damaged, placed_ms }: Checkpoint) {
        let (job, checkpoint, transactions) = (manifest.job, manifest.checkpoint, has_transactions(&manifest));
        let event = match self.store.put_manifest(&manifest) {
            Ok(name) => {
                let files = manifest.files().map(|file| file.name.clone()).collect();
                let stored = Event::CheckpointStored { job, checkpoint, manifest: name.to_string(), transactions };
                self.keep(job, name, files);
                reached(Point::ManifestStored);
                stored
            }
            Err(error) => self.after_failure(&manifest, &error),
        };
        let _ = self.owner.send(Message::Event(event));
        // What fails here leaves more than is needed, and is done with the next one.
        let _ = self.make_room(job, retained as usize, &damaged);
        if self.swept.insert(job, placed_ms) != Some(placed_ms) {
            let placed = SystemTime::UNIX_EPOCH + Duration::from_millis(placed_ms.max(0).unsigned_abs());
            let _ = placed.checked_sub(ORPHANS_AFTER).map(|before| self.sweep(job, before));
        }
    }

    /// A write that failed may have made the manifest all the same, and nobody knows whether it will be there after a loss of power. It
    /// is removed before anything is said: what it has is in the next one, whichever of the two a next life finds.
    fn after_failure(&self, manifest: &Manifest, error: &store::Error) -> Event {
        let (job, checkpoint, message) = (manifest.job, manifest.checkpoint, error.to_string());
        let is_it = |entry: &Entry| entry.checkpoint == checkpoint && entry.savepoint.is_none();
        loop {
            match self.store.manifests(job).map(|entries| entries.into_iter().find(is_it)) {
                Ok(None) => return Event::CheckpointNotStored { job, checkpoint, message },
                Ok(Some(entry)) => {
                    // Whether it is gone shows in the list.
                    if self.store.delete([&entry.name]).is_ok() {
                        continue;
                    }
                }
                Err(_) => {}
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn keep(&mut self, job: JobId, name: Name, files: BTreeSet<Name>) {
        if !self.kept.contains_key(&job) {
            // What cannot be read is not known, and so nothing of it is ever removed.
            let known = self.known(job).unwrap_or_default();
            self.kept.insert(job, known);
        }
        if let Some(kept) = self.kept.get_mut(&job) {
            kept.insert(name, files);
        }
    }

    fn known(&self, job: JobId) -> Result<BTreeMap<Name, BTreeSet<Name>>, store::Error> {
        let mut known = BTreeMap::new();
        for entry in self.store.manifests(job)? {
            if let Ok(manifest) = self.store.manifest(&entry.name) {
                known.insert(entry.name, manifest.files().map(|file| file.name.clone()).collect());
            }
        }
        Ok(known)
    }

    /// Removes the oldest checkpoints, and then the files that only they named.
    fn make_room(&mut self, job: JobId, retained: usize, damaged: &BTreeSet<CheckpointId>) -> Result<(), store::Error> {
        let mut entries = self.store.manifests(job)?;
        entries.retain(|entry| entry.savepoint.is_none());
        let Some(kept) = self.kept.get_mut(&job) else { return Ok(()) };
        let mut intact = entries.iter().filter(|entry| !damaged.contains(&entry.checkpoint));
        let Some(oldest) = intact.nth(retained.saturating_sub(1)).map(|entry| entry.checkpoint) else { return Ok(()) };
        for Entry { name, .. } in entries.into_iter().filter(|entry| entry.checkpoint < oldest) {
            self.store.delete([&name])?;
            let Some(files) = kept.remove(&name) else { continue };
            let still = |file: &&Name| !kept.values().any(|files| files.contains(*file));
            self.store.delete(files.iter().filter(still))?;
        }
        Ok(())
    }

    /// Removes files that earlier attempts left, or whoever removed something and died, and that no manifest names.
    fn sweep(&self, job: JobId, before: SystemTime) -> Result<(), store::Error> {
        let Some(kept) = self.kept.get(&job) else { return Ok(()) };
        // A manifest that cannot be read may name any of them.
        if self.store.manifests(job)?.iter().any(|entry| !kept.contains_key(&entry.name)) {
            return Ok(());
        }
        let files = self.store.files_before(job, before)?;
        let orphans = files.iter().map(|file| &file.name).filter(|name| {
            let is_set_aside = name.last().ends_with(".damaged");
            !is_set_aside && !kept.values().any(|files| files.contains(*name))
        });
        self.store.delete(orphans)
    }

    fn forget(&mut self, job: JobId) {
        let known = self.kept.remove(&job).or_else(|| self.known(job).ok()).unwrap_or_default();
        let is_savepoint = |name: &Name| name.last().contains('-');
        let (savepoints, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(|(name, _)| is_savepoint(name));
        let named = |file: &Name| savepoints.iter().any(|(_, files)| files.contains(file));
        for (name, files) in rest {
            let _ = self.store.delete([&name]);
            let _ = self.store.delete(files.iter().filter(|file| !named(file)));
        }
        // It has no attempts any more that could be writing.
        self.kept.insert(job, savepoints.into_iter().collect());
        let _ = self.sweep(job, SystemTime::now());
        self.kept.remove(&job);
    }
}

/// The checkpoints of a job that an earlier life of the JobManager made, the newest last. One that cannot be read is among them: it
/// is not passed over as if it had never been.
pub(crate) fn completed(store: &Store, job: JobId) -> Result<Vec<Completed>, store::Error> {
    store.settle_manifests(job)?;
    let mut entries = store.manifests(job)?;
    entries.retain(|entry| entry.savepoint.is_none());
    let completed = entries.into_iter().rev().map(|entry| {
        let manifest = store.manifest(&entry.name).ok();
        Completed {
            id: entry.checkpoint,
            manifest: entry.name.to_string(),
            last: manifest.as_ref().is_some_and(is_last),
            transactions: manifest.as_ref().is_none_or(has_transactions),
        }
    });
    Ok(completed.collect())
}

/// A step is taken that no disk can refuse.
fn reached(point: Point) {
    // What has been done is not undone by an error that somebody wants here.
    let _ = step(point);
}

/// Whether sinks have prepared or written something for it.
fn has_transactions(manifest: &Manifest) -> bool {
    let mut subtasks = manifest.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    subtasks.any(|subtask| subtask.transaction.is_some() || subtask.unfinished.is_some())
}

/// Whether all subtasks had come to their end.
fn is_last(manifest: &Manifest) -> bool {
    let ended = |vertex: &wasmill_snapshot::manifest::Vertex| {
        vertex.subtasks.len() == vertex.parallelism as usize && vertex.subtasks.iter().all(|subtask| subtask.ended)
    };
    manifest.vertices.iter().all(ended)
}

/// A problem of the store, for whoever asked over HTTP.
pub(crate) fn problem(error: &store::Error) -> Problem {
    let status = match error {
        store::Error::Missing { .. } => 404,
        _ => 500,
    };
    Problem::of(status, error)
}

/// There is no savepoint or checkpoint of this name.
pub(crate) fn no_such(name: &str) -> Problem {
    Problem::new(404, Code::NotFound, format!("there is no savepoint {name}"))
        .with_hint("`wasmill savepoint ls` lists all; the checkpoints of a job are named as job-7 or job-7/1.41")
}

/// A checkpoint's number, as `job-7/1.41` has it.
pub(crate) fn checkpoint_of(name: &str) -> Option<(JobId, Option<CheckpointId>)> {
    match name.split_once('/') {
        Some((job, number)) => Some((job.parse().ok()?, Some(CheckpointId::from_number(number)?))),
        None => Some((name.parse().ok()?, None)),
    }
}
