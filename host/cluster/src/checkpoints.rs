//! The checkpoint store of a cluster, as both roles open it: a folder that the JobManager names, and in which every TaskManager must
//! find what the JobManager wrote there.

use std::{io, path::Path, sync::Arc};

use wasmill_model::fault::{Code, Coded};
use wasmill_snapshot::store::{self, Folder, Store};

/// Why a checkpoint store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not use the folder {folder} for checkpoints: {source}")]
    Folder { folder: String, source: io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(
        "could not use the folder {folder} for checkpoints: this host does not find there what the JobManager wrote\n  hint: it must \
         be the same folder on all hosts; `wasmill jobmanager --checkpoints DIR` says which"
    )]
    NotShared { folder: String },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Folder { .. } | Self::NotShared { .. } => Code::CheckpointStore,
            Self::Store(error) => error.code(),
        }
    }
}

/// Opens the store of a JobManager, making the folder if it is not there.
pub(crate) fn create(folder: &Path, cluster: &str) -> Result<Store, Error> {
    let failed = |source| Error::Folder { folder: folder.display().to_string(), source };
    Ok(Store::new(Arc::new(Folder::create(folder).map_err(failed)?), cluster)?)
}

/// The store as a TaskManager uses it.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) cluster: String,
}

impl Shared {
    /// Opens the JobManager's store, and returns what it has written there last.
    pub(crate) fn open(folder: &str, cluster: &str) -> Result<(Self, String), Error> {
        let not_shared = || Error::NotShared { folder: folder.to_owned() };
        let opened = Folder::open(Path::new(folder)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => not_shared(),
            _ => Error::Folder { folder: folder.to_owned(), source },
        })?;
        let store = Store::new(Arc::new(opened), cluster)?;
        let nonce = store.read_nonce()?.ok_or_else(not_shared)?;
        Ok((Self { store, cluster: cluster.to_owned() }, nonce))
    }
}
