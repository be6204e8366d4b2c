//! Where the JobManager's durable writes go: to the catalogue, by a thread that writes all that waits in one transaction; or,
//! in a run that is over with its process, nowhere.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use wasmill_model::ids::JobId;

use crate::{
    catalogue::{Catalogue, Change},
    jobmanager::Message,
};

/// Writes in one transaction, at most.
const TOGETHER_MAX: usize = 256;

/// Takes writes and tells the owner of their end.
#[derive(Debug)]
pub(crate) enum Store {
    /// Every write is at its end at once.
    Nowhere(Sender<Message>),
    Catalogue(Sender<(Option<u64>, Change)>),
}

impl Store {
    /// Starts the thread that writes to a catalogue.
    pub(crate) fn catalogue(catalogue: Arc<Catalogue>, owner: Sender<Message>) -> io::Result<Self> {
        let (inbox, changes) = mpsc::channel();
        let body = move || write_all(&catalogue, &owner, &changes);
        thread::Builder::new().name("catalogue".to_owned()).spawn(body)?;
        Ok(Self::Catalogue(inbox))
    }

    pub(crate) fn write(&self, write: u64, change: Change) {
        // The owner that is gone wants nothing any more.
        match self {
            Self::Nowhere(owner) => {
                let _ = owner.send(Message::Written(write, Ok(())));
            }
            Self::Catalogue(inbox) => {
                let _ = inbox.send((Some(write), change));
            }
        }
    }

    pub(crate) fn forget(&self, job: JobId) {
        if let Self::Catalogue(inbox) = self {
            let _ = inbox.send((None, Change::Forget(job)));
        }
    }

    /// The savepoint is there that the job was stopped with.
    pub(crate) fn kept(&self, job: JobId) {
        if let Self::Catalogue(inbox) = self {
            let _ = inbox.send((None, Change::Kept(job)));
        }
    }
}

fn write_all(catalogue: &Catalogue, owner: &Sender<Message>, changes: &Receiver<(Option<u64>, Change)>) {
    while let Ok(first) = changes.recv() {
        let rest = changes.try_iter().take(TOGETHER_MAX - 1);
        let (writes, together): (Vec<Option<u64>>, Vec<Change>) = std::iter::once(first).chain(rest).unzip();
        let written = catalogue.change(&together).map_err(|error| error.to_string());
        for write in writes.into_iter().flatten() {
            if owner.send(Message::Written(write, written.clone())).is_err() {
                return;
            }
        }
    }
}
