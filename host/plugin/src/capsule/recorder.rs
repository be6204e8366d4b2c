//! Saves the first failed calls of each operator.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Capsule, Error, write};

/// Failed calls saved of each operator, at most. Finding a row that is to blame makes five calls fail.
pub const CALLS_MAX: u32 = 16;

/// Names tried for one capsule: those of earlier runs stay.
const NAMES_MAX: u32 = 10_000;

/// Saves the first failed calls of each operator in a folder, a file each. Clones save to the same folder and count together.
#[derive(Clone)]
pub struct Recorder {
    folder: PathBuf,
    /// The component of the plugin it was given to.
    pub(crate) component: Option<Arc<[u8]>>,
    /// Capsules of each operator so far.
    saved: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Recorder {
    /// A recorder that saves to this folder, which is made if it is not there.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Write { action: "make the folder of", path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), component: None, saved: Arc::default() })
    }

    /// The same for the plugin with this component.
    pub(crate) fn of_component(&self, wasm: &[u8]) -> Self {
        Self { component: Some(wasm.into()), ..self.clone() }
    }

    /// Saves a call of this operator, unless enough of them are saved: the file it is in.
    pub(crate) fn save(
        &self,
        operator: &str,
        capsule: impl FnOnce() -> Option<Capsule>,
    ) -> Result<Option<PathBuf>, Error> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let count = saved.entry(operator.to_owned()).or_default();
        if *count == CALLS_MAX {
            return Ok(None);
        }
        *count += 1;
        let Some(mut capsule) = capsule() else { return Ok(None) };
        capsule.component = self.component.as_deref().map(<[u8]>::to_vec);
        for number in 1..NAMES_MAX {
            let path = self.folder.join(format!("{operator}.{number}.capsule"));
            match write(&capsule, &path) {
                Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| Some(path)),
            }
        }
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "the folder is full of capsules");
        Err(Error::Write { action: "write", path: self.folder.clone(), source })
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("folder", &self.folder).finish_non_exhaustive()
    }
}
