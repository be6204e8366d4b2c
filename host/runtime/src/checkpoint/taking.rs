//! A subtask's side of checkpoints: when it takes its part, and when its sinks make visible what is complete.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use serde_json::Value;
use wasmill_connectors::SinkPart;
use wasmill_model::ids::{CheckpointId, Subtask};
use wasmill_state::SealedState;

use crate::{
    attempt::OnProgress,
    chain::Chain,
    checkpoint::{At, Writing, writer::Task},
    error::Error,
    exchange::Barrier,
    signal::Signal,
    subtask::Progress,
};

/// Parts of one subtask that may wait to be written. While they do, it takes no other: the next one has it all.
const WAITING_MAX: usize = 2;

/// What a vertex gives to a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) state: Option<SealedState>,
    pub(crate) position: Option<Value>,
    pub(crate) sink: SinkPart,
}

/// A subtask's side of checkpoints.
pub(crate) struct Checkpointer {
    subtask: Subtask,
    writing: Arc<Writing>,
    on_progress: OnProgress,
    /// Parts that wait to be written.
    waiting: Arc<AtomicUsize>,
    /// The newest whose part was taken, or that was let pass.
    seen: Option<CheckpointId>,
    /// The newest that the sinks have made visible.
    committed: Option<CheckpointId>,
}

impl Checkpointer {
    pub(crate) fn new(subtask: Subtask, writing: Arc<Writing>, on_progress: OnProgress) -> Self {
        Self { subtask, writing, on_progress, waiting: Arc::default(), seen: None, committed: None }
    }

    /// A barrier that is wished for and was not seen yet.
    pub(crate) fn wanted(&self, signal: &Signal) -> Option<Barrier> {
        signal.checkpoints().triggered.filter(|barrier| self.seen < Some(barrier.checkpoint))
    }

    /// Takes the subtask's part: what came before belongs to the checkpoint, what comes later does not.
    pub(crate) fn take(
        &mut self,
        chain: &mut Chain,
        barrier: Barrier,
        position: Option<Vec<Value>>,
    ) -> Result<(), Error> {
        let checkpoint = barrier.checkpoint;
        if self.seen >= Some(checkpoint) {
            return Ok(());
        }
        self.seen = Some(checkpoint);
        chain.send_barrier(barrier)?;
        if self.waiting.load(Ordering::Acquire) >= WAITING_MAX {
            let reason = "earlier parts are still being written".to_owned();
            (self.on_progress)(self.subtask, Progress::Declined { checkpoint, reason });
            return Ok(());
        }
        let mut vertices = chain.take(barrier)?;
        vertices[0].position = position.map(Value::Array);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Some(self.waiting.clone());
        self.writing.put(Task { subtask: self.subtask, at: At::Checkpoint(checkpoint), vertices, waiting, done: None });
        Ok(())
    }

    /// The input has ended: makes everything durable, and says so.
    pub(crate) fn end(&mut self, chain: &mut Chain, position: Option<Vec<Value>>) -> Result<(), Error> {
        let mut vertices = chain.take_end()?;
        vertices[0].position = position.map(Value::Array);
        let (done, written) = mpsc::channel();
        self.writing.put(Task { subtask: self.subtask, at: At::End, vertices, waiting: None, done: Some(done) });
        match written.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(Error::Checkpoint { subtask: self.subtask, reason }),
            Err(_) => Err(Error::Stopped),
        }
    }

    /// Lets the sinks make visible what has become complete. Returns whether anything has.
    pub(crate) fn follow(&mut self, chain: &mut Chain, signal: &Signal) -> Result<bool, Error> {
        let Some(completed) = signal.checkpoints().completed.filter(|id| self.committed < Some(*id)) else {
            return Ok(false);
        };
        chain.completed(completed)?;
        self.committed = Some(completed);
        (self.on_progress)(self.subtask, Progress::CommittedUpTo(completed));
        Ok(true)
    }
}
