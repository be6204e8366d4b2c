//! The thread of an attempt that writes what its subtasks have taken, in the order in which they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use wasmill_connectors::SinkPart;
use wasmill_durable::{Point, step};
use wasmill_model::ids::{CheckpointId, JobId, Subtask};
use wasmill_snapshot::{manifest::SnapshotFile, store::Name};

use crate::{
    attempt::OnProgress,
    checkpoint::{
        At, Beginning, Checkpointing, Restored, SubtaskPart, Taken, VertexPart,
        chain_of_files::{ChainOfFiles, Owner},
        fetching::Files,
        named::Named,
        schema_of,
    },
    job::Job,
    life::{Failure, Life},
    subtask::Progress,
};

/// What a subtask has taken, one entry a vertex of its chain.
pub(crate) struct Task {
    pub(crate) subtask: Subtask,
    pub(crate) at: At,
    pub(crate) vertices: Vec<Taken>,
    /// Counted down when it is written.
    pub(crate) waiting: Option<Arc<AtomicUsize>>,
    /// Whoever waits for it.
    pub(crate) done: Option<Sender<Result<(), String>>>,
}

/// The way to the writer. Bounded by what subtasks let wait.
pub(crate) struct Writing {
    inbox: Mutex<Sender<Task>>,
}

impl Writing {
    /// Puts in a task. After the writer has ended it is dropped, and with it whatever waits for it.
    pub(crate) fn put(&self, task: Task) {
        let _ = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).send(task);
    }
}

struct Writer {
    job: Arc<Job>,
    life: Arc<Life>,
    on_progress: OnProgress,
    /// By vertex and subtask.
    chains: BTreeMap<(usize, u32), ChainOfFiles>,
    /// The newest checkpoint that a subtask took part in.
    newest: BTreeMap<Subtask, CheckpointId>,
    /// The checkpoint that the attempt began from, if it is the job's own.
    oldest: CheckpointId,
    files: Files,
    /// What a later attempt may begin from.
    named: Named,
}

/// Starts the writer of an attempt; it ends with the last of its subtasks.
pub(crate) fn start_writer(
    (job, id): (&Arc<Job>, JobId),
    subtasks: &[Subtask],
    checkpointing: &Checkpointing,
    life: &Arc<Life>,
    on_progress: &OnProgress,
) -> std::io::Result<Arc<Writing>> {
    let restored = Restored::new(checkpointing, id);
    let mut chains = BTreeMap::new();
    let files_of_job = Files { store: checkpointing.store.clone(), local: checkpointing.local.clone(), job: id };
    for subtask in subtasks {
        for &vertex in &job.plan.chains[subtask.chain as usize].vertices {
            let schema = schema_of(&job.graph, vertex);
            if schema.is_empty() {
                continue;
            }
            let at = &job.graph.vertices[vertex];
            let range = job.key_groups.range(subtask.index, at.parallelism);
            let files = restored.as_ref().map_or_else(Vec::new, |from| from.files(&at.name, &schema, range));
            let owner = Owner {
                files: files_of_job.clone(),
                cluster: checkpointing.cluster.clone(),
                operator: at.name.clone(),
                subtask: subtask.index,
                parallelism: at.parallelism,
                key_groups: job.key_groups,
                schema,
            };
            chains.insert((vertex, subtask.index), ChainOfFiles::new(owner, files));
        }
    }
    let is_own = |of: &&Beginning| (&of.manifest.cluster, of.manifest.job) == (&checkpointing.cluster, id);
    let own = checkpointing.restore.as_ref().filter(is_own);
    let oldest = own.map_or(CheckpointId(0), |beginning| beginning.manifest.checkpoint);
    let (inbox, tasks) = mpsc::channel();
    let (job, life, on_progress) = (job.clone(), life.clone(), on_progress.clone());
    let (newest, named, files) = (BTreeMap::new(), Named::default(), files_of_job);
    let mut writer = Writer { job, life, on_progress, chains, newest, oldest, files, named };
    thread::Builder::new().name("snapshots".to_owned()).spawn(move || writer.run(&tasks))?;
    Ok(Arc::new(Writing { inbox: Mutex::new(inbox) }))
}

impl Writer {
    fn run(&mut self, tasks: &Receiver<Task>) {
        while let Ok(task) = tasks.recv() {
            let Task { subtask, at, vertices, waiting, done } = task;
            let written = self.write(subtask, at, vertices).and_then(|content| {
                step(Point::PartWritten).map_err(|error| format!("could not say what is written: {error}"))?;
                Ok(content)
            });
            if let Some(waiting) = waiting {
                waiting.fetch_sub(1, Ordering::AcqRel);
            }
            self.forget_copies();
            let result = match written {
                Ok(content) => {
                    (self.on_progress)(subtask, Progress::Part { at, content });
                    Ok(())
                }
                Err(reason) => {
                    if let At::Checkpoint(checkpoint) = at {
                        let reason = reason.clone();
                        (self.on_progress)(subtask, Progress::Declined { checkpoint, reason });
                    }
                    Err(reason)
                }
            };
            if let Some(done) = done {
                let _ = done.send(result);
            }
            self.merge(subtask);
        }
    }

    fn write(&mut self, subtask: Subtask, at: At, vertices: Vec<Taken>) -> Result<String, String> {
        let newest = self.newest.entry(subtask).or_insert(self.oldest);
        let checkpoint = match at {
            At::Checkpoint(checkpoint) => checkpoint,
            At::End => *newest,
        };
        *newest = checkpoint;
        let places = self.job.plan.chains[subtask.chain as usize].vertices.clone();
        let mut part = SubtaskPart { vertices: Vec::new() };
        let mut failed = None;
        for (vertex, Taken { state, position, sink }) in places.into_iter().zip(vertices) {
            let name = self.job.graph.vertices[vertex].name.clone();
            let SinkPart { transaction, unfinished } = sink;
            let (schema, files) = (Vec::new(), Vec::new());
            let mut kept = VertexPart { vertex: name, schema, files, position, transaction, unfinished };
            if let Some(chain) = self.chains.get_mut(&(vertex, subtask.index)) {
                if let Some(state) = state {
                    chain.add(checkpoint, state);
                }
                // What fails of one operator must not lose the changes of another.
                failed = chain.write().err().or(failed);
                if let (true, Some(reason)) = (chain.is_stuck(), &failed) {
                    self.life.fail(Failure::Checkpoints { reason: reason.clone() });
                }
                (kept.schema, kept.files) = (chain.schema().to_vec(), chain.files().to_vec());
            }
            part.vertices.push(kept);
        }
        let files = part.vertices.iter().flat_map(|vertex| vertex.files.iter().map(|file| file.name.clone()));
        self.named.add(subtask, checkpoint, files);
        match failed {
            Some(reason) => Err(reason),
            None => Ok(serde_json::to_string(&part).expect("its keys are text")),
        }
    }

    /// Removes the local copies that no attempt begins from any more, once it is told that a checkpoint is complete.
    fn forget_copies(&mut self) {
        let checkpoints = self.life.signal.checkpoints();
        if self.named.forget(checkpoints.completed, checkpoints.given_up) {
            let written = self.chains.values().flat_map(ChainOfFiles::files).map(|file: &SnapshotFile| &file.name);
            let named: BTreeSet<&Name> = self.named.files().chain(written).collect();
            self.files.local.copies.retain(self.files.job, &named);
        }
    }

    /// Makes fewer files of many; if that fails, they stay as they are.
    fn merge(&mut self, subtask: Subtask) {
        for &vertex in &self.job.plan.chains[subtask.chain as usize].vertices {
            if let Some(chain) = self.chains.get_mut(&(vertex, subtask.index)) {
                let _ = chain.merge();
            }
        }
    }
}
